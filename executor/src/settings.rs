//! What the agent tells an executor through its environment.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// The environment of a Mesos executor, read.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where calls go.
    pub url: String,
    /// Whose executor this is.
    pub framework: String,
    /// Its own name.
    pub executor: String,
    /// Where it runs.
    pub agent: String,
    /// The directory that is its own.
    pub sandbox: PathBuf,
    /// How long the agent may be away; `None` if the framework has no checkpoint.
    pub recovery_timeout: Option<Duration>,
    /// The longest wait before subscribing again.
    pub subscription_backoff_max: Duration,
    /// The time in which everything must have ended after a shutdown was asked for.
    pub shutdown_grace: Duration,
    /// What proves to the agent who this is, if it asks.
    pub token: Option<String>,
}

/// Shows all but the token.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("url", &self.url).field("executor", &self.executor).finish_non_exhaustive()
    }
}

/// What is wrong with the environment.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// A variable isn't there.
    #[error("the environment has no {0}; a Mesos agent sets it for the executors that it starts")]
    Missing(&'static str),
    /// A variable has another form than it should.
    #[error("the environment has {name}=\"{value}\", which is not {expected}")]
    Malformed {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Settings {
    /// Reads the variables; `variable` looks one up.
    ///
    /// # Errors
    ///
    /// The first variable that is missing or malformed.
    ///
    /// Source: Mesos 1.11, docs/executor-http-api.md, and `executorEnvironment` in src/slave/slave.cpp.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let needed = |name: &'static str| variable(name).filter(|value| !value.is_empty()).ok_or(Error::Missing(name));
        let time = |name: &'static str, default: Duration| match variable(name) {
            None => Ok(default),
            Some(value) => {
                duration(&value).ok_or(Error::Malformed { name, value, expected: "a duration such as 15mins" })
            }
        };
        let checkpoint = match variable("MESOS_CHECKPOINT").as_deref() {
            Some("1" | "true") => true,
            Some("0" | "false" | "") | None => false,
            Some(value) => {
                return Err(Error::Malformed { name: "MESOS_CHECKPOINT", value: value.to_owned(), expected: "0 or 1" });
            }
        };
        let recovery = time("MESOS_RECOVERY_TIMEOUT", Duration::from_secs(15 * 60))?;
        let pid = needed("MESOS_SLAVE_PID")?;
        let malformed = || Error::Malformed {
            name: "MESOS_SLAVE_PID",
            value: pid.clone(),
            expected: "of the form slave(1)@host:port",
        };
        let (process, address) = pid.split_once('@').ok_or_else(malformed)?;
        if process.is_empty()
            || address.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        {
            return Err(malformed());
        }
        Ok(Self {
            url: format!("http://{address}/{process}/api/v1/executor"),
            framework: needed("MESOS_FRAMEWORK_ID")?,
            executor: needed("MESOS_EXECUTOR_ID")?,
            agent: needed("MESOS_SLAVE_ID")?,
            sandbox: needed("MESOS_SANDBOX").or_else(|_| needed("MESOS_DIRECTORY"))?.into(),
            recovery_timeout: checkpoint.then_some(recovery),
            subscription_backoff_max: time("MESOS_SUBSCRIPTION_BACKOFF_MAX", Duration::from_secs(2))?,
            shutdown_grace: time("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", Duration::from_secs(5))?,
            token: variable("MESOS_EXECUTOR_AUTHENTICATION_TOKEN").filter(|token| !token.is_empty()),
        })
    }
}

/// Reads `15mins`, `1.5secs` and the like, down to microseconds.
///
/// Source: stout/duration.hpp of Mesos.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = text.split_at(digits);
    let nanos: u64 = match unit {
        "ns" => 1,
        "us" => 1000,
        "ms" => 1_000_000,
        "secs" => 1_000_000_000,
        "mins" => 60_000_000_000,
        "hrs" => 3_600_000_000_000,
        "days" => 86_400_000_000_000,
        "weeks" => 604_800_000_000_000,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let part: String = part.chars().take(6).collect();
    let scale = 10_u64.pow(u32::try_from(part.len()).ok()?);
    let whole = whole.parse::<u64>().ok()?.checked_mul(nanos)?;
    let part = part.parse::<u64>().ok()?.checked_mul(nanos / scale.min(nanos))?;
    Some(Duration::from_nanos(whole.checked_add(part)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: [(&str, &str); 8] = [
        ("MESOS_SLAVE_PID", "slave(2)@127.0.0.1:5051"),
        ("MESOS_FRAMEWORK_ID", "f"),
        ("MESOS_EXECUTOR_ID", "e"),
        ("MESOS_SLAVE_ID", "a"),
        ("MESOS_SANDBOX", "/sandbox"),
        ("MESOS_CHECKPOINT", "1"),
        ("MESOS_RECOVERY_TIMEOUT", "15mins"),
        ("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "secret"),
    ];

    /// Reads the complete environment with one variable changed or, if `value` is empty, taken away.
    fn with(name: &str, value: &str) -> Result<Settings, Error> {
        Settings::read(|asked| {
            let known = COMPLETE.iter().find(|(known, _)| *known == asked).map(|(_, value)| (*value).to_owned());
            if asked == name { Some(value.to_owned()).filter(|value| !value.is_empty()) } else { known }
        })
    }

    #[test]
    fn the_url_comes_from_the_agents_libprocess_pid() {
        let settings = with("", "").unwrap();
        assert_eq!(settings.url, "http://127.0.0.1:5051/slave(2)/api/v1/executor");
        assert_eq!(settings.recovery_timeout, Some(Duration::from_secs(900)));
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn without_checkpoint_there_is_no_recovery() {
        assert_eq!(with("MESOS_CHECKPOINT", "0").unwrap().recovery_timeout, None);
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        for name in ["MESOS_SLAVE_PID", "MESOS_FRAMEWORK_ID", "MESOS_EXECUTOR_ID", "MESOS_SLAVE_ID"] {
            assert_eq!(with(name, ""), Err(Error::Missing(name)));
        }
        for pid in ["127.0.0.1:5051", "@127.0.0.1:5051", "slave(1)@127.0.0.1", "slave(1)@:5051", "slave(1)@h:x"] {
            assert!(matches!(with("MESOS_SLAVE_PID", pid), Err(Error::Malformed { .. })), "{pid}");
        }
        assert!(with("MESOS_CHECKPOINT", "yes").is_err());
        assert!(with("MESOS_RECOVERY_TIMEOUT", "15 minutes").is_err());
    }

    #[test]
    fn durations_are_those_of_mesos() {
        let check = |text, millis: Option<u64>| assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        check("15mins", Some(900_000));
        check("1.5secs", Some(1500));
        check("0.25hrs", Some(900_000));
        check("2weeks", Some(1_209_600_000));
        check("10ms", Some(10));
        for text in ["", "5", "secs", "5s", "-5secs", "99999999999999999999weeks"] {
            check(text, None);
        }
    }
}
