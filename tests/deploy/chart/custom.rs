//! Objects for the Prometheus operator, whose definitions no schema of Kubernetes holds.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::charted::all;
use super::objects::{Object, list, only, yaml};
use crate::tools::root;

const RULES: &str = "helm/epic-mesos/files/rules.yaml";
const RULES_SOURCE: &str = "scheduler/monitoring/rules.yaml";

#[test]
fn the_rules_in_the_chart_are_those_beside_the_metrics() {
    let wanted = fs::read_to_string(root().join(RULES_SOURCE)).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(root().join(RULES), &wanted).unwrap();
    }
    let there = fs::read_to_string(root().join(RULES)).unwrap();
    assert!(
        there == wanted,
        "{RULES} is no copy of {RULES_SOURCE}; run: UPDATE=1 cargo test -p epic-tests --test deploy the_rules_in_the_chart"
    );
}

#[test]
fn a_prometheus_rule_holds_all_rules_as_they_are() {
    let (_, objects) = all().iter().find(|(set, _)| *set == "existing").unwrap();
    let object = only(objects, "PrometheusRule");
    let source = fs::read_to_string(root().join(RULES_SOURCE)).unwrap();
    let source = yaml(&source.replace("docs/runbooks/", "https://wiki.example.com/epic/docs/runbooks/"));
    assert_eq!(keys(object.at("/spec")), ["groups"]);
    assert_eq!(object.at("/spec/groups"), &source["groups"]);
    let groups = list(object.at("/spec").get("groups"));
    let rules: Vec<&Value> = groups.iter().flat_map(|group| list(group.get("rules"))).collect();
    let alert = rules.iter().find(|rule| rule["alert"] == "EpicNoLeader").unwrap();
    assert_eq!(alert["annotations"]["runbook_url"], "https://wiki.example.com/epic/docs/runbooks/EpicNoLeader.md");
    for group in groups {
        assert!(keys(group).iter().all(|key| ["name", "rules", "interval"].contains(&key.as_str())), "{group}");
    }
    for rule in rules {
        let known = ["alert", "record", "expr", "for", "labels", "annotations", "keep_firing_for"];
        assert!(keys(rule).iter().all(|key| known.contains(&key.as_str())), "{rule}");
        assert!(rule["alert"].is_string() != rule["record"].is_string() && rule["expr"].is_string(), "{rule}");
    }
}

#[test]
fn a_service_monitor_reaches_each_replica_by_what_its_certificate_says() {
    for (set, tls, interval) in [("existing", "epic-tls", "30s"), ("made", "epic-epic-mesos-tls", "15s")] {
        let (_, objects) = all().iter().find(|(name, _)| *name == set).unwrap();
        let spec = only(objects, "ServiceMonitor").at("/spec");
        let endpoint = json!({
            "port": "http",
            "path": "/metrics",
            "interval": interval,
            "scheme": "https",
            "relabelings": [{"targetLabel": "job", "replacement": "epic-mesos/epic"}],
            "tlsConfig": {
                "serverName": "epic-epic-mesos.big.svc",
                "ca": {"secret": {"name": tls, "key": "ca.crt"}},
            },
        });
        assert_eq!(spec["endpoints"], json!([endpoint]), "{set}");
        assert_eq!(keys(spec), ["endpoints", "namespaceSelector", "selector"], "{set}");
        let chosen = objects.iter().filter(|object| {
            let labels = object.at("/metadata/labels");
            let wanted = spec["selector"]["matchLabels"].as_object().unwrap();
            object.kind() == "Service" && wanted.iter().all(|(key, value)| &labels[key] == value)
        });
        let chosen: Vec<&str> = chosen.map(Object::name).collect();
        assert_eq!(chosen, ["epic-epic-mesos-headless"], "each replica once, ready or not");
    }
}

fn keys(value: &Value) -> Vec<String> {
    let keys: BTreeSet<&String> = value.as_object().into_iter().flat_map(serde_json::Map::keys).collect();
    keys.into_iter().cloned().collect()
}
