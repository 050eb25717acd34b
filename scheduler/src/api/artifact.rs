//! Files for executors, by digest.

use std::io;

use actix_web::body::SizedStream;
use actix_web::http::header::{ETAG, IF_NONE_MATCH};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use epic_common::ids::Digest;
use futures_util::stream::{self, Stream};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::Api;
use super::problem::{Refused, wrong_method};

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    let resource = web::resource("/artifacts/{sha256}");
    let resource = resource.route(web::get().to(fetch)).route(web::head().to(fetch));
    cfg.service(resource.default_service(wrong_method("GET, HEAD")));
}

/// Streams a file in pieces of [`PIECE_BYTES`], one in memory at a time.
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
    let Some((file, bytes)) = open(&artifact).await else {
        tracing::error!(sha256 = %digest, path = %artifact.path.display(), "artifact is missing or has another length");
        api.artifacts.forget(&digest);
        return Err(refuse(
            "its file is lost on the scheduler's disk; apply the platform again, or restart the scheduler",
        ));
    };
    let mut answer = HttpResponse::Ok();
    answer.insert_header((ETAG, tag)).content_type("application/octet-stream");
    if request.method() == Method::HEAD {
        return Ok(answer.body(SizedStream::new(bytes, stream::empty::<io::Result<Bytes>>())));
    }
    Ok(answer.body(SizedStream::new(bytes, Box::pin(pieces(file, bytes)))))
}

async fn open(artifact: &crate::artifacts::Artifact) -> Option<(File, u64)> {
    let file = File::open(&artifact.path).await.ok()?;
    let bytes = file.metadata().await.ok()?.len();
    (bytes == artifact.bytes).then_some((file, bytes))
}

fn pieces(file: File, bytes: u64) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((file, bytes), |(mut file, left)| async move {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let most = u64::try_from(PIECE_BYTES).unwrap_or(left).min(left);
        let read = (&mut file).take(most).read_to_end(&mut piece).await?;
        let left = left - u64::try_from(read).unwrap_or(left);
        Ok((read > 0).then(|| (Bytes::from(piece), (file, left))))
    })
}

const PIECE_BYTES: usize = 128 * 1024;
