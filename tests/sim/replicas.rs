//! Several replicas over one journal: they die, sleep, lose their sessions, and one leads at a time.

use std::time::Duration;

use epic_common::backoff::scramble;
use epic_scheduler_core::mesos::Subscribe;
use epic_scheduler_core::request::{RejectionKind, Wish};
use epic_scheduler_core::state::unit::Task;
use epic_tests::model::{Crash, Process, Replicas, SESSION_TIMEOUT, Step, agents};

const LIMIT: Duration = Duration::from_secs(1_800);
/// Histories in a normal run; `EPIC_SIM_RUNS` asks for more, `EPIC_SIM_SEED` for one of them.
const RUNS: u64 = 300;
const STEPS: usize = 400;

/// One leads, all have applied the same, and everything runs as it is wanted.
pub(crate) fn converged(world: &Replicas) -> Result<(), String> {
    let leading = world.leading();
    if leading.len() != 1 {
        return Err(format!("{leading:?} lead"));
    }
    if let Some(behind) = (0..world.all.len()).find(|who| !world.is_caught_up(*who)) {
        return Err(format!("{behind} is behind"));
    }
    let state = &world.durable;
    let mut wanted = Vec::new();
    for (id, instance) in state.units.all.iter().filter(|(_, instance)| instance.wanted) {
        let live = instance.live.as_ref().ok_or_else(|| format!("{id} has no attempt"))?;
        if !state.units.tasks.get(live).is_some_and(Task::is_ready) {
            return Err(format!("{live} is not ready"));
        }
        wanted.push(live.to_string());
    }
    wanted.sort_unstable();
    let mut alive = world.mesos.alive();
    alive.sort_unstable();
    if alive != wanted || state.units.tasks.len() != wanted.len() {
        return Err(format!("{alive:?} run, {wanted:?} should"));
    }
    let noisy = world.mesos.tasks().find(|(_, _, task)| !task.is_quiet());
    noisy.map_or(Ok(()), |(_, name, _)| Err(format!("an update of {name} is not acknowledged")))
}

pub(crate) fn installed() -> Replicas {
    let mut world = Replicas::new(3, agents(4));
    let wish = world.workers(2);
    world.insist(&wish);
    world.until(LIMIT, converged);
    assert_eq!((world.mesos.launched(), world.durable.epoch(), world.subscriptions.len()), (3, 1, 1));
    world
}

#[test]
fn another_replica_leads_after_the_leader_has_died_and_nothing_restarts() {
    let mut world = installed();
    let (first, framework) = (world.leader(), world.durable.identity.framework.clone());
    world.kill(first);
    world.run_for(SESSION_TIMEOUT / 2);
    assert!(world.leading().is_empty(), "it leads before the session has expired");
    world.run_for(SESSION_TIMEOUT);
    let second = world.leader();
    assert_ne!(first, second);
    world.restart(first);
    world.until(LIMIT, converged);
    assert_eq!((world.leader(), world.durable.epoch(), world.mesos.launched()), (second, 2, 3));
    assert_eq!(world.durable.identity.framework, framework);
    assert_eq!(world.subscriptions, [first, second]);
    assert_eq!(world.durable.identity.leader.as_ref().unwrap().replica, second.to_string());
}

#[test]
fn a_leader_that_wakes_deposed_sends_nothing_and_stands_by() {
    let mut world = installed();
    let first = world.leader();
    world.stop(first);
    world.run_for(SESSION_TIMEOUT * 3);
    let second = world.leading().into_iter().find(|who| *who != first).unwrap();
    let subscriptions = world.subscriptions.clone();
    world.wake(first);
    // It hears that its stream has ended, and its retry comes due, before it hears of its session.
    for _ in 0..20 {
        let now = world.now + Duration::from_secs(1);
        world.pass_time(now);
        while let Some(step) = world.steps().into_iter().find(|step| *step != Step::Hear(first)) {
            world.perform(step);
        }
    }
    assert_eq!(world.deposed, [first], "its barrier was not refused");
    world.until(LIMIT, converged);
    assert_eq!(world.leader(), second);
    assert_eq!(world.subscriptions, subscriptions, "somebody subscribed anew");
    assert_eq!(world.mesos.launched(), 3);
}

