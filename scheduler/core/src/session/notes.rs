//! What the session notes of each thing that happens; no decision is taken here.

use std::collections::BTreeSet;

use epic_common::conversation::Report;
use epic_common::ids::{Digest, ServiceId, TaskId};
use epic_common::time::Timestamp;

use super::{Ack, CallAnswer, CallId, Link, Sent, Session};
use crate::document;
use crate::matcher::{Reason, Unfit};
use crate::mesos::{Event, LinkEnd, Status, StreamId};
use crate::policy::{NAME_BYTES_MAX, Policy, REASONS_BYTES_MAX, SERVICES_MAX, TEXT_BYTES_MAX, UPDATES_MAX};
use crate::state::entry::{Entry, Fact};
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
                for offer in offers {
                    self.seen.insert(offer.agent.clone());
                    self.offers.insert(offer.id.clone(), offer);
                }
            }
            Event::Rescind(offer) => {
                self.offers.remove(&offer);
            }
            Event::Update(status) => self.updated(*status),
            Event::Failure { agent } => {
                for task in state.units.on_agent.get(&agent).into_iter().flatten() {
                    self.questions.ensure(task, now);
                }
            }
        }
    }

    fn subscribed(&mut self, now: Timestamp, state: &State, stream: StreamId) {
        self.link = Link::Up { stream };
        self.was_up = true;
        self.offers.clear();
        self.seen.clear();
        self.asked_all = false;
        self.questions.clear();
        self.kills.clear();
        self.nudges.clear();
        self.seekers.clear();
        for task in state.units.tasks.keys() {
            self.questions.ensure(task, now);
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

    fn updated(&mut self, mut status: Status) {
        if self.updates.len() >= UPDATES_MAX {
            return;
        }
        if let Ok(task) = status.task.parse::<TaskId>() {
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
        let tries = self.link.tries().saturating_add(1);
        let failures = if is_taken { self.taken_over } else { tries };
        let retry = now + policy.resubscribe.jittered(failures, now.0);
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
            LinkEnd::Refused(why) | LinkEnd::Broke(why) => Link::Down { retry, tries, why },
        };
        self.drop_stream();
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
    }

    /// Notes how a call went; tells whether the subscription must end because of it.
    #[must_use]
    pub fn answered(&mut self, now: Timestamp, policy: &Policy, id: CallId, answer: &CallAnswer) -> Option<String> {
        if *answer == CallAnswer::Fenced {
            // The end of its subscription is on its way and settles the call; until then it would only be fenced again.
            return None;
        }
        let sent = self.sent.remove(&id)?;
        let refused = matches!(answer, CallAnswer::Refused(_));
        if let Sent::Accept(tasks) = &sent {
            for task in tasks {
                // Whoever was heard of meanwhile needs no deadline.
                if self.accepting.remove(task) {
                    let (due, tries) = (if refused { now } else { now + policy.launch_deadline }, 0);
                    self.questions.set(task.clone(), due, tries);
                }
            }
        }
        match (sent, answer) {
            (_, CallAnswer::Lost(why)) => return Some(why.clone()),
            // The wait between subscriptions paces the next try.
            (Sent::Teardown, CallAnswer::Refused(why)) => return Some(format!("TEARDOWN was refused: {why}")),
            (Sent::Wish, CallAnswer::Refused(why)) => return Some(format!("REVIVE or SUPPRESS was refused: {why}")),
            (Sent::ReconcileAll, CallAnswer::Refused(why)) => return Some(format!("RECONCILE was refused: {why}")),
            (Sent::Teardown, CallAnswer::Accepted) => self.torn_down = true,
            (
                Sent::Accept(_)
                | Sent::Acknowledge
                | Sent::Reconcile
                | Sent::ReconcileAll
                | Sent::Wish
                | Sent::Teardown
                | Sent::Other,
                _,
            ) => {}
        }
        None
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
                }
                Some(task) => {
                    if !task.is_seeking() {
                        self.seekers.remove(id);
                    }
                    if matches!(entry.fact, Fact::LaunchDecided(_)) {
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
