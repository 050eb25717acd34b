//! What a journal in `ZooKeeper` begins with when it goes on from another one.

use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact};

use crate::failure::{Code, Failure};
use crate::journal::codec;
use crate::journal::ring::{self, Base};
use crate::zookeeper::{Connect, Session};

/// Makes the base of a state; the same state always gives the same one.
///
/// Its first batch holds a barrier, which changes nothing: there must be one, see [`ring::init_from`].
pub(super) fn base(mut state: State) -> Base {
    state.identity.moved_to = None;
    let (first, epoch) = (state.index.next(), state.epoch());
    let entry = Entry::new(state.at, Fact::Barrier { epoch });
    state.apply(&entry);
    Base { epoch, batch: codec::encode_batch(epoch, first, &[entry]), snapshot: codec::encode_snapshot(&state) }
}

/// Opens a session there.
///
/// # Errors
///
/// `ZooKeeper` can't be reached.
pub(super) async fn connect(connect: &Connect) -> Result<Session, Failure> {
    let session = Session::connect(connect, connect.session_timeout).await;
    session.map_err(|error| Failure::new(Code::Unavailable, &error))
}

/// Says why a journal there can't be made or read.
pub(super) fn failure(error: &ring::Error) -> Failure {
    let is_refusal =
        matches!(error, ring::Error::Occupied { .. } | ring::Error::Attended { .. } | ring::Error::NotOurs { .. });
    Failure::new(if is_refusal { Code::Usage } else { Code::Unavailable }, error)
}
