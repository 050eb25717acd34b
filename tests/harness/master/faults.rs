//! What goes wrong between a scheduler and the fake master, counted so that each run is the same.

/// How often something goes wrong: each is "every nth"; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Calls that are lost: they have no effect, and no answer.
    pub lose_call: u64,
    /// Answers that are lost: the call has had its effect.
    pub lose_answer: u64,
    /// Calls that are refused, with 400 and 503 in turn.
    pub refuse: u64,
    /// Offers that are rescinded right after they were made.
    pub rescind: u64,
    /// Calls after which the stream of events is cut.
    pub cut_stream: u64,
    /// Launches after which the agent is gone, and its host back as a new agent.
    pub renew_agent: u64,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has its effect, and is answered.
    Heeded,
    /// It has no effect and no answer.
    Lost(Loss),
    /// It has its effect, and no answer.
    Unanswered(Loss),
    /// It is answered with this status, and has no effect.
    Refused(u16),
}

/// How a connection looks on which an answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is half closed.
    HalfClosed,
    /// Nothing more comes.
    Silence,
}

impl Faults {
    /// Tells what becomes of a call; they are numbered from 1.
    #[must_use]
    pub fn fate(&self, call: u64) -> Fate {
        if hits(self.lose_call, call) {
            return Fate::Lost(loss(call / self.lose_call));
        }
        if hits(self.lose_answer, call) {
            return Fate::Unanswered(loss(call / self.lose_answer));
        }
        if hits(self.refuse, call) {
            return Fate::Refused(if (call / self.refuse).is_multiple_of(2) { 503 } else { 400 });
        }
        Fate::Heeded
    }
}

/// Tells whether this is one of every so many.
pub(super) fn hits(every: u64, number: u64) -> bool {
    every > 0 && number.is_multiple_of(every)
}

fn loss(count: u64) -> Loss {
    if count.is_multiple_of(2) { Loss::Silence } else { Loss::HalfClosed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_turn_and_never_without_a_number() {
        let none = Faults::default();
        assert!((1..100).all(|call| none.fate(call) == Fate::Heeded));
        let some = Faults { lose_call: 3, lose_answer: 4, refuse: 5, ..none };
        let fates: Vec<Fate> = [1, 3, 4, 5, 6, 8, 10].map(|call| some.fate(call)).to_vec();
        let (closed, silent) = (Loss::HalfClosed, Loss::Silence);
        let expected = [
            Fate::Heeded,
            Fate::Lost(closed),
            Fate::Unanswered(closed),
            Fate::Refused(400),
            Fate::Lost(silent),
            Fate::Unanswered(silent),
            Fate::Refused(503),
        ];
        assert_eq!(fates, expected);
    }
}
