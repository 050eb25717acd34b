//! What a SUBSCRIBE can be answered with.

use std::time::{Duration, Instant};

use epic_proto::mesos::v1::scheduler::event::Type;
use epic_scheduler::mesos::client::{Error, Kind};
use epic_scheduler::mesos::event::Event;
use epic_scheduler::mesos::subscription::Ended;

use crate::stand_in::{
    AUTHORIZATION, StandIn, Step, answer, chunk, client, client_with_credentials, error, event, last_chunk, nobody,
    record, standing, stream_head, subscribe_call, subscribed,
};

#[tokio::test]
async fn a_subscription_carries_what_it_should_and_nothing_else() {
    let master = StandIn::start(|_, _| standing()).await;
    let client = client_with_credentials(&master.address.to_string());
    let subscription = client.subscribe(&subscribe_call()).await.unwrap();
    assert_eq!(subscription.stream_id, "s-1");
    assert_eq!(subscription.leader.as_str(), format!("http://{}/api/v1/scheduler", master.address));
    assert_eq!(subscription.subscribed.framework_id.value, "f-1");
    let request = &master.requests()[0];
    assert_eq!((request.path.as_str(), &request.call), ("/api/v1/scheduler", &subscribe_call()));
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
    assert_eq!(request.headers["accept"], "application/x-protobuf");
    assert_eq!(request.headers["authorization"], AUTHORIZATION);
    assert!(!request.headers.contains_key("mesos-stream-id"));
}

