//! One replica's machine: what it does next after each thing that happens to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use epic_common::machine::Machine as _;
use epic_common::time::Timestamp;
use epic_scheduler_core::director;
use epic_scheduler_core::replica::election::{self, Ask};
use epic_scheduler_core::replica::{
    Answer, Appended, At, Batch, Connection, Input, Known, Output, Peer, Question, Record, Recovered, Replica, Role,
    Standing, Summary, Terms, Written,
};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact, Index, KNOWN};

const TIMEOUT: Duration = Duration::from_secs(9);
const LEADS_FOR: Duration = Duration::from_secs(60);

/// A replica, and what it was last asked to do.
struct Bench {
    machine: Replica,
    now: Timestamp,
    journal: Ask,
    candidates: Ask,
    peers: Ask,
    batch: Option<(Ask, Batch)>,
    snapshot: Ask,
}

impl Bench {
    fn new(known: Known) -> Self {
        let terms = Terms {
            id: "own".to_owned(),
            advertise: "http://own".to_owned(),
            role: "BlueData".to_owned(),
            place: "zk://z/epic".to_owned(),
            leading_time_max: Some(LEADS_FOR),
        };
        let (journal, candidates, peers, snapshot) = Default::default();
        let machine = Replica::new(terms, known, "nothing has answered".to_owned());
        Self { machine, now: Timestamp(1_000_000_000), journal, candidates, peers, batch: None, snapshot }
    }

    /// Says in words what comes out, where the director handles everything at once.
    fn rest(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        loop {
            let new = self.held();
            let unheard = new.iter().filter(|word| word.starts_with("tell ")).count();
            words.extend(new);
            if unheard == 0 {
                return words;
            }
            for _ in 0..unheard {
                self.machine.handle(self.now, Input::Directed);
            }
        }
    }

    /// Says in words what comes out before the director has handled anything.
    fn held(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.machine.poll(self.now))
            .collect::<Vec<_>>()
            .iter()
            .map(|output| self.word(output))
            .collect()
    }

    fn word(&mut self, output: &Output) -> String {
        match output {
            Output::Direct(input) => format!("tell {}", told(input)),
            Output::Journal(ask, question) => {
                self.journal = *ask;
                match question {
                    Question::Open => "open".to_owned(),
                    Question::Compare(at, _) => format!("compare {}", at.batch),
                    Question::Recover => "recover".to_owned(),
                    Question::End(batch) => format!("end {batch}?"),
                    Question::Read(batch) => format!("read after {batch}"),
                    Question::Probe => "probe".to_owned(),
                    Question::Time(_) => "time?".to_owned(),
                }
            }
            Output::Candidates(ask, question) => {
                self.candidates = *ask;
                match question {
                    election::Question::Create => "stand for election".to_owned(),
                    election::Question::List => "list".to_owned(),
                    election::Question::Watch(name) => format!("watch {name}"),
                    election::Question::Withdraw(_) => "withdraw".to_owned(),
                }
            }
            Output::Peers(ask) => {
                self.peers = *ask;
                "who takes part?".to_owned()
            }
            Output::Claim(ask, batch) | Output::Append(ask, batch) => {
                let word = if matches!(output, Output::Claim(..)) { "claim" } else { "append" };
                let said = format!("{word} {} of epoch {}", batch.number, batch.epoch);
                self.batch = Some((*ask, batch.clone()));
                said
            }
            Output::StopAppending => "stop appending".to_owned(),
            Output::Snapshot(ask, batch, index) => {
                self.snapshot = *ask;
                format!("snapshot of {batch} at {}", index.0)
            }
            Output::Copy(copied) => format!("copy {}", copied.number),
            Output::CopyWhole(at, _) => format!("copy all up to {}", at.batch),
            Output::Show(shown) => {
                let role = match shown.role {
                    Role::Standby => "stands by",
                    Role::Claiming => "claims",
                    Role::Leading => "leads",
                };
                let leader =
                    shown.leader.as_ref().map_or_else(String::new, |leader| format!(" under {}", leader.replica));
                let problem = if shown.problem.is_empty() { "" } else { ": " };
                format!("{role}{leader}{problem}{}", shown.problem)
            }
            Output::ShowPeers(peers) => format!("{} take part", peers.len()),
            Output::Warn(why) => format!("warn {why}"),
            Output::Close => "close".to_owned(),
            Output::End => "end".to_owned(),
        }
    }

    fn gives(&mut self, input: Input, expected: &[&str]) {
        let shown = format!("{input:?}");
        self.machine.handle(self.now, input);
        assert_eq!(self.rest(), expected, "after {shown:.200}");
    }

    fn journal(&mut self, answer: Answer, expected: &[&str]) {
        self.gives(Input::Journal(self.journal, answer), expected);
    }

    fn candidates(&mut self, answer: election::Answer, expected: &[&str]) {
        self.gives(Input::Candidates(self.candidates, answer), expected);
    }

    fn appended(&mut self, appended: Appended, expected: &[&str]) {
        let (ask, _) = self.batch.take().unwrap();
        self.gives(Input::Appended(ask, appended), expected);
    }

    fn passes(&mut self, time: Duration, expected: &[&str]) {
        self.now = self.now + time;
        assert_eq!(self.rest(), expected, "after {time:?}");
    }
}

