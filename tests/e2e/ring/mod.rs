//! The journal in a real ZooKeeper.

mod fail_stop;
// Scenarios are tests for clippy too, though they take a client.
#[cfg(test)]
mod journal;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod loss;
#[cfg(test)]
mod place;
mod proxy;
#[cfg(test)]
mod secure;

pub(crate) use place::{session, session_of};

/// Makes a test of each scenario for each client.
macro_rules! with_both_clients {
    ($($scenario:ident),+ $(,)?) => {
        mod zookeeper_client {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(epic_scheduler::zookeeper::Client::ZooKeeperClient).await;
            })+
        }

        mod zookeeper_async {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(epic_scheduler::zookeeper::Client::ZooKeeperAsync).await;
            })+
        }
    };
}
use with_both_clients;
