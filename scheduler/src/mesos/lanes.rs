//! Calls to the leading master: in order for each agent, on a bounded number of connections.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use epic_proto::mesos::v1::FrameworkId;
use epic_proto::mesos::v1::scheduler::Call;
use prost::Message as _;
use reqwest::{Client, StatusCode, Url};
use tokio::sync::{mpsc, oneshot};

use super::body::{self, STREAM_ID};
use super::credentials::Credentials;
use super::subscription::{Over, Subscription};

/// How many lanes there are: with eight, a thousand agents' calls take a third of the time that one lane needs.
pub const LANES: usize = 8;

/// How many calls wait in one lane at most.
pub const QUEUED_MAX: usize = 1024;

/// The lanes of one subscription.
///
/// A lane sends its next call when the last one has been answered, so calls of one agent keep their order and
/// as many connections are in use as lanes have something to send. The first answer which says that the
/// subscription has ended, or leaves open whether a call has arrived, ends the subscription here, and all lanes with
/// it: what waits is answered [`Answer::Fenced`] and never sent. So do the end of its stream, and dropping
/// either. A call that is on its way then is still answered.
#[derive(Debug)]
pub struct Lanes {
    queues: Vec<mpsc::Sender<Job>>,
    framework_id: FrameworkId,
    over: Over,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The master has it; what it does about it shows in events (status 202, and 200 where it is done at once).
    Accepted,
    /// The master refuses this call and did nothing; the subscription goes on (400, 401, 403 and other 4xx).
    Refused {
        /// The HTTP status.
        status: u16,
        /// The first 500 bytes of what it says.
        text: String,
    },
    /// The call wasn't taken because the subscription isn't there any more.
    ///
    /// No connection could be made; the master doesn't lead (307), has restarted (404) or recovers (503); or it
    /// says that the framework is not subscribed (403), cannot be found or has another stream (400).
    Ended {
        /// What happened.
        text: String,
    },
    /// Nobody knows whether the call has arrived: a time-out, a reset, or an answer of no known meaning.
    ///
    /// A new subscription makes sure that it can't arrive any more.
    Lost {
        /// What happened.
        text: String,
    },
    /// The lanes were closed before the call was sent.
    Fenced,
    /// The lane has [`QUEUED_MAX`] calls waiting; this one was not sent and may be given again later.
    Full,
}

impl Answer {
    /// Says whether the subscription is of no use any more.
    #[must_use]
    pub const fn ends_subscription(&self) -> bool {
        match self {
            Self::Ended { .. } | Self::Lost { .. } | Self::Fenced => true,
            Self::Accepted | Self::Refused { .. } | Self::Full => false,
        }
    }
}

/// An answer to come; the call is on its way whether or not somebody waits.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Answer>);

impl Future for Pending {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Answer> {
        let answer = ready!(Pin::new(&mut self.0).poll(ctx));
        // The lane's task ended with the program's, maybe in the middle of this call.
        Poll::Ready(answer.unwrap_or_else(|_| Answer::Lost { text: "the program is ending".to_owned() }))
    }
}

#[derive(Debug)]
struct Job {
    call: Vec<u8>,
    answer: oneshot::Sender<Answer>,
}

impl Lanes {
    /// Starts a task for each lane; has to be called within a tokio runtime.
    pub(super) fn open(client: &Client, subscription: &Subscription) -> Self {
        let over = subscription.over.clone();
        let queues = (0..LANES).map(|_| {
            let (queue, jobs) = mpsc::channel(QUEUED_MAX);
            let lane = Lane {
                client: client.clone(),
                url: subscription.leader.clone(),
                stream_id: subscription.stream_id.clone(),
                credentials: subscription.credentials.clone(),
                over: over.clone(),
            };
            tokio::spawn(lane.run(jobs));
            queue
        });
        Self { queues: queues.collect(), framework_id: subscription.subscribed.framework_id.clone(), over }
    }

    /// Puts a call on the lane of an agent, or on the first lane if it concerns no single agent.
    ///
    /// Fills in the framework id. The order of calls is that in which this is called, not that in which
    /// answers are awaited.
    pub fn send(&self, agent_id: Option<&str>, mut call: Call) -> Pending {
        call.framework_id = Some(self.framework_id.clone());
        let (answer, pending) = oneshot::channel();
        let job = Job { call: call.encode_to_vec(), answer };
        if let Err(refused) = self.queues[lane(agent_id)].try_send(job) {
            let (job, why) = match refused {
                mpsc::error::TrySendError::Full(job) => (job, Answer::Full),
                mpsc::error::TrySendError::Closed(job) => (job, Answer::Fenced),
            };
            job.answer.send(why).ok();
        }
        Pending(pending)
    }