fn told(input: &director::Input) -> String {
    match input {
        director::Input::Followed(first, entries) => format!("followed {} from {}", entries.len(), first.0),
        director::Input::Restored(state) => format!("restored {}", state.index.0),
        director::Input::Committed(first) => format!("committed {}", first.0),
        director::Input::Time { journal, clock } => format!("time {} at {}", journal.0, clock.0),
        director::Input::Fresh(within) => format!("fresh {within:?}"),
        director::Input::Elder(elder) => format!("elder {:?}", elder.as_ref().map(|elder| elder.knows)),
        director::Input::Sources(urls) => format!("sources {}", urls.len()),
        director::Input::Lead { claimed } => format!("lead since {}", claimed.unwrap().0),
        director::Input::StandDown(why) => format!("stand down, {why}"),
        director::Input::Paused => "pause".to_owned(),
        director::Input::Resumed => "resume".to_owned(),
        director::Input::Mesos(..)
        | director::Input::LinkEnded(..)
        | director::Input::Answered(..)
        | director::Input::Held(_)
        | director::Input::Request(..) => panic!("a replica never says {input:?}"),
    }
}

fn opened() -> Answer {
    Answer::Opened { journal: "j".to_owned(), timeout: TIMEOUT }
}

fn name(number: u64) -> String {
    format!("candidate-{number:010}")
}

fn listed(own: u64, all: &[u64]) -> election::Answer {
    election::Answer::Candidates { own: Some(name(own)), names: all.iter().copied().map(name).collect() }
}

fn claimed(epoch: u64, replica: &str) -> Entry {
    let advertise = format!("http://{replica}");
    Entry::new(Timestamp(1), Fact::LeaderClaimed { epoch, replica: replica.to_owned(), advertise })
}

fn barrier(epoch: u64) -> Entry {
    Entry::new(Timestamp(1), Fact::Barrier { epoch })
}

fn state(entries: &[Entry]) -> State {
    let mut state = State::default();
    for entry in entries {
        state.apply(entry);
    }
    state
}

fn next(first: u64, entries: Vec<Entry>) -> Answer {
    Answer::Next(Record { first: Index(first), entries, written: Written::default() })
}

fn durable(snapshot_due: bool) -> Appended {
    Appended::Durable { written: Written::default(), snapshot_due }
}

fn peers(knows: u32) -> Vec<Peer> {
    vec![Peer::own("own", "http://own", "http://own"), Peer { knows, ..Peer::own("b", "http://b", "http://b") }]
}

/// One that has followed two batches of a journal, which hold an entry each.
fn known() -> Known {
    let summary = Summary::of(&state(&[claimed(1, "b"), barrier(1)]));
    Known { journal: Some("j".to_owned()), batch: 2, last_crc32: Some(7), floor: None, summary }
}

