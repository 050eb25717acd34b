//! The director among other replicas: when it may act, and what it makes of news that comes late.

use std::collections::BTreeSet;
use std::time::Duration;

use epic_common::ids::Digest;
use epic_common::machine::Machine;
use epic_common::time::Timestamp;
use epic_scheduler_core::director::{Director, Input, Output};
use epic_scheduler_core::mesos::LinkEnd;
use epic_scheduler_core::policy::Policy;
use epic_scheduler_core::request::{Applicant, ClientId, Request, Wish};
use epic_scheduler_core::session::Elder;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::{Bundle, Desired};
use epic_scheduler_core::state::entry::{Entry, Fact, Index};

const BARRIER: Duration = Duration::from_secs(3);
const START: Timestamp = Timestamp(1_800_000_000_000_000);

fn entry(fact: Fact) -> Entry {
    Entry::new(START, fact)
}

fn claim(epoch: u64) -> Entry {
    entry(Fact::LeaderClaimed { epoch, replica: "r".to_owned(), advertise: "http://10.0.0.1:8080".to_owned() })
}

/// A standby of a framework that replica has led once.
fn standby() -> Director {
    let policy = Policy::new("BlueData".to_owned(), "http://10.0.0.100:8080".to_owned(), Digest([0xcd; 32]));
    let mut director = Director::new(State::default(), Policy { barrier: Some(BARRIER), ..policy });
    let chosen = entry(Fact::FrameworkChosen { framework: "framework-1".into(), role: "BlueData".to_owned() });
    director.handle(START, Input::Followed(Index(1), vec![claim(1), chosen]));
    director
}

fn request(director: &mut Director, client: u64) {
    let wish = Wish::SetToken(Digest([7; 32]));
    director.handle(START, Input::Request(ClientId(client), Request::new(wish)));
}

/// Names what comes out, without what is only shown.
fn outputs(director: &mut Director, now: Timestamp) -> Vec<String> {
    let all = std::iter::from_fn(|| director.poll(now));
    let name = |output| match output {
        Output::Propose(first, entries) => {
            let barrier = entries.iter().any(|entry| matches!(entry.fact, Fact::Barrier { .. }));
            Some(format!("propose {} at {}", if barrier { "a barrier" } else { "entries" }, first.0))
        }
        Output::Subscribe(_) => Some("subscribe".to_owned()),
        Output::Unsubscribe(why) => Some(format!("unsubscribe: {why}")),
        Output::Call(..) => Some("call".to_owned()),
        Output::Answer(client, answer) => Some(match answer {
            Ok(_) => format!("grant {}", client.0),
            Err(refusal) => format!("refuse {}: {}", client.0, refusal.title),
        }),
        Output::Publish(_) => None,
        Output::Unwritable(why) => Some(format!("unwritable: {why}")),
        Output::Halt(why) => Some(format!("halt: {why}")),
    };
    all.filter_map(name).collect()
}

#[test]
fn a_subscription_needs_a_barrier_that_is_young_enough() {
    let check = |claimed: Option<Timestamp>, now: Timestamp, expected: &str| {
        let mut director = standby();
        director.handle(now, Input::Lead { claimed });
        assert_eq!(outputs(&mut director, now), [expected], "claimed {claimed:?}, now {now:?}");
    };
    check(Some(START), START, "subscribe");
    check(Some(START), START + Duration::from_millis(2_999), "subscribe");
    check(Some(START), START + BARRIER, "propose a barrier at 3");
    check(None, START, "propose a barrier at 3");
}

#[test]
fn a_barriers_age_counts_from_when_it_was_proposed() {
    let mut director = standby();
    director.handle(START, Input::Lead { claimed: None });
    assert_eq!(outputs(&mut director, START), ["propose a barrier at 3"]);
    let late = START + BARRIER;
    director.handle(late, Input::Committed(Index(3)));
    assert_eq!(outputs(&mut director, late), ["propose a barrier at 4"]);
    director.handle(late, Input::Committed(Index(4)));
    assert_eq!(outputs(&mut director, late), ["subscribe"]);
}

