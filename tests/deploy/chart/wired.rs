//! Objects of the chart find each other, and pods may do no more than they must.

use serde_json::{Value, json};

use super::charted::all;
use super::objects::{Object, list, only};

#[test]
fn every_selector_finds_the_replicas_and_nothing_else() {
    for (set, objects) in all() {
        let template = only(objects, "StatefulSet").at("/spec/template/metadata/labels");
        let mut selectors: Vec<&Value> = vec![only(objects, "StatefulSet").at("/spec/selector/matchLabels")];
        selectors.extend(
            objects.iter().filter(|object| object.kind() == "Service").map(|object| object.at("/spec/selector")),
        );
        selectors.extend(
            objects.iter().filter(|o| o.kind() == "PodDisruptionBudget").map(|o| o.at("/spec/selector/matchLabels")),
        );
        selectors.extend(
            objects.iter().filter(|o| o.kind() == "NetworkPolicy").map(|o| o.at("/spec/podSelector/matchLabels")),
        );
        let spread = list(only(objects, "StatefulSet").pod().pointer("/spec/topologySpreadConstraints"));
        selectors.extend(spread.iter().map(|one| &one["labelSelector"]["matchLabels"]));
        assert!(selectors.len() >= 3, "{set}");
        for selector in selectors {
            assert!(within(selector, template), "{set}: {selector} isn't in {template}");
            for other in objects.iter().filter(|object| ["Job", "Pod"].contains(&object.kind())) {
                let labels = &other.pod()["metadata"]["labels"];
                assert!(!within(selector, labels), "{set}: {selector} finds {} too", other.name());
            }
        }
    }
}

#[test]
fn services_lead_to_ports_that_the_pods_have() {
    for (set, objects) in all() {
        let replicas = only(objects, "StatefulSet");
        let ports = list(replicas.containers()[0].get("ports"));
        for service in objects.iter().filter(|object| object.kind() == "Service") {
            for port in list(Some(service.at("/spec/ports"))) {
                assert!(ports.iter().any(|there| there["name"] == port["targetPort"]), "{set}: {port}");
                // Server-side apply on an older server refuses one without.
                assert_eq!(port["protocol"], "TCP", "{set}: {port}");
            }
        }
        assert!(ports.iter().all(|port| port["protocol"] == "TCP"), "{set}");
        let headless = objects.iter().find(|object| replicas.text("/spec/serviceName") == object.name()).unwrap();
        assert_eq!(headless.at("/spec/clusterIP"), "None");
        assert_eq!(headless.at("/spec/publishNotReadyAddresses"), true, "{set}: replicas meet before they are ready");
        let host = format!("://$(POD_NAME).{}.big.svc:8080", headless.name());
        assert!(variable(replicas, "EPIC_ADVERTISE").ends_with(&host), "{set}");
    }
}

#[test]
fn agents_are_told_an_address_that_leads_to_their_port() {
    let told = |set: &str| {
        let (_, objects) = all().iter().find(|(name, _)| *name == set).unwrap();
        variable(only(objects, "StatefulSet"), "EPIC_ADVERTISE_AGENTS")
    };
    assert_eq!(told("least"), "http://$(POD_IP):8081");
    assert_eq!(told("node-port"), "http://$(HOST_IP):31881");
    assert_eq!(told("everything"), "http://$(POD_NAME).epic.example.com:8081");
    let (_, objects) = all().iter().find(|(name, _)| *name == "node-port").unwrap();
    let service = objects.iter().find(|object| object.name() == "platform-agents").unwrap();
    assert_eq!(service.at("/spec/externalTrafficPolicy"), "Local", "else another node's replica would answer");
    assert_eq!(service.at("/spec/ports/0/nodePort"), 31881);
    assert_eq!(variable(only(objects, "StatefulSet"), "EPIC_LISTEN_AGENTS"), "0.0.0.0:9081");
    assert_eq!(only(objects, "StatefulSet").containers()[0].pointer("/ports/1/containerPort"), Some(&json!(9081)));
}

