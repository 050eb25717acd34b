//! The thread's work while the session stands: one call after the other, and a look at the server when there is none.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use zookeeper_async::{ZkState, ZooKeeper};

use crate::zookeeper::{SessionOver, State};

/// The library's client, and what it came to.
pub(super) struct Link {
    pub(super) client: ZooKeeper,
    pub(super) states: watch::Sender<State>,
}

/// A call, with whoever waits for its answer.
pub(super) type Job = Box<dyn FnOnce(Arc<Link>) -> Pin<Box<dyn Future<Output = Life>>> + Send>;

/// Whether the session can go on after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It can.
    GoesOn,
    /// It is over.
    Ends,
}

impl Link {
    /// Tells that the session is over, whatever the library thinks.
    pub(super) fn end(&self) -> Life {
        self.states.send_replace(State::Expired);
        Life::Ends
    }
}

/// Hears the library's states. The first one other than the first `Connected` ends the session: the library calls this
/// in the task that owns its connection, and unwinding that task is what keeps it from sending anything on another.
///
/// The unwinding isn't a panic that a hook hears of: nothing is broken.
pub(super) fn fail_stop(states: watch::Sender<State>) -> impl Fn(ZkState) + Send + 'static {
    move |state| {
        let before = *states.borrow();
        if state == ZkState::Connected && before == State::Disconnected {
            states.send_replace(State::Connected);
            return;
        }
        states.send_replace(State::Expired);
        std::panic::resume_unwind(Box::new(SessionOver));
    }
}

/// Works until the session is over, or nobody can ask any more.
pub(super) async fn work(link: &Arc<Link>, mut jobs: mpsc::Receiver<Job>, session_timeout: Duration) {
    let mut states = link.states.subscribe();
    loop {
        let (job, bound) = tokio::select! {
            biased;
            _ = states.wait_for(|state| state.is_over()) => break,
            job = jobs.recv() => match job {
                Some(job) => (job, session_timeout * 2 / 3),
                None => {
                    // The library tells of the end by the listener, which ends the wait.
                    let _closed = timeout(session_timeout / 3, link.client.close()).await;
                    break;
                }
            },
            () = sleep(session_timeout / 6) => (look(), session_timeout / 3),
        };
        let mut running = job(Arc::clone(link));
        match timeout(bound, &mut running).await {
            Ok(Life::GoesOn) => {}
            Ok(Life::Ends) => break,
            Err(_elapsed) => {
                // Told before whoever waits hears of it.
                link.end();
                break;
            }
        }
    }
    link.end();
}

/// Asks something that needs no right; the library itself notices a silent server only after the servers have given
/// the session up.
fn look() -> Job {
    Box::new(|link| {
        Box::pin(async move {
            match link.client.exists("/", false).await {
                Ok(_) => Life::GoesOn,
                Err(_) => link.end(),
            }
        })
    })
}

#[cfg(not(panic = "unwind"))]
compile_error!("the session's end unwinds the task that owns the connection; build with panic = \"unwind\"");

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_end_of_a_session_unwinds_without_a_panic_that_a_hook_hears_of() {
        let this = std::thread::current().id();
        let heard = Arc::new(AtomicUsize::new(0));
        let (usual, count) = (Arc::new(take_hook()), Arc::clone(&heard));
        let others = Arc::clone(&usual);
        set_hook(Box::new(move |info| {
            if std::thread::current().id() == this {
                count.fetch_add(1, Ordering::SeqCst);
            } else {
                others(info);
            }
        }));
        let (states, followed) = watch::channel(State::Disconnected);
        let listener = fail_stop(states);
        let unwinds = |state| catch_unwind(AssertUnwindSafe(|| listener(state))).is_err();
        let seen = [ZkState::Connected, ZkState::Connecting, ZkState::Connected].map(|state| {
            let unwound = unwinds(state);
            (unwound, *followed.borrow())
        });
        set_hook(Box::new(move |info| usual(info)));
        assert_eq!(seen, [(false, State::Connected), (true, State::Expired), (true, State::Expired)]);
        assert_eq!(heard.load(Ordering::SeqCst), 0, "hooks end the process");
    }
}
