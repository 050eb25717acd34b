//! Who services say that they are, with their process ids: the same attempt is the same process.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::PlatformView;

use crate::epic::endpoint;
use crate::http;

/// The page of each attempt that was ever seen.
#[derive(Debug, Default)]
pub struct Pages {
    seen: BTreeMap<String, String>,
}

impl Pages {
    /// Asks each member that is ready for its page, and checks it against what the same attempt said before.
    ///
    /// # Errors
    /// One gives no answer, or its process is another one than before.
    pub async fn look(&mut self, view: &PlatformView) -> Result<()> {
        for member in view.instances.iter().filter(|member| member.phase == "ready") {
            let url = endpoint(view, &member.id)?;
            let page = http::get(&url).await.with_context(|| format!("{} is said to be ready", member.task))?;
            ensure!(page.contains(&member.id) && page.contains("pid"), "{} says {page:?} at {url}", member.task);
            self.saw(&member.task, &page)?;
        }
        Ok(())
    }

    fn saw(&mut self, task: &str, page: &str) -> Result<()> {
        let before = self.seen.entry(task.to_owned()).or_insert_with(|| page.to_owned());
        ensure!(before == page, "{task} has restarted: it was {before:?} and is {page:?}");
        Ok(())
    }
}

#[test]
fn another_process_in_the_same_attempt_is_found() {
    let mut pages = Pages::default();
    pages.saw("w-0.1", "w-0 pid 7").unwrap();
    pages.saw("w-0.1", "w-0 pid 7").unwrap();
    pages.saw("w-0.2", "w-0 pid 8").unwrap();
    let found = pages.saw("w-0.1", "w-0 pid 9").unwrap_err().to_string();
    assert!(found.starts_with("w-0.1 has restarted"), "{found}");
}
