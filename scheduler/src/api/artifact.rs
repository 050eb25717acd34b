//! Files for executors, by digest.

use std::io;

use actix_web::body::SizedStream;
use actix_web::http::header::{ETAG, IF_NONE_MATCH};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use epic_common::ids::Digest;
use epic_common_io::pieces::pieces;
use futures_util::stream;

use super::Api;
use super::problem::{Refused, wrong_method};

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    let resource = web::resource("/artifacts/{sha256}");
    let resource = resource.route(web::get().to(fetch)).route(web::head().to(fetch));
    cfg.service(resource.default_service(wrong_method("GET, HEAD")));
}

async fn fetch(request: HttpRequest, name: web::Path<String>, api: web::Data<Api>) -> Result<HttpResponse, Refused> {
    let refuse = |detail: &str| Refused::new(StatusCode::NOT_FOUND, "there is no such artifact", detail);
    let digest: Digest =
        name.parse().map_err(|_| refuse("artifacts are named by 64 hexadecimal digits, their sha256"))?;
    let artifact = api.artifacts.find(&digest).ok_or_else(|| refuse("no file with this sha256 was added"))?;
    let tag = format!("\"{digest}\"");
    let known = request.headers().get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag || one.trim() == "*")) {
        return Ok(HttpResponse::NotModified().insert_header((ETAG, tag)).finish());
    }
    let Some(file) = artifact.open().await else {
        tracing::error!(sha256 = %digest, path = %artifact.path.display(), "artifact is missing or has another length");
        api.artifacts.forget(&digest);
        return Err(refuse(
            "its file is lost on the scheduler's disk; supply it with epicctl bundle push FILE, or restart the scheduler",
        ));
    };
    let mut answer = HttpResponse::Ok();
    answer.insert_header((ETAG, tag)).content_type("application/octet-stream");
    if request.method() == Method::HEAD {
        return Ok(answer.body(SizedStream::new(artifact.bytes, stream::empty::<io::Result<Bytes>>())));
    }
    Ok(answer.body(SizedStream::new(artifact.bytes, Box::pin(pieces(file, artifact.bytes)))))
}
