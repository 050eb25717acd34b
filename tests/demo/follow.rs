//! Follows the platform and says what changes.

use std::time::Duration;

use anyhow::{Result, bail};
use epic_common::api::PlatformView;
use tokio::time::{Instant, interval};

use crate::scene::Scene;
use crate::screen::Screen;
use crate::words::{changes, remains};

/// What was seen last, and when something was last said of it.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    screen: &'a Screen,
    before: Option<PlatformView>,
    said: Instant,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(screen: &'a Screen) -> Self {
        Self { screen, before: None, said: Instant::now() }
    }

    /// Waits until a view passes, saying what changes, and again and again what is waited for if nothing does.
    ///
    /// # Errors
    /// None does within `limit`, or the scheduler ends.
    pub(crate) async fn until(
        &mut self,
        stage: &mut impl Scene,
        limit: Duration,
        is_reached: impl Fn(&PlatformView) -> bool,
    ) -> Result<PlatformView> {
        let end = Instant::now() + limit;
        let mut ticks = interval(EVERY);
        loop {
            ticks.tick().await;
            let view = self.look(stage).await?;
            if let Some(view) = view.filter(|view| is_reached(view)) {
                return Ok(view);
            }
            let remains = self.before.as_ref().map_or_else(|| "the scheduler gives no answer".to_owned(), remains);
            if Instant::now() >= end {
                bail!("gave up after {} s; still:\n{remains}", limit.as_secs());
            }
            if self.said.elapsed() >= REPEAT {
                self.say(&format!("still waiting:\n{remains}"));
            }
        }
    }

    /// Says what changes until the scheduler ends.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) async fn forever(&mut self, stage: &mut impl Scene) -> Result<()> {
        let mut ticks = interval(EVERY);
        loop {
            ticks.tick().await;
            self.look(stage).await?;
        }
    }

    async fn look(&mut self, stage: &mut impl Scene) -> Result<Option<PlatformView>> {
        let view = stage.view().await?;
        for line in stage.news().await? {
            self.say(&line);
        }
        if let Some(view) = &view {
            for line in changes(self.before.as_ref(), view) {
                self.say(&line);
            }
            self.before = Some(view.clone());
        }
        Ok(view)
    }

    fn say(&mut self, text: &str) {
        self.screen.say(text);
        self.said = Instant::now();
    }
}

const EVERY: Duration = Duration::from_millis(200);
const REPEAT: Duration = Duration::from_secs(3);
