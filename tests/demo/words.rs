//! What happens on the platform, in words.

use epic_common::api::{InstanceView, PlatformView};

/// Says what is new in a view, a line each; everything if there was none before.
pub(crate) fn changes(before: Option<&PlatformView>, after: &PlatformView) -> Vec<String> {
    let mut lines = Vec::new();
    // Mesos ends the subscription of a framework that it removes.
    let is_going = after.phase.starts_with("uninstall");
    if !is_going && before.map(|before| &before.mesos) != Some(&after.mesos) {
        lines.extend(link(after));
    }
    for member in &after.instances {
        let known = before.and_then(|before| before.instances.iter().find(|known| known.id == member.id));
        if known.is_none_or(|known| stage(known) != stage(member)) {
            lines.push(format!("{} is {}", member.id, state(member)));
        }
    }
    for gone in before.iter().flat_map(|before| &before.instances) {
        if !after.instances.iter().any(|member| member.id == gone.id) {
            lines.push(format!("{} is gone", gone.id));
        }
    }
    if before.is_none_or(|before| before.phase != after.phase) && after.phase != "none" {
        lines.push(match after.phase.as_str() {
            phase @ ("installing" | "degraded") => {
                format!("the platform is {phase}: {} % of its members are ready", after.percent)
            }
            phase => format!("the platform is {phase}"),
        });
    }
    lines
}

/// Says what is still waited for until every member is ready, or gone if `after.phase` says so.
pub(crate) fn remains(view: &PlatformView) -> String {
    let is_leaving = ["stopping", "uninstalling"].contains(&view.phase.as_str());
    let late = view.instances.iter().filter(|member| is_leaving || member.phase != "ready");
    let mut parts: Vec<String> = late.map(|member| format!("{} is {}", member.id, state(member))).collect();
    parts.extend(view.waiting.iter().cloned());
    if parts.is_empty() {
        parts.push(format!("the platform is {}", view.phase));
    }
    parts.join("\n")
}

fn link(view: &PlatformView) -> Option<String> {
    let mesos = &view.mesos;
    match (mesos.subscribed, mesos.problem.as_str()) {
        (true, _) => Some(format!("the scheduler is registered with Mesos as framework {}", mesos.framework_id)),
        (false, "") => None,
        (false, problem) => Some(problem.to_owned()),
    }
}

/// What makes a member worth a line of its own; percents alone aren't.
fn stage(member: &InstanceView) -> (&str, &str, u32) {
    (&member.phase, &member.host, member.attempt)
}

/// The phase, where, how far, and why it isn't ready.
fn state(member: &InstanceView) -> String {
    let mut text = member.phase.clone();
    if !member.host.is_empty() {
        text += &format!(" on {}", member.host);
    }
    if member.attempt > 1 {
        text += &format!(", attempt {}", member.attempt);
    }
    if member.phase == "ready" {
        return text;
    }
    // A reason that tells how far it is needs no second number.
    if let Some(percent) = member.percent.filter(|_| !member.reason.contains('%')) {
        text += &format!(", {percent} %");
    }
    let reasons = [&member.reason].into_iter().chain(&member.waiting).filter(|reason| !reason.is_empty());
    let reasons: Vec<&str> = reasons.map(String::as_str).collect();
    if !reasons.is_empty() {
        text += &format!(": {}", reasons.join("; "));
    }
    text
}

#[cfg(test)]
mod tests {
    use epic_common::api::MesosView;

    use super::*;

    fn member(id: &str, phase: &str, percent: Option<u8>, reason: &str) -> InstanceView {
        let (id, phase, reason) = (id.to_owned(), phase.to_owned(), reason.to_owned());
        InstanceView { id, phase, percent, reason, attempt: 1, host: "h1".to_owned(), ..InstanceView::default() }
    }

    fn view(phase: &str, instances: Vec<InstanceView>) -> PlatformView {
        let mesos = MesosView { framework_id: "f".to_owned(), subscribed: true, ..MesosView::default() };
        PlatformView { phase: phase.to_owned(), mesos, instances, ..PlatformView::default() }
    }

    #[test]
    fn only_what_is_new_is_said() {
        let before = view("installing", vec![member("a", "ready", None, ""), member("b", "installing", Some(10), "")]);
        let after = view("installing", vec![member("b", "installing", Some(90), "")]);
        assert_eq!(changes(Some(&before), &after), ["a is gone"]);
        assert_eq!(changes(Some(&after), &after), [""; 0]);
        let first = changes(None, &after);
        let framework = "the scheduler is registered with Mesos as framework f";
        assert_eq!(
            first,
            [framework, "b is installing on h1, 90 %", "the platform is installing: 0 % of its members are ready"]
        );
    }

    #[test]
    fn what_remains_is_said_with_its_reason() {
        let mut view =
            view("installing", vec![member("a", "ready", None, ""), member("b", "starting", None, "no answer yet")]);
        view.instances[1].attempt = 2;
        view.waiting.push("no offer has come yet".to_owned());
        assert_eq!(remains(&view), "b is starting on h1, attempt 2: no answer yet\nno offer has come yet");
        view.phase = "uninstalling".to_owned();
        assert!(remains(&view).starts_with("a is ready on h1\n"), "a member that is ready is left, too");
    }
}
