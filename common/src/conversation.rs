//! What scheduler and executor say to each other.

use std::collections::BTreeMap;

use crate::ids::{Digest, RoleId, ServiceId, TaskId, UnitId};
use crate::resources::Grant;

/// Travels as the data of a Mesos task: everything an executor needs to run one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchOrder {
    /// The attempt.
    pub task: TaskId,
    /// What to run from the bundle.
    pub role: RoleId,
    /// The bundle's sha256.
    pub bundle: Digest,
    /// The bundle's length.
    pub bundle_bytes: u64,
    /// Where artifacts are served, such as `http://10.0.0.1:8080`; tried in turn, at most [`SOURCES_MAX`].
    pub artifacts: Vec<String>,
    /// What the instance may use.
    pub grant: Grant,
    /// The name under which the host is known to others.
    pub hostname: String,
    /// The platform's name.
    pub platform: String,
    /// Whether services may run as root.
    pub root_allowed: bool,
    /// Current documents that the role reads.
    pub documents: Vec<DocumentText>,
}

/// A document at one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentText {
    /// Its name, such as `members`.
    pub name: String,
    /// Grows with each change.
    pub generation: u64,
    /// JSON, at most [`DOCUMENT_BYTES_MAX`].
    pub json: String,
}

/// The most that a document may have, so that a task's data and a message stay small.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// The most servers of artifacts that an executor is told of; it takes no notice of any beyond.
pub const SOURCES_MAX: usize = 8;

/// Travels as a Mesos MESSAGE from scheduler to executor; a nudge that may be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nudge {
    /// The document has changed for this instance.
    Document {
        /// Who reads it.
        instance: UnitId,
        /// The newest text.
        document: DocumentText,
    },
    /// Artifacts are served here now, and perhaps no longer where the order said.
    Sources {
        /// In the form and order of [`LaunchOrder::artifacts`]; they take the place of all that were known.
        urls: Vec<String>,
    },
}

/// Travels as the data of each status update from an executor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What the executor is doing with the instance.
    pub phase: Phase,
    /// Progress of the phase in percent, if it can be told.
    pub percent: Option<u8>,
    /// The newest generation of each document that has been put to use.
    pub documents: BTreeMap<String, u64>,
    /// Each service, in the manifest's order.
    pub services: Vec<ServiceReport>,
}

/// What an executor is doing with an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The order has arrived.
    #[default]
    Accepted,
    /// The bundle is on its way.
    Fetching,
    /// The payload is being unpacked.
    Installing,
    /// Templates are being rendered.
    Configuring,
    /// Services have been started and are not all ready yet.
    Starting,
    /// Every service is ready.
    Ready,
    /// A service that was ready isn't.
    Degraded,
    /// Services are being stopped.
    Stopping,
    /// Nothing of the instance runs.
    Ended,
}

impl Phase {
    /// All phases with the word for each, in order.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Accepted, "accepted"),
        (Self::Fetching, "fetching"),
        (Self::Installing, "installing"),
        (Self::Configuring, "configuring"),
        (Self::Starting, "starting"),
        (Self::Ready, "ready"),
        (Self::Degraded, "degraded"),
        (Self::Stopping, "stopping"),
        (Self::Ended, "ended"),
    ];

    /// Returns the word that people see.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(phase, _)| *phase == self).map_or("", |(_, word)| word)
    }
}

/// How one service is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceReport {
    /// Which service.
    pub id: ServiceId,
    /// Whether it is ready.
    pub ready: bool,
    /// How often it has been started anew in this attempt.
    pub restarts: u32,
    /// Why it last ended or isn't ready, with the last lines of its stderr; empty if there is nothing to say.
    pub reason: String,
}
