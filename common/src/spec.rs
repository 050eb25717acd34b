//! The `Platform` document: what an operator wants, as written and as checked.

use serde::Deserialize;

use crate::ids::Digest;
use crate::invalid::{Invalid, Invalids};
use crate::resources::{Bytes, MilliCpus};
use crate::text;

/// A valid platform document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Name for people, labels and templates.
    pub name: String,
    /// Where its bundle is.
    pub bundle: BundleSource,
    /// The most that the platform may use of one host; `None` is all that is reserved there.
    pub ceiling: Option<Ceiling>,
    /// Members of the role `controller`; `None` is as many as the bundle needs at least.
    pub controllers: Option<u32>,
    /// Members of the role `worker`; `None` is as many as the bundle needs at least.
    pub workers: Option<u32>,
    /// Whether services may run as root.
    pub root_allowed: bool,
}

/// Where a bundle is read from, once, by the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleSource {
    /// An absolute path, taken from a `file://` URI; empty if the digest alone names a bundle that the scheduler has.
    pub path: String,
    /// What its digest must be; `None` takes the file as it is.
    pub sha256: Option<Digest>,
}

/// The most that may be used of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Cores.
    pub cpus: MilliCpus,
    /// Memory.
    pub mem: Bytes,
}

/// The most members that a role may have.
pub const MEMBERS_MAX: u32 = 10_000;

impl Platform {
    /// Reads and checks a platform document.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, by path. A field that EPIC has and this version does nothing with is refused as
    /// "not supported yet", so that nobody believes in it.
    pub fn parse(yaml: &str) -> Result<Self, Invalids> {
        let raw: Raw = crate::invalid::from_yaml("platform", yaml)?;
        let mut wrong = unsupported(&raw);
        if raw.kind != "Platform" {
            wrong.push(Invalid::new("kind", format!("\"{}\" is not Platform", raw.kind)));
        }
        if !text::is_name(&raw.label.name) {
            wrong.push(Invalid::new("label.name", text::NAME_RULE));
        }
        let platform = Self {
            name: raw.label.name,
            bundle: bundle(raw.spec.bundle, &mut wrong),
            ceiling: raw.spec.grant.and_then(|grant| grant.per_host).map(|per_host| ceiling(&per_host, &mut wrong)),
            controllers: raw.spec.controllers.map(|members| count("spec.controllers.count", members.count, &mut wrong)),
            workers: raw.spec.workers.map(|members| count("spec.workers.count", members.count, &mut wrong)),
            root_allowed: raw.spec.allow_root,
        };
        Invalids::unless_none("platform", wrong, platform)
    }
}

fn bundle(raw: RawBundle, wrong: &mut Vec<Invalid>) -> BundleSource {
    let path = match raw.uri.as_deref() {
        None if raw.sha256.is_none() => {
            wrong.push(Invalid::new("spec.bundle", "needs uri, sha256 or both"));
            String::new()
        }
        None => String::new(),
        Some(uri) => match uri.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => path.to_owned(),
            Some(_) | None => {
                wrong.push(Invalid::new(
                    "spec.bundle.uri",
                    format!("\"{uri}\" is not supported; use file:///absolute/path"),
                ));
                String::new()
            }
        },
    };
    let sha256 = raw.sha256.and_then(|text| {
        text.parse().map_err(|_| wrong.push(Invalid::new("spec.bundle.sha256", "must have 64 hexadecimal digits"))).ok()
    });
    BundleSource { path, sha256 }
}

fn ceiling(raw: &RawPerHost, wrong: &mut Vec<Invalid>) -> Ceiling {
    Ceiling {
        cpus: raw.cpus.parse().unwrap_or_else(|error: crate::resources::ParseAmountError| {
            wrong.push(Invalid::new("spec.grant.perHost.cpus", error.to_string()));
            MilliCpus(0)
        }),
        mem: raw.memory.parse().unwrap_or_else(|error: crate::resources::ParseAmountError| {
            wrong.push(Invalid::new("spec.grant.perHost.memory", error.to_string()));
            Bytes(0)
        }),
    }
}

fn count(path: &str, count: u32, wrong: &mut Vec<Invalid>) -> u32 {
    if count > MEMBERS_MAX {
        wrong.push(Invalid::new(path, format!("{count} is more than {MEMBERS_MAX}")));
    }
    count
}

