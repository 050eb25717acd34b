//! Makes the journal that several schedulers share.

use tracing::{info, warn};

use crate::config::init::Init;
use crate::failure::{Code, Failure};
use crate::journal::ring::{self, Initialised};
use crate::zookeeper::{OPEN_TO_ALL, Session};

/// Makes it, or finds that it is there already.
///
/// # Errors
///
/// ZooKeeper can't be reached, or refuses.
pub async fn run(init: &Init) -> Result<(), Failure> {
    let connect = init.connect.connect(&init.zk, init.zk_session_timeout)?;
    let session = Session::connect(&connect, init.zk_session_timeout).await;
    let session = session.map_err(|error| Failure::new(Code::Unavailable, &error))?;
    let made = ring::init(&session).await.map_err(|error| Failure::new(Code::Unavailable, &error))?;
    match made {
        Initialised::New if connect.has_user() => info!(zk = %init.zk, "journal made"),
        Initialised::New => warn!(zk = %init.zk, "journal made, which {OPEN_TO_ALL}"),
        Initialised::Already => info!(zk = %init.zk, "the journal is there already; nothing was changed"),
    }
    Ok(())
}