    /// Closes all lanes, and with them the subscription.
    pub fn close(&self) {
        self.over.set();
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.close();
    }
}

/// Chooses a lane; the same for an agent every time.
///
/// The first is for what concerns no agent, which must never wait behind what fills the others.
fn lane(agent_id: Option<&str>) -> usize {
    let others = u32::try_from(LANES - 1).expect("there are few lanes");
    let chosen = agent_id.map_or(0, |id| 1 + crc32fast::hash(id.as_bytes()) % others);
    usize::try_from(chosen).expect("a lane's number is small")
}

struct Lane {
    client: Client,
    url: Url,
    stream_id: String,
    credentials: Option<Credentials>,
    over: Over,
}

impl Lane {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            let answer = if self.over.is_set() { Answer::Fenced } else { self.post(job.call).await };
            if answer.ends_subscription() {
                self.over.set();
            }
            job.answer.send(answer).ok();
        }
    }

    async fn post(&self, call: Vec<u8>) -> Answer {
        let request = body::post(&self.client, &self.url, self.credentials.as_ref(), call);
        match request.header(STREAM_ID, &self.stream_id).send().await {
            Ok(response) => {
                let status = response.status();
                judge(status, body::text(response).await)
            }
            Err(error) if error.is_connect() => Answer::Ended { text: crate::chain(&error) },
            Err(error) => Answer::Lost { text: crate::chain(&error) },
        }
    }
}

/// Says what a status means; the texts are those of Mesos 1.11, `src/master/http.cpp`.
fn judge(status: StatusCode, text: String) -> Answer {
    let code = status.as_u16();
    let ended = ["not subscribed", "not connected via HTTP", "Framework cannot be found", "didn't match the stream ID"];
    match code {
        200 | 202 => Answer::Accepted,
        307 | 404 | 503 => Answer::Ended { text: format!("{code} {text}") },
        400 | 403 if ended.iter().any(|words| text.contains(words)) => Answer::Ended { text: format!("{code} {text}") },
        400..=499 => Answer::Refused { status: code, text },
        _ => Answer::Lost { text: format!("{code} {text}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_one_meaning() {
        let check = |code: u16, text: &str, expected: fn(&Answer) -> bool| {
            let answer = judge(StatusCode::from_u16(code).unwrap(), text.to_owned());
            assert!(expected(&answer), "{code} {text}: {answer:?}");
        };
        let refused = |answer: &Answer| matches!(answer, Answer::Refused { .. });
        let ended = |answer: &Answer| matches!(answer, Answer::Ended { .. });
        let lost = |answer: &Answer| matches!(answer, Answer::Lost { .. });
        check(202, "", |answer| *answer == Answer::Accepted);
        check(200, "", |answer| *answer == Answer::Accepted);
        check(400, "Failed to validate scheduler::Call: Expecting 'type' to be present", refused);
        check(400, "Not a valid UUID", refused);
        check(400, "Framework cannot be found", ended);
        check(400, "The stream ID 'a' included in this request didn't match the stream ID currently associated", ended);
        check(401, "", refused);
        check(403, "403 Forbidden.", refused);
        check(403, "Framework is not subscribed", ended);
        check(403, "Framework is not connected via HTTP", ended);
        check(307, "", ended);
        check(404, "404 Not Found.", ended);
        check(503, "Master has not finished recovery", ended);
        check(500, "", lost);
        check(504, "", lost);
        check(204, "", lost);
    }

    #[test]
    fn an_agent_keeps_its_lane_and_many_agents_use_all() {
        let mut used = [false; LANES];
        for agent in 0..1000 {
            let id = format!("d3d9d8f0-0000-S{agent}");
            assert_eq!(lane(Some(&id)), lane(Some(&id)));
            used[lane(Some(&id))] = true;
        }
        let mut others = [true; LANES];
        others[0] = false;
        assert_eq!((used, lane(None)), (others, 0), "what concerns no agent has a lane of its own");
    }
}
