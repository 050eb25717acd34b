//! The platform: its view, and the changes that people ask for.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use epic_common::api::Granted;
use epic_common::ids::{Digest, FrameworkId, UnitId};
use epic_common::spec::Platform;
use epic_common_io::secret::Secret;
use epic_scheduler_core::request::{Applicant, Request, Wish};
use epic_scheduler_core::state::deployment::Desired;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::desired::desired;
use super::forward::to_leader;
use super::problem::{Refused, wrong_method};
use super::{Api, body, push};
use crate::artifacts::Artifacts;
use crate::view;

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    let platform = web::resource("/api/v2/platform").route(web::get().to(show)).route(web::head().to(show));
    let platform = platform.route(web::put().to(apply)).default_service(wrong_method("GET, HEAD, PUT"));
    cfg.service(platform.wrap(from_fn(to_leader)));
    for (verb, wish) in [("stop", Wish::Stop), ("start", Wish::Start), ("uninstall", Wish::Uninstall)] {
        let ask = move |request: HttpRequest, api: web::Data<Api>| change(request, api, wish.clone());
        let resource = web::resource(format!("/api/v2/platform/{verb}")).route(web::post().to(ask));
        cfg.service(resource.default_service(wrong_method("POST")).wrap(from_fn(to_leader)));
    }
    let resource = web::resource("/api/v2/admin/new-framework").route(web::post().to(new_framework));
    cfg.service(resource.default_service(wrong_method("POST")).wrap(from_fn(to_leader)));
    let resource = web::resource("/api/v2/platform/instances/{id}/restart").route(web::post().to(restart));
    cfg.service(resource.default_service(wrong_method("POST")).wrap(from_fn(to_leader)));
}

async fn show(api: web::Data<Api>) -> HttpResponse {
    let (published, replica) = (api.published(), api.replica.borrow().clone());
    let mut shown = view::platform(&published, (api.clock)());
    if !replica.mode.decides() {
        view::stand_by(&mut shown, &published, &replica);
    }
    HttpResponse::Ok().json(shown)
}

async fn apply(request: HttpRequest, body: web::Payload, api: web::Data<Api>) -> Result<HttpResponse, Refused> {
    let token = authorize(&request, &api)?;
    let key = key(&request)?;
    let document = Platform::parse(&body::text(body).await?)?;
    push::supply(&api, &document.bundle).await;
    let artifacts = Arc::clone(&api.artifacts);
    let joined = web::block(move || join(&document, &artifacts)).await;
    let desired = joined
        .unwrap_or_else(|_| Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the bundle can't be read now", "")))?;
    push::accept(&api, &desired.bundle.sha256, &token).await?;
    let framework = FrameworkId::new(uuid::Uuid::new_v4().to_string());
    let wish = Wish::Apply { desired: Box::new(desired), framework, by: Applicant::Person };
    ask(&api, Request { key, ..asked(&request, wish) }).await
}

async fn change(request: HttpRequest, api: web::Data<Api>, wish: Wish) -> Result<HttpResponse, Refused> {
    authorize(&request, &api)?;
    let key = key(&request)?;
    ask(&api, Request { key, ..asked(&request, wish) }).await
}

async fn new_framework(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Refused> {
    let framework = FrameworkId::new(uuid::Uuid::new_v4().to_string());
    change(request, api, Wish::NewFramework { framework }).await
}

async fn restart(request: HttpRequest, id: web::Path<String>, api: web::Data<Api>) -> Result<HttpResponse, Refused> {
    let id = id.into_inner();
    let Ok(unit) = id.parse::<UnitId>() else {
        authorize(&request, &api)?;
        return Err(Refused::new(
            StatusCode::NOT_FOUND,
            "there is no such member",
            "see the members with epicctl platform status",
        ));
    };
    change(request, api, Wish::Restart(unit)).await
}

fn join(document: &Platform, artifacts: &Artifacts) -> Result<Desired, Refused> {
    let bundle = artifacts
        .resolve(&document.bundle)
        .map_err(|error| Refused::field("the platform's bundle can't be used", "spec.bundle", crate::chain(&error)))?;
    Ok(desired(document, &bundle)?)
}

/// Hands a request over and waits until its answer is durable.
pub(super) async fn ask(api: &Api, request: Request) -> Result<HttpResponse, Refused> {
    let unavailable = |title: &str, detail: &str| Refused::new(StatusCode::SERVICE_UNAVAILABLE, title, detail);
    let (answer, answered) = oneshot::channel();
    let asked = async {
        api.requests.send((request, answer)).await.ok()?;
        answered.await.ok()
    };
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(Some(Ok(grantal))) => {
            Ok(HttpResponse::Ok().json(Granted { index: grantal.index.0, message: grantal.message }))
        }
        Ok(Some(Err(rejection))) => Err(rejection.into()),
        Ok(None) => Err(unavailable("the scheduler is stopping", "repeat the request with the same Idempotency-Key")),
        Err(_) => {
            let detail =
                "the journal hasn't answered; the request may yet be granted: repeat it with the same Idempotency-Key";
            Err(unavailable("the request isn't answered yet", detail))
        }
    }
}

/// Makes a request in the name of whoever was authenticated. There is one token, so there is one principal.
///
/// The id is the caller's `X-Request-Id`, if it has 1 to 100 visible ASCII characters, else a new UUID.
pub(super) fn asked(request: &HttpRequest, wish: Wish) -> Request {
    let said = request.headers().get(REQUEST_ID).map(|value| value.as_bytes());
    let fit = said.filter(|id| (1..=100).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic));
    let id = fit.map_or_else(|| uuid::Uuid::new_v4().to_string(), |id| String::from_utf8_lossy(id).into_owned());
    Request { principal: PRINCIPAL.to_owned(), id, ..Request::new(wish) }
}

