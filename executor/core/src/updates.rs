//! Status updates: kept before they are sent, sent until they are acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use epic_common::conversation::Report;
use epic_common::ids::{TaskId, UpdateId};
use epic_common::time::Timestamp;

/// What a status update says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The task's state.
    pub state: State,
    /// For people.
    pub message: Message,
    /// Whether it works; `None` if it is too early to tell.
    pub healthy: Option<bool>,
    /// For the scheduler.
    pub report: Report,
}

/// The task states that this executor uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// On its way to its first readiness.
    Starting,
    /// Every service was ready once.
    Running,
    /// Being stopped on request.
    Killing,
    /// Stopped on request; terminal.
    Killed,
    /// Ended by itself; terminal.
    Failed,
}

impl State {
    /// Tells whether nothing can follow.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Killing => false,
            Self::Killed | Self::Failed => true,
        }
    }
}

/// A text for people of at most [`MESSAGE_BYTES_MAX`]; what is longer is cut at its end, between characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(String);

/// The most that a message may have.
pub const MESSAGE_BYTES_MAX: usize = 4096;

impl Message {
    /// Takes a text, or as much of it as a message may have.
    #[must_use]
    pub fn new(mut text: String) -> Self {
        text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
        Self(text)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A status update with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Its name, never used twice.
    pub id: UpdateId,
    /// Whose it is.
    pub task: TaskId,
    /// When it was made.
    pub at: Timestamp,
    /// What it says.
    pub content: Content,
}

/// All updates of one executor.
///
/// Of each task one update is on its way at a time. One that wasn't sent yet takes the newest
/// content as long as the state is the same, so a task has at most one update for each of its
/// states beside the one on its way. A task is remembered until its terminal update is
/// acknowledged: the agent drops a task that it hasn't heard of when its executor subscribes
/// without naming it (Mesos 1.11, `Slave::subscribe`).
#[derive(Debug)]
pub struct Updates {
    seed: [u8; 8],
    made: u64,
    tasks: BTreeMap<TaskId, Track>,
}

#[derive(Debug)]
struct Track {
    description: Vec<u8>,
    heard_of: bool,
    queue: VecDeque<Queued>,
    last: Option<(Timestamp, Content)>,
}

#[derive(Debug)]
struct Queued {
    update: Update,
    sent: Option<Timestamp>,
}

/// How long an update may be unanswered before it is sent again.
pub const RESEND_AFTER: Duration = Duration::from_secs(10);

/// The least time between two updates that differ only in words and percents.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

impl Updates {
    /// Makes an empty set; `seed` must differ between processes, since it goes into every update's name.
    #[must_use]
    pub const fn new(seed: [u8; 8]) -> Self {
        Self { seed, made: 0, tasks: BTreeMap::new() }
    }

    /// Begins a task, with the bytes that describe it to the agent.
    pub fn begin(&mut self, task: TaskId, description: Vec<u8>) {
        self.tasks.entry(task).or_insert(Track { description, heard_of: false, queue: VecDeque::new(), last: None });
    }

    /// Tells the agent `content`, now or, if it is mere progress, when the last news is [`PROGRESS_INTERVAL`] old.
    pub fn tell(&mut self, now: Timestamp, task: &TaskId, content: Content) {
        let Some(track) = self.tasks.get_mut(task) else { return };
        match &track.last {
            Some((_, last)) if *last == content || last.state.is_terminal() => return,
            Some((at, last)) if is_progress(last, &content) && now.since(*at) < PROGRESS_INTERVAL => return,
            Some(_) | None => {}
        }
        track.last = Some((now, content.clone()));
        if let Some(Queued { update, sent: None }) = track.queue.back_mut()
            && update.content.state == content.state
        {
            update.content = content;
            update.at = now;
            return;
        }
        self.made += 1;
        let id = name(self.seed, self.made);
        track.queue.push_back(Queued { update: Update { id, task: task.clone(), at: now, content }, sent: None });
    }

    /// Returns when a change that `tell` has put off may be told, given that `task` has news.
    #[must_use]
    pub fn next_progress(&self, task: &TaskId) -> Option<Timestamp> {
        self.tasks.get(task)?.last.as_ref().map(|(at, _)| *at + PROGRESS_INTERVAL)
    }

