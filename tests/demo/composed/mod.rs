//! `make demo-compose`: the images, run by compose on a Docker engine, and what happens to their leader.

mod check;
mod scene;

use std::path::Path;

use anyhow::{Result, ensure};

use crate::screen::{Screen, show};
use crate::show::Kind;
use crate::signals::Signals;
use scene::Composed;

/// Starts all services, waits for the platform, and shows what to type next, or checks it; then removes everything.
///
/// # Errors
/// The first thing that isn't as it should be.
pub(crate) fn run(screen: &Screen, kind: Kind, bundle: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::hear()?;
        let composed = Composed::prepare(bundle)?;
        let played = tokio::select! {
            played = play(screen, kind, &composed) => played,
            () = signals.next() => Ok(()),
        };
        if let Err(error) = &played {
            screen.say(&format!("failed: {error:#}"));
            show(&composed.logs());
        }
        let (played, down) = (played, composed.down());
        let left = composed.leftovers()?;
        played.and(down)?;
        ensure!(left.is_empty(), "compose has left behind: {}", left.join(", "));
        screen.say("removed everything; nothing is left");
        Ok(())
    })
}

async fn play(screen: &Screen, kind: Kind, composed: &Composed) -> Result<()> {
    screen.say(&format!("starting three ZooKeeper servers, Mesos and three replicas with {}", composed.version()?));
    composed.up()?;
    let view = composed.until_ready().await?;
    screen.say(&format!(
        "the platform is ready: {} members, framework {}",
        view.instances.len(),
        view.mesos.framework_id
    ));
    match kind {
        Kind::Check => check::all(screen, composed, &view).await,
        Kind::Look => {
            show(&composed.guide().await?);
            std::future::pending().await
        }
    }
}
