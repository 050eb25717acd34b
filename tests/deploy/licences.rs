//! The list of crates that the programs are made of, and licences that stop a build.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tools::{output, run};

const SCRIPT: &str = "scheduler/licences.py";

#[test]
fn every_crate_in_the_programs_is_listed_and_its_text_is_there_once() {
    let list = run(SCRIPT, &["epic-scheduler", "epic-executor", "epic-cli"]);
    for part in ["\nactix-web 4.", "\nring 0.17.", "\nzookeeper-client 0.11."] {
        assert!(list.contains(part), "{part} isn't in the list");
    }
    for (words, times) in [("Version 2.0, January 2004", 1..=40), ("Mozilla Public License Version 2.0", 1..=2)] {
        let found = list.matches(words).count();
        assert!(times.contains(&found), "{words}: {found} times");
    }
    assert!(
        !list.contains("\nproptest ") && !list.contains("\nepic-"),
        "tests' crates and our own aren't linked crates"
    );
    assert!(list.len() < 2 << 20, "{} bytes", list.len());
}

/// A crate, and how the ones before it need it.
struct Crate {
    name: &'static str,
    licence: Value,
    kind: Value,
}

/// Lists crates that one program needs, each with a text of its own folder.
fn listed(folder: &Path, crates: &[Crate]) -> Output {
    let manifest = |name: &str| folder.join(name).join("Cargo.toml").display().to_string();
    let package = |name: &str, licence: &Value| {
        json!({"id": name, "name": name, "version": "1.0.0", "license": licence, "license_file": null,
            "manifest_path": manifest(name)})
    };
    let mut packages = vec![package("program", &json!("Apache-2.0"))];
    let (mut deps, mut nodes) = (Vec::new(), Vec::new());
    for Crate { name, licence, kind } in crates {
        fs::create_dir_all(folder.join(name)).expect("the folder can be written");
        fs::write(folder.join(name).join("LICENSE"), "Do as\r\nyou like.\n").expect("the folder can be written");
        packages.push(package(name, licence));
        deps.push(json!({"name": name, "pkg": name, "dep_kinds": [{"kind": kind, "target": null}]}));
        nodes.push(json!({"id": name, "deps": []}));
    }
    nodes.push(json!({"id": "program", "deps": deps}));
    let metadata = json!({"packages": packages, "workspace_members": ["program"], "resolve": {"nodes": nodes}});
    let file = folder.join("metadata.json");
    fs::write(&file, metadata.to_string()).expect("the folder can be written");
    output(SCRIPT, &["--metadata", &file.display().to_string(), "program"])
}

#[test]
fn a_licence_that_is_not_allowed_stops_the_build_with_the_crates_name() {
    let folder = TempDir::new().expect("there is room");
    let check = |licence: Value, expected: Option<&str>| {
        let Output { status, stdout, stderr } =
            listed(folder.path(), &[Crate { name: "other", licence: licence.clone(), kind: Value::Null }]);
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        match expected {
            None => assert!(status.success() && stdout.contains("\nother 1.0.0: "), "{licence}: {stderr}"),
            Some(why) => {
                let named = stderr.contains("licences: crate other 1.0.0 ") && stderr.contains(why);
                assert!(status.code() == Some(1) && named && stdout.is_empty(), "{licence}: {stderr}{stdout}");
            }
        }
    };
    for fine in [
        "MIT",
        "MIT/Apache-2.0",
        "Apache-2.0 / MIT",
        "GPL-3.0-only OR MIT",
        "(MIT OR GPL-2.0) AND ISC",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        check(json!(fine), None);
    }
    let foreign = Some("which isn't allowed; use another crate");
    for other in [
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "(MIT OR ISC) AND (GPL-2.0 OR AGPL-3.0)",
        "GPL-2.0 WITH Classpath-exception-2.0",
        "Proprietary",
    ] {
        check(json!(other), foreign);
    }
    for broken in ["MIT OR", "(MIT", "MIT ISC"] {
        check(json!(broken), Some("which can't be read"));
    }
    check(Value::Null, Some("names no licence"));
}

#[test]
fn what_only_tests_and_builds_need_is_not_handed_on_and_a_text_that_two_share_is_there_once() {
    let folder = TempDir::new().expect("there is room");
    let of = |name, licence: &str, kind| Crate { name, licence: json!(licence), kind };
    let Output { status, stdout, stderr } = listed(
        folder.path(),
        &[
            of("first", "MIT", Value::Null),
            of("second", "ISC", Value::Null),
            of("tester", "GPL-3.0-only", json!("dev")),
            of("builder", "GPL-3.0-only", json!("build")),
        ],
    );
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let list = String::from_utf8_lossy(&stdout);
    let (head, texts) = list.split_once("---").expect("a text is set off from what is before it");
    assert!(head.ends_with("\nfirst 1.0.0: MIT\nsecond 1.0.0: ISC\n\n"), "{head}");
    assert!(texts.ends_with("-\nfirst 1.0.0, second 1.0.0:\n\nDo as\nyou like.\n"), "{texts}");
}