#[test]
fn a_break_within_the_session_pauses_the_leader_and_costs_nothing() {
    let mut world = installed();
    let first = world.leader();
    world.cut(first);
    world.rest();
    let (calls, index) = (world.calls, world.durable.index);
    world.mesos.crash_task(world.now, "worker-0.1");
    world.run_for(SESSION_TIMEOUT / 2);
    assert_eq!((world.calls, world.durable.index), (calls, index), "it acts while it is cut off");
    assert_eq!(world.leader(), first);
    world.mend(first);
    world.until(LIMIT, converged);
    assert_eq!((world.leader(), world.durable.epoch(), world.subscriptions.len()), (first, 1, 1));
    assert_eq!(world.mesos.launched(), 4, "the crashed worker was to be replaced");
}

#[test]
fn a_leader_that_is_cut_off_for_longer_gives_way() {
    let mut world = installed();
    let first = world.leader();
    world.cut(first);
    world.run_for(SESSION_TIMEOUT * 2);
    assert!(world.leading().len() == 2, "the one that is cut off can't know it");
    world.mend(first);
    world.until(LIMIT, converged);
    assert_ne!(world.leader(), first);
    assert_eq!(world.subscriptions.len(), 2);
    assert_eq!(world.mesos.launched(), 3);
}

#[test]
fn every_subscription_has_a_barrier_of_its_own() {
    let mut world = installed();
    for breaks in 1..4 {
        world.mesos.break_link();
        subscribed(&mut world, 1 + breaks);
        assert_eq!(world.barriers(), breaks);
    }
    assert_eq!(world.mesos.launched(), 3);
}

/// Waits until there were so many subscriptions and everything is well.
fn subscribed(world: &mut Replicas, times: usize) {
    let enough = |world: &Replicas| world.subscriptions.len() >= times;
    world.until(LIMIT, |world| if enough(world) { Ok(()) } else { Err("nobody subscribes".to_owned()) });
    world.until(LIMIT, converged);
    assert_eq!(world.subscriptions.len(), times);
}

#[test]
fn a_stream_that_somebody_took_is_taken_back_on_a_new_barrier() {
    let mut world = installed();
    let framework = world.durable.identity.framework.clone().unwrap();
    world.mesos.subscribe(&Subscribe { framework, suppressed: true, not_after: None }).unwrap();
    subscribed(&mut world, 2);
    assert_eq!(world.barriers(), 1);
    assert_eq!(world.mesos.launched(), 3);
}

#[test]
fn a_standby_refuses_and_names_the_leader() {
    let mut world = installed();
    let standby = (0..3).find(|who| *who != world.leader()).unwrap();
    let client = world.ask(standby, Wish::Stop, None);
    let refusal = world.answer(client).unwrap().clone().unwrap_err();
    assert_eq!((refusal.kind, refusal.title.as_str()), (RejectionKind::Unavailable, "not the leader"));
    assert!(refusal.detail.contains(&world.durable.identity.leader.as_ref().unwrap().advertise), "{refusal:?}");
}

/// Asks to stop everything, and lets the leader's session expire before it hears whether the batch landed.
fn interrupted(lands: bool) -> Replicas {
    let mut world = installed();
    let first = world.leader();
    let client = world.ask(first, Wish::Stop, Some("stop-1"));
    world.perform(Step::Propose(first));
    world.cut(first);
    assert!(!lands || world.land(first));
    world.run_for(SESSION_TIMEOUT * 2);
    let waiting = world.ask(first, Wish::Start, None);
    world.mend(first);
    while world.steps().contains(&Step::Hear(first)) {
        world.perform(Step::Hear(first));
    }
    world.until(LIMIT, converged);
    for client in [client, waiting] {
        let refusal = world.answer(client).unwrap().clone().unwrap_err();
        assert_eq!((refusal.kind, refusal.title.as_str()), (RejectionKind::Unavailable, "leadership was lost"));
    }
    assert_ne!(world.leader(), first);
    world
}

