//! Decides which waiting member starts on which offer.

use std::collections::BTreeMap;

use epic_common::ids::{Attempt, ExecutorId, TaskId, UnitId};

use super::{Draft, identity};
use crate::document;
use crate::matcher::{Demand, ExecutorNeeds, Fit, Placed, Reason, Unfit, match_offers};
use crate::mesos::Executor;
use crate::policy::{Policy, REASONS_MAX};
use crate::session::Session;
use crate::state::entry::{Fact, LaunchDecided, UnitLaunched};
use crate::state::unit::resources;

/// Members that are tried in one plan; more wait for the next.
const DEMANDS_MAX: usize = 200;

pub(super) fn step(draft: &mut Draft<'_>, session: &Session, policy: &Policy) {
    if !session.link.is_up() || !draft.has_room() {
        return;
    }
    let Some(desired) = draft.state.platform().cloned() else { return };
    let is_held = session.holds(&desired.bundle.sha256);
    if is_held && session.offers.is_empty() {
        return;
    }
    let ready = |id: &&UnitId| draft.state.units.all.get(*id).is_some_and(|unit| unit.not_before <= draft.now);
    let demands: Vec<_> = draft
        .state
        .units
        .unplaced
        .iter()
        .filter(ready)
        .take(DEMANDS_MAX)
        .filter_map(|id| Some(Demand { unit: id.clone(), needs: desired.role(&id.role)? }))
        .collect();
    if demands.is_empty() {
        return;
    }
    if !is_held {
        let reason = Reason::NotHeld { bundle: desired.bundle.sha256 };
        let reasons = vec![Unfit { hostname: String::new(), reason }];
        draft.plan.unmet = Some(demands.into_iter().map(|demand| (demand.unit, reasons.clone())).collect());
        return;
    }
    let mut offers: Vec<_> = session.offers.values().collect();
    offers.sort_by(|a, b| (&a.agent, &a.id).cmp(&(&b.agent, &b.id)));
    let executor = ExecutorNeeds { cpus: policy.executor_cpus, mem: policy.executor_mem };
    let matching = match_offers(&draft.state, &demands, &offers, (executor, REASONS_MAX));
    let mut unmet: BTreeMap<_, _> = matching.unmet;
    unmet.retain(|id, _| draft.state.units.unplaced.contains(id));
    draft.plan.unmet = Some(unmet);
    if !matching.placed.is_empty() {
        identity::choose(draft, session);
    }
    for placed in matching.placed {
        if !draft.has_room() {
            break;
        }
        decide(draft, session, policy, placed);
    }
}

fn decide(draft: &mut Draft<'_>, session: &Session, policy: &Policy, placed: Placed) {
    let (Some(offer), Some(stream)) = (session.offers.get(&placed.offer), session.link.stream()) else { return };
    let Some(unit) = draft.state.units.all.get(&placed.unit) else { return };
    let task = TaskId { attempt: attempt(draft, &placed.unit, unit.attempt), unit: placed.unit };
    let executor = draft.state.ledger.executors.get(&offer.agent).cloned().unwrap_or_else(|| executor(draft, policy));
    let (agent, hostname, stream) = (offer.agent.clone(), offer.hostname.clone(), stream.clone());
    let Fit { grant, disk_reserved, ports_reserved } = placed.fit;
    let Some(deployment) = draft.state.deployments.get(&task.unit.deployment) else { return };
    let program = deployment.program(&task.unit.role, task.unit.ordinal);
    let resources = resources(&grant, disk_reserved, &ports_reserved);
    let offers = vec![placed.offer.clone()];
    let launched = UnitLaunched { task, agent, hostname, offers, stream, program, grant, resources, executor };
    let mut fact = Fact::UnitLaunched(Box::new(launched));
    if let (Fact::UnitLaunched(launched), false) = (&fact, session.is_known_by_all(&fact)) {
        // An earlier version takes the rest from what is wanted, which can't change as long as it may lead.
        let UnitLaunched { task, agent, hostname, stream, grant, executor, .. } = (**launched).clone();
        let offer = placed.offer;
        fact = Fact::LaunchDecided(Box::new(LaunchDecided {
            task,
            agent,
            hostname,
            offer,
            stream,
            grant,
            disk_reserved,
            ports_reserved,
            executor,
        }));
    }
    draft.decide(fact);
}

/// Counts on from the last attempt of a member, also from one that only Mesos knows of: its name is taken.
fn attempt(draft: &Draft<'_>, unit: &UnitId, last: Attempt) -> Attempt {
    let strangers = draft.state.strangers.keys().filter_map(|name| name.parse::<TaskId>().ok());
    let taken = strangers.filter(|task| task.unit == *unit).map(|task| task.attempt).max();
    taken.map_or(last, |taken| last.max(taken)).next()
}

/// Describes a new executor; its name carries what describes it and is never used twice.
fn executor(draft: &Draft<'_>, policy: &Policy) -> Executor {
    let url = format!("{}/artifacts/{}", policy.advertise, policy.executor_sha256);
    let described = format!("{url} {} {}", policy.executor_cpus.0, policy.executor_mem.0);
    let id = format!("epic-{}-{}", draft.state.ledger.executors_decided + 1, document::digest(&described).short());
    Executor {
        id: ExecutorId::new(id),
        url,
        sha256: policy.executor_sha256,
        cpus: policy.executor_cpus,
        mem: policy.executor_mem,
    }
}