/// Takes part, and is number 5.
fn standby() -> Bench {
    let mut bench = Bench::new(known());
    assert_eq!(bench.rest(), ["open", "stands by: nothing has answered"]);
    bench.journal(opened(), &["compare 2"]);
    bench.journal(Answer::Compared(Standing::Whole), &["end 2?"]);
    bench.journal(Answer::AtEnd, &["probe"]);
    let first = ["stand for election", "read after 2", "who takes part?", "stands by under b"];
    bench.journal(Answer::Writable, &first);
    bench.gives(Input::Peers(bench.peers, Ok(peers(KNOWN))), &["tell elder None", "tell sources 1", "2 take part"]);
    bench.candidates(election::Answer::Created(name(5)), &["list"]);
    bench
}

/// Is first in line.
fn chosen() -> Bench {
    let mut bench = standby();
    bench.candidates(listed(5, &[5, 8]), &["end 2?", "claims under b"]);
    bench
}

/// Has appended its claim, the third batch.
fn claiming() -> Bench {
    let mut bench = chosen();
    bench.journal(Answer::AtEnd, &["time?"]);
    bench.passes(Duration::from_secs(1), &[]);
    bench.journal(Answer::Time(Timestamp(77)), &["claim 3 of epoch 2"]);
    let (_, batch) = bench.batch.clone().unwrap();
    assert_eq!((batch.first, batch.entries[0].at), (Index(3), Timestamp(77)));
    bench
}

fn leading() -> Bench {
    let mut bench = claiming();
    let follows =
        ["copy 3", "tell followed 1 from 3", "tell time 77 at 1001000000", "who takes part?", "claims under own"];
    bench.appended(durable(false), &follows);
    let leads = [
        "tell elder Some(3)",
        "tell sources 1",
        "2 take part",
        "tell fresh 3s",
        "tell lead since 1000000000",
        "leads under own",
    ];
    bench.gives(Input::Peers(bench.peers, Ok(peers(3))), &leads);
    bench
}

#[test]
fn whoever_is_chosen_reads_to_the_end_claims_and_leads_once_the_claim_stands() {
    let mut bench = chosen();
    bench.journal(Answer::NotAtEnd, &["read after 2"]);
    bench.journal(next(3, vec![claimed(2, "c")]), &["copy 3", "tell followed 1 from 3", "end 3?", "claims under c"]);
    bench.journal(Answer::AtEnd, &["time?"]);
    bench.journal(Answer::Time(Timestamp(77)), &["claim 4 of epoch 3"]);
    leading();
}

#[test]
fn what_else_it_wants_waits_until_the_director_has_handled_what_it_was_told() {
    let mut bench = leading();
    bench.now = bench.now + LEADS_FOR;
    assert_eq!(bench.held(), ["tell stand down, this replica has led for --max-leading-time"]);
    assert_eq!(bench.held(), [""; 0], "its candidate goes before its director has stood down");
    bench.machine.handle(bench.now, Input::Directed);
    assert_eq!(bench.held()[0], "withdraw");
}

#[test]
fn a_refused_claim_stands_by_and_gets_in_line_again() {
    let mut bench = claiming();
    let why = "another replica has written to the journal";
    let follows = [format!("tell stand down, {why}"), "read after 2".to_owned(), "stands by under b".to_owned()];
    bench.appended(Appended::Refused, &follows.each_ref().map(String::as_str));
    bench.journal(
        next(3, vec![claimed(2, "c")]),
        &["copy 3", "tell followed 1 from 3", "read after 3", "stands by under c"],
    );
    bench.passes(Duration::from_secs(1), &["list"]);
    bench.candidates(listed(5, &[5]), &["end 3?", "claims under c"]);
}

#[test]
fn a_claim_of_which_nobody_knows_whether_it_stands_costs_the_session() {
    let mut bench = claiming();
    let follows = ["stop appending", "tell stand down, no answer", "warn no answer", "close", "stands by: no answer"];
    // What came of it is known to the journal only.
    bench.appended(Appended::Unknown("no answer".to_owned()), &follows[1..]);
    bench.gives(Input::Closed, &[]);
    bench.passes(Duration::from_secs(1), &["open"]);
}

