//! A subscription with a real master, in JSON: it can say all that Mesos knows of a task that is a command.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use epic_common::recordio::Decoder;
use epic_tests::http;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A subscribed framework of the role `*`; its tasks outlive it for as long as Marathon's do.
#[derive(Debug)]
pub(crate) struct Link {
    url: String,
    id: Value,
    stream_id: String,
    events: mpsc::Receiver<Result<Value>>,
}

impl Link {
    /// Subscribes and reads the id.
    pub(crate) async fn subscribe(master: SocketAddr) -> Result<Self> {
        let url = format!("http://{master}/api/v1/scheduler");
        let capabilities = ["MULTI_ROLE", "RESERVATION_REFINEMENT", "PARTITION_AWARE", "TASK_KILLING_STATE"]
            .map(|kind| json!({ "type": kind }));
        let info = json!({"user": "root", "name": "marathon", "roles": ["*"], "checkpoint": true,
            "failover_timeout": 604_800.0, "capabilities": capabilities});
        let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
        let request = http::client().post(&url).header("Content-Type", "application/json");
        let request = request.timeout(LONG).body(call.to_string());
        let mut stream = request.send().await?;
        ensure!(stream.status() == 200, "SUBSCRIBE: {}", stream.status());
        let stream_id = stream.headers().get("Mesos-Stream-Id").context("no stream id")?.to_str()?.to_owned();
        let (sender, events) = mpsc::channel(QUEUED_MAX);
        tokio::spawn(async move {
            let mut decoder = Decoder::default();
            loop {
                let chunk = stream.chunk().await.map_err(Into::into);
                let chunk = chunk.and_then(|chunk| chunk.ok_or_else(|| anyhow!("the master ended the stream")));
                let records = chunk.and_then(|chunk| records(&mut decoder, &chunk));
                let is_over = records.is_err();
                let records = records.map_or_else(|error| vec![Err(error)], |all| all.into_iter().map(Ok).collect());
                for record in records {
                    if sender.send(record).await.is_err() {
                        return;
                    }
                }
                if is_over {
                    return;
                }
            }
        });
        let mut link = Self { url, id: Value::Null, stream_id, events };
        let first = link.next().await?;
        ensure!(first["type"] == "SUBSCRIBED", "the stream begins with {first}");
        link.id = first["subscribed"]["framework_id"].clone();
        Ok(link)
    }

    /// Returns the framework's id.
    pub(crate) fn id(&self) -> &str {
        self.id["value"].as_str().unwrap_or_default()
    }

    /// Waits for the next event; cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Value> {
        self.events.recv().await.context("the subscription is over")?
    }

    /// Makes a call of a type, with its content under the name that belongs to the type.
    pub(crate) async fn call(&self, kind: &str, content: Value) -> Result<()> {
        let mut call = json!({"type": kind, "framework_id": self.id});
        if !content.is_null() {
            call[kind.to_lowercase()] = content;
        }
        let request = http::client().post(&self.url).header("Content-Type", "application/json");
        let answer = request.header("Mesos-Stream-Id", &self.stream_id).body(call.to_string()).send().await?;
        let status = answer.status();
        ensure!(status == 202, "{kind} is answered with {status}: {}", answer.text().await?);
        Ok(())
    }
}

fn records(decoder: &mut Decoder, chunk: &[u8]) -> Result<Vec<Value>> {
    decoder.push(chunk);
    let mut all = Vec::new();
    while let Some(record) = decoder.next().transpose()? {
        all.push(serde_json::from_slice(&record)?);
    }
    Ok(all)
}

const LONG: Duration = Duration::from_secs(3600);
const QUEUED_MAX: usize = 1024;
