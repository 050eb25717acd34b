//! Finding the leading master where masters agree on it: in ZooKeeper.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;

use super::masters::ZooKeeperPath;

/// Finds the leading master.
pub trait Detector: fmt::Debug + Send + Sync {
    /// Looks up which master leads now; `None` if none does.
    ///
    /// The answer may be out of date by the time it arrives: the master itself is the judge.
    ///
    /// # Errors
    /// When the service can't be asked, or what it says isn't understood.
    fn leader_info(&self) -> impl Future<Output = Result<Option<LeaderInfo>, Error>> + Send;
}

/// The leading master, as it announces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderInfo {
    /// Where it listens.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// The name that it gives itself, and uses in redirects.
    pub hostname: Option<String>,
}

/// Why the leader isn't known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server let us in, or none answered in time.
    #[error("cannot reach ZooKeeper at {servers}")]
    Unreachable {
        /// The servers.
        servers: String,
        /// What the client says.
        source: zookeeper_client::Error,
    },
    /// It takes too long.
    #[error("ZooKeeper at {servers} does not answer within {} s", LOOK_TIMEOUT.as_secs())]
    Slow {
        /// The servers.
        servers: String,
    },
    /// It answers, but not with what was asked.
    #[error("cannot read {path} in ZooKeeper{}", advice(source))]
    Read {
        /// The path that was read.
        path: String,
        /// What ZooKeeper says.
        source: zookeeper_client::Error,
    },
    /// What a master announced isn't understood.
    #[error("{path} in ZooKeeper does not hold a master's address")]
    NotAMaster {
        /// The path of the announcement.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Error {
    /// Says whether asking again can help by itself, without a change of configuration.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } | Self::Read { source, .. } => {
                *source != zookeeper_client::Error::NoAuth && *source != zookeeper_client::Error::AuthFailed
            }
            Self::Slow { .. } => true,
            Self::NotAMaster { .. } => false,
        }
    }
}

/// A real ZooKeeper, asked with a session of its own for every look.
///
/// Looks are rare (one for each try to subscribe), so nothing is kept open between them.
#[derive(Clone, Debug)]
pub struct ZooKeeper {
    path: ZooKeeperPath,
}

impl ZooKeeper {
    /// Remembers where to look; connects to nothing.
    #[must_use]
    pub const fn new(path: ZooKeeperPath) -> Self {
        Self { path }
    }

    async fn look(&self) -> Result<Option<LeaderInfo>, Error> {
        let servers = || self.path.servers.join(",");
        let mut connector =
            zookeeper_client::Client::connector().with_session_timeout(SESSION_TIMEOUT).with_fail_eagerly();
        if let Some(digest) = &self.path.digest {
            connector = connector.with_auth("digest", digest.as_bytes());
        }
        let connected = connector.connect(&servers()).await;
        let client = connected.map_err(|source| Error::Unreachable { servers: servers(), source })?;
        let parent = &self.path.path;
        let failed = |path: &str| {
            let path = path.to_owned();
            move |source| Error::Read { path, source }
        };
        let names = client.list_children(parent).await.map_err(failed(parent))?;
        let Some(first) = first_announcement(&names) else { return Ok(None) };
        let path = format!("{parent}/{first}");
        match client.get_data(&path).await {
            Ok((bytes, _)) => parse(&bytes).map(Some).map_err(|source| Error::NotAMaster { path, source }),
            // It went between the two questions.
            Err(zookeeper_client::Error::NoNode) => Ok(None),
            Err(source) => Err(failed(&path)(source)),
        }
    }
}

impl Detector for ZooKeeper {
    async fn leader_info(&self) -> Result<Option<LeaderInfo>, Error> {
        let looked = timeout(LOOK_TIMEOUT, self.look()).await;
        looked.unwrap_or_else(|_| Err(Error::Slow { servers: self.path.servers.join(",") }))
    }
}

/// Finds the name with the lowest sequence number among `json.info_<number>`: its master leads.
///
/// Source: Mesos, `src/master/contender/zookeeper.cpp` and `src/master/detector/zookeeper.cpp`.
fn first_announcement(names: &[String]) -> Option<&String> {
    let number = |name: &String| name.strip_prefix("json.info_").and_then(|digits| digits.parse::<u64>().ok());
    names.iter().filter_map(|name| Some((number(name)?, name))).min().map(|(_, name)| name)
}

fn parse(bytes: &[u8]) -> Result<LeaderInfo, serde_json::Error> {
    let announced: Announced = serde_json::from_slice(bytes)?;
    let Address { ip, port, hostname } = announced.address;
    Ok(LeaderInfo { ip, port, hostname })
}

/// The part of `MasterInfo` that is used, in Mesos' own JSON.
#[derive(Deserialize)]
struct Announced {
    address: Address,
}

#[derive(Deserialize)]
struct Address {
    ip: IpAddr,
    port: u16,
    hostname: Option<String>,
}

fn advice(source: &zookeeper_client::Error) -> &'static str {
    if *source == zookeeper_client::Error::NoNode {
        return ": no master has ever announced itself there; check the path in --master";
    }
    if *source == zookeeper_client::Error::NoAuth {
        return ": the user in --master may not read it";
    }
    ""
}

const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_number_leads() {
        let check = |names: &[&str], expected: Option<&str>| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(first_announcement(&names).map(String::as_str), expected, "{names:?}");
        };
        check(&[], None);
        check(&["log_replicas", "info_0000000001", "json.info_x"], None);
        check(&["json.info_0000000012", "json.info_0000000009", "json.info_0000000010"], Some("json.info_0000000009"));
    }

    #[test]
    fn an_announcement_is_read_as_mesos_writes_it() {
        let text = r#"{"address":{"hostname":"m1","ip":"127.0.0.1","port":5050},"capabilities":[{"type":"AGENT_UPDATE"},{}],
            "hostname":"m1","id":"x","ip":16777343,"pid":"master@127.0.0.1:5050","port":5050,"version":"1.11.0"}"#;
        let expected = LeaderInfo { ip: "127.0.0.1".parse().unwrap(), port: 5050, hostname: Some("m1".to_owned()) };
        assert_eq!(parse(text.as_bytes()).unwrap(), expected);
        for text in ["", "{}", "[]", r#"{"address":{"ip":"127.0.0.1"}}"#, r#"{"address":{"ip":"x","port":1}}"#] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
