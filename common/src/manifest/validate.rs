//! From the written manifest to the valid one, naming everything that is wrong.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use super::{Cardinality, Manifest, Role, Service, raw, service};
use crate::ids::RoleId;
use crate::invalid::{Invalid, Invalids};
use crate::resources::{Bytes, MilliCpus};
use crate::text;

pub(super) fn manifest(raw: raw::Manifest) -> Result<Manifest, Invalids> {
    let mut wrong = Wrong::default();
    header(&raw, &mut wrong);
    let services = services(raw.services, &mut wrong);
    let roles = roles(&raw.roles, &raw.config, &services, &mut wrong);
    let manifest = Manifest {
        distro_id: raw.distro_id,
        version: raw.version,
        name: raw.label.name,
        description: raw.label.description,
        roles,
        config_meta: raw.config.config_meta,
    };
    Invalids::unless_none("manifest", wrong.0, manifest)
}

const LIST_MAX: usize = 100;

#[derive(Default)]
pub(super) struct Wrong(Vec<Invalid>);

impl Wrong {
    pub(super) fn say(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Invalid::new(path, problem));
    }

    /// Refuses lists that nobody needs and that would make everything else slow.
    pub(super) fn bound(&mut self, path: &str, count: usize) {
        if count > LIST_MAX {
            self.say(path, format!("has {count} items, at most {LIST_MAX} are allowed"));
        }
    }

    fn read<T: FromStr + Default>(&mut self, path: &str, text: &str) -> T
    where
        T::Err: std::fmt::Display,
    {
        text.parse().unwrap_or_else(|error: T::Err| {
            self.say(path, error.to_string());
            T::default()
        })
    }

    pub(super) fn duration(&mut self, path: &str, text: Option<&str>, default: Duration) -> Duration {
        match text.map(text::duration) {
            None => default,
            Some(Ok(duration)) => duration,
            Some(Err(error)) => {
                self.say(path, error.to_string());
                default
            }
        }
    }
}

fn header(raw: &raw::Manifest, wrong: &mut Wrong) {
    if raw.kind != "App" {
        wrong.say("kind", format!("\"{}\" is not App", raw.kind));
    }
    if raw.api_level != 1 {
        wrong.say("apiLevel", format!("{} is not supported, only 1 is", raw.api_level));
    }
    if !raw.distro_id.split_once('/').is_some_and(|(who, what)| is_word(who) && is_word(what)) {
        wrong.say(
            "distroID",
            format!("\"{}\" is not two words with a / between them, such as open/platform; {WORD_RULE}", raw.distro_id),
        );
    }
    if !is_word(&raw.version) {
        wrong.say("version", format!("\"{}\" is not a version; {WORD_RULE}", raw.version));
    }
    if raw.label.name.is_empty() || raw.label.name.len() > 200 {
        wrong.say("label.name", "must have 1 to 200 bytes");
    }
    if raw.categories.len() > 20 {
        wrong.say("categories", "at most 20 are allowed");
    }
}

const WORD_RULE: &str = "a word has 1 to 63 characters of A-Z, a-z, 0-9 and ._+~-, and begins with a letter or digit";

/// Such words are safe in file names and in a shell script's quotes.
fn is_word(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._+~-".contains(c))
}

fn services(raw: Vec<raw::Service>, wrong: &mut Wrong) -> Vec<Service> {
    wrong.bound("services", raw.len());
    let mut seen = BTreeSet::new();
    let mut services = Vec::new();
    for (nth, service) in raw.into_iter().enumerate() {
        let path = format!("services[{nth}]");
        if !text::is_name(&service.id) {
            wrong.say(format!("{path}.id"), text::NAME_RULE);
        }
        if !seen.insert(service.id.clone()) {
            wrong.say(format!("{path}.id"), format!("\"{}\" is there twice", service.id));
        }
        services.push(service::check(service, &path, wrong));
    }
    services
}

