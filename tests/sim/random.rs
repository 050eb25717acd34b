//! Random histories: things happen in any order, and what can break breaks; then the faults stop and everything converges.

use std::time::Duration;

use epic_common::backoff::scramble;
use epic_common::ids::AgentId;
use epic_scheduler_core::request::Wish;
use epic_scheduler_core::state::deployment::Run;
use epic_tests::model::{World, agents};

use crate::goals::{converged, uninstalled};

/// Histories in a normal run; `EPIC_SIM_RUNS` asks for more, `EPIC_SIM_SEED` for one of them.
const RUNS: u64 = 2_000;
const STEPS: usize = 200;
/// Kill and subscription back-offs, an agent's time-outs and the replacement deadline all fit in.
const CONVERGENCE: Duration = Duration::from_secs(1_800);

struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        usize::try_from(scramble(self.0) % u64::try_from(sides).unwrap()).unwrap()
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        if all.is_empty() { None } else { Some(all[self.below(all.len())].clone()) }
    }
}

#[test]
fn every_random_history_converges_once_faults_stop() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("EPIC_SIM_SEED") {
        return history(seed);
    }
    for seed in 0..number("EPIC_SIM_RUNS").unwrap_or(RUNS) {
        if std::panic::catch_unwind(|| history(seed)).is_err() {
            panic!("the history of EPIC_SIM_SEED={seed} went wrong, see above");
        }
    }
}

fn history(seed: u64) {
    let mut dice = Dice(seed << 20);
    let mut world = World::new(agents(5));
    world.apply(2);
    for _ in 0..STEPS {
        world.mesos.step(world.now);
        world.collect();
        match dice.below(100) {
            0..70 => happen(&mut world, &mut dice),
            70..84 => {
                let wait = Duration::from_millis([10, 500, 5_000, 60_000][dice.below(4)]);
                world.pass_time(world.now + wait);
            }
            84..90 => wish(&mut world, &mut dice),
            _ => fault(&mut world, &mut dice),
        }
    }
    heal(&mut world);
    world.rest();
    if world.durable.run() == Run::Uninstalling {
        world.until(CONVERGENCE, uninstalled);
    }
    world.insist_on_workers(2);
    world.insist(&Wish::Start);
    world.until(CONVERGENCE, converged);
}

fn happen(world: &mut World, dice: &mut Dice) {
    match dice.pick(&world.actions()) {
        Some(action) => world.perform(action),
        None => drop(world.pass_time(world.now + Duration::from_secs(5))),
    }
}

fn wish(world: &mut World, dice: &mut Dice) {
    match dice.below(12) {
        0..4 => drop(world.apply(u32::try_from(dice.below(4)).unwrap())),
        4 => drop(world.ask(Wish::Stop, None)),
        5..8 => drop(world.ask(Wish::Start, None)),
        8..11 => {
            let members: Vec<_> = world.durable.units.all.keys().cloned().collect();
            if let Some(member) = dice.pick(&members) {
                world.ask(Wish::Restart(member), None);
            }
        }
        _ => drop(world.ask(Wish::Uninstall, None)),
    }
}

fn fault(world: &mut World, dice: &mut Dice) {
    let names: Vec<AgentId> = world.mesos.agents.keys().cloned().collect();
    let agent = dice.pick(&names).unwrap();
    let task = dice.pick(&world.mesos.alive());
    match dice.below(16) {
        0 | 1 => world.crash(),
        2 => world.break_link(),
        3 => {
            let wires = world.wires().count();
            if wires > 0 {
                world.lose_call(dice.below(wires), dice.below(2) == 0);
            }
        }
        4 => world.mesos.rescind(|whose| *whose == agent),
        5 => world.mesos.lose_agent(world.now, &agent),
        6..9 => world.mesos.return_agent(&agent),
        9 => {
            if dice.below(3) == 0 {
                world.mesos.fail_over(world.now);
            }
        }
        10 => world.mesos.launches_to_lose += 1,
        11 => world.mesos.kills_to_lose += 1,
        12 => world.nudges_to_lose += 1,
        13 => world.drop_ghosts(),
        14 => world.mesos.hint_failure(&agent),
        _ => match task {
            Some(task) if dice.below(2) == 0 => world.mesos.crash_task(world.now, &task),
            Some(task) => world.mesos.repeat_update(&task),
            None => {}
        },
    }
}

/// Ends all faults; what has been lost stays lost.
fn heal(world: &mut World) {
    (world.mesos.launches_to_lose, world.mesos.kills_to_lose, world.nudges_to_lose) = (0, 0, 0);
    let names: Vec<_> = world.mesos.agents.keys().cloned().collect();
    for agent in names {
        world.mesos.return_agent(&agent);
    }
}
