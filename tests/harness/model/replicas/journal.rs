//! The journal that replicas share: a ring that holds so many batches, with a snapshot of what came before.

use epic_scheduler_core::replica::election::Ask;
use epic_scheduler_core::replica::{
    Answer, Appended, Batch, Input as Heard, Known, Question, Record, Recovered, Standing, Summary, Written,
};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Index};

use super::{Replicas, SESSION_TIMEOUT};

/// Which journal it is.
pub(super) const JOURNAL: &str = "the-journal";
/// As many batches as the ring holds: few, so that whoever sleeps is lapped.
const SLOTS: usize = 24;

/// What is durable, batch after batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    batches: Vec<Line>,
    /// The last batch of the newest snapshot.
    snapshot: usize,
}

#[derive(Clone, Debug)]
struct Line {
    first: Index,
    entries: Vec<Entry>,
    /// The state after it.
    state: State,
}

/// A batch on its way to the journal.
#[derive(Clone, Debug)]
pub(super) struct Appending {
    pub(super) ask: Ask,
    pub(super) batch: Batch,
    /// Whether it was written, and nobody knows yet.
    pub(super) landed: bool,
}

impl Journal {
    pub(super) const fn len(&self) -> usize {
        self.batches.len()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.batches.iter().flat_map(|batch| &batch.entries)
    }

    /// Returns the state after so many batches.
    pub(super) fn state(&self, batches: usize) -> State {
        batches.checked_sub(1).map(|last| self.batches[last].state.clone()).unwrap_or_default()
    }

    pub(super) fn add(&mut self, first: Index, entries: Vec<Entry>, state: State) {
        self.batches.push(Line { first, entries, state });
    }

    /// Returns what a disk has that holds so many batches.
    pub(super) fn copy(&self, batches: usize) -> (Known, State) {
        let state = self.state(batches);
        if batches == 0 {
            return (Known::default(), state);
        }
        let known = Known {
            journal: Some(JOURNAL.to_owned()),
            batch: u64::try_from(batches).expect("few batches"),
            last_crc32: Some(crc32(batches)),
            floor: None,
            summary: Summary::of(&state),
        };
        (known, state)
    }

    /// Answers a question that needs nothing but the journal and can be answered.
    fn answer(&self, question: &Question) -> Option<Answer> {
        let number = |batch: u64| usize::try_from(batch).expect("few batches");
        Some(match question {
            Question::Compare(at, last_crc32) => {
                assert_eq!((at.journal.as_str(), *last_crc32), (JOURNAL, Some(crc32(number(at.batch)))));
                Answer::Compared(if self.is_lapped(number(at.batch)) { Standing::Lapped } else { Standing::Whole })
            }
            Question::Recover => {
                let state = self.state(self.len());
                let batch = u64::try_from(self.len()).expect("few batches");
                Answer::Recovered(Box::new(Recovered { batch, last_crc32: Some(crc32(self.len())), state }))
            }
            Question::End(batch) if number(*batch) == self.len() => Answer::AtEnd,
            Question::End(_) => Answer::NotAtEnd,
            Question::Read(after) if self.is_lapped(number(*after) + 1) => Answer::Lapped,
            Question::Read(after) => {
                let batch = self.batches.get(number(*after))?;
                let written = Written { crc32: crc32(number(*after) + 1), ..Written::default() };
                Answer::Next(Record { first: batch.first, entries: batch.entries.clone(), written })
            }
            Question::Probe => Answer::Writable,
            Question::Open | Question::Time(_) => return None,
        })
    }

    /// Tells whether another batch was written in the place of this one.
    const fn is_lapped(&self, batch: usize) -> bool {
        batch + SLOTS <= self.len()
    }

    /// Tells whether a batch would overwrite what no snapshot holds.
    fn must_snapshot(&self, batch: &Batch) -> bool {
        usize::try_from(batch.number).expect("few batches").saturating_sub(SLOTS) > self.snapshot
    }
}

