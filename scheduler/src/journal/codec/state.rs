//! The bytes of the whole state.

use epic_common::ids::{AgentId, Attempt, DeploymentId, RoleId, UnitId};
use epic_common::resources::{Bytes, MilliCpus};
use epic_common::time::Timestamp;
use epic_proto::epic::v1 as proto;
use epic_scheduler_core::state::deployment::Deployment;
use epic_scheduler_core::state::entry::Index;
use epic_scheduler_core::state::identity::{Identity, Leader};
use epic_scheduler_core::state::ledger::{Host, Ledger};
use epic_scheduler_core::state::{Document, State, Stranger, Unit};

use super::parts::{digest, executor, executor_to_proto, name, task_id, task_state, task_state_to_proto, unit_id};
use super::platform::{desired, desired_to_proto, run, run_to_proto};
use super::{Error, FORMAT, Flaw, SNAPSHOT_FORMAT, task};

pub(super) fn to_proto(state: &State) -> proto::Snapshot {
    proto::Snapshot {
        format: if state.kinds == 0 { FORMAT } else { SNAPSHOT_FORMAT },
        index: state.index.0,
        at_micros: state.at.0,
        framework: state.identity.framework.as_ref().map(ToString::to_string),
        role: state.identity.roles.first().cloned(),
        token_sha256: state.identity.token.map(|sha256| sha256.0.to_vec()),
        desired: state.platform().map(|platform| desired_to_proto(&platform.desired())),
        run: run_to_proto(state.run()).into(),
        since_micros: state.since().0,
        instances: state
            .units
            .all
            .iter()
            .map(|(id, instance)| (id.to_string(), instance_to_proto(id, instance)))
            .collect(),
        tasks: state.units.tasks.values().map(|known| task::to_proto(known, state.kinds > 0)).collect(),
        hosts: state.ledger.hosts.iter().map(|(agent, host)| (agent.to_string(), host_to_proto(host))).collect(),
        executors: state
            .ledger
            .executors
            .iter()
            .map(|(agent, known)| (agent.to_string(), executor_to_proto(known)))
            .collect(),
        executors_decided: state.ledger.executors_decided,
        frameworks_chosen: state.identity.frameworks_chosen,
        documents: state.documents.iter().map(|(name, mark)| (name.clone(), document_to_proto(mark))).collect(),
        strangers: state.strangers.iter().map(|(task, stranger)| (task.clone(), stranger_to_proto(stranger))).collect(),
        keys: state.keys.iter().map(|(key, index)| proto::GrantedKey { key: key.clone(), index: index.0 }).collect(),
        leader: state.identity.leader.as_ref().map(leader_to_proto),
        moved_to: state.identity.moved_to.clone(),
        kinds: state.kinds,
        installation: state.identity.installation.clone(),
    }
}

/// Reads all but the indices.
pub(super) fn from_proto(mut snapshot: proto::Snapshot) -> Result<State, Error> {
    let (instances, tasks) = (std::mem::take(&mut snapshot.instances), std::mem::take(&mut snapshot.tasks));
    let mut state = rest(snapshot).map_err(|source| Error::Wrong { object: "a snapshot".to_owned(), source })?;
    for (id, known) in instances {
        let wrong = |source| Error::Wrong { object: format!("instance {id}"), source };
        state.units.all.insert(unit_id("id", &id).map_err(wrong)?, unit(known).map_err(wrong)?);
    }
    for known in tasks {
        let object = format!("task {}", known.id);
        let task = task::from_proto(known, &state).map_err(|source| Error::Wrong { object, source })?;
        state.units.tasks.insert(task.id.clone(), task);
    }
    Ok(state)
}

