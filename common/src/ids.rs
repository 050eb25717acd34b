//! Names of things, each with a type of its own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is.
            #[must_use]
            pub fn new(text: impl Into<String>) -> Self {
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
                Self(text.to_owned())
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
    /// A member of a role, such as `worker-1`: what the scheduler places.
    InstanceId;
    /// A role of a bundle, such as `worker`.
    RoleId;
    /// A service of a bundle, such as `node-exporter`.
    ServiceId;
}

impl InstanceId {
    /// Returns the name of the member `ordinal` of `role`, counted from 0.
    #[must_use]
    pub fn of(role: &RoleId, ordinal: u32) -> Self {
        Self(format!("{role}-{ordinal}"))
    }
}

/// A try to run an instance, counted from 1; attempts never restart, or an old status could speak for a new task.
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

/// A Mesos task: one attempt of one instance, shown as `worker-1.3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TaskId {
    /// Whose attempt it is.
    pub instance: InstanceId,
    /// Which one.
    pub attempt: Attempt,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.instance, self.attempt)
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
        let malformed = || Malformed { what: "task id", text: text.chars().take(80).collect() };
        let (instance, attempt) = text.rsplit_once('.').ok_or_else(malformed)?;
        let number = attempt.parse().map_err(|_| malformed())?;
        if instance.is_empty() || attempt.starts_with(['0', '+']) {
            return Err(malformed());
        }
        Ok(Self { instance: instance.into(), attempt: Attempt(number) })
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
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| Malformed { what: "sha256", text: text.chars().take(80).collect() })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_names_instance_and_attempt() {
        let task: TaskId = "worker-1.3".parse().unwrap();
        assert_eq!((task.instance.as_str(), task.attempt), ("worker-1", Attempt(3)));
        assert_eq!(task.to_string(), "worker-1.3");
        assert_eq!("a.b.7".parse::<TaskId>().unwrap().instance.as_str(), "a.b");
    }

    #[test]
    fn a_foreign_task_id_is_refused() {
        for text in
            ["", "worker", ".1", "worker.", "worker.x", "worker.03", "worker.+3", "worker.-1", "worker.99999999999"]
        {
            assert!(text.parse::<TaskId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest([0xab; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("abc".parse::<Digest>().is_err());
    }
}
