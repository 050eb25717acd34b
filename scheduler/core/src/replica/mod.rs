//! The machine of one replica among several: it follows the journal, stands for election, claims, and appends while it leads.

pub mod artifact_search;
pub mod election;
mod follow;
mod known;
mod lead;
mod peers;
mod shown;
mod standing;
mod traffic;

use std::collections::VecDeque;
use std::time::Duration;

use epic_common::backoff::Backoff;
use epic_common::machine::Machine;
use epic_common::time::Timestamp;

use crate::director;
use election::{Ask, Election};
pub use known::{Known, Summary};
pub use peers::{Peer, elder, sources};
pub use standing::{At, Standing};
pub use traffic::{
    Answer, Appended, Batch, Connection, Copied, Input, Output, Question, Record, Recovered, Role, Shown, Written,
};

use lead::Appending;

/// How a replica takes part.
#[derive(Clone, Debug)]
pub struct Terms {
    /// A UUID of this process.
    pub id: String,
    /// Where the others reach this replica.
    pub advertise: String,
    /// The role whose reservations the framework is to use.
    pub role: String,
    /// Where the journal is, for people.
    pub place: String,
    /// For how long it leads before it lets another one; `None` for as long as it can.
    pub leading_time_max: Option<Duration>,
}

/// One replica's decisions as a machine.
///
/// What it says to the director is never held back; all else waits until the director has handled that. So others see a
/// leader that leads, a candidate is withdrawn and a session is closed only once the director has stood down, and a
/// snapshot is of the state that the director has.
#[derive(Debug)]
pub struct Replica {
    terms: Terms,
    known: Known,
    election: Election,
    phase: Phase,
    session: Option<Session>,
    /// Sessions in a row that came to nothing.
    failures: u32,
    /// The number of the last question; answers to all but the open ones are void.
    ask: Ask,
    /// The journal's question that is to be asked.
    next: Option<Question>,
    /// The journal's question that is open.
    open: Option<Ask>,
    candidates: Option<(Ask, election::Question)>,
    /// When the claim was begun.
    claimed: Timestamp,
    /// When it was heard how late it is where the journal is kept.
    timed: Timestamp,
    appending: Option<Appending>,
    snapshot: Snapshot,
    /// Whether the copy on disk is to get the whole state.
    copy_wanted: bool,
    inquiry: Inquiry,
    peers: Vec<Peer>,
    /// Whoever led in this epoch, or before it, leads no more unless it still takes part.
    asked_in: u64,
    /// Until when a batch that is on its way is waited for.
    stopping: Option<Timestamp>,
    told: VecDeque<Output>,
    /// Inputs that the director has not handled yet.
    unheard: usize,
    problem: String,
    warned: String,
    shown: Option<Shown>,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is no session; another one is tried then.
    Waiting(Timestamp),
    /// A session is being opened.
    Opening,
    /// It reads the journal to its end before it takes part.
    Joining,
    /// It follows.
    Standby,
    /// It was chosen: it reads the journal to its end and claims.
    Claiming,
    /// Its claim stands; who takes part is not known yet.
    Claimed,
    /// It leads, since then by its own clock.
    Leading(Timestamp),
    /// The session is being closed.
    Closing,
    /// Nothing is left to do but to say that it takes part no more.
    Ending,
    /// It takes part no more.
    Ended,
}

/// The session with the coordination service.
#[derive(Debug)]
struct Session {
    number: Ask,
    journal: String,
    timeout: Duration,
    connection: Connection,
}

/// Whether there is to be a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Snapshot {
    None,
    Due,
    Open(Ask),
}

/// Whether who takes part is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inquiry {
    None,
    /// It is asked again then.
    At(Timestamp),
    Due,
    Open {
        ask: Ask,
        /// The epoch when it was asked.
        epoch: u64,
    },
}

