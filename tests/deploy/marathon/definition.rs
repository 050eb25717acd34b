//! An app's definition, as far as the launcher does what it says: anything else in it is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Deserialize;

/// The definition of an app that is a command, or an error about what of it isn't understood.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Definition {
    pub(crate) id: String,
    pub(crate) instances: usize,
    pub(crate) cpus: f64,
    pub(crate) mem: f64,
    pub(crate) disk: f64,
    #[serde(default)]
    pub(crate) user: Option<String>,
    pub(crate) cmd: String,
    #[serde(default)]
    pub(crate) fetch: Vec<Fetch>,
    networks: Vec<Network>,
    pub(crate) port_definitions: Vec<Port>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, Value>,
    #[serde(default)]
    secrets: BTreeMap<String, Source>,
    constraints: Vec<(String, String)>,
    health_checks: Vec<HealthCheck>,
    readiness_checks: Vec<ReadinessCheck>,
    upgrade_strategy: UpgradeStrategy,
    pub(crate) kill_selection: KillSelection,
    unreachable_strategy: UnreachableStrategy,
    task_kill_grace_period_seconds: u64,
    backoff_seconds: u64,
    backoff_factor: f64,
    max_launch_delay_seconds: u64,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fetch {
    pub(crate) uri: String,
    pub(crate) extract: bool,
    pub(crate) executable: bool,
    pub(crate) cache: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    mode: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Port {
    port: u16,
    pub(crate) name: String,
    protocol: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// A variable's value, or the name of a secret among the app's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Value {
    Said(String),
    Kept { secret: String },
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    source: String,
}

/// A check that Mesos' executor makes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HealthCheck {
    pub(crate) protocol: MesosProtocol,
    pub(crate) path: String,
    pub(crate) port_index: usize,
    pub(crate) delay_seconds: u64,
    pub(crate) grace_period_seconds: u64,
    pub(crate) interval_seconds: u64,
    pub(crate) timeout_seconds: u64,
    pub(crate) max_consecutive_failures: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum MesosProtocol {
    #[serde(rename = "MESOS_HTTP")]
    Http,
    #[serde(rename = "MESOS_HTTPS")]
    Https,
}

/// A check that Marathon itself makes while it deploys.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReadinessCheck {
    name: String,
    protocol: String,
    pub(crate) path: String,
    port_name: String,
    pub(crate) interval_seconds: u64,
    pub(crate) timeout_seconds: u64,
    pub(crate) http_status_codes_for_ready: Vec<u16>,
    preserve_last_response: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UpgradeStrategy {
    minimum_health_capacity: f64,
    maximum_over_capacity: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum KillSelection {
    YoungestFirst,
    OldestFirst,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UnreachableStrategy {
    inactive_after_seconds: u64,
    expunge_after_seconds: u64,
}

impl Definition {
    /// Reads a definition, and refuses what the launcher wouldn't do.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let app: Self = serde_json::from_str(text)?;
        ensure!(app.networks.iter().all(|network| network.mode == "host"), "only the host's network is understood");
        ensure!(app.port_definitions.iter().all(|port| port.port == 0), "only ports that are chosen are understood");
        ensure!(app.port_definitions.iter().all(|port| port.protocol == "tcp"), "only tcp is understood");
        let unique = ("hostname".to_owned(), "UNIQUE".to_owned());
        ensure!(app.constraints.iter().all(|known| *known == unique), "only hostname UNIQUE is understood");
        ensure!(app.health_checks.len() == 1, "one health check is understood, as in Mesos");
        ensure!(app.readiness_checks.len() == 1, "one readiness check is understood, as in Marathon");
        let index = app.health_checks[0].port_index;
        ensure!(index < app.port_definitions.len(), "there is no port {index} to check");
        app.readiness_port()?;
        ensure!(app.readiness_checks[0].protocol == "HTTP", "only readiness over HTTP is understood");
        for secret in app.env.values() {
            if let Value::Kept { secret } = secret {
                ensure!(app.secrets.contains_key(secret), "no secret {secret} is declared");
            }
        }
        Ok(app)
    }

    pub(crate) fn source(&self, secret: &str) -> Option<&str> {
        self.secrets.get(secret).map(|secret| secret.source.as_str())
    }

    pub(crate) fn health_check(&self) -> &HealthCheck {
        &self.health_checks[0]
    }

    pub(crate) fn readiness_check(&self) -> &ReadinessCheck {
        &self.readiness_checks[0]
    }

    /// The index of the port that is asked whether it is ready.
    pub(crate) fn readiness_port(&self) -> Result<usize> {
        let name = &self.readiness_check().port_name;
        let found = self.port_definitions.iter().position(|port| port.name == *name);
        found.ok_or_else(|| anyhow::anyhow!("no port is called {name}"))
    }

    /// Whether no two instances may be on one host.
    pub(crate) fn is_unique(&self) -> bool {
        !self.constraints.is_empty()
    }

    /// How many must be healthy and ready before an old one is taken away.
    pub(crate) fn least_healthy(&self) -> usize {
        share(self.instances, self.upgrade_strategy.minimum_health_capacity, Rounding::Up)
    }

    /// How many there may be in an upgrade.
    pub(crate) fn most(&self) -> usize {
        self.instances + share(self.instances, self.upgrade_strategy.maximum_over_capacity, Rounding::Down)
    }

    pub(crate) fn inactive_after(&self) -> Duration {
        Duration::from_secs(self.unreachable_strategy.inactive_after_seconds)
    }

    pub(crate) fn expunge_after(&self) -> Duration {
        Duration::from_secs(self.unreachable_strategy.expunge_after_seconds)
    }

    pub(crate) fn kill_grace(&self) -> Duration {
        Duration::from_secs(self.task_kill_grace_period_seconds)
    }

    /// How long to wait after so many ends without a healthy instance between them.
    pub(crate) fn backoff(&self, ends: u32) -> Duration {
        let most = Duration::from_secs(self.max_launch_delay_seconds);
        let mut delay = Duration::from_secs(self.backoff_seconds);
        for _ in 1..ends.min(100) {
            delay = delay.mul_f64(self.backoff_factor).min(most);
        }
        if ends == 0 { Duration::ZERO } else { delay.min(most) }
    }

    /// The same app, whose health is asked for each second.
    pub(crate) fn watched_closely(mut self) -> Self {
        for check in &mut self.health_checks {
            (check.interval_seconds, check.timeout_seconds) = (1, 1);
        }
        self
    }

    /// The same app with another amount of memory.
    pub(crate) fn with_mem(&self, mem: f64) -> Self {
        Self { mem, ..self.clone() }
    }

    /// The same app with another number of instances.
    pub(crate) fn scaled(&self, instances: usize) -> Self {
        Self { instances, ..self.clone() }
    }
}

#[derive(Clone, Copy)]
enum Rounding {
    Up,
    Down,
}

#[expect(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "shares are decimals in a definition, and the numbers are small"
)]
fn share(of: usize, share: f64, rounding: Rounding) -> usize {
    let exact = of as f64 * share;
    match rounding {
        Rounding::Up => exact.ceil() as usize,
        Rounding::Down => exact.floor() as usize,
    }
}
