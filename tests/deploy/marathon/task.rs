//! The Mesos task of an instance: what it gets, what it runs, and what it is told by its environment.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Value as Json, json};

use super::definition::{Definition, MesosProtocol, Value};
use super::fleet::Instance;

/// What Marathon's secret store holds, by the source that an app names.
pub(crate) type Secrets = BTreeMap<String, String>;

/// Returns the task's `TaskInfo`.
pub(crate) fn info(app: &Definition, instance: &Instance, secrets: &Secrets) -> Result<Json> {
    let name = app.id.trim_start_matches('/').split('/').rev().collect::<Vec<_>>().join(".");
    let variables = environment(app, instance, secrets)?;
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| json!({"name": name, "type": "VALUE", "value": value})).collect();
    let uris = app.fetch.iter().map(|fetch| {
        json!({"value": fetch.uri, "extract": fetch.extract, "executable": fetch.executable, "cache": fetch.cache})
    });
    let mut command = json!({"shell": true, "value": app.cmd, "uris": uris.collect::<Vec<_>>(),
        "environment": {"variables": variables}});
    if let Some(user) = &app.user {
        command["user"] = json!(user);
    }
    let ports = app.port_definitions.iter().zip(&instance.ports);
    let ports: Vec<_> =
        ports.map(|(port, number)| json!({"number": number, "name": port.name, "protocol": "tcp"})).collect();
    Ok(json!({
        "name": name,
        "task_id": {"value": instance.task_id},
        "agent_id": {"value": instance.agent_id},
        "resources": resources(app, instance),
        "command": command,
        "health_check": health_check(app, instance)?,
        "kill_policy": {"grace_period": {"nanoseconds": u64::try_from(app.kill_grace().as_nanos())?}},
        "discovery": {"visibility": "FRAMEWORK", "name": name, "ports": {"ports": ports}},
    }))
}

fn resources(app: &Definition, instance: &Instance) -> Json {
    let role = json!({"role": "*"});
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": role});
    let ranges: Vec<_> = instance.ports.iter().map(|port| json!({"begin": port, "end": port})).collect();
    let ports = json!({"name": "ports", "type": "RANGES", "ranges": {"range": ranges}, "allocation_info": role});
    json!([scalar("cpus", app.cpus), scalar("mem", app.mem), scalar("disk", app.disk), ports])
}

fn health_check(app: &Definition, instance: &Instance) -> Result<Json> {
    let check = app.health_check();
    let scheme = match check.protocol {
        MesosProtocol::Http => "http",
        MesosProtocol::Https => "https",
    };
    let port = instance.ports.get(check.port_index).context("each instance has all ports")?;
    Ok(json!({"type": "HTTP", "http": {"scheme": scheme, "port": port, "path": check.path},
        "delay_seconds": check.delay_seconds, "interval_seconds": check.interval_seconds,
        "timeout_seconds": check.timeout_seconds, "grace_period_seconds": check.grace_period_seconds,
        "consecutive_failures": check.max_consecutive_failures}))
}

/// Says to an instance what Marathon says, and then what the app does.
///
/// Source: Marathon, "Task Environment Variables" (`EnvironmentHelper.scala`).
pub(crate) fn environment(
    app: &Definition,
    instance: &Instance,
    secrets: &Secrets,
) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut say = |name: &str, value: String| all.insert(name.to_owned(), value);
    say("HOST", instance.host.clone());
    for (index, (port, number)) in app.port_definitions.iter().zip(&instance.ports).enumerate() {
        say(&format!("PORT{index}"), number.to_string());
        say(&format!("PORT_{}", upper(&port.name)), number.to_string());
    }
    say("PORT", instance.ports.first().map(u16::to_string).unwrap_or_default());
    say("PORTS", instance.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(","));
    say("MESOS_TASK_ID", instance.task_id.clone());
    say("MARATHON_APP_ID", app.id.clone());
    say("MARATHON_APP_VERSION", format!("2026-01-01T00:00:00.{:03}Z", instance.version));
    for (name, value) in [("CPUS", app.cpus), ("MEM", app.mem), ("DISK", app.disk)] {
        // Scala writes 512 as 512.0, and so does this.
        say(&format!("MARATHON_APP_RESOURCE_{name}"), format!("{value:?}"));
    }
    say("MARATHON_APP_RESOURCE_GPUS", "0".to_owned());
    let labels: Vec<_> = app.labels.keys().map(|name| upper(name)).collect();
    say("MARATHON_APP_LABELS", labels.join(" "));
    for (name, value) in &app.labels {
        say(&format!("MARATHON_APP_LABEL_{}", upper(name)), value.clone());
    }
    for (name, value) in &app.env {
        let value = match value {
            Value::Said(value) => value.clone(),
            Value::Kept { secret } => {
                let source = app.source(secret).context("the definition was checked")?;
                let kept = secrets.get(source).with_context(|| format!("the secret store has no {source}"))?;
                kept.clone()
            }
        };
        say(name, value);
    }
    Ok(all)
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}