impl Replicas {
    /// Tells whether the journal would answer what a replica has asked.
    pub(super) fn answers(&self, who: usize) -> bool {
        let replica = &self.all[who];
        match replica.question {
            None => false,
            Some((_, Question::Open)) => true,
            // Whoever was lapped hears so at once, and others wait for what comes next.
            Some((_, Question::Read(after))) => {
                self.reaches(who) && after < u64::try_from(self.journal.len()).expect("few batches")
            }
            Some(_) => self.reaches(who),
        }
    }

    /// Lets a replica hear what it has asked of the journal.
    pub(super) fn ask_journal(&mut self, who: usize) {
        let (ask, question) = self.all[who].question.take().expect("something was asked");
        let answer = match question {
            Question::Open if self.all[who].is_connected => {
                self.all[who].session = Some((self.zookeeper.open(self.now), ask));
                Answer::Opened { journal: JOURNAL.to_owned(), timeout: SESSION_TIMEOUT }
            }
            Question::Open => Answer::Failed("no server answers".to_owned()),
            Question::Time(candidate) if self.zookeeper.list().contains(&candidate) => Answer::Time(self.now),
            Question::Time(_) => Answer::CandidateGone,
            Question::Compare(..) | Question::Recover | Question::End(_) | Question::Read(_) | Question::Probe => {
                self.journal.answer(&question).expect("there is an answer")
            }
        };
        self.touch(who);
        // Calls of one session are carried out in order, so what was on its way has arrived or never will.
        self.all[who].stray = None;
        self.hear(who, Heard::Journal(ask, answer));
    }

    /// Writes the batch that a replica appends, if it is next.
    pub(super) fn commit(&mut self, who: usize) {
        let Some(Appending { ask, batch, landed }) = self.all[who].appending.take() else { return };
        let next = u64::try_from(self.journal.len() + 1).expect("few batches");
        let appended = if !self.reaches(who) {
            Appended::Unknown("the session is over".to_owned())
        } else if !landed && batch.number != next {
            Appended::Refused
        } else if !landed && self.journal.must_snapshot(&batch) {
            Appended::SnapshotNeeded(batch)
        } else {
            let written = Written { crc32: u32::try_from(batch.number).expect("few batches"), ..Written::default() };
            if !landed {
                self.append(batch.epoch, &batch.entries);
            }
            Appended::Durable { written, snapshot_due: self.journal.len() >= self.journal.snapshot + SLOTS / 2 }
        };
        self.touch(who);
        let is_lost = matches!(appended, Appended::Refused | Appended::Unknown(_));
        if is_lost && self.all[who].director.is_leading() {
            self.deposed.push(who);
        }
        self.hear(who, Heard::Appended(ask, appended));
    }

    /// Writes the batch that a replica appends, or has given up, without telling it so yet; tells whether there was one that
    /// could land.
    ///
    /// # Panics
    ///
    /// If an invariant breaks.
    pub fn land(&mut self, who: usize) -> bool {
        let next = u64::try_from(self.journal.len() + 1).expect("few batches");
        let session = self.all[who].session.filter(|(session, _)| self.zookeeper.lives(*session));
        let journal = &self.journal;
        let lands = |appending: &Appending| {
            let Appending { batch, landed, .. } = appending;
            session.is_some() && !landed && batch.number == next && !journal.must_snapshot(batch)
        };
        let stray = self.all[who].stray.take_if(|stray| lands(stray)).map(|stray| stray.batch);
        let own = self.all[who].appending.as_mut().filter(|own| lands(own)).map(|own| {
            own.landed = true;
            own.batch.clone()
        });
        let Some(batch) = stray.or(own) else { return false };
        self.append(batch.epoch, &batch.entries);
        true
    }

    /// Writes a snapshot that a replica has made.
    pub(super) fn write_snapshot(&mut self, who: usize) {
        let (ask, batch, state) = self.all[who].snapshot.take().expect("there is a snapshot");
        assert_eq!(state, self.journal.state(batch), "it is not the sum of all batches");
        self.journal.snapshot = self.journal.snapshot.max(batch);
        self.touch(who);
        self.hear(who, Heard::Snapshotted(ask, Ok(())));
    }
}

fn crc32(batch: usize) -> u32 {
    u32::try_from(batch).expect("few batches")
}
