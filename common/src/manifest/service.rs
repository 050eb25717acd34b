//! Checks one service of the written manifest.

use std::collections::BTreeSet;
use std::time::Duration;

use super::validate::Wrong;
use super::{Document, Endpoint, Health, Port, Probe, STOP_GRACE_MAX, Service, Signal, Stop, Template, raw};
use crate::ids::ServiceId;
use crate::text;

/// Gives the valid service and says what is wrong with it below `path`.
pub(super) fn check(raw: raw::Service, path: &str, wrong: &mut Wrong) -> Service {
    command(&raw.command, &format!("{path}.command"), wrong);
    for (name, value) in &raw.env {
        if value.contains('\0') {
            wrong.say(format!("{path}.env.{name}"), "a value must not have a NUL byte");
        }
        if name.is_empty() || name.contains(['=', '\0']) || name.starts_with("EPIC_") || name.starts_with("MESOS_") {
            wrong.say(
                format!("{path}.env.{name}"),
                "a name must not be empty, have = in it, or begin with EPIC_ or MESOS_",
            );
        }
    }
    if let Some(user) = raw.user.as_deref().filter(|user| !is_user(user)) {
        wrong
            .say(format!("{path}.user"), format!("\"{user}\" is not a user's name: a-z, 0-9, _ and -, no digit first"));
    }
    let ports = ports(&raw.ports, path, wrong);
    let documents = documents(&raw.documents, path, wrong);
    let signal = |name: Option<String>, at: &str, wrong: &mut Wrong| name.and_then(|name| signal(&name, at, wrong));
    let stop = raw.stop.unwrap_or(raw::Stop { signal: None, grace: None });
    Service {
        endpoint: raw.endpoint.map(|endpoint| self::endpoint(endpoint, &ports, path, wrong)),
        templates: templates(raw.templates, path, wrong),
        health: raw.health.and_then(|health| self::health(health, &ports, path, wrong)),
        stop: Stop {
            signal: signal(stop.signal, &format!("{path}.stop.signal"), wrong).unwrap_or(Signal::Term),
            grace: grace(stop.grace.as_deref(), &format!("{path}.stop.grace"), wrong),
        },
        reload: signal(raw.reload, &format!("{path}.reload"), wrong),
        id: ServiceId::new(raw.id),
        command: raw.command,
        env: raw.env,
        documents,
        ports,
        user: raw.user,
    }
}

/// Checks a program and its arguments; whether a relative program is in the payload is for who has the payload.
fn command(command: &[String], path: &str, wrong: &mut Wrong) {
    let program = command.first().map_or("", String::as_str);
    if program.is_empty() {
        wrong.say(path, "must name a program");
    } else if !program.starts_with('/') && !program.contains("{{") && !text::is_path_within(program) {
        wrong.say(path, format!("\"{program}\" is neither absolute nor a path in the payload without .."));
    }
    if command.iter().any(|argument| argument.contains('\0')) {
        wrong.say(path, "an argument must not have a NUL byte");
    }
}

fn grace(text: Option<&str>, path: &str, wrong: &mut Wrong) -> Duration {
    let grace = wrong.duration(path, text, Duration::from_secs(10));
    if grace > STOP_GRACE_MAX {
        wrong.say(path, "must be at most 10m");
    }
    grace.min(STOP_GRACE_MAX)
}

