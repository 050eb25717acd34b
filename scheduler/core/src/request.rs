//! What people ask of the scheduler, and what it answers.

use epic_common::ids::{Digest, FrameworkId, UnitId};

use crate::state::deployment::Desired;
use crate::state::entry::Index;

/// Names whoever waits for an answer; made by the outside, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// A change that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub wish: Wish,
    /// Who asks, as authenticated; blank for the scheduler's own start.
    pub principal: String,
    /// Names it in the logs of all replicas that it passes through; at most 100 bytes.
    pub id: String,
    /// Makes a repeat harmless, also at the next leader; at most 100 bytes.
    pub key: Option<String>,
}

impl Request {
    /// Makes one of the scheduler's own start, without a key.
    #[must_use]
    pub const fn new(wish: Wish) -> Self {
        Self { wish, principal: String::new(), id: String::new(), key: None }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The platform is to be so.
    Apply {
        /// All of it.
        desired: Box<Desired>,
        /// Taken as our identity if there is none; a UUID that nobody else has.
        framework: FrameworkId,
        /// Whether a person asks, or the file that the scheduler was started with.
        by: Applicant,
    },
    /// Stop every member.
    Stop,
    /// Run every member again.
    Start,
    /// End one member's attempt and start another.
    Restart(UnitId),
    /// Remove everything.
    Uninstall,
    /// Go on with a new identity, since Mesos has removed the old one with all its tasks.
    NewFramework {
        /// A UUID that nobody else has.
        framework: FrameworkId,
    },
    /// Only who has this token may change things from now on.
    SetToken(Digest),
}

/// Who applies a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applicant {
    /// A person; what differs is changed or refused.
    Person,
    /// The scheduler's own start; it only fills an empty journal.
    Seed,
}

/// What is answered.
pub type Answer = Result<Grantal, Rejection>;

/// The wish is granted and durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grantal {
    /// Where in the journal.
    pub index: Index,
    /// What happens now, for people.
    pub message: String,
}

/// The wish is refused; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// What kind of refusal.
    pub kind: RejectionKind,
    /// What was refused, in one line.
    pub title: String,
    /// Why, and what to do next.
    pub detail: String,
    /// Each wrong field: path and problem.
    pub errors: Vec<(String, String)>,
}

/// What kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionKind {
    /// The request itself is wrong.
    Invalid,
    /// It doesn't fit what is there.
    Conflict,
    /// What it names isn't there.
    NotFound,
    /// Not now.
    Unavailable,
}

impl Rejection {
    /// Refuses without naming fields.
    #[must_use]
    pub fn new(kind: RejectionKind, title: &str, detail: impl Into<String>) -> Self {
        Self { kind, title: title.to_owned(), detail: detail.into(), errors: Vec::new() }
    }
}
