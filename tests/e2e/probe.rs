//! The probe platform, ready on a cluster of its own.

use anyhow::Result;
use epic_tests::cluster::Cluster;
use epic_tests::epic::Epic;
use epic_tests::spec::ClusterSpec;

/// Starts the probe platform with so many workers on so many agents and waits until it is ready.
pub(crate) async fn ready(agents: u8, workers: u32) -> Result<Epic> {
    ready_with(agents, workers, &[]).await
}

/// As [`ready`], with texts of the manifest replaced as in [`Epic::probe_with`].
pub(crate) async fn ready_with(agents: u8, workers: u32, changes: &[(&str, &str)]) -> Result<Epic> {
    let mut epic = Epic::probe_with(Cluster::start(ClusterSpec::agents_of(agents)).await?, workers, changes)?;
    epic.start()?;
    epic.until_ready(usize::try_from(workers)? + 1).await?;
    Ok(epic)
}
