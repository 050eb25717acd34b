//! What the library's answers prove.

use zookeeper_async::ZkError;

use crate::zookeeper::{Cause, Failure, Refusal};

/// Sorts what the library says about a call.
///
/// A code that the library doesn't know comes as `Unimplemented`, so that this proves nothing. After an answer that can't
/// be read, no later one can be trusted to be its caller's.
impl From<ZkError> for Failure {
    fn from(error: ZkError) -> Self {
        use ZkError as E;
        let refusal = match error {
            E::ConnectionLoss | E::SessionExpired | E::SessionMoved | E::AuthFailed | E::MarshallingError => {
                return Self::Over;
            }
            E::APIError
            | E::DataInconsistency
            | E::EphemeralOnLocalSession
            | E::InvalidCallback
            | E::NoWatcher
            | E::OperationTimeout
            | E::RuntimeInconsistency
            | E::SystemError
            | E::Unimplemented => return Self::Unsure(Cause::Async(error)),
            E::BadArguments => Refusal::BadArguments,
            E::BadVersion => Refusal::BadVersion,
            E::InvalidACL => Refusal::InvalidAcl,
            E::NoAuth => Refusal::NoAuth,
            E::NoChildrenForEphemerals => Refusal::NoChildrenForEphemerals,
            E::NodeExists => Refusal::NodeExists,
            E::NoNode => Refusal::NoNode,
            E::NotEmpty => Refusal::NotEmpty,
            E::NotReadOnly => Refusal::NotReadOnly,
        };
        Self::Refused(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_is_never_taken_for_a_refusal() {
        let class = |error| match Failure::from(error) {
            Failure::Refused(_) => "refused",
            Failure::Unsure(_) => "unsure",
            Failure::Over => "over",
        };
        for error in [ZkError::BadVersion, ZkError::NoNode, ZkError::NodeExists, ZkError::NoAuth] {
            assert_eq!(class(error), "refused");
        }
        // The last two are unknown to the library: a full quota, and a server with too much to do.
        for error in [-1, -2, -6, -7, -125, -127].map(ZkError::from) {
            assert_eq!(class(error), "unsure");
        }
        for error in [-4, -5, -112, -115, -118].map(ZkError::from) {
            assert_eq!(class(error), "over");
        }
    }
}
