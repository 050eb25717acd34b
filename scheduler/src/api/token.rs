//! Another token: whoever has the one that counts may replace it, for all replicas at once.

use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use epic_common::api::NewToken;
use epic_common::ids::Digest;
use epic_scheduler_core::request::Wish;

use super::forward::to_leader;
use super::platform::{self, ask, authorize};
use super::problem::{Refused, wrong_method};
use super::{Api, body};

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    let resource = web::resource("/api/v2/token").route(web::put().to(replace));
    cfg.service(resource.default_service(wrong_method("PUT")).wrap(from_fn(to_leader)));
}

/// Takes the new token's sha256, so that the token itself travels only with those who use it.
///
/// A repeat changes nothing, so no key is kept; once it is granted only the new token can repeat it.
async fn replace(request: HttpRequest, body: web::Payload, api: web::Data<Api>) -> Result<HttpResponse, Refused> {
    authorize(&request, &api)?;
    let wanted = "{\"sha256\": \"...\"} with the sha256 of the new token as 64 hexadecimal digits";
    let wrong = |problem: String| Refused::field("the new token can't be used", "sha256", problem);
    let asked: NewToken = serde_json::from_slice(&body::bytes(body).await?)
        .map_err(|error| wrong(format!("the body must be {wanted}: {error}")))?;
    let sha256: Digest = asked.sha256.parse().map_err(|_| wrong(format!("the body must be {wanted}")))?;
    ask(&api, platform::asked(&request, Wish::SetToken(sha256))).await
}
