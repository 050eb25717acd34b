//! What `--master` may say: a list of masters, or where in ZooKeeper their leader is found.

use std::fmt;
use std::net::Ipv6Addr;

use reqwest::Url;

/// Where masters are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Masters {
    /// At these addresses, in this order; one to sixteen.
    List(Vec<Address>),
    /// In a ZooKeeper ensemble.
    ZooKeeper(ZooKeeperPath),
}

/// A master's address; with https if it said so, which needs a proxy in front of a stock master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    url: Url,
}

/// A path in a ZooKeeper ensemble, and the right to read it.
#[derive(Clone, PartialEq, Eq)]
pub struct ZooKeeperPath {
    /// `host:port` of each server; one to sixteen.
    pub servers: Vec<String>,
    /// `user:password` of the digest scheme.
    pub digest: Option<String>,
    /// The path that the masters share, without a slash at its end.
    pub path: String,
}

/// Why a text names no masters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "master {text:?}: {problem}; write HOST:PORT[,HOST:PORT...], https://HOST:PORT, or \
     zk://[USER:PASSWORD@]HOST:PORT[,HOST:PORT...]/PATH"
)]
pub struct Error {
    /// The part that is wrong, without a password.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Masters {
    /// Reads the forms `host:port[,host:port...]`, each with `http://` or `https://` before it if wanted,
    /// and `zk://[user:password@]host:port[,host:port...]/path`, as Mesos itself writes them.
    ///
    /// # Errors
    /// Which part is wrong, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("zk://") {
            return ZooKeeperPath::parse(rest).map(Self::ZooKeeper);
        }
        entries(text)?.into_iter().map(Address::parse).collect::<Result<_, _>>().map(Self::List)
    }
}

impl fmt::Display for Masters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(addresses) => {
                let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                f.write_str(&shown.join(","))
            }
            Self::ZooKeeper(path) => path.fmt(f),
        }
    }
}

impl Address {
    fn parse(entry: &str) -> Result<Self, Error> {
        let (scheme, rest) = match entry.split_once("://") {
            None => ("http", entry),
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            Some(("zk", _)) => return Err(error(entry, "zk:// stands only once, at the start")),
            Some(_) => return Err(error(entry, "the scheme must be http, https or zk")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = host_and_port(rest).map_err(|problem| error(entry, problem))?;
        let url = Url::parse(&format!("{scheme}://{host}:{port}{API_PATH}"));
        url.map(|url| Self { url }).map_err(|_| error(entry, NO_HOST))
    }

    /// Returns the address with the path of the scheduler API.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the host: a name, an IPv4 address, or an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

/// Shows scheme, host and port.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.url.port_or_known_default().unwrap_or_default();
        write!(f, "{}://{}:{port}", self.url.scheme(), self.host())
    }
}

impl ZooKeeperPath {
    fn parse(rest: &str) -> Result<Self, Error> {
        let (digest, rest) = match rest.rsplit_once('@') {
            Some((digest, rest)) => (Some(digest), rest),
            None => (None, rest),
        };
        let shown = format!("zk://{rest}");
        if digest.is_some_and(|digest| !digest.contains(':') || digest.starts_with(':')) {
            return Err(error(&shown, "before the @ there must be USER:PASSWORD"));
        }
        let (servers, path) = rest.split_once('/').ok_or_else(|| error(&shown, "the path is missing"))?;
        let path = path.trim_end_matches('/');
        if path.is_empty() || path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(error(&shown, "the path must be like /mesos"));
        }
        let mut known = Vec::new();
        for server in entries(servers)? {
            let (host, port) = host_and_port(server).map_err(|problem| error(server, problem))?;
            known.push(format!("{host}:{port}"));
        }
        Ok(Self { servers: known, digest: digest.map(str::to_owned), path: format!("/{path}") })
    }
}

impl fmt::Display for ZooKeeperPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zk://{}{}", self.servers.join(","), self.path)
    }
}

