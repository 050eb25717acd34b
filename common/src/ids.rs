//! Names of things, each with a type of its own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            #[must_use]
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
    )*};
}

text_id! {
    /// A Mesos framework, chosen by us and committed before it is used.
    FrameworkId;
    /// A Mesos agent; a reboot may give the same machine another one.
    AgentId;
    /// An offer of one agent's resources, void after each subscription.
    OfferId;
    /// An executor on one agent.
    ExecutorId;
    /// A role of a bundle, such as `worker`.
    RoleId;
    /// A service of a bundle, such as `node-exporter`.
    ServiceId;
}

/// Something that is deployed: the platform is number 0, and each cluster gets the next; a number is never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentId(pub u64);

impl DeploymentId {
    /// The platform.
    pub const PLATFORM: Self = Self(0);
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the scheduler places: one of a role's units, such as `worker-1`.
///
/// A unit of the platform is shown as `ROLE-ORDINAL`, one of another deployment as `ROLE-ORDINAL@DEPLOYMENT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct UnitId {
    /// Whose unit it is.
    pub deployment: DeploymentId,
    /// What it is there.
    pub role: RoleId,
    /// Which of the role's units, counted from 0.
    pub ordinal: u32,
}

impl UnitId {
    /// Returns the platform's unit `ordinal` of `role`.
    #[must_use]
    pub fn of_platform(role: &RoleId, ordinal: u32) -> Self {
        Self { deployment: DeploymentId::PLATFORM, role: role.clone(), ordinal }
    }

    /// Reads `ROLE-ORDINAL`.
    fn within(deployment: DeploymentId, text: &str) -> Option<Self> {
        let (role, ordinal) = text.rsplit_once('-')?;
        let ordinal = number(ordinal)?;
        (!role.is_empty()).then(|| Self { deployment, role: role.into(), ordinal })
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.role, self.ordinal)?;
        if self.deployment == DeploymentId::PLATFORM { Ok(()) } else { write!(f, "@{}", self.deployment) }
    }
}

impl FromStr for UnitId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let unit = match text.rsplit_once('@') {
            None => Self::within(DeploymentId::PLATFORM, text),
            Some((unit, deployment)) => {
                number(deployment).filter(|uid| *uid != 0).and_then(|uid| Self::within(DeploymentId(uid), unit))
            }
        };
        unit.ok_or_else(|| Malformed::new("unit id", text))
    }
}

impl From<UnitId> for String {
    fn from(id: UnitId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for UnitId {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

/// Reads a number in the one form in which it is written: no sign, no leading zero.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let is_plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_plain)
}

/// A try to run a unit, counted from 1; attempts never restart, or an old status could speak for a new task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl Attempt {
    /// Returns the attempt after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A Mesos task: one attempt of one unit.
///
/// Shown as `worker-1.3` if the unit is the platform's, else with the deployment's number: `worker-1.7-3`. Mesos takes at
/// most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TaskId {
    /// Whose attempt it is.
    pub unit: UnitId,
    /// Which one.
    pub attempt: Attempt,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnitId { deployment, role, ordinal } = &self.unit;
        match *deployment {
            DeploymentId::PLATFORM => write!(f, "{role}-{ordinal}.{}", self.attempt),
            DeploymentId(uid) => write!(f, "{role}-{ordinal}.{uid}-{}", self.attempt),
        }
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for TaskId {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl FromStr for TaskId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parts = || {
            let (unit, rest) = text.rsplit_once('.')?;
            let (deployment, attempt) = match rest.split_once('-') {
                None => (0, rest),
                Some((uid, attempt)) => (number(uid).filter(|uid| *uid != 0)?, attempt),
            };
            let attempt = number(attempt).filter(|attempt| *attempt != 0)?;
            Some(Self { unit: UnitId::within(DeploymentId(deployment), unit)?, attempt: Attempt(attempt) })
        };
        parts().ok_or_else(|| Malformed::new("task id", text))
    }
}

/// A SHA-256, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Returns the first 12 digits, enough for people.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl FromStr for Digest {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Malformed::new("sha256", text))?;
        Ok(Self(bytes))
    }
}

/// The 16 bytes that name one status update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpdateId(pub [u8; 16]);

/// A name that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{text}\" is not well formed")]
pub struct Malformed {
    /// What it should have been.
    pub what: &'static str,
    /// Its first 80 characters.
    pub text: String,
}

impl Malformed {
    fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.chars().take(80).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_names_unit_and_attempt() {
        let task: TaskId = "worker-1.3".parse().unwrap();
        assert_eq!((task.unit.to_string(), task.attempt), ("worker-1".to_owned(), Attempt(3)));
        assert_eq!(task.unit, UnitId::of_platform(&"worker".into(), 1));
        assert_eq!(task.to_string(), "worker-1.3");
        let task: TaskId = "worker-1.7-3".parse().unwrap();
        assert_eq!((task.unit.deployment, task.unit.ordinal, task.attempt), (DeploymentId(7), 1, Attempt(3)));
        assert_eq!((task.to_string(), task.unit.to_string()), ("worker-1.7-3".to_owned(), "worker-1@7".to_owned()));
        assert_eq!("a.b-0.7".parse::<TaskId>().unwrap().unit.role.as_str(), "a.b");
    }

    #[test]
    fn a_foreign_task_id_is_refused() {
        let texts = "|worker|.1|worker.1|-1.1|worker-1.|worker-1.0|worker-1.x|worker-1.03|worker-1.+3|worker-1.-1|worker-01.1\
            |worker-1.0-3|worker-1.7-0|worker-1.07-3|worker-1.7-3-4|worker-1.99999999999|worker-99999999999.1";
        for text in texts.split('|') {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
        for text in ["", "worker", "worker-", "-1", "worker-1@0", "worker-1@", "worker-1@x", "worker-+1"] {
            assert!(text.parse::<UnitId>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn units_and_tasks_survive_their_text(
            role in "[a-z]([a-z0-9.@-]{0,20}[a-z0-9])?",
            uid in proptest::prop_oneof![proptest::strategy::Just(0_u64), proptest::num::u64::ANY],
            ordinal: u32,
            attempt in 1..=u32::MAX,
        ) {
            let unit = UnitId { deployment: DeploymentId(uid), role: RoleId::new(role), ordinal };
            let task = TaskId { unit: unit.clone(), attempt: Attempt(attempt) };
            assert_eq!(task.to_string().parse(), Ok(task));
            // Only a manifest that names a role with an @ could mistake one unit for another, and it may not.
            if !unit.role.as_str().contains('@') {
                assert_eq!(unit.to_string().parse(), Ok(unit));
            }
        }
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest([0xab; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("abc".parse::<Digest>().is_err());
    }
}
