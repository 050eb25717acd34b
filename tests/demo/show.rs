//! The order of things: Mesos, the scheduler, the platform, a look at it, and all of it away again.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use epic_tests::leftovers::{self, Leftovers};
use epic_tests::wait;

use crate::follow::Follower;
use crate::scene::Scene;
use crate::screen::{self, Screen, seconds};
use crate::signals::Signals;

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A person, until Ctrl-C.
    Look,
    /// The program itself.
    Check,
}

/// Shows the platform, then removes all of it.
///
/// # Errors
/// It doesn't come up, isn't as it should be, or leaves something behind.
pub(crate) async fn show<S: Scene>(screen: &Screen, kind: Kind, bundle: &Path) -> Result<()> {
    let mut signals = Signals::hear()?;
    let ground = tokio::select! {
        ground = S::ground(screen) => Some(ground?),
        () = signals.next() => None,
    };
    let Some(ground) = ground else {
        let left: Vec<String> = leftovers::of_process(std::process::id()).iter().flat_map(Leftovers::check).collect();
        ensure!(left.is_empty(), "asked to end, and this is left:\n{}", left.join("\n"));
        return interrupted(screen, kind);
    };
    let leftovers = S::cluster(&ground).leftovers();
    let mesos: BTreeSet<String> = leftovers.check().into_iter().collect();
    let mut stage = S::start(ground, bundle).await?;
    let mut follower = Follower::new(screen);
    let shown = tokio::select! {
        shown = play(screen, kind, &mut stage, &mut follower) => shown.map(|()| true),
        () = signals.next() => {
            // The terminal has just written ^C.
            screen::show("\n");
            Ok(false)
        }
    };
    let ended = match &shown {
        // Whatever is wrong, the logs say more than a second failure would.
        Err(_) => {
            screen::show(&stage.logs());
            Ok(())
        }
        Ok(_) => tokio::select! {
            ended = end(screen, &mut stage, &mut follower, (&leftovers, &mesos)) => ended,
            () = signals.next() => Err(anyhow!("asked twice to end: everything was killed, the platform was not uninstalled")),
        },
    };
    screen.say("stopping Mesos");
    drop(stage);
    let mut left = leftovers.check();
    left.extend(leftovers::of_process(std::process::id()).iter().flat_map(Leftovers::check));
    ensure!(left.is_empty(), "this is left on the machine:\n{}", left.join("\n"));
    screen.say("no process, control group, mount or port is left");
    let is_complete = shown?;
    ended?;
    if is_complete { Ok(()) } else { interrupted(screen, kind) }
}

/// A person ends the demo like this; a check that didn't come to its end has failed.
fn interrupted(screen: &Screen, kind: Kind) -> Result<()> {
    match kind {
        Kind::Look => screen.say("ended"),
        Kind::Check => bail!("asked to end before everything was checked"),
    }
    Ok(())
}

/// Waits until the platform is ready, then looks at it or lets a person look.
async fn play(screen: &Screen, kind: Kind, stage: &mut impl Scene, follower: &mut Follower<'_>) -> Result<()> {
    screen.say(&stage.opening());
    let begun = screen.elapsed();
    let view = follower.until(stage, READY_WITHIN, |view| view.phase == "ready").await?;
    let (all, own) = (seconds(screen.elapsed()), seconds(screen.elapsed().saturating_sub(begun)));
    screen.say(&format!("seconds to ready: {own} since the scheduler was started, {all} since this demo was"));
    match kind {
        Kind::Check => stage.check(screen, &view).await,
        Kind::Look => {
            screen::show(&stage.guide(&view)?);
            follower.forever(stage).await
        }
    }
}

/// Removes the platform and ends the scheduler; then Mesos has to be as it was before.
async fn end(
    screen: &Screen,
    stage: &mut impl Scene,
    follower: &mut Follower<'_>,
    (leftovers, mesos): (&Leftovers, &BTreeSet<String>),
) -> Result<()> {
    uninstall(screen, stage, follower).await?;
    screen.say(stage.end().await?);
    let gone = wait::until("agents have nothing of the platform left", GONE_WITHIN, async || {
        let left: Vec<String> = leftovers.check().into_iter().filter(|one| !mesos.contains(one)).collect();
        ensure!(left.is_empty(), "this is left of the platform:\n{}", left.join("\n"));
        Ok(())
    });
    gone.await?;
    screen.say("the agents have nothing of the platform left");
    Ok(())
}

async fn uninstall(screen: &Screen, stage: &mut impl Scene, follower: &mut Follower<'_>) -> Result<()> {
    // A scheduler that has just been started is about to install what it was told.
    let view = follower.until(stage, ANSWER_WITHIN, |view| view.phase != "none").await?;
    if view.phase == "uninstalled" {
        screen.say("the platform was uninstalled before");
        return Ok(());
    }
    screen.say("removing the platform");
    stage.uninstall().await?;
    follower.until(stage, GONE_WITHIN, |view| view.phase == "uninstalled").await?;
    Ok(())
}

const READY_WITHIN: Duration = Duration::from_secs(120);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const GONE_WITHIN: Duration = Duration::from_secs(60);