impl Replica {
    /// Begins without a session, with what is known of the journal; `problem` is shown until the first one is open.
    #[must_use]
    pub fn new(terms: Terms, known: Known, problem: String) -> Self {
        Self {
            terms,
            known,
            election: Election::new(RETRY),
            phase: Phase::Waiting(Timestamp(0)),
            session: None,
            failures: 0,
            ask: Ask(0),
            next: None,
            open: None,
            candidates: None,
            claimed: Timestamp(0),
            timed: Timestamp(0),
            appending: None,
            snapshot: Snapshot::None,
            copy_wanted: false,
            inquiry: Inquiry::None,
            peers: Vec::new(),
            asked_in: 0,
            stopping: None,
            told: VecDeque::new(),
            unheard: 0,
            problem,
            warned: String::new(),
            shown: None,
        }
    }

    /// Returns what it knows of the journal.
    #[must_use]
    pub const fn known(&self) -> &Known {
        &self.known
    }

    const fn next_ask(&mut self) -> Ask {
        self.ask = Ask(self.ask.0 + 1);
        self.ask
    }

    fn direct(&mut self, input: director::Input) {
        self.told.push_back(Output::Direct(input));
    }

    /// Tells whether it takes part: it has read the journal to its end in this session.
    const fn takes_part(&self) -> bool {
        match self.phase {
            Phase::Standby | Phase::Claiming | Phase::Claimed | Phase::Leading(_) => true,
            Phase::Waiting(_) | Phase::Opening | Phase::Joining | Phase::Closing | Phase::Ending | Phase::Ended => {
                false
            }
        }
    }

    fn is_up(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.connection == Connection::Up)
    }

    fn connection_changed(&mut self, now: Timestamp, number: Ask, connection: Connection) {
        let Some(session) = self.session.as_mut().filter(|session| session.number == number) else { return };
        session.connection = connection;
        match connection {
            Connection::Up if self.takes_part() => self.elect(now, election::Input::Connected),
            Connection::Broken if self.takes_part() => self.elect(now, election::Input::Disconnected),
            Connection::Over if self.takes_part() || self.phase == Phase::Joining => {
                self.lose(now, "the session with ZooKeeper has ended".to_owned());
            }
            Connection::Up | Connection::Broken | Connection::Over => {}
        }
    }

    /// Hands something to the election and carries out what it wants.
    fn elect(&mut self, now: Timestamp, input: election::Input) {
        self.election.handle(now, input);
        self.obey(now, "it is another replica's turn to lead");
    }

    /// Carries out what the election wants; if it wants this replica to stand down, for this reason.
    fn obey(&mut self, now: Timestamp, why: &str) {
        while let Some(output) = self.election.poll(now) {
            match output {
                election::Output::Ask(ask, question) => self.candidates = Some((ask, question)),
                election::Output::Claim => {
                    self.phase = Phase::Claiming;
                    self.inquire_of_journal(Question::End(self.known.batch));
                }
                election::Output::Pause => self.direct(director::Input::Paused),
                election::Output::Resume => self.direct(director::Input::Resumed),
                election::Output::StandDown => self.stand_down(why),
            }
        }
    }

    /// Ends the session: nothing but another one helps.
    fn lose(&mut self, now: Timestamp, why: String) {
        self.leave(now, &why);
        self.failures = self.failures.saturating_add(1);
        if self.warned != why {
            self.warned.clone_from(&why);
            self.told.push_back(Output::Warn(why.clone()));
        }
        self.problem = why;
        self.phase = if self.session.is_some() { Phase::Closing } else { self.waiting(now) };
    }

    /// Gives up all that belongs to the session.
    fn leave(&mut self, now: Timestamp, why: &str) {
        self.election.handle(now, election::Input::Expired);
        self.obey(now, why);
        (self.next, self.open, self.candidates) = (None, None, None);
        (self.snapshot, self.inquiry) = (Snapshot::None, Inquiry::None);
    }

    fn waiting(&self, now: Timestamp) -> Phase {
        Phase::Waiting(now + RETRY.jittered(self.failures, now.0))
    }

    fn closed(&mut self, now: Timestamp) {
        if self.phase == Phase::Closing && self.session.is_none() {
            self.phase = if self.stopping.is_some() { Phase::Ending } else { self.waiting(now) };
        }
    }

    /// Ends in good order: a batch that is on its way may become durable first.
    fn stop(&mut self, now: Timestamp) {
        let is_due = self.stopping.is_some_and(|until| until <= now || self.appending.is_none());
        if !is_due || matches!(self.phase, Phase::Closing | Phase::Ending | Phase::Ended) {
            return;
        }
        let why = "this replica ends";
        self.leave(now, why);
        why.clone_into(&mut self.problem);
        self.phase = if self.session.is_some() { Phase::Closing } else { Phase::Ending };
    }

    /// Begins what time has made due.
    fn wake(&mut self, now: Timestamp) {
        self.obey(now, "it is another replica's turn to lead");
        self.stop(now);
        if matches!(self.phase, Phase::Waiting(until) if until <= now) {
            self.phase = Phase::Opening;
            self.inquire_of_journal(Question::Open);
        }
        if matches!(self.inquiry, Inquiry::At(at) if at <= now) {
            self.inquiry = Inquiry::Due;
        }
        if self.abdicates_at().is_some_and(|at| at <= now) {
            self.election.handle(now, election::Input::Abdicate);
            self.obey(now, "this replica has led for --max-leading-time");
        }
    }

    /// Says the next thing that has to wait until the director has handled everything.
    fn poll_held(&mut self, now: Timestamp) -> Option<Output> {
        if self.phase == Phase::Closing && self.session.take().is_some() {
            return Some(Output::Close);
        }
        if let Some((ask, question)) = self.candidates.take() {
            return Some(Output::Candidates(ask, question));
        }
        if let Some(output) = self.poll_batch().or_else(|| self.poll_state()) {
            return Some(output);
        }
        if let Some(question) = self.next.take() {
            if matches!(question, Question::Time(_)) {
                self.claimed = now;
            }
            let ask = self.next_ask();
            self.open = Some(ask);
            return Some(Output::Journal(ask, question));
        }
        if self.inquiry == Inquiry::Due {
            let (ask, epoch) = (self.next_ask(), self.known.summary.epoch());
            self.inquiry = Inquiry::Open { ask, epoch };
            return Some(Output::Peers(ask));
        }
        let shown = self.poll_shown();
        if shown.is_none() && self.phase == Phase::Ending {
            self.phase = Phase::Ended;
            return Some(Output::End);
        }
        shown
    }
}

