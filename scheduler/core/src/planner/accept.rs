//! Sends launches that are committed and belong to the subscription that stands.

use std::collections::BTreeMap;

use epic_common::conversation::LaunchOrder;
use epic_common::ids::OfferId;
use epic_common::resources::{Bytes, PortRange, Ports};

use super::Plan;
use crate::document;
use crate::mesos::{Amount, Call, Launch, Reservation, Resource};
use crate::policy::Policy;
use crate::session::Session;
use crate::state::State;
use crate::state::deployment::Deployment;
use crate::state::unit::{Progress, Task};

pub(super) fn step(plan: &mut Plan, state: &State, session: &Session, policy: &Policy) {
    let Some(desired) = state.platform() else { return };
    let mut by_offer: BTreeMap<&OfferId, Vec<&Task>> = BTreeMap::new();
    for task in session.unsent.iter().filter_map(|id| state.units.tasks.get(id)) {
        let Progress::Launching { offer, stream } = &task.progress else { continue };
        if session.accepting.contains(&task.id) {
            continue;
        }
        let sendable =
            session.link.stream() == Some(stream) && session.offers.contains_key(offer) && task.kill.is_none();
        if sendable {
            by_offer.entry(offer).or_default().push(task);
        } else if session.questions.tries(&task.id).is_none() {
            plan.questions.push(task.id.clone());
        }
    }
    let sources = session.sources(policy);
    for (offer, tasks) in by_offer {
        let Some(agent) = tasks.first().map(|task| task.agent.clone()) else { continue };
        let launches: Vec<_> = tasks.into_iter().map(|task| launch(state, desired, &sources, task)).collect();
        plan.calls.push(Call::Accept { offer: offer.clone(), agent, launches, refuse: policy.refuse_unneeded });
    }
}

fn launch(state: &State, desired: &Deployment, sources: &[String], task: &Task) -> Launch {
    let role = &task.id.unit.role;
    let reads_members = desired.role(role).is_some_and(|needs| needs.reads_members);
    let order = LaunchOrder {
        task: task.id.clone(),
        role: role.clone(),
        bundle: desired.bundle.sha256,
        bundle_bytes: desired.bundle.bytes,
        artifacts: sources.to_vec(),
        grant: task.grant.clone(),
        hostname: task.hostname.clone(),
        platform: desired.name.clone(),
        root_allowed: desired.root_allowed,
        documents: if reads_members { document::current(state).into_iter().collect() } else { Vec::new() },
    };
    let label = |key: &str, value: String| (key.to_owned(), value);
    let labels = vec![
        label("epic.unit", task.id.unit.to_string()),
        label("epic.attempt", task.id.attempt.to_string()),
        label("epic.bundle", desired.bundle.sha256.to_string()),
    ];
    Launch { agent: task.agent.clone(), order, resources: resources(task), executor: task.executor.clone(), labels }
}

/// Names what the task takes, each part from where it was found to be.
fn resources(task: &Task) -> Vec<Resource> {
    let resource = |reservation, amount| Resource { reservation, amount };
    let mut resources = vec![
        resource(Reservation::Static, Amount::Cpus(task.grant.cpus)),
        resource(Reservation::Static, Amount::Mem(task.grant.mem)),
    ];
    let free = task.grant.disk.saturating_sub(task.disk_reserved);
    for (reservation, disk) in [(Reservation::Static, task.disk_reserved), (Reservation::Unreserved, free)] {
        if disk > Bytes(0) {
            resources.push(resource(reservation, Amount::Disk(disk)));
        }
    }
    for reservation in [Reservation::Static, Reservation::Unreserved] {
        let reserved = reservation == Reservation::Static;
        let ports = task.grant.ports.values().filter(|port| task.ports_reserved.contains(port) == reserved);
        let set = Ports::new(ports.map(|port| PortRange { first: *port, last: *port }));
        if !set.is_empty() {
            resources.push(resource(reservation, Amount::Ports(set)));
        }
    }
    resources
}