fn roles(raw: &[raw::Role], config: &raw::Config, services: &[Service], wrong: &mut Wrong) -> Vec<Role> {
    wrong.bound("roles", raw.len());
    let mut seen = BTreeSet::new();
    let mut roles = Vec::new();
    for (nth, role) in raw.iter().enumerate() {
        let path = format!("roles[{nth}]");
        if !text::is_name(&role.id) {
            wrong.say(format!("{path}.id"), text::NAME_RULE);
        }
        if !seen.insert(role.id.as_str()) {
            wrong.say(format!("{path}.id"), format!("\"{}\" is there twice", role.id));
        }
        if config.selected_roles.contains(&role.id) {
            roles.push(one_role(role, &path, config, services, wrong));
        }
    }
    for (nth, id) in config.selected_roles.iter().enumerate() {
        if !seen.contains(id.as_str()) {
            wrong.say(format!("config.selectedRoles[{nth}]"), format!("\"{id}\" is not one of the roles"));
        }
    }
    for (nth, entry) in config.role_services.iter().enumerate() {
        if !seen.contains(entry.role_id.as_str()) {
            wrong.say(
                format!("config.roleServices[{nth}].roleID"),
                format!("\"{}\" is not one of the roles", entry.role_id),
            );
        }
    }
    if roles.is_empty() {
        wrong.say("config.selectedRoles", "must name at least one role");
    }
    roles
}

fn one_role(raw: &raw::Role, path: &str, config: &raw::Config, services: &[Service], wrong: &mut Wrong) -> Role {
    let cpus: MilliCpus = wrong.read(&format!("{path}.minCores"), &raw.min_cores);
    let mem: Bytes = wrong.read(&format!("{path}.minMemory"), &raw.min_memory);
    if cpus < MilliCpus(10) {
        wrong.say(format!("{path}.minCores"), "must be at least 0.01");
    }
    if mem < Bytes(4 << 20) {
        wrong.say(format!("{path}.minMemory"), "must be at least 4MiB");
    }
    let role = Role {
        id: RoleId::new(raw.id.clone()),
        cardinality: cardinality(&raw.cardinality, path, wrong),
        cpus,
        mem,
        disk: raw.min_storage.as_deref().map_or(Bytes(0), |text| wrong.read(&format!("{path}.minStorage"), text)),
        services: services_of(&raw.id, config, services, wrong),
    };
    if role.services.is_empty() {
        wrong.say(format!("{path}.id"), format!("\"{}\" has no services; name some in config.roleServices", raw.id));
    }
    let mut names = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for port in role.ports() {
        if !names.insert(&port.name) || port.fixed.is_some_and(|number| !numbers.insert(number)) {
            wrong.say(path, format!("two services of this role have the port \"{}\"", port.name));
        }
    }
    role
}

fn cardinality(text: &str, path: &str, wrong: &mut Wrong) -> Cardinality {
    let (number, open) = text.strip_suffix('+').map_or((text, false), |number| (number, true));
    match number.parse::<u32>() {
        Ok(n) if open && n <= 10_000 => Cardinality::AtLeast(n),
        Ok(n) if (1..=10_000).contains(&n) => Cardinality::Exactly(n),
        Ok(_) | Err(_) => {
            wrong.say(format!("{path}.cardinality"), format!("\"{text}\" is neither N nor N+ with N up to 10000"));
            Cardinality::AtLeast(0)
        }
    }
}

fn services_of(role: &str, config: &raw::Config, services: &[Service], wrong: &mut Wrong) -> Vec<Service> {
    let mut found = Vec::new();
    for (nth, entry) in config.role_services.iter().enumerate().filter(|(_, entry)| entry.role_id == role) {
        for (at, id) in entry.service_ids.iter().enumerate() {
            match services.iter().find(|service| service.id.as_str() == id) {
                Some(service) if found.contains(service) => wrong.say(
                    format!("config.roleServices[{nth}].serviceIDs[{at}]"),
                    format!("\"{id}\" is there twice for the role \"{role}\""),
                ),
                Some(service) => found.push(service.clone()),
                None => wrong.say(
                    format!("config.roleServices[{nth}].serviceIDs[{at}]"),
                    format!("\"{id}\" is not one of the services"),
                ),
            }
        }
    }
    found
}
