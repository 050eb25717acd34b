//! Templates of a bundle: what they may say, and writing what comes of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::fchown;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use epic_common::resources::MIB;
use epic_executor_core::traffic::{Files, Scene};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde_json::json;
use thiserror::Error;

use crate::sandbox::User;
use crate::scene::Places;

/// Renders texts for one run of one service.
///
/// A template sees `grant.cpus` (a text, in cores), `grant.mem_mb`, `ports.<name>`, `host`, `platform`,
/// `instance`, `role`, `dir`, `payload`, `meta.<key>` and `documents.<name>`. A name that isn't there is an error.
#[derive(Debug)]
pub struct Renderer {
    environment: Environment<'static>,
    context: Value,
}

/// Why a template can't be rendered or its file not written.
#[derive(Debug, Error)]
pub enum Error {
    /// The template is wrong, or uses what isn't there.
    #[error("cannot render template {name}")]
    Template {
        /// The template's file, or the text itself.
        name: String,
        /// What is wrong.
        source: minijinja::Error,
    },
    /// The document isn't JSON.
    #[error("the document {name} is not JSON")]
    Document {
        /// Its name.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The file system refuses.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Its object.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The most that a template's file may have.
const TEMPLATE_BYTES_MAX: u64 = 1 << 20;

/// What one rendering may use: so many instructions, or 64 bytes for each, 19 MB in all. Ten thousand members with a line
/// of five values each are within it.
const FUEL: u64 = 300_000;

/// Held while a text is rendered, so that the bound on memory is one for all.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl Renderer {
    /// Prepares to render for `scene`, whose service has these places.
    ///
    /// # Errors
    ///
    /// A document that isn't JSON.
    pub fn new(scene: &Scene, places: Places<'_>) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(syntax());
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let order = &scene.order;
        let mut documents = BTreeMap::new();
        for document in &scene.documents {
            let value: serde_json::Value = serde_json::from_str(&document.json)
                .map_err(|source| Error::Document { name: document.name.clone(), source })?;
            documents.insert(&document.name, value);
        }
        let context = Value::from(Serde(json!({
            "grant": { "cpus": order.grant.cpus.to_string(), "mem_mb": order.grant.mem.0 / MIB },
            "ports": order.grant.ports,
            "host": order.hostname,
            "platform": order.platform,
            "instance": order.task.unit,
            "role": order.role,
            "dir": places.dir,
            "payload": places.payload,
            "meta": scene.manifest.config_meta,
            "documents": documents,
        })));
        Ok(Self { environment, context })
    }

    /// Renders a text, such as an argument.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn text(&self, template: &str) -> Result<String, Error> {
        self.named(template, template)
    }

    /// Renders all texts.
    ///
    /// # Errors
    ///
    /// What is wrong with the first that is wrong.
    pub fn texts(&self, templates: &[String]) -> Result<Vec<String>, Error> {
        templates.iter().map(|template| self.text(template)).collect()
    }

    /// Renders the service's files into its directory, each as a whole or not at all.
    ///
    /// # Errors
    ///
    /// The first template or file that is wrong; files before it are written.
    pub fn files(&self, scene: &Scene, places: Places<'_>, user: &User) -> Result<Files, Error> {
        let mut files = Files::Same;
        for template in &scene.service.templates {
            let source = places.payload.join(&template.source);
            let text = self.named(&template.source, &read(&source)?)?;
            let write = |source| Error::Io { verb: "write", path: places.dir.join(&template.target), source };
            if replace(places.dir, &template.target, text.as_bytes(), user).map_err(write)? == Files::Changed {
                files = Files::Changed;
            }
        }
        Ok(files)
    }

    fn named(&self, name: &str, template: &str) -> Result<String, Error> {
        let name: String = name.chars().take(200).collect();
        let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        self.environment
            .render_named_str(&name, template, &self.context)
            .map_err(|source| Error::Template { name, source })
    }
}

/// Keeps a file's last newline, which Jinja drops.
fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder().keep_trailing_newline(true).build().expect("the default delimiters are valid")
}

fn read(path: &Path) -> Result<String, Error> {
    let fail = |source| Error::Io { verb: "read", path: path.to_owned(), source };
    let mut text = String::new();
    let read = File::open(path).map_err(fail)?.take(TEMPLATE_BYTES_MAX + 1).read_to_string(&mut text).map_err(fail)?;
    if read as u64 > TEMPLATE_BYTES_MAX {
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {TEMPLATE_BYTES_MAX} bytes"))));
    }
    Ok(text)
}

