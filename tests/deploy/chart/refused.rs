//! Values that are wrong are refused, with the field named, by both versions of helm.

use super::charted::{Helm, values_of};
use super::mutants::{UNFIT, WRONG};

#[test]
fn a_wrong_value_is_refused_by_its_field() {
    for helm in Helm::both() {
        for (field, json, key) in WRONG {
            let said = refused(helm, &[(field, json)]);
            // Helm 3 says mesos.secret, helm 4 '/mesos/secret'; of an unknown key both name what it is in.
            let within = field.rsplit_once('.').map_or("", |(within, _)| within);
            let named = said.contains(within) || said.contains(&within.replace('.', "/"));
            let by_schema = said.contains("values don't meet the specifications of the schema");
            assert!(by_schema && named && said.contains(key), "helm {}, {field}={json}: {said}", helm.version);
        }
    }
}

#[test]
fn values_that_contradict_each_other_are_refused_with_what_to_do() {
    for helm in Helm::both() {
        for (values, expected) in UNFIT {
            let said = refused(helm, values);
            assert!(said.contains(expected), "helm {}, {values:?} should say \"{expected}\": {said}", helm.version);
        }
    }
}

#[test]
fn a_right_value_is_not_refused() {
    for (field, json) in [("replicas", "5"), ("zookeeper.sessionTimeout", "\"60s\""), ("global", "{\"a\": 1}")] {
        assert!(template(Helm::newer(), &[(field, json)]).is_ok(), "{field}={json}");
    }
}

#[track_caller]
fn refused(helm: &Helm, values: &[(&str, &str)]) -> String {
    match template(helm, values) {
        Ok(_) => panic!("helm {} takes {values:?}", helm.version),
        Err(said) => said,
    }
}

fn template(helm: &Helm, values: &[(&str, &str)]) -> Result<String, String> {
    let set: Vec<String> = values.iter().map(|(field, json)| format!("{field}={json}")).collect();
    let args: Vec<&str> = set.iter().flat_map(|set| ["--set-json", set.as_str()]).collect();
    helm.template(&values_of("least"), &args)
}
