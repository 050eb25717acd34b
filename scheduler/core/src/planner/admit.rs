//! Grants or refuses what people ask for, on the draft of the state.

use epic_common::ids::{Digest, FrameworkId, UnitId};
use epic_common::resources::{Bytes, MilliCpus};

use super::Draft;
use crate::policy::{Policy, READ_MEMBERS_MAX};
use crate::request::{Applicant, ClientId, Grantal, Rejection, RejectionKind, Request, Wish};
use crate::session::Session;
use crate::state::deployment::{Desired, Run};
use crate::state::entry::{Fact, Index, Origin};

pub(super) fn step(draft: &mut Draft<'_>, session: &Session, policy: &Policy) {
    for (client, request) in &session.requests {
        if !draft.has_room() {
            break;
        }
        draft.plan.requests_taken += 1;
        if let Some(index) = request.key.as_deref().and_then(|key| draft.state.granted(key)) {
            grant(draft, *client, index, "this request was granted before".to_owned());
            continue;
        }
        draft.origin = Origin { principal: request.principal.clone(), request: request.id.clone(), key: None };
        let decision = decide(draft, (session, policy), request);
        draft.origin = Origin::default();
        match decision {
            Ok((Some(place), message)) => draft.plan.batch.grants.push((*client, place, message)),
            // What is there already may be so by an entry of this batch.
            Ok((None, message)) => grant(draft, *client, draft.state.index, message),
            Err(rejection) => draft.plan.answers.push((*client, Err(rejection))),
        }
    }
}

/// Answers with a position of the journal: at once if it is durable, else with the batch that has it.
fn grant(draft: &mut Draft<'_>, client: ClientId, index: Index, message: String) {
    let entries = draft.plan.entries.len();
    let durable = draft.state.index.0.saturating_sub(u64::try_from(entries).unwrap_or(u64::MAX));
    match index.0.checked_sub(durable + 1).and_then(|place| usize::try_from(place).ok()) {
        Some(place) => draft.plan.batch.grants.push((client, place, message)),
        None => draft.plan.answers.push((client, Ok(Grantal { index, message }))),
    }
}

/// Answers the place of the entry that grants the wish, `None` if nothing has to change.
type Decision = Result<(Option<usize>, String), Rejection>;

fn decide(draft: &mut Draft<'_>, (session, policy): (&Session, &Policy), request: &Request) -> Decision {
    let key = request.key.clone();
    match &request.wish {
        Wish::Apply { desired, framework, by } => apply(draft, policy, (desired, framework), (*by, key)),
        Wish::Stop => set_run(draft, Run::Stopped, key),
        Wish::Start => set_run(draft, Run::Running, key),
        Wish::Uninstall => set_run(draft, Run::Uninstalling, key),
        Wish::Restart(unit) => restart(draft, unit, key),
        Wish::NewFramework { framework } => new_framework(draft, session, (framework, key)),
        Wish::SetToken(sha256) => Ok((
            set_token(draft, *sha256)?,
            "the token is set: all replicas take it from now on, and no other".to_owned(),
        )),
    }
}

fn set_token(draft: &mut Draft<'_>, sha256: Digest) -> Result<Option<usize>, Rejection> {
    let is_new = draft.state.identity.token != Some(sha256);
    is_new.then(|| grant_by(draft, Fact::TokenSet { sha256 }, "the token")).transpose()
}

/// Grants by this entry, unless the journal can't hold it; `object` is what it would have been about.
fn grant_by(draft: &mut Draft<'_>, fact: Fact, object: &str) -> Result<usize, Rejection> {
    draft.propose(fact).map_err(|why| {
        let mut rejection = Rejection::new(
            RejectionKind::Invalid,
            &format!("{object} can't be kept"),
            "make it smaller, then try again",
        );
        rejection.errors = vec![(object.to_owned(), why.to_string())];
        rejection
    })
}

