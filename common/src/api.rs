//! What the scheduler's HTTP interface answers; the same types serve scheduler, `epicctl` and tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An answer to a request that can't be granted.
///
/// Source: RFC 9457, `application/problem+json`; `errors` is an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A word for programs, such as `invalid`, `conflict`, `unauthorized`, `not-found`, `unavailable`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line for people: what was refused.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Why, and what to do next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Each field that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One wrong field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where, such as `spec.workers.count`.
    pub path: String,
    /// What was found and what is allowed.
    pub problem: String,
}

/// An answer to a request that was granted and is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The journal index at which it is durable.
    pub index: u64,
    /// What happens now, for people.
    pub message: String,
}

/// The token that is to count from now on. `PUT /api/v2/token`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Its sha256; the token itself is told to nobody.
    pub sha256: String,
}

/// Who holds an artifact. `PUT /api/v2/artifacts/SHA256`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactView {
    /// Its sha256.
    pub sha256: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many replicas hold it.
    pub held: u32,
    /// How many take part.
    pub replicas: u32,
    /// The others, each with the reason; they are handed it later.
    pub lacking: Vec<LackingView>,
}

/// A replica that doesn't hold an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LackingView {
    /// Its URL.
    pub replica: String,
    /// Why not.
    pub why: String,
}

/// The platform: what is wanted, what is there, and why they differ. `GET /api/v2/platform`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformView {
    /// The journal index at which this is true.
    pub index: u64,
    /// `none`, `installing`, `ready`, `degraded`, `stopping`, `stopped`, `uninstalling` or `uninstalled`.
    pub phase: String,
    /// RFC 3339, when the phase began, as far as the journal tells; empty if nothing is known.
    pub since: String,
    /// Members that are ready, of those wanted, in percent.
    pub percent: u8,
    /// The link to Mesos.
    pub mesos: MesosView,
    /// What was applied; absent before the first apply.
    pub desired: Option<DesiredView>,
    /// Every member, by name.
    pub instances: Vec<InstanceView>,
    /// Every host on which something is or was granted, by name.
    pub hosts: Vec<HostView>,
    /// What the platform as a whole waits for, one sentence each.
    pub waiting: Vec<String>,
}

/// The link to Mesos.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MesosView {
    /// The framework id; empty until it is chosen.
    pub framework_id: String,
    /// The role whose reservations are used.
    pub role: String,
    /// Whether a subscription stands.
    pub subscribed: bool,
    /// The last error of the link; empty when it is fine.
    pub problem: String,
}

/// What was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DesiredView {
    /// The platform's name.
    pub name: String,
    /// Who made the bundle, and which.
    pub distro_id: String,
    /// The bundle's version.
    pub version: String,
    /// The bundle's sha256.
    pub bundle: String,
    /// Members wanted of each role.
    pub members: BTreeMap<String, u32>,
    /// `running` or `stopped`.
    pub run: String,
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceView {
    /// Its name, such as `worker-1`.
    pub id: String,
    /// Its role.
    pub role: String,
    /// `waiting`, `launching`, an executor's phase (`fetching` … `ready`), `unreachable`, `stopping` or `stopped`.
    pub phase: String,
    /// Progress of the phase in percent.
    pub percent: Option<u8>,
    /// The current attempt, 0 before the first.
    pub attempt: u32,
    /// The Mesos task of the attempt; empty if none is live.
    pub task: String,
    /// The agent it runs on.
    pub agent: String,
    /// The agent's host name.
    pub host: String,
    /// RFC 3339, when the phase began.
    pub since: String,
    /// What was last said of it: by Mesos, the executor or the scheduler.
    pub reason: String,
    /// Why it isn't placed yet: one sentence for each reason that binds.
    pub waiting: Vec<String>,
    /// Where its services are reached.
    pub endpoints: Vec<EndpointView>,
    /// How its services are.
    pub services: Vec<ServiceView>,
}

/// Where a service is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    /// The service.
    pub service: String,
    /// Its URL.
    pub url: String,
    /// Whether people open it in a browser.
    pub is_dashboard: bool,
}

/// How a service is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// The service.
    pub id: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Restarts within the attempt.
    pub restarts: u32,
    /// Why it isn't ready or last ended; may be empty.
    pub reason: String,
}

/// One host: a line of the reservation ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostView {
    /// The agent's host name.
    pub host: String,
    /// The agent's id.
    pub agent: String,
    /// Whether the agent can be reached, as far as is known.
    pub reachable: bool,
    /// What is reserved there for the role, as last seen.
    pub granted: AmountView,
    /// What of it is used by live attempts and their executor.
    pub used: AmountView,
    /// The members there.
    pub instances: Vec<String>,
}

/// An amount for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmountView {
    /// Cores, such as `1.5`.
    pub cpus: String,
    /// Memory, such as `2GiB`.
    pub memory: String,
}

/// What a replica is to the others. `GET /api/v2/leader`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderView {
    /// `alone` (without ZooKeeper), `standby`, `claiming` (elected, not yet leading) or `leading`.
    pub mode: String,
    /// The leader's URL, as this replica knows it; absent while nobody is known to lead.
    pub leader: Option<String>,
    /// RFC 3339, since when that one leads; empty while nobody is known to lead, and without ZooKeeper.
    pub since: String,
    /// The highest epoch in the journal; 0 before the first claim and without ZooKeeper.
    pub epoch: u64,
    /// The last entry of the journal that this replica has applied.
    pub index: u64,
    /// The URL of the replica that answers.
    pub replica: String,
    /// Whether it has applied all that was in the journal a moment ago.
    pub caught_up: bool,
    /// Why it isn't what it should be; empty if nothing is wrong.
    pub problem: String,
}
