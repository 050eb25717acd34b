//! A stream of records over HTTP with back-pressure, for both Mesos APIs.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use epic_common::recordio::{self, Decoder};
use futures_util::{Stream, StreamExt};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

/// Intervals without a byte after which a peer that sends heartbeats is dead.
///
/// Source: Mesos scheduler HTTP API v1, "Heartbeat".
pub const HEARTBEATS_MISSED_MAX: u32 = 5;

/// Keeps deadlines within what the clock can say.
const IDLE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Why a record stream ended other than at the end of a record.
#[derive(Debug, Error)]
pub enum Error {
    /// The peer ended its answer within a record.
    #[error("the stream ended within a record")]
    Closed,
    /// Not one byte came for so long.
    #[error("nothing came on the stream for {idle:?}")]
    Idle {
        /// The time-out that was set when it passed.
        idle: Duration,
    },
    /// A record is longer than the stream's bound.
    #[error("record of {record_bytes} bytes on the stream is over the bound of {record_bytes_max} bytes")]
    TooLarge {
        /// The length that the peer told.
        record_bytes: u64,
        /// The stream's bound.
        record_bytes_max: usize,
    },
    /// Something else than a record's length came where one belongs.
    #[error("byte {byte:#04x} at position {position} of the stream doesn't belong in a record's length")]
    NotALength {
        /// The first byte that doesn't fit.
        byte: u8,
        /// How many bytes of the stream came before it.
        position: u64,
    },
    /// The connection broke, or the answer's HTTP framing is wrong.
    #[error("cannot read the stream")]
    Transport {
        /// What the HTTP client says.
        source: reqwest::Error,
    },
}

impl From<recordio::Error> for Error {
    fn from(error: recordio::Error) -> Self {
        match error {
            recordio::Error::NotALength { byte, position } => Self::NotALength { byte, position },
            recordio::Error::TooLarge { record_bytes, record_bytes_max } => {
                Self::TooLarge { record_bytes, record_bytes_max }
            }
        }
    }
}

/// Reads records from the body of an answer, one at a time and no faster than they are wanted.
///
/// While nobody asks, no more is read than one piece of the body (and what the sockets hold): a slow
/// reader slows the peer down. Dropping it, its end and its failure all close the connection.
pub struct RecordStream {
    /// `None` after the end and after a failure.
    body: Option<Body>,
    records: Decoder,
    idle: Duration,
    /// When the wait for the next bytes began, if somebody waits.
    waiting_since: Option<Instant>,
}

type Body = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

impl RecordStream {
    /// Takes over the body of an answer; its status and headers are for the caller to judge first.
    ///
    /// The idle time-out is that of [`set_idle`](Self::set_idle). Records of more bytes than
    /// `record_bytes_max` are refused; [`recordio::RECORD_BYTES_MAX`] suits Mesos.
    #[must_use]
    pub fn new(response: reqwest::Response, idle: Duration, record_bytes_max: usize) -> Self {
        Self {
            body: Some(Box::pin(response.bytes_stream())),
            records: Decoder::new(record_bytes_max),
            idle: idle.min(IDLE_MAX),
            waiting_since: None,
        }
    }

    /// Sets how long [`next`](Self::next) waits without a single byte; at most a year.
    ///
    /// For a peer with heartbeats this is [`HEARTBEATS_MISSED_MAX`] of its intervals.
    pub fn set_idle(&mut self, idle: Duration) {
        self.idle = idle.min(IDLE_MAX);
    }

    /// Waits for the next record; `None` once the peer has ended its answer after a whole one.
    ///
    /// Only the time of waiting counts as idle, not the caller's own between two records.
    /// Cancel-safe: a wait that is dropped loses nothing, and the next call goes on with it, its
    /// time-out included.
    ///
    /// # Errors
    /// A failure comes after all records before it and ends the stream: after it comes `None`.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some(record) = self.records.next() {
                return record.map(Some).map_err(|error| self.fail(error.into()));
            }
            let Some(body) = &mut self.body else {
                return Ok(None);
            };
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            let piece = timeout_at(since + self.idle, body.next()).await;
            self.waiting_since = None;
            match piece {
                Ok(Some(Ok(bytes))) => self.records.push(&bytes),
                Ok(Some(Err(source))) => return Err(self.fail(Error::Transport { source })),
                Ok(None) if self.records.is_mid_record() => return Err(self.fail(Error::Closed)),
                Ok(None) => self.body = None,
                Err(_) => return Err(self.fail(Error::Idle { idle: self.idle })),
            }
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.body = None;
        error
    }
}

