//! What Marathon tells whatever it starts, or our images, as defaults of options: no script has to stand between the two.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::Error;

/// The variables of a process that has all of them.
pub(super) type Variables = BTreeMap<String, String>;

/// Returns this process's variables; what isn't text can't be what Marathon says.
pub(super) fn variables() -> Variables {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

/// Returns the options that follow from what Marathon says, else from being in an image of ours, each with its value; none if
/// neither is there.
///
/// What `is_said` of elsewhere (flag, environment, file) is left out, and no variable is looked at that only it needs.
/// `is_file` tells whether there is a file.
///
/// Source: Marathon, "Task Environment Variables" and "Ports"; Mesos, "Executor environment variables".
///
/// # Errors
///
/// A variable that is needed is missing or wrong: which one, and what may be said instead of it.
pub(super) fn defaults(
    variables: &Variables,
    is_said: impl Fn(&str) -> bool,
    is_file: impl Fn(&Path) -> bool,
) -> Result<Vec<(&'static str, String)>, Error> {
    if !variables.contains_key(APP) {
        let in_image = [("listen", "0.0.0.0:8080"), ("state-dir", "/var/lib/epic")];
        let known = in_image.into_iter().filter(|(option, _)| variables.contains_key(IMAGE) && !is_said(option));
        return Ok(known.map(|(option, value)| (option, value.to_owned())).collect());
    }
    let marathon = Marathon(variables);
    let mut options = Vec::new();
    let mut add = |option: &'static str, value: &dyn Fn() -> Result<Option<String>, Error>| {
        if !is_said(option)
            && let Some(value) = value()?
        {
            options.push((option, value));
        }
        Ok::<(), Error>(())
    };
    let scheme = if is_said("tls-cert-file") { "https" } else { "http" };
    add("listen", &|| Ok(Some(format!("0.0.0.0:{}", marathon.http("--listen ADDRESS:PORT")?))))?;
    add("advertise", &|| {
        let instead = "--advertise URL";
        Ok(Some(format!("{scheme}://{}:{}", marathon.host(instead)?, marathon.http(instead)?)))
    })?;
    add("listen-agents", &|| {
        let port = marathon.port(AGENTS, "--listen-agents ADDRESS:PORT")?;
        Ok(port.map(|port| format!("0.0.0.0:{port}")))
    })?;
    add("advertise-agents", &|| {
        let instead = "--advertise-agents URL";
        let port = marathon.port(AGENTS, instead)?;
        port.map(|port| Ok(format!("http://{}:{port}", marathon.host(instead)?))).transpose()
    })?;
    add("state-dir", &|| Ok(Some(format!("{}/state", marathon.sandbox("--state-dir DIR")?))))?;
    add("executor", &|| {
        let fetched = marathon.sandbox("--executor FILE").map(|sandbox| format!("{sandbox}/epic-executor"));
        Ok(fetched.ok().filter(|path| is_file(Path::new(path))))
    })?;
    Ok(options)
}

/// What Marathon and Mesos say to a task.
struct Marathon<'a>(&'a Variables);

