//! Agents, a platform and a policy to test with.

use std::collections::BTreeMap;

use epic_common::ids::{AgentId, Digest};
use epic_common::manifest::Cardinality;
use epic_common::resources::{Bytes, MIB, MilliCpus, PortRange, Ports};
use epic_scheduler::journal::codec;
use epic_scheduler_core::policy::{Measure, Policy};
use epic_scheduler_core::state::deployment::{Bundle, Desired, RoleNeeds};

use super::{Agent, Pool, Presence};

/// Makes agents `agent-1`, `agent-2`, …, each with 2 cores and 2 GiB reserved, 10 GiB of disk and 10 ports.
#[must_use]
pub fn agents(count: u8) -> Vec<Agent> {
    let total = Pool {
        cpus: MilliCpus(2_000),
        mem: Bytes(2_048 * MIB),
        disk: Bytes(10_240 * MIB),
        ports: Ports::new([PortRange { first: 31_000, last: 31_009 }]),
    };
    (1..=count)
        .map(|nth| Agent {
            id: AgentId::new(format!("agent-{nth}")),
            hostname: format!("10.0.0.{nth}"),
            total: total.clone(),
            presence: Presence::Registered,
            connected: true,
            unreachable_at: None,
            tasks: BTreeMap::new(),
        })
        .collect()
}

/// Wants one controller, which reads the members, and so many workers, which read nothing.
#[must_use]
pub fn desired(workers: u32) -> Desired {
    let role = |id: &str, cardinality| RoleNeeds {
        id: id.into(),
        cardinality,
        cpus: MilliCpus(500),
        mem: Bytes(512 * MIB),
        disk: Bytes(1_024 * MIB),
        ports: [("web".to_owned(), None)].into(),
        reads_members: id == "controller",
        endpoints: Vec::new(),
    };
    Desired {
        name: "demo".to_owned(),
        bundle: Bundle {
            sha256: Digest([0xab; 32]),
            bytes: 1_000,
            distro_id: "open/platform".to_owned(),
            version: "1".to_owned(),
        },
        roles: vec![role("controller", Cardinality::Exactly(1)), role("worker", Cardinality::AtLeast(0))],
        members: [("controller".into(), 1), ("worker".into(), workers)].into(),
        ceiling: None,
        root_allowed: false,
    }
}

/// Returns the defaults.
#[must_use]
pub fn policy() -> Policy {
    let policy = Policy::new("BlueData".to_owned(), "http://10.0.0.100:8080".to_owned(), Digest([0xcd; 32]));
    Policy { measure: Measure(codec::measure), ..policy }
}
