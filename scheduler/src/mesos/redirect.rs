//! Where a master that doesn't lead sends us, and whether we go there.

use reqwest::Url;

/// Why a redirect isn't followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It doesn't say where to.
    #[error("the answer has no usable Location header")]
    NoLocation,
    /// What it says is no address.
    #[error("{location:?} is no address")]
    Unreadable {
        /// The header's value.
        location: String,
    },
    /// It leads from https to http.
    #[error(
        "{url} would be spoken to without TLS; make the proxy in front of the masters rewrite the Location header, or leave it out"
    )]
    Downgrade {
        /// The new address.
        url: Url,
    },
    /// It leads where the credentials must not go.
    #[error(
        "{}:{} was not given with --master, and credentials are sent only to masters that were; add it to --master if it is one",
        url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default()
    )]
    Foreign {
        /// The new address.
        url: Url,
    },
    /// It is one too many.
    #[error("more than {REDIRECTS_MAX} redirects in a row")]
    TooMany,
}

/// So many redirects are followed one after the other.
pub const REDIRECTS_MAX: usize = 5;

/// Reads a `Location`: `//host:port/path` as Mesos sends it, `host:port` as its documentation shows it,
/// an absolute address, or a path.
///
/// What it leaves out, scheme or path, stays as it was.
///
/// # Errors
/// When it is no address, or leads from https to http.
pub fn target(from: &Url, location: &str) -> Result<Url, Error> {
    let unreadable = || Error::Unreadable { location: location.chars().take(200).collect() };
    let is_bare = !location.starts_with('/') && !location.contains("://");
    let full = if is_bare { format!("//{location}") } else { location.to_owned() };
    let mut url = from.join(&full).map_err(|_| unreadable())?;
    if url.host_str().is_none_or(str::is_empty) || !matches!(url.scheme(), "http" | "https") {
        return Err(unreadable());
    }
    if matches!(url.path(), "" | "/") {
        url.set_path(from.path());
    }
    if from.scheme() == "https" && url.scheme() == "http" {
        return Err(Error::Downgrade { url });
    }
    Ok(url)
}

/// Says whether an address is one of those that we were told of: the same host and port, and TLS if it was told with TLS.
#[must_use]
pub fn is_told(url: &Url, told: &[Url]) -> bool {
    told.iter().any(|told| {
        told.host_str() == url.host_str()
            && told.port_or_known_default() == url.port_or_known_default()
            && (told.scheme() == url.scheme() || url.scheme() == "https")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn every_form_of_location_is_understood() {
        let check = |from: &str, location: &str, expected: &str| {
            assert_eq!(target(&url(from), location).unwrap().as_str(), expected, "{location}");
        };
        let from = "http://m1:5050/api/v1/scheduler";
        check(from, "//m2:5051/master/api/v1/scheduler", "http://m2:5051/master/api/v1/scheduler");
        check(from, "//m2:5051", "http://m2:5051/api/v1/scheduler");
        check(from, "m2:5051", "http://m2:5051/api/v1/scheduler");
        check(from, "127.0.0.2:5051/", "http://127.0.0.2:5051/api/v1/scheduler");
        check(from, "http://m2:5051/x", "http://m2:5051/x");
        check(from, "https://m2/x", "https://m2/x");
        check(from, "/master/api/v1/scheduler", "http://m1:5050/master/api/v1/scheduler");
        check("https://m1/api/v1/scheduler", "//m2:5051", "https://m2:5051/api/v1/scheduler");
    }

    #[test]
    fn what_is_no_address_or_gives_up_tls_is_refused() {
        let from = url("https://m1:5050/api");
        for location in ["", "//", "ftp://m2/", "http://", "m2:port", "//m2:99999"] {
            assert!(matches!(target(&from, location), Err(Error::Unreadable { .. })), "{location:?}");
        }
        assert_eq!(target(&from, "http://m2:5050/"), Err(Error::Downgrade { url: url("http://m2:5050/api") }));
    }

    #[test]
    fn only_the_same_host_and_port_was_told() {
        let told = [url("http://m1:5050/x"), url("https://m2/x")];
        let check = |text: &str, expected| assert_eq!(is_told(&url(text), &told), expected, "{text}");
        check("http://m1:5050/y", true);
        check("https://m1:5050/y", true);
        check("https://m2:443/", true);
        check("http://m2:443/", false);
        check("http://m1:5051/", false);
        check("http://m1.example:5050/", false);
    }
}