impl Marathon<'_> {
    fn said(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The port where people and replicas reach us: the one called `http`, else the app's first.
    fn http(&self, instead: &str) -> Result<u16, Error> {
        for name in [HTTP, FIRST] {
            if let Some(port) = self.port(name, instead)? {
                return Ok(port);
            }
        }
        let next = format!("give the app a port with the name http, or say {instead}");
        Err(unfit(&format!("{APP} is set, but neither {HTTP} nor {FIRST} is; {next}")))
    }

    fn port(&self, name: &str, instead: &str) -> Result<Option<u16>, Error> {
        let Some(text) = self.said(name) else { return Ok(None) };
        match text.parse() {
            Ok(port) if port > 0 => Ok(Some(port)),
            Ok(_) | Err(_) => Err(wrong(name, text, "a port from 1 to 65535", instead)),
        }
    }

    /// The agent's name or address, as it stands in a URL.
    fn host(&self, instead: &str) -> Result<String, Error> {
        let expected = "the name or address of the agent";
        let text = self.said(HOST).ok_or_else(|| missing(HOST, expected, instead))?;
        let host = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
        let url = reqwest::Url::parse(&format!("http://{host}/"));
        let is_host = |url: &reqwest::Url| {
            url.username().is_empty() && url.port().is_none() && url.path() == "/" && url.query().is_none()
        };
        match url {
            Ok(url) if is_host(&url) && !text.contains(['/', '?', '#', '@']) => Ok(host),
            Ok(_) | Err(_) => Err(wrong(HOST, text, expected, instead)),
        }
    }

    /// The task's own directory, which is gone once the task is: in a container of an image it has another path.
    fn sandbox(&self, instead: &str) -> Result<String, Error> {
        let expected = "the absolute path of the sandbox";
        let name = [SANDBOX, DIRECTORY].into_iter().find(|name| self.said(name).is_some()).unwrap_or(SANDBOX);
        let text = self.said(name).ok_or_else(|| missing(name, expected, instead))?;
        if Path::new(text).is_absolute() {
            return Ok(text.trim_end_matches('/').to_owned());
        }
        Err(wrong(name, text, expected, instead))
    }
}

fn missing(name: &str, expected: &str, instead: &str) -> Error {
    unfit(&format!("{APP} is set, but {name} isn't, which must be {expected}; say {instead} where it isn't"))
}

fn wrong(name: &str, text: &str, expected: &str, instead: &str) -> Error {
    unfit(&format!("{name}=\"{}\" must be {expected}, as Marathon sets it; or say {instead}", text.escape_debug()))
}

fn unfit(text: &str) -> Error {
    Error::Unfit(text.to_owned())
}

