//! The manifest as it is written, before it is checked.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) kind: String,
    pub(super) api_level: u32,
    #[serde(rename = "distroID")]
    pub(super) distro_id: String,
    pub(super) version: String,
    pub(super) label: Label,
    #[serde(default)]
    pub(super) categories: Vec<String>,
    pub(super) roles: Vec<Role>,
    pub(super) services: Vec<Service>,
    pub(super) config: Config,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Label {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Role {
    pub(super) id: String,
    pub(super) cardinality: String,
    pub(super) min_cores: String,
    pub(super) min_memory: String,
    #[serde(default)]
    pub(super) min_storage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Service {
    pub(super) id: String,
    #[serde(default)]
    pub(super) endpoint: Option<Endpoint>,
    pub(super) command: Vec<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) templates: Vec<Template>,
    #[serde(default)]
    pub(super) documents: Vec<String>,
    #[serde(default)]
    pub(super) ports: Vec<Port>,
    #[serde(default)]
    pub(super) health: Option<Health>,
    #[serde(default)]
    pub(super) stop: Option<Stop>,
    #[serde(default)]
    pub(super) user: Option<String>,
    #[serde(default)]
    pub(super) reload: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Endpoint {
    pub(super) url_scheme: String,
    pub(super) port: String,
    #[serde(default)]
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) is_dashboard: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Template {
    pub(super) source: String,
    pub(super) target: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) port: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    #[serde(default)]
    pub(super) http: Option<Http>,
    #[serde(default)]
    pub(super) tcp: Option<Tcp>,
    #[serde(default)]
    pub(super) command: Option<Vec<String>>,
    #[serde(default)]
    pub(super) interval: Option<String>,
    #[serde(default)]
    pub(super) timeout: Option<String>,
    #[serde(default)]
    pub(super) grace: Option<String>,
    #[serde(default)]
    pub(super) failures: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    pub(super) port: String,
    pub(super) path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tcp {
    pub(super) port: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    #[serde(default)]
    pub(super) signal: Option<String>,
    #[serde(default)]
    pub(super) grace: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Config {
    pub(super) selected_roles: Vec<String>,
    pub(super) role_services: Vec<RoleServices>,
    #[serde(default)]
    pub(super) config_meta: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleServices {
    #[serde(rename = "roleID")]
    pub(super) role_id: String,
    #[serde(rename = "serviceIDs")]
    pub(super) service_ids: Vec<String>,
}
