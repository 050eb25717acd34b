//! One lane: its connection, and what is on its way there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout};

use super::body;
use super::carrier::{Carrier, Route};
use super::lanes::Answer;
use super::pace::Pace;
use super::subscription::{Over, Subscription};
use super::wire::Response;

/// A call that is to be made.
#[derive(Debug)]
pub(super) struct Job {
    call: Vec<u8>,
    is_launch: bool,
    answer: oneshot::Sender<Answer>,
    /// How often it was sent without a useful answer.
    tries: u32,
    /// When it was sent last; before that, when it was given.
    sent: Instant,
}

/// A lane of one subscription.
pub(super) struct Lane {
    route: Route,
    pace: Arc<Pace>,
    over: Over,
    /// How many calls may be on their way.
    ahead: usize,
    carrier: Option<Carrier>,
    /// To be sent, in order, before what is still in the queue.
    waiting: VecDeque<Job>,
    /// Sent and not answered, in order.
    sent: VecDeque<Job>,
    /// When the last answer came, or the first of those on their way was sent.
    since: Instant,
}

impl Job {
    pub(super) fn new(call: Vec<u8>, is_launch: bool, answer: oneshot::Sender<Answer>) -> Self {
        Self { call, is_launch, answer, tries: 0, sent: Instant::now() }
    }

    pub(super) fn answer(self, answer: Answer) {
        // Nobody may wait for it.
        self.answer.send(answer).ok();
    }
}

impl Lane {
    pub(super) fn new(client: &Client, pace: &Arc<Pace>, subscription: &Subscription, ahead: usize) -> Self {
        Self {
            route: Route::new(client, subscription),
            pace: Arc::clone(pace),
            over: subscription.over.clone(),
            ahead: if subscription.leader.scheme() == "http" { ahead } else { 1 },
            carrier: None,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            since: Instant::now(),
        }
    }

    /// Makes calls until no more can come.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            if self.waiting.is_empty() && self.sent.is_empty() {
                let Some(job) = self.idle(&mut jobs).await else { return };
                self.waiting.push_back(job);
            }
            while self.room() > 0 {
                let Ok(job) = jobs.try_recv() else { break };
                self.waiting.push_back(job);
            }
            if self.over.is_set() {
                self.waiting.drain(..).for_each(|job| job.answer(Answer::Fenced));
            }
            if !self.waiting.is_empty() {
                self.send().await;
            }
            if !self.sent.is_empty() {
                self.hear(&mut jobs).await;
            }
        }
    }

    fn room(&self) -> usize {
        self.ahead.saturating_sub(self.waiting.len() + self.sent.len())
    }

    /// Waits for the next call; a connection that the master closes meanwhile is let go.
    async fn idle(&mut self, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
        if let Some(carrier) = &mut self.carrier {
            tokio::select! {
                biased;
                () = carrier.closed() => self.carrier = None,
                job = jobs.recv() => return job,
            }
        }
        jobs.recv().await
    }

    /// Sends all that waits, on a new connection if there is none.
    async fn send(&mut self) {
        let patience = self.pace.patience(Instant::now());
        if self.carrier.is_none() {
            match Carrier::open(&self.route, patience).await {
                Ok(carrier) => self.carrier = Some(carrier),
                Err(error) => return self.end(&crate::chain(&error)),
            }
        }
        let Some(carrier) = &mut self.carrier else { return };
        if self.sent.is_empty() {
            self.since = Instant::now();
        }
        let calls: Vec<&[u8]> = self.waiting.iter().map(|job| job.call.as_slice()).collect();
        let result = timeout(patience, carrier.send(&self.route, &calls)).await;
        let now = Instant::now();
        self.waiting.iter_mut().for_each(|job| job.sent = now);
        self.sent.append(&mut self.waiting);
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.broken(&crate::chain(&error)).await,
            Err(_) => self.broken(&format!("nothing more could be sent within {patience:?}")).await,
        }
    }

    /// Waits for the next answer, or for something more to send.
    async fn hear(&mut self, jobs: &mut mpsc::Receiver<Job>) {
        let Some(carrier) = &mut self.carrier else { return };
        let patience = self.pace.patience(self.since);
        let has_room = self.ahead > self.sent.len() && !jobs.is_closed();
        tokio::select! {
            biased;
            response = carrier.answer() => match response {
                Ok(response) => self.heed(response).await,
                Err(error) => self.broken(&crate::chain(&error)).await,
            },
            () = sleep_until((self.since + patience).into()) => {
                self.pace.unanswered(Instant::now(), self.since);
                self.broken(&format!("no answer within {patience:?}")).await;
            }
            Some(job) = jobs.recv(), if has_room => self.waiting.push_back(job),
        }
    }

    async fn heed(&mut self, response: Response) {
        let Some(job) = self.sent.pop_front() else { return };
        self.since = Instant::now();
        self.pace.answered(self.since, job.sent);
        let again = match judge(response.status, body::text(&response.body)) {
            Verdict::Settled(answer) => {
                if matches!(answer, Answer::Ended { .. }) {
                    self.over.set();
                }
                job.answer(answer);
                None
            }
            Verdict::Busy(text) if job.is_launch => {
                self.over.set();
                job.answer(Answer::Ended { text });
                None
            }
            Verdict::Busy(text) | Verdict::Unclear(text) => self.again(job, &text),
        };
        let pause = again.as_ref().map(|job| pause(job.tries));
        self.waiting.extend(again);
        if let Some(pause) = pause {
            sleep(pause).await;
            self.since = Instant::now();
        }
        if response.is_last {
            self.broken("the master closes the connection").await;
        }
    }

    /// Ends a connection on which nothing more is answered: what was sent is sent again, but for launches.
    async fn broken(&mut self, why: &str) {
        self.carrier = None;
        let mut wait = Duration::ZERO;
        let mut again = VecDeque::new();
        for (number, mut job) in std::mem::take(&mut self.sent).into_iter().enumerate() {
            if number > 0 && !job.is_launch {
                // It was in doubt for no other reason than the first one.
                job.tries = job.tries.saturating_sub(1);
            }
            if let Some(job) = self.again(job, why) {
                wait = wait.max(pause(job.tries));
                again.push_back(job);
            }
        }
        again.append(&mut self.waiting);
        self.waiting = again;
        if !self.waiting.is_empty() && !self.over.is_set() {
            sleep(wait).await;
        }
    }

    /// Returns a call that is to be sent again; one that can't be is answered.
    fn again(&self, mut job: Job, why: &str) -> Option<Job> {
        job.tries += 1;
        if job.is_launch {
            // Only a new subscription makes sure that it doesn't arrive later.
            self.over.set();
        } else if job.tries < TRIES_MAX {
            return Some(job);
        }
        job.answer(Answer::Lost { text: why.to_owned() });
        None
    }

    /// Ends the subscription: the master can't be reached.
    fn end(&mut self, why: &str) {
        self.over.set();
        for job in self.waiting.drain(..) {
            job.answer(Answer::Ended { text: why.to_owned() });
        }
    }
}

