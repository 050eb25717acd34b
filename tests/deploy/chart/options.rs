//! Each option that the chart sets is one that the programs have.

use std::collections::BTreeSet;
use std::fs;

use super::charted::all;
use super::objects::{list, yaml};
use crate::tools::root;

#[test]
fn every_variable_is_an_option_of_the_scheduler() {
    let page = fs::read_to_string(root().join("docs/reference/scheduler-options.md")).unwrap();
    let (run, rest) = page.split_once("\n## epic-scheduler init\n").unwrap();
    let (init, _) = rest.split_once("\n## ").unwrap();
    for (set, objects) in all() {
        for (kind, section) in [("StatefulSet", run), ("Job", init)] {
            for name in objects.iter().filter(|object| object.kind() == kind).flat_map(variables) {
                let own = ["POD_NAME", "POD_IP", "HOST_IP", "EPIC_LOG", "TZ", "NODE_NAME"].contains(&name.as_str());
                assert!(
                    own || section.contains(&format!("| `{name}` |")),
                    "{set}: {kind} sets {name}, which is no option"
                );
            }
        }
    }
    assert!(page.contains("the variable `EPIC_LOG`"));
}

#[test]
fn every_argument_is_a_verb_or_an_option() {
    let page = fs::read_to_string(root().join("docs/reference/scheduler-options.md")).unwrap();
    let mut seen = BTreeSet::new();
    for (_, objects) in all() {
        let containers =
            objects.iter().filter(|object| object.kind() != "Pod").flat_map(super::objects::Object::containers);
        seen.extend(containers.flat_map(|container| list(container.get("args"))).filter_map(|arg| arg.as_str()));
    }
    assert_eq!(seen, BTreeSet::from(["init", "--max-leading-time=1h"]));
    for arg in seen {
        let option = arg.split('=').next().unwrap();
        assert!(
            page.contains(&format!("| `{option} ")) || page.contains(&format!("\n## epic-scheduler {option}\n")),
            "{arg}"
        );
    }
}

#[test]
fn what_helm_test_says_is_understood_by_epicctl() {
    let client = fs::read_to_string(root().join("cli/src/client.rs")).unwrap();
    for (set, objects) in all() {
        let pod = objects.iter().find(|object| object.kind() == "Pod").unwrap();
        let replicas = objects.iter().find(|object| object.kind() == "StatefulSet").unwrap().at("/spec/replicas");
        assert_eq!(
            Some(pod.containers().len() as u64 - 1),
            replicas.as_u64(),
            "{set}: the Service and each replica are asked"
        );
        for name in variables(pod) {
            assert!(client.contains(&format!("env = \"{name}\"")), "{set}: epicctl has no {name}");
        }
        for container in pod.containers() {
            assert_eq!(container["args"], serde_json::json!(["platform", "status"]));
        }
    }
}

#[test]
fn the_list_of_the_charts_own_variables_is_whole() {
    let checks = fs::read_to_string(root().join("helm/epic-mesos/templates/_checks.tpl")).unwrap();
    let (_, own) = checks.split_once("define \"epic-mesos.ownEnv\" -}}\n").unwrap();
    let own = yaml(own.split("{{-").next().unwrap());
    let own: BTreeSet<String> = list(Some(&own)).iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
    let set = all().iter().flat_map(|(_, objects)| objects).filter(|object| object.kind() == "StatefulSet");
    let mut set: BTreeSet<String> =
        set.flat_map(variables).filter(|name| name != "TZ" && name != "NODE_NAME").collect();
    // A document is preferred to a bundle, and the sets have the two together.
    assert!(set.insert("EPIC_BIN".to_owned()));
    assert_eq!(own, set);
}

fn variables(object: &super::objects::Object) -> Vec<String> {
    let env = object.containers().iter().flat_map(|container| list(container.get("env")));
    env.filter_map(|variable| Some(variable["name"].as_str()?.to_owned())).collect()
}
