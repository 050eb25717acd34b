//! What a bundle says of itself: roles, services, and how each service runs.

mod raw;
mod service;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{RoleId, ServiceId};
use crate::invalid::Invalids;
use crate::resources::{Bytes, MilliCpus};

/// A valid manifest of a bundle, platform or app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Who made what, such as `open/platform`.
    pub distro_id: String,
    /// Version and package release, such as `1.0.0-1`.
    pub version: String,
    /// Name for people.
    pub name: String,
    /// One line for people, may be empty.
    pub description: String,
    /// The selected roles in the manifest's order, each with at least one service.
    pub roles: Vec<Role>,
    /// Facts for templates.
    pub config_meta: BTreeMap<String, String>,
}

/// A kind of member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub id: RoleId,
    /// How many members it may have.
    pub cardinality: Cardinality,
    /// Cores of each member; all its services share them.
    pub cpus: MilliCpus,
    /// Memory of each member; all its services share it.
    pub mem: Bytes,
    /// Disk of each member, zero for none.
    pub disk: Bytes,
    /// What runs in each member, in the order in which it is started.
    pub services: Vec<Service>,
}

impl Role {
    /// Returns the ports that a member needs, by name, in the order of services.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.services.iter().flat_map(|service| &service.ports)
    }

    /// Tells whether any service of the role renders `document`.
    #[must_use]
    pub fn reads(&self, document: Document) -> bool {
        self.services.iter().any(|service| service.documents.contains(&document))
    }
}

/// How many members a role may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// `N`: just so many.
    Exactly(u32),
    /// `N+`: so many or more.
    AtLeast(u32),
}

impl Cardinality {
    /// Tells whether `count` members are allowed.
    #[must_use]
    pub const fn allows(self, count: u32) -> bool {
        match self {
            Self::Exactly(n) => count == n,
            Self::AtLeast(n) => count >= n,
        }
    }
}

/// Shows `1` or `1+`.
impl std::fmt::Display for Cardinality {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(n) => write!(f, "{n}"),
            Self::AtLeast(n) => write!(f, "{n}+"),
        }
    }
}

/// One program of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, unique in the manifest.
    pub id: ServiceId,
    /// Where people or programs reach it.
    pub endpoint: Option<Endpoint>,
    /// Program and arguments; `{{…}}` in each is rendered; a relative program is below the payload.
    pub command: Vec<String>,
    /// Environment beside the `EPIC_*` facts; values are rendered.
    pub env: BTreeMap<String, String>,
    /// Files rendered before the start and when a document changes.
    pub templates: Vec<Template>,
    /// Documents that its templates use.
    pub documents: Vec<Document>,
    /// Ports it binds.
    pub ports: Vec<Port>,
    /// How to tell that it works; without one it is ready once started.
    pub health: Option<Health>,
    /// How it is stopped.
    pub stop: Stop,
    /// Who runs it; `None` is an unprivileged user of the executor's choice.
    pub user: Option<String>,
    /// The signal sent after a template changed; `None` if the program looks for itself.
    pub reload: Option<Signal>,
}

/// Where a service is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `http`, `spark`, …
    pub url_scheme: String,
    /// The name of one of the service's ports.
    pub port: String,
    /// Path for schemes that have one, begins with `/`.
    pub path: String,
    /// Whether people open it in a browser.
    pub is_dashboard: bool,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name, unique in the role; the environment has `EPIC_PORT_<NAME>`.
    pub name: String,
    /// The number, `None` if any port of the offer will do.
    pub fixed: Option<u16>,
}

/// A file rendered from the grant and the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Path in the payload.
    pub source: String,
    /// Path below the service's directory.
    pub target: String,
}

/// A document that the scheduler renders from its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Document {
    /// `members`: every member of every role with its host and ports.
    Members,
}

impl Document {
    /// Returns its name in manifests and templates.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Members => "members",
        }
    }
}

/// How to tell that a service works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What to ask.
    pub probe: Probe,
    /// Time between two probes.
    pub interval: Duration,
    /// Time that one probe may take.
    pub timeout: Duration,
    /// Time after the start in which failures don't count.
    pub grace: Duration,
    /// Failures in a row after which the service is restarted.
    pub failures: u32,
}

/// What to ask a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// GET of this path at the named port answers 200 to 399.
    Http {
        /// Port name.
        port: String,
        /// Begins with `/`.
        path: String,
    },
    /// The named port accepts a connection.
    Tcp {
        /// Port name.
        port: String,
    },
    /// The command ends with exit code 0; run as the service's user in its cgroup.
    Command(Vec<String>),
}

/// How a service is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Sent first.
    pub signal: Signal,
    /// Time until all of the service's processes are killed; at most [`STOP_GRACE_MAX`].
    pub grace: Duration,
}

/// The longest grace: whoever waits for the end of a service must not wait for days.
pub const STOP_GRACE_MAX: Duration = Duration::from_secs(600);

/// A signal that a manifest may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, by path; an unknown field is wrong.
    pub fn parse(yaml: &str) -> Result<Self, Invalids> {
        validate::manifest(crate::invalid::from_yaml("manifest", yaml)?)
    }

    /// Finds a role by its name.
    #[must_use]
    pub fn role(&self, id: &RoleId) -> Option<&Role> {
        self.roles.iter().find(|role| role.id == *id)
    }
}
