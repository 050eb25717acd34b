//! The token that the chart makes: nothing that helm does later brings another one.

use anyhow::{Result, ensure};

use crate::release::Release;
use crate::say::say;
use crate::stage::Stage;

/// Changes it as the page says, and takes the release through all that could bring the old one back.
pub(crate) fn play(stage: &Stage) -> Result<()> {
    stage.namespace(NAMESPACE)?;
    for helm in [&stage.helm4, &stage.helm3] {
        let release = Release::of(stage, NAMESPACE, helm);
        release.set("install", VALUES)?;
        let made = token(&release)?;
        release.kubectl(&["delete", "secret", SECRET, "--ignore-not-found"])?;
        release.set("upgrade", VALUES)?;
        let again = token(&release)?;
        ensure!(made != again && again.len() == 64, "one that was lost isn't made anew: {again}");

        let file = stage.kube.work_dir().join("token.new");
        std::fs::write(&file, NEW)?;
        let from = format!("--from-file=token={}", file.display());
        let words = ["create", "secret", "generic", SECRET, &from, "--dry-run=client", "-o", "yaml"];
        stage.kube.apply(&release.kubectl(&words)?)?;
        let is_new = |after: &str| ensure_new(&release, after);
        release.set("upgrade", VALUES)?;
        is_new("an upgrade")?;
        release.helm(&["rollback", "epic", "1"])?;
        is_new("a rollback to before the change")?;
        release.set("upgrade", &format!("{VALUES}token: {{value: {NEW}}}\n"))?;
        is_new("it was written into the values")?;
        release.set("upgrade", VALUES)?;
        is_new("it was taken out of the values")?;
        release.helm(&["uninstall", "epic"])?;
        is_new("an uninstall")?;
        release.set("install", VALUES)?;
        is_new("another install")?;
        release.helm(&["uninstall", "epic"])?;
        release.kubectl(&["delete", "secret", SECRET])?;
    }
    say("the token that the chart makes is replaced by no upgrade, rollback or install, by both helms");
    Ok(())
}

fn ensure_new(release: &Release<'_>, after: &str) -> Result<()> {
    let now = token(release)?;
    let new = "dGhlLW5ldy10b2tlbi1vZi1hbGw=";
    ensure!(now == new, "after {after} the token is {now} instead of {new}");
    Ok(())
}

/// The token, in base64.
fn token(release: &Release<'_>) -> Result<String> {
    release.kubectl(&["get", "secret", SECRET, "-o", "jsonpath={.data.token}"])
}

const NAMESPACE: &str = "token";
const SECRET: &str = "epic-epic-mesos-token";
const NEW: &str = "the-new-token-of-all";
const VALUES: &str = "\
mesos: {master: 'mesos:5050'}
zookeeper: {url: 'zk://zookeeper:2181/token'}
replicas: 1
persistence: {enabled: false}
init: {enabled: false}
";