impl Machine for Replica {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Session(number, connection) => self.connection_changed(now, number, connection),
            Input::Journal(ask, answer) => {
                if self.open.take_if(|open| *open == ask).is_some() {
                    self.journal_answered(now, ask, answer);
                }
            }
            Input::Candidates(ask, answer) => self.elect(now, election::Input::Answered(ask, answer)),
            Input::Peers(ask, peers) => self.heard_of(now, ask, peers),
            Input::Proposed(first, entries) => self.proposed(first, entries),
            Input::Appended(ask, appended) => self.appended(now, ask, appended),
            Input::Snapshotted(ask, outcome) => self.snapshotted(now, ask, outcome),
            Input::Directed => self.unheard = self.unheard.saturating_sub(1),
            Input::CopyWanted => self.copy_wanted = true,
            Input::Closed => self.closed(now),
            Input::Stop => self.stopping = Some(now + STOP_WITHIN),
        }
    }

    fn poll(&mut self, now: Timestamp) -> Option<Output> {
        self.wake(now);
        if let Some(output) = self.told.pop_front() {
            self.unheard += usize::from(matches!(output, Output::Direct(_)));
            return Some(output);
        }
        if self.unheard > 0 { None } else { self.poll_held(now) }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let again = match self.phase {
            Phase::Waiting(until) => Some(until),
            Phase::Opening
            | Phase::Joining
            | Phase::Standby
            | Phase::Claiming
            | Phase::Claimed
            | Phase::Leading(_)
            | Phase::Closing
            | Phase::Ending
            | Phase::Ended => None,
        };
        let inquiry = match self.inquiry {
            Inquiry::At(at) => Some(at),
            Inquiry::None | Inquiry::Due | Inquiry::Open { .. } => None,
        };
        let stop = self.stopping.filter(|_| self.appending.is_some());
        let dues = [self.election.deadline(), self.abdicates_at(), again, inquiry, stop];
        dues.into_iter().flatten().min()
    }
}

const RETRY: Backoff = Backoff { first: Duration::from_millis(250), most: Duration::from_secs(5) };
const STOP_WITHIN: Duration = Duration::from_secs(2);
const PEERS_EVERY: Duration = Duration::from_secs(5);
