//! Looks at everything that the demo shows, as a person would.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::PlatformView;
use epic_tests::epic::endpoint;
use epic_tests::{http, wait};
use serde_json::Value;

use crate::guide::Places;
use crate::screen::Screen;

/// Checks the pages, what Prometheus measures, and what `epicctl` says.
///
/// # Errors
/// The first thing that isn't as it should be.
pub(crate) async fn all(screen: &Screen, places: &Places, view: &PlatformView) -> Result<()> {
    wait::until("all pages answer", LIMIT, async || pages(places, view).await).await?;
    screen.say("checked: the pages of Prometheus, node exporters, scheduler and Mesos answer");
    wait::until("Prometheus reaches both workers", LIMIT, async || up(view).await).await?;
    screen.say("checked: Prometheus has up == 1 for both workers");
    epicctl(places).await?;
    screen.say("checked: epicctl says that the platform is ready");
    Ok(())
}

async fn pages(places: &Places, view: &PlatformView) -> Result<()> {
    let Places { server, master, .. } = places;
    let pages = [
        (endpoint(view, "controller-0")?, "Prometheus"),
        (endpoint(view, "worker-0")?, "node_load1"),
        (endpoint(view, "worker-1")?, "node_load1"),
        (format!("{server}/readyz"), "ready"),
        (format!("{server}/metrics"), "# HELP"),
        (format!("http://{master}/state"), view.mesos.framework_id.as_str()),
    ];
    for (url, words) in pages {
        let text = http::get(&url).await?;
        ensure!(text.contains(words), "{url} doesn't say \"{words}\"");
    }
    Ok(())
}

/// Asks Prometheus for the hosts that it reaches.
///
/// Source: Prometheus HTTP API, instant queries.
async fn up(view: &PlatformView) -> Result<()> {
    let mut url = reqwest::Url::parse(&endpoint(view, "controller-0")?)?;
    url.set_path("/api/v1/query");
    url.set_query(Some("query=up%7Bjob%3D%22hosts%22%7D"));
    let answer = http::get_json(url.as_str()).await?;
    let series = answer["data"]["result"].as_array().context("Prometheus gives no result")?;
    let is_up = |one: &&Value| one["value"][1] == "1";
    let mut up: Vec<_> = series.iter().filter(is_up).filter_map(|one| one["metric"]["instance"].as_str()).collect();
    up.sort_unstable();
    ensure!(up == ["worker-0", "worker-1"], "Prometheus reaches {up:?}: {answer}");
    Ok(())
}

async fn epicctl(places: &Places) -> Result<()> {
    let args = ["platform", "--server", &places.server, "status", "-o", "json"];
    let output = tokio::process::Command::new(&places.epicctl).args(args).output().await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "epicctl {args:?} ends with {}: {errors}", output.status);
    let view: PlatformView = serde_json::from_slice(&output.stdout).context("epicctl prints no view")?;
    ensure!(view.phase == "ready", "epicctl says that the platform is {}", view.phase);
    Ok(())
}

/// Prometheus looks for new targets every five seconds, and asks them every two.
const LIMIT: Duration = Duration::from_secs(30);
