//! The election: each answer leads to the next question, and in any order of events nobody claims before a lower one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use epic_common::backoff::{Backoff, scramble};
use epic_common::machine::Machine;
use epic_common::time::Timestamp;
use epic_scheduler_core::replica::election::{Answer, Ask, Election, Input, Output, Question};

const RETRY: Backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(2) };

fn name(number: u64) -> String {
    format!("candidate-{number:010}")
}

const fn answered(ask: u64, answer: Answer) -> Input {
    Input::Answered(Ask(ask), answer)
}

const fn asks(ask: u64, question: Question) -> Output {
    Output::Ask(Ask(ask), question)
}

fn created(ask: u64, number: u64) -> Input {
    answered(ask, Answer::Created(name(number)))
}

fn candidates(ask: u64, own: Option<u64>, all: &[u64]) -> Input {
    let names = all.iter().copied().map(name).collect();
    answered(ask, Answer::Candidates { own: own.map(name), names })
}

fn watch(ask: u64, predecessor: u64) -> Output {
    asks(ask, Question::Watch(name(predecessor)))
}

/// Gives each input in turn, a second apart and polled until quiet, and compares what comes out of each.
fn check(steps: Vec<(Input, Vec<Output>)>) -> Election {
    let mut election = Election::new(RETRY);
    for (nth, (input, expected)) in steps.into_iter().enumerate() {
        let now = Timestamp(1_000_000 * u64::try_from(nth).unwrap());
        let shown = format!("step {nth}, {input:?}");
        election.handle(now, input);
        let found: Vec<_> = std::iter::from_fn(|| election.poll(now)).collect();
        assert_eq!(found, expected, "{shown}");
    }
    election
}

/// The steps to a lead as number 7.
fn chosen() -> Vec<(Input, Vec<Output>)> {
    vec![
        (Input::Connected, vec![asks(1, Question::Create)]),
        (created(1, 7), vec![asks(2, Question::List)]),
        (candidates(2, Some(7), &[9, 7]), vec![Output::Claim]),
    ]
}

fn then(mut steps: Vec<(Input, Vec<Output>)>, more: Vec<(Input, Vec<Output>)>) -> Election {
    steps.extend(more);
    check(steps)
}

#[test]
fn the_first_candidate_claims() {
    let election = check(chosen());
    assert!(election.is_chosen());
    assert_eq!(election.own(), Some(name(7).as_str()));
}

#[test]
fn whoever_is_not_first_watches_only_its_predecessor() {
    let election = check(vec![
        (Input::Connected, vec![asks(1, Question::Create)]),
        (created(1, 12), vec![asks(2, Question::List)]),
        (candidates(2, Some(12), &[13, 9, 12, 2]), vec![watch(3, 9)]),
        (answered(3, Answer::PredecessorGone), vec![asks(4, Question::List)]),
        (candidates(4, Some(12), &[2, 13, 12]), vec![watch(5, 2)]),
        (answered(3, Answer::PredecessorGone), vec![]),
        (answered(5, Answer::PredecessorGone), vec![asks(6, Question::List)]),
        (candidates(6, Some(12), &[13, 12]), vec![Output::Claim]),
    ]);
    assert!(election.is_chosen());
}

#[test]
fn candidates_are_ordered_by_number_and_not_by_letters() {
    let names = ["candidate-10000000000", "candidate-9999999999", "candidate-x", "other-1", "candidate-"];
    let all = names.iter().map(|name| (*name).to_owned()).collect();
    let listed = answered(2, Answer::Candidates { own: Some(names[0].to_owned()), names: all });
    check(vec![
        (Input::Connected, vec![asks(1, Question::Create)]),
        (created(1, 10_000_000_000), vec![asks(2, Question::List)]),
        (listed, vec![watch(3, 9_999_999_999)]),
    ]);
}

