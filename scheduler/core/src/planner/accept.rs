//! Sends launches that are committed and belong to the subscription that stands.

use std::collections::BTreeMap;

use epic_common::conversation::LaunchOrder;
use epic_common::ids::OfferId;

use super::Plan;
use crate::document;
use crate::mesos::{Call, Launch};
use crate::policy::Policy;
use crate::session::Session;
use crate::state::State;
use crate::state::unit::{Progress, Task};

pub(super) fn step(plan: &mut Plan, state: &State, session: &Session, policy: &Policy) {
    let mut by_offers: BTreeMap<&[OfferId], Vec<&Task>> = BTreeMap::new();
    for task in session.unsent.iter().filter_map(|id| state.units.tasks.get(id)) {
        let Progress::Launching { offers, stream } = &task.progress else { continue };
        if session.accepting.contains(&task.id) {
            continue;
        }
        let sendable = session.link.stream() == Some(stream)
            && offers.iter().all(|offer| session.offers.contains_key(offer))
            && task.kill.is_none();
        if sendable {
            by_offers.entry(offers).or_default().push(task);
        } else if session.questions.tries(&task.id).is_none() {
            plan.questions.push(task.id.clone());
        }
    }
    let sources = session.sources(policy);
    for (offers, tasks) in by_offers {
        let Some(agent) = tasks.first().map(|task| task.agent.clone()) else { continue };
        let launches: Vec<_> = tasks.into_iter().map(|task| launch(state, &sources, task)).collect();
        plan.calls.push(Call::Accept { offers: offers.to_vec(), agent, launches, refuse: policy.refuse_unneeded });
    }
}

fn launch(state: &State, sources: &[String], task: &Task) -> Launch {
    let program = &task.program;
    let order = LaunchOrder {
        task: task.id.clone(),
        role: task.id.unit.role.clone(),
        bundle: program.bundle,
        bundle_bytes: program.bundle_bytes,
        artifacts: sources.to_vec(),
        grant: task.grant.clone(),
        hostname: task.hostname.clone(),
        platform: program.deployment.clone(),
        root_allowed: program.root_allowed,
        documents: if program.reads_members { document::current(state).into_iter().collect() } else { Vec::new() },
    };
    let label = |key: &str, value: String| (key.to_owned(), value);
    let mut labels = vec![
        label("epic.instance", task.id.unit.to_string()),
        label("epic.attempt", task.id.attempt.to_string()),
        label("epic.bundle", program.bundle.to_string()),
    ];
    labels.extend(state.identity.installation.iter().map(|id| label("epic.installation", id.clone())));
    Launch {
        agent: task.agent.clone(),
        order,
        resources: task.resources.clone(),
        executor: task.executor.clone(),
        labels,
    }
}
