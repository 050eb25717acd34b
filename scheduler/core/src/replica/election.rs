//! Who is to lead: candidates queue up, and each watches only the one before it.
//!
//! The election chooses, the journal decides: a replica that wrongly believes that it was chosen is refused there.

use std::collections::VecDeque;

use epic_common::backoff::Backoff;
use epic_common::machine::Machine;
use epic_common::time::Timestamp;

/// Names a question until it is answered; answers to older ones are void.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask(pub u64);

/// What happens to the election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// There is a session, new or the same as before the break.
    Connected,
    /// The coordination service can't be reached; the session may live on.
    Disconnected,
    /// The session has ended, and with it the candidate.
    Expired,
    /// The journal refused us: another replica has written there.
    Deposed,
    /// We have led for long enough: it is another one's turn, if there is one.
    Abdicate,
    /// A question was answered.
    Answered(Ask, Answer),
}

/// What is asked of the coordination service; each question takes the place of the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Make a candidate that ends with the session.
    Create,
    /// List the candidates, and say which is of this session.
    List,
    /// Say `PredecessorGone` once the candidate of this name, which is the one before ours, is gone, also if it is already.
    Watch(String),
    /// Remove our candidate, which has this name, so that another one is first in line.
    Withdraw(String),
}

/// What the coordination service answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A candidate of this name, `candidate-<number>`, has been made.
    Created(String),
    /// A candidate could not be made, or nobody knows whether it was.
    CreateFailed,
    /// These are the candidates.
    Candidates {
        /// The one of this session, if it has one; it may stem from a creation whose answer was lost.
        own: Option<String>,
        /// All of them, in any order.
        names: Vec<String>,
    },
    /// The predecessor that is watched is gone.
    PredecessorGone,
    /// The candidates can't be listed, or the predecessor can't be watched.
    ListFailed,
    /// Our candidate is gone, as we wanted, or nobody knows.
    Withdrawn,
}

/// What the election wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask the coordination service.
    Ask(Ask, Question),
    /// Nobody is before us: become the leader.
    Claim,
    /// Whether we lead can't be known: stop acting at once, and keep everything.
    Pause,
    /// We still lead: go on.
    Resume,
    /// We lead no more: drop everything that only a leader has.
    StandDown,
}

/// The election as one replica takes part in it.
///
/// `Claim` is followed by `Pause` and `Resume` any number of times and then by `StandDown`; none of these three comes
/// without a `Claim` before it. Source: the recipe "Leader Election" of the `ZooKeeper` documentation.
#[derive(Debug)]
pub struct Election {
    retry: Backoff,
    session: Session,
    stage: Stage,
    own: Option<String>,
    ask: Ask,
    failures: u32,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    None,
    Up,
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing can be done without a connection.
    Idle,
    Creating,
    Withdrawing,
    Listing,
    Watching,
    /// Something failed; the next listing comes then.
    Waiting(Timestamp),
    Leading,
}

impl Election {
    /// Begins without a session; `retry` paces what fails.
    #[must_use]
    pub const fn new(retry: Backoff) -> Self {
        Self {
            retry,
            session: Session::None,
            stage: Stage::Idle,
            own: None,
            ask: Ask(0),
            failures: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Returns the name of our candidate, if it is known.
    #[must_use]
    pub fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    /// Tells whether we were chosen and have not stood down, also while paused.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        self.stage == Stage::Leading
    }

    fn question(&mut self, question: Question) {
        let ask = self.next_ask();
        self.outputs.push_back(Output::Ask(ask, question));
    }

    /// Makes every open question void.
    const fn next_ask(&mut self) -> Ask {
        self.ask = Ask(self.ask.0 + 1);
        self.ask
    }

    fn create(&mut self) {
        self.own = None;
        self.stage = Stage::Creating;
        self.question(Question::Create);
    }

    fn list(&mut self) {
        self.stage = Stage::Listing;
        self.question(Question::List);
    }

    /// Lists again after a while: a creation whose answer was lost may have made a candidate all the same.
    fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.next_ask();
        self.stage = Stage::Waiting(now + self.retry.jittered(self.failures, now.0));
    }

