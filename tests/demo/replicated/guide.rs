//! What there is to see with several replicas, and how to end the one that leads.

use anyhow::{Context as _, Result};
use epic_common::api::PlatformView;
use epic_tests::cluster::Part;
use epic_tests::epic::endpoint;

use super::{COUNT, Replicated};
use crate::guide::short;

/// Lists the pages and commands.
///
/// # Errors
/// A member has no endpoint, or nobody leads.
pub(super) fn text(stage: &Replicated, view: &PlatformView) -> Result<String> {
    let replicas = &stage.replicas;
    let (leader, ..) = stage.led.context("no replica leads")?;
    let standby = (leader + 1) % COUNT;
    let pid = replicas.pid(leader).context("the leader has ended")?;

    let mut text = "\nPages, to be seen from this machine:\n".to_owned();
    let mut page = |what: &str, url: &str| text += &format!("  {what:<26} {url}\n");
    page("Prometheus", &format!("{}?g0.expr=up&g0.tab=1", endpoint(view, "controller-0")?));
    for index in 0..COUNT {
        page(&format!("who leads, says replica {}", index + 1), &format!("{}/api/v2/leader", replicas.url(index)));
    }
    for index in 0..3 {
        let master = replicas.cluster.addr(Part::Master(index));
        page(&format!("Mesos master {}", index + 1), &format!("http://{master}/state"));
    }

    let ask = format!("{} platform --server {}", short(&stage.epicctl), replicas.url(standby));
    // Lines that are broken like this can be copied whole.
    let change = format!("{ask} \\\n    --token-file {}", replicas.token_file().display());
    text += "\nIn another terminal, from the same directory:\n";
    let mut command = |what: &str, line: &str| text += &format!("  # {what}\n  {line}\n");
    command("watch it at a replica that stands by", &format!("{ask} status --watch"));
    command(
        &format!("kill the leader, replica {}; this terminal says who leads next", leader + 1),
        &format!("kill -9 {pid}"),
    );
    command("ask a replica that stands by for a change", &format!("{change} restart worker-0"));
    text += "\nCtrl-C removes everything.\n\n";
    Ok(text)
}
