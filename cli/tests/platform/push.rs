//! A bundle on its way to the scheduler.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use epic_common::api::{ArtifactView, LackingView, Problem};
use epic_common_io::bundle;

use crate::{Desk, json};

const MANIFEST: &str = "kind: App
apiLevel: 1
distroID: open/platform
version: 1.0.0-1
label: {name: Platform}
roles:
  - {id: worker, cardinality: 0+, minCores: 0.25, minMemory: 256MiB}
services:
  - {id: exporter, command: [bin/run]}
config:
  selectedRoles: [worker]
  roleServices:
    - {roleID: worker, serviceIDs: [exporter]}
";

fn problem(status: u16, title: &str) -> Option<(u16, String)> {
    json(status, &Problem { status, title: title.to_owned(), ..Problem::default() })
}

fn held() -> Option<(u16, String)> {
    let lacking = vec![LackingView { replica: "http://c".to_owned(), why: "it is away".to_owned() }];
    json(200, &ArtifactView { held: 2, replicas: 3, lacking, ..ArtifactView::default() })
}

/// Puts a bundle on the desk; answers its sha256 and length.
fn bundle_on(desk: &Desk) -> (String, usize) {
    let program = desk.path("source/payload/bin/run");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    fs::write(desk.path("source/manifest.yaml"), MANIFEST).unwrap();
    let built = bundle::build(&desk.path("source"), &desk.path("platform.bin")).unwrap();
    (built.digest.to_string(), usize::try_from(built.bytes).unwrap())
}

#[test]
fn a_bundle_is_sent_only_if_it_is_not_there_and_who_holds_it_is_said() {
    let desk = Desk::before(|nth, _| if nth == 0 { problem(404, "this artifact is not here yet") } else { held() });
    let (sha256, bytes) = bundle_on(&desk);
    let expected = format!("\nsha256 {sha256}\nheld by 2 of 3 replicas\n  not by http://c: it is away\n");
    for _ in 0..2 {
        let (code, out, error) = desk.types_all("bundle push platform.bin");
        assert!(out.starts_with("platform.bin: pushed, ") && out.ends_with(&expected), "{out}");
        assert_eq!(code, Some(0), "{error}");
    }
    let seen = desk.peer.seen();
    let sent: Vec<_> = seen.iter().map(|seen| seen.bytes).collect();
    assert_eq!(sent, [0, bytes, 0]);
    assert!(seen.iter().all(|seen| seen.start == format!("PUT /api/v2/artifacts/{sha256} HTTP/1.1")));
    assert!(seen.iter().all(|seen| seen.header("authorization") == "bearer 0123456789abcdef"));
    let (code, out, _) = desk.types_all("bundle push -o json platform.bin");
    assert_eq!((code, serde_json::from_str::<ArtifactView>(&out).unwrap().held), (Some(0), 2));
}

#[test]
fn too_few_replicas_are_waited_for() {
    let desk = Desk::before(|nth, _| match nth {
        0 => problem(404, "this artifact is not here yet"),
        1 => problem(503, "too few replicas hold the bundle"),
        2 => None,
        _ => held(),
    });
    bundle_on(&desk);
    assert_eq!(desk.types_all("bundle push platform.bin").0, Some(0));
    assert_eq!(desk.peer.seen().len(), 4);
}

#[test]
fn what_is_no_bundle_is_not_sent_and_a_refusal_is_said() {
    let desk = Desk::before(|_, _| problem(401, "the token is wrong"));
    fs::write(desk.path("text"), "hello").unwrap();
    let (code, _, error) = desk.types_all("bundle push text");
    assert!(code == Some(1) && error.starts_with("epicctl: text is not an EPIC bundle"), "{error}");
    assert_eq!(desk.peer.seen().len(), 0);
    bundle_on(&desk);
    let (code, _, error) = desk.types_all("bundle push platform.bin");
    assert_eq!((code, error.as_str()), (Some(1), "epicctl: the token is wrong\n"));
    let (code, _, _) = desk.types_all("bundle push platform.bin --server http://127.0.0.1:1");
    assert_eq!(code, Some(3));
}
