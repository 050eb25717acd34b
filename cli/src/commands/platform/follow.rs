//! Follows a change until it has come true.

use std::time::Duration;

use epic_common::api::{Granted, PlatformView};
use tokio::time::{Instant, interval};

use super::Wait;
use crate::args::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::terminal::Progress;
use crate::{render, terminal};

/// What a change is to lead to.
pub(super) struct Goal<'a> {
    /// Such as "the platform is ready".
    pub(super) words: &'a str,
    pub(super) is_reached: &'a dyn Fn(&PlatformView) -> bool,
}

/// Says that a change is granted, and waits for its goal unless that isn't wanted.
///
/// A view that is older than the change doesn't count; a scheduler that can't be reached for a while is waited for.
pub(super) async fn follow(
    client: &Client,
    output: Output,
    (granted, wait): (Granted, Wait),
    goal: Goal<'_>,
) -> anyhow::Result<()> {
    terminal::say(&match output {
        Output::Text => format!("{} (entry {})", render::clean(&granted.message), granted.index),
        Output::Json => serde_json::to_string(&granted)?,
    })?;
    if wait.no_wait {
        return Ok(());
    }
    reach(client, granted.index, wait.timeout, &goal).await?;
    if output == Output::Text {
        terminal::say(goal.words)?;
    }
    Ok(())
}

async fn reach(client: &Client, index: u64, limit: Duration, goal: &Goal<'_>) -> Result<(), Failure> {
    let started = Instant::now();
    let mut ticks = interval(EVERY);
    let (mut progress, mut before, mut is_lost) = (Progress::new(), None, false);
    loop {
        ticks.tick().await;
        let remains = match client.view().await {
            Ok(view) if view.index >= index && (goal.is_reached)(&view) => return Ok(()),
            Ok(view) => {
                progress.show(&render::bar(&view), &render::changes(before.as_ref(), &view));
                is_lost = false;
                remains(before.insert(view))
            }
            Err(failure @ Failure::Unreachable { .. }) => {
                if !is_lost {
                    progress.show(&format!("{failure}; still trying"), &[format!("{failure}; still trying")]);
                }
                is_lost = true;
                failure.to_string()
            }
            Err(failure) => return Err(failure),
        };
        if started.elapsed() >= limit {
            return Err(Failure::TimedOut { waited: limit, goal: goal.words.to_owned(), remains });
        }
    }
}

/// Says in one line what is not as it is to be.
pub(super) fn remains(view: &PlatformView) -> String {
    let mut parts = vec![format!("the platform is {}", render::clean(&view.phase))];
    parts.extend(view.waiting.iter().map(|sentence| render::clean(sentence)));
    for member in
        view.instances.iter().filter(|member| member.phase != "ready" && member.phase != "stopped").take(MEMBERS_MAX)
    {
        let reasons = render::own_reasons(member, view);
        let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        parts.push(format!("{} is {}{why}", render::clean(&member.id), render::clean(&member.phase)));
    }
    parts.join("; ")
}

pub(super) const EVERY: Duration = Duration::from_secs(1);
const MEMBERS_MAX: usize = 10;
