//! What a replica answers that stands by, and what it leaves to the leader.

use std::net::TcpListener;

use epic_common::api::{LeaderView, PlatformView};
use epic_common::ids::Digest;
use epic_scheduler::replica::Mode;
use epic_scheduler_core::request::{Rejection, RejectionKind, Wish};
use epic_scheduler_core::session::Link;
use reqwest::Method;

use crate::fixture::{History, bundle};
use crate::push::meet;
use crate::server::{Server, TOKEN, grant, problem};

const STOP: &str = "/api/v2/platform/stop";

/// A leader, and a standby that knows it.
fn pair() -> (Server, Server) {
    let leader = Server::start(History::demo(0).published, grant);
    leader.replica.send_modify(|replica| replica.mode = Mode::Leading);
    let mut history = History::demo(0);
    history.published.link = Link::default();
    let standby = Server::start(history.published, |_| None);
    standby.follow(Some(leader.url("")));
    (leader, standby)
}

async fn who_leads(server: &Server) -> LeaderView {
    let answer = server.ask(Method::GET, "/api/v2/leader").await;
    assert_eq!(answer.status(), 200);
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn each_says_who_leads() {
    let (leader, standby) = pair();
    standby.replica.send_modify(|replica| replica.epoch = 7);
    let said = who_leads(&standby).await;
    assert_eq!((said.mode.as_str(), said.epoch, said.leader), ("standby", 7, Some(leader.url(""))));
    assert_eq!(said.replica, standby.url(""));
    assert_eq!(who_leads(&leader).await.mode, "leading");
    assert_eq!(who_leads(&Server::start(History::new().published, grant)).await.mode, "alone");
}

#[tokio::test]
async fn a_standby_is_ready_once_it_has_caught_up_whether_or_not_mesos_listens_to_it() {
    let (leader, standby) = pair();
    alone(&standby);
    assert_eq!(standby.ask(Method::GET, "/readyz").await.status(), 200);
    standby.replica.send_modify(|replica| {
        replica.caught_up = false;
        replica.problem = "3 batches behind".to_owned();
    });
    let answer = standby.ask(Method::GET, "/readyz").await;
    assert_eq!(answer.status(), 503);
    let wanted =
        format!("not caught up with the journal: this replica stands by, {} leads: 3 batches behind\n", leader.url(""));
    assert_eq!(answer.text().await.unwrap(), wanted);
    standby.replica.send_modify(|replica| replica.mode = Mode::Leading);
    let answer = standby.ask(Method::GET, "/readyz").await;
    assert_eq!(answer.text().await.unwrap(), "not subscribed to Mesos yet\n", "a leader needs Mesos");
}

/// Lets a replica know that it is the only one, so that nothing may yet come to it.
fn alone(server: &Server) {
    meet(server, &[server.url("")]);
}

#[tokio::test]
async fn a_replica_is_not_ready_while_what_the_journal_names_may_yet_come_to_it() {
    let (leader, standby) = pair();
    let said = async |server: &Server| server.ask(Method::GET, "/readyz").await.text().await.unwrap();
    let awaited = said(&standby).await;
    let (_, digest) = awaited.split_once("artifact sha256:").expect("who the others are isn't known yet");
    let digest: Digest = digest.strip_suffix(" is yet to come from another replica\n").unwrap().parse().unwrap();
    meet(&standby, &[standby.url(""), leader.url("")]);
    assert_eq!(said(&standby).await, awaited);
    assert_eq!(said(&leader).await, awaited, "a leader fetches, too");
    standby.holders.give_up([digest].into());
    assert_eq!(said(&standby).await, "ready\n", "nobody has it");
    alone(&leader);
    assert_eq!(said(&leader).await, "ready\n");
}

#[tokio::test]
async fn a_standby_shows_its_own_view_and_that_another_has_the_link_to_mesos() {
    let (leader, standby) = pair();
    let mut views = Vec::new();
    for server in [&leader, &standby] {
        let answer = server.ask(Method::GET, "/api/v2/platform").await;
        let view: PlatformView = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        views.push(view);
    }
    assert!(views[0].mesos.subscribed && !views[1].mesos.subscribed);
    assert_eq!(views[1].mesos.problem, format!("this replica stands by, {} leads", leader.url("")));
    assert_eq!(views[1].waiting, [""; 0]);
    assert_eq!(views[1].instances[0].waiting, [format!("this replica stands by, {} leads", leader.url(""))]);
    assert_eq!((views[0].index, &views[0].desired), (views[1].index, &views[1].desired));
}

#[tokio::test]
async fn a_change_that_a_standby_is_asked_for_is_made_by_the_leader() {
    let (leader, standby) = pair();
    let bin = bundle(leader.folder.path());
    let document =
        format!("kind: Platform\nlabel: {{name: demo}}\nspec: {{bundle: {{uri: 'file://{}'}}}}", bin.display());
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", "once")];
    let answer = standby.send(Method::PUT, "/api/v2/platform?a=b", &headers, document.into_bytes()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "{\"index\":42,\"message\":\"granted\"}");
    let answer = standby.change(Method::POST, "/api/v2/platform/instances/controller-0/restart", "").await;
    assert_eq!(answer.status(), 200);
    let asked = leader.asked.lock().unwrap();
    assert!(matches!(&asked[0].wish, Wish::Apply { desired, .. } if desired.name == "demo"), "{asked:?}");
    assert_eq!(asked[0].key.as_deref(), Some("/api/v2/platform once"));
    assert_eq!(asked[1].wish, Wish::Restart("controller-0".parse().unwrap()));
    assert!(standby.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_the_leader_refuses_is_refused_in_its_words() {
    let (leader, standby) = pair();
    let answer = standby.ask(Method::POST, STOP).await;
    assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"epic\"");
    assert_eq!(problem(answer).await, "401 unauthorized: a token is needed");
    let answer = standby.change(Method::PUT, STOP, "").await;
    assert_eq!(answer.headers()["allow"], "POST");
    assert_eq!(answer.status(), 405);
    let answer = standby.change(Method::PUT, "/api/v2/platform", vec![b' '; 256 * 1024 + 1]).await;
    assert_eq!(problem(answer).await, "413 too-large: the body is too large");
    assert!(leader.asked.lock().unwrap().is_empty());
    let busy =
        Server::start(History::demo(0).published, |_| Some(Err(Rejection::new(RejectionKind::Conflict, "no", "why"))));
    standby.follow(Some(busy.url("")));
    assert_eq!(problem(standby.change(Method::POST, STOP, "").await).await, "409 conflict: no");
}

#[tokio::test]
async fn without_a_leader_a_change_is_to_be_tried_again() {
    let (_leader, standby) = pair();
    standby.follow(None);
    let answer = standby.change(Method::POST, STOP, "").await;
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(problem(answer).await, "503 unavailable: nobody decides just now");
    // It isn't there any more, so nobody listens.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    standby.follow(Some(format!("http://{gone}")));
    let answer = standby.change(Method::POST, STOP, "").await;
    assert_eq!(problem(answer).await, "503 unavailable: the leader can't be reached");
    standby.replica.send_modify(|replica| replica.mode = Mode::Claiming);
    assert_eq!(standby.change(Method::POST, STOP, "").await.status(), 503);
    assert_eq!(standby.ask(Method::GET, "/api/v2/platform").await.status(), 200, "reads go on");
}

#[tokio::test]
async fn replicas_that_take_each_other_for_the_leader_hand_a_change_over_once() {
    let (one, other) = pair();
    one.follow(Some(other.url("")));
    let answer = one.change(Method::POST, STOP, "").await;
    assert_eq!(problem(answer).await, "503 unavailable: the replica that was asked doesn't lead");
    // Its own URL means that it led, and the journal doesn't know better yet.
    one.follow(Some(one.url("")));
    assert_eq!(problem(one.change(Method::POST, STOP, "").await).await, "503 unavailable: nobody decides just now");
}

#[tokio::test]
async fn a_change_that_a_deposed_leader_never_answers_is_given_back() {
    let (_leader, standby) = pair();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    standby.follow(Some(format!("http://{}", silent.local_addr().unwrap())));
    let asked = standby.change(Method::POST, STOP, "");
    let deposes = async {
        // The kernel takes the connection when the question is on its way.
        let silent = tokio::net::TcpListener::from_std({
            silent.set_nonblocking(true).unwrap();
            silent
        });
        let connection = silent.unwrap().accept().await.unwrap();
        standby.follow(None);
        connection
    };
    let (answer, _connection) = tokio::join!(asked, deposes);
    assert_eq!(problem(answer).await, "503 unavailable: the leader has changed");
}
