//! Shows the platform, once or again and again.

use epic_common::api::PlatformView;
use tokio::time::{Instant, interval};

use super::follow::{EVERY, remains};
use super::{Status, now};
use crate::args::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::{render, terminal};

pub(super) async fn status(client: &Client, output: Output, status: &Status) -> anyhow::Result<()> {
    if status.watch || status.until_ready {
        return watch(client, output, status).await;
    }
    let view = client.view().await?;
    terminal::say(&match output {
        Output::Text => render::status(&view, now()),
        Output::Json => serde_json::to_string_pretty(&view)?,
    })?;
    Ok(())
}

/// A scheduler that can't be reached for a while is waited for.
async fn watch(client: &Client, output: Output, status: &Status) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut ticks = interval(EVERY);
    let mut before = Before::default();
    loop {
        ticks.tick().await;
        let seen = client.view().await;
        before.show(output, &seen)?;
        let remains = match &seen {
            Ok(view) if status.until_ready && view.phase == "ready" => return Ok(()),
            Ok(view) => remains(view),
            Err(failure) => failure.to_string(),
        };
        if status.until_ready && started.elapsed() >= status.timeout {
            let goal = "the platform is ready".to_owned();
            return Err(Failure::TimedOut { waited: status.timeout, goal, remains }.into());
        }
    }
}

/// What was shown last.
#[derive(Default)]
struct Before {
    view: Option<PlatformView>,
    is_lost: bool,
}

impl Before {
    fn show(&mut self, output: Output, seen: &Result<PlatformView, Failure>) -> anyhow::Result<()> {
        match (seen, output) {
            (Ok(view), Output::Json) if self.view.as_ref() != Some(view) => {
                terminal::say(&serde_json::to_string(view)?)?
            }
            (Ok(_), Output::Json) => {}
            (Ok(view), Output::Text) if terminal::is_watched() => terminal::redraw(&render::status(view, now()))?,
            (Ok(view), Output::Text) => {
                for line in render::changes(self.view.as_ref(), view) {
                    terminal::say(&line)?;
                }
            }
            (Err(_), Output::Json) => {}
            (Err(failure), Output::Text) if !self.is_lost => terminal::say(&format!("{failure}; still trying"))?,
            (Err(_), Output::Text) => {}
        }
        self.is_lost = seen.is_err();
        if let Ok(view) = seen {
            self.view = Some(view.clone());
        }
        Ok(())
    }
}
