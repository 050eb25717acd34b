//! Secrets are in Secrets, and nowhere else.

use serde_json::Value;

use super::charted::{Helm, all, values_of};
use super::objects::{Object, list, objects, only};

/// What the set `made` gives as secrets, and their base64.
const SECRETS: [(&str, &str); 5] = [
    ("not-a-real-secret", "bm90LWEtcmVhbC1zZWNyZXQ="),
    ("epic:not-a-real-password", "ZXBpYzpub3QtYS1yZWFsLXBhc3N3b3Jk"),
    ("epic:not-a-real-password-either", "ZXBpYzpub3QtYS1yZWFsLXBhc3N3b3JkLWVpdGhlcg=="),
    ("not-a-real-token-0123456789", "bm90LWEtcmVhbC10b2tlbi0wMTIzNDU2Nzg5"),
    ("a2V5", "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCmEyVjUKLS0tLS1FTkQgUFJJVkFURSBLRVktLS0tLQo="),
];

#[test]
fn a_secret_is_in_no_other_object() {
    let (_, objects) = all().iter().find(|(set, _)| *set == "made").unwrap();
    for (secret, encoded) in SECRETS {
        let (secrets, others): (Vec<&Object>, Vec<&Object>) =
            objects.iter().partition(|object| object.kind() == "Secret");
        assert!(
            secrets.iter().any(|object| object.0.to_string().contains(&format!("\"{encoded}\""))),
            "{secret} is in none"
        );
        for object in others {
            let text = object.0.to_string();
            assert!(
                !text.contains(secret) && !text.contains(encoded),
                "{} {} holds {secret}",
                object.kind(),
                object.name()
            );
        }
    }
}

#[test]
fn secrets_are_mounted_for_the_group_alone_and_to_read() {
    for (set, objects) in all() {
        for object in objects {
            let pod = object.pod();
            for volume in list(pod.pointer("/spec/volumes")) {
                let Some(source) = volume.get("secret").or_else(|| volume.get("projected")) else { continue };
                // 0440 is octal to Kubernetes' reader of YAML, and decimal to this one.
                assert_eq!(source["defaultMode"].as_f64(), Some(440.0), "{set}: {volume}");
                let keys = list(source.get("items")).len() + list(source.get("sources")).len();
                assert!(keys > 0, "{set}: only what is needed is mounted: {volume}");
                let mounts = object.containers().iter().flat_map(|container| list(container.get("volumeMounts")));
                let mounts: Vec<&Value> = mounts.filter(|mount| mount["name"] == volume["name"]).collect();
                assert!(!mounts.is_empty(), "{set}: nobody mounts {volume}");
                for mount in mounts {
                    assert_eq!(mount["readOnly"], true, "{set}: {mount}");
                    // With subPath a new certificate would never come.
                    assert_eq!(mount.get("subPath"), None, "{set}: {mount}");
                }
            }
        }
    }
}

#[test]
fn every_file_that_is_named_is_mounted_from_a_secret_that_is_made_or_existing() {
    for (set, objects) in all() {
        for object in objects.iter().filter(|object| !object.pod().is_null()) {
            let volumes = list(object.pod().pointer("/spec/volumes"));
            for container in object.containers() {
                for variable in list(container.get("env")) {
                    let (name, path) = (&variable["name"], variable["value"].as_str().unwrap_or_default());
                    let Some((folder, file)) = path.rsplit_once('/').filter(|_| path.starts_with("/etc/epic/")) else {
                        continue;
                    };
                    let mount = list(container.get("volumeMounts")).iter().find(|mount| mount["mountPath"] == folder);
                    let mount = mount.unwrap_or_else(|| panic!("{set}: nothing is mounted for {name}"));
                    let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
                    assert!(gives(volume, file, objects), "{set}: {volume} doesn't give {name}, {file}");
                }
            }
        }
    }
}

#[test]
fn a_token_that_nobody_gives_is_made_and_outlives_the_release() {
    let made = || {
        let rendered = Helm::newer().template(&values_of("least"), &["--set", "token.value="]).unwrap();
        only(&objects(&rendered), "Secret").clone()
    };
    let (one, other) = (made(), made());
    // The base64 of 48 letters and digits.
    assert_eq!(one.text("/data/token").len(), 64, "{one:?}");
    assert_ne!(one.text("/data/token"), other.text("/data/token"));
    // A hook is no part of a revision: no upgrade, rollback or uninstall touches it, and the journal takes no other.
    assert_eq!(one.text("/metadata/annotations/helm.sh~1hook"), "pre-install,pre-upgrade");
    assert_eq!(one.text("/metadata/annotations/helm.sh~1resource-policy"), "keep");
    let (_, given) = all().iter().find(|(set, _)| *set == "least").unwrap();
    assert!(only(given, "Secret").at("/metadata/annotations").is_null());
}

/// Tells whether a volume has such a file, from an object of the chart if that is not somebody else's.
fn gives(volume: &Value, file: &str, objects: &[Object]) -> bool {
    if let Some(map) = volume.get("configMap") {
        return objects.iter().any(|object| map["name"] == object.name() && !object.at("/data")[file].is_null());
    }
    let one = volume.get("secret").map(|secret| (&secret["secretName"], list(secret.get("items"))));
    let sources = list(volume.pointer("/projected/sources")).iter().map(|source| &source["secret"]);
    let mut all = one.into_iter().chain(sources.map(|secret| (&secret["name"], list(secret.get("items")))));
    all.any(|(name, items)| {
        let item = items.iter().find(|item| item["path"] == file);
        let made = objects.iter().find(|object| object.kind() == "Secret" && name == object.name());
        item.is_some_and(|item| {
            let key = item["key"].as_str().unwrap_or_default();
            made.is_none_or(|secret| !secret.at("/data")[key].is_null())
        })
    })
}