    /// Returns the last content that was told of a task.
    #[must_use]
    pub fn last(&self, task: &TaskId) -> Option<&Content> {
        self.tasks.get(task)?.last.as_ref().map(|(_, content)| content)
    }

    /// Returns an update to be sent on a live subscription.
    pub fn poll(&mut self, now: Timestamp) -> Option<Update> {
        for track in self.tasks.values_mut() {
            if let Some(head) = track.queue.front_mut()
                && head.sent.is_none_or(|sent| sent + RESEND_AFTER <= now)
            {
                head.sent = Some(now);
                return Some(head.update.clone());
            }
        }
        None
    }

    /// Returns when an update is to be sent again.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.tasks.values().filter_map(|track| track.queue.front()?.sent).map(|sent| sent + RESEND_AFTER).min()
    }

    /// Returns what a new subscription must carry; all of it counts as sent.
    pub fn subscribe(&mut self, now: Timestamp) -> (Vec<Vec<u8>>, Vec<Update>) {
        let tasks =
            self.tasks.values().filter(|track| !track.heard_of).map(|track| track.description.clone()).collect();
        let mut updates = Vec::new();
        for queued in self.tasks.values_mut().flat_map(|track| &mut track.queue) {
            queued.sent = Some(now);
            updates.push(queued.update.clone());
        }
        updates.sort_by_key(|update| update.id);
        (tasks, updates)
    }

    /// Forgets an update that the agent has stored, and its task with a terminal one.
    ///
    /// Tells whether the task has ended with it.
    pub fn acknowledged(&mut self, task: &TaskId, id: UpdateId) -> bool {
        let Some(track) = self.tasks.get_mut(task) else { return false };
        let Some(at) = track.queue.iter().position(|queued| queued.update.id == id) else { return false };
        track.heard_of = true;
        let ended = track.queue.remove(at).is_some_and(|queued| queued.update.content.state.is_terminal());
        if ended {
            self.tasks.remove(task);
        }
        ended
    }

    /// Tells whether no task is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// Makes the name of the update `nth`; names of one seed are in the order of their numbers.
///
/// It is a UUID of version 4 to look at: an agent of Mesos 1.11 refuses an update with any other
/// bytes, and aborts when they come with a subscription.
///
/// Source: RFC 9562, sections 4.1 and 4.2.
fn name(seed: [u8; 8], nth: u64) -> UpdateId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&seed);
    id[8..].copy_from_slice(&nth.to_be_bytes());
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    UpdateId(id)
}

/// Tells whether only words and percents differ, which can wait.
fn is_progress(last: &Content, next: &Content) -> bool {
    let facts = |content: &Content| {
        let services: Vec<_> =
            content.report.services.iter().map(|service| (service.ready, service.restarts)).collect();
        (content.state, content.healthy, content.report.phase, services)
    };
    facts(last) == facts(next) && last.report.documents == next.report.documents
}

#[cfg(test)]
mod tests {
    use super::*;
    use epic_common::conversation::Phase;

    const SECOND: u64 = 1_000_000;

    fn task() -> TaskId {
        "worker-0.1".parse().unwrap()
    }

    fn content(state: State, message: &str) -> Content {
        Content { state, message: Message::new(message.to_owned()), healthy: None, report: Report::default() }
    }

    fn begun() -> Updates {
        let mut updates = Updates::new([7; 8]);
        updates.begin(task(), b"description".to_vec());
        updates
    }

    fn tell(updates: &mut Updates, second: u64, state: State, message: &str) {
        updates.tell(Timestamp(second * SECOND), &task(), content(state, message));
    }

    fn sent(updates: &mut Updates, second: u64) -> Option<(UpdateId, String)> {
        updates.poll(Timestamp(second * SECOND)).map(|update| (update.id, update.content.message.as_str().to_owned()))
    }