/// Keeps the password out of logs.
impl fmt::Debug for ZooKeeperPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn entries(text: &str) -> Result<Vec<&str>, Error> {
    let entries: Vec<_> = text.split(',').map(str::trim).collect();
    if entries.len() > ENTRIES_MAX {
        return Err(error(&format!("{}...", entries[0]), "more than 16 addresses"));
    }
    if entries.iter().any(|entry| entry.is_empty()) {
        return Err(error(text, "an address is empty"));
    }
    Ok(entries)
}

fn host_and_port(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or("the port must be a number from 1 to 65535")?;
    let is_name = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_ipv6 = inside.is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok());
    if is_name || is_ipv6 { Ok((host.to_owned(), port)) } else { Err(NO_HOST) }
}

fn error(text: &str, problem: &'static str) -> Error {
    Error { text: text.to_owned(), problem }
}

/// Where the scheduler API of a master is.
pub(super) const API_PATH: &str = "/api/v1/scheduler";
const NO_HOST: &str = "the host must be a name or an address";
const ENTRIES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_mesos_writes_them() {
        let check = |text: &str, expected: &str| assert_eq!(Masters::parse(text).unwrap().to_string(), expected);
        check("m1:5050", "http://m1:5050");
        check(" m1:5050, https://m2:443/ ", "http://m1:5050,https://m2:443");
        check("[::1]:5050", "http://[::1]:5050");
        check("zk://z1:2181/mesos", "zk://z1:2181/mesos");
        check("zk://user:p@ss:word@z1:2181,z2:2182/a/b/", "zk://z1:2181,z2:2182/a/b");
    }

    #[test]
    fn a_password_is_read_but_never_shown() {
        let masters = Masters::parse("zk://user:p@ss@z1:2181/mesos").unwrap();
        assert!(!format!("{masters:?} {masters}").contains("p@ss"));
        let Masters::ZooKeeper(path) = masters else { panic!("{masters}") };
        assert_eq!(path.digest.as_deref(), Some("user:p@ss"));
        assert!(!Masters::parse("zk://user:p@ss@z1/mesos").unwrap_err().to_string().contains("p@ss"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |text: &str, part: &str, problem: &str| {
            let error = Masters::parse(text).unwrap_err();
            assert_eq!((error.text.as_str(), error.problem), (part, problem), "{text}");
        };
        check("", "", "an address is empty");
        check("m1:5050,", "m1:5050,", "an address is empty");
        check("m1", "m1", "the port is missing");
        check("m1:5050,m2:http", "m2:http", "the port must be a number from 1 to 65535");
        check("m1:0", "m1:0", "the port must be a number from 1 to 65535");
        check("m1:65536", "m1:65536", "the port must be a number from 1 to 65535");
        check("http://m1:5050/mesos", "http://m1:5050/mesos", "the port must be a number from 1 to 65535");
        check("user:pw@m1:5050", "user:pw@m1:5050", "the host must be a name or an address");
        check("1.2.3.4.5:5050", "1.2.3.4.5:5050", "the host must be a name or an address");
        check("::1:5050", "::1:5050", "the host must be a name or an address");
        check("ftp://m1:5050", "ftp://m1:5050", "the scheme must be http, https or zk");
        check("m1:5050,zk://z:1/m", "zk://z:1/m", "zk:// stands only once, at the start");
        check("zk://z1:2181", "zk://z1:2181", "the path is missing");
        check("zk://z1:2181/", "zk://z1:2181/", "the path must be like /mesos");
        check("zk://z1:2181/a/../b", "zk://z1:2181/a/../b", "the path must be like /mesos");
        check("zk://user@z1:2181/m", "zk://z1:2181/m", "before the @ there must be USER:PASSWORD");
        check("zk://z1/m", "z1", "the port is missing");
        check(&"m:1,".repeat(17), "m:1...", "more than 16 addresses");
    }
}
