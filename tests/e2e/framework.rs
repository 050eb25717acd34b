//! The smallest framework there can be: it puts one shell command on each agent as an executor.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use epic_tests::http;
use reqwest::Response;
use serde_json::{Value, json};

/// A subscribed framework of the role `BlueData`; it ends with its connection.
#[derive(Debug)]
pub(crate) struct Framework {
    url: String,
    id: Value,
    stream_id: String,
    stream: Response,
    offers: Vec<Value>,
    buffer: BytesMut,
}

impl Framework {
    /// Subscribes and reads the id.
    pub(crate) async fn subscribe(master: SocketAddr) -> Result<Self> {
        let url = format!("http://{master}/api/v1/scheduler");
        let capabilities = json!([{"type": "MULTI_ROLE"}, {"type": "RESERVATION_REFINEMENT"}]);
        let info = json!({"user": "root", "name": "kit", "roles": ["BlueData"], "checkpoint": true,
            "failover_timeout": 60.0, "capabilities": capabilities});
        let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
        let request = http::client().post(&url).header("Content-Type", "application/json");
        // The stream lasts as long as the test.
        let request = request.timeout(Duration::from_secs(3600));
        let stream = request.body(call.to_string()).send().await?;
        ensure!(stream.status() == 200, "SUBSCRIBE: {}", stream.status());
        let stream_id = stream.headers()["Mesos-Stream-Id"].to_str()?.to_owned();
        let mut framework =
            Self { url, id: Value::Null, stream_id, stream, offers: Vec::new(), buffer: BytesMut::new() };
        framework.id = framework.next("SUBSCRIBED").await?["framework_id"].clone();
        Ok(framework)
    }

    /// Launches the command on the next offered agent; returns that agent's hostname.
    ///
    /// The command never registers as an executor; Mesos gives it a minute.
    pub(crate) async fn launch(&mut self, shell: &str) -> Result<String> {
        while self.offers.is_empty() {
            let event = self.next("OFFERS").await?;
            let offers = event["offers"].as_array().cloned();
            self.offers = offers.unwrap_or_default();
        }
        let offer = self.offers.remove(0);
        let host = offer["hostname"].as_str().context("an offer without hostname")?.to_owned();
        let scalar = |name: &str, value: f64| {
            json!({"name": name, "type": "SCALAR", "scalar": {"value": value},
                "allocation_info": {"role": "BlueData"}, "reservations": [{"type": "STATIC", "role": "BlueData"}]})
        };
        let resources = json!([scalar("cpus", 0.1), scalar("mem", 64.0)]);
        let executor = json!({"type": "CUSTOM", "executor_id": {"value": host}, "framework_id": self.id,
            "command": {"value": shell}, "resources": resources});
        let task = json!({"name": "task", "task_id": {"value": host}, "agent_id": offer["agent_id"],
            "executor": executor, "resources": resources});
        let launch = json!({"type": "LAUNCH", "launch": {"task_infos": [task]}});
        let call = json!({"type": "ACCEPT", "framework_id": self.id,
            "accept": {"offer_ids": [offer["id"]], "operations": [launch]}});
        let request = http::client().post(&self.url).header("Content-Type", "application/json");
        let request = request.header("Mesos-Stream-Id", &self.stream_id);
        let answer = request.body(call.to_string()).send().await?;
        ensure!(answer.status() == 202, "ACCEPT: {}", answer.text().await?);
        Ok(host)
    }

    /// Reads on to the next event of a type and returns its content.
    async fn next(&mut self, kind: &str) -> Result<Value> {
        loop {
            let event = self.record().await?;
            ensure!(event["type"] == kind || event["type"] == "HEARTBEAT", "wanted {kind}: {event}");
            if event["type"] == kind {
                return Ok(event[kind.to_lowercase()].clone());
            }
        }
    }

    async fn record(&mut self) -> Result<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let length: usize = std::str::from_utf8(&self.buffer[..end])?.parse()?;
                if self.buffer.len() > end + length {
                    let record = self.buffer.split_to(end + 1 + length);
                    return Ok(serde_json::from_slice(&record[end + 1..])?);
                }
            }
            let chunk = self.stream.chunk().await?.context("the master ended the stream")?;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}
