//! Does `epic-scheduler healthcheck`: asks a scheduler on this machine whether it is alive.

use std::time::Duration;

use epic_common_io::tls;
use reqwest::Client;

use crate::chain;
use crate::config::healthcheck::Healthcheck;
use crate::failure::{Code, Failure};

/// Asks once, for at most three seconds.
///
/// # Errors
///
/// It doesn't answer, or not with yes: what it says, or why there is no answer.
pub async fn run(asked: &Healthcheck) -> Result<(), Failure> {
    tls::use_ring();
    let url = asked.url();
    let unhealthy = |why: String| Failure::text(Code::Unhealthy, format!("{url}: {why}"));
    let builder = Client::builder().timeout(WITHIN).no_proxy().redirect(reqwest::redirect::Policy::none());
    let client = builder.tls_danger_accept_invalid_certs(true).build();
    let client = client.map_err(|error| Failure::new(Code::Io, &error))?;
    let mut answer = client.get(&url).send().await.map_err(|error| unhealthy(chain(&error.without_url())))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    // A reason is one line, and whatever else answers there may say much.
    let said = answer.chunk().await.ok().flatten().unwrap_or_default();
    let said: String =
        String::from_utf8_lossy(&said).lines().next().unwrap_or_default().chars().take(CHARS_MAX).collect();
    Err(unhealthy(format!("{status}: {said}")))
}

const WITHIN: Duration = Duration::from_secs(3);
const CHARS_MAX: usize = 500;