#[test]
fn a_scheduler_that_is_alone_needs_no_barrier() {
    let mut state = State::default();
    state.apply(&entry(Fact::FrameworkChosen { framework: "framework-1".into(), role: "BlueData".to_owned() }));
    let policy = Policy::new("BlueData".to_owned(), "http://10.0.0.100:8080".to_owned(), Digest([0xcd; 32]));
    let mut director = Director::new(state, policy);
    director.handle(START, Input::Lead { claimed: None });
    assert_eq!(outputs(&mut director, START), ["subscribe"]);
}

#[test]
fn a_standby_plans_nothing_and_refuses() {
    let mut director = standby();
    request(&mut director, 1);
    assert_eq!(outputs(&mut director, START), ["refuse 1: not the leader"]);
    assert_eq!(director.deadline(), None);
}

#[test]
fn what_was_planned_before_a_pause_comes_after_it() {
    let mut director = standby();
    director.handle(START, Input::Lead { claimed: Some(START) });
    request(&mut director, 1);
    // The batch was planned together with the subscription, and waits behind it.
    while !matches!(director.poll(START), Some(Output::Subscribe(_))) {}
    director.handle(START, Input::Paused);
    let later = START + Duration::from_secs(600);
    // Nobody knows whether the subscription that is being asked for would be another leader's by now.
    let dropped = "unsubscribe: it is not known whether this replica still leads";
    assert_eq!(outputs(&mut director, later), [dropped]);
    assert_eq!(outputs(&mut director, later), [""; 0]);
    assert_eq!(director.deadline(), None);
    assert!(director.is_leading());
    director.handle(START, Input::Resumed);
    assert_eq!(outputs(&mut director, START), ["propose entries at 3"]);
}

#[test]
fn standing_down_answers_whoever_waits_and_takes_back_what_was_not_sent() {
    let mut director = standby();
    director.handle(START, Input::Lead { claimed: Some(START) });
    request(&mut director, 1);
    outputs(&mut director, START);
    request(&mut director, 2);
    director.handle(START, Input::StandDown("the session has expired".to_owned()));
    let refusals = ["refuse 1: leadership was lost", "refuse 2: leadership was lost"];
    let expected = [refusals[0], refusals[1], "unsubscribe: the session has expired"];
    assert_eq!(outputs(&mut director, START), expected);
    director.handle(START, Input::Lead { claimed: Some(START) });
    request(&mut director, 3);
    while !matches!(director.poll(START), Some(Output::Subscribe(_))) {}
    director.handle(START, Input::StandDown("at once".to_owned()));
    assert_eq!(outputs(&mut director, START), ["refuse 3: leadership was lost", "unsubscribe: at once"]);
    director.handle(START, Input::StandDown("again".to_owned()));
    assert_eq!(outputs(&mut director, START), [""; 0]);
}

#[test]
fn late_news_of_an_earlier_batch_does_not_make_a_later_one_durable() {
    let mut director = standby();
    director.handle(START, Input::Lead { claimed: Some(START) });
    request(&mut director, 1);
    assert!(outputs(&mut director, START).contains(&"propose entries at 3".to_owned()));
    director.handle(START, Input::StandDown("the session has expired".to_owned()));
    director.handle(START, Input::Followed(Index(3), vec![claim(2)]));
    director.handle(START, Input::Lead { claimed: Some(START) });
    request(&mut director, 2);
    assert!(outputs(&mut director, START).contains(&"propose entries at 4".to_owned()));
    director.handle(START, Input::Committed(Index(3)));
    assert_eq!(director.state().index, Index(3));
    director.handle(START, Input::Committed(Index(4)));
    assert_eq!(director.state().index, Index(4));
    assert!(outputs(&mut director, START).contains(&"grant 2".to_owned()));
}