#[test]
fn every_pod_may_do_no_more_than_it_must() {
    for (set, objects) in all() {
        for object in objects.iter().filter(|object| !object.pod().is_null()) {
            let spec = &object.pod()["spec"];
            assert_eq!(spec["automountServiceAccountToken"], false, "{set}: {}", object.name());
            assert_eq!(spec["enableServiceLinks"], false, "{set}: {}", object.name());
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{set}: {}", object.name());
            assert_eq!(spec["securityContext"]["seccompProfile"], json!({"type": "RuntimeDefault"}));
            for container in object.containers() {
                let wanted = json!({
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                });
                assert_eq!(container["securityContext"], wanted, "{set}: {}", object.name());
                assert!(container["resources"]["limits"]["memory"].is_string(), "{set}: {}", object.name());
            }
        }
        assert!(!objects.iter().any(|object| object.kind().contains("Role")), "{set}: pods need no rights");
    }
}

#[test]
fn only_the_first_install_makes_the_journal() {
    for (set, objects) in all() {
        let hook = |object: &&Object| !object.at("/metadata/annotations/helm.sh~1hook").is_null();
        let hooks: Vec<(&str, &str)> = objects
            .iter()
            .filter(hook)
            .map(|object| (object.kind(), object.text("/metadata/annotations/helm.sh~1hook")))
            .collect();
        let expected: &[(&str, &str)] = match *set {
            "everything" => &[("Pod", "test")],
            "made" => &[("Secret", "pre-install"), ("Pod", "test"), ("Job", "pre-install")],
            _ => &[("Pod", "test"), ("Job", "pre-install")],
        };
        let sorted = |list: &[(&'static str, &'static str)]| {
            let mut list: Vec<_> = list.to_vec();
            list.sort_unstable();
            list
        };
        let mut found = hooks;
        found.sort_unstable();
        assert_eq!(found, sorted(expected), "{set}");
        let inits = objects.iter().flat_map(Object::containers).filter(|one| one["args"] == json!(["init"]));
        assert!(inits.count() <= 1, "{set}: replicas never make the journal");
    }
}

#[test]
fn probes_kill_only_a_process_that_answers_nothing() {
    for (set, objects) in all() {
        let container = &only(objects, "StatefulSet").containers()[0];
        let scheme = if ["existing", "made"].contains(set) { "HTTPS" } else { "HTTP" };
        for (probe, path) in
            [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
        {
            let wanted = json!({"path": path, "port": "http", "scheme": scheme});
            assert_eq!(container[probe]["httpGet"], wanted, "{set}");
        }
        let grace = |probe: &str| {
            let of = |key: &str| container[probe][key].as_u64().unwrap();
            of("periodSeconds") * of("failureThreshold")
        };
        assert!(grace("livenessProbe") >= 60 && grace("startupProbe") >= 300, "{set}");
        assert!(grace("readinessProbe") <= 10, "{set}");
    }
}

#[test]
fn certificates_are_trusted_before_they_are_shown() {
    for (set, trusted, shown) in
        [("least", false, false), ("node-port", true, false), ("existing", true, true), ("made", true, true)]
    {
        let (_, objects) = all().iter().find(|(name, _)| *name == set).unwrap();
        let replicas = only(objects, "StatefulSet");
        let given = |name: &str, file: &str| variable(replicas, name) == format!("/etc/epic/tls/{file}");
        assert_eq!(given("EPIC_TLS_CA_FILE", "ca.crt"), trusted, "{set}");
        let both = given("EPIC_TLS_CERT_FILE", "tls.crt") && given("EPIC_TLS_KEY_FILE", "tls.key");
        assert_eq!(both, shown, "{set}");
        assert_eq!(variable(replicas, "EPIC_ADVERTISE").starts_with("https://"), shown, "{set}");
    }
}

#[test]
fn a_disruption_takes_one_replica_away() {
    for (set, objects) in all().iter().filter(|(set, _)| *set != "everything") {
        let budget = only(objects, "PodDisruptionBudget");
        assert_eq!(budget.at("/spec/maxUnavailable"), 1, "{set}");
        // Else no node could be drained while all replicas wait for ZooKeeper.
        assert_eq!(budget.at("/spec/unhealthyPodEvictionPolicy"), "AlwaysAllow", "{set}");
        assert_eq!(only(objects, "StatefulSet").text("/spec/podManagementPolicy"), "Parallel", "{set}");
    }
}

fn variable(object: &Object, name: &str) -> String {
    let env = list(object.containers()[0].get("env"));
    let found = env.iter().find(|variable| variable["name"] == name);
    found.and_then(|variable| variable["value"].as_str()).unwrap_or_default().to_owned()
}

fn within(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|all| !all.is_empty() && all.iter().all(|(key, value)| &labels[key] == value))
}