#[test]
fn a_break_pauses_a_leader_and_the_same_session_goes_on() {
    let election = then(
        chosen(),
        vec![
            (Input::Disconnected, vec![Output::Pause]),
            (Input::Disconnected, vec![]),
            (Input::Connected, vec![Output::Resume]),
            (Input::Connected, vec![]),
        ],
    );
    assert!(election.is_chosen());
}

#[test]
fn an_expired_leader_stands_down_and_queues_up_anew() {
    let election = then(
        chosen(),
        vec![
            (Input::Disconnected, vec![Output::Pause]),
            (Input::Expired, vec![Output::StandDown]),
            (Input::Expired, vec![]),
            (candidates(2, Some(7), &[7]), vec![]),
            (Input::Connected, vec![asks(6, Question::Create)]),
            (created(1, 7), vec![]),
            (created(6, 11), vec![asks(7, Question::List)]),
            (candidates(7, Some(11), &[9, 11]), vec![watch(8, 9)]),
        ],
    );
    assert!(!election.is_chosen());
}

#[test]
fn a_standby_looks_again_after_a_break() {
    check(vec![
        (Input::Connected, vec![asks(1, Question::Create)]),
        (created(1, 12), vec![asks(2, Question::List)]),
        (candidates(2, Some(12), &[9, 12]), vec![watch(3, 9)]),
        (Input::Disconnected, vec![]),
        (answered(3, Answer::PredecessorGone), vec![]),
        (Input::Connected, vec![asks(5, Question::List)]),
        (candidates(5, Some(12), &[12]), vec![Output::Claim]),
    ]);
}

#[test]
fn a_creation_whose_answer_was_lost_is_looked_for_before_another_is_made() {
    check(vec![
        (Input::Connected, vec![asks(1, Question::Create)]),
        (answered(1, Answer::CreateFailed), vec![]),
        (Input::Connected, vec![asks(3, Question::List)]),
        (candidates(3, Some(4), &[4]), vec![Output::Claim]),
    ]);
    check(vec![
        (Input::Connected, vec![asks(1, Question::Create)]),
        (answered(1, Answer::CreateFailed), vec![]),
        (Input::Connected, vec![asks(3, Question::List)]),
        (candidates(3, None, &[2]), vec![asks(4, Question::Create)]),
    ]);
}

#[test]
fn a_candidate_that_somebody_removed_is_made_anew_but_not_at_once() {
    check(vec![
        (Input::Connected, vec![asks(1, Question::Create)]),
        (created(1, 4), vec![asks(2, Question::List)]),
        (candidates(2, None, &[]), vec![]),
        (Input::Connected, vec![asks(4, Question::List)]),
        (candidates(4, None, &[]), vec![asks(5, Question::Create)]),
    ]);
}

#[test]
fn a_deposed_leader_stands_down_and_may_be_chosen_again() {
    then(
        chosen(),
        vec![
            (Input::Deposed, vec![Output::StandDown]),
            (Input::Deposed, vec![asks(5, Question::List)]),
            (candidates(5, Some(7), &[7, 9]), vec![Output::Claim]),
        ],
    );
}

#[test]
fn retries_wait_longer_each_time_and_no_more_than_the_longest() {
    let mut election = Election::new(RETRY);
    let mut now = Timestamp(0);
    election.handle(now, Input::Connected);
    assert_eq!(election.poll(now), Some(asks(1, Question::Create)));
    election.handle(now, answered(1, Answer::CreateFailed));
    for failures in 1..12 {
        assert_eq!(election.poll(now), None);
        let due = election.deadline().unwrap();
        let wait = due.since(now);
        assert!(wait > RETRY.delay(failures) / 2 && wait <= RETRY.delay(failures), "{wait:?} after {failures}");
        now = due;
        let Some(Output::Ask(ask, Question::List)) = election.poll(now) else {
            panic!("nothing is tried at the deadline")
        };
        assert_eq!(election.deadline(), None);
        election.handle(now, Input::Answered(ask, Answer::ListFailed));
    }
}

