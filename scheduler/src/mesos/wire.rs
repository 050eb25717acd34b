//! HTTP/1.1 as calls need it: requests one behind the other on one connection, answers in the same order.
//!
//! Mesos answers the requests of a connection in their order, so nobody has to wait for an answer before the next call
//! is sent (RFC 9112, 9.3.2). General clients send one request at a time, and each costs them more than the master.

use std::io;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Status};
use reqwest::{Request, Url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body, all of it.
    pub(super) body: Vec<u8>,
    /// Whether no more answers come on its connection.
    pub(super) is_last: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The connection broke.
    #[error("cannot use the connection to the master")]
    Broken(#[from] io::Error),
    /// The master closed it.
    #[error("the master closed the connection")]
    Closed,
    /// What came is no answer.
    #[error("the master's answer is not understood: {0}")]
    NotUnderstood(String),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// What came and isn't used yet.
    input: Vec<u8>,
    is_ended: bool,
}

impl Connection {
    /// Connects to the host and port of an address.
    pub(super) async fn open(url: &Url, patience: Duration) -> io::Result<Self> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or_default();
        let stream = timeout(patience, TcpStream::connect((host, port))).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Vec::new(), is_ended: false })
    }

    /// Sends requests.
    pub(super) async fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.stream.write_all(requests).await
    }

    /// Waits for the next answer. Cancel-safe.
    pub(super) async fn answer(&mut self) -> Result<Response, Error> {
        loop {
            if let Some((response, used)) = parse(&self.input, self.is_ended).map_err(Error::NotUnderstood)? {
                self.input.drain(..used);
                if (100..200).contains(&response.status) {
                    // What comes before an answer is none.
                    continue;
                }
                return Ok(response);
            }
            if self.is_ended {
                return Err(Error::Closed);
            }
            self.input.reserve(PIECE);
            self.is_ended = self.stream.read_buf(&mut self.input).await? == 0;
        }
    }
}

/// Writes the part of a request that is the same for each call, up to the length of its body.
pub(super) fn head(request: &Request) -> Vec<u8> {
    let url = request.url();
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut head = format!("POST {} HTTP/1.1\r\nhost: {host}{port}\r\n", url.path()).into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"content-length: ");
    head
}

/// Reads one answer; `None` if there is more to come of it. Says how many bytes it takes.
fn parse(input: &[u8], is_ended: bool) -> Result<Option<(Response, usize)>, String> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let begin = match head.parse(input).map_err(|error| error.to_string())? {
        Status::Complete(begin) => begin,
        Status::Partial if input.len() > BYTES_MAX => return Err("its head is too long".to_owned()),
        Status::Partial => return Ok(None),
    };
    let header = |name: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).to_ascii_lowercase())
    };
    let status = head.code.unwrap_or_default();
    let is_last = head.version == Some(0) || header("Connection").is_some_and(|value| value.contains("close"));
    let rest = &input[begin..];
    let body = if header("Transfer-Encoding").is_some_and(|value| value.contains("chunked")) {
        chunks(rest)?
    } else if let Some(length) = header("Content-Length") {
        let length: usize = length.trim().parse().map_err(|_| format!("its length is {length:?}"))?;
        rest.get(..length).map(|body| (body.to_vec(), length))
    } else if matches!(status, 100..200 | 204 | 304) {
        Some((Vec::new(), 0))
    } else {
        is_ended.then(|| (rest.to_vec(), rest.len()))
    };
    if body.is_none() && rest.len() > BYTES_MAX {
        return Err("its body is too long".to_owned());
    }
    Ok(body.map(|(body, used)| (Response { status, body, is_last }, begin + used)))
}

/// Reads a body in chunks (RFC 9112, 7.1), without trailers.
fn chunks(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = httparse::parse_chunk_size(&input[at..]).map_err(|_| "a chunk has no length".to_owned())?;
        let Status::Complete((begin, length)) = line else { return Ok(None) };
        let length = usize::try_from(length).ok().filter(|length| *length <= BYTES_MAX);
        let length = length.ok_or_else(|| "a chunk is too long".to_owned())?;
        let Some(chunk) = input.get(at + begin..at + begin + length + 2) else { return Ok(None) };
        body.extend_from_slice(&chunk[..length]);
        at += begin + length + 2;
        if length == 0 {
            return Ok(Some((body, at)));
        }
    }
}

const PIECE: usize = 8 << 10;
const HEADERS_MAX: usize = 64;
/// Longer than any answer to a call.
const BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use super::*;

    fn check(input: &str, expected: Result<Option<(u16, &str, &str)>, &str>) {
        let found = parse(input.as_bytes(), false);
        let found = found.map(|found| {
            found.map(|(response, used)| {
                (response.status, String::from_utf8(response.body).unwrap(), input[used..].to_owned())
            })
        });
        let expected =
            expected.map(|found| found.map(|(status, body, rest)| (status, body.to_owned(), rest.to_owned())));
        assert_eq!(found, expected.map_err(str::to_owned), "{input:?}");
    }

    #[test]
    fn each_answer_ends_where_the_next_begins() {
        check("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\nHTTP", Ok(Some((202, "", "HTTP"))));
        check("HTTP/1.1 400 Bad\r\ncontent-length: 3\r\n\r\nnoHTTP", Ok(Some((400, "noH", "TTP"))));
        check("HTTP/1.1 204 None\r\n\r\nHTTP", Ok(Some((204, "", "HTTP"))));
        check("HTTP/1.1 100 Go on\r\n\r\nHTTP", Ok(Some((100, "", "HTTP"))));
        let chunked = "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n4\r\n you\r\n0\r\n\r\nHTTP";
        check(chunked, Ok(Some((403, "not you", "HTTP"))));
    }

    #[test]
    fn what_is_not_whole_is_waited_for_and_what_is_no_answer_is_refused() {
        check("", Ok(None));
        check("HTTP/1.1 202 Accepted\r\nContent-Le", Ok(None));
        check("HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\nno", Ok(None));
        check("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n0\r\n", Ok(None));
        check("HTTP/1.0 200 OK\r\n\r\nuntil the end", Ok(None));
        check("<html>", Err("invalid HTTP version"));
        check("HTTP/1.1 400 Bad\r\nContent-Length: x\r\n\r\n", Err("its length is \"x\""));
        check("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Err("a chunk has no length"));
    }

    #[test]
    fn an_answer_without_a_length_ends_with_its_connection() {
        let old = b"HTTP/1.0 503 Busy\r\n\r\nuntil the end";
        let response = Response { status: 503, body: b"until the end".to_vec(), is_last: true };
        assert_eq!(parse(old, true), Ok(Some((response, old.len()))));
        let closing = b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert!(parse(closing, false).unwrap().unwrap().0.is_last);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, is_ended: bool, is_chunked: bool) {
            let _any = parse(&bytes, is_ended);
            let how: &[u8] = if is_chunked { b"Transfer-Encoding: chunked" } else { b"Content-Length: 9" };
            let _body = parse(&[b"HTTP/1.1 400 Bad\r\n", how, b"\r\n\r\n", &bytes].concat(), is_ended);
        }
    }
}