#[test]
fn a_leader_that_reads_somebody_elses_entries_stands_down_first() {
    let mut director = standby();
    director.handle(START, Input::Lead { claimed: Some(START) });
    outputs(&mut director, START);
    director.handle(START, Input::Followed(Index(3), vec![claim(2)]));
    assert!(!director.is_leading());
    assert_eq!(director.state().epoch(), 2);
    assert_eq!(outputs(&mut director, START), ["unsubscribe: another replica writes to the journal"]);
}

#[test]
fn entries_that_do_not_come_next_end_the_process() {
    for first in [2, 4] {
        let mut director = standby();
        let went_on =
            std::panic::catch_unwind(move || director.handle(START, Input::Followed(Index(first), vec![claim(2)])));
        assert!(went_on.is_err(), "entries at {first} were applied after index 2");
    }
    let mut director = standby();
    director.handle(START, Input::Followed(Index(1), Vec::new()));
    assert_eq!(director.state().index, Index(2));
}

#[test]
fn an_older_claim_changes_nothing() {
    let mut state = State::default();
    state.apply(&claim(3));
    let leader = state.identity.leader.clone();
    state.apply(&claim(3));
    state.apply(&claim(2));
    assert_eq!((state.identity.leader.clone(), state.index), (leader, Index(3)));
    state.apply(&entry(Fact::Uninstalled));
    assert_eq!(state.epoch(), 3, "an uninstallation doesn't free an epoch");
    assert_eq!(state.identity.leader.unwrap().since, START);
}

#[test]
fn a_clock_an_hour_behind_the_journal_makes_no_wait_longer() {
    let mut director = standby();
    let late = Timestamp(START.0 - 3_600_000_000);
    director.handle(late, Input::Lead { claimed: Some(late) });
    assert_eq!(outputs(&mut director, late), ["subscribe"]);
    director.handle(late, Input::LinkEnded(None, LinkEnd::Broke("nobody leads".to_owned())));
    assert_eq!(outputs(&mut director, late), Vec::<String>::new());
    let deadline = director.deadline().unwrap();
    assert!(deadline > late && deadline <= late + Duration::from_secs(15), "{deadline}, now {late}");
}

#[test]
fn the_journals_time_counts_and_not_the_clock_of_whoever_leads() {
    let check = |clock: Timestamp, journal: Timestamp, expected: Timestamp| {
        let mut director = standby();
        director.handle(clock, Input::Time { journal, clock });
        director.handle(clock, Input::Lead { claimed: Some(clock) });
        let later = clock + Duration::from_secs(1);
        let wish = Wish::SetToken(Digest([7; 32]));
        director.handle(later, Input::Request(ClientId(1), Request::new(wish)));
        let proposed = std::iter::from_fn(|| director.poll(later)).find_map(|output| {
            let Output::Propose(_, entries) = output else { return None };
            Some(entries[0].at)
        });
        assert_eq!(proposed, Some(expected), "clock {clock}, journal {journal}");
    };
    let (hour, second) = (Duration::from_secs(3_600), Duration::from_secs(1));
    check(START + hour, START + second, START + second * 2);
    check(START, START + hour, START + hour + second);
    // The journal's own entries are never later than what follows them.
    check(START, Timestamp(START.0 - 5_000_000), START + second);
}

#[test]
fn a_subscription_is_void_as_soon_as_its_barrier_is_too_old() {
    for ahead in [0, 3_600_000_000] {
        let mut director = standby();
        director.handle(START, Input::Time { journal: Timestamp(START.0 + ahead), clock: START });
        director.handle(START, Input::Lead { claimed: Some(START) });
        let subscribe = std::iter::from_fn(|| director.poll(START)).find_map(|output| {
            let Output::Subscribe(subscribe) = output else { return None };
            Some(subscribe)
        });
        assert_eq!(subscribe.unwrap().not_after, Some(START + BARRIER), "by this scheduler's own clock");
    }
}