#[test]
fn a_batch_that_landed_unheard_counts_and_its_retry_is_answered_with_it() {
    let mut world = interrupted(true);
    assert!(world.mesos.alive().is_empty(), "the stop was durable");
    let (granted, index) = (world.durable.granted("stop-1"), world.durable.index);
    assert!(granted.is_some());
    let client = world.ask(world.leader(), Wish::Stop, Some("stop-1"));
    world.rest();
    assert_eq!(world.answer(client).unwrap().as_ref().unwrap().index, granted.unwrap());
    assert_eq!(world.durable.index, index, "it was granted twice");
}

#[test]
fn a_batch_that_did_not_land_is_refused_and_leaves_nothing() {
    let world = interrupted(false);
    assert_eq!(world.durable.granted("stop-1"), None);
    assert_eq!((world.mesos.alive().len(), world.mesos.launched()), (3, 3));
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        usize::try_from(scramble(self.0) % u64::try_from(sides).unwrap()).unwrap()
    }
}

/// Microseconds.
const HOUR: i64 = 3_600_000_000;

#[test]
fn a_clock_an_hour_off_has_no_effect() {
    let times = |skews: [i64; 2]| {
        let mut world = Replicas::new(2, agents(4));
        for (replica, skew) in world.all.iter_mut().zip(skews) {
            replica.skew = skew;
        }
        let wish = world.workers(2);
        world.insist(&wish);
        world.until(LIMIT, converged);
        let first = world.leader();
        world.kill(first);
        world.until(LIMIT, |world| match world.leading()[..] {
            [leader] if leader != first => Ok(()),
            _ => Err("nobody else leads".to_owned()),
        });
        world.restart(first);
        world.until(LIMIT, converged);
        let victim = world.mesos.alive()[0].clone();
        world.mesos.crash_task(world.now, &victim);
        world.until(LIMIT, converged);
        (world.durable.clone(), world.subscriptions.len())
    };
    let expected = times([0, 0]);
    for skews in [[HOUR, 0], [0, HOUR], [-HOUR, 0], [0, -HOUR], [HOUR, -HOUR]] {
        assert!(times(skews) == expected, "clocks {skews:?} microseconds ahead change what is decided, or when");
    }
}

#[test]
fn replicas_that_take_turns_follow_one_another_and_nothing_restarts() {
    let mut world = Replicas::taking_turns(3, agents(4), Some(Duration::from_secs(60)));
    let wish = world.workers(2);
    world.insist(&wish);
    world.until(LIMIT, converged);
    let before = world.mesos.alive();
    for _ in 0..3 {
        let (leader, epoch) = (world.leader(), world.durable.epoch());
        world.until(LIMIT, |world| match world.leading()[..] {
            [another] if another != leader => converged(world),
            _ => Err("nobody else leads".to_owned()),
        });
        assert_eq!((world.durable.epoch(), world.mesos.alive()), (epoch + 1, before.clone()));
    }
}

/// Two replicas install a platform, then one of them dies at an output of its machine, and comes back.
fn installed_with_a_crash(crash_at: Option<(usize, Crash)>, turns: Option<Duration>) -> Replicas {
    let mut world = Replicas::taking_turns(2, agents(4), turns);
    world.crash_at = crash_at;
    let wish = world.workers(2);
    world.insist(&wish);
    world.until(LIMIT, converged);
    let epoch = world.durable.epoch();
    if turns.is_some() {
        world.until(
            LIMIT,
            |world| if world.durable.epoch() > epoch { converged(world) } else { Err("no turn".to_owned()) },
        );
    }
    let found = (world.durable.identity.frameworks_chosen, world.ran());
    assert_eq!(found, (1, 3), "{crash_at:?}: something that ran was started again");
    world
}

