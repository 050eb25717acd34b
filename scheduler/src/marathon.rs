//! The app by which Marathon runs several schedulers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::print;

/// A definition for `PUT /v2/apps/ID`, in the order in which people read it.
///
/// Source: Marathon 1.10, `docs/docs/rest-api/public/api/v2/types/app.raml`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    id: String,
    instances: u8,
    cpus: serde_json::Number,
    mem: u32,
    disk: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fetch: Vec<Fetch>,
    networks: [Network; 1],
    port_definitions: [Port; 2],
    env: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    secrets: BTreeMap<&'static str, Source>,
    constraints: [[&'static str; 2]; 1],
    health_checks: [HealthCheck; 1],
    readiness_checks: [ReadinessCheck; 1],
    upgrade_strategy: UpgradeStrategy,
    kill_selection: &'static str,
    unreachable_strategy: UnreachableStrategy,
    task_kill_grace_period_seconds: u64,
    backoff_seconds: u64,
    backoff_factor: serde_json::Number,
    max_launch_delay_seconds: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// What to run instead of a command: an image whose entry point is the scheduler.
#[derive(Clone, Debug, Serialize)]
struct Container {
    r#type: &'static str,
    docker: Image,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    image: String,
    force_pull_image: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Fetch {
    uri: String,
    extract: bool,
    executable: bool,
    cache: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Network {
    mode: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Port {
    port: u16,
    name: &'static str,
    protocol: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'static str, &'static str>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Value {
    Said(String),
    Kept { secret: &'static str },
}

#[derive(Clone, Debug, Serialize)]
struct Source {
    source: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthCheck {
    protocol: &'static str,
    path: &'static str,
    port_index: u8,
    delay_seconds: u64,
    grace_period_seconds: u64,
    interval_seconds: u64,
    timeout_seconds: u64,
    max_consecutive_failures: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadinessCheck {
    name: &'static str,
    protocol: &'static str,
    path: &'static str,
    port_name: &'static str,
    interval_seconds: u64,
    timeout_seconds: u64,
    http_status_codes_for_ready: [u16; 1],
    preserve_last_response: bool,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UpgradeStrategy {
    minimum_health_capacity: serde_json::Number,
    maximum_over_capacity: u8,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UnreachableStrategy {
    inactive_after_seconds: u64,
    expunge_after_seconds: u64,
}

impl App {
    /// Makes the app that was asked for.
    #[must_use]
    pub fn new(asked: &print::Marathon) -> Self {
        let (env, secrets) = environment(asked);
        let scheme = if asked.sets("tls-cert-file") { ["MESOS_HTTPS", "HTTPS"] } else { ["MESOS_HTTP", "HTTP"] };
        let lost = asked.replace_lost_after.as_secs();
        Self {
            id: asked.id.clone(),
            instances: asked.instances,
            cpus: thousandths(asked.cpus),
            mem: asked.mem,
            disk: asked.disk,
            user: asked.user.clone(),
            // Not a child of the shell, so that SIGTERM reaches it. Without a command, an image's entry point is run.
            cmd: asked.image.is_none().then_some("exec ./epic-scheduler"),
            container: asked
                .image
                .clone()
                .map(|image| Container { r#type: "MESOS", docker: Image { image, force_pull_image: false } }),
            fetch: asked.archive.iter().map(|uri| fetched(uri)).collect(),
            networks: [Network { mode: "host" }],
            port_definitions: [port("http", [("prometheus", "true")].into()), port("agents", BTreeMap::new())],
            env,
            secrets,
            constraints: [["hostname", "UNIQUE"]],
            health_checks: [health(scheme[0])],
            readiness_checks: [readiness(scheme[1])],
            upgrade_strategy: UpgradeStrategy {
                // One at a time, the least that may be missing: a new one finds no host while the old ones have all of them.
                minimum_health_capacity: all_but_one(asked.instances),
                maximum_over_capacity: 0,
            },
            kill_selection: "YOUNGEST_FIRST",
            unreachable_strategy: UnreachableStrategy {
                inactive_after_seconds: lost,
                expunge_after_seconds: lost.saturating_mul(5),
            },
            task_kill_grace_period_seconds: asked.kill_grace.as_secs(),
            backoff_seconds: 1,
            backoff_factor: thousandths(1500),
            max_launch_delay_seconds: 60,
            labels: asked.label.iter().cloned().collect(),
        }
    }
}

fn environment(asked: &print::Marathon) -> (BTreeMap<String, Value>, BTreeMap<&'static str, Source>) {
    let said = [("EPIC_MASTER", &asked.master), ("EPIC_ZK", &asked.zk)];
    let said = said.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).chain(asked.variables());
    let mut env: BTreeMap<_, _> = said.map(|(name, value)| (name, Value::Said(value))).collect();
    let kept = [
        ("EPIC_TOKEN", "token", &asked.token_secret),
        ("EPIC_SECRET", "principal", &asked.principal_secret),
        ("EPIC_ZK_DIGEST", "zookeeper", &asked.zk_secret),
    ];
    let mut secrets = BTreeMap::new();
    for (variable, secret, source) in kept {
        if let Some(source) = source {
            env.insert(variable.to_owned(), Value::Kept { secret });
            secrets.insert(secret, Source { source: source.clone() });
        }
    }
    (env, secrets)
}

fn fetched(uri: &str) -> Fetch {
    Fetch { uri: uri.to_owned(), extract: true, executable: false, cache: true }
}

/// Any port that the agent has.
fn port(name: &'static str, labels: BTreeMap<&'static str, &'static str>) -> Port {
    Port { port: 0, name, protocol: "tcp", labels }
}

/// Whether the process is of any use at all: one that hangs is replaced, one that waits for ZooKeeper is not.
fn health(protocol: &'static str) -> HealthCheck {
    HealthCheck {
        protocol,
        path: "/healthz",
        port_index: 0,
        delay_seconds: 2,
        grace_period_seconds: 60,
        interval_seconds: 10,
        timeout_seconds: 5,
        max_consecutive_failures: 3,
    }
}

/// Whether it could lead: until then an upgrade takes no other one away.
fn readiness(protocol: &'static str) -> ReadinessCheck {
    ReadinessCheck {
        name: "ready",
        protocol,
        path: "/readyz",
        port_name: "http",
        interval_seconds: 5,
        timeout_seconds: 3,
        http_status_codes_for_ready: [200],
        preserve_last_response: true,
    }
}

/// The share of instances, rounded down to hundredths, of which Marathon takes one away at a time.
fn all_but_one(instances: u8) -> serde_json::Number {
    let hundredths = u32::from(instances.saturating_sub(1)).saturating_mul(100);
    thousandths(hundredths.checked_div(u32::from(instances)).unwrap_or_default().saturating_mul(10))
}

/// Writes thousandths as people do: 500 is 0.5.
fn thousandths(count: u32) -> serde_json::Number {
    let (whole, rest) = (count / 1000, count % 1000);
    match format!("{whole}.{rest:03}").parse() {
        Ok(number) if rest > 0 => number,
        Ok(_) | Err(_) => whole.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_any_number_of_instances_one_may_be_missing() {
        for instances in 1..=9_u8 {
            let share = all_but_one(instances).to_string();
            let hundredths: u32 = format!("{:0<2}", share.strip_prefix("0.").unwrap_or("0")).parse().unwrap();
            // Marathon rounds up to whole instances.
            let kept = (hundredths * u32::from(instances)).div_ceil(100);
            assert_eq!(kept, u32::from(instances - 1), "{instances}: {share}");
        }
        assert_eq!(all_but_one(3).to_string(), "0.66");
    }

    #[test]
    fn thousandths_are_written_as_people_do() {
        let written = [500, 1000, 1150, 100].map(|count| thousandths(count).to_string());
        assert_eq!(written, ["0.5", "1", "1.15", "0.1"]);
    }
}
