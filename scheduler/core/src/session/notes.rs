//! What the session notes of each thing that happens; no decision is taken here.

use std::collections::BTreeSet;
use std::time::Duration;

use epic_common::conversation::Report;
use epic_common::ids::{Digest, ServiceId, TaskId, UnitId};
use epic_common::time::Timestamp;

use super::timers::Pace;
use super::{Ack, Link, Session};
use crate::document;
use crate::matcher::{Reason, Unfit};
use crate::mesos::{Event, LinkEnd, Status, StreamId, TaskState};
use crate::policy::{NAME_BYTES_MAX, Policy, REASONS_BYTES_MAX, SERVICES_MAX, TEXT_BYTES_MAX, UPDATES_MAX};
use crate::state::entry::{Entry, Fact};
use crate::state::unit::{Progress, Task};
use crate::state::{State, Touched};

impl Session {
    /// Notes an event of the subscription that stands.
    ///
    /// What an older one still has to say is void: its offers are, and its updates are repeated.
    pub fn absorb(&mut self, now: Timestamp, state: &State, stream: StreamId, event: Event) {
        let begins = event == Event::Subscribed && matches!(self.link, Link::Connecting { .. });
        if !begins && self.link.stream() != Some(&stream) {
            return;
        }
        match event {
            Event::Subscribed => self.subscribed(now, state, stream),
            Event::Offers(offers) => {
                self.offers_at = Some(now);
                if self.offers.is_empty() {
                    self.holding = now;
                }
                for offer in offers {
                    self.seen.insert(offer.agent.clone());
                    self.offers.insert(offer.id.clone(), offer);
                }
            }
            Event::Rescind(offer) => {
                self.offers.remove(&offer);
            }
            Event::Update(status) => self.updated(now, *status),
            Event::Failure { agent } => {
                for task in state.units.on_agent.get(&agent).into_iter().flatten() {
                    self.questions.ensure(task, now);
                }
            }
        }
    }

    fn subscribed(&mut self, now: Timestamp, state: &State, stream: StreamId) {
        let tries = self.link.tries(now, Duration::MAX);
        self.link = Link::Up { stream, since: now, tries };
        (self.was_up, self.has_launched) = (true, false);
        self.offers.clear();
        self.seen.clear();
        (self.ask_all, self.wish, self.teardown) = Default::default();
        self.questions.clear();
        self.starting.clear();
        self.kills.clear();
        self.nudges.clear();
        self.seekers.clear();
        for (id, task) in &state.units.tasks {
            self.questions.ensure(id, now);
            self.watch(now, id, task);
        }
        for (id, _) in state.units.tasks.iter().filter(|(_, task)| document::is_behind(state, task)) {
            self.nudges.ensure(id, now);
        }
        self.seek(now, state);
        for task in state.units.killing.iter().filter(|task| !state.units.launching.contains(*task)) {
            self.kills.ensure(&task.to_string(), now);
        }
        for stranger in state.strangers.keys() {
            self.kills.ensure(stranger, now);
        }
    }

    fn updated(&mut self, now: Timestamp, mut status: Status) {
        let task = status.task.parse::<TaskId>();
        if self.updates.len() >= UPDATES_MAX {
            // Agents repeat their own updates; what the master says is said once.
            match task {
                _ if status.uuid.is_some() => {}
                Ok(task) => self.questions.ensure(&task, now + ASK_AGAIN),
                Err(_) => self.ask_all.due = self.ask_all.due.min(now + ASK_AGAIN),
            }
            return;
        }
        if let Ok(task) = task {
            self.questions.remove(&task);
        }
        clip(&mut status.message, TEXT_BYTES_MAX);
        clip(&mut status.reason, NAME_BYTES_MAX);
        if let Some(report) = &mut status.report {
            bound(report);
        }
        self.updates.push_back(status);
    }