    fn connected(&mut self) {
        let before = std::mem::replace(&mut self.session, Session::Up);
        match (before, self.stage) {
            (Session::Up, _) => {}
            (Session::None, _) => self.create(),
            (Session::Broken, Stage::Leading) => self.outputs.push_back(Output::Resume),
            // What was asked before the break may have been done, and what was watched may be gone.
            (Session::Broken, _) => self.list(),
        }
    }

    fn disconnected(&mut self) {
        if self.session != Session::Up {
            return;
        }
        self.session = Session::Broken;
        if self.is_chosen() {
            self.outputs.push_back(Output::Pause);
        } else {
            self.next_ask();
            self.stage = Stage::Idle;
        }
    }

    fn expired(&mut self) {
        if self.is_chosen() {
            self.outputs.push_back(Output::StandDown);
        }
        self.next_ask();
        (self.session, self.stage, self.own) = (Session::None, Stage::Idle, None);
    }

    fn deposed(&mut self, now: Timestamp) {
        if !self.is_chosen() {
            return;
        }
        self.outputs.push_back(Output::StandDown);
        match self.session {
            Session::Up => self.failed(now),
            Session::None | Session::Broken => self.stage = Stage::Idle,
        }
    }

    fn abdicate(&mut self) {
        let Some(own) = self.own.clone().filter(|_| self.is_chosen() && self.session == Session::Up) else { return };
        self.outputs.push_back(Output::StandDown);
        self.stage = Stage::Withdrawing;
        self.question(Question::Withdraw(own));
    }

    fn answered(&mut self, now: Timestamp, answer: Answer) {
        match (self.stage, answer) {
            // Whether it is gone or not, the list tells.
            (Stage::Withdrawing, Answer::Withdrawn) => {
                self.own = None;
                self.list();
            }
            (Stage::Creating, Answer::Created(name)) => {
                self.own = Some(name);
                self.list();
            }
            (Stage::Listing, Answer::Candidates { own, names }) => self.candidates(now, own, names),
            (Stage::Watching, Answer::PredecessorGone) => self.list(),
            (Stage::Creating, Answer::CreateFailed) | (Stage::Listing | Stage::Watching, Answer::ListFailed) => {
                self.failed(now);
            }
            // It is no answer to what was asked.
            (
                Stage::Idle
                | Stage::Creating
                | Stage::Withdrawing
                | Stage::Listing
                | Stage::Watching
                | Stage::Waiting(_)
                | Stage::Leading,
                Answer::Created(_)
                | Answer::CreateFailed
                | Answer::Candidates { .. }
                | Answer::PredecessorGone
                | Answer::ListFailed
                | Answer::Withdrawn,
            ) => {}
        }
    }

    fn candidates(&mut self, now: Timestamp, own: Option<String>, names: Vec<String>) {
        let Some(at) = own.as_deref().and_then(number) else {
            // Somebody has removed the candidate that we had: not again at once.
            return if self.own.take().is_some() { self.failed(now) } else { self.create() };
        };
        self.own = own;
        self.failures = 0;
        let lower = names.into_iter().filter_map(|name| number(&name).map(|other| (other, name)));
        match lower.filter(|(other, _)| *other < at).max() {
            None => {
                self.next_ask();
                self.stage = Stage::Leading;
                self.outputs.push_back(Output::Claim);
            }
            Some((_, predecessor)) => {
                self.stage = Stage::Watching;
                self.question(Question::Watch(predecessor));
            }
        }
    }
}

impl Machine for Election {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Connected => self.connected(),
            Input::Disconnected => self.disconnected(),
            Input::Expired => self.expired(),
            Input::Deposed => self.deposed(now),
            Input::Abdicate => self.abdicate(),
            Input::Answered(ask, answer) if ask == self.ask => self.answered(now, answer),
            // What was asked before is void.
            Input::Answered(..) => {}
        }
    }

    fn poll(&mut self, now: Timestamp) -> Option<Output> {
        if matches!(self.stage, Stage::Waiting(until) if until <= now) {
            self.list();
        }
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Waiting(until) => Some(until),
            Stage::Idle | Stage::Creating | Stage::Withdrawing | Stage::Listing | Stage::Watching | Stage::Leading => {
                None
            }
        }
    }
}

/// Reads the number that `ZooKeeper` gave a candidate; names of another shape are nobody's.
fn number(name: &str) -> Option<u64> {
    name.strip_prefix("candidate-")?.parse().ok()
}
