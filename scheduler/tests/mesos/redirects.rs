//! A master that doesn't lead, and where credentials go.

use epic_scheduler::mesos::client::{Error, Kind};
use epic_scheduler::mesos::redirect;

use crate::stand_in::{
    AUTHORIZATION, StandIn, client, client_with_credentials, redirect as redirect_to, standing, subscribe_call,
};

#[tokio::test]
async fn a_redirect_is_followed_with_credentials_to_a_listed_master() {
    let leader = StandIn::start(|_, _| standing()).await;
    for location in ["//LEADER/master/api/v1/scheduler", "LEADER", "http://LEADER/master/api/v1/scheduler"] {
        let location = location.replace("LEADER", &leader.address.to_string());
        let follower = StandIn::start(move |_, _| redirect_to(&location)).await;
        let client = client_with_credentials(&format!("{},{}", follower.address, leader.address));
        let subscription = client.subscribe(&subscribe_call()).await.unwrap();
        let request = leader.requests().pop().unwrap();
        assert_eq!(subscription.leader.as_str(), format!("http://{}{}", leader.address, request.path));
        assert_eq!(request.headers["authorization"], AUTHORIZATION);
        assert_eq!(request.call, subscribe_call());
    }
}

#[tokio::test]
async fn a_redirect_elsewhere_is_refused_with_credentials_and_followed_without() {
    let foreign = StandIn::start(|_, _| standing()).await;
    let location = format!("//{}/master/api/v1/scheduler", foreign.address);
    let follower = StandIn::start(move |_, _| redirect_to(&location)).await;
    let listed = follower.address.to_string();
    let error = client_with_credentials(&listed).subscribe(&subscribe_call()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Definite);
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.contains(&format!("{} was not given with --master", foreign.address)), "{text}");
    assert!(foreign.requests().is_empty());
    client(&listed).subscribe(&subscribe_call()).await.unwrap();
    assert!(!foreign.requests()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let master = StandIn::start(|_, _| redirect_to("/again")).await;
    let error = client(&master.address.to_string()).subscribe(&subscribe_call()).await.unwrap_err();
    let is_expected = matches!(error, Error::Redirect { kind: Kind::Retriable, source: redirect::Error::TooMany, .. });
    assert!(is_expected && master.requests().len() == 6, "{error:?} after {}", master.requests().len());
}
