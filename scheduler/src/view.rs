//! What others may see of the scheduler: the last state that was published, as people read it.

mod member;
mod waiting;
pub mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use epic_common::api::{AmountView, DesiredView, HostView, InstanceView, MesosView, PlatformView};
use epic_common::ids::{AgentId, UnitId};
use epic_common::resources::{Bytes, MilliCpus};
use epic_common::time::Timestamp;
use epic_scheduler_core::matcher::Unfit;
use epic_scheduler_core::session::Link;
use epic_scheduler_core::state::deployment::{Deployment, Run};
use epic_scheduler_core::state::unit::Progress;
use epic_scheduler_core::state::{State, Unit};

use crate::replica::Replica;

/// All that a view is made of; published by the director's actor whenever it changes.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// What is committed.
    pub state: State,
    /// The link to Mesos.
    pub link: Link,
    /// Why members aren't placed, as of the last matching with offers.
    pub unmet: BTreeMap<UnitId, Vec<Unfit>>,
    /// When offers last came.
    pub offers_at: Option<Timestamp>,
    /// The role whose reservations are used.
    pub role: String,
    /// How long an agent may be unreachable before its members are replaced.
    pub unreachable_after: Duration,
    /// When it was published.
    pub at: Timestamp,
}

/// Members that are ready, of those that were applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Applied, whether or not they are to run now.
    pub wanted: u32,
    /// Ready.
    pub ready: u32,
}

/// Shows the platform. Members are in the order of the bundle's roles, then by number.
///
/// Every member that was applied is there, and every other of which an attempt may live. O(members + hosts).
#[must_use]
pub fn platform(published: &Published, now: Timestamp) -> PlatformView {
    let state = &published.state;
    let instances = members(published, now);
    let count = counts(state).values().fold(Count::default(), |sum, count| Count {
        wanted: sum.wanted + count.wanted,
        ready: sum.ready + count.ready,
    });
    let (phase, since) = phase(state, count);
    PlatformView {
        index: state.index.0,
        phase: phase.to_owned(),
        since: if since == Timestamp(0) { String::new() } else { since.to_string() },
        percent: percent(count),
        mesos: MesosView {
            framework_id: state.identity.framework.as_ref().map(ToString::to_string).unwrap_or_default(),
            role: published.role.clone(),
            subscribed: published.link.is_up(),
            problem: published.link.problem().to_owned(),
        },
        desired: state.platform().map(|desired| view_of_desired(desired, state.run())),
        instances,
        hosts: hosts(state),
        waiting: waiting::platform(published),
    }
}

/// Changes what [`platform`] shows to what is true at a replica that doesn't decide: the leader has the link to Mesos.
///
/// Why a member isn't placed is known there, too, so the member's sentence says who that is.
pub fn stand_by(view: &mut PlatformView, published: &Published, replica: &Replica) {
    let link = waiting::link(&published.link);
    view.waiting.retain(|sentence| *sentence != link);
    let members = view.instances.iter_mut().flat_map(|member| &mut member.waiting);
    members.filter(|sentence| **sentence == link).for_each(|sentence| *sentence = replica.sentence());
    view.mesos.subscribed = false;
    view.mesos.problem = replica.sentence();
}

/// Counts the members of each role that was applied, by the role's name.
#[must_use]
pub fn counts(state: &State) -> BTreeMap<&str, Count> {
    let mut counts = BTreeMap::new();
    let Some(platform) = state.platform() else { return counts };
    for role in &platform.roles {
        counts.insert(role.id.as_str(), Count::default());
    }
    for (role, _) in platform.wanted.keys() {
        if let Some(count) = counts.get_mut(role.as_str()) {
            count.wanted += 1;
        }
    }
    for (id, _) in state.units.all.iter().filter(|(_, unit)| unit.wanted && is_ready(state, unit)) {
        if let Some(count) = counts.get_mut(id.role.as_str()) {
            count.ready += 1;
        }
    }
    counts
}

/// Says why the scheduler isn't of use now, or `None` if it is.
///
/// It is ready when a subscription stands, and when none is wanted because there is no platform.
#[must_use]
pub fn unready(published: &Published) -> Option<String> {
    if published.state.identity.framework.is_none() || published.link.is_up() {
        return None;
    }
    Some(waiting::link(&published.link))
}

fn is_ready(state: &State, instance: &Unit) -> bool {
    instance.live.as_ref().and_then(|task| state.units.tasks.get(task)).is_some_and(member::is_ready)
}

fn percent(count: Count) -> u8 {
    let percent = u64::from(count.ready) * 100 / u64::from(count.wanted.max(1));
    u8::try_from(percent).unwrap_or(100).min(100)
}