#[test]
fn a_removed_candidate_claims_nothing() {
    let mut bench = chosen();
    bench.journal(Answer::AtEnd, &["time?"]);
    let why = "tell stand down, somebody has removed this replica's candidate";
    bench.journal(Answer::CandidateGone, &[why, "read after 2", "stands by under b"]);
}

#[test]
fn a_claim_is_appended_after_the_snapshot_without_which_it_may_not_be() {
    let mut bench = claiming();
    let (_, batch) = bench.batch.clone().unwrap();
    bench.appended(Appended::SnapshotNeeded(batch), &["snapshot of 2 at 2"]);
    bench.gives(Input::Snapshotted(bench.snapshot, Ok(())), &["claim 3 of epoch 2"]);
    let (_, batch) = bench.batch.clone().unwrap();
    bench.appended(Appended::SnapshotNeeded(batch), &["snapshot of 2 at 2"]);
    let failed = Input::Snapshotted(bench.snapshot, Err("no room".to_owned()));
    bench.gives(failed, &["tell stand down, no room", "warn no room", "close", "stands by: no room"]);
}

#[test]
fn a_leader_appends_what_is_proposed_and_says_so_once_it_stands() {
    let mut bench = leading();
    bench.gives(Input::Proposed(Index(3), vec![barrier(1)]), &[]);
    bench.gives(Input::Proposed(Index(4), vec![barrier(2)]), &["append 4 of epoch 2"]);
    bench.appended(durable(true), &["copy 4", "tell committed 4", "snapshot of 4 at 4"]);
    // It is made beside what comes next.
    bench.gives(Input::Proposed(Index(5), vec![barrier(2)]), &["append 5 of epoch 2"]);
    bench.appended(durable(true), &["copy 5", "tell committed 5"]);
    bench.gives(Input::Snapshotted(bench.snapshot, Err("no room".to_owned())), &[]);
    assert_eq!(bench.machine.known().summary.index, Index(5));
}

#[test]
fn answers_to_what_was_asked_before_are_void() {
    let mut bench = standby();
    let (read, peers) = (bench.journal, bench.peers);
    bench.candidates(listed(5, &[5, 8]), &["end 2?", "claims under b"]);
    bench.gives(Input::Journal(read, next(3, vec![barrier(1)])), &[]);
    bench.gives(Input::Peers(peers, Err("no answer".to_owned())), &[]);
    let mut bench = leading();
    bench.gives(Input::Proposed(Index(4), vec![barrier(2)]), &["append 4 of epoch 2"]);
    let (ask, _) = bench.batch.clone().unwrap();
    bench.gives(Input::Appended(Ask(ask.0 - 1), durable(true)), &[]);
    bench.gives(Input::Snapshotted(bench.snapshot, Err("no room".to_owned())), &[]);
    assert_eq!(bench.machine.known().batch, 3);
}

#[test]
fn a_leader_that_does_not_know_whether_its_batch_stands_stands_down_and_reads_it() {
    let mut bench = leading();
    bench.gives(Input::Proposed(Index(4), vec![barrier(2)]), &["append 4 of epoch 2"]);
    let follows = ["tell stand down, no answer", "read after 3", "stands by under own"];
    bench.appended(Appended::Unknown("no answer".to_owned()), &follows);
    bench.journal(
        next(4, vec![barrier(2)]),
        &["copy 4", "tell followed 1 from 4", "read after 4", "stands by under own"],
    );
}

#[test]
fn a_summary_is_that_of_the_state() {
    let chosen = Fact::FrameworkChosen { framework: "f".into(), role: "other".to_owned() };
    let entry = |at, fact| Entry::new(Timestamp(at), fact);
    let entries = [
        claimed(2, "b"),
        entry(9, chosen),
        claimed(1, "late"),
        entry(3, Fact::Uninstalled),
        claimed(3, "c"),
        barrier(3),
    ];
    for end in 0..=entries.len() {
        let summary = Summary::of(&state(&entries[..end]));
        assert_eq!(Summary::default().after(&entries[..end]), summary, "after {end} entries");
    }
}

