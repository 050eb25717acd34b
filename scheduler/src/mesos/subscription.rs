//! A standing subscription: events in the order in which the master sends them.

use std::sync::Arc;
use std::time::Duration;

use epic_common::recordio::RECORD_BYTES_MAX;
use epic_common_io::stream::{self, HEARTBEATS_MISSED_MAX, RecordStream};
use epic_proto::mesos::v1::scheduler::event::Subscribed;
use reqwest::{Response, Url};
use tokio::sync::watch;
use tracing::warn;

use super::credentials::Credentials;
use super::event::{self, Event};
use crate::metrics;

/// A subscription that the master has confirmed; dropping it closes its connection and its lanes.
#[derive(Debug)]
pub struct Subscription {
    /// Ties calls to this subscription: the value of `Mesos-Stream-Id`.
    pub stream_id: String,
    /// The leading master's address, with the path of its API.
    pub leader: Url,
    /// The first event.
    pub subscribed: Subscribed,
    /// What calls to this leader are signed with.
    pub(super) credentials: Option<Credentials>,
    pub(super) over: Over,
    records: RecordStream,
    /// What was wrong with the last event that was passed over.
    passed_over: Option<event::Error>,
}

/// Whether a subscription is over, as its stream and its lanes tell each other; once over, always over.
#[derive(Clone, Debug)]
pub(super) struct Over(Arc<watch::Sender<bool>>);

/// Why a subscription has ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The master closed it; why, it said in an event before, or nowhere.
    #[error("the master closed the subscription")]
    Closed,
    /// It was ended on this side: a call found it ended or was lost, or its lanes were closed.
    #[error("the subscription was given up after a call")]
    GivenUp,
    /// The stream broke, or was silent for five heartbeats.
    #[error("the subscription broke")]
    Broken {
        /// What happened to the stream.
        source: stream::Error,
    },
    /// The first event can't be understood.
    #[error("the subscription did not begin with an event that is understood")]
    NotUnderstood {
        /// What is wrong with it.
        source: event::Error,
    },
    /// The master began with something else than SUBSCRIBED or ERROR.
    #[error("the subscription did not begin with SUBSCRIBED or ERROR")]
    NotSubscribed,
    /// The master refused with an ERROR event.
    #[error("the master refuses the subscription: {message}")]
    Refused {
        /// The master's words.
        message: String,
    },
}

impl Subscription {
    /// Waits for the first event of an answer, at most `patience`.
    pub(super) async fn begin(
        response: Response,
        stream_id: String,
        credentials: Option<Credentials>,
        patience: Duration,
    ) -> Result<Self, Ended> {
        let leader = response.url().clone();
        let mut records = RecordStream::new(response, patience, RECORD_BYTES_MAX);
        let first = loop {
            let decoded = event::decode(&record(&mut records).await?);
            if let Some(event) = decoded.map_err(|source| Ended::NotUnderstood { source })? {
                break event;
            }
        };
        match first {
            Event::Subscribed(subscribed) => {
                records.set_idle(heartbeat(subscribed.heartbeat_interval_seconds) * HEARTBEATS_MISSED_MAX);
                let over = Over(Arc::new(watch::Sender::new(false)));
                Ok(Self { stream_id, leader, subscribed: *subscribed, credentials, over, records, passed_over: None })
            }
            Event::Error(message) => Err(Ended::Refused { message }),
            Event::Offers(_)
            | Event::Rescind(_)
            | Event::Update { .. }
            | Event::Message(_)
            | Event::Failure(_)
            | Event::Heartbeat => Err(Ended::NotSubscribed),
        }
    }

    /// Waits for the next event. Types that we don't know or don't use are passed over, and so is what can't be
    /// understood: another subscription would only bring it again.
    ///
    /// Cancel-safe. While nobody asks, the master is held back.
    ///
    /// # Errors
    /// How the subscription ended; after that there is only [`Ended::GivenUp`]. Its lanes are closed then.
    pub async fn next(&mut self) -> Result<Event, Ended> {
        let result = tokio::select! {
            biased;
            () = self.over.wait() => Err(Ended::GivenUp),
            result = understood(&mut self.records, &mut self.passed_over) => result,
        };
        result.inspect_err(|_| self.over.set())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.over.set();
    }
}

impl Over {
    pub(super) fn set(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    async fn wait(&self) {
        // The sender lives as long as this value, so the wait ends only when it is over.
        let mut over = self.0.subscribe();
        let _over = over.wait_for(|over| *over).await;
    }
}

async fn record(records: &mut RecordStream) -> Result<Vec<u8>, Ended> {
    records.next().await.map_err(|source| Ended::Broken { source })?.ok_or(Ended::Closed)
}

/// Waits for the next event that is understood; the same flaw in a row is logged once.
async fn understood(records: &mut RecordStream, passed_over: &mut Option<event::Error>) -> Result<Event, Ended> {
    loop {
        match event::decode(&record(records).await?) {
            Ok(Some(event)) => return Ok(event),
            Ok(None) => {}
            Err(error) => {
                metrics::passed_over();
                if passed_over.as_ref() != Some(&error) {
                    warn!(error = &error as &dyn std::error::Error, "an event that is not understood is passed over");
                }
                *passed_over = Some(error);
            }
        }
    }
}

/// Reads the interval of heartbeats; one that makes no sense counts as Mesos' own default.
fn heartbeat(seconds: Option<f64>) -> Duration {
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|interval| !interval.is_zero() && *interval <= HEARTBEAT_MAX)
        .unwrap_or(HEARTBEAT_DEFAULT)
}

/// Source: Mesos, `src/master/constants.hpp`, `DEFAULT_HEARTBEAT_INTERVAL`.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(15);
const HEARTBEAT_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_without_sense_counts_as_the_default() {
        let check = |seconds, expected| assert_eq!(heartbeat(seconds), expected, "{seconds:?}");
        check(Some(2.5), Duration::from_millis(2500));
        for senseless in [None, Some(0.0), Some(-1.0), Some(f64::NAN), Some(f64::INFINITY), Some(1e9)] {
            check(senseless, HEARTBEAT_DEFAULT);
        }
    }
}
