//! The scheduler's client against real masters.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use epic_common_io::http::ClientOptions;
use epic_common_io::secret::Source;
use epic_proto::mesos::v1::framework_info::{Capability, capability};
use epic_proto::mesos::v1::scheduler::{Call, call};
use epic_proto::mesos::v1::{AgentId, Filters, FrameworkId, FrameworkInfo, TaskId, TaskState};
use epic_scheduler::mesos::client::{Client, Error, Kind};
use epic_scheduler::mesos::credentials::Credentials;
use epic_scheduler::mesos::event::Event;
use epic_scheduler::mesos::lanes::Answer;
use epic_scheduler::mesos::masters::Masters;
use epic_scheduler::mesos::subscription::{Ended, Subscription};
use epic_tests::cluster::{Cluster, Part};
use epic_tests::spec::ClusterSpec;
use epic_tests::zookeeper::ZooKeeper;
use tokio::time::timeout;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

pub(crate) fn client(masters: &str, credentials: Option<Credentials>, ca_file: Option<PathBuf>) -> Client {
    let options = ClientOptions { ca_file, ..ClientOptions::default() };
    let masters = Masters::parse(masters).expect("a test knows how masters are written");
    Client::new(masters, credentials, &options).expect("the certificates are the test's own")
}

pub(crate) fn subscribe(role: &str, principal: Option<&str>) -> Call {
    let id = FrameworkId { value: "client-test".to_owned() };
    let framework_info = FrameworkInfo {
        user: "root".to_owned(),
        name: "client test".to_owned(),
        id: Some(id.clone()),
        roles: vec![role.to_owned()],
        principal: principal.map(str::to_owned),
        failover_timeout: Some(60.0),
        capabilities: [capability::Type::MultiRole, capability::Type::ReservationRefinement]
            .map(|kind| Capability { r#type: Some(kind.into()) })
            .into(),
        ..FrameworkInfo::default()
    };
    let subscribe = call::Subscribe { framework_info, suppressed_roles: Vec::new() };
    Call { framework_id: Some(id), subscribe: Some(subscribe), ..typed(call::Type::Subscribe) }
}

fn typed(kind: call::Type) -> Call {
    Call { r#type: Some(kind.into()), ..Call::default() }
}

/// Reads events until one gives something.
async fn first<T>(subscription: &mut Subscription, mut wanted: impl FnMut(&Event) -> Option<T>) -> Result<T, Ended> {
    let search = async {
        loop {
            if let Some(found) = wanted(&subscription.next().await?) {
                return Ok(found);
            }
        }
    };
    timeout(LONG, search).await.expect("the event did not come")
}

/// The agent and the id of each offer of the next OFFERS.
async fn offers(subscription: &mut Subscription) -> Vec<(String, epic_proto::mesos::v1::OfferId)> {
    let wanted = |event: &Event| match event {
        Event::Offers(offers) => {
            Some(offers.iter().map(|offer| (offer.agent_id.value.clone(), offer.id.clone())).collect())
        }
        Event::Subscribed(_)
        | Event::Rescind(_)
        | Event::Update { .. }
        | Event::Message(_)
        | Event::Failure(_)
        | Event::Error(_)
        | Event::Heartbeat => None,
    };
    first(subscription, wanted).await.expect("the subscription stands")
}

#[tokio::test]
async fn offers_come_are_declined_and_come_again_until_the_framework_is_torn_down() {
    let cluster = Cluster::start(ClusterSpec::agents_of(2)).await.unwrap();
    let client = client(&cluster.master_addr().to_string(), None, None);
    let mut subscription = client.subscribe(&subscribe("BlueData", None)).await.unwrap();
    assert_eq!(subscription.subscribed.framework_id.value, "client-test");
    let lanes = client.lanes(&subscription);

    let mut agents = BTreeSet::new();
    while agents.len() < 2 {
        for (agent, offer) in offers(&mut subscription).await {
            let filters = Filters { refuse_seconds: Some(3600.0) };
            let decline = call::Decline { offer_ids: vec![offer], filters: Some(filters) };
            let call = Call { decline: Some(decline), ..typed(call::Type::Decline) };
            assert_eq!(lanes.send(Some(&agent), call).await, Answer::Accepted);
            agents.insert(agent);
        }
    }
    let agent = agents.into_iter().next().unwrap();
    assert_eq!(lanes.send(None, typed(call::Type::Revive)).await, Answer::Accepted);
    assert!(!offers(&mut subscription).await.is_empty());

    let task = call::reconcile::Task {
        task_id: TaskId { value: "nobody knows it".to_owned() },
        agent_id: Some(AgentId { value: agent.clone() }),
    };
    let reconcile = call::Reconcile { tasks: vec![task] };
    let reconcile = Call { reconcile: Some(reconcile), ..typed(call::Type::Reconcile) };
    assert_eq!(lanes.send(Some(&agent), reconcile).await, Answer::Accepted);
    let wanted =
        |event: &Event| if let Event::Update { status, state } = event { Some((status.clone(), *state)) } else { None };
    let (status, state) = first(&mut subscription, wanted).await.unwrap();
    assert_eq!((status.uuid, state), (None, TaskState::TaskLost));

    let Answer::Refused { status: 400, text } = lanes.send(None, typed(call::Type::Acknowledge)).await else {
        panic!("an empty ACKNOWLEDGE was not refused");
    };
    assert!(text.contains("Expecting 'acknowledge' to be present"), "{text}");
    assert_eq!(lanes.send(None, typed(call::Type::Teardown)).await, Answer::Accepted);
    let ended = first(&mut subscription, |_| None::<()>).await.unwrap_err();
    assert!(matches!(ended, Ended::Closed), "{ended:?}");
    let removed = client.subscribe(&subscribe("BlueData", None)).await.unwrap_err();
    assert!(
        matches!(&removed, Error::Ended { source: Ended::Refused { message }, .. } if message == "Framework has been removed")
    );
}

#[tokio::test]
async fn a_second_subscription_ends_the_first_and_fences_its_calls() {
    let cluster = Cluster::start(ClusterSpec::agents_of(1)).await.unwrap();
    let client = client(&cluster.master_addr().to_string(), None, None);
    let mut old = client.subscribe(&subscribe("BlueData", None)).await.unwrap();
    let old_lanes = client.lanes(&old);
    let mut new = client.subscribe(&subscribe("BlueData", None)).await.unwrap();
    let answer = old_lanes.send(None, typed(call::Type::Revive)).await;
    assert!(matches!(&answer, Answer::Ended { text } if text.contains("didn't match the stream ID")), "{answer:?}");
    assert!(matches!(old.next().await, Err(Ended::GivenUp)));
    let new_lanes = client.lanes(&new);
    assert_eq!(new_lanes.send(None, typed(call::Type::Revive)).await, Answer::Accepted);

    let _second = client.subscribe(&subscribe("BlueData", None)).await.unwrap();
    let why = |event: &Event| if let Event::Error(message) = event { Some(message.clone()) } else { None };
    assert_eq!(first(&mut new, why).await.unwrap(), "Framework failed over");
    let ended = first(&mut new, |_| None::<()>).await.unwrap_err();
    assert!(matches!(ended, Ended::Closed), "{ended:?}");
}

#[tokio::test]
async fn a_wrong_role_and_wrong_credentials_are_told_in_the_masters_words() {
    let mut spec = ClusterSpec::agents_of(0);
    spec.credentials = vec![("bd".to_owned(), "secret".to_owned())];
    spec.master_flags.insert("roles".to_owned(), "BlueData".to_owned());
    let cluster = Cluster::start(spec).await.unwrap();
    let master = cluster.master_addr().to_string();
    let with = |secret: &str| {
        let file = cluster.work_dir().join("secret");
        fs::write(&file, secret).unwrap();
        client(&master, Some(Credentials::load("bd", Source::File(file)).unwrap()), None)
    };
    let check = async |client: Client, role: &str, expected: &str| {
        let error = client.subscribe(&subscribe(role, Some("bd"))).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Definite);
        let text = format!("{:#}", anyhow::Error::from(error));
        assert!(text.contains(expected), "{text}");
    };
    check(client(&master, None, None), "BlueData", "401").await;
    check(with("wrong"), "BlueData", "401").await;
    check(with("wrong"), "BlueData", "; check --principal and --secret-file").await;
    check(with("secret"), "Unknown", "Roles { Unknown } are not present in the master's --roles").await;
    let good = with("secret");
    let subscription = good.subscribe(&subscribe("BlueData", Some("bd"))).await.unwrap();
    assert_eq!(good.lanes(&subscription).send(None, typed(call::Type::Revive)).await, Answer::Accepted);
    let other = good.subscribe(&subscribe("BlueData", Some("somebody"))).await.unwrap_err().to_string();
    assert!(other.contains("400") && other.contains("does not match principal 'somebody'"), "{other}");
}

#[tokio::test]
async fn the_leader_is_found_through_zookeeper_and_by_redirect_also_after_it_changed() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let by_zookeeper = client(&zookeeper.url("/mesos"), None, None);
    let early = by_zookeeper.subscribe(&subscribe("BlueData", None)).await.unwrap_err();
    assert_eq!(early.kind(), Kind::Retriable);
    let early = format!("{:#}", anyhow::Error::from(early));
    assert!(early.contains("cannot read /mesos in ZooKeeper: no master has ever announced itself there"), "{early}");

    let mut spec = ClusterSpec::agents_of(0);
    spec.zookeeper = Some(zookeeper.url("/mesos"));
    spec.masters = 3;
    let mut cluster = Cluster::start(spec).await.unwrap();
    let leader = cluster.leader().await.unwrap();
    let mut subscription = by_zookeeper.subscribe(&subscribe("BlueData", None)).await.unwrap();
    assert_eq!(subscription.leader.port(), Some(cluster.addr(Part::Master(leader)).port()));
    let follower = cluster.addr(Part::Master((leader + 1) % 3)).to_string();
    let redirected = client(&follower, None, None).subscribe(&subscribe("BlueData", None)).await.unwrap();
    assert_eq!(redirected.leader.host_str(), subscription.leader.host_str());
    assert_eq!(redirected.leader.port(), subscription.leader.port());
    drop(redirected);
    while subscription.next().await.is_ok() {}

    cluster.kill(Part::Master(leader));
    let again = cluster.until("the next leader takes us", Duration::from_secs(60), async |_| {
        let tried = by_zookeeper.subscribe(&subscribe("BlueData", None)).await;
        if let Err(error) = &tried {
            assert_eq!(error.kind(), Kind::Retriable, "{error:?}");
        }
        let subscription = tried?;
        ensure!(subscription.subscribed.framework_id.value == "client-test");
        Ok(subscription)
    });
    let again = again.await.unwrap();
    assert_ne!(again.leader.port(), Some(cluster.addr(Part::Master(leader)).port()));
}
