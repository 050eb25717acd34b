//! How a platform is shown to people.

mod age;
mod text;

use comfy_table::{Table, presets};
use epic_common::api::{HostView, InstanceView, PlatformView};
use epic_common::time::Timestamp;

use age::age;
pub(crate) use text::clean;

/// Shows all of it as a header, hosts, members, and what each of them waits for.
pub(crate) fn status(view: &PlatformView, now: Timestamp) -> String {
    let mut blocks = vec![header(view, now)];
    if !view.hosts.is_empty() {
        blocks.push(hosts(&view.hosts));
    }
    if !view.instances.is_empty() {
        blocks.push(members(&view.instances, now));
    }
    blocks.extend(notes(view));
    blocks.join("\n\n")
}

/// Shows the progress of the whole in one line: towards ready, or towards nothing if it is to end.
pub(crate) fn bar(view: &PlatformView) -> String {
    if matches!(view.phase.as_str(), "stopping" | "uninstalling") {
        let all = view.instances.len();
        let ended = view.instances.iter().filter(|member| member.phase == "stopped").count();
        let percent = u8::try_from(ended * 100 / all.max(1)).unwrap_or(100);
        return format!(
            "{} {percent:>3} %  {}, {ended} of {all} members ended",
            gauge(percent, 20),
            clean(&view.phase)
        );
    }
    let ready = view.instances.iter().filter(|member| member.phase == "ready").count();
    let (shown, wanted) = (gauge(view.percent, 20), wanted(view));
    format!("{shown} {:>3} %  {}, {ready} of {wanted} members ready", view.percent, clean(&view.phase))
}

/// Says what changed from one view to the next, a line each; everything if there was none before.
pub(crate) fn changes(before: Option<&PlatformView>, after: &PlatformView) -> Vec<String> {
    let mut lines = Vec::new();
    let whole = |view: &PlatformView| (view.phase.clone(), view.percent, view.waiting.clone());
    if before.is_none_or(|before| whole(before) != whole(after)) {
        lines.push(format!("platform: {} {} %{}", clean(&after.phase), after.percent, because(&after.waiting)));
    }
    for member in &after.instances {
        let known = before.and_then(|before| before.instances.iter().find(|known| known.id == member.id));
        if known.is_none_or(|known| moved(known) != moved(member)) {
            let place = if member.host.is_empty() { String::new() } else { format!(" on {}", clean(&member.host)) };
            let (id, phase, attempt) = (clean(&member.id), clean(&member.phase), member.attempt);
            let why = because(&own_reasons(member, after));
            lines.push(format!("{id}: {phase}{place}, attempt {attempt}{why}"));
        }
    }
    for gone in before.iter().flat_map(|before| &before.instances) {
        if !after.instances.iter().any(|member| member.id == gone.id) {
            lines.push(format!("{}: gone", clean(&gone.id)));
        }
    }
    lines
}

fn because(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) }
}

/// What makes a member worth a line of its own; percents alone aren't.
fn moved(member: &InstanceView) -> (&str, &str, u32) {
    (&member.phase, &member.host, member.attempt)
}

fn wanted(view: &PlatformView) -> u32 {
    view.desired.iter().flat_map(|desired| desired.members.values()).sum()
}

fn header(view: &PlatformView, now: Timestamp) -> String {
    let mut lines = Vec::new();
    match &view.desired {
        Some(desired) => {
            let (name, distro, version) = (clean(&desired.name), clean(&desired.distro_id), clean(&desired.version));
            lines.push(format!("Platform   {name} ({distro} {version})"));
        }
        None => lines.push("Platform   none; apply one with epicctl platform apply -f FILE".to_owned()),
    }
    let since = if view.since.is_empty() { String::new() } else { format!(" for {}", age(&view.since, now)) };
    lines.push(format!("Phase      {}{since}", clean(&view.phase)));
    if view.desired.is_some() {
        lines.push(format!("Progress   {}", bar(view)));
    }
    let mesos = &view.mesos;
    if !mesos.framework_id.is_empty() {
        lines.push(format!("Framework  {}", clean(&mesos.framework_id)));
    }
    lines.push(match (mesos.subscribed, mesos.problem.as_str()) {
        (true, _) => format!("Mesos      subscribed, role {}", clean(&mesos.role)),
        (false, "") => format!("Mesos      not subscribed, role {}", clean(&mesos.role)),
        (false, problem) => format!("Mesos      not subscribed, role {}: {}", clean(&mesos.role), clean(problem)),
    });
    lines.join("\n")
}

