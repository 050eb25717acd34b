//! `make demo` and `make demo-ha`: the open platform on a real Mesos, to look at; `make demo-check` and
//! `make demo-ha-check` look at it by themselves. `make demo-compose` is the same out of images.

mod check;
mod composed;
mod follow;
mod guard;
mod guide;
mod replicated;
mod scene;
mod screen;
mod show;
mod signals;
mod stage;
mod words;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use epic_tests::kit::Kit;

use replicated::Replicated;
use scene::Scene;
use screen::Screen;
use show::Kind;
use stage::Stage;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let screen = Screen::new();
    let done = match args.as_slice() {
        ["--guard", owner] => owner.parse().map_err(Into::into).and_then(|owner| Ok(guard::watch(owner)?)),
        ["--ha", "--check", bundle] => run::<Replicated>(&screen, Kind::Check, Path::new(bundle)),
        ["--ha", bundle] => run::<Replicated>(&screen, Kind::Look, Path::new(bundle)),
        ["--compose", "--check", bundle] => composed::run(&screen, Kind::Check, Path::new(bundle)),
        ["--compose", bundle] => composed::run(&screen, Kind::Look, Path::new(bundle)),
        ["--check", bundle] => run::<Stage>(&screen, Kind::Check, Path::new(bundle)),
        [bundle] if !bundle.starts_with('-') => run::<Stage>(&screen, Kind::Look, Path::new(bundle)),
        _ => {
            screen::show("usage: epic-demo [--ha|--compose] [--check] BUNDLE; make demo and its like know which\n");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run<S: Scene>(screen: &Screen, kind: Kind, bundle: &Path) -> Result<()> {
    let bundle = bundle.canonicalize().with_context(|| format!("cannot find the bundle {}", bundle.display()))?;
    screen.say("looking for Mesos 1.11.0, which is built the first time (up to two minutes)");
    Kit::ready()?;
    let _guard = guard::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(show::show::<S>(screen, kind, &bundle))
}