impl fmt::Debug for RecordStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RecordStream")
            .field("is_open", &self.body.is_some())
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::http::{ClientOptions, clients};
    use crate::peer::{Peer, Step};

    const BOUND: usize = 8 << 20;
    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(100);

    async fn open(peer: &Peer, idle: Duration) -> RecordStream {
        let client = clients(&ClientOptions::default()).unwrap().stream;
        let response = client.get(peer.url()).send().await.unwrap();
        RecordStream::new(response, idle, BOUND)
    }

    /// Reads the stream to its end: its records as text, then the failure if there is one.
    async fn drain(stream: &mut RecordStream) -> (Vec<String>, Option<Error>) {
        let mut records = Vec::new();
        loop {
            match timeout(LONG, stream.next()).await.unwrap() {
                Ok(Some(record)) => records.push(String::from_utf8(record).unwrap()),
                Ok(None) => return (records, None),
                Err(error) => return (records, Some(error)),
            }
        }
    }

    async fn check(steps: Vec<Step>, expected: &[&str], failure: fn(&Option<Error>) -> bool) {
        let shown = format!("{steps:?}");
        let peer = Peer::start(steps).await;
        let mut stream = open(&peer, LONG).await;
        let (records, error) = drain(&mut stream).await;
        assert_eq!(records, expected, "{shown}");
        assert!(failure(&error), "{shown}: {error:?}");
        assert!(matches!(stream.next().await, Ok(None)), "{shown}: something after the end");
        timeout(LONG, peer.finished()).await.expect("the connection was not closed");
    }

    #[tokio::test]
    async fn records_come_whole_however_the_body_is_chunked() {
        let none = Option::is_none;
        check(vec![Step::End], &[], none).await;
        check(vec![Step::Chunk("5\nhello"), Step::End], &["hello"], none).await;
        check(vec![Step::Chunk("1\na2\nbc0\n3\nd\ne"), Step::End], &["a", "bc", "", "d\ne"], none).await;
        let split = vec![Step::Chunk("1"), Step::Chunk("1\nhello"), Step::Chunk(" world1\n!"), Step::End];
        check(split, &["hello world", "!"], none).await;
    }

    #[tokio::test]
    async fn a_stream_that_ends_within_a_record_is_a_failure() {
        let closed = |error: &Option<Error>| matches!(error, Some(Error::Closed));
        check(vec![Step::Chunk("1\na5\nhel"), Step::End], &["a"], closed).await;
        check(vec![Step::Chunk("1\na5"), Step::End], &["a"], closed).await;
    }

    #[tokio::test]
    async fn a_broken_connection_is_a_failure_even_between_records() {
        let transport = |error: &Option<Error>| matches!(error, Some(Error::Transport { .. }));
        check(vec![Step::Chunk("1\na"), Step::Cut], &["a"], transport).await;
        check(vec![Step::Chunk("1\na5\nhel"), Step::Cut], &["a"], transport).await;
    }

    #[tokio::test]
    async fn what_is_no_record_is_a_failure_that_closes_the_connection() {
        let no_length = |error: &Option<Error>| matches!(error, Some(Error::NotALength { byte: b'<', position: 3 }));
        check(vec![Step::Chunk("1\na<html>"), Step::Hang], &["a"], no_length).await;
        let too_large = |error: &Option<Error>| {
            matches!(error, Some(Error::TooLarge { record_bytes: 8_388_609, record_bytes_max: BOUND }))
        };
        check(vec![Step::Chunk("1\na8388609\n"), Step::Hang], &["a"], too_large).await;
    }

    #[tokio::test]
    async fn a_silent_peer_is_dead_after_the_idle_time_and_is_let_go() {
        let peer = Peer::start(vec![Step::Hang]).await;
        let mut stream = open(&peer, SHORT).await;
        let (_, error) = drain(&mut stream).await;
        assert!(matches!(error, Some(Error::Idle { idle: SHORT })), "{error:?}");
        timeout(LONG, peer.finished()).await.expect("the connection was not closed");
    }

    #[tokio::test]
    async fn the_idle_time_can_be_changed_while_the_stream_runs() {
        let peer = Peer::start(vec![Step::Chunk("1\na5\nhel"), Step::Hang]).await;
        let mut stream = open(&peer, LONG * 60).await;
        assert_eq!(stream.next().await.unwrap(), Some(b"a".to_vec()));
        assert!(stream.waiting_since.is_none(), "the reader's own time would count");
        stream.set_idle(SHORT);
        let (_, error) = drain(&mut stream).await;
        assert!(matches!(error, Some(Error::Idle { idle: SHORT })), "{error:?}");
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_and_taken_up_again_still_times_out() {
        let peer = Peer::start(vec![Step::Hang]).await;
        let mut stream = open(&peer, SHORT).await;
        assert!(stream.waiting_since.is_none(), "nobody waits yet");
        let waits = async {
            loop {
                if let Ok(result) = timeout(SHORT / 10, stream.next()).await {
                    return result;
                }
            }
        };
        let result = timeout(LONG, waits).await.expect("the idle time began anew each time");
        assert!(matches!(result, Err(Error::Idle { .. })), "{result:?}");
    }

    #[tokio::test]
    async fn a_reader_that_does_not_ask_holds_the_peer_back() {
        const RECORDS: usize = 64;
        let chunk: &'static str = format!("1048576\n{}", "x".repeat(1 << 20)).leak();
        let mut steps = vec![Step::Chunk(chunk); RECORDS];
        steps.push(Step::End);
        let peer = Peer::start(steps).await;
        let mut stream = open(&peer, LONG).await;
        assert!(stream.next().await.unwrap().is_some());
        let early = timeout(SHORT * 5, peer.sent_all()).await;
        assert!(early.is_err(), "the peer could send 64 MiB to a reader that took 1 MiB");
        let (records, error) = drain(&mut stream).await;
        assert_eq!(records.len(), RECORDS - 1);
        assert!(error.is_none(), "{error:?}");
    }
}