fn unsupported(raw: &Raw) -> Vec<Invalid> {
    let spec = &raw.spec;
    let grant = spec.grant.as_ref();
    let per_host = grant.and_then(|grant| grant.per_host.as_ref());
    let fields = [
        ("status", raw.status.is_some()),
        ("spec.mesos", spec.mesos.is_some()),
        ("spec.gateways", spec.gateways.is_some()),
        ("spec.cpuAllocationRatio", spec.cpu_allocation_ratio.is_some()),
        ("spec.network", spec.network.is_some()),
        ("spec.tenantStorage", spec.tenant_storage.is_some()),
        ("spec.auth", spec.auth.is_some()),
        ("spec.grant.hosts", grant.is_some_and(|grant| grant.hosts.is_some())),
        ("spec.grant.perHost.disk", per_host.is_some_and(|per_host| per_host.disk.is_some())),
        ("spec.grant.perHost.gpus", per_host.is_some_and(|per_host| per_host.gpus.is_some())),
        ("spec.controllers.roles", spec.controllers.as_ref().is_some_and(|members| members.roles.is_some())),
        ("spec.controllers.clusterIp", spec.controllers.as_ref().is_some_and(|members| members.cluster_ip.is_some())),
    ];
    let why = |path| match path {
        "spec.mesos" => "not supported yet; master, role and principal are options of epic-scheduler",
        _ => "not supported yet; take it out",
    };
    fields.into_iter().filter(|(_, present)| *present).map(|(path, _)| Invalid::new(path, why(path))).collect()
}

/// Any YAML value of a field that is refused.
type Any = serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    kind: String,
    label: RawLabel,
    spec: RawSpec,
    status: Option<Any>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLabel {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawSpec {
    bundle: RawBundle,
    mesos: Option<Any>,
    grant: Option<RawGrant>,
    controllers: Option<RawControllers>,
    workers: Option<RawWorkers>,
    gateways: Option<Any>,
    cpu_allocation_ratio: Option<Any>,
    network: Option<Any>,
    tenant_storage: Option<Any>,
    auth: Option<Any>,
    #[serde(default)]
    allow_root: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBundle {
    uri: Option<String>,
    sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawGrant {
    per_host: Option<RawPerHost>,
    hosts: Option<Any>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPerHost {
    cpus: String,
    memory: String,
    disk: Option<Any>,
    gpus: Option<Any>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawControllers {
    count: u32,
    roles: Option<Any>,
    cluster_ip: Option<Any>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWorkers {
    count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "kind: Platform\nlabel: {name: demo}\nspec:\n  bundle: {uri: 'file:///b.bin'}\n  \
                        grant: {perHost: {cpus: 1.5, memory: 2GiB}}\n  controllers: {count: 1}\n  workers: {count: 2}\n";

    fn paths(yaml: &str) -> Vec<String> {
        Platform::parse(yaml).unwrap_err().all.into_iter().map(|invalid| invalid.path).collect()
    }

    #[test]
    fn a_platform_is_read() {
        let platform = Platform::parse(GOOD).unwrap();
        assert_eq!((platform.name.as_str(), platform.controllers, platform.workers), ("demo", Some(1), Some(2)));
        assert_eq!(platform.ceiling, Some(Ceiling { cpus: MilliCpus(1500), mem: Bytes(2 << 30) }));
        assert_eq!(platform.bundle.path, "/b.bin");
        assert!(!platform.root_allowed);
    }

    #[test]
    fn everything_wrong_is_named_by_path() {
        let wrong = GOOD.replace("name: demo", "name: Demo").replace("count: 2", "count: 20000").replace("2GiB", "2GB");
        assert_eq!(paths(&wrong), ["label.name", "spec.grant.perHost.memory", "spec.workers.count"]);
    }

    #[test]
    fn what_does_nothing_yet_is_refused_and_what_is_unknown_too() {
        assert_eq!(
            paths(&format!("{GOOD}  gateways: {{count: 2}}\n  auth: {{local: true}}\n")),
            ["spec.gateways", "spec.auth"]
        );
        let unknown = Platform::parse(&format!("{GOOD}  wrokers: 1\n")).unwrap_err().to_string();
        assert!(unknown.contains("wrokers"), "{unknown}");
    }
}