fn hosts(hosts: &[HostView]) -> String {
    let mut table = table(["HOST", "CPUS USED/GRANTED", "MEMORY USED/GRANTED", "MEMBERS"]);
    for host in hosts {
        let members = if host.instances.is_empty() { "-".to_owned() } else { host.instances.join(" ") };
        let members = if host.reachable { members } else { format!("{members} (unreachable)") };
        table.add_row([
            clean(&host.host),
            format!("{}/{}", host.used.cpus, host.granted.cpus),
            format!("{}/{}", host.used.memory, host.granted.memory),
            clean(&members),
        ]);
    }
    trimmed(&table)
}

fn members(members: &[InstanceView], now: Timestamp) -> String {
    let mut table = table(["MEMBER", "ROLE", "PHASE", "PROGRESS", "ATTEMPT", "HOST", "SINCE", "ENDPOINTS"]);
    for member in members {
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let progress = member.percent.map(|percent| format!("{} {percent:>3} %", gauge(percent, 10)));
        let endpoints: Vec<_> = member.endpoints.iter().map(|endpoint| clean(&endpoint.url)).collect();
        table.add_row([
            clean(&member.id),
            clean(&member.role),
            clean(&member.phase),
            or_dash(progress.unwrap_or_default()),
            or_dash(if member.attempt == 0 { String::new() } else { member.attempt.to_string() }),
            or_dash(clean(&member.host)),
            age(&member.since, now),
            or_dash(endpoints.join(" ")),
        ]);
    }
    trimmed(&table)
}

/// What waits for what, the platform first.
fn notes(view: &PlatformView) -> Option<String> {
    let whole = view.waiting.iter().map(|sentence| format!("platform: {}", clean(sentence)));
    let each = view.instances.iter().flat_map(|member| {
        let reasons = own_reasons(member, view).into_iter();
        reasons.map(|reason| format!("{}: {reason}", clean(&member.id)))
    });
    let lines: Vec<_> = whole.chain(each).map(|line| format!("  {line}")).collect();
    if lines.is_empty() { None } else { Some(format!("Why\n{}", lines.join("\n"))) }
}

/// What is said of a member alone: what the platform as a whole waits for isn't said again.
pub(crate) fn own_reasons(member: &InstanceView, view: &PlatformView) -> Vec<String> {
    let mut reasons = reasons(member);
    reasons.retain(|reason| !view.waiting.iter().any(|known| clean(known) == *reason));
    reasons
}

/// All that is said of a member that isn't ready, and of each service that isn't.
fn reasons(member: &InstanceView) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    if member.phase != "ready" {
        reasons.extend(Some(clean(&member.reason)).filter(|reason| !reason.is_empty()));
        reasons.extend(member.waiting.iter().map(|sentence| clean(sentence)));
    }
    for service in member.services.iter().filter(|service| service.restarts > 0 || !service.reason.is_empty()) {
        let restarts =
            if service.restarts > 0 { format!(" was restarted {} times", service.restarts) } else { String::new() };
        let reason = if service.reason.is_empty() { String::new() } else { format!(": {}", clean(&service.reason)) };
        reasons.push(format!("service {}{restarts}{reason}", clean(&service.id)));
    }
    reasons
}

fn gauge(percent: u8, width: usize) -> String {
    let full = usize::from(percent.min(100)) * width / 100;
    format!("[{}{}]", "#".repeat(full), "-".repeat(width - full))
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn trimmed(table: &Table) -> String {
    let lines: Vec<_> = table.to_string().lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
