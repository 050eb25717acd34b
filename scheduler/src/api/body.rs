//! Reading a request's body, within bounds of size and time.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web;
use bytes::Bytes;
use tokio::time::timeout;

use super::problem::Refused;

/// Reads at most [`BYTES_MAX`].
pub(super) async fn bytes(body: web::Payload) -> Result<Bytes, Refused> {
    match timeout(WITHIN, body.to_bytes_limited(BYTES_MAX)).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Ok(Err(error))) => Err(invalid("the body can't be read", &error.to_string())),
        Ok(Err(_)) => {
            let detail = format!("at most {BYTES_MAX} bytes are allowed");
            Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", detail))
        }
        Err(_) => Err(invalid("the body didn't come in time", "send it within 10 seconds")),
    }
}

/// Reads a document.
pub(super) async fn text(body: web::Payload) -> Result<String, Refused> {
    String::from_utf8(bytes(body).await?.into())
        .map_err(|_| invalid("the body is not UTF-8", "send a Platform document as YAML or JSON"))
}

fn invalid(title: &str, detail: &str) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, title, detail)
}

const BYTES_MAX: usize = 256 * 1024;
const WITHIN: Duration = Duration::from_secs(10);