#[test]
fn a_leader_that_is_refused_stands_down_and_what_it_proposed_is_void() {
    let mut bench = leading();
    bench.gives(Input::Proposed(Index(4), vec![barrier(2)]), &["append 4 of epoch 2"]);
    let why = "tell stand down, another replica has written to the journal";
    bench.appended(Appended::Refused, &[why, "read after 3", "stands by under own"]);
    bench.gives(Input::Proposed(Index(4), vec![barrier(2)]), &[]);
    assert_eq!(bench.machine.known().summary.index, Index(3));
}

#[test]
fn a_break_pauses_a_leader_and_the_end_of_its_session_takes_the_lead() {
    let mut bench = leading();
    let session = Ask(1);
    bench.gives(Input::Session(Ask(99), Connection::Over), &[]);
    let away = "leads: ZooKeeper doesn't answer just now";
    bench.gives(Input::Session(session, Connection::Broken), &["tell pause", away]);
    bench.gives(Input::Session(session, Connection::Up), &["tell resume", "leads under own"]);
    bench.gives(Input::Proposed(Index(4), vec![barrier(2)]), &["append 4 of epoch 2"]);
    let why = "the session with ZooKeeper has ended";
    let follows = ["stop appending".to_owned(), format!("tell stand down, {why}"), format!("warn {why}")];
    let shown = format!("stands by: {why}");
    let follows: Vec<_> = follows.iter().map(String::as_str).chain(["close", &shown]).collect();
    bench.gives(Input::Session(session, Connection::Over), &follows);
    bench.appended(durable(false), &[]);
    assert_eq!(bench.machine.known().batch, 3, "a batch of a session that is over was believed");
}

#[test]
fn a_leader_makes_room_when_its_time_is_over_but_not_while_a_batch_is_on_its_way() {
    let mut bench = leading();
    bench.gives(Input::Proposed(Index(4), vec![barrier(2)]), &["append 4 of epoch 2"]);
    bench.passes(LEADS_FOR, &["who takes part?"]);
    let follows = ["copy 4", "tell committed 4", "tell stand down, this replica has led for --max-leading-time"];
    let follows = [&follows[..], &["withdraw", "read after 4", "stands by under own"]].concat();
    bench.appended(durable(false), &follows);
}

#[test]
fn whoever_ends_waits_a_moment_for_its_batch_and_closes_its_session_last() {
    let mut bench = leading();
    bench.gives(Input::Proposed(Index(4), vec![barrier(2)]), &["append 4 of epoch 2"]);
    bench.gives(Input::Stop, &[]);
    let mut slow = leading();
    slow.gives(Input::Proposed(Index(4), vec![barrier(2)]), &["append 4 of epoch 2"]);
    slow.gives(Input::Stop, &[]);
    let ends = ["tell stand down, this replica ends", "close", "stands by: this replica ends"];
    bench.appended(durable(false), &[&["copy 4", "tell committed 4"][..], &ends].concat());
    bench.gives(Input::Closed, &["end"]);
    slow.passes(Duration::from_secs(2), &[&["stop appending"][..], &ends].concat());
    slow.gives(Input::Closed, &["end"]);
    let mut bench = Bench::new(Known::default());
    assert_eq!(bench.rest()[0], "open");
    bench.gives(Input::Stop, &["stands by: this replica ends", "end"]);
}

#[test]
fn whoever_was_lapped_goes_on_from_a_snapshot() {
    let mut bench = standby();
    let reads = "stands by: this replica reads the journal";
    bench.journal(Answer::Lapped, &["recover", reads]);
    let state = state(&[claimed(1, "b"), barrier(1), claimed(2, "c")]);
    let recovered = Recovered { batch: 9, last_crc32: None, state };
    let follows = ["tell restored 3", "copy all up to 9", "read after 9", "stands by under c"];
    bench.journal(Answer::Recovered(Box::new(recovered)), &follows);
}