/// Replaces the file `target` below `dir`, unless it has the content already.
///
/// The directory is its user's, who could put links there, and we may be root: so no link is followed.
fn replace(dir: &Path, target: &str, content: &[u8], user: &User) -> io::Result<Files> {
    let mut parent = OwnedFd::from(File::open(dir)?);
    let mut parts: Vec<_> = target.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    for part in parts {
        match mkdirat(&parent, part, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        parent = openat(
            &parent,
            part,
            OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
    }
    if has_content(&parent, name, content) {
        return Ok(Files::Same);
    }
    let draft = format!(".{name}.draft");
    match unlinkat(&parent, draft.as_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(&parent, draft.as_str(), flags, Mode::from_bits_truncate(0o600))?);
    file.write_all(content)?;
    fchown(&file, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    fchmod(&file, Mode::from_bits_truncate(0o644))?;
    renameat(&parent, draft.as_str(), &parent, name)?;
    Ok(Files::Changed)
}

fn has_content(parent: impl AsFd, name: &str, content: &[u8]) -> bool {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let Ok(file) = openat(parent, name, flags, Mode::empty()) else { return false };
    let mut found = Vec::new();
    let bound = content.len() as u64 + 1;
    File::from(file).take(bound).read_to_end(&mut found).is_ok() && found == content
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::Arc;

    use super::*;
    use crate::sandbox::Root;
    use epic_common::conversation::{DocumentText, LaunchOrder};
    use epic_common::ids::Digest;
    use epic_common::manifest::Manifest;
    use epic_common::resources::{Bytes, Grant, MilliCpus};
    use epic_executor_core::traffic::RunId;

    const MANIFEST: &str = r#"
kind: App
apiLevel: 1
distroID: test/render
version: 1.0.0-1
label: {name: Render, description: For tests.}
roles: [{id: worker, cardinality: 1+, minCores: 0.1, minMemory: 32MiB}]
services:
  - id: web
    command: [bin/web]
    documents: [members]
    templates: [{source: etc/web.tmpl, target: conf/d/web}]
    ports: [{name: web, port: auto}]
config:
  selectedRoles: [worker]
  roleServices: [{roleID: worker, serviceIDs: [web]}]
  configMeta: {colour: green}
"#;

    fn scene(json: &str) -> Scene {
        let manifest = Arc::new(Manifest::parse(MANIFEST).unwrap());
        let service = Arc::new(manifest.roles[0].services[0].clone());
        let task: epic_common::ids::TaskId = "worker-0.1".parse().unwrap();
        let documents = vec![DocumentText { name: "members".into(), generation: 1, json: json.into() }];
        let order = LaunchOrder {
            task: task.clone(),
            role: "worker".into(),
            bundle: Digest([1; 32]),
            bundle_bytes: 1,
            artifacts: Vec::new(),
            grant: Grant {
                cpus: MilliCpus(500),
                mem: Bytes(64 << 20),
                disk: Bytes(0),
                ports: [("web".to_owned(), 31_000)].into(),
            },
            hostname: "10.0.0.1".into(),
            platform: "demo".into(),
            root_allowed: false,
            documents: documents.clone(),
        };
        Scene {
            run: RunId { task, service: service.id.clone(), run: 1 },
            order: Arc::new(order),
            manifest,
            service,
            documents,
        }
    }

    fn places(root: &Path) -> (PathBuf, PathBuf) {
        (root.join("dir"), root.join("payload"))
    }

    /// Renders a text and compares it, or the end of the reason why it can't be.
    fn check(template: &str, expected: Result<&str, &str>) {
        let (dir, payload) = places(Path::new("/sandbox"));
        let scene = scene(r#"{"worker": [{"id": "worker-0", "host": "h", "ports": {"web": 1}, "ready": true}]}"#);
        let renderer = Renderer::new(&scene, Places { dir: &dir, payload: &payload }).unwrap();
        match (renderer.text(template), expected) {
            (Ok(found), expected) => assert_eq!(Ok(&found[..]), expected, "{template}"),
            (Err(error), Err(expected)) => assert!(crate::reason::chain(&error).contains(expected), "{error:?}"),
            (Err(error), Ok(_)) => panic!("{template}: {error:?}"),
        }
    }

    #[test]
    fn a_template_sees_the_grant_and_the_documents() {
        check("{{ host }}:{{ ports.web }} {{ grant.cpus }} {{ grant.mem_mb }}\n", Ok("10.0.0.1:31000 0.5 64\n"));
        check(
            "{{ platform }} {{ instance }} {{ role }} {{ dir }} {{ payload }}",
            Ok("demo worker-0 worker /sandbox/dir /sandbox/payload"),
        );
        check(
            "{{ meta.colour }}{% for m in documents.members.worker %} {{ m.id }}@{{ m.host }}:{{ m.ports.web }}{% endfor %}",
            Ok("green worker-0@h:1"),
        );
        check("<{{ \"a&b\" }}>", Ok("<a&b>"));
    }

    #[test]
    fn what_is_not_there_is_an_error_that_names_the_template() {
        check("{{ ports.nope }}", Err("cannot render template {{ ports.nope }}: undefined value"));
        check("{{ documents.nope }}", Err("undefined value"));
        check("{{ host", Err("syntax error"));
    }

    #[test]
    fn a_template_that_would_take_too_long_or_too_much_memory_is_refused() {
        let turns = "{% for a in range(3000) %}{% for b in range(3000) %}{{ b }}{% endfor %}{% endfor %}";
        let doubled = format!("{{% set s = 'x' * 1000 %}}{}", "{% set s = s ~ s %}".repeat(21));
        for template in [turns, &doubled, "{{ 'x' * 90000000 }}"] {
            check(template, Err("ran out of fuel"));
        }
        let members =
            (0..2000).map(|nth| format!(r#"{{"id": "worker-{nth}", "host": "h{nth}", "ports": {{"web": {nth}}}}}"#));
        let json = format!(r#"{{"worker": [{}]}}"#, members.collect::<Vec<_>>().join(","));
        let (dir, payload) = places(Path::new("/sandbox"));
        let renderer = Renderer::new(&scene(&json), Places { dir: &dir, payload: &payload }).unwrap();
        let list = "{% for m in documents.members.worker %}{{ m.id }}={{ m.host }}:{{ m.ports.web }}\n{% endfor %}";
        assert_eq!(renderer.text(list).unwrap().lines().count(), 2000);
    }

    #[test]
    fn a_document_that_is_not_json_is_refused() {
        let (dir, payload) = places(Path::new("/sandbox"));
        let error = Renderer::new(&scene("{"), Places { dir: &dir, payload: &payload }).unwrap_err();
        assert_eq!(error.to_string(), "the document members is not JSON");
    }

    /// Renders the service's file in a new sandbox, after `before` was done to its directory.
    fn files(before: impl Fn(&Path)) -> (tempfile::TempDir, Result<Files, Error>) {
        let root = tempfile::tempdir().unwrap();
        let (dir, payload) = places(root.path());
        std::fs::create_dir_all(payload.join("etc")).unwrap();
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(payload.join("etc/web.tmpl"), "port {{ ports.web }}\n").unwrap();
        before(root.path());
        let (scene, places) = (scene("{}"), Places { dir: &dir, payload: &payload });
        let user = User::find(None, Root::Forbidden).unwrap();
        let result = Renderer::new(&scene, places).unwrap().files(&scene, places, &user);
        (root, result)
    }

    #[test]
    fn a_file_is_written_once_as_long_as_nothing_changes() {
        let (root, result) = files(|_| {});
        let file = root.path().join("dir/conf/d/web");
        assert_eq!(
            (result.unwrap(), std::fs::read_to_string(&file).unwrap()),
            (Files::Changed, "port 31000\n".to_owned())
        );
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);
        let same = |root: &Path| {
            std::fs::create_dir_all(root.join("dir/conf/d")).unwrap();
            std::fs::write(root.join("dir/conf/d/web"), "port 31000\n").unwrap();
        };
        assert_eq!(files(same).1.unwrap(), Files::Same);
    }

    #[test]
    fn no_link_in_the_services_directory_is_followed() {
        let (root, result) = files(|root| {
            std::fs::create_dir(root.join("elsewhere")).unwrap();
            symlink(root.join("elsewhere"), root.join("dir/conf")).unwrap();
        });
        assert!(result.is_err());
        assert_eq!(std::fs::read_dir(root.path().join("elsewhere")).unwrap().count(), 0);

        let (root, result) = files(|root| {
            std::fs::create_dir_all(root.join("dir/conf/d")).unwrap();
            std::fs::write(root.join("precious"), "port 31000\n").unwrap();
            symlink(root.join("precious"), root.join("dir/conf/d/web")).unwrap();
        });
        assert_eq!(result.unwrap(), Files::Changed);
        assert!(!root.path().join("dir/conf/d/web").is_symlink());
        assert_eq!(std::fs::read_to_string(root.path().join("precious")).unwrap(), "port 31000\n");
    }
}