fn apply(
    draft: &mut Draft<'_>,
    policy: &Policy,
    (desired, framework): (&Desired, &FrameworkId),
    (by, key): (Applicant, Option<String>),
) -> Decision {
    if draft.state.run() == Run::Uninstalling {
        return Err(uninstalling());
    }
    if by == Applicant::Seed && draft.state.platform().is_none() && draft.state.identity.frameworks_chosen > 0 {
        let message =
            "the journal remembers an uninstall: the file is not applied by itself; use epicctl platform apply";
        return Ok((None, message.to_owned()));
    }
    check(desired)?;
    if let Some(current) = draft.state.platform() {
        let differences = differences(&current.desired(), desired);
        if current.desired() == *desired {
            return Ok((None, "nothing to change".to_owned()));
        }
        if by == Applicant::Seed {
            let detail =
                "the journal has another platform than the file; it stays as it is until epicctl platform apply";
            return Ok((None, detail.to_owned()));
        }
        if !differences.is_empty() {
            let mut rejection = Rejection::new(
                RejectionKind::Conflict,
                "this change is not supported yet",
                "apply changes spec.workers.count only",
            );
            rejection.errors = differences;
            return Err(rejection);
        }
    }
    if draft.state.identity.framework.is_none() {
        let role = policy.role.clone();
        grant_by(draft, Fact::FrameworkChosen { framework: framework.clone(), role }, "the framework id")?;
    }
    let wanted: u32 = desired.members.values().sum();
    let fact = Fact::PlatformApplied { desired: Box::new(desired.clone()), key };
    let place = grant_by(draft, fact, "spec.bundle")?;
    Ok((Some(place), format!("the platform {} will have {wanted} members", desired.name)))
}

