//! What there is to see, and what to type next.

use std::path::{Path, PathBuf};

use anyhow::Result;
use epic_common::api::PlatformView;
use epic_tests::epic::endpoint;

/// Where things are.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) server: String,
    pub(crate) master: String,
    pub(crate) epicctl: PathBuf,
    pub(crate) token_file: PathBuf,
    /// The platform's document with one more worker.
    pub(crate) more: PathBuf,
}

/// Lists the pages and commands.
///
/// # Errors
/// A member has no endpoint.
pub(crate) fn text(places: &Places, view: &PlatformView) -> Result<String> {
    let Places { server, master, epicctl, token_file, more } = places;
    let prometheus = format!("{}?g0.expr=up&g0.tab=1", endpoint(view, "controller-0")?);
    let workers = view.instances.iter().filter(|member| member.role == "worker");
    let exporters: Vec<_> =
        workers.map(|worker| Ok((worker.id.as_str(), endpoint(view, &worker.id)?))).collect::<Result<_>>()?;

    let mut text = "\nPages, to be seen from this machine:\n".to_owned();
    let mut page = |what: &str, url: &str| text += &format!("  {what:<26} {url}\n");
    page("Prometheus", &prometheus);
    for (worker, url) in &exporters {
        page(&format!("node exporter of {worker}"), url);
    }
    page("the scheduler", &format!("{server}/api/v2/platform"));
    page("the Mesos master", &format!("http://{master}/state"));

    let ask = format!("{} platform --server {server}", short(epicctl));
    // Lines that are broken like this can be copied whole.
    let change = format!("{ask} \\\n    --token-file {}", token_file.display());
    text += "\nIn another terminal, from the same directory:\n";
    let mut command = |what: &str, line: &str| text += &format!("  # {what}\n  {line}\n");
    command("watch it", &format!("{ask} status --watch"));
    command("end one worker's services and start them again", &format!("{change} restart worker-0"));
    command("one more worker, on the fourth agent", &format!("{change} apply \\\n    -f {}", more.display()));
    command("stop all", &format!("{change} stop"));
    command("start all", &format!("{change} start"));
    command("remove the platform; apply brings it back", &format!("{change} uninstall --yes"));
    text += "\nCtrl-C removes everything.\n\n";
    Ok(text)
}

/// A path as people type it in the current directory.
pub(crate) fn short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}