/// How long a call waits before it is sent again: few enough to be unnoticed, and longer each time.
fn pause(tries: u32) -> Duration {
    PAUSE * 2_u32.saturating_pow(tries.saturating_sub(1))
}

/// What a status means for its call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// This.
    Settled(Answer),
    /// The call wasn't taken and can be made again; whether the subscription still stands isn't known.
    Busy(String),
    /// Nobody knows whether the call was taken.
    Unclear(String),
}

/// Says what a status means; the texts are those of Mesos 1.11, `src/master/http.cpp`.
fn judge(status: u16, text: String) -> Verdict {
    let ended = ["not subscribed", "not connected via HTTP", "Framework cannot be found", "didn't match the stream ID"];
    let ends = |text| Verdict::Settled(Answer::Ended { text });
    match status {
        200 | 202 => Verdict::Settled(Answer::Accepted),
        307 | 404 => ends(format!("{status} {text}")),
        503 if text.contains("recovery") => ends(format!("{status} {text}")),
        503 => Verdict::Busy(format!("{status} {text}")),
        400 | 403 if ended.iter().any(|words| text.contains(words)) => ends(format!("{status} {text}")),
        400..=499 => Verdict::Settled(Answer::Refused { status, text }),
        _ => Verdict::Unclear(format!("{status} {text}")),
    }
}

/// How often a call is sent before somebody else decides about it.
const TRIES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_one_meaning() {
        let check = |code: u16, text: &str, expected: fn(&Verdict) -> bool| {
            let verdict = judge(code, text.to_owned());
            assert!(expected(&verdict), "{code} {text}: {verdict:?}");
        };
        let refused = |verdict: &Verdict| matches!(verdict, Verdict::Settled(Answer::Refused { .. }));
        let ended = |verdict: &Verdict| matches!(verdict, Verdict::Settled(Answer::Ended { .. }));
        let accepted = |verdict: &Verdict| *verdict == Verdict::Settled(Answer::Accepted);
        let unclear = |verdict: &Verdict| matches!(verdict, Verdict::Unclear(_));
        check(202, "", accepted);
        check(200, "", accepted);
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
        check(503, "No server is available to handle this request.", |verdict| matches!(verdict, Verdict::Busy(_)));
        check(500, "", unclear);
        check(504, "", unclear);
        check(204, "", unclear);
    }
}