/// Refuses counts that the bundle doesn't allow, and a ceiling that no member fits under.
fn check(desired: &Desired) -> Result<(), Rejection> {
    let mut errors = Vec::new();
    for role in &desired.roles {
        let count = desired.members.get(&role.id).copied().unwrap_or(0);
        if !role.cardinality.allows(count) {
            let problem = format!("{count} is not allowed, the bundle says {}", role.cardinality);
            errors.push((format!("spec.{}s.count", role.id), problem));
        }
        let Some(ceiling) = desired.ceiling.filter(|_| count > 0) else { continue };
        if role.cpus > ceiling.cpus {
            errors.push(("spec.grant.perHost.cpus".to_owned(), too_low(role.id.as_str(), role.cpus, ceiling.cpus)));
        }
        if role.mem > ceiling.mem {
            errors.push(("spec.grant.perHost.memory".to_owned(), too_low_mem(role.id.as_str(), role.mem, ceiling.mem)));
        }
    }
    let total = desired.members.values().fold(0_u32, |sum, count| sum.saturating_add(*count));
    if total > READ_MEMBERS_MAX && desired.roles.iter().any(|role| role.reads_members) {
        let why = "since services of this bundle read the list of all members";
        errors.push((
            "spec.workers.count".to_owned(),
            format!("{total} members, at most {READ_MEMBERS_MAX} are allowed {why}"),
        ));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let mut rejection =
        Rejection::new(RejectionKind::Invalid, "the platform can't be as it is asked for", String::new());
    rejection.errors = errors;
    Err(rejection)
}

fn too_low(role: &str, needs: MilliCpus, allowed: MilliCpus) -> String {
    format!("a {role} needs {needs} cpus, only {allowed} are allowed on a host")
}

fn too_low_mem(role: &str, needs: Bytes, allowed: Bytes) -> String {
    format!("a {role} needs {needs}, only {allowed} are allowed on a host")
}

/// Names each difference that `apply` can't make; the number of workers is the one that it can.
fn differences(current: &Desired, asked: &Desired) -> Vec<(String, String)> {
    let mut differences = Vec::new();
    let mut differ = |path: &str, from: String, to: String| {
        if from != to {
            differences.push((path.to_owned(), format!("is {from}, can't become {to} yet")));
        }
    };
    differ("label.name", current.name.clone(), asked.name.clone());
    differ("spec.bundle", current.bundle.sha256.to_string(), asked.bundle.sha256.to_string());
    differ("spec.allowRoot", current.root_allowed.to_string(), asked.root_allowed.to_string());
    let ceiling = |desired: &Desired| {
        desired
            .ceiling
            .map_or_else(|| "none".to_owned(), |ceiling| format!("{} cpus and {}", ceiling.cpus, ceiling.mem))
    };
    differ("spec.grant.perHost", ceiling(current), ceiling(asked));
    for (role, count) in &asked.members {
        let before = current.members.get(role).copied().unwrap_or(0);
        if role.as_str() != "worker" {
            differ(&format!("spec.{role}s.count"), before.to_string(), count.to_string());
        }
    }
    differences
}

fn set_run(draft: &mut Draft<'_>, run: Run, key: Option<String>) -> Decision {
    if draft.state.platform().is_none() {
        return Err(nothing_there());
    }
    if draft.state.run() == run {
        let message = match run {
            Run::Running => "the platform is already to run",
            Run::Stopped => "the platform is already to be stopped",
            Run::Uninstalling => "the platform is already being uninstalled",
        };
        return Ok((None, message.to_owned()));
    }
    if draft.state.run() == Run::Uninstalling {
        return Err(uninstalling());
    }
    let (fact, message) = match run {
        Run::Running => (Fact::PlatformStarted { key }, "the platform is being started"),
        Run::Stopped => (Fact::PlatformStopped { key }, "the platform is being stopped"),
        Run::Uninstalling => (Fact::UninstallBegun { key }, "the platform is being uninstalled"),
    };
    Ok((Some(grant_by(draft, fact, "the request")?), message.to_owned()))
}

fn restart(draft: &mut Draft<'_>, id: &UnitId, key: Option<String>) -> Decision {
    let Some(unit) = draft.state.units.all.get(id).filter(|unit| unit.wanted) else {
        let members: Vec<_> = draft.state.units.all.keys().take(20).map(UnitId::to_string).collect();
        let detail = format!("there is: {}", members.join(", "));
        return Err(Rejection::new(RejectionKind::NotFound, &format!("no member \"{id}\" is to run"), detail));
    };
    let Some(task) = unit.live.clone() else {
        let detail = "no attempt of it lives; one is started as soon as it has a place";
        return Err(Rejection::new(RejectionKind::Conflict, &format!("{id} can't be restarted"), detail));
    };
    let fact = Fact::KillDecided { task, why: "a restart was asked for".to_owned(), key };
    let place = grant_by(draft, fact, "the restart")?;
    Ok((Some(place), format!("{id} is being restarted")))
}

/// Only what Mesos has removed can be replaced: as long as it knows the old one, its tasks may live.
fn new_framework(
    draft: &mut Draft<'_>,
    session: &Session,
    (framework, key): (&FrameworkId, Option<String>),
) -> Decision {
    let title = "there is no need for a new framework id";
    let Some(current) = draft.state.identity.framework.clone() else {
        let detail = "none was ever chosen; one is with epicctl platform apply -f FILE";
        return Err(Rejection::new(RejectionKind::Conflict, title, detail));
    };
    if !session.removed {
        let detail = format!(
            "Mesos has not said that {current} was removed, so its tasks may live; to end them use epicctl platform uninstall"
        );
        return Err(Rejection::new(RejectionKind::Conflict, title, detail));
    }
    let fact = Fact::FrameworkReplaced { framework: framework.clone(), key };
    is_known_by_all(session, &fact)?;
    Ok((
        Some(grant_by(draft, fact, "the framework id")?),
        format!("{framework} takes the place of {current}; members are started again"),
    ))
}

/// Refuses what another replica could not read: it would stop following.
fn is_known_by_all(session: &Session, fact: &Fact) -> Result<(), Rejection> {
    match &session.elder {
        Some(elder) if elder.knows < fact.number() => {
            let detail = format!(
                "the replica at {} is of an earlier version that can't read it; upgrade that replica, then try again",
                elder.advertise
            );
            Err(Rejection::new(RejectionKind::Conflict, "not every replica knows this kind of change", detail))
        }
        Some(_) | None => Ok(()),
    }
}

fn nothing_there() -> Rejection {
    let detail = "apply one with epicctl platform apply -f FILE";
    Rejection::new(RejectionKind::Conflict, "there is no platform", detail)
}

fn uninstalling() -> Rejection {
    let detail = "wait until epicctl platform status says that nothing is left";
    Rejection::new(RejectionKind::Conflict, "the platform is being uninstalled", detail)
}