/// A leader whose subscription could not be had since the framework has been removed.
fn removed() -> Director {
    let mut director = standby();
    director.handle(START, Input::Lead { claimed: Some(START) });
    outputs(&mut director, START);
    let said = LinkEnd::Said("Framework has been removed".to_owned());
    director.handle(START, Input::LinkEnded(None, said));
    assert_eq!(outputs(&mut director, START + Duration::from_secs(600)), [""; 0], "nobody tries again");
    director
}

fn new_framework(director: &mut Director, client: u64) {
    let wish = Wish::NewFramework { framework: "framework-2".into() };
    director.handle(START, Input::Request(ClientId(client), Request::new(wish)));
}

#[test]
fn a_framework_is_replaced_only_once_mesos_has_removed_it_and_somebody_says_so() {
    let mut director = standby();
    director.handle(START, Input::Lead { claimed: Some(START) });
    outputs(&mut director, START);
    new_framework(&mut director, 1);
    assert_eq!(outputs(&mut director, START), ["refuse 1: there is no need for a new framework id"]);

    let mut director = removed();
    new_framework(&mut director, 2);
    assert_eq!(outputs(&mut director, START), ["propose entries at 3"]);
    director.handle(START, Input::Committed(Index(3)));
    assert_eq!(director.state().identity.framework, Some("framework-2".into()));
    assert_eq!(outputs(&mut director, START), ["grant 2", "propose a barrier at 4"]);
}

#[test]
fn nothing_is_written_that_a_replica_of_an_earlier_version_cannot_read() {
    let mut director = removed();
    let elder = Elder { advertise: "http://10.0.0.9:8080".to_owned(), knows: 17 };
    director.handle(START, Input::Elder(Some(elder)));
    new_framework(&mut director, 1);
    assert_eq!(outputs(&mut director, START), ["refuse 1: not every replica knows this kind of change"]);
    director.handle(START, Input::Elder(None));
    new_framework(&mut director, 2);
    assert_eq!(outputs(&mut director, START), ["propose entries at 3"]);
}

#[test]
fn what_is_here_is_known_also_to_who_led_before() {
    let mut director = standby();
    let held = BTreeSet::from([Digest([1; 32])]);
    director.handle(START, Input::Held(held));
    director.handle(START, Input::Lead { claimed: Some(START) });
    director.handle(START, Input::StandDown("the session has expired".to_owned()));
    director.handle(START, Input::Lead { claimed: Some(START) });
    let holds = [1, 2].map(|byte| director.session().holds(&Digest([byte; 32])));
    assert_eq!(holds, [true, false]);
}

#[test]
fn nobody_hears_of_an_entry_before_it_is_durable() {
    let mut director = standby();
    director.handle(START, Input::Lead { claimed: Some(START) });
    let ask = |director: &mut Director, client, key: Option<&str>| {
        let wish = Wish::Apply { desired: Box::new(desired()), framework: "framework-9".into(), by: Applicant::Person };
        director.handle(
            START,
            Input::Request(ClientId(client), Request { key: key.map(str::to_owned), ..Request::new(wish) }),
        );
    };
    // The first is granted; the second is a repeat of it, and the third finds nothing to change.
    ask(&mut director, 1, Some("key"));
    ask(&mut director, 2, Some("key"));
    ask(&mut director, 3, None);
    let said = outputs(&mut director, START);
    assert!(!said.iter().any(|output| output.starts_with("grant")), "{said:?}");
    director.handle(START, Input::Committed(Index(3)));
    let said = outputs(&mut director, START);
    assert_eq!(said[..3], ["grant 1", "grant 2", "grant 3"], "{said:?}");
    ask(&mut director, 4, Some("key"));
    assert_eq!(outputs(&mut director, START)[..1], ["grant 4"], "what is durable is answered at once");
}

fn desired() -> Desired {
    let bundle = Bundle { sha256: Digest([0; 32]), bytes: 1, distro_id: String::new(), version: String::new() };
    let (roles, members) = (Vec::new(), [].into());
    Desired { name: "demo".to_owned(), bundle, roles, members, ceiling: None, root_allowed: false }
}