/// Gives an answer to the first question about the journal, and returns why the replica takes no part after it.
fn problem(known: Known, answers: Vec<Answer>) -> String {
    let mut bench = Bench::new(known);
    bench.rest();
    for answer in answers {
        bench.machine.handle(bench.now, Input::Journal(bench.journal, answer));
        bench.rest();
    }
    let shown = bench.machine.shown();
    assert_eq!(shown.role, Role::Standby);
    assert_eq!(bench.candidates, Ask(0), "it stands for election");
    shown.problem
}

#[test]
fn whoever_has_followed_more_or_something_else_stands_still_and_says_why() {
    let floor = At { journal: "other".to_owned(), batch: 5, epoch: 1 };
    let once =
        |journal: &str| Known { floor: Some(At { journal: journal.to_owned(), ..floor.clone() }), ..Known::default() };
    let short = || Answer::Recovered(Box::new(Recovered { batch: 1, last_crc32: None, state: state(&[barrier(0)]) }));
    for (known, answers, expected) in [
        (known(), vec![opened(), Answer::Compared(Standing::Ahead)], "ends before batch 2"),
        (known(), vec![opened(), Answer::Compared(Standing::Forked)], "holds another batch 2"),
        (known(), vec![opened(), Answer::Compared(Standing::Other)], "is another one than j"),
        (once("other"), vec![opened()], "is another one than other"),
        (once("j"), vec![opened(), short()], "ends before batch 5"),
        (
            known(),
            vec![opened(), Answer::Compared(Standing::Lapped), Answer::NotAtEnd, Answer::Lapped, short()],
            "though it once had entry 2",
        ),
        (
            known(),
            vec![opened(), Answer::Compared(Standing::Whole), Answer::NotAtEnd, next(7, vec![barrier(1)])],
            "batch 3 begins with entry 7, not 3",
        ),
    ] {
        let problem = problem(known, answers);
        assert!(problem.contains(expected), "{problem} should say: {expected}");
    }
}

#[test]
fn whoever_has_followed_a_journal_is_not_told_to_make_a_new_one() {
    let missing = || Answer::Missing { url: "zk://z/epic".to_owned(), why: "run init".to_owned() };
    assert_eq!(problem(Known::default(), vec![missing()]), "run init");
    assert!(problem(known(), vec![missing()]).starts_with("there is no journal at zk://z/epic any more"));
}

#[test]
fn no_framework_of_another_role_is_led() {
    let chosen = Entry::new(Timestamp(1), Fact::FrameworkChosen { framework: "f".into(), role: "other".to_owned() });
    let recovered = Recovered { batch: 1, last_crc32: None, state: state(&[chosen]) };
    let answers = vec![opened(), Answer::Recovered(Box::new(recovered)), Answer::AtEnd];
    let problem = problem(Known::default(), answers);
    assert!(problem.contains("belongs to a framework of role other"), "{problem}");
}

#[test]
fn a_leader_that_takes_part_no_more_is_not_shown() {
    let mut bench = standby();
    let alone = vec![Peer::own("own", "http://own", "http://own")];
    bench.passes(Duration::from_secs(5), &["who takes part?"]);
    let follows = ["tell elder None", "tell sources 0", "1 take part", "stands by"];
    bench.gives(Input::Peers(bench.peers, Ok(alone)), &follows);
    // One that has claimed since nobody was asked leads.
    bench.journal(
        next(3, vec![claimed(2, "c")]),
        &["copy 3", "tell followed 1 from 3", "read after 3", "stands by under c"],
    );
}

#[test]
fn a_copy_gets_the_whole_state_once_the_director_has_it() {
    let mut bench = standby();
    bench.machine.handle(bench.now, Input::Journal(bench.journal, next(3, vec![barrier(1)])));
    assert_eq!(bench.held(), ["copy 3", "tell followed 1 from 3"]);
    bench.machine.handle(bench.now, Input::CopyWanted);
    assert_eq!(bench.held(), [""; 0]);
    bench.gives(Input::Directed, &["copy all up to 3", "read after 3", "stands by under b"]);
}
