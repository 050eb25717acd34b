//! A Prometheus and an Alertmanager that read replicas by our rules, and who hears of their alerts.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context as _, Result, ensure};
use epic_tests::address::Network;
use epic_tests::process::{Process, Program, tail};
use epic_tests::{http, wait};
use reqwest::Url;
use serde_json::Value;

use super::text;

/// All of it runs until it is dropped.
pub(super) struct Stack {
    url: String,
    heard: Heard,
    webhook: ServerHandle,
    prometheus: Process,
    alertmanager: Process,
}

/// All that Alertmanager has told, an alert at a time.
type Heard = Arc<Mutex<Vec<Value>>>;

impl Stack {
    /// Starts all of it in `folder`, with targets such as `127.0.0.1:8080` as one installation of the cluster `test`.
    ///
    /// Has to be called within a tokio runtime.
    pub(super) fn start(folder: &Path, network: &Network, targets: &[String]) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (hook, alerts, own) = (network.free(230)?, network.free(231)?, network.free(232)?);
        let heard = Heard::default();
        let webhook = listen(&hook.to_string(), Arc::clone(&heard))?;

        fs::write(folder.join("rules.yaml"), hasty(&text("rules.yaml"))?)?;
        fs::write(folder.join("alertmanager.yml"), ALERTMANAGER.replace("HOOK", &hook.to_string()))?;
        let targets: Vec<_> = targets.iter().map(|target| format!("\"{target}\"")).collect();
        let config = PROMETHEUS.replace("TARGETS", &targets.join(", ")).replace("ALERTMANAGER", &alerts.to_string());
        fs::write(folder.join("prometheus.yml"), config)?;
        let path = |name: &str| folder.join(name).display().to_string();

        let alertmanager = Program::new("/usr/bin/prometheus-alertmanager", folder.join("alertmanager.log")).args([
            format!("--config.file={}", path("alertmanager.yml")),
            format!("--storage.path={}", path("alertmanager")),
            format!("--web.listen-address={alerts}"),
            "--cluster.listen-address=".to_owned(),
        ]);
        let prometheus = Program::new("/usr/bin/prometheus", folder.join("prometheus.log")).args([
            format!("--config.file={}", path("prometheus.yml")),
            format!("--storage.tsdb.path={}", path("data")),
            format!("--web.listen-address={own}"),
            // The first alert may come before an Alertmanager is found, and is then told a minute later.
            "--rules.alert.resend-delay=1s".to_owned(),
        ]);
        let (alertmanager, prometheus) = (alertmanager.start()?, prometheus.start()?);
        Ok(Self { url: format!("http://{own}"), heard, webhook, prometheus, alertmanager })
    }

    /// Asks Prometheus, which answers with one value for each series.
    pub(super) async fn query(&self, expr: &str) -> Result<Vec<Value>> {
        let mut url = Url::parse(&format!("{}/api/v1/query", self.url))?;
        url.query_pairs_mut().append_pair("query", expr);
        let answer = http::client().get(url).send().await.context("Prometheus doesn't answer")?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 200, "{expr}: {status} {text}");
        let answer: Value = serde_json::from_str(&text)?;
        Ok(answer["data"]["result"].as_array().context("an answer has a result")?.clone())
    }

    /// Returns the one value of an expression.
    pub(super) async fn value(&self, expr: &str) -> Result<f64> {
        let result = self.query(expr).await?;
        ensure!(result.len() == 1, "{expr}: {result:?}");
        let value = result[0]["value"][1].as_str().context("a sample has a value")?;
        value.parse().with_context(|| format!("{expr}: {value}"))
    }

    /// Returns the last thing that was told of an alert: `firing` or `resolved`, and the alert.
    pub(super) fn last(&self, alert: &str) -> Option<(String, Value)> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let last = heard.iter().rev().find(|told| told["labels"]["alertname"] == alert)?;
        Some((last["status"].as_str().unwrap_or_default().to_owned(), last.clone()))
    }

    /// Waits until it comes true, at most as long as `limit`; the error holds what all three say.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        poll: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let outcome = wait::until(what, limit, poll).await;
        outcome.with_context(|| {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let logs = [self.prometheus.log(), self.alertmanager.log()].map(|log| tail(log, 15));
            format!("heard: {heard:?}\n{}", logs.join("\n"))
        })
    }

    /// Ends all of it.
    pub(super) async fn stop(self) {
        self.webhook.stop(false).await;
    }
}

/// Listens as whoever Alertmanager tells.
fn listen(address: &str, heard: Heard) -> Result<ServerHandle> {
    let server = HttpServer::new(move || {
        let heard = web::Data::from(Arc::clone(&heard));
        App::new().app_data(heard).default_service(web::to(take))
    });
    let server = server.workers(1).disable_signals().bind(address)?.run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(handle)
}

async fn take(heard: web::Data<Mutex<Vec<Value>>>, told: web::Json<Value>) -> HttpResponse {
    let alerts = told["alerts"].as_array().cloned().unwrap_or_default();
    heard.lock().unwrap_or_else(PoisonError::into_inner).extend(alerts);
    HttpResponse::Ok().finish()
}

/// The same rules, with every `for` a sixtieth as long.
fn hasty(rules: &str) -> Result<String> {
    let mut hasty = String::new();
    for line in rules.lines() {
        match line.split_once("for: ").filter(|(before, _)| before.trim().is_empty()) {
            Some((before, lasting)) => {
                hasty += &format!("{before}for: {}ms\n", seconds(lasting)? * 1000 / 60);
            }
            None => hasty = hasty + line + "\n",
        }
    }
    Ok(hasty)
}

fn seconds(text: &str) -> Result<u64> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let unit = [("s", 1), ("m", 60), ("h", 3600)].into_iter().find(|(name, _)| *name == unit);
    Ok(number.parse::<u64>()? * unit.with_context(|| format!("no known unit in {text}"))?.1)
}

const PROMETHEUS: &str = "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [rules.yaml]
alerting:
  alertmanagers: [{static_configs: [{targets: [\"ALERTMANAGER\"]}]}]
scrape_configs:
  - job_name: epic-scheduler
    static_configs: [{labels: {cluster: test}, targets: [TARGETS]}]
";
const ALERTMANAGER: &str =
    "route: {receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: hook
    webhook_configs: [{url: \"http://HOOK/\", send_resolved: true}]
";

#[test]
fn every_duration_of_the_rules_becomes_a_sixtieth() {
    assert_eq!(
        hasty("a:\n  for: 1m\n  expr: x[1m] # for: 1h\n").unwrap(),
        "a:\n  for: 1000ms\n  expr: x[1m] # for: 1h\n"
    );
    assert_eq!(hasty("for: 30s\nfor: 1h").unwrap(), "for: 500ms\nfor: 60000ms\n");
    hasty("for: 3 days").unwrap_err();
}
