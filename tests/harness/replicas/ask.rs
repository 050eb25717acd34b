//! What tests ask of replicas: who leads, what people see, and changes.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use epic_common::api::{Granted, LeaderView, PlatformView};

use super::{Replicas, TOKEN};
use crate::epic::{PATIENCE, brief};
use crate::process::tail;

impl Replicas {
    /// Asks a replica what it is.
    ///
    /// # Errors
    /// It doesn't answer within a second.
    pub async fn view(&self, index: usize) -> Result<LeaderView> {
        Ok(serde_json::from_str(&self.ask(index, "/api/v2/leader").await?)?)
    }

    /// Asks a replica what people see there.
    ///
    /// # Errors
    /// It doesn't answer within a second.
    pub async fn status(&self, index: usize) -> Result<PlatformView> {
        Ok(serde_json::from_str(&self.ask(index, "/api/v2/platform").await?)?)
    }

    /// Asks a replica whether it is of use: the reason why not is the error.
    ///
    /// # Errors
    /// It isn't.
    pub async fn ready(&self, index: usize) -> Result<()> {
        let answer = self.client.get(format!("{}/readyz", self.url(index))).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 200, "{status}: {text}");
        Ok(())
    }

    pub(super) async fn ask(&self, index: usize, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.url(index));
        let answer = self.client.get(&url).timeout(Duration::from_secs(1)).send().await?;
        ensure!(answer.status() == 200, "{url} answered {}", answer.status());
        Ok(answer.text().await?)
    }

    /// Returns the one replica that says that it leads; whoever gives no answer doesn't count.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub async fn leader(&self) -> Result<usize> {
        let mut leading = Vec::new();
        let mut said = Vec::new();
        for index in 0..self.replicas.len() {
            let view = self.view(index).await;
            if view.as_ref().is_ok_and(|view| view.mode == "leading") {
                leading.push(index);
            }
            said.push(view);
        }
        match leading[..] {
            [leader] => Ok(leader),
            [] | [_, _, ..] => bail!("{leading:?} lead: {said:?}"),
        }
    }

    /// Waits until one replica leads, and all others that run and answer stand by and know it.
    ///
    /// # Errors
    /// That takes longer than a minute: what was seen last, and the logs' ends.
    pub async fn until_led(&self, by: impl Fn(usize) -> bool) -> Result<(usize, LeaderView)> {
        self.until("one replica leads", async || {
            let leader = self.leader().await?;
            ensure!(by(leader), "replica {leader} leads");
            let led = self.view(leader).await?;
            for index in (0..self.replicas.len()).filter(|index| *index != leader) {
                let Ok(view) = self.view(index).await else { continue };
                let knows = view.leader.as_deref() == Some(self.url(leader)) && view.epoch == led.epoch;
                ensure!(view.mode == "standby" && view.caught_up && knows, "replica {index}: {view:?}");
            }
            Ok((leader, led))
        })
        .await
    }

    /// Waits until any replica that answers shows so many members ready and no other.
    ///
    /// # Errors
    /// That takes longer than a minute: what was seen last, and the logs' ends.
    pub async fn until_ready(&self, members: usize) -> Result<PlatformView> {
        self.until("all members are ready", async || {
            for index in 0..self.replicas.len() {
                let Ok(view) = self.status(index).await else { continue };
                let ready = view.instances.iter().filter(|instance| instance.phase == "ready").count();
                let is_whole = ready == members && view.instances.len() == members && view.phase == "ready";
                ensure!(is_whole, "replica {index}: {ready} of {members} are ready; {}", brief(&view));
                return Ok(view);
            }
            bail!("no replica answers")
        })
        .await
    }

    /// Waits until what is asked for comes true, at most a minute.
    ///
    /// # Errors
    /// It doesn't: what was seen last, and the logs' ends.
    pub async fn until<T>(&self, what: &str, poll: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        let outcome = crate::wait::until(what, PATIENCE, poll).await;
        let logs =
            || self.replicas.iter().map(|replica| tail(replica.program.log(), 30)).collect::<Vec<_>>().join("\n");
        outcome.with_context(logs)
    }

    /// Asks a replica for a change.
    ///
    /// # Errors
    /// It is refused: the problem's text.
    pub async fn post(&self, index: usize, path: &str) -> Result<Granted> {
        change(self.client.post(format!("{}{path}", self.url(index)))).await
    }

    /// Applies the platform's document, as it is now, at a replica.
    ///
    /// # Errors
    /// It is refused: the problem's text.
    pub async fn apply(&self, index: usize) -> Result<Granted> {
        change(self.document(index)?).await
    }

    /// As [`Self::apply`], under an idempotency key, and waiting at most a minute.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub async fn apply_with(&self, index: usize, key: &str) -> Result<Granted> {
        change(self.document(index)?.header("Idempotency-Key", key).timeout(PATIENCE)).await
    }

    fn document(&self, index: usize) -> Result<reqwest::RequestBuilder> {
        let document = fs::read_to_string(self.platform_file())?;
        Ok(self.client.put(format!("{}/api/v2/platform", self.url(index))).body(document))
    }
}

async fn change(request: reqwest::RequestBuilder) -> Result<Granted> {
    let response = request.bearer_auth(TOKEN).send().await?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(status.is_success(), "{status}: {text}");
    Ok(serde_json::from_str(&text)?)
}
