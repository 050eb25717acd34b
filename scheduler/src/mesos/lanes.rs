//! Calls to the leading master: in order for each agent, on a bounded number of connections.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use epic_proto::mesos::v1::FrameworkId;
use epic_proto::mesos::v1::scheduler::{Call, call};
use prost::Message as _;
use reqwest::Client;
use tokio::sync::{mpsc, oneshot};

use super::lane::{Job, Lane};
use super::pace::Pace;
use super::subscription::{Over, Subscription};

/// How many lanes there are, each with a connection of its own.
pub const LANES: usize = 8;

/// How many calls wait in one lane at most.
pub const QUEUED_MAX: usize = 8192;

/// The lanes of one subscription.
///
/// A lane has one connection and sends its calls in their order, those of agents without waiting for each other's
/// answers: Mesos takes the calls of a connection in order. A call without an answer is sent again on a new connection,
/// before those after it, unless it launches: to launch twice would be harmful. The first answer which says that the
/// subscription has ended, or leaves open whether a launch has arrived, ends the subscription here, and all lanes with
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
    /// For a launch at once: a new subscription makes sure that it can't arrive any more, and this one has ended. For
    /// any other call after some tries; its subscription goes on.
    Lost {
        /// What happened.
        text: String,
    },
    /// The lanes were closed before the call was sent.
    Fenced,
    /// The lane has [`QUEUED_MAX`] calls waiting; this one was not sent and may be given again later.
    Full,
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

impl Lanes {
    /// Starts a task for each lane; has to be called within a tokio runtime.
    pub(super) fn open(client: &Client, pace: &Arc<Pace>, subscription: &Subscription) -> Self {
        let over = subscription.over.clone();
        let queues = (0..LANES).map(|number| {
            let (queue, jobs) = mpsc::channel(QUEUED_MAX);
            // What concerns no agent may contradict what follows it: it is sent only once that before it is settled.
            let ahead = if number == 0 { 1 } else { AHEAD_MAX };
            tokio::spawn(Lane::new(client, pace, subscription, ahead).run(jobs));
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
        let is_launch = call.r#type() == call::Type::Accept;
        let job = Job::new(call.encode_to_vec(), is_launch, answer);
        if let Err(refused) = self.queues[lane(agent_id)].try_send(job) {
            let (job, why) = match refused {
                mpsc::error::TrySendError::Full(job) => (job, Answer::Full),
                mpsc::error::TrySendError::Closed(job) => (job, Answer::Fenced),
            };
            job.answer(why);
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

/// How many calls of a lane are on their way at once: enough for one write to carry many, few enough for little to be in
/// doubt when a connection breaks.
const AHEAD_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

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
