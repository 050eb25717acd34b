//! Requests that are refused, and ones that are repeated, over HTTP to a real scheduler.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::{Granted, Problem};
use epic_tests::http;
use epic_tests::place::Place;
use reqwest::Method;

/// Asks a scheduler that was started at `place`; returns the status and the body.
async fn ask(place: &Place, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, String)> {
    let url = format!("http://{}{path}", place.listen());
    let mut request = http::client().request(method, url).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn bearer(place: &Place) -> Result<String> {
    Ok(format!("Bearer {}", fs::read_to_string(place.path("state/token"))?.trim()))
}

#[tokio::test]
async fn who_has_no_token_or_another_changes_nothing() -> Result<()> {
    let place = Place::new()?;
    let (_process, before) = place.starts(&[]).await?;
    let cases: [(&[(&str, &str)], &str); 2] =
        [(&[], "a token is needed"), (&[("Authorization", "Bearer 0123456789abcdef")], "the token is wrong")];
    for (headers, title) in cases {
        for (method, path) in [(Method::PUT, ""), (Method::POST, "/stop"), (Method::POST, "/uninstall")] {
            let (status, text) = ask(&place, method, &format!("/api/v2/platform{path}"), headers, "").await?;
            let problem: Problem = serde_json::from_str(&text)?;
            ensure!((status, problem.title.as_str()) == (401, title), "{path} {status}: {text}");
            ensure!(problem.detail.contains("--token-file or EPIC_TOKEN_FILE, or from EPIC_TOKEN"), "{text}");
        }
    }
    let (status, text) = ask(&place, Method::GET, "/api/v2/platform", &[], "").await?;
    let after: epic_common::api::PlatformView = serde_json::from_str(&text)?;
    ensure!(status == 200 && after.index == before.index, "{status}: {text}");
    Ok(())
}

#[tokio::test]
async fn a_change_that_is_not_supported_names_each_path_and_a_document_that_cannot_be_read_its_line() -> Result<()> {
    let place = Place::new()?;
    let (_process, before) = place.starts(&[]).await?;
    let token = bearer(&place)?;
    let put = async |body: &str| {
        let (status, text) = ask(&place, Method::PUT, "/api/v2/platform", &[("Authorization", &token)], body).await?;
        let problem: Problem = serde_json::from_str(&text).with_context(|| format!("{status}: {text}"))?;
        ensure!(problem.status == status, "{status}: {text}");
        let paths: Vec<_> = problem.errors.iter().map(|error| error.path.clone()).collect();
        Ok((status, paths, problem.detail))
    };
    let other =
        place.document("  workers: {count: 3}\n  allowRoot: true\n  grant: {perHost: {cpus: 1, memory: 1GiB}}\n");
    let (status, paths, detail) = put(&other.replace("name: test", "name: other")).await?;
    ensure!(status == 409 && paths == ["label.name", "spec.allowRoot", "spec.grant.perHost"], "{status} {paths:?}");
    ensure!(detail == "apply changes spec.workers.count only", "{detail}");
    let (status, paths, _) = put(&place.document("  workers: {count: 0}\n  auth: {}\n")).await?;
    ensure!(status == 422 && paths == ["spec.auth"], "{status} {paths:?}");
    let (status, paths, _) = put(&place.document("  workers: {count: 0}\n")).await?;
    ensure!(status == 422 && paths == ["spec.workers.count"], "{status} {paths:?}");
    for (body, place) in
        [("kind: Platform\nlabel: [\n", "line 2 column 8"), ("kind: Platform\nlabbel: {name: a}\n", "line 2 column 1")]
    {
        let (status, _, detail) = put(body).await?;
        ensure!(status == 400 && detail.contains(place) && detail.contains("column"), "{status} {detail}");
    }
    let (_, text) = ask(&place, Method::GET, "/api/v2/platform", &[], "").await?;
    let after: epic_common::api::PlatformView = serde_json::from_str(&text)?;
    ensure!(after.desired == before.desired && after.index == before.index, "{text}");
    Ok(())
}

#[tokio::test]
async fn a_repeat_with_the_same_key_has_the_same_answer_also_after_a_kill() -> Result<()> {
    let place = Place::new()?;
    let (mut process, _) = place.starts(&[]).await?;
    let token = bearer(&place)?;
    let stop = async |key: &str| {
        let headers = [("Authorization", token.as_str()), ("Idempotency-Key", key)];
        let (status, text) = ask(&place, Method::POST, "/api/v2/platform/stop", &headers, "").await?;
        ensure!(status == 200, "{status}: {text}");
        anyhow::Ok(serde_json::from_str::<Granted>(&text)?)
    };
    let start = async || {
        let headers = [("Authorization", token.as_str())];
        let (status, text) = ask(&place, Method::POST, "/api/v2/platform/start", &headers, "").await?;
        ensure!(status == 200, "{status}: {text}");
        anyhow::Ok(serde_json::from_str::<Granted>(&text)?)
    };
    let first = stop("key-1").await?;
    let second = stop("key-1").await?;
    ensure!(second.index == first.index && second.message == "this request was granted before", "{first:?} {second:?}");
    ensure!(start().await?.index == first.index + 1, "it was stopped once");
    process.kill();
    let (_process, view) = place.starts(&[]).await?;
    let third = stop("key-1").await?;
    ensure!(third.index == first.index && third.message == "this request was granted before", "{first:?} {third:?}");
    ensure!(view.desired.is_some_and(|desired| desired.run == "running"), "the repeat did not stop it again");
    let (_, text) = ask(&place, Method::GET, "/api/v2/platform", &[], "").await?;
    let after: epic_common::api::PlatformView = serde_json::from_str(&text)?;
    ensure!(after.index == view.index && after.desired.is_some_and(|desired| desired.run == "running"), "{text}");
    let other = stop("key-2").await?;
    ensure!(other.index == view.index + 1, "another key is another request: {other:?}");
    Ok(())
}