#[test]
fn replicas_survive_a_crash_at_every_output_of_their_machines() {
    let turns = Some(Duration::from_secs(60));
    let outputs = installed_with_a_crash(None, turns).outputs;
    assert!(outputs > 100, "only {outputs} outputs");
    for at in 1..=outputs {
        for crash in [Crash::Before, Crash::After] {
            let world = installed_with_a_crash(Some((at, crash)), turns);
            assert_eq!(world.crash_at, None, "nobody died at output {at}");
        }
    }
}

#[test]
fn every_random_history_of_replicas_converges_once_faults_stop() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("EPIC_SIM_SEED") {
        return drop(history(seed));
    }
    let (runs, mut deposed, mut claims) = (number("EPIC_SIM_RUNS").unwrap_or(RUNS), 0, 0);
    for seed in 0..runs {
        let Ok(world) = std::panic::catch_unwind(|| history(seed)) else {
            panic!("the history of EPIC_SIM_SEED={seed} went wrong, see above");
        };
        deposed += u64::try_from(world.deposed.len()).unwrap();
        claims += world.durable.epoch();
    }
    assert!(claims > 2 * runs && deposed * 20 > runs, "{claims} claims and {deposed} deposed in {runs} histories");
}

fn history(seed: u64) -> Replicas {
    let mut dice = Dice(seed << 20);
    let turns = [None, None, None, Some(Duration::from_secs(30))][dice.below(4)];
    let mut world = Replicas::taking_turns(2 + dice.below(2), agents(5), turns);
    for replica in &mut world.all {
        replica.skew = [0, 0, HOUR, -HOUR][dice.below(4)];
    }
    let wish = world.workers(2);
    world.insist(&wish);
    for _ in 0..STEPS {
        world.look();
        match dice.below(100) {
            0..78 => {
                let steps = world.steps();
                if !steps.is_empty() {
                    world.perform(steps[dice.below(steps.len())]);
                }
            }
            78..88 => {
                let wait = Duration::from_millis([10, 500, 4_000, 15_000][dice.below(4)]);
                world.pass_time(world.now + wait);
            }
            88..91 => wish_of(&mut world, &mut dice),
            _ => fault(&mut world, &mut dice),
        }
    }
    heal(&mut world);
    let wish = world.workers(2);
    world.insist(&wish);
    world.insist(&Wish::Start);
    world.until(LIMIT, converged);
    assert_eq!(world.durable.identity.frameworks_chosen, 1);
    world
}

fn wish_of(world: &mut Replicas, dice: &mut Dice) {
    let who = dice.below(world.all.len());
    if world.all[who].process == Process::Dead {
        return;
    }
    let wish = match dice.below(6) {
        0..2 => world.workers(u32::try_from(dice.below(4)).unwrap()),
        2 => Wish::Stop,
        3..5 => Wish::Start,
        _ => Wish::Restart("worker-0".parse().unwrap()),
    };
    world.ask(who, wish, None);
}

fn fault(world: &mut Replicas, dice: &mut Dice) {
    let who = dice.below(world.all.len());
    match dice.below(16) {
        15 => world.fail(who),
        0 => world.kill(who),
        1 | 2 => world.restart(who),
        3 => world.stop(who),
        4 | 5 => world.wake(who),
        6 => world.cut(who),
        7 | 8 => world.mend(who),
        9 => drop(world.land(who)),
        10 => world.mesos.break_link(),
        11 => {
            let alive = world.mesos.alive();
            if !alive.is_empty() {
                world.mesos.crash_task(world.now, &alive[dice.below(alive.len())]);
            }
        }
        12 => world.mesos.launches_to_lose += 1,
        13 => world.mesos.lose_agent(world.now, &"agent-1".into()),
        _ => world.mesos.return_agent(&"agent-1".into()),
    }
}

/// Ends all faults; what has been lost stays lost.
fn heal(world: &mut Replicas) {
    world.mesos.launches_to_lose = 0;
    world.mesos.return_agent(&"agent-1".into());
    for who in 0..world.all.len() {
        world.restart(who);
        world.wake(who);
        world.mend(who);
    }
}
