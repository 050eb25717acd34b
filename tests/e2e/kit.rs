//! What the other tests take for granted of the cluster they run on.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use epic_tests::cluster::{Cluster, Part};
use epic_tests::http;
use epic_tests::spec::ClusterSpec;
use serde_json::{Value, json};

use crate::framework::Framework;

#[tokio::test]
async fn two_agents_come_up_with_their_reservation_and_leave_nothing() {
    let mut cluster = Cluster::start(ClusterSpec::agents_of(2)).await.unwrap();
    for (index, host) in ["a1", "a2"].into_iter().enumerate() {
        let agent = cluster.agent(index).await.unwrap();
        let ip = cluster.addr(Part::Agent(index)).ip().to_string();
        assert_eq!(agent["active"], true);
        assert_eq!(agent["attributes"]["host"], host);
        assert_eq!(agent["hostname"], ip.as_str());
        assert_eq!(agent["reserved_resources"]["BlueData"]["cpus"], 2.0);
        assert_eq!(agent["reserved_resources"]["BlueData"]["mem"], 2048.0);
        assert_eq!(agent["unreserved_resources"]["ports"], "[31000-31099]");
    }
    let first = id(&cluster.agent(0).await.unwrap()).unwrap();

    cluster.kill(Part::Agent(0));
    cluster.restart(Part::Agent(0)).unwrap();
    cluster.agents_active().await.unwrap();
    assert_eq!(id(&cluster.agent(0).await.unwrap()).unwrap(), first);

    let leftovers = cluster.leftovers();
    let marks = leftovers.check().join("\n");
    for mark in ["mesos-master", "mesos-agent", "cgroup ", "listening socket 127.", "directory "] {
        assert!(marks.contains(mark), "a running cluster shows no {mark:?}:\n{marks}");
    }
    drop(cluster);
    assert_eq!(leftovers.check(), Vec::<String>::new());
}

/// An executor that makes a cgroup where Mesos makes none, with a child that leaves its session and looks like
/// nothing of ours but for its cgroup.
const EXECUTOR: &str = "group=/sys/fs/cgroup/pids/kit-$LIBPROCESS_IP; mkdir $group && echo $$ > $group/cgroup.procs; \
     setsid env -i sh -c 'cd /; trap : TERM; while :; do sleep 1; done' & \
     python3 -m http.server --bind $LIBPROCESS_IP 31000";

#[tokio::test]
async fn what_runs_on_an_agent_outlives_it_and_dies_with_its_host_or_the_cluster() {
    let mut cluster = Cluster::start(ClusterSpec::agents_of(2)).await.unwrap();
    let mut framework = Framework::subscribe(cluster.master_addr()).await.unwrap();
    let mut hosts = [framework.launch(EXECUTOR).await.unwrap(), framework.launch(EXECUTOR).await.unwrap()];
    hosts.sort();
    let addresses = [0, 1].map(|index| cluster.addr(Part::Agent(index)).ip().to_string());
    assert_eq!(hosts, addresses, "each agent runs one");
    serves(&mut cluster, &hosts[0]).await;
    serves(&mut cluster, &hosts[1]).await;

    let leftovers = cluster.leftovers();
    let groups: Vec<PathBuf> = hosts.iter().map(|host| format!("/sys/fs/cgroup/pids/kit-{host}").into()).collect();
    assert!(groups.iter().all(|group| group.exists()), "the executors make {groups:?}");
    let escaped = |found: &[String]| {
        found.iter().filter(|line| line.contains("trap : TERM;") && !line.contains("setsid")).count()
    };
    cluster.kill(Part::Agent(0));
    cluster.kill(Part::Agent(1));
    http::get(&format!("http://{}:31000/", hosts[0])).await.unwrap();
    assert_eq!(escaped(&leftovers.check()), 2, "{:#?}", leftovers.check());

    cluster.stop_host(0);
    http::get(&format!("http://{}:31000/", hosts[0])).await.unwrap_err();
    http::get(&format!("http://{}:31000/", hosts[1])).await.unwrap();
    assert_eq!(escaped(&leftovers.check()), 1, "{:#?}", leftovers.check());

    drop(cluster);
    assert_eq!(leftovers.check(), Vec::<String>::new());
    assert!(!groups.iter().any(|group| group.exists()), "{groups:?} stay");
}

#[tokio::test]
async fn agents_find_a_master_that_was_killed_and_restarted() {
    let mut cluster = Cluster::start(ClusterSpec::agents_of(1)).await.unwrap();
    let before = id(&cluster.agent(0).await.unwrap()).unwrap();
    cluster.kill(Part::Master(0));
    cluster.restart(Part::Master(0)).unwrap();
    cluster.agents_active().await.unwrap();
    assert_eq!(id(&cluster.agent(0).await.unwrap()).unwrap(), before);
}

#[tokio::test]
async fn a_cluster_of_one_process_keeps_its_ids_over_a_kill() {
    let mut cluster = Cluster::start_one_process(ClusterSpec::agents_of(3)).await.unwrap();
    let before = ids(&cluster).await.unwrap();
    cluster.kill(Part::Master(0));
    cluster.restart(Part::Master(0)).unwrap();
    cluster.agents_active().await.unwrap();
    assert_eq!(ids(&cluster).await.unwrap(), before);
    assert_eq!(before.len(), 3);
    let leftovers = cluster.leftovers();
    drop(cluster);
    assert_eq!(leftovers.check(), Vec::<String>::new());
}

#[tokio::test]
async fn frameworks_must_authenticate_where_there_are_credentials() {
    let mut spec = ClusterSpec::agents_of(1);
    spec.credentials = vec![("epic".to_owned(), "right".to_owned())];
    let cluster = Cluster::start(spec).await.unwrap();
    let url = format!("http://{}/api/v1/scheduler", cluster.master_addr());
    let info = json!({"user": "root", "name": "kit", "roles": ["BlueData"], "principal": "epic"});
    let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}).to_string();
    for (secret, status) in [("wrong", 401), ("right", 200)] {
        let request = http::client().post(&url).basic_auth("epic", Some(secret));
        let request = request.header("Content-Type", "application/json");
        let answer = request.body(call.clone()).send().await.unwrap();
        assert_eq!(answer.status(), status, "with the {secret} secret");
    }
}

#[tokio::test]
async fn a_part_that_dies_ends_the_wait_with_its_log() {
    let mut spec = ClusterSpec::agents_of(1);
    spec.agent_flags.insert("isolation".to_owned(), "nope".to_owned());
    let error = Cluster::start(spec).await.expect_err("an unknown isolator must end the agent");
    let text = format!("{error:#}");
    assert!(text.contains("isolator 'nope'"), "{text}");
}

async fn serves(cluster: &mut Cluster, host: &str) {
    let url = format!("http://{host}:31000/");
    let served = cluster.until("the executor serves", Duration::from_secs(20), async |_| http::get(&url).await);
    served.await.expect("the executor is a server");
}

async fn ids(cluster: &Cluster) -> Result<Vec<String>> {
    let mut ids = cluster.slaves().await?.iter().map(id).collect::<Result<Vec<_>>>()?;
    ids.sort();
    Ok(ids)
}

fn id(agent: &Value) -> Result<String> {
    Ok(agent["id"].as_str().with_context(|| format!("no id in {agent}"))?.to_owned())
}