#[tokio::test]
async fn events_come_whole_and_in_order_however_they_are_cut() {
    let unknown = epic_proto::mesos::v1::scheduler::Event { r#type: Some(99), ..Default::default() };
    let mut bytes = Vec::new();
    for event in [&subscribed(15.0), &unknown, &event(Type::InverseOffers), &event(Type::Heartbeat), &error("enough")] {
        bytes.extend(record(event));
    }
    for size in [1, 2, 3, 7, bytes.len()] {
        let mut steps = vec![stream_head()];
        steps.extend(bytes.chunks(size).map(chunk));
        steps.push(last_chunk());
        let master = StandIn::start(move |_, _| steps.clone()).await;
        let mut subscription = client(&master.address.to_string()).subscribe(&subscribe_call()).await.unwrap();
        assert_eq!(subscription.next().await.unwrap(), Event::Heartbeat);
        assert_eq!(subscription.next().await.unwrap(), Event::Error("enough".to_owned()));
        assert!(matches!(subscription.next().await, Err(Ended::Closed)), "{size}");
        assert!(matches!(subscription.next().await, Err(Ended::GivenUp)), "{size}");
    }
}

#[tokio::test]
async fn a_master_that_is_silent_for_five_heartbeats_is_dead() {
    let master =
        StandIn::start(|_, _| vec![stream_head(), chunk(&record(&subscribed(0.05))), chunk(b"3"), Step::Hang]).await;
    let mut subscription = client(&master.address.to_string()).subscribe(&subscribe_call()).await.unwrap();
    let start = Instant::now();
    let ended = subscription.next().await.unwrap_err();
    assert!(matches!(ended, Ended::Broken { .. }), "{ended:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_stream_that_breaks_ends_the_subscription() {
    let check = async |after: Vec<Step>, expected: fn(&Ended) -> bool| {
        let steps = [vec![stream_head(), chunk(&record(&subscribed(15.0)))], after].concat();
        let master = StandIn::start(move |_, _| steps.clone()).await;
        let mut subscription = client(&master.address.to_string()).subscribe(&subscribe_call()).await.unwrap();
        let ended = subscription.next().await.unwrap_err();
        assert!(expected(&ended), "{ended:?}");
        assert!(matches!(subscription.next().await, Err(Ended::GivenUp)), "{ended:?}");
    };
    let broken = |ended: &Ended| matches!(ended, Ended::Broken { .. });
    check(vec![Step::Cut], broken).await;
    check(vec![chunk(b"5\nab"), last_chunk()], broken).await;
    check(vec![chunk(b"<html>"), Step::Hang], broken).await;
    check(vec![chunk(b"999999999\n"), Step::Hang], broken).await;
}

#[tokio::test]
async fn an_event_that_is_not_understood_is_passed_over() {
    let steps = || {
        let odd =
            [chunk(b"3\n\xff\xff\xff"), chunk(&record(&event(Type::Offers))), chunk(&record(&event(Type::Offers)))];
        let around = [chunk(&record(&event(Type::Heartbeat))), last_chunk()];
        [vec![stream_head(), chunk(&record(&subscribed(15.0)))], odd.to_vec(), around.to_vec()].concat()
    };
    let master = StandIn::start(move |_, _| steps()).await;
    let mut subscription = client(&master.address.to_string()).subscribe(&subscribe_call()).await.unwrap();
    assert_eq!(subscription.next().await.unwrap(), Event::Heartbeat);
    assert!(matches!(subscription.next().await, Err(Ended::Closed)));
}

#[tokio::test]
async fn every_answer_is_retriable_or_definite_and_says_what_the_master_said() {
    let check = async |steps: Vec<Step>, kind: Kind, expected: &str| {
        let master = StandIn::start(move |_, _| steps.clone()).await;
        let error = client(&master.address.to_string()).subscribe(&subscribe_call()).await.unwrap_err();
        let text = anyhow::Error::from(error);
        let kind_found = text.downcast_ref::<Error>().unwrap().kind();
        let text = format!("{text:#}").replace(&format!("http://{}/api/v1/scheduler", master.address), "M");
        assert_eq!((text.as_str(), kind_found), (expected, kind));
    };
    check(
        answer("503 Service Unavailable", "", "Master has not finished recovery"),
        Kind::Retriable,
        "master M is not ready: 503 Master has not finished recovery",
    )
    .await;
    check(answer("404 Not Found", "", "404 Not Found."), Kind::Retriable, "master M is not ready: 404 404 Not Found.")
        .await;
    check(
        answer("401 Unauthorized", "", ""),
        Kind::Definite,
        "master M refuses the subscription: 401 ; check --principal and --secret-file (or EPIC_SECRET)",
    )
    .await;
    let long = format!("one\ntwo\x07three {}", "x".repeat(1000));
    check(
        answer("400 Bad Request", "", &long),
        Kind::Definite,
        &format!("master M refuses the subscription: 400 one two three {}", "x".repeat(500 - 14)),
    )
    .await;
    check(
        answer("200 OK", "Content-Type: text/html\r\n", "<html>"),
        Kind::Definite,
        "M does not answer like a Mesos master: its content type is \"text/html\" instead of \"application/x-protobuf\"",
    )
    .await;
    check(
        answer("200 OK", "Content-Type: application/x-protobuf\r\n", ""),
        Kind::Definite,
        "M does not answer like a Mesos master: the Mesos-Stream-Id header is missing",
    )
    .await;
    check(answer("202 Accepted", "", ""), Kind::Definite, "M does not answer like a Mesos master: its status is 202")
        .await;
    check(
        vec![stream_head(), chunk(&record(&error("Role 'x' is not allowed"))), last_chunk()],
        Kind::Definite,
        "cannot subscribe to master M: the master refuses the subscription: Role 'x' is not allowed",
    )
    .await;
    check(
        vec![stream_head(), chunk(&record(&event(Type::Heartbeat))), Step::Hang],
        Kind::Definite,
        "cannot subscribe to master M: the subscription did not begin with SUBSCRIBED or ERROR",
    )
    .await;
    check(
        vec![stream_head(), last_chunk()],
        Kind::Retriable,
        "cannot subscribe to master M: the master closed the subscription",
    )
    .await;
}

#[tokio::test]
async fn masters_are_tried_in_turn_and_a_later_attempt_succeeds() {
    let recovering = StandIn::start(|before, _| match before {
        0 => answer("503 Service Unavailable", "", "Master has not finished recovery"),
        _ => standing(),
    })
    .await;
    let dead = nobody().await;
    let client = client(&format!("{dead},{}", recovering.address));
    let error = client.subscribe(&subscribe_call()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Retriable);
    let text = error.to_string();
    assert!(text.starts_with(&format!("none of http://{dead},http://{} can be subscribed to: ", recovering.address)));
    assert!(text.contains("Connection refused") && text.contains("503 Master has not finished recovery"), "{text}");
    assert_eq!(client.subscribe(&subscribe_call()).await.unwrap().stream_id, "s-1");
}

#[tokio::test]
async fn a_zookeeper_that_is_not_there_is_retriable() {
    let error = client(&format!("zk://{}/mesos", nobody().await)).subscribe(&subscribe_call()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Retriable);
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.starts_with("cannot look up the leading master: cannot reach ZooKeeper at 127.0.0.1:"), "{text}");
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_retriable() {
    let master = StandIn::start(|_, _| vec![Step::Cut]).await;
    let error = client(&master.address.to_string()).subscribe(&subscribe_call()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.kind() == Kind::Retriable, "{error:?}");
    assert_eq!(master.requests().len(), 1, "a SUBSCRIBE was repeated");
}
