//! Why members aren't placed: each reason that binds, from the interface and from `epicctl`, on a real Mesos.

use anyhow::{Result, ensure};
use epic_tests::cluster::{Cluster, Part};
use epic_tests::epic::{Epic, PATIENCE, member};
use epic_tests::spec::{AgentSpec, ClusterSpec};

#[tokio::test]
async fn each_agent_that_is_too_small_is_named_with_what_is_missing() -> Result<()> {
    let mut spec = ClusterSpec::agents_of(0);
    let (slow, small, foreign) = (AgentSpec::named("a1"), AgentSpec::named("a2"), AgentSpec::named("a3"));
    spec.agents = vec![
        AgentSpec { milli_cpus: 150, ..slow },
        AgentSpec { mem_mib: 64, ..small },
        AgentSpec { milli_cpus: 20, mem_mib: 40, unreserved: "cpus:4;mem:4096".to_owned(), ..foreign },
    ];
    let mut epic = Epic::probe(Cluster::start(spec).await?, 1)?;
    epic.start()?;
    // Each asks for 0.1 cpus and 32 MiB, and would bring an executor with 0.1 cpus and 64 MiB.
    let expected = [
        (0, "needs 0.2 reserved cpus, 0.15 offered, 0.05 missing"),
        (1, "needs 96MiB reserved memory, 64MiB offered, 32MiB missing"),
        (2, "needs 0.2 reserved cpus, 0.02 offered, 0.18 missing"),
        (2, "needs 96MiB reserved memory, 40MiB offered, 56MiB missing"),
    ];
    for id in ["controller-0", "worker-0"] {
        waits_for(&mut epic, id, &expected).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_member_without_a_host_of_its_own_is_told_who_has_each() -> Result<()> {
    let mut epic = Epic::probe(Cluster::start(ClusterSpec::agents_of(2)).await?, 3)?;
    epic.start()?;
    let view = epic
        .until("two members are ready", PATIENCE, |view| {
            ensure!(view.phase == "installing", "it is {}", view.phase);
            ensure!(member(view, "controller-0")?.phase == "ready" && member(view, "worker-0")?.phase == "ready");
            Ok(view.clone())
        })
        .await?;
    let first = epic.cluster.addr(Part::Agent(0)).ip().to_string() == member(&view, "controller-0")?.host;
    let (controller, worker) = if first { (0, 1) } else { (1, 0) };
    let mut expected = [
        (controller, "controller-0 is there, and a host runs one member"),
        (worker, "worker-0 is there, and a host runs one member"),
    ];
    expected.sort_unstable();
    for id in ["worker-1", "worker-2"] {
        waits_for(&mut epic, id, &expected).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_port_that_must_be_this_one_is_named_beside_what_else_binds() -> Result<()> {
    let changes = [("{name: metrics, port: auto}", "{name: metrics, port: 9100}")];
    let mut epic = Epic::probe_with(Cluster::start(ClusterSpec::agents_of(1)).await?, 1, &changes)?;
    epic.start()?;
    epic.until("the controller is ready", PATIENCE, |view| {
        ensure!(member(view, "controller-0")?.phase == "ready");
        Ok(())
    })
    .await?;
    let port = "needs port 9100 (metrics), which is not offered";
    waits_for(&mut epic, "worker-0", &[(0, port), (0, "controller-0 is there, and a host runs one member")]).await
}

#[tokio::test]
async fn without_any_reservation_people_are_told_what_to_look_at() -> Result<()> {
    let mut spec = ClusterSpec::agents_of(1);
    spec.role = "Others".to_owned();
    let mut epic = Epic::probe(Cluster::start(spec).await?, 1)?;
    epic.start()?;
    let words = "no offer has come yet for role BlueData: check that agents are registered and have cpus and mem reserved for this role \
                 (--resources='cpus(BlueData):N;mem(BlueData):M')";
    epic.until("the missing reservation is told", PATIENCE, |view| {
        ensure!(view.mesos.subscribed, "not subscribed yet");
        let told = |waiting: &[String]| waiting.len() == 1 && waiting[0].starts_with(words);
        ensure!(told(&view.waiting) && told(&member(view, "worker-0")?.waiting), "{:?}", view.waiting);
        Ok(())
    })
    .await?;
    shown(&epic, &[words.to_owned()]).await
}

/// Waits until a member waits for just these reasons, which begin with the host of the agent; order is no matter.
async fn waits_for(epic: &mut Epic, id: &str, expected: &[(usize, &str)]) -> Result<()> {
    let host = |agent| epic.cluster.addr(Part::Agent(agent)).ip();
    let mut expected: Vec<_> = expected.iter().map(|(agent, reason)| format!("{}: {reason}", host(*agent))).collect();
    expected.sort();
    epic.until(&format!("{id} waits for {expected:#?}"), PATIENCE, |view| {
        let member = member(view, id)?;
        let mut waiting = member.waiting.clone();
        waiting.sort();
        ensure!(waiting == expected && member.phase == "waiting", "{waiting:#?}");
        Ok(())
    })
    .await?;
    shown(epic, &expected).await
}

/// Requires that `epicctl` shows these sentences to people and to programs.
async fn shown(epic: &Epic, sentences: &[String]) -> Result<()> {
    for args in [["platform", "status", "-o", "text"], ["platform", "status", "-o", "json"]] {
        let output = epic.epicctl(&args).await?;
        for sentence in sentences {
            ensure!(output.contains(sentence), "{args:?} doesn't say {sentence:?}:\n{output}");
        }
    }
    Ok(())
}
