//! The platform that the options name: it fills an empty journal, and is only compared with what another holds.

use std::path::Path;

use epic_common::ids::FrameworkId;
use epic_common::spec::{self, BundleSource};
use epic_common::time::Timestamp;
use epic_scheduler_core::planner::plan;
use epic_scheduler_core::policy::Policy;
use epic_scheduler_core::request::{Applicant, ClientId, Rejection, Request, Wish};
use epic_scheduler_core::session::Session;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::{Desired, Run};
use tracing::{info, warn};

use crate::api::desired::desired;
use crate::artifacts::BundleFacts;
use crate::config::Config;
use crate::failure::{Code, Failure};

/// Reads the document or bundle that `--platform` or `--bin` names; `None` if there is neither.
///
/// # Errors
///
/// It can't be used, or `find` doesn't find its bundle.
pub fn read(
    config: &Config,
    find: impl FnOnce(&BundleSource) -> Result<BundleFacts, Failure>,
) -> Result<Option<Desired>, Failure> {
    let Some((option, path)) = named(config) else { return Ok(None) };
    let document = document(config, option, path)?;
    let bundle = find(&document.bundle).map_err(|failure| failure.about(&option_of(option, path)))?;
    let joined = desired(&document, &bundle);
    let desired = joined.map_err(|error| Failure::new(Code::Data, &error).about(&option_of(option, path)))?;
    Ok(Some(desired))
}

/// Tells whether only the options can say what the platform is to be.
#[must_use]
pub fn is_needed(state: &State) -> bool {
    state.platform().is_none() && state.identity.frameworks_chosen == 0
}

/// Answers what is to be asked of the director: the platform if the journal is empty, else nothing.
///
/// A platform that differs from the journal's is reported in the log.
///
/// # Errors
///
/// The platform can't be as it is asked for.
pub fn wish(config: &Config, state: &State, policy: &Policy, asked: Option<Desired>) -> Result<Option<Wish>, Failure> {
    let Some((option, path)) = named(config) else {
        if is_needed(state) {
            info!("there is no platform yet: apply one with epicctl platform apply -f FILE");
        }
        return Ok(None);
    };
    let Some(asked) = asked else { return Ok(None) };
    if is_needed(state) {
        let wish = wish_for(asked, Applicant::Seed);
        return match refusal(state, policy, wish.clone()) {
            Some(rejection) => Err(Failure::text(Code::Data, said(&rejection)).about(&option_of(option, path))),
            None => Ok(Some(wish)),
        };
    }
    let file = path.display();
    match state.platform() {
        None => {
            warn!(%file, "the platform was uninstalled; {option} is not applied by itself, but by epicctl platform apply")
        }
        Some(_) if state.run() == Run::Uninstalling => {
            warn!(%file, "the platform is being uninstalled; {option} is not applied");
        }
        Some(current) if current.desired() == asked => {}
        Some(current) => {
            let differences = differences(state, policy, &current.desired(), asked);
            warn!(%file, differences, "{option} differs from the platform that is there, which stays until epicctl platform apply");
        }
    }
    Ok(None)
}

/// Names the option and its file.
fn named(config: &Config) -> Option<(&'static str, &Path)> {
    let bin = config.bin.as_deref().map(|path| ("--bin", path));
    bin.or_else(|| config.platform.as_deref().map(|path| ("--platform", path)))
}

fn option_of(option: &str, path: &Path) -> String {
    format!("{option} {}", path.display())
}

fn document(config: &Config, option: &str, path: &Path) -> Result<spec::Platform, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::text(Code::Data, format!("cannot read {}: {error}", option_of(option, path)));
    if config.bin.is_some() {
        let path = path.canonicalize().map_err(unreadable)?.display().to_string();
        return Ok(spec::Platform {
            name: "epic".to_owned(),
            bundle: BundleSource { path, sha256: None },
            ceiling: None,
            controllers: None,
            workers: None,
            root_allowed: false,
        });
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    spec::Platform::parse(&text).map_err(|error| Failure::new(Code::Data, &error).about(&option_of(option, path)))
}

fn wish_for(desired: Desired, by: Applicant) -> Wish {
    let framework = FrameworkId::new(uuid::Uuid::new_v4().to_string());
    Wish::Apply { desired: Box::new(desired), framework, by }
}

/// Asks the planner what it would answer; nothing is decided by that.
fn refusal(state: &State, policy: &Policy, wish: Wish) -> Option<Rejection> {
    let mut session = Session::default();
    session.requests.push_back((ClientId(0), Request::new(wish)));
    let answers = plan(state, &session, policy, Timestamp(0)).answers;
    answers.into_iter().find_map(|(_, answer)| answer.err())
}

fn said(rejection: &Rejection) -> String {
    let fields: Vec<_> = rejection.errors.iter().map(|(path, problem)| format!("{path}: {problem}")).collect();
    let parts = [rejection.detail.clone(), fields.join("; ")];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{}: {}", rejection.title, parts.join(": "))
}

fn differences(state: &State, policy: &Policy, current: &Desired, asked: Desired) -> String {
    let count = |desired: &Desired| desired.members.get(&"worker".into()).copied().unwrap_or(0);
    let (there, wanted) = (count(current), count(&asked));
    let rejection = refusal(state, policy, wish_for(asked, Applicant::Person));
    let mut list: Vec<_> = rejection.iter().flat_map(|rejection| &rejection.errors).cloned().collect();
    if there != wanted {
        list.push(("spec.workers.count".to_owned(), format!("is {there}, the file says {wanted}")));
    }
    let list: Vec<_> = list.into_iter().map(|(path, problem)| format!("{path}: {problem}")).collect();
    list.join("; ")
}
