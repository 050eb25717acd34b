//! What the page on Kubernetes tells people to type is what the chart takes, and names what it makes.

use std::fs;

use super::charted::{Helm, Rendered};
use super::objects::{Object, objects, only};
use crate::tools::root;

const PAGE: &str = "docs/how-to/kubernetes.md";

#[test]
fn the_values_of_the_page_are_taken() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let values = first(&page);
    assert!(render(&values, &[]).is_ok(), "{values}");
    let blocks: Vec<&str> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        assert_eq!(render(&format!("{values}\n{block}"), &[]).err(), None, "{block}");
    }
    let sets: Vec<&str> =
        page.split("--set ").skip(1).map(|rest| rest.split([' ', '\n', '`']).next().unwrap()).collect();
    assert!(sets.len() >= 4, "{sets:?}");
    for set in sets {
        assert_eq!(render(&values, &["--set", set]).err(), None, "{set}");
    }
}

#[test]
fn the_objects_that_the_page_names_are_there() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let objects = objects(&render(&first(&page), &[]).unwrap());
    let named = [
        ("svc/", "Service"),
        ("statefulset/", "StatefulSet"),
        ("job/", "Job"),
        ("get secret ", "Secret"),
        ("*.", "Service"),
    ];
    for (before, kind) in named {
        let names: Vec<&str> =
            page.split(before).skip(1).map(|rest| rest.split([' ', '\n', '`', ')', '.']).next().unwrap()).collect();
        assert!(!names.is_empty(), "the page names no {kind}");
        for name in names {
            // What people make is there, too.
            let is_made = kind == "Secret" && page.contains(&format!("create secret generic {name} "));
            assert!(
                is_made || objects.iter().any(|object: &Object| object.kind() == kind && object.name() == name),
                "{kind} {name}"
            );
        }
    }
}

#[test]
fn the_secrets_that_the_page_makes_are_those_that_its_values_name() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let objects = objects(&render(&first(&page), &[]).unwrap());
    let volumes = only(&objects, "StatefulSet").at("/spec/template/spec/volumes").to_string();
    let made: Vec<(&str, &str)> = page
        .split("create secret generic ")
        .filter_map(|rest| rest.lines().next()?.split_once(" --from-literal="))
        .map(|(name, rest)| (name, rest.split('=').next().unwrap()))
        .collect();
    assert_eq!(made.len(), 2, "{made:?}");
    for (name, key) in made {
        assert!(volumes.contains(&format!("{{\"key\":\"{key}\"")) && volumes.contains(&format!("\"name\":\"{name}\"")));
    }
}

/// Returns the values that the page begins with, between the lines of a here-document.
fn first(page: &str) -> String {
    let (_, rest) = page.split_once("<< 'END'\n").expect("the page writes values.yaml");
    let (values, _) = rest.split_once("\nEND\n").expect("the here-document ends");
    values.to_owned()
}

fn render(values: &str, more: &[&str]) -> Rendered {
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    fs::write(file.path(), values).map_err(|error| error.to_string())?;
    let path = file.path().display().to_string();
    let args = ["template", "epic-mesos", "helm/epic-mesos", "--namespace", "epic", "--values", &path];
    Helm::newer().helm(&[&args, more].concat())
}
