//! Three machines with the package, a ZooKeeper server and a Mesos master: upgraded one after another.

use std::time::{Duration, Instant};

use epic_common_io::bundle;
use epic_tests::wait::blocking_until;

use super::host::Host;
use super::network::Network;
use super::{next, this};
use crate::tools::root;

#[test]
fn three_machines_with_the_package_are_upgraded_one_after_another() {
    let network = Network::new();
    let (_zookeeper, _master) = (network.zookeeper(&["zookeeper"]), network.master(None, &["--registry=in_memory"]));
    let hosts: Vec<Host> = NAMES.iter().map(|name| network.host(name)).collect();
    let work = tempfile::tempdir().expect("there is room for a bundle");
    let bundle = work.path().join("platform.bin");
    bundle::build(&root().join("tests/fixtures/quiet-platform"), &bundle).expect("the fixture is whole");
    for (host, name) in hosts.iter().zip(NAMES) {
        host.put(this(), "/srv/this.deb");
        host.put(next(), "/srv/next.deb");
        host.run(&["dpkg", "--install", "/srv/this.deb"]);
        host.run(&["install", "-d", "/srv/epic"]);
        host.put(&bundle, "/srv/epic/platform.bin");
        configure(host, name);
    }
    hosts[0].until(&format!("epic-scheduler init --zk {ZK} --zk-digest-file /etc/epic/zookeeper"));
    for host in &hosts {
        host.run(&["systemctl", "enable", "--now", "epic-scheduler"]);
    }
    led(&hosts, None);
    let framework = framework(&hosts);

    for (host, name) in hosts.iter().zip(NAMES) {
        host.run(&["dpkg", "--install", "/srv/next.deb"]);
        host.until(&format!("curl -fsS http://{name}:8080/readyz"));
    }
    let leader = led(&hosts, None);
    assert_eq!(self::framework(&hosts), framework, "it is the same framework after all upgrades");
    let begin = Instant::now();
    hosts[leader].run(&["systemctl", "stop", "epic-scheduler"]);
    assert!(begin.elapsed() < Duration::from_secs(2), "it took {:?} to hand over", begin.elapsed());
    let after = led(&hosts, Some(leader));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?} without a leader", begin.elapsed());
    assert_ne!(after, leader);
}

fn configure(host: &Host, name: &str) {
    for (file, secret) in [("token", "a-token-that-all-replicas-share"), ("zookeeper", "epic:a-password")] {
        host.sh(&format!("echo {secret} | install -m 0640 -o root -g epic /dev/stdin /etc/epic/{file}"));
    }
    let options = [
        "master: mesos:5050",
        &format!("zk: {ZK}"),
        "zk-digest-file: /etc/epic/zookeeper",
        "token-file: /etc/epic/token",
        "bin: /srv/epic/platform.bin",
        "listen: 0.0.0.0:8080",
        &format!("advertise: http://{name}:8080"),
    ];
    host.sh(&format!("printf '%s\\n' '{}' >> /etc/epic/scheduler.yaml", options.join("' '")));
    host.run(&["runuser", "-u", "epic", "--", "epic-scheduler", "--check", "--config", "/etc/epic/scheduler.yaml"]);
}

/// Waits until one leads and all others stand by; `stopped` isn't asked.
#[track_caller]
fn led(hosts: &[Host], stopped: Option<usize>) -> usize {
    let mut said = Vec::new();
    let mut leader = None;
    let came = blocking_until(Duration::from_secs(30), || {
        let asked = hosts.iter().enumerate().filter(|(index, _)| Some(*index) != stopped);
        said = asked.map(|(index, host)| (index, host.unit("StatusText"))).collect();
        let leading: Vec<_> = said.iter().filter(|(_, text)| text == "this replica leads").collect();
        let standing_by = said.iter().filter(|(_, text)| text.contains(" leads") && text.contains("stands by"));
        leader = leading.first().map(|(index, _)| *index);
        leading.len() == 1 && standing_by.count() + 1 == said.len()
    });
    assert!(came, "half a minute without one leader: {said:?}");
    leader.expect("one leads")
}

/// Returns the id under which the master knows the one framework that is registered and active.
#[track_caller]
fn framework(hosts: &[Host]) -> String {
    let mut seen = String::new();
    let mut id = None;
    let came = blocking_until(Duration::from_secs(30), || {
        seen = hosts[0].told(&["curl", "-fsS", "http://mesos:5050/master/frameworks"]);
        let answer: serde_json::Value = serde_json::from_str(&seen).unwrap_or_default();
        let all = answer["frameworks"].as_array().map(Vec::as_slice).unwrap_or_default();
        id = all.first().filter(|one| one["active"] == true).and_then(|one| one["id"].as_str()).map(str::to_owned);
        all.len() == 1 && id.is_some()
    });
    let logs = || hosts.iter().map(Host::log).collect::<Vec<_>>().join("\n");
    assert!(came, "the master has no framework, or several: {seen}\n{}", logs());
    id.expect("there is one")
}

const NAMES: [&str; 3] = ["one", "two", "three"];
const ZK: &str = "zk://zookeeper:2181/epic";
