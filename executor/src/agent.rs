//! The connection to the Mesos agent: one stream of events, and the calls that belong to it.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use epic_common_io::driver::Inbox;
use epic_common_io::http::Clients;
use epic_common_io::stream::RecordStream;
use epic_executor_core::traffic::Input;
use epic_executor_core::updates::Update;
use epic_proto::mesos::v1::executor::Call;
use prost::Message as _;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::convert;
use crate::settings::Settings;

/// Talks to the agent; it subscribes when it is told to, and reports each end of a subscription once.
#[derive(Debug)]
pub struct Agent {
    settings: Rc<Settings>,
    clients: Clients,
    calls: Option<mpsc::Sender<Vec<u8>>>,
}

const PROTOBUF: &str = "application/x-protobuf";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The agent sends a heartbeat every half hour (Mesos 1.11, `DEFAULT_EXECUTOR_HEARTBEAT_INTERVAL`).
const IDLE_MAX: Duration = Duration::from_secs(5 * 30 * 60);

/// At most as many as there are tasks wait for an answer at a time, since each task has one update on its way.
const CALLS_MAX: usize = 4096;

const RECORD_BYTES_MAX: usize = 16 << 20;

impl Agent {
    /// Makes a client that isn't subscribed.
    #[must_use]
    pub const fn new(settings: Rc<Settings>, clients: Clients) -> Self {
        Self { settings, clients, calls: None }
    }

    /// Subscribes; the subscription before has ended, or it would not have been asked for.
    pub fn subscribe(&mut self, tasks: &[Vec<u8>], updates: &[Update], inbox: Inbox<Input>) {
        let (sender, calls) = mpsc::channel(CALLS_MAX);
        self.calls = Some(sender);
        let call = convert::subscribe(&self.settings, tasks, updates);
        let link = Link { settings: Rc::clone(&self.settings), clients: self.clients.clone() };
        actix::spawn(async move {
            let end = tokio::select! {
                end = link.listen(call, &inbox) => end,
                end = link.send(calls) => end,
            };
            match end {
                Ok(()) => tracing::info!("the agent has ended the subscription"),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the subscription with the agent is broken"),
            }
            inbox.put(Input::Disconnected).await.ok();
        });
    }

    /// Sends an update after those before it; if that fails, the subscription ends.
    pub fn send(&mut self, update: &Update) {
        let call = convert::update(&self.settings, update).encode_to_vec();
        let sent = self.calls.as_ref().is_some_and(|calls| calls.try_send(call).is_ok());
        if !sent {
            // Without its sender the subscription ends, and the update goes with the next one.
            self.calls = None;
        }
    }
}

/// What a subscription's task owns.
struct Link {
    settings: Rc<Settings>,
    clients: Clients,
}

impl Link {
    async fn listen(&self, call: Call, inbox: &Inbox<Input>) -> anyhow::Result<()> {
        let request = self.request(&self.clients.stream, call.encode_to_vec());
        let response = timeout(ANSWER_TIMEOUT, request.send())
            .await
            .context("the agent does not answer")?
            .context("cannot subscribe")?;
        if response.status() != StatusCode::OK {
            return refusal(response).await.context("cannot subscribe");
        }
        let mut records = RecordStream::new(response, IDLE_MAX, RECORD_BYTES_MAX);
        while let Some(record) = records.next().await? {
            match convert::event(&record) {
                Ok(Some(input)) => inbox.put(input).await?,
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(error = format!("{:#}", anyhow::Error::new(error)), "an event is ignored")
                }
            }
        }
        Ok(())
    }

    async fn send(&self, mut calls: mpsc::Receiver<Vec<u8>>) -> anyhow::Result<()> {
        while let Some(call) = calls.recv().await {
            let response = self.request(&self.clients.calls, call).send().await.context("cannot send an update")?;
            if response.status() != StatusCode::ACCEPTED {
                return refusal(response).await.context("cannot send an update");
            }
        }
        bail!("too many updates wait for the agent")
    }

    fn request(&self, client: &reqwest::Client, body: Vec<u8>) -> reqwest::RequestBuilder {
        let request =
            client.post(&self.settings.url).header(CONTENT_TYPE, PROTOBUF).header(ACCEPT, PROTOBUF).body(body);
        match &self.settings.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// Says what the agent answered, of which the first line is enough.
async fn refusal(response: reqwest::Response) -> anyhow::Result<()> {
    let status = response.status();
    let text = timeout(ANSWER_TIMEOUT, response.text()).await.unwrap_or_else(|_| Ok(String::new())).unwrap_or_default();
    let line: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
    bail!("the agent answers {status}: {line}")
}
