//! What the election asks of ZooKeeper, carried out.

use epic_scheduler_core::election::{Ask, Input};
use serde_json::json;
use tracing::warn;

use crate::chain;
use crate::zookeeper::{Error, Kind, Refusal, Session};

/// Where candidates are.
const ELECTION: &str = "/election";

/// Makes a candidate of this session.
pub(super) async fn create(session: &Session, ask: Ask, replica: &str, advertise: &str) -> Input {
    let about = json!({"replica": replica, "advertise": advertise}).to_string();
    match session.create(&format!("{ELECTION}/candidate-"), about.as_bytes(), Kind::Numbered).await {
        Ok(number) => Input::Created { ask, name: format!("candidate-{number:010}") },
        Err(error) => {
            warn!(error = chain(&error), "no candidate");
            Input::CreateFailed { ask }
        }
    }
}

/// Lists the candidates, and says which is of this session.
pub(super) async fn list(session: &Session, ask: Ask, own: Option<&str>) -> Input {
    match listed(session, own).await {
        Ok((own, names)) => Input::Candidates { ask, own, names },
        Err(error) => {
            warn!(error = chain(&error), "candidates can't be listed");
            Input::ListFailed { ask }
        }
    }
}

async fn listed(session: &Session, own: Option<&str>) -> Result<(Option<String>, Vec<String>), Error> {
    let names = session.surely(async || session.children(ELECTION).await).await?;
    if let Some(own) = own.filter(|own| names.iter().any(|name| name == own)) {
        return Ok((Some(own.to_owned()), names));
    }
    // A creation whose answer was lost may have made one all the same.
    for name in &names {
        match session.read(&format!("{ELECTION}/{name}")).await {
            Ok(node) if session.is_own(&node) => return Ok((Some(name.clone()), names)),
            Ok(_) => {}
            Err(error) if error.says(Refusal::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((None, names))
}

/// Waits until a candidate is gone.
pub(super) async fn gone(session: Session, ask: Ask, predecessor: String) -> Input {
    let path = format!("{ELECTION}/{predecessor}");
    loop {
        let watch = match session.exists_and_watch(&path).await {
            Ok((true, watch)) => watch,
            Ok((false, _)) => return Input::PredecessorGone { ask },
            Err(_) => return Input::ListFailed { ask },
        };
        if watch.changed().await.is_err() {
            return Input::ListFailed { ask };
        }
    }
}
