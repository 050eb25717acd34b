//! The shape of every decision maker: input in, output out, time as an argument.

use crate::time::Timestamp;

/// A deterministic state machine without I/O.
///
/// The driver calls [`handle`](Self::handle) for each input in order, then [`poll`](Self::poll)
/// until it answers `None`, and wakes the machine at [`deadline`](Self::deadline). A machine can't
/// fail: what it refuses is in its output. The verbs are those of quinn-proto.
pub trait Machine {
    /// What happens to it.
    type Input;
    /// What it wants done.
    type Output;

    /// Takes note of one input; decides nothing that `poll` could decide.
    fn handle(&mut self, now: Timestamp, input: Self::Input);

    /// Says the next thing to do, or `None` until the next input or deadline.
    fn poll(&mut self, now: Timestamp) -> Option<Self::Output>;

    /// Says when to poll again even if nothing happens.
    fn deadline(&self) -> Option<Timestamp>;
}
