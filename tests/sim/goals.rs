//! What a world comes to.

use epic_scheduler_core::document;
use epic_scheduler_core::mesos::TaskState;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::Run;
use epic_scheduler_core::state::unit::Task;
use epic_tests::model::World;

/// Everything is as it is wanted, and nothing is left over anywhere.
pub(crate) fn converged(world: &World) -> Result<(), String> {
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
    if alive != wanted {
        return Err(format!("{alive:?} run, {wanted:?} should"));
    }
    quiet(world)?;
    informed(world)
}

fn names(state: &State) -> Vec<String> {
    state.units.tasks.keys().map(ToString::to_string).collect()
}

/// Nobody waits for anything.
fn quiet(world: &World) -> Result<(), String> {
    if let Some((_, name, _)) = world.mesos.tasks().find(|(_, _, task)| !task.is_quiet()) {
        return Err(format!("an update of {name} is not acknowledged"));
    }
    if world.durable.units.tasks.len() != world.mesos.alive().len() || !world.durable.strangers.is_empty() {
        return Err(format!("{:?} and {:?} are left", names(&world.durable), world.durable.strangers));
    }
    if world.durable.identity.framework.is_some()
        && !(world.director.session().link.is_up() && world.mesos.is_suppressed())
    {
        return Err("it isn't subscribed, or offers are still wanted".to_owned());
    }
    if world.mesos.offers_held() != 0 {
        return Err(format!("{} offers are held", world.mesos.offers_held()));
    }
    Ok(())
}

/// Who reads the members has the newest list.
fn informed(world: &World) -> Result<(), String> {
    let state = &world.durable;
    if state.run() != Run::Running || state.platform().is_none() {
        return Ok(());
    }
    let current = document::current(state).ok_or("the list of members isn't durable")?;
    for (_, name, task) in world.mesos.tasks() {
        let known = task.documents.get(document::MEMBERS).copied().unwrap_or(0);
        if task.order.role.as_str() == "controller" && task.state == TaskState::Running && known != current.generation {
            return Err(format!("{name} has generation {known} of the members, {} is the newest", current.generation));
        }
    }
    Ok(())
}

/// The platform is gone, and Mesos has forgotten the framework.
pub(crate) fn uninstalled(world: &World) -> Result<(), String> {
    let state = &world.durable;
    if state.identity.framework.is_some() || state.platform().is_some() || !state.units.tasks.is_empty() {
        return Err(format!("run is {:?}, {:?} are left", state.run(), names(state)));
    }
    if !world.mesos.alive().is_empty() || world.mesos.framework().is_some() {
        return Err(format!("{:?} run, Mesos knows {:?}", world.mesos.alive(), world.mesos.framework()));
    }
    Ok(())
}
