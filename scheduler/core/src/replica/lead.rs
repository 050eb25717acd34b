//! How a replica leads: its claim, its batches, its snapshots, and the end of it.

use epic_common::machine::Machine as _;
use epic_common::time::Timestamp;

use super::election::{self, Ask};
use super::known::Summary;
use super::traffic::{Appended, Batch, Output, Question, Written};
use super::{Inquiry, Phase, Replica, Snapshot};
use crate::director;
use crate::state::entry::{Entry, Fact, Index};

/// A batch on its way to the journal.
#[derive(Debug)]
pub(super) struct Appending {
    stage: Stage,
    first: Index,
    /// The state after it.
    summary: Summary,
    /// The claim's entry; `None` for a batch that the director has proposed.
    claim: Option<Entry>,
}

#[derive(Debug)]
enum Stage {
    /// It is to be appended.
    Due(Batch),
    /// It is being appended.
    Open(Ask),
    /// A snapshot must stand before.
    Held(Batch),
}

impl Replica {
    /// Claims the lead at the journal's end; it is for the journal to say whether the claim stands.
    ///
    /// `time` is the time where the journal is kept.
    pub(super) fn claim(&mut self, time: Timestamp) {
        let summary = &self.known.summary;
        let (replica, advertise) = (self.terms.id.clone(), self.terms.advertise.clone());
        let fact = Fact::LeaderClaimed { epoch: summary.epoch() + 1, replica, advertise };
        let entry = Entry::new(time.max(summary.at), fact);
        self.append(summary.epoch() + 1, vec![entry.clone()], Some(entry));
    }

    /// Appends what the director proposes, unless it did so in an earlier time of leading: that is void.
    pub(super) fn proposed(&mut self, first: Index, entries: Vec<Entry>) {
        let leads = matches!(self.phase, Phase::Leading(_)) && first == self.known.summary.index.next();
        if leads && self.appending.is_none() {
            self.append(self.known.summary.epoch(), entries, None);
        }
    }

    fn append(&mut self, epoch: u64, entries: Vec<Entry>, claim: Option<Entry>) {
        let (number, first) = (self.known.batch + 1, self.known.summary.index.next());
        let summary = self.known.summary.after(&entries);
        let stage = Stage::Due(Batch { number, epoch, first, entries });
        self.appending = Some(Appending { stage, first, summary, claim });
    }

    /// Says which batch is to be appended now.
    pub(super) fn poll_batch(&mut self) -> Option<Output> {
        let ask = Ask(self.ask.0 + 1);
        let appending = self.appending.as_mut()?;
        match std::mem::replace(&mut appending.stage, Stage::Open(ask)) {
            Stage::Due(batch) => {
                self.ask = ask;
                let is_claim = appending.claim.is_some();
                Some(if is_claim { Output::Claim(ask, batch) } else { Output::Append(ask, batch) })
            }
            stage @ (Stage::Open(_) | Stage::Held(_)) => {
                appending.stage = stage;
                None
            }
        }
    }

    /// Says what is to be made of the director's state, which is what this replica knows as long as nothing is unheard.
    pub(super) fn poll_state(&mut self) -> Option<Output> {
        let (batch, index) = (self.known.batch, self.known.summary.index);
        if self.snapshot == Snapshot::Due {
            let ask = self.next_ask();
            self.snapshot = Snapshot::Open(ask);
            return Some(Output::Snapshot(ask, batch, index));
        }
        let at = self.known.at().filter(|_| self.copy_wanted)?;
        self.copy_wanted = false;
        Some(Output::CopyWhole(at, index))
    }

    pub(super) fn appended(&mut self, now: Timestamp, ask: Ask, appended: Appended) {
        let is_open = |appending: &mut Appending| matches!(appending.stage, Stage::Open(open) if open == ask);
        let Some(mut appending) = self.appending.take_if(is_open) else { return };
        let is_claim = appending.claim.is_some();
        match appended {
            Appended::Durable { written, snapshot_due } => self.durable(appending, written, snapshot_due),
            Appended::Refused => self.depose(now, "another replica has written to the journal"),
            Appended::SnapshotNeeded(batch) => {
                appending.stage = Stage::Held(batch);
                self.appending = Some(appending);
                if self.snapshot == Snapshot::None {
                    self.snapshot = Snapshot::Due;
                }
            }
            // Whether the claim stands is read from the journal.
            Appended::Unknown(why) if is_claim => self.lose(now, why),
            Appended::Unknown(why) => self.depose(now, &why),
        }
    }

    /// Applies a batch that stands.
    fn durable(&mut self, appending: Appending, written: Written, snapshot_due: bool) {
        let Appending { first, summary, claim, .. } = appending;
        self.take(summary, written);
        let Some(entry) = claim else {
            // Told from here, so that nothing that comes later in the journal can be heard of before.
            self.direct(director::Input::Committed(first));
            if snapshot_due && self.snapshot == Snapshot::None {
                self.snapshot = Snapshot::Due;
            }
            return;
        };
        self.direct(director::Input::Followed(first, vec![entry]));
        self.direct(director::Input::Time { journal: self.known.summary.at, clock: self.timed });
        self.phase = Phase::Claimed;
        self.inquiry = Inquiry::Due;
    }

    /// Decides from now on, all that the director has to know before having been said.
    pub(super) fn lead(&mut self) {
        if let Some(session) = &self.session {
            let agreed = session.timeout / 3;
            self.direct(director::Input::Fresh(agreed));
        }
        self.direct(director::Input::Lead { claimed: Some(self.claimed) });
        self.phase = Phase::Leading(self.claimed);
    }

    pub(super) fn snapshotted(&mut self, now: Timestamp, ask: Ask, outcome: Result<(), String>) {
        if self.snapshot != Snapshot::Open(ask) {
            return;
        }
        self.snapshot = Snapshot::None;
        let Some(mut appending) = self.appending.take() else { return };
        let (stage, failure) = match (appending.stage, outcome.err()) {
            (Stage::Held(batch), None) => (Stage::Due(batch), None),
            (stage @ Stage::Held(_), failure) => (stage, failure),
            // What is on its way doesn't wait for it.
            (stage @ (Stage::Due(_) | Stage::Open(_)), _) => (stage, None),
        };
        appending.stage = stage;
        let is_claim = appending.claim.is_some();
        self.appending = Some(appending);
        match failure {
            None => {}
            Some(why) if is_claim => self.lose(now, why),
            Some(why) => self.depose(now, &why),
        }
    }

    /// Doesn't lead, whatever the election says: gets in line again.
    pub(super) fn depose(&mut self, now: Timestamp, why: &str) {
        self.election.handle(now, election::Input::Deposed);
        self.obey(now, why);
    }

    /// Decides nothing from now on. A batch on its way may come to stand all the same: it is read as everybody reads it.
    pub(super) fn stand_down(&mut self, why: &str) {
        if self.appending.take().is_some_and(|appending| matches!(appending.stage, Stage::Open(_))) {
            self.told.push_back(Output::StopAppending);
        }
        self.direct(director::Input::StandDown(why.to_owned()));
        self.phase = Phase::Standby;
        self.problem.clear();
        self.inquire_of_journal(Question::Read(self.known.batch));
    }

    /// Says when this replica has led for long enough, if it could make room then.
    pub(super) fn abdicates_at(&self) -> Option<Timestamp> {
        let Phase::Leading(since) = self.phase else { return None };
        let can = self.appending.is_none() && self.is_up();
        self.terms.leading_time_max.filter(|_| can).map(|most| since + most)
    }
}
