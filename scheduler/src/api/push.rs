//! Artifacts that come from people and other replicas, and when enough replicas hold them.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use actix_web::{HttpRequest, HttpResponse, web};
use epic_common::api::{ArtifactView, LackingView};
use epic_common::ids::Digest;
use epic_common::spec::BundleSource;
use epic_common_io::secret::Secret;

use super::Api;
use super::platform::authorize;
use super::problem::{Refused, wrong_method};
use crate::artifacts::receive::{self, Announced, Error, Kind, Pace};
use crate::chain;
use crate::holders::{Enough, FORWARDED, Held, Lacking};

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    let resource = web::resource("/api/v2/artifacts/{sha256}");
    let resource = resource.route(web::get().to(show)).route(web::head().to(show)).route(web::put().to(put));
    cfg.service(resource.default_service(wrong_method("GET, HEAD, PUT")));
}

/// Says who holds an artifact.
async fn show(name: web::Path<String>, api: web::Data<Api>) -> Result<HttpResponse, Refused> {
    let digest = parse(&name)?;
    let held = api.holders.of(&digest).await;
    if held.have == 0 {
        return Err(Refused::new(StatusCode::NOT_FOUND, "no replica holds this artifact", held.to_string()));
    }
    Ok(HttpResponse::Ok().json(view(&api, &digest, held)))
}

/// Takes an artifact in unless it is here, and hands it to the other replicas unless it comes from one.
///
/// A body is needed only if it isn't here; else it is read and dropped.
async fn put(
    request: HttpRequest,
    name: web::Path<String>,
    body: web::Payload,
    api: web::Data<Api>,
) -> Result<HttpResponse, Refused> {
    let token = authorize(&request, &api)?;
    let digest = parse(&name)?;
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if is_here(&api, &digest).await {
        receive::drain(body, Pace::default()).await.map_err(|error| refused(&error))?;
    } else if length.unwrap_or(0) == 0 && !request.headers().contains_key(TRANSFER_ENCODING) {
        let detail = "send its bytes as the body";
        return Err(Refused::new(StatusCode::NOT_FOUND, "this artifact is not here yet", detail));
    } else {
        let announced = Announced { digest, kind: kind(&api, &digest), bytes: length };
        let received = receive::receive(&api.artifacts, announced, body, Pace::default()).await;
        let bytes = received.map_err(|error| refused(&error))?;
        tracing::info!(sha256 = %digest, bytes, "artifact received");
    }
    if request.headers().contains_key(FORWARDED) {
        let here = Held { have: 1, of: 1, lacking: Vec::new() };
        return Ok(HttpResponse::Ok().json(view(&api, &digest, here)));
    }
    api.holders.offer(digest, &token);
    let held = api.holders.spread(&digest, &token, Enough::All).await;
    if held.is_majority() { Ok(HttpResponse::Ok().json(view(&api, &digest, held))) } else { Err(too_few(&held)) }
}

/// Fetches a bundle that only its digest names and that isn't here; whoever looks for it next says whether that helped.
pub(super) async fn supply(api: &Api, source: &BundleSource) {
    let (Some(digest), "") = (source.sha256, source.path.as_str()) else { return };
    if api.holders.holds(&digest) {
        return;
    }
    match api.holders.fetch(&digest, Kind::Bundle).await {
        Ok(from) => tracing::info!(sha256 = %digest, from, "artifact fetched"),
        Err(error) => tracing::warn!(error = chain(&error), "artifact can't be fetched"),
    }
}

/// Sees to it that a majority of replicas holds a bundle before the journal names it.
pub(super) async fn accept(api: &Api, digest: &Digest, token: &Secret) -> Result<(), Refused> {
    let published = api.published();
    if published.state.platform().is_some_and(|desired| desired.bundle.sha256 == *digest) {
        return Ok(());
    }
    api.holders.offer(*digest, token);
    let held = api.holders.spread(digest, token, Enough::Majority).await;
    if held.is_majority() { Ok(()) } else { Err(too_few(&held)) }
}

fn too_few(held: &Held) -> Refused {
    let detail = format!("{held}; more than half have to, and the rest are tried again: repeat it in a moment");
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, "too few replicas hold the bundle", detail)
}

fn parse(name: &str) -> Result<Digest, Refused> {
    name.parse().map_err(|_| {
        let detail = "artifacts are named by 64 hexadecimal digits, their sha256";
        Refused::new(StatusCode::NOT_FOUND, "there is no such artifact", detail)
    })
}

async fn is_here(api: &Api, digest: &Digest) -> bool {
    let Some(artifact) = api.artifacts.find(digest) else { return false };
    let is_whole = artifact.open().await.is_some();
    if !is_whole {
        api.artifacts.forget(digest);
    }
    is_whole
}

/// A program is taken only if the journal has an executor of this digest.
fn kind(api: &Api, digest: &Digest) -> Kind {
    let published = api.published();
    let mut executors = published.state.ledger.executors.values();
    if executors.any(|executor| executor.sha256 == *digest) { Kind::Named } else { Kind::Bundle }
}

fn view(api: &Api, digest: &Digest, held: Held) -> ArtifactView {
    let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
    let lacking = held.lacking.into_iter().map(|Lacking { replica, why }| LackingView { replica, why });
    ArtifactView {
        sha256: digest.to_string(),
        bytes: api.artifacts.find(digest).map_or(0, |artifact| artifact.bytes),
        held: count(held.have),
        replicas: count(held.of),
        lacking: lacking.collect(),
    }
}

fn refused(error: &Error) -> Refused {
    let (status, title) = match error {
        _ if error.is_full() => (StatusCode::INSUFFICIENT_STORAGE, "the disk is full"),
        Error::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the artifact is too large"),
        Error::Slow { .. } => (StatusCode::REQUEST_TIMEOUT, "the artifact came too slowly"),
        Error::Cut { .. } => (StatusCode::BAD_REQUEST, "the artifact is not whole"),
        Error::WrongDigest { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "the artifact is another one"),
        Error::NotABundle { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "the artifact is no bundle that can be used"),
        Error::Busy | Error::Full { .. } | Error::Disk(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the artifact can't be taken in now")
        }
    };
    let next = if error.is_full() { "; free some space, nothing else is lost" } else { "" };
    Refused::new(status, title, chain(error) + next)
}
