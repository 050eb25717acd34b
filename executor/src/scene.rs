//! The program and the environment of one run of one service.

use std::path::Path;

use epic_common::resources::MIB;
use epic_executor_core::traffic::Scene;

use crate::cgroup::Group;
use crate::process::{ITSELF, Program};
use crate::render::{Error, Renderer};
use crate::sandbox::User;

/// Where a service works and what it is made of.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Its own directory.
    pub dir: &'a Path,
    /// Its bundle's payload.
    pub payload: &'a Path,
}

/// Makes the program of a run.
///
/// # Errors
///
/// A command or an environment variable that can't be rendered.
pub fn program(scene: &Scene, places: Places<'_>, user: User, group: Group) -> Result<Program, Error> {
    let renderer = Renderer::new(scene, places)?;
    Ok(Program {
        starter: ITSELF.into(),
        command: command(&renderer, &scene.service.command, places)?,
        env: environment(scene, &renderer, places)?,
        dir: places.dir.to_owned(),
        user,
        group,
    })
}

/// Renders a command; a relative program is below the payload.
///
/// # Errors
///
/// The part that can't be rendered.
pub fn command(renderer: &Renderer, command: &[String], places: Places<'_>) -> Result<Vec<String>, Error> {
    let mut command = renderer.texts(command)?;
    if let Some(program) = command.first_mut() {
        *program = places.payload.join(&*program).display().to_string();
    }
    Ok(command)
}

/// Makes the whole environment; the manifest's own variables come last.
fn environment(scene: &Scene, renderer: &Renderer, places: Places<'_>) -> Result<Vec<(String, String)>, Error> {
    let (order, dir) = (&scene.order, places.dir.display().to_string());
    let mut env = vec![
        ("PATH".to_owned(), PATH.to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("HOME".to_owned(), dir.clone()),
        ("EPIC_DIR".to_owned(), dir),
        ("EPIC_PAYLOAD".to_owned(), places.payload.display().to_string()),
        ("EPIC_CPUS".to_owned(), order.grant.cpus.to_string()),
        ("EPIC_MEM_MB".to_owned(), (order.grant.mem.0 / MIB).to_string()),
        ("EPIC_HOST".to_owned(), order.hostname.clone()),
        ("EPIC_INSTANCE".to_owned(), order.task.unit.to_string()),
        ("EPIC_ROLE".to_owned(), order.role.to_string()),
        ("EPIC_PLATFORM".to_owned(), order.platform.clone()),
    ];
    for (name, port) in &order.grant.ports {
        env.push((format!("EPIC_PORT_{}", name.to_ascii_uppercase().replace('-', "_")), port.to_string()));
    }
    for (name, value) in &scene.service.env {
        env.push((name.clone(), renderer.text(value)?));
    }
    Ok(env)
}

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