fn rest(snapshot: proto::Snapshot) -> Result<State, Flaw> {
    let hosts = snapshot.hosts.into_iter().map(|(agent, host)| Ok((agent_id(&agent)?, host_from_proto(host))));
    let executors = snapshot.executors.into_iter().map(|(agent, known)| Ok((agent_id(&agent)?, executor(known)?)));
    let documents = snapshot.documents.into_iter().map(|(name, mark)| Ok((name, document(&mark)?)));
    let strangers = snapshot.strangers.into_iter().map(|(task, known)| Ok((task, stranger(&known)?)));
    let since = Timestamp(snapshot.since_micros);
    let run = run(snapshot.run)?;
    let platform = snapshot.desired.map(desired).transpose()?.map(|desired| Deployment {
        wanted: desired.wanted(),
        name: desired.name,
        bundle: desired.bundle,
        roles: desired.roles,
        ceiling: desired.ceiling,
        root_allowed: desired.root_allowed,
        run,
        since,
    });
    Ok(State {
        index: Index(snapshot.index),
        at: Timestamp(snapshot.at_micros),
        kinds: snapshot.kinds,
        identity: Identity {
            framework: snapshot.framework.map(|text| name("framework", &text)).transpose()?,
            roles: snapshot.role.into_iter().collect(),
            frameworks_chosen: snapshot.frameworks_chosen,
            installation: snapshot.installation,
            token: snapshot.token_sha256.map(|bytes| digest("token_sha256", &bytes)).transpose()?,
            leader: snapshot.leader.map(leader),
            moved_to: snapshot.moved_to,
            idle_since: if platform.is_none() { since } else { Timestamp::default() },
        },
        deployments: platform.into_iter().map(|platform| (DeploymentId::PLATFORM, platform)).collect(),
        ledger: Ledger {
            hosts: hosts.collect::<Result<_, Flaw>>()?,
            executors: executors.collect::<Result<_, Flaw>>()?,
            executors_decided: snapshot.executors_decided,
        },
        documents: documents.collect::<Result<_, Flaw>>()?,
        strangers: strangers.collect::<Result<_, Flaw>>()?,
        keys: snapshot.keys.into_iter().map(|granted| (granted.key, Index(granted.index))).collect(),
        ..State::default()
    })
}

fn agent_id(text: &str) -> Result<AgentId, Flaw> {
    name("agent", text)
}

fn instance_to_proto(id: &UnitId, instance: &Unit) -> proto::Instance {
    proto::Instance {
        role: id.role.to_string(),
        ordinal: id.ordinal,
        wanted: instance.wanted,
        attempt: instance.attempt.0,
        live: instance.live.as_ref().map(ToString::to_string),
        failures: instance.failures,
        not_before_micros: instance.not_before.0,
        since_micros: instance.since.0,
        last_end: instance.last_end.clone(),
    }
}

fn unit(instance: proto::Instance) -> Result<Unit, Flaw> {
    // Its id says the same; what is blank was not written by this program.
    name::<RoleId>("role", &instance.role)?;
    Ok(Unit {
        wanted: instance.wanted,
        attempt: Attempt(instance.attempt),
        live: instance.live.map(|task| task_id("live", &task)).transpose()?,
        failures: instance.failures,
        not_before: Timestamp(instance.not_before_micros),
        since: Timestamp(instance.since_micros),
        last_end: instance.last_end,
    })
}

fn host_to_proto(host: &Host) -> proto::Host {
    proto::Host { hostname: host.hostname.clone(), milli_cpus: host.cpus.0, mem_bytes: host.mem.0 }
}

fn host_from_proto(host: proto::Host) -> Host {
    Host { hostname: host.hostname, cpus: MilliCpus(host.milli_cpus), mem: Bytes(host.mem_bytes) }
}

fn document_to_proto(mark: &Document) -> proto::Document {
    proto::Document { generation: mark.generation, sha256: mark.sha256.0.to_vec() }
}

fn document(mark: &proto::Document) -> Result<Document, Flaw> {
    Ok(Document { generation: mark.generation, sha256: digest("documents.sha256", &mark.sha256)? })
}

fn stranger_to_proto(stranger: &Stranger) -> proto::Stranger {
    proto::Stranger { agent: stranger.agent.to_string(), state: task_state_to_proto(stranger.state).into() }
}

fn stranger(stranger: &proto::Stranger) -> Result<Stranger, Flaw> {
    Ok(Stranger {
        agent: name("strangers.agent", &stranger.agent)?,
        state: task_state("strangers.state", stranger.state)?,
    })
}

fn leader_to_proto(leader: &Leader) -> proto::Leader {
    proto::Leader {
        epoch: leader.epoch,
        replica: leader.replica.clone(),
        advertise: leader.advertise.clone(),
        since_micros: leader.since.0,
    }
}

fn leader(leader: proto::Leader) -> Leader {
    let since = Timestamp(leader.since_micros);
    Leader { epoch: leader.epoch, replica: leader.replica, advertise: leader.advertise, since }
}
