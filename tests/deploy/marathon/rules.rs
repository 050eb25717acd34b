//! The launcher's rules by values: where instances go, who is replaced, who is killed, and what they are told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::definition::Definition;
use super::fleet::{Action, Fleet, Instance, Offer, State, Status};
use super::{printed, task};

const RUNS: Status = Status::Running { is_healthy: Some(true) };

fn app() -> Definition {
    let args = ["--archive=https://f/e.tar.gz", "--master=m:5050", "--zk=zk://z:2181/epic", "--token-secret=a/token"];
    let more = ["--replace-lost-after=10s", "--label=team-name=big data"];
    Definition::read(&printed::print(&[&args[..], &more].concat())).expect("the launcher understands what is printed")
}

fn offer(host: &str) -> Offer {
    Offer {
        id: format!("offer of {host}"),
        agent_id: format!("agent {host}"),
        host: host.to_owned(),
        cpus: 1.0,
        mem: 1024.0,
        disk: 4096.0,
        ports: (31_000..31_010).collect(),
    }
}

/// A fleet at a moment that goes on as the test says.
struct Scene {
    fleet: Fleet,
    now: Instant,
}

impl Scene {
    /// Three instances that are healthy and ready, on a, b and c.
    fn settled() -> Self {
        let mut scene = Self { fleet: Fleet::new(app()), now: Instant::now() };
        for host in ["a", "b", "c"] {
            assert_eq!(scene.launched(&[host]), [host], "each finds its host");
            scene.pass(1);
            scene.all_good();
        }
        scene
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Plans with offers of these hosts, and returns where something was launched.
    fn launched(&mut self, hosts: &[&str]) -> Vec<String> {
        let offers: Vec<_> = hosts.iter().map(|host| offer(host)).collect();
        let mut at = Vec::new();
        for action in self.fleet.plan(self.now, &offers) {
            match action {
                Action::Launch { offer_id, .. } => at.push(offer_id.trim_start_matches("offer of ").to_owned()),
                Action::Decline { .. } | Action::Kill { .. } => {}
            }
        }
        at
    }

    /// Plans without offers, and returns on which hosts something was killed.
    fn killed(&mut self) -> Vec<String> {
        let before = self.fleet.instances();
        let mut hosts = Vec::new();
        for action in self.fleet.plan(self.now, &[]) {
            match action {
                Action::Kill { task_id, .. } => hosts.push(host_of(&before, &task_id)),
                Action::Launch { .. } | Action::Decline { .. } => panic!("nothing was offered"),
            }
        }
        hosts.sort();
        hosts
    }

    fn hear(&mut self, host: &str, status: Status) {
        let found = self.fleet.instances().into_iter().find(|instance| instance.host == host);
        let task_id = found.unwrap_or_else(|| panic!("nothing is on {host}")).task_id;
        assert!(!self.fleet.hear(&task_id, status, self.now), "it is ours");
    }

    fn all_good(&mut self) {
        for instance in self.fleet.instances() {
            self.fleet.hear(&instance.task_id, RUNS, self.now);
            self.fleet.ready(&instance.task_id);
        }
    }

    fn hosts(&self) -> Vec<String> {
        let mut hosts: Vec<_> = self.fleet.instances().into_iter().map(|instance| instance.host).collect();
        hosts.sort();
        hosts
    }
}

fn host_of(instances: &[Instance], task_id: &str) -> String {
    instances.iter().find(|instance| instance.task_id == task_id).map_or("?", |instance| &instance.host).to_owned()
}

#[test]
fn no_two_are_on_one_host_and_what_is_too_small_takes_none() {
    let mut scene = Scene { fleet: Fleet::new(app()), now: Instant::now() };
    assert_eq!(scene.launched(&["a", "a", "b"]), ["a", "b"]);
    assert_eq!(scene.launched(&["b", "a"]), [""; 0]);
    let small = Offer { mem: 100.0, ..offer("c") };
    let crowded = Offer { ports: vec![31_000], ..offer("c") };
    let actions = scene.fleet.plan(scene.now, &[small, crowded]);
    assert!(actions.iter().all(|action| matches!(action, Action::Decline { .. })), "{actions:?}");
    assert_eq!(scene.launched(&["c", "d"]), ["c"], "three are enough");
    assert!(!scene.fleet.wants(scene.now));
}

#[test]
fn who_ends_is_replaced_after_a_backoff_that_grows_until_one_is_healthy() {
    let mut scene = Scene::settled();
    scene.hear("a", Status::Failed);
    assert_eq!(scene.launched(&["a"]), [""; 0], "not at once");
    scene.pass(1);
    assert_eq!(scene.launched(&["d"]), ["d"], "also elsewhere");
    scene.hear("d", Status::Failed);
    scene.pass(1);
    assert_eq!(scene.launched(&["a"]), [""; 0], "the second time it takes longer");
    scene.pass(1);
    assert_eq!(scene.launched(&["a"]), ["a"]);
    scene.hear("a", RUNS);
    scene.hear("a", Status::Failed);
    scene.pass(1);
    assert_eq!(scene.launched(&["a"]), ["a"], "health has ended the row");
}

#[test]
fn who_is_lost_is_replaced_in_time_forgotten_in_time_and_killed_if_it_comes_back() {
    let mut scene = Scene::settled();
    let lost = scene.fleet.instances().into_iter().find(|instance| instance.host == "a").expect("it was launched");
    scene.hear("a", Status::Unreachable);
    scene.pass(9);
    assert_eq!(scene.launched(&["d"]), [""; 0], "it may come back");
    scene.pass(1);
    assert_eq!(scene.launched(&["d"]), ["d"]);
    assert_eq!(scene.hosts(), ["a", "b", "c", "d"]);
    scene.pass(40);
    assert_eq!(scene.killed(), [""; 0]);
    assert_eq!(scene.hosts(), ["b", "c", "d"]);
    assert!(scene.fleet.hear(&lost.task_id, RUNS, scene.now), "it has to go");
    assert!(!scene.fleet.hear(&lost.task_id, Status::Ended, scene.now), "what has ended need not");
}

#[test]
fn who_comes_back_in_time_counts_again_and_the_youngest_goes() {
    let mut scene = Scene::settled();
    scene.hear("a", Status::Unreachable);
    scene.pass(10);
    assert_eq!(scene.launched(&["d"]), ["d"]);
    scene.all_good();
    assert_eq!(scene.killed(), ["d"]);
    scene.hear("d", Status::Ended);
    assert_eq!(scene.hosts(), ["a", "b", "c"]);
}

#[test]
fn more_and_fewer_are_wanted_and_the_youngest_go_first() {
    let mut scene = Scene::settled();
    scene.fleet.put(app().scaled(5));
    assert_eq!(scene.launched(&["d"]), ["d"]);
    scene.pass(1);
    assert_eq!(scene.launched(&["e", "f"]), ["e"]);
    scene.all_good();
    assert_eq!(scene.killed(), [""; 0], "nobody else is touched");
    scene.fleet.put(app().scaled(3));
    assert_eq!(scene.killed(), ["d", "e"]);
    assert_eq!(scene.killed(), [""; 0], "once");
    scene.pass(11);
    assert_eq!(scene.killed(), ["d", "e"], "and again if that is of no use");
}

#[test]
fn another_definition_replaces_one_after_the_other_each_once_its_successor_is_ready() {
    let mut scene = Scene::settled();
    scene.fleet.put(app().with_mem(600.0));
    for round in 0..3 {
        let killed = scene.killed();
        assert_eq!(killed.len(), 1, "round {round}");
        assert_eq!(scene.launched(&[&killed[0]]), [""; 0], "its host isn't free yet");
        scene.hear(&killed[0], Status::Ended);
        assert_eq!(scene.launched(&[&killed[0]]), [killed[0].as_str()]);
        scene.hear(&killed[0], RUNS);
        assert_eq!(scene.killed(), [""; 0], "healthy isn't ready");
        scene.all_good();
    }
    assert_eq!(scene.killed(), [""; 0]);
    assert!(scene.fleet.instances().iter().all(|instance| instance.version == 2));
}

#[test]
fn an_instance_is_told_what_marathon_tells() {
    let scene = Scene::settled();
    let instance = scene.fleet.instances().remove(0);
    assert_eq!((instance.state, instance.version), (State::Running, 1));
    let secrets = BTreeMap::from([("a/token".to_owned(), "sesame".to_owned())]);
    let told = task::environment(&scene.fleet.app, &instance, &secrets).expect("the secret is there");
    let check = |name: &str, value: &str| assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}");
    check("HOST", &instance.host);
    check("PORT", "31000");
    check("PORT0", "31000");
    check("PORT1", "31001");
    check("PORT_HTTP", "31000");
    check("PORT_AGENTS", "31001");
    check("PORTS", "31000,31001");
    check("MESOS_TASK_ID", &instance.task_id);
    check("MARATHON_APP_ID", "/epic");
    check("MARATHON_APP_RESOURCE_MEM", "512.0");
    check("MARATHON_APP_LABELS", "TEAM_NAME");
    check("MARATHON_APP_LABEL_TEAM_NAME", "big data");
    check("EPIC_TOKEN", "sesame");
    let none = task::environment(&scene.fleet.app, &instance, &BTreeMap::new()).expect_err("the store is empty");
    assert_eq!(none.to_string(), "the secret store has no a/token");
}
