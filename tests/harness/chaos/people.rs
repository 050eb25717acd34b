//! People who change the platform through `epicctl` while things break, and remember what they were told.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use epic_common::api::Granted;
use epic_scheduler_core::state::entry::Index;
use tokio::process::Command;

use super::dice::Dice;
use crate::epic::built;
use crate::history::{Acknowledged, Change};
use crate::{http, wait};

/// Who asks, and what they were told.
#[derive(Debug)]
pub(super) struct People {
    urls: Vec<String>,
    token_file: PathBuf,
    /// The platform's document with no worker, one, and so on.
    documents: Vec<PathBuf>,
    told: Vec<Acknowledged>,
    /// How many requests were refused, or given up without an answer.
    pub(super) untold: u32,
}

impl People {
    pub(super) fn new(urls: Vec<String>, token_file: PathBuf, documents: Vec<PathBuf>) -> Self {
        Self { urls, token_file, documents, told: Vec::new(), untold: 0 }
    }

    /// All that they were told, oldest first.
    pub(super) fn told(&self) -> &[Acknowledged] {
        &self.told
    }

    /// Asks for some changes, one after another, each of a replica that chance chooses.
    ///
    /// An answer that doesn't come is as good as none: what was asked for may be granted or not.
    ///
    /// # Errors
    /// A program isn't built, or says what nobody understands.
    pub(super) async fn change(&mut self, dice: &mut Dice) -> Result<()> {
        for _ in 0..2 + dice.below(3) {
            tokio::time::sleep(dice.between(Duration::ZERO, Duration::from_millis(1200))).await;
            let url = self.urls[dice.index(self.urls.len())].clone();
            let change = match dice.below(8) {
                0..3 => self.apply(self.workers(dice)),
                3..6 => Change::Restart(format!("worker-{}", dice.below(2))),
                6 => Change::Stop,
                _ => Change::Start,
            };
            let told = if dice.below(4) == 0 && matches!(change, Change::Apply(_)) {
                self.ask_twice(dice, &change).await?
            } else {
                self.ask(&url, &change).await.ok()
            };
            match told {
                Some(told) => self.told.push(told),
                None => self.untold += 1,
            }
        }
        Ok(())
    }

    /// Asks until it is granted that so many workers run; returns the number of members.
    ///
    /// # Errors
    /// It isn't within a minute.
    pub(super) async fn settle(&mut self, dice: &mut Dice) -> Result<u32> {
        let change = self.apply(self.workers(dice));
        for change in [&change, &Change::Start] {
            // One that has just been started doesn't listen yet.
            let granted = wait::until("a change is granted", Duration::from_secs(60), async || {
                let url = self.urls[dice.index(self.urls.len())].clone();
                self.ask(&url, change).await
            });
            let told = granted.await?;
            self.told.push(told);
        }
        match change {
            Change::Apply(members) => Ok(members),
            Change::Stop | Change::Start | Change::Restart(_) => bail!("{change:?} is no number of members"),
        }
    }

    /// Chooses from one worker up to as many as there are documents for.
    fn workers(&self, dice: &mut Dice) -> usize {
        1 + dice.index(self.documents.len() - 1)
    }

    fn apply(&self, workers: usize) -> Change {
        debug_assert!(workers < self.documents.len());
        Change::Apply(u32::try_from(workers).unwrap_or(u32::MAX).saturating_add(1))
    }

    fn document(&self, members: u32) -> Result<&PathBuf> {
        let workers = usize::try_from(members)?.checked_sub(1);
        workers.and_then(|workers| self.documents.get(workers)).context("there is no such document")
    }

    /// Asks through the program; an error if it is refused or not answered in time.
    async fn ask(&self, url: &str, change: &Change) -> Result<Acknowledged> {
        let mut command = Command::new(built("epicctl")?);
        command.args(["platform", "--server", url, "-o", "json", "--token-file"]).arg(&self.token_file);
        match change {
            Change::Apply(members) => command.args(["apply", "-f"]).arg(self.document(*members)?),
            Change::Stop => command.arg("stop"),
            Change::Start => command.arg("start"),
            Change::Restart(member) => command.args(["restart", member]),
        };
        let output = tokio::time::timeout(PATIENCE, command.arg("--no-wait").kill_on_drop(true).output()).await;
        let output = output.with_context(|| format!("{url} doesn't answer within {PATIENCE:?}"))??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "epicctl ends with {}: {}", output.status, said.trim());
        let granted: Granted = serde_json::from_slice(&output.stdout).context("epicctl prints no grant")?;
        Ok(Acknowledged { change: change.clone(), index: Index(granted.index), key: None })
    }

    /// Asks two replicas at once for the same, with one key: it is granted once, and both are told so.
    async fn ask_twice(&self, dice: &mut Dice, change: &Change) -> Result<Option<Acknowledged>> {
        let Change::Apply(members) = change else { bail!("only a number of members is asked for twice") };
        let document = std::fs::read_to_string(self.document(*members)?)?;
        let key = format!("twice-{:x}{:x}", dice.below(u64::MAX), dice.below(u64::MAX));
        let first = dice.index(self.urls.len());
        let second = (first + 1) % self.urls.len();
        let (one, other) = tokio::join!(self.put(first, &document, &key), self.put(second, &document, &key));
        let answers: Vec<Granted> = [one, other].into_iter().flatten().collect();
        let places: Vec<u64> = answers.iter().map(|granted| granted.index).collect();
        // A change that was none leaves no key behind: each is told where it found that so.
        let is_change = answers.iter().all(|granted| granted.message != "nothing to change");
        ensure!(!is_change || places.windows(2).all(|pair| pair[0] == pair[1]), "{key} was granted twice: {answers:?}");
        let told = answers.first().map(|granted| Acknowledged {
            change: change.clone(),
            index: Index(granted.index),
            key: is_change.then(|| key.clone()),
        });
        Ok(told)
    }

    async fn put(&self, index: usize, document: &str, key: &str) -> Option<Granted> {
        let token = std::fs::read_to_string(&self.token_file).ok()?;
        let request = http::client().put(format!("{}/api/v2/platform", self.urls[index])).timeout(PATIENCE);
        let request = request.bearer_auth(token.trim()).header("Idempotency-Key", key).body(document.to_owned());
        let answer = request.send().await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }
}

/// How long somebody waits for one answer before trying something else.
const PATIENCE: Duration = Duration::from_secs(12);
