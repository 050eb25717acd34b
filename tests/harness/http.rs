//! A plain HTTP client for what tests ask of masters, agents and our own programs.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

/// The shared client: no proxy, five seconds per request, follows redirects.
///
/// It keeps no idle connections, since each test has a runtime of its own and a connection dies with it.
///
/// # Panics
/// When the TLS library cannot be set up, which does not depend on input.
pub fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // An error says that a provider is installed already, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(5))
            .build()
            .expect("the options are constants that are known to work")
    })
}

/// Gets a page as text.
///
/// # Errors
/// When there is no answer, or one other than 200 (the error then holds its status and text).
pub async fn get(url: &str) -> anyhow::Result<String> {
    let answer = client().get(url).send().await.with_context(|| format!("cannot get {url}"))?;
    let status = answer.status();
    let text = answer.text().await.with_context(|| format!("cannot read the answer of {url}"))?;
    ensure!(status == 200, "{url} answered {status}: {text}");
    Ok(text)
}

/// Gets a JSON document.
///
/// # Errors
/// As [`get`], or when the text is not JSON.
pub async fn get_json(url: &str) -> anyhow::Result<Value> {
    let text = get(url).await?;
    serde_json::from_str(&text).with_context(|| format!("cannot read the JSON of {url}"))
}
