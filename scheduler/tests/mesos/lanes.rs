//! Calls in their order, and what becomes of them when a subscription ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use epic_proto::mesos::v1;
use epic_proto::mesos::v1::scheduler::{Call, call};
use epic_scheduler::mesos::lanes::{Answer, Lanes, QUEUED_MAX};
use epic_scheduler::mesos::subscription::{Ended, Subscription};
use tokio::sync::Notify;

use crate::stand_in::{
    AUTHORIZATION, StandIn, Step, answer, client_with_credentials, framework, standing, subscribe_call,
};

fn accepted() -> Vec<Step> {
    answer("202 Accepted", "", "")
}

fn kill(agent: &str, number: usize) -> Call {
    let kill = call::Kill {
        task_id: v1::TaskId { value: format!("{number}") },
        agent_id: Some(v1::AgentId { value: agent.to_owned() }),
        ..Default::default()
    };
    Call { r#type: Some(call::Type::Kill.into()), kill: Some(kill), ..Default::default() }
}

fn launch(agent: &str) -> Call {
    let offer = v1::OfferId { value: format!("O-{agent}") };
    let accept = call::Accept { offer_ids: vec![offer], ..Default::default() };
    Call { r#type: Some(call::Type::Accept.into()), accept: Some(accept), ..Default::default() }
}

async fn lanes(master: &StandIn) -> (Subscription, Lanes) {
    let client = client_with_credentials(&master.address.to_string());
    let subscription = client.subscribe(&subscribe_call()).await.unwrap();
    let lanes = client.lanes(&subscription);
    (subscription, lanes)
}

#[tokio::test]
async fn calls_carry_their_subscription_and_keep_their_order_for_each_agent() {
    let master = StandIn::start(|before, _| if before == 0 { standing() } else { accepted() }).await;
    let (_subscription, lanes) = lanes(&master).await;
    let mut pending = Vec::new();
    for number in 0..50 {
        for agent in ["S1", "S2", "S3"] {
            pending.push(lanes.send(Some(agent), kill(agent, number)));
        }
    }
    for pending in pending.into_iter().rev() {
        assert_eq!(pending.await, Answer::Accepted);
    }
    let mut seen = BTreeMap::<String, Vec<usize>>::new();
    for request in &master.requests()[1..] {
        assert_eq!(request.headers["mesos-stream-id"], "s-1");
        assert_eq!(request.headers["authorization"], AUTHORIZATION);
        assert_eq!(request.headers["content-type"], "application/x-protobuf");
        assert_eq!(request.call.framework_id, Some(framework()));
        let kill = request.call.kill.as_ref().unwrap();
        seen.entry(kill.agent_id.as_ref().unwrap().value.clone())
            .or_default()
            .push(kill.task_id.value.parse().unwrap());
    }
    assert_eq!(seen.len(), 3);
    for (agent, numbers) in seen {
        assert_eq!(numbers, (0..50).collect::<Vec<_>>(), "{agent}");
    }
}

#[tokio::test]
async fn a_refused_call_does_not_end_the_subscription() {
    let master = StandIn::start(|before, _| match before {
        0 => standing(),
        1 => answer("400 Bad Request", "", "Not a valid UUID"),
        _ => accepted(),
    })
    .await;
    let (_subscription, lanes) = lanes(&master).await;
    let first = lanes.send(None, kill("S1", 1));
    let second = lanes.send(None, kill("S1", 2));
    assert_eq!(first.await, Answer::Refused { status: 400, text: "Not a valid UUID".to_owned() });
    assert_eq!(second.await, Answer::Accepted);
}

#[tokio::test]
async fn launches_without_an_answer_are_lost_and_end_the_subscription() {
    let master = StandIn::start(|before, _| if before == 0 { standing() } else { vec![Step::Cut] }).await;
    let (mut subscription, lanes) = lanes(&master).await;
    let reader = tokio::spawn(async move { subscription.next().await });
    let pending: Vec<_> = (0..3).map(|_| lanes.send(Some("S1"), launch("S1"))).collect();
    for pending in pending {
        let answer = pending.await;
        assert!(matches!(answer, Answer::Lost { .. }), "{answer:?}");
    }
    assert_eq!(lanes.send(Some("S2"), kill("S2", 4)).await, Answer::Fenced);
    assert_eq!(master.requests().len(), 2, "a call was sent after a launch was lost");
    assert!(matches!(reader.await.unwrap(), Err(Ended::GivenUp)), "the stream goes on after a lost launch");
}

#[tokio::test]
async fn a_launch_that_meets_silence_is_lost_soon() {
    let master = StandIn::start(|before, _| if before == 0 { standing() } else { vec![Step::Hang] }).await;
    let (_subscription, lanes) = lanes(&master).await;
    let start = Instant::now();
    let answer = lanes.send(Some("S1"), launch("S1")).await;
    assert!(matches!(&answer, Answer::Lost { text } if text == "no answer within 2s"), "{answer:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn any_other_call_without_an_answer_is_sent_again_in_its_order() {
    let master = StandIn::start(|before, _| match before {
        0 => standing(),
        _ if before % 3 == 2 => vec![Step::Cut],
        _ => accepted(),
    })
    .await;
    let (_subscription, lanes) = lanes(&master).await;
    let pending: Vec<_> = (0..40).map(|number| lanes.send(Some("S1"), kill("S1", number))).collect();
    for pending in pending {
        assert_eq!(pending.await, Answer::Accepted);
    }
    let mut first = Vec::new();
    for request in master.requests().into_iter().filter_map(|request| request.call.kill) {
        let number: usize = request.task_id.value.parse().unwrap();
        if !first.contains(&number) {
            first.push(number);
        }
    }
    assert_eq!(first, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_call_that_nobody_ever_answers_is_lost_and_its_subscription_goes_on() {
    let master = StandIn::start(|before, _| if before == 0 { standing() } else { vec![Step::Cut] }).await;
    let (_subscription, lanes) = lanes(&master).await;
    for requests in [6, 11] {
        let answer = lanes.send(Some("S1"), kill("S1", 0)).await;
        assert!(matches!(answer, Answer::Lost { .. }), "{answer:?}");
        assert_eq!(master.requests().len(), requests);
    }
}

#[tokio::test]
async fn a_busy_master_is_asked_again_but_not_to_launch() {
    let master = StandIn::start(|before, request| match before {
        0 => standing(),
        _ if before == 1 || request.call.accept.is_some() => answer("503 Service Unavailable", "", "too busy"),
        _ => accepted(),
    })
    .await;
    let (_subscription, lanes) = lanes(&master).await;
    assert_eq!(lanes.send(None, kill("S1", 1)).await, Answer::Accepted);
    assert_eq!(master.requests().len(), 3);
    let answer = lanes.send(Some("S1"), launch("S1")).await;
    assert_eq!(answer, Answer::Ended { text: "503 too busy".to_owned() });
}

#[tokio::test]
async fn an_ended_subscription_is_told_from_a_refused_call() {
    let master = StandIn::start(|before, _| match before {
        0 => standing(),
        _ => answer("403 Forbidden", "", "Framework is not subscribed"),
    })
    .await;
    let (_subscription, lanes) = lanes(&master).await;
    let answer = lanes.send(None, kill("S1", 1)).await;
    assert_eq!(answer, Answer::Ended { text: "403 Framework is not subscribed".to_owned() });
    assert_eq!(lanes.send(None, kill("S1", 2)).await, Answer::Fenced);
}

#[tokio::test]
async fn the_end_of_the_stream_closes_the_lanes() {
    let master = StandIn::start(|before, _| {
        let mut steps = standing();
        steps.pop();
        if before == 0 { steps.into_iter().chain([Step::Cut]).collect() } else { accepted() }
    })
    .await;
    let (mut subscription, lanes) = lanes(&master).await;
    assert!(subscription.next().await.is_err());
    assert_eq!(lanes.send(None, kill("S1", 1)).await, Answer::Fenced);
    assert_eq!(master.requests().len(), 1);
}

#[tokio::test]
async fn a_master_that_is_gone_ends_the_subscription_without_a_lost_call() {
    let master = StandIn::start(|_, _| standing()).await;
    let (_subscription, lanes) = lanes(&master).await;
    drop(master);
    // The listener closes when its task is next polled.
    tokio::task::yield_now().await;
    let answer = lanes.send(None, kill("S1", 1)).await;
    assert!(matches!(&answer, Answer::Ended { text } if text.contains("refused")), "{answer:?}");
}

#[tokio::test]
async fn closing_fences_what_waits_but_not_what_is_on_its_way_and_a_full_lane_says_so() {
    let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&arrived), Arc::clone(&go));
    let master = StandIn::start(move |before, _| {
        if before == 0 {
            return standing();
        }
        tell.notify_one();
        [vec![Step::Wait(Arc::clone(&wait))], accepted()].concat()
    })
    .await;
    let (_subscription, lanes) = lanes(&master).await;
    let first = lanes.send(None, kill("S1", 0));
    arrived.notified().await;
    let waiting: Vec<_> = (0..QUEUED_MAX).map(|number| lanes.send(None, kill("S1", number))).collect();
    assert_eq!(lanes.send(None, kill("S1", 0)).await, Answer::Full);
    drop(lanes);
    go.notify_one();
    assert_eq!(first.await, Answer::Accepted);
    for pending in waiting {
        assert_eq!(pending.await, Answer::Fenced);
    }
    assert_eq!(master.requests().len(), 2);
}

#[tokio::test]
async fn an_agents_calls_are_taken_in_order_and_other_agents_do_not_wait() {
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let master = StandIn::start(move |before, request| match &request.call.kill {
        _ if before == 0 => standing(),
        Some(kill) if kill.task_id.value == "0" => [vec![Step::Wait(Arc::clone(&wait))], accepted()].concat(),
        Some(_) | None => accepted(),
    })
    .await;
    let (_subscription, lanes) = lanes(&master).await;
    let first = [0, 10, 100, 1000].map(|number| lanes.send(Some("S1"), kill("S1", number)));
    // Eight agents share lanes in part; one of them at least has another lane than S1.
    let others = (2..10).map(|agent| lanes.send(Some(&format!("S{agent}")), kill(&format!("S{agent}"), 10)));
    let (answer, _, _) = futures_util::future::select_all(others).await;
    assert_eq!(answer, Answer::Accepted);
    let of_first = || {
        let requests = master.requests().into_iter().filter_map(|request| request.call.kill);
        let numbers = requests.filter(|kill| kill.agent_id.as_ref().is_some_and(|agent| agent.value == "S1"));
        numbers.map(|kill| kill.task_id.value).collect::<Vec<_>>()
    };
    assert!(of_first().len() <= 1, "{:?}", of_first());
    go.notify_one();
    for pending in first {
        assert_eq!(pending.await, Answer::Accepted);
    }
    assert_eq!(of_first(), ["0", "10", "100", "1000"]);
}
