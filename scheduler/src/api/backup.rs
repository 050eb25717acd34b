//! The state as one file, for whoever has the token.

use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::{HttpRequest, HttpResponse, web};
use epic_common_io::backup::Backup;

use super::Api;
use super::platform::authorize;
use super::problem::{Refused, wrong_method};
use crate::journal::codec;

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    let resource = web::resource("/api/v2/admin/backup").route(web::get().to(backup));
    cfg.service(resource.default_service(wrong_method("GET")));
}

/// Answers the state as this replica has it; on a standby that may be a moment old.
///
/// It holds the token's digest, and what every member is, so that it is no read for everybody.
async fn backup(request: HttpRequest, api: web::Data<Api>) -> Result<HttpResponse, Refused> {
    authorize(&request, &api)?;
    let published = api.published();
    let index = published.state.index.0;
    let made = web::block(move || {
        let snapshot = codec::encode_snapshot(&published.state);
        Backup { index, batch: 0, journal: String::new(), snapshot }.encode()
    });
    let unavailable = |_| Refused::new(StatusCode::SERVICE_UNAVAILABLE, "no backup can be made now", "try again");
    let bytes = made.await.map_err(unavailable)?;
    let name = format!("attachment; filename=\"epic-{index}.backup\"");
    let mut answer = HttpResponse::Ok();
    answer.content_type("application/octet-stream").insert_header((CONTENT_DISPOSITION, name));
    Ok(answer.insert_header((INDEX, index)).body(bytes))
}

const INDEX: &str = "Epic-Index";