/// Is there in every task of Marathon, and nowhere else.
pub(super) const APP: &str = "MARATHON_APP_ID";
/// Is there in every container of our images. Its defaults are not variables of options, which would win over Marathon's.
const IMAGE: &str = "EPIC_IMAGE";
const HOST: &str = "HOST";
const HTTP: &str = "PORT_HTTP";
const FIRST: &str = "PORT0";
const AGENTS: &str = "PORT_AGENTS";
const SANDBOX: &str = "MESOS_SANDBOX";
const DIRECTORY: &str = "MESOS_DIRECTORY";

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: [(&str, &str); 5] = [
        ("MARATHON_APP_ID", "/epic"),
        ("HOST", "agent-1.example"),
        ("PORT_HTTP", "31001"),
        ("PORT_AGENTS", "31002"),
        ("MESOS_SANDBOX", "/sandbox/"),
    ];

    /// What follows from the usual variables with `changes`, where an empty value takes one out.
    fn options(changes: &[(&str, &str)], said: &[&str]) -> Result<String, String> {
        let mut variables: Variables = USUAL.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        for (name, value) in changes {
            variables.insert((*name).to_owned(), (*value).to_owned());
        }
        variables.retain(|_, value| !value.is_empty());
        let options = defaults(&variables, |option| said.contains(&option), |path| path.starts_with("/fetched"));
        let options = options.map_err(|error| error.to_string())?;
        Ok(options.iter().map(|(option, value)| format!("{option}={value}")).collect::<Vec<_>>().join(" "))
    }

    fn check(changes: &[(&str, &str)], said: &[&str], expected: &str) {
        assert_eq!(options(changes, said).unwrap(), expected, "{changes:?} {said:?}");
    }

    fn fails(changes: &[(&str, &str)], said: &[&str], expected: &str) {
        assert_eq!(options(changes, said).unwrap_err(), expected, "{changes:?} {said:?}");
    }

    const ADDRESSES: &str = "listen=0.0.0.0:31001 advertise=http://agent-1.example:31001";
    const FOR_AGENTS: &str = "listen-agents=0.0.0.0:31002 advertise-agents=http://agent-1.example:31002";
    const STATE: &str = "state-dir=/sandbox/state";

    #[test]
    fn what_marathon_says_becomes_options() {
        check(&[], &[], &format!("{ADDRESSES} {FOR_AGENTS} {STATE}"));
        check(&[("PORT_AGENTS", "")], &[], &format!("{ADDRESSES} {STATE}"));
        check(&[("PORT_HTTP", ""), ("PORT0", "31001")], &[], &format!("{ADDRESSES} {FOR_AGENTS} {STATE}"));
        let plain = ["listen", "advertise", "listen-agents", "advertise-agents"];
        check(&[("MESOS_SANDBOX", ""), ("MESOS_DIRECTORY", "/d")], &plain, "state-dir=/d/state");
        let fetched = "state-dir=/fetched/state executor=/fetched/epic-executor";
        check(&[("MESOS_SANDBOX", "/fetched")], &plain, fetched);
        check(
            &[("HOST", "fe80::1")],
            &["listen", "listen-agents", "advertise-agents", "state-dir"],
            "advertise=http://[fe80::1]:31001",
        );
        check(
            &[],
            &["tls-cert-file", "listen", "listen-agents", "advertise-agents", "state-dir"],
            "advertise=https://agent-1.example:31001",
        );
    }

    #[test]
    fn without_marathon_the_same_variables_say_nothing() {
        check(&[("MARATHON_APP_ID", "")], &[], "");
    }

    #[test]
    fn in_an_image_its_places_are_known_and_marathon_knows_better() {
        let image = [("EPIC_IMAGE", "1")];
        check(&[&image[..], &[("MARATHON_APP_ID", "")]].concat(), &[], "listen=0.0.0.0:8080 state-dir=/var/lib/epic");
        check(&[&image[..], &[("MARATHON_APP_ID", "")]].concat(), &["listen"], "state-dir=/var/lib/epic");
        check(&image, &[], &format!("{ADDRESSES} {FOR_AGENTS} {STATE}"));
    }

    #[test]
    fn what_is_said_elsewhere_needs_no_variable() {
        let wrong = [("HOST", "a b"), ("PORT_HTTP", "x"), ("PORT_AGENTS", "0"), ("MESOS_SANDBOX", "here")];
        let all = ["listen", "advertise", "listen-agents", "advertise-agents", "state-dir"];
        check(&wrong, &all, "");
    }

    #[test]
    fn a_variable_that_is_missing_or_wrong_is_named() {
        let port = "must be a port from 1 to 65535, as Marathon sets it; or say --listen ADDRESS:PORT";
        for wrong in ["0", "65536", "-1", "http"] {
            fails(&[("PORT_HTTP", wrong)], &[], &format!("PORT_HTTP=\"{wrong}\" {port}"));
        }
        let none = "MARATHON_APP_ID is set, but neither PORT_HTTP nor PORT0 is; give the app a port with the name http, or say --listen ADDRESS:PORT";
        fails(&[("PORT_HTTP", "")], &[], none);
        let agents = "PORT_AGENTS=\"x\" must be a port from 1 to 65535, as Marathon sets it; or say --listen-agents ADDRESS:PORT";
        fails(&[("PORT_AGENTS", "x")], &[], agents);
        let host = "must be the name or address of the agent, as Marathon sets it; or say --advertise URL";
        for wrong in ["a b", "a/b", "u@a", "a?b", "1.2.3.4.5"] {
            fails(&[("HOST", wrong)], &[], &format!("HOST=\"{wrong}\" {host}"));
        }
        let no_host = "MARATHON_APP_ID is set, but HOST isn't, which must be the name or address of the agent; say --advertise URL where it isn't";
        fails(&[("HOST", "")], &[], no_host);
        let sandbox = "must be the absolute path of the sandbox, as Marathon sets it; or say --state-dir DIR";
        fails(&[("MESOS_SANDBOX", "here")], &[], &format!("MESOS_SANDBOX=\"here\" {sandbox}"));
        fails(
            &[("MESOS_SANDBOX", "")],
            &[],
            "MARATHON_APP_ID is set, but MESOS_SANDBOX isn't, which must be the absolute path of the sandbox; say --state-dir DIR where it isn't",
        );
    }
}