/// Lets pass who has the token, and returns it; the comparison takes the same time wherever digests differ.
pub(super) fn authorize(request: &HttpRequest, api: &Api) -> Result<Secret, Refused> {
    let Some(expected) = api.published().state.identity.token else {
        let detail = "it hasn't recorded its token; try again in a moment";
        return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the scheduler has only just started", detail));
    };
    let refuse = |title: &str| {
        let detail = "send the token as \"Authorization: Bearer TOKEN\"; epicctl takes it from the file of --token-file or \
                      EPIC_TOKEN_FILE, or from EPIC_TOKEN";
        Err(Refused::new(StatusCode::UNAUTHORIZED, title, detail))
    };
    let said = request.headers().get(AUTHORIZATION).map(|said| said.as_bytes());
    let Some((scheme, token)) = said.and_then(|said| said.split_at_checked(SCHEME.len())) else {
        return refuse("a token is needed");
    };
    let digest = Digest(Sha256::digest(token.trim_ascii()).into());
    let difference = digest.0.iter().zip(&expected.0).fold(0, |difference, (a, b)| difference | (a ^ b));
    if scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) && difference == 0 {
        Ok(Secret::new(String::from_utf8_lossy(token.trim_ascii()).into_owned()))
    } else {
        refuse("the token is wrong")
    }
}

/// Reads the header that makes a repeat harmless; the same key at another path is another request.
///
/// Source: `draft-ietf-httpapi-idempotency-key-header`.
fn key(request: &HttpRequest) -> Result<Option<String>, Refused> {
    let Some(value) = request.headers().get("Idempotency-Key") else { return Ok(None) };
    let bytes = value.as_bytes();
    if (1..=100).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) {
        return Ok(Some(format!("{} {}", request.path(), String::from_utf8_lossy(bytes))));
    }
    let detail = "it must have 1 to 100 visible ASCII characters";
    Err(Refused::new(StatusCode::BAD_REQUEST, "the Idempotency-Key is not valid", detail))
}

/// What the owner of the token is called in the journal.
const PRINCIPAL: &str = "admin";
/// Names a request in the logs of everything that it passes through.
pub(super) const REQUEST_ID: &str = "X-Request-Id";
const SCHEME: &str = "Bearer ";
/// Shorter than clients wait, so that they hear why.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