fn is_user(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

fn ports(raw: &[raw::Port], path: &str, wrong: &mut Wrong) -> Vec<Port> {
    wrong.bound(&format!("{path}.ports"), raw.len());
    let mut ports: Vec<Port> = Vec::new();
    for (nth, port) in raw.iter().enumerate() {
        let path = format!("{path}.ports[{nth}]");
        if !text::is_name(&port.name) {
            wrong.say(format!("{path}.name"), text::NAME_RULE);
        }
        let fixed = if port.port == "auto" { None } else { Some(number(&port.port, &format!("{path}.port"), wrong)) };
        ports.push(Port { name: port.name.clone(), fixed });
    }
    ports
}

fn number(text: &str, path: &str, wrong: &mut Wrong) -> u16 {
    text.parse().ok().filter(|port| *port != 0).unwrap_or_else(|| {
        wrong.say(path, format!("\"{text}\" is neither auto nor a port from 1 to 65535"));
        1
    })
}

fn documents(raw: &[String], path: &str, wrong: &mut Wrong) -> Vec<Document> {
    let mut documents = Vec::new();
    for (nth, name) in raw.iter().enumerate() {
        if name != Document::Members.name() {
            wrong.say(format!("{path}.documents[{nth}]"), format!("\"{name}\" is not a document; there is: members"));
        } else if documents.contains(&Document::Members) {
            wrong.say(format!("{path}.documents[{nth}]"), format!("\"{name}\" is there twice"));
        } else {
            documents.push(Document::Members);
        }
    }
    documents
}

fn signal(name: &str, path: &str, wrong: &mut Wrong) -> Option<Signal> {
    let signal = match name {
        "SIGTERM" => Signal::Term,
        "SIGINT" => Signal::Int,
        "SIGQUIT" => Signal::Quit,
        "SIGHUP" => Signal::Hup,
        "SIGUSR1" => Signal::Usr1,
        "SIGUSR2" => Signal::Usr2,
        _ => {
            wrong.say(path, format!("\"{name}\" is not one of SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2"));
            return None;
        }
    };
    Some(signal)
}

fn endpoint(raw: raw::Endpoint, ports: &[Port], path: &str, wrong: &mut Wrong) -> Endpoint {
    known_port(&raw.port, ports, &format!("{path}.endpoint.port"), wrong);
    if !text::is_name(&raw.url_scheme) {
        wrong.say(format!("{path}.endpoint.urlScheme"), text::NAME_RULE);
    }
    let url_path = raw.path.unwrap_or_else(|| "/".to_owned());
    absolute(&url_path, &format!("{path}.endpoint.path"), wrong);
    Endpoint { url_scheme: raw.url_scheme, port: raw.port, path: url_path, is_dashboard: raw.is_dashboard }
}

fn known_port(name: &str, ports: &[Port], path: &str, wrong: &mut Wrong) {
    if !ports.iter().any(|port| port.name == name) {
        let known: Vec<_> = ports.iter().map(|port| port.name.as_str()).collect();
        wrong.say(path, format!("\"{name}\" is not a port of this service; it has: {}", known.join(", ")));
    }
}

fn absolute(url_path: &str, path: &str, wrong: &mut Wrong) {
    if !url_path.starts_with('/') || url_path.chars().any(|c| c.is_control() || c == ' ') {
        wrong.say(path, format!("\"{url_path}\" must begin with / and have no blanks"));
    }
}

fn templates(raw: Vec<raw::Template>, path: &str, wrong: &mut Wrong) -> Vec<Template> {
    wrong.bound(&format!("{path}.templates"), raw.len());
    let mut targets = BTreeSet::new();
    let mut templates = Vec::new();
    for (nth, template) in raw.into_iter().enumerate() {
        for (field, file) in [("source", &template.source), ("target", &template.target)] {
            if !text::is_path_within(file) {
                wrong.say(
                    format!("{path}.templates[{nth}].{field}"),
                    format!("\"{file}\" must be a relative path without .."),
                );
            }
        }
        if !targets.insert(template.target.clone()) {
            wrong.say(format!("{path}.templates[{nth}].target"), format!("\"{}\" is there twice", template.target));
        }
        templates.push(Template { source: template.source, target: template.target });
    }
    templates
}

fn health(raw: raw::Health, ports: &[Port], path: &str, wrong: &mut Wrong) -> Option<Health> {
    let path = format!("{path}.health");
    let interval = wrong.duration(&format!("{path}.interval"), raw.interval.as_deref(), Duration::from_secs(5));
    let timeout = wrong.duration(&format!("{path}.timeout"), raw.timeout.as_deref(), Duration::from_secs(3));
    let grace = wrong.duration(&format!("{path}.grace"), raw.grace.as_deref(), Duration::from_secs(30));
    for (field, duration) in [("interval", interval), ("timeout", timeout)] {
        if duration < Duration::from_millis(100) {
            wrong.say(format!("{path}.{field}"), "must be at least 100ms");
        }
    }
    let failures = raw.failures.unwrap_or(3);
    if failures == 0 {
        wrong.say(format!("{path}.failures"), "must be at least 1");
    }
    let probe = match (raw.http, raw.tcp, raw.command) {
        (Some(http), None, None) => {
            known_port(&http.port, ports, &format!("{path}.http.port"), wrong);
            absolute(&http.path, &format!("{path}.http.path"), wrong);
            Probe::Http { port: http.port, path: http.path }
        }
        (None, Some(tcp), None) => {
            known_port(&tcp.port, ports, &format!("{path}.tcp.port"), wrong);
            Probe::Tcp { port: tcp.port }
        }
        (None, None, Some(program)) => {
            command(&program, &format!("{path}.command"), wrong);
            Probe::Command(program)
        }
        _ => {
            wrong.say(path, "needs exactly one of http, tcp and command");
            return None;
        }
    };
    Some(Health { probe, interval, timeout, grace, failures })
}