/// Replicas with their elections, and the directory of candidates that they share.
#[derive(Debug, Default)]
struct Field {
    now: Timestamp,
    next: u64,
    /// Who made each candidate, in which of its sessions.
    directory: BTreeMap<u64, (usize, u64)>,
    replicas: Vec<Replica>,
}

#[derive(Debug)]
struct Replica {
    election: Election,
    session: u64,
    connected: bool,
    /// Whether the session has ended and the replica doesn't know yet.
    is_over: bool,
    asked: VecDeque<(Ask, Question)>,
    heard: VecDeque<Input>,
    watched: Vec<(Ask, String)>,
    leads: Option<String>,
}

impl Field {
    fn new(replicas: usize) -> Self {
        let replica = |_| Replica {
            election: Election::new(RETRY),
            session: 0,
            connected: false,
            is_over: false,
            asked: VecDeque::new(),
            heard: VecDeque::new(),
            watched: Vec::new(),
            leads: None,
        };
        Self { replicas: (0..replicas).map(replica).collect(), ..Self::default() }
    }

    fn tell(&mut self, who: usize, input: Input) {
        self.replicas[who].election.handle(self.now, input);
        self.collect(who);
    }

    fn collect(&mut self, who: usize) {
        while let Some(output) = self.replicas[who].election.poll(self.now) {
            let replica = &mut self.replicas[who];
            match output {
                Output::Ask(ask, question) => replica.asked.push_back((ask, question)),
                Output::Claim => self.claimed(who),
                Output::Pause | Output::Resume => assert!(replica.leads.is_some(), "it never led"),
                Output::StandDown => assert!(replica.leads.take().is_some(), "it never led"),
            }
        }
    }

    /// A candidate that is still there may lead only once every lower one is gone; names are never used twice.
    fn claimed(&mut self, who: usize) {
        let replica = &mut self.replicas[who];
        let own = replica.election.own().unwrap().to_owned();
        assert_eq!(replica.leads.replace(own.clone()), None, "it leads already");
        let number: u64 = own.strip_prefix("candidate-").unwrap().parse().unwrap();
        let made = self.directory.get(&number);
        assert!(made.is_none_or(|made| *made == (who, replica.session)), "the name is of an earlier session");
        if made.is_some() {
            let lower = self.directory.range(..number).next();
            assert_eq!(lower, None, "{own} claims and a lower one is there");
        }
    }

    /// Carries out what a replica asked for first; `answered` says whether the answer arrives.
    fn carry_out(&mut self, who: usize, answered: bool) {
        let Some((ask, question)) = self.replicas[who].asked.pop_front() else { return };
        let replica = &self.replicas[who];
        let works = replica.connected && !replica.is_over;
        let mine = (who, replica.session);
        let answer = match question {
            Question::Create => {
                if works {
                    self.next += 1;
                    self.directory.insert(self.next, mine);
                }
                if works && answered { Answer::Created(name(self.next)) } else { Answer::CreateFailed }
            }
            Question::List if works && answered => {
                let own = self.directory.iter().find(|(_, made)| **made == mine).map(|(number, _)| name(*number));
                Answer::Candidates { own, names: self.directory.keys().rev().copied().map(name).collect() }
            }
            Question::Withdraw(own) => {
                if works {
                    self.directory.retain(|number, _| name(*number) != own);
                    self.notice();
                }
                Answer::Withdrawn
            }
            Question::Watch(predecessor) if works && answered => {
                self.replicas[who].watched.push((ask, predecessor));
                return self.notice();
            }
            Question::List | Question::Watch(_) => Answer::ListFailed,
        };
        self.replicas[who].heard.push_back(Input::Answered(ask, answer));
    }

    /// Tells each one that watches a candidate which is gone.
    fn notice(&mut self) {
        let there: Vec<_> = self.directory.keys().copied().map(name).collect();
        for replica in self.replicas.iter_mut().filter(|replica| replica.connected) {
            let gone = replica.watched.extract_if(.., |(_, watched)| !there.contains(watched));
            replica.heard.extend(gone.map(|(ask, _)| Input::Answered(ask, Answer::PredecessorGone)));
        }
    }