    /// Notes that the subscription ended or could not be had.
    pub fn ended(&mut self, now: Timestamp, policy: &Policy, end: LinkEnd) {
        let is_taken = matches!(&end, LinkEnd::Said(text) if is_failover(text));
        self.taken_over = self.taken_over.saturating_add(u32::from(is_taken));
        if self.link.is_up() || is_taken {
            // One barrier serves several tries, but never two subscriptions.
            self.barrier = None;
        }
        let before = self.link.tries(now, policy.steady_after);
        // A fence that follows launches is the price of a lost answer, and no sign that Mesos wants to be left alone.
        let has_got_on = matches!(end, LinkEnd::Fenced(_)) && self.has_launched;
        let tries = if has_got_on { before.max(1) } else { before.saturating_add(1) };
        let retry = now
            + match &end {
                _ if is_taken => policy.resubscribe.jittered(self.taken_over, now.0),
                LinkEnd::Refused(_) => policy.resubscribe_refused.jittered(tries, now.0),
                LinkEnd::Said(_) if !self.link.is_up() => policy.resubscribe_refused.jittered(tries, now.0),
                LinkEnd::Said(_) | LinkEnd::Broke(_) | LinkEnd::Fenced(_) => policy.resubscribe.jittered(tries, now.0),
            };
        self.link = match end {
            LinkEnd::Said(text) if text.contains("Framework has been removed") => {
                (self.torn_down, self.removed) = (true, true);
                let next = "if that was not meant, begin anew with epicctl admin new-framework --yes";
                let why =
                    format!("Mesos says: {text}. This framework id can't be used again; its tasks were killed; {next}");
                Link::Stopped { why }
            }
            LinkEnd::Said(text) if is_failover(&text) && policy.barrier.is_none() => {
                let next = "Another scheduler uses this framework id; stop it, then restart this one";
                Link::Stopped { why: format!("Mesos says: {text}. {next}") }
            }
            LinkEnd::Said(text) => Link::Down { retry, tries, why: format!("Mesos says: {text}") },
            LinkEnd::Refused(why) | LinkEnd::Broke(why) | LinkEnd::Fenced(why) => Link::Down { retry, tries, why },
        };
        self.drop_stream();
    }

    /// Notes that this replica led at this time; if that is too long ago for a subscription, people have to know why.
    pub fn proved(&mut self, now: Timestamp, policy: &Policy, at: Timestamp) {
        self.barrier = Some(at);
        let took = now.since(at);
        if let (Link::Down { why, .. }, Some(within)) = (&mut self.link, policy.barrier)
            && took >= within
        {
            *why = format!(
                "ZooKeeper is too slow: the journal took {took:.1?} to write an entry, and a subscription has to be \
                 asked for within {within:.1?}"
            );
        }
    }

    /// Calls of an ended subscription are fenced by its name, whether or not they were answered.
    fn drop_stream(&mut self) {
        self.offers.clear();
        self.sent.clear();
        self.unsent.clear();
        self.accepting.clear();
        self.suppressed = None;
        // Whatever is not acknowledged is said again on the next stream.
        self.acks.clear();
        self.repeats.clear();
    }

    /// Notes of an entry that is about to be applied what the state will forget by it.
    pub fn commits(&mut self, state: &State, entry: &Entry) {
        let Fact::StatusRecorded(status) = &entry.fact else { return };
        let unit = &status.task.unit;
        let failures = state.units.failures(unit);
        if status.ended.is_some() {
            self.failures.remove(unit);
        } else if failures > 0 {
            self.failures.insert(unit.clone(), failures);
        }
    }

    /// Says how often a unit had failed in a row before its newest attempt came up.
    #[must_use]
    pub fn former_failures(&self, unit: &UnitId) -> u32 {
        self.failures.get(unit).copied().unwrap_or(0)
    }

    /// Notes what a durable entry touched.
    pub fn committed(&mut self, now: Timestamp, state: &State, entry: &Entry, touched: &Touched) {
        self.members_touched |= touched.members;
        if let Fact::DocumentChanged { .. } = entry.fact {
            for task in state.units.all.values().filter_map(|instance| instance.live.as_ref()) {
                self.nudges.ensure(task, now);
            }
        }
        if let Fact::StrangerSeen { task, .. } = &entry.fact {
            if state.strangers.contains_key(task) {
                self.kills.ensure(task, now);
            } else {
                self.kills.remove(task);
            }
        }
        if matches!(entry.fact, Fact::Uninstalled | Fact::FrameworkReplaced { .. }) {
            (self.torn_down, self.removed) = (false, false);
            self.unmet.clear();
            // The next framework's attempts may have the same names.
            self.updates.clear();
            self.link = Link::default();
            self.barrier = None;
            self.drop_stream();
        }
        self.waits(now, state, entry, touched);
        for id in &touched.tasks {
            if !state.units.launching.contains(id) {
                self.accepting.remove(id);
            }
            let text = id.to_string();
            match state.units.tasks.get(id) {
                None => {
                    self.unsent.remove(id);
                    self.kills.remove(&text);
                    self.questions.remove(id);
                    self.nudges.remove(id);
                    self.seekers.remove(id);
                    self.starting.remove(id);
                }
                Some(task) => {
                    self.watch(now, id, task);
                    if !task.is_seeking() {
                        self.seekers.remove(id);
                    }
                    if matches!(entry.fact, Fact::LaunchDecided(_) | Fact::UnitLaunched(_)) {
                        self.unsent.insert(id.clone());
                    }
                    // A launch that nobody has answered can't be killed yet, but has to be at once when it is answered.
                    if task.kill.is_some() && !state.units.launching.contains(id) {
                        self.kills.ensure(&text, now);
                    }
                    if task.is_with_executor() {
                        self.nudges.ensure(id, now);
                    }
                }
            }
        }
    }

