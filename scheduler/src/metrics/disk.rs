//! How full the file system under the state directory is.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tracing::warn;

use super::number;
use super::table::{STATE_DIR_FREE, STATE_DIR_SIZE};

/// Looks every five seconds; runs until it is dropped, so it is spawned.
///
/// A file system that hangs keeps nobody waiting but this.
pub async fn watch(state_dir: PathBuf) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut has_failed = false;
    loop {
        ticks.tick().await;
        let path = state_dir.clone();
        let Ok(looked) = tokio::task::spawn_blocking(move || statvfs(&path)).await else { return };
        match looked {
            Ok(found) => {
                let block = found.fragment_size();
                STATE_DIR_FREE.set([], number(found.blocks_available().saturating_mul(block)));
                STATE_DIR_SIZE.set([], number(found.blocks().saturating_mul(block)));
                has_failed = false;
            }
            Err(error) if !has_failed => {
                warn!(%error, path = %state_dir.display(), "how much is free can't be told");
                has_failed = true;
            }
            Err(_) => {}
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(5);