    fn expire(&mut self, who: usize) {
        let replica = &mut self.replicas[who];
        replica.is_over = true;
        let session = (who, replica.session);
        self.directory.retain(|_, made| *made != session);
        self.notice();
    }

    fn disconnect(&mut self, who: usize) {
        if std::mem::replace(&mut self.replicas[who].connected, false) {
            self.tell(who, Input::Disconnected);
        }
    }

    fn connect(&mut self, who: usize) {
        if std::mem::replace(&mut self.replicas[who].connected, true) {
            return;
        }
        if std::mem::take(&mut self.replicas[who].is_over) {
            self.replicas[who].session += 1;
            self.replicas[who].watched.clear();
            self.tell(who, Input::Expired);
            assert_eq!(self.replicas[who].leads, None, "it leads beyond its session");
        }
        self.tell(who, Input::Connected);
        self.notice();
    }

    /// Lets everything happen without faults.
    fn settle(&mut self) {
        for _ in 0..200 {
            for who in 0..self.replicas.len() {
                if self.replicas[who].is_over {
                    self.disconnect(who);
                }
                self.connect(who);
                self.carry_out(who, true);
                if let Some(heard) = self.replicas[who].heard.pop_front() {
                    self.tell(who, heard);
                }
                self.collect(who);
            }
            self.now = self.now + Duration::from_millis(100);
        }
    }
}

#[test]
fn in_any_order_nobody_claims_before_a_lower_one_and_one_leads_at_last() {
    for seed in 0..3_000_u64 {
        let mut salt = seed << 20;
        let mut below = |sides: usize| {
            salt += 1;
            usize::try_from(scramble(salt) % u64::try_from(sides).unwrap()).unwrap()
        };
        let mut field = Field::new(3);
        for _ in 0..150 {
            let who = below(3);
            match below(20) {
                0 => field.disconnect(who),
                1..5 => field.connect(who),
                5 => field.expire(who),
                6 if below(2) == 0 => field.tell(who, Input::Abdicate),
                6 => field.tell(who, Input::Deposed),
                7 => field.now = field.now + Duration::from_millis(500),
                8..13 => field.carry_out(who, below(5) != 0),
                _ => {
                    let waiting = field.replicas[who].heard.len();
                    // Answers overtake each other, as those of an old session may.
                    if waiting > 0 {
                        let heard = field.replicas[who].heard.remove(below(waiting)).unwrap();
                        field.tell(who, heard);
                    }
                }
            }
            field.collect(who);
        }
        field.settle();
        let leading: Vec<_> = field.replicas.iter().filter_map(|replica| replica.leads.as_ref()).collect();
        let first = field.directory.keys().next().copied().map(name).unwrap();
        assert_eq!(leading, [&first], "seed {seed}: {field:#?}");
    }
}

#[test]
fn who_abdicates_goes_to_the_end_of_the_line() {
    let withdraw = asks(4, Question::Withdraw(name(7)));
    then(
        chosen(),
        vec![
            (Input::Abdicate, vec![Output::StandDown, withdraw]),
            (answered(4, Answer::Withdrawn), vec![asks(5, Question::List)]),
            (candidates(5, None, &[9]), vec![asks(6, Question::Create)]),
            (created(6, 10), vec![asks(7, Question::List)]),
            (candidates(7, Some(10), &[9, 10]), vec![watch(8, 9)]),
        ],
    );
}

#[test]
fn who_could_not_withdraw_claims_again() {
    let withdraw = asks(4, Question::Withdraw(name(7)));
    then(
        chosen(),
        vec![
            (Input::Abdicate, vec![Output::StandDown, withdraw]),
            (answered(4, Answer::Withdrawn), vec![asks(5, Question::List)]),
            (candidates(5, Some(7), &[7, 9]), vec![Output::Claim]),
        ],
    );
    check(vec![(Input::Connected, vec![asks(1, Question::Create)]), (Input::Abdicate, vec![])]);
}
