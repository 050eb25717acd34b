//! What a Mesos master shows, against the journal.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::Value;

/// Checks that no instance has two tasks that haven't ended; true at any moment, whatever happens.
///
/// `tasks` is the list in the answer of a master's `/tasks`.
///
/// # Errors
/// An instance has.
pub fn doubles(tasks: &[Value]) -> Result<()> {
    let mut living: BTreeMap<&str, &str> = BTreeMap::new();
    for task in tasks.iter().filter(|task| !has_ended(task)) {
        let id = task["id"].as_str().unwrap_or_default();
        let (instance, _) = id.rsplit_once('.').unwrap_or((id, ""));
        if let Some(other) = living.insert(instance, id) {
            anyhow::bail!("Mesos runs {instance} twice, as {other} and as {id}");
        }
    }
    Ok(())
}

/// Checks that a master knows one framework, ours, with exactly the tasks that the journal has as running.
///
/// `frameworks` is the answer of `/frameworks`, `tasks` the list in that of `/tasks`; true once everything is at rest.
///
/// # Errors
/// The first thing that differs.
pub fn same_world(framework: &str, running: &[String], frameworks: &Value, tasks: &[Value]) -> Result<()> {
    let known: Vec<&str> = ["frameworks", "completed_frameworks"]
        .iter()
        .flat_map(|list| frameworks[*list].as_array().into_iter().flatten())
        .filter_map(|framework| framework["id"].as_str())
        .collect();
    ensure!(known == [framework], "Mesos knows the frameworks {known:?}, the journal {framework}");
    doubles(tasks)?;
    let living = tasks.iter().filter(|task| !has_ended(task));
    let mut living: Vec<String> =
        living.map(|task| format!("{} {}", text(&task["id"]), text(&task["state"]))).collect();
    living.sort();
    let mut expected: Vec<String> = running.iter().map(|id| format!("{id} TASK_RUNNING")).collect();
    expected.sort();
    ensure!(living == expected, "Mesos has {living:?}, the journal {expected:?}");
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn has_ended(task: &Value) -> bool {
    let state = text(&task["state"]);
    ["FINISHED", "FAILED", "KILLED", "ERROR", "LOST", "DROPPED", "GONE"]
        .iter()
        .any(|end| state.strip_prefix("TASK_") == Some(end))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(tasks: &[(&str, &str)], running: &[&str], frameworks: &[&str]) -> String {
        let tasks: Vec<_> = tasks.iter().map(|(id, state)| json!({"id": id, "state": state})).collect();
        let running: Vec<_> = running.iter().map(|id| (*id).to_owned()).collect();
        let frameworks: Vec<_> = frameworks.iter().map(|id| json!({"id": id})).collect();
        let answer = same_world("ours", &running, &json!({ "frameworks": frameworks }), &tasks);
        answer.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn what_is_as_the_journal_says_passes() {
        let tasks = [("w-0.1", "TASK_KILLED"), ("w-0.2", "TASK_RUNNING"), ("c-0.1", "TASK_RUNNING")];
        assert_eq!(check(&tasks, &["c-0.1", "w-0.2"], &["ours"]), "");
    }

    #[test]
    fn an_instance_that_runs_twice_is_found() {
        let tasks = [("w-0.2", "TASK_STAGING"), ("w-0.1", "TASK_RUNNING")];
        assert_eq!(check(&tasks, &["w-0.1"], &["ours"]), "Mesos runs w-0 twice, as w-0.2 and as w-0.1");
    }

    #[test]
    fn a_task_too_many_or_too_few_is_found() {
        let running = [("w-0.1", "TASK_RUNNING")];
        assert_eq!(check(&running, &[], &["ours"]), r#"Mesos has ["w-0.1 TASK_RUNNING"], the journal []"#);
        assert_eq!(check(&[], &["w-0.1"], &["ours"]), r#"Mesos has [], the journal ["w-0.1 TASK_RUNNING"]"#);
        let lost = [("w-0.1", "TASK_UNREACHABLE")];
        assert!(check(&lost, &["w-0.1"], &["ours"]).starts_with(r#"Mesos has ["w-0.1 TASK_UNREACHABLE"]"#));
    }

    #[test]
    fn another_framework_is_found() {
        for known in [&["other"][..], &[], &["ours", "other"]] {
            assert!(check(&[], &[], known).starts_with("Mesos knows the frameworks"), "{known:?}");
        }
    }
}
