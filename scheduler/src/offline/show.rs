//! Shows what a state directory holds.

use epic_scheduler_core::state::deployment::Run;
use serde_json::{Value, json};

use super::source::{Held, source};
use crate::config::offline::{Output, Show};
use crate::failure::Failure;

/// Reads it and shows it.
///
/// # Errors
///
/// It can't be read.
pub(super) fn show(show: &Show) -> Result<String, Failure> {
    let held = source(&show.dir)?;
    Ok(match show.output {
        Output::Text => text(&held),
        Output::Json => format!("{:#}", as_json(&held)),
    })
}

fn text(held: &Held) -> String {
    let state = &held.state;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let mut lines = vec![
        format!("framework  {}", or_none(state.identity.framework.as_ref().map(ToString::to_string))),
        format!("role       {}", or_none(state.identity.roles.first().cloned())),
        format!("platform   {}", or_none(state.platform().map(|desired| desired.name.clone()))),
        format!("run        {}", run(held)),
        format!("entry      {}, decided at {}", state.index.0, state.at),
        format!("batch      {}", held.batch),
        format!("snapshot   {}", or_none(held.snapshot.map(|batch| format!("of batch {batch}")))),
        format!("members    {}", state.units.all.len()),
        format!("tasks      {}", state.units.tasks.len()),
        format!("epoch      {}", state.epoch()),
        format!("leader     {}", or_none(state.identity.leader.as_ref().map(|leader| leader.advertise.clone()))),
        format!("moved to   {}", or_none(state.identity.moved_to.clone())),
    ];
    if !held.journal.is_empty() {
        lines.push(format!("journal    {} in ZooKeeper", held.journal));
    }
    lines.extend(notes(held));
    lines.join("\n")
}

/// Says what the next start will mend, a line each.
pub(super) fn notes(held: &Held) -> Vec<String> {
    let cut = held.cut.iter().map(|cut| {
        let what = "of an interrupted append, which the next start cuts off; nobody was told that it stood";
        format!("note: {} ends with {} bytes {what}", cut.file.display(), cut.bytes)
    });
    let damaged = held
        .damaged
        .iter()
        .map(|path| format!("note: {} is damaged and not needed; the next start sets it aside", path.display()));
    cut.chain(damaged).collect()
}

fn as_json(held: &Held) -> Value {
    let state = &held.state;
    json!({
        "framework": state.identity.framework,
        "role": state.identity.roles.first(),
        "platform": state.platform().map(|desired| &desired.name),
        "run": run(held),
        "index": state.index.0,
        "at": state.at.to_string(),
        "batch": held.batch,
        "snapshot": held.snapshot,
        "members": state.units.all.len(),
        "tasks": state.units.tasks.len(),
        "epoch": state.epoch(),
        "leader": state.identity.leader.as_ref().map(|leader| &leader.advertise),
        "movedTo": state.identity.moved_to,
        "journal": held.journal,
        "notes": notes(held),
    })
}

fn run(held: &Held) -> &'static str {
    match held.state.run() {
        _ if held.state.platform().is_none() => "nothing",
        Run::Running => "running",
        Run::Stopped => "stopped",
        Run::Uninstalling => "uninstalling",
    }
}
