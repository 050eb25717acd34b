//! Why things aren't as they are wanted, one sentence for each reason.

use epic_common::ids::UnitId;
use epic_common::time::Timestamp;
use epic_scheduler_core::session::Link;
use epic_scheduler_core::state::Unit;
use epic_scheduler_core::state::deployment::Run;
use epic_scheduler_core::state::unit::{Progress, Task};

use super::Published;

/// What the platform as a whole waits for, at most [`SENTENCES_MAX`] of each kind.
pub(super) fn platform(published: &Published) -> Vec<String> {
    let state = &published.state;
    let mut sentences = Vec::new();
    if state.identity.framework.is_some() && !published.link.is_up() {
        sentences.push(link(&published.link));
    } else if !state.units.unplaced.is_empty() && published.offers_at.is_none() {
        sentences.push(no_offer(&published.role));
    }
    let is_leaving = |task: &&Task| task.given_up || state.run() != Run::Running;
    let leaving = state.units.tasks.values().filter(is_leaving);
    sentences.extend(leaving.take(SENTENCES_MAX).map(leaves));
    let strangers = state.strangers.iter().take(SENTENCES_MAX);
    sentences.extend(strangers.map(|(task, stranger)| {
        format!("task {task} on agent {} is {}, is not known here and is being killed", stranger.agent, stranger.state)
    }));
    if state.run() == Run::Uninstalling && state.is_empty_of_tasks() {
        sentences.push("nothing runs any more; Mesos has yet to confirm that the framework is removed".to_owned());
    }
    sentences
}

/// Why a member isn't placed or not heard of.
pub(super) fn member(published: &Published, id: &UnitId, instance: &Unit, now: Timestamp) -> Vec<String> {
    match instance.live.as_ref().and_then(|task| published.state.units.tasks.get(task)) {
        Some(task) => answers(published, task, instance.wanted),
        None if instance.wanted => place(published, id, instance, now),
        None => Vec::new(),
    }
}

/// Says why no subscription stands.
pub(super) fn link(link: &Link) -> String {
    match link {
        Link::Up { .. } => "subscribed to Mesos".to_owned(),
        Link::Connecting { .. } => "not subscribed to Mesos: the subscription is being asked for".to_owned(),
        Link::Down { why, .. } if why.is_empty() => "not subscribed to Mesos yet".to_owned(),
        // The time of the next try changes every few seconds, and with it all that is shown.
        Link::Down { why, .. } => format!("not subscribed to Mesos, but trying again: {why}"),
        Link::Stopped { why } => format!("not subscribed to Mesos, and no longer trying: {why}"),
    }
}

fn no_offer(role: &str) -> String {
    format!(
        "no offer has come yet for role {role}: check that agents are registered and have cpus and mem reserved for this \
         role (--resources='cpus({role}):N;mem({role}):M'), and that no other framework of the role holds them"
    )
}

fn leaves(task: &Task) -> String {
    let what = format!("attempt {} on {}", task.id, task.hostname);
    match task.progress {
        Progress::Launching { .. } => format!("{what} has to be answered by Mesos before it can be ended"),
        Progress::Unreachable(since) if task.given_up => {
            format!("{what} is replaced; its agent can't be reached since {since}, it is killed if it comes back")
        }
        Progress::Unreachable(since) => format!(
            "{what} can't be ended: its agent can't be reached since {since}; bring it back, or tell Mesos that it is gone \
             for good (MARK_AGENT_GONE of the master's operator API)"
        ),
        Progress::Alive(_) => format!("{what} is being stopped"),
    }
}

fn answers(published: &Published, task: &Task, is_wanted: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    match task.progress {
        Progress::Launching { .. } => {
            sentences.push(format!("waits for Mesos' answer about attempt {}", task.id.attempt));
        }
        Progress::Unreachable(since) if is_wanted && task.kill.is_none() => {
            let replaced = since + published.unreachable_after;
            sentences.push(format!(
                "its agent can't be reached since {since}; it is replaced at {replaced} unless it comes back"
            ));
        }
        Progress::Unreachable(since) => sentences.push(format!("its agent can't be reached since {since}")),
        Progress::Alive(_) => return sentences,
    }
    if !published.link.is_up() {
        sentences.push(link(&published.link));
    }
    sentences
}

fn place(published: &Published, id: &UnitId, instance: &Unit, now: Timestamp) -> Vec<String> {
    let mut sentences = Vec::new();
    if instance.not_before > now {
        let seconds = instance.not_before.since(now).as_secs() + 1;
        let failures = instance.failures;
        let why = if instance.last_end.is_empty() { String::new() } else { format!(": {}", instance.last_end) };
        let after = if failures == 0 { String::new() } else { format!(" after {failures} failures in a row") };
        sentences.push(format!("the next attempt is made at {}, in {seconds} s{after}{why}", instance.not_before));
    }
    if !published.link.is_up() {
        sentences.push(link(&published.link));
        return sentences;
    }
    match (published.unmet.get(id), published.offers_at) {
        (Some(unmet), _) if !unmet.is_empty() => sentences.extend(unmet.iter().map(ToString::to_string)),
        (_, None) => sentences.push(no_offer(&published.role)),
        (_, Some(at)) if sentences.is_empty() => {
            sentences.push(format!("waits for an offer; the last one came at {at}"))
        }
        (_, Some(_)) => {}
    }
    sentences
}

const SENTENCES_MAX: usize = 20;