    /// Notes whether somebody has begun to wait for a place: a filter may hide the only host that it fits.
    fn waits(&mut self, now: Timestamp, state: &State, entry: &Entry, touched: &Touched) {
        let is_wish = matches!(
            entry.fact,
            Fact::PlatformApplied { .. } | Fact::PlatformStarted { .. } | Fact::FrameworkReplaced { .. }
        );
        let mut waiting = touched.tasks.iter().filter_map(|id| Some((&id.unit, state.units.waits.get(&id.unit)?)));
        self.untold |= is_wish || waiting.clone().any(|(_, at)| at <= self.told_until);
        if is_wish || waiting.any(|(unit, _)| state.units.failures(unit) == 0) {
            // Only those that fail are made to wait for longer and longer.
            self.revive = Pace { due: self.revive.due.min(now + REVIVE_SOON), tries: 0 };
        }
    }

    /// An attempt that doesn't start is looked at some time after it last got on.
    fn watch(&mut self, now: Timestamp, id: &TaskId, task: &Task) {
        match task.progress {
            Progress::Alive(TaskState::Staging | TaskState::Starting) if task.kill.is_none() => {
                self.starting.ensure(id, now);
            }
            Progress::Alive(_) | Progress::Launching { .. } | Progress::Unreachable(_) => self.starting.remove(id),
        }
    }

    /// Notes which artifacts are here; answers whether members no longer wait for one that wasn't.
    pub fn hold(&mut self, held: BTreeSet<Digest>) -> bool {
        let has_come = |unfit: &Unfit| matches!(&unfit.reason, Reason::NotHeld { bundle } if held.contains(bundle));
        let mut has_changed = false;
        for reasons in self.unmet.values_mut() {
            let before = reasons.len();
            reasons.retain(|unfit| !has_come(unfit));
            has_changed |= reasons.len() < before;
        }
        self.held = Some(held);
        has_changed
    }

    /// Notes where the other replicas serve artifacts; executors that seek theirs are to be told if that has changed.
    pub fn served(&mut self, now: Timestamp, state: &State, urls: Vec<String>) {
        if self.others != urls {
            self.others = urls;
            self.seekers.clear();
            self.seek(now, state);
        }
    }

    /// Whoever seeks its bundle may have been told of servers that are gone: by an order of another leader, or of this one
    /// before they moved.
    fn seek(&mut self, now: Timestamp, state: &State) {
        if self.link.is_up() {
            for (id, _) in state.units.tasks.iter().filter(|(_, task)| task.is_seeking()) {
                self.seekers.ensure(id, now);
            }
        }
    }

    /// Notes that an update's entry is durable.
    pub fn acknowledge(&mut self, ack: Ack) {
        if self.link.is_up() {
            self.acks.push(ack);
        }
    }
}

/// Tells whether Mesos says that somebody else has subscribed with our framework id.
#[must_use]
pub fn is_failover(text: &str) -> bool {
    text.contains("Framework failed over")
}

/// Cuts a report to what one entry may hold: an executor must not be able to make one that the journal refuses.
fn bound(report: &mut Report) {
    report.services.truncate(SERVICES_MAX);
    let reason_bytes_max = REASONS_BYTES_MAX / report.services.len().max(REASONS_BYTES_MAX / TEXT_BYTES_MAX);
    for service in &mut report.services {
        clip(&mut service.reason, reason_bytes_max);
        if service.id.as_str().len() > NAME_BYTES_MAX {
            service.id = ServiceId::new("?");
        }
    }
    report.documents.retain(|name, _| name.len() <= NAME_BYTES_MAX);
    while report.documents.len() > SERVICES_MAX {
        report.documents.pop_last();
    }
}

/// Cuts a text to so many bytes, at a character's border.
fn clip(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

/// A unit that has not failed is told of at least so soon after another one.
const REVIVE_SOON: Duration = Duration::from_secs(1);
/// When Mesos is asked for what could not be taken in.
const ASK_AGAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use epic_common::conversation::ServiceReport;

    use super::*;

    #[test]
    fn no_report_is_too_large_for_an_entry() {
        for services in [1, 32, 100, 5000] {
            let one = ServiceReport { id: "s".into(), reason: "\u{e9}".repeat(100_000), ..ServiceReport::default() };
            let documents = (0..services).map(|n| (n.to_string(), 1)).collect();
            let mut report = Report { services: vec![one; services], documents, ..Report::default() };
            bound(&mut report);
            let reasons: usize = report.services.iter().map(|service| service.reason.len()).sum();
            assert!((TEXT_BYTES_MAX - 1..=REASONS_BYTES_MAX).contains(&reasons), "{reasons}");
            assert!(report.services.len() <= SERVICES_MAX && report.documents.len() <= SERVICES_MAX);
        }
    }

    #[test]
    fn a_text_is_cut_at_the_border_of_a_character() {
        let mut text = "a\u{e9}b".to_owned();
        clip(&mut text, 2);
        assert_eq!(text, "a");
    }
}
