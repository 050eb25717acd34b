//! What requests and answers have in common on the wire.

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Response, Url};

use super::credentials::Credentials;

/// The content type of every request and of the event stream.
pub(super) const PROTOBUF: &str = "application/x-protobuf";
/// The header that ties a call to its subscription.
pub(super) const STREAM_ID: &str = "Mesos-Stream-Id";

/// Makes the request that carries an encoded call.
pub(super) fn post(client: &Client, url: &Url, credentials: Option<&Credentials>, call: Vec<u8>) -> RequestBuilder {
    let request = client.post(url.clone()).header(CONTENT_TYPE, PROTOBUF).header(ACCEPT, PROTOBUF).body(call);
    match credentials {
        Some(credentials) => credentials.sign(request),
        None => request,
    }
}

/// Returns the text of an answer: at most 500 bytes of it, on one line.
pub(super) fn text(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(TEXT_BYTES_MAX)]);
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Reads the text of an answer, as much as it shows.
pub(super) async fn read(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < TEXT_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            // A text that breaks off is better than none.
            Ok(None) | Err(_) => break,
        }
    }
    text(&bytes)
}

const TEXT_BYTES_MAX: usize = 500;
