//! Hands the changes that people ask of a standby to the leader.

use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest as _, HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _, web};
use epic_common_io::tls::Distrust;
use tokio::sync::watch;

use super::platform::REQUEST_ID;
use super::problem::Refused;
use super::{Api, body};
use crate::holders::FORWARDED;
use crate::replica::Replica;

/// Serves reads here, and changes here only if this replica decides; else the leader is asked.
///
/// A request that a replica has handed over already is never handed over again: two replicas that take each other for
/// the leader would do so for ever.
pub(super) async fn to_leader(
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_read = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let replica = request.app_data::<web::Data<Api>>().map(|api| api.replica.clone());
    let Some(replica) = replica.filter(|replica| !is_read && !replica.borrow().mode.decides()) else {
        return next.call(request).await;
    };
    let body = request.take_payload();
    let (request, _) = request.into_parts();
    let answer = forward(&request, body, replica).await.unwrap_or_else(|refused| refused.error_response());
    Ok(ServiceResponse::new(request, answer))
}

async fn forward(
    request: &HttpRequest,
    mut body: Payload,
    mut replica: watch::Receiver<Replica>,
) -> Result<HttpResponse, Refused> {
    let (leader, sentence) = {
        let replica = replica.borrow_and_update();
        (replica.other_leader().map(str::to_owned), replica.sentence())
    };
    if request.headers().contains_key(FORWARDED) {
        return Err(unavailable("the replica that was asked doesn't lead", format!("{sentence}; {REPEAT}")));
    }
    let Some(leader) = leader else {
        return Err(unavailable("nobody decides just now", format!("{sentence}; {REPEAT}")));
    };
    let clients = request.app_data::<web::Data<Api>>().map(|api| api.clients.clone());
    let clients = clients.ok_or_else(|| unavailable("changes can't be handed over", ""))?;
    let payload = web::Payload::from_request(request, &mut body).await;
    let payload = payload.map_err(|error| unavailable("the body can't be read", error.to_string()))?;
    let bytes = body::bytes(payload).await?;
    let client = clients.calls();
    let sent = send(&client, request, &leader, bytes);
    tokio::select! {
        answer = sent => answer.map_err(|error| lost(&leader, &error)),
        // Whoever led may never answer, such as a process that was stopped.
        () = deposed(&mut replica, &leader) => {
            let detail = format!("{leader} led and no longer does; the request may yet be granted: {REPEAT}");
            Err(unavailable("the leader has changed", detail))
        }
    }
}

/// Sends the request as it is with a client that follows no redirect, so a token goes nowhere else, and returns the answer as it is.
async fn send(
    client: &reqwest::Client,
    request: &HttpRequest,
    leader: &str,
    body: bytes::Bytes,
) -> reqwest::Result<HttpResponse> {
    let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes()).unwrap_or_default();
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut asked = client.request(method, format!("{leader}{path}")).timeout(ANSWER_WITHIN).header(FORWARDED, "1");
    for name in [AUTHORIZATION.as_str(), CONTENT_TYPE.as_str(), "Idempotency-Key", REQUEST_ID] {
        if let Some(value) = request.headers().get(name) {
            asked = asked.header(name, value.as_bytes());
        }
    }
    let answered = asked.body(body).send().await?;
    let status = StatusCode::from_u16(answered.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut answer = HttpResponse::build(status);
    for name in [CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, ALLOW] {
        if let Some(value) = answered.headers().get(name.as_str()) {
            answer.insert_header((name, value.as_bytes()));
        }
    }
    Ok(answer.body(answered.bytes().await?))
}

/// Returns once another than `leader` leads, or nobody, or this replica itself.
async fn deposed(replica: &mut watch::Receiver<Replica>, leader: &str) {
    if replica.wait_for(|replica| replica.other_leader() != Some(leader)).await.is_err() {
        // Whoever knows is gone, and with it soon this server.
        std::future::pending::<()>().await;
    }
}

fn lost(leader: &str, error: &reqwest::Error) -> Refused {
    if let Some(why) = Distrust::of(error) {
        let detail = format!("{leader} leads, but {why}; nothing was asked of it: see --tls-ca-file of this replica");
        return unavailable("the leader can't be reached", detail);
    }
    if error.is_connect() {
        let detail = format!("{leader} led a moment ago and doesn't answer; nothing was asked of it: {REPEAT}");
        return unavailable("the leader can't be reached", detail);
    }
    let detail = format!("{leader} hasn't answered; the request may yet be granted: {REPEAT}");
    unavailable("the leader's answer is lost", detail)
}

fn unavailable(title: &str, detail: impl Into<String>) -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, title, detail)
}

const REPEAT: &str = "repeat the request in a moment, with the same Idempotency-Key";
/// A bundle may have to be copied and checked before the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);