    #[test]
    fn names_are_uuids_in_the_order_of_their_numbers() {
        for seed in [[0; 8], [0xff; 8], [0xa5; 8]] {
            let names: Vec<_> = [0, 1, 255, 256, u64::from(u32::MAX) + 1].map(|nth| name(seed, nth)).into();
            assert!(names.iter().all(|name| name.0[6] >> 4 == 4 && name.0[8] >> 6 == 2), "{names:?}");
            assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        }
    }

    #[test]
    fn an_update_is_sent_again_until_it_is_acknowledged() {
        let mut updates = begun();
        tell(&mut updates, 0, State::Starting, "a");
        let (id, _) = sent(&mut updates, 0).unwrap();
        assert_eq!(sent(&mut updates, 9), None);
        assert_eq!(updates.deadline(), Some(Timestamp(10 * SECOND)));
        assert_eq!(sent(&mut updates, 10).unwrap().0, id);
        assert!(!updates.acknowledged(&task(), id));
        assert_eq!((sent(&mut updates, 99), updates.deadline()), (None, None));
    }

    #[test]
    fn what_was_not_sent_yet_takes_the_newest_content_of_the_same_state() {
        let mut updates = begun();
        tell(&mut updates, 0, State::Starting, "a");
        let (first, _) = sent(&mut updates, 0).unwrap();
        tell(&mut updates, 2, State::Starting, "b");
        tell(&mut updates, 4, State::Starting, "c");
        tell(&mut updates, 5, State::Running, "d");
        assert_eq!(sent(&mut updates, 5), None);
        updates.acknowledged(&task(), first);
        let (second, message) = sent(&mut updates, 5).unwrap();
        assert_eq!(message, "c");
        updates.acknowledged(&task(), second);
        assert_eq!(sent(&mut updates, 5).unwrap().1, "d");
        assert!(first != second);
    }

    #[test]
    fn progress_comes_at_most_once_a_second() {
        let mut updates = begun();
        tell(&mut updates, 0, State::Starting, "1 %");
        let (first, _) = sent(&mut updates, 0).unwrap();
        updates.acknowledged(&task(), first);
        updates.tell(Timestamp(SECOND / 2), &task(), content(State::Starting, "2 %"));
        assert_eq!(sent(&mut updates, 0), None);
        assert_eq!(updates.next_progress(&task()), Some(Timestamp(SECOND)));
        let mut changed = content(State::Starting, "unpacking");
        changed.report.phase = Phase::Installing;
        updates.tell(Timestamp(SECOND / 2), &task(), changed);
        assert_eq!(sent(&mut updates, 1).unwrap().1, "unpacking");
    }

    #[test]
    fn a_subscription_carries_all_that_is_not_acknowledged() {
        let mut updates = begun();
        tell(&mut updates, 0, State::Starting, "a");
        sent(&mut updates, 0);
        tell(&mut updates, 1, State::Running, "b");
        let (tasks, unacknowledged) = updates.subscribe(Timestamp(2 * SECOND));
        assert_eq!(tasks, [b"description".to_vec()]);
        assert_eq!(unacknowledged.iter().map(|update| update.content.message.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        // The second was told to the agent, so its content is settled.
        tell(&mut updates, 3, State::Running, "c");
        assert_eq!(updates.subscribe(Timestamp(3 * SECOND)).1.len(), 3);
        updates.acknowledged(&task(), unacknowledged[0].id);
        let (tasks, unacknowledged) = updates.subscribe(Timestamp(4 * SECOND));
        assert_eq!((tasks.len(), unacknowledged.len()), (0, 2));
    }

    #[test]
    fn nothing_follows_a_terminal_update_and_its_acknowledgement_ends_the_task() {
        let mut updates = begun();
        tell(&mut updates, 0, State::Failed, "a");
        tell(&mut updates, 9, State::Running, "b");
        let (id, _) = sent(&mut updates, 9).unwrap();
        assert!(!updates.acknowledged(&task(), UpdateId([0; 16])));
        assert!(updates.acknowledged(&task(), id) && updates.is_empty());
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = Message::new(format!("a{}", "ä".repeat(MESSAGE_BYTES_MAX)));
        assert_eq!(message.as_str().len(), MESSAGE_BYTES_MAX - 1);
    }
}