/// Names the phase, and says when it began.
///
/// A platform that isn't ready is `degraded` rather than `installing` once any member has ended, can't be reached or
/// doesn't answer since the last wish.
fn phase(state: &State, count: Count) -> (&'static str, Timestamp) {
    let since = |instance: &Unit| {
        let live = instance.live.as_ref().and_then(|task| state.units.tasks.get(task));
        live.map_or(instance.since, |task| task.since)
    };
    let wanted = || state.units.all.values().filter(|instance| instance.wanted);
    match (state.platform(), state.run()) {
        (None, _) if state.identity.frameworks_chosen > 0 => ("uninstalled", state.since()),
        (None, _) => ("none", state.since()),
        (Some(_), Run::Uninstalling) => ("uninstalling", state.since()),
        (Some(_), Run::Stopped) if state.units.tasks.is_empty() => {
            ("stopped", state.units.all.values().map(since).fold(state.since(), Timestamp::max))
        }
        (Some(_), Run::Stopped) => ("stopping", state.since()),
        (Some(_), Run::Running) if count.ready >= count.wanted => {
            ("ready", wanted().map(since).fold(state.since(), Timestamp::max))
        }
        (Some(_), Run::Running) => {
            let failing = wanted().filter(|instance| !is_ready(state, instance) && is_failing(state, instance));
            failing.map(since).min().map_or(("installing", state.since()), |first| ("degraded", first))
        }
    }
}

/// Tells whether a member that isn't ready has been further already.
fn is_failing(state: &State, instance: &Unit) -> bool {
    let ended = instance.attempt.0 > 0 && instance.since > state.since();
    let live = instance.live.as_ref().and_then(|task| state.units.tasks.get(task));
    ended || instance.failures > 0 || live.is_some_and(member::is_failing)
}

fn view_of_desired(desired: &Deployment, run: Run) -> DesiredView {
    DesiredView {
        name: desired.name.clone(),
        distro_id: desired.bundle.distro_id.clone(),
        version: desired.bundle.version.clone(),
        bundle: desired.bundle.sha256.to_string(),
        members: desired.counts().into_iter().map(|(role, count)| (role.to_string(), count)).collect(),
        run: match run {
            Run::Running => "running",
            Run::Stopped | Run::Uninstalling => "stopped",
        }
        .to_owned(),
    }
}

fn members(published: &Published, now: Timestamp) -> Vec<InstanceView> {
    let state = &published.state;
    let place = |id: &UnitId| {
        let roles = state.platform().into_iter().flat_map(|platform| &platform.roles);
        (roles.map(|role| &role.id).position(|role| *role == id.role), id.ordinal)
    };
    let is_applied = |id: &UnitId| {
        state.platform().is_some_and(|platform| platform.wanted.contains_key(&(id.role.clone(), id.ordinal)))
    };
    let shown = |(id, unit): &(&UnitId, &Unit)| unit.live.is_some() || is_applied(id);
    let mut members: Vec<_> = state.units.all.iter().filter(shown).collect();
    members.sort_by_cached_key(|(id, _)| (place(id), (*id).clone()));
    members.into_iter().map(|(id, instance)| member::view(published, id, instance, now)).collect()
}

fn hosts(state: &State) -> Vec<HostView> {
    let agents: BTreeSet<&AgentId> = state.ledger.hosts.keys().chain(state.units.on_agent.keys()).collect();
    let mut hosts: Vec<_> = agents.into_iter().map(|agent| host(state, agent)).collect();
    hosts.sort_by(|a, b| (&a.host, &a.agent).cmp(&(&b.host, &b.agent)));
    hosts
}

fn host(state: &State, agent: &AgentId) -> HostView {
    let line = state.ledger.hosts.get(agent);
    let tasks: Vec<_> =
        state.units.on_agent.get(agent).into_iter().flatten().filter_map(|id| state.units.tasks.get(id)).collect();
    let hostname = line.map(|line| &line.hostname).or_else(|| tasks.first().map(|task| &task.hostname));
    let used = state.used(agent);
    HostView {
        host: hostname.cloned().unwrap_or_default(),
        agent: agent.to_string(),
        reachable: !tasks.iter().any(|task| matches!(task.progress, Progress::Unreachable(_))),
        granted: line.map_or_else(|| amount(MilliCpus(0), Bytes(0)), |line| amount(line.cpus, line.mem)),
        used: amount(used.cpus, used.mem),
        instances: tasks.iter().map(|task| task.id.unit.to_string()).collect(),
    }
}

fn amount(cpus: MilliCpus, mem: Bytes) -> AmountView {
    AmountView { cpus: cpus.to_string(), memory: mem.to_string() }
}
