//! What the page on systemd says is done as it is printed, on machines that have the addresses which it prints.

use std::fs;
use std::path::Path;

use epic_common_io::bundle;
use epic_tests::page::{Notes, Page, Step, unseen};
use tempfile::TempDir;

use super::host::Host;
use super::network::Network;
use super::{next, this};
use crate::tools::root;

#[test]
fn administrators_can_type_what_the_page_on_systemd_says() {
    let path = Path::new("docs/how-to/systemd.md");
    let page = Page::read(&root().join(path)).expect("the page is there");
    let notes = Notes::of(path).expect("so are its notes");
    let steps = page.steps(&notes).expect("each of its blocks is typed or noted");

    let network = Network::printed();
    let folder = files();
    let _zookeeper = network.zookeeper(&["z1", "z2", "z3"]);
    let flags = [
        "--zk=zk://z1:2181,z2:2181,z3:2181/mesos",
        "--quorum=1",
        "--authenticate_http_frameworks",
        "--http_framework_authenticators=basic",
        &format!("--credentials={}/credentials", text(folder.path())),
    ];
    let _master = network.master(Some(text(folder.path())), &flags);
    let line = &page.blocks.iter().find(|block| block.text.starts_with("mesos-agent ")).expect("the page has it").text;
    let _agents = ["agent1", "agent2", "agent3"].map(|name| network.agent(name, line));
    let machines = ["one", "two", "three"].iter().zip(ADDRESSES).map(|(name, address)| network.host_at(name, address));
    let machines: Vec<Host> = machines.collect();
    for machine in &machines {
        // A package has the name that the page prints only as long as the page prints this version.
        machine.put(this(), "/srv/");
        machine.put(next(), "/srv/epic-mesos-scheduler_0.2.0_amd64.deb");
        machine.run(&["install", "-d", "/srv/epic"]);
        machine.put(&folder.path().join("platform.bin"), "/srv/epic/epic-platform-1.0.0-1.bin");
        machine.put(&root().join("tests/deploy/package/editor"), "/usr/local/bin/editor");
    }
    for step in &steps {
        typed(&machines[0], step, &path.display().to_string());
    }
}

/// Types a step as root on a machine; what is printed must be seen.
fn typed(machine: &Host, step: &Step, page: &str) {
    let script = format!("cd /srv; {}", step.script("/tmp/exported"));
    let told = machine.ask(&["timeout", "120", "bash", "-c", &format!("exec 2>&1; {script}")]);
    let shown = String::from_utf8_lossy(&told.stdout);
    let place = format!("{page} line {}", step.line);
    assert!(told.status.success(), "{place}: {}\n{}\n{shown}\n{}", told.status, step.commands, machine.log());
    let missing = unseen(&step.seen, &shown);
    assert_eq!(missing, None, "{place}: this isn't seen\n{}\n{shown}\n{}", step.commands, machine.log());
}

/// A bundle, and who may register with the master.
fn files() -> TempDir {
    let folder = tempfile::Builder::new().prefix("epic-pages.").tempdir().expect("there is room for a bundle");
    bundle::build(&root().join("tests/fixtures/quiet-platform"), &folder.path().join("platform.bin"))
        .expect("the fixture is whole");
    let credentials = r#"{"credentials": [{"principal": "epic", "secret": "the-secret-of-the-page"}]}"#;
    fs::write(folder.path().join("credentials"), credentials).expect("there is room for a secret");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

const ADDRESSES: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
