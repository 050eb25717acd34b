//! What the options say, wherever they are said.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;

const MASTER: &str = "--master=127.0.0.1:5050";
const STATE: &str = "--state-dir=/s";

fn read(args: &[&str]) -> Result<Config, Error> {
    Config::read(["epic-scheduler"].iter().chain(args).map(OsString::from))
}

/// What is said about options beside the two that must be there.
fn refused(args: &[&str]) -> String {
    let mut all = vec![MASTER, STATE];
    all.extend(args);
    let text = read(&all).unwrap_err().to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

fn with_file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("options.yaml");
    fs::write(&path, text).unwrap();
    let flag = format!("--config={}", path.display());
    (folder, flag)
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = read(&[MASTER, STATE]).unwrap();
    assert_eq!((config.role.as_str(), config.reach.listen.to_string().as_str()), ("BlueData", "127.0.0.1:8080"));
    assert_eq!(config.reach.advertised(), "http://127.0.0.1:8080");
    assert_eq!(config.unreachable_after, Duration::from_secs(300));
    assert_eq!(
        read(&[MASTER, STATE, "--advertise=http://localhost:1/"]).unwrap().reach.advertised(),
        "http://localhost:1"
    );
}

#[test]
fn a_file_gives_what_no_flag_says_also_what_is_required() {
    let (_folder, file) = with_file("master: 127.0.0.1:1\nstate-dir: /f\nrole: FromFile\nunreachable-after: 7m\n");
    let config = read(&[&file, "--role", "FromFlag"]).unwrap();
    assert_eq!(config.master.to_string(), "http://127.0.0.1:1");
    assert_eq!((config.state_dir.as_path(), config.role.as_str()), (Path::new("/f"), "FromFlag"));
    assert_eq!(config.unreachable_after, Duration::from_secs(420));
}

#[test]
fn a_principal_and_its_secret_may_be_said_in_different_places() {
    let (_folder, file) = with_file("secret-file: /secret\n");
    assert_eq!(read(&[MASTER, STATE, &file, "--principal=bd"]).unwrap().principal.as_deref(), Some("bd"));
}

/// Is also run by the test below, with an environment of its own.
#[test]
fn an_environment_that_says_nothing_changes_nothing() {
    let expected = std::env::var("EPIC_ROLE").unwrap_or_else(|_| "FromFile".to_owned());
    let (_folder, file) = with_file("role: FromFile\n");
    assert_eq!(read(&[MASTER, STATE, &file]).unwrap().role, expected);
    assert_eq!(read(&[MASTER, STATE, &file, "--role=FromFlag"]).unwrap().role, "FromFlag");
}

/// Runs the test above anew, since a process can't change its own environment safely.
#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "config::tests::an_environment_that_says_nothing_changes_nothing"]);
    let output = command.env("EPIC_ROLE", "FromEnvironment").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_file_with_what_is_no_option_or_no_file_is_refused() {
    let say = |text: &str| {
        let (folder, file) = with_file(text);
        refused(&[&file]).replace(folder.path().to_str().unwrap(), "F")
    };
    let unknown = "is no option that a file can hold; see epic-scheduler --help";
    assert_eq!(say("rolle: A\n"), format!("--config F/options.yaml: \"rolle\" {unknown}"));
    assert_eq!(say("check: 'true'\n"), format!("--config F/options.yaml: \"check\" {unknown}"));
    assert_eq!(say("state_dir: /s\n"), format!("--config F/options.yaml: \"state_dir\" {unknown}"));
    assert!(say("role: [a]\n").starts_with("--config F/options.yaml: the file is not valid: "));
    assert_eq!(refused(&["--config=/nonexistent"]), "cannot read --config /nonexistent");
}

#[test]
fn a_wrong_value_is_named_with_where_it_is_from() {
    let (_folder, file) = with_file("unreachable-after: soon\n");
    let wrong =
        "for '--unreachable-after <UNREACHABLE_AFTER>': \"soon\" is not a duration, such as 500ms, 30s, 5m, 12h or 21d";
    let from_file = format!("invalid value 'soon' {wrong} (in {file}); see epic-scheduler --help")
        .replace("--config=", "--config ");
    assert_eq!(refused(&[&file]), from_file);
    let from_flag = format!("invalid value 'soon' {wrong}; see epic-scheduler --help");
    assert_eq!(refused(&["--unreachable-after=soon"]), from_flag);
    assert_eq!(refused(&["--unreachable-after", "soon"]), from_flag);
    let missing = read(&[MASTER]).unwrap_err().to_string();
    let wanted = "the following required arguments were not provided: --state-dir <DIR>; see epic-scheduler --help";
    assert_eq!(missing, wanted);
    assert!(refused(&["--rolle=A"]).starts_with("unexpected argument '--rolle' found"));
    assert!(refused(&["--bin=/b", "--platform=/p"]).contains("'--bin <FILE>' cannot be used with '--platform <FILE>'"));
}

#[test]
fn help_and_version_are_answers() {
    for flag in ["--help", "-h", "--version"] {
        assert!(matches!(read(&[flag]), Err(Error::Asked(_))), "{flag}");
    }
}

#[test]
fn help_shows_no_variable_that_may_hold_a_password() {
    fn all(command: &clap::Command) -> Vec<&clap::Arg> {
        command.get_arguments().chain(command.get_subcommands().flat_map(all)).collect()
    }
    let command = manual::command();
    let may = |arg: &&clap::Arg| arg.get_env().is_some_and(|name| name == "EPIC_MASTER" || name == "EPIC_ZK");
    let (hidden, shown): (Vec<_>, Vec<_>) =
        all(&command).into_iter().filter(may).partition(|arg| arg.is_hide_env_values_set());
    assert!(hidden.len() >= 6 && shown.is_empty(), "{shown:?}");
}

#[test]
fn a_name_without_a_secret_and_a_secret_without_a_name_are_refused() {
    let principal = "--principal bd needs its secret; name the file that holds it with --secret-file FILE";
    assert_eq!(refused(&["--principal=bd"]), principal);
    let secret = "--secret-file /x needs the name that it belongs to; give it with --principal NAME";
    assert_eq!(refused(&["--secret-file=/x"]), secret);
}

#[test]
fn a_role_is_checked_as_mesos_does() {
    for good in ["BlueData", "a/b", "x-1", "_"] {
        assert_eq!(read(&[MASTER, STATE, "--role", good]).unwrap().role, good);
    }
    for wrong in ["", "*", "-a", ".", "..", "a/", "/a", "a//b", "a/../b", "a/-b", "a b", "a\tb"] {
        let said = refused(&[&format!("--role={wrong}")]);
        assert!(said.contains("a role must be a name like BlueData") && said.contains("--role"), "{wrong:?}: {said}");
    }
}

/// Renders the page on options from what `--help` says.
fn page() -> String {
    let (run, init) = (Config::command(), init::Init::command());
    let mut page = format!("# Options of epic-scheduler\n\n{}\n## epic-scheduler init\n\n{}", part(run), part(init));
    page += &format!("\n## epic-scheduler healthcheck\n\n{}", part(healthcheck::Healthcheck::command()));
    let state = offline::State::command();
    page += &format!("\n## epic-scheduler state\n\n{}\n", state.get_long_about().unwrap_or_default());
    for verb in state.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let names = verb.get_positionals().flat_map(|arg| arg.get_value_names().unwrap_or_default());
        let names: String = names.map(|name| format!(" {name}")).collect();
        page += &format!("\n### epic-scheduler state {}{names}\n\n{}", verb.get_name(), part(verb.clone()));
    }
    let print = print::Print::command();
    for what in print.get_subcommands().filter(|what| what.get_name() != "help") {
        page += &format!("\n## epic-scheduler print {}\n\n{}", what.get_name(), part(what.clone()));
    }
    let verbs = [("man DIR", manual::Man::command()), ("completions SHELL", manual::Completions::command())];
    for (verb, command) in verbs {
        page += &format!("\n## epic-scheduler {verb}\n\n{}", part(command));
    }
    page
}

fn part(mut command: clap::Command) -> String {
    command.build();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let mut page = format!("{about}\n\n| option | environment | default | is |\n|---|---|---|---|\n");
    for arg in command.get_arguments() {
        let Some(flag) = arg.get_long() else { continue };
        let name = if arg.get_action().takes_values() {
            format!(" {}", arg.get_value_names().unwrap_or_default().join(" "))
        } else {
            String::new()
        };
        let variable = arg.get_env().map(|name| format!("`{}`", name.display())).unwrap_or_default();
        let default = if arg.get_action().takes_values() { arg.get_default_values() } else { &[] };
        let default: Vec<_> = default.iter().map(|value| format!("`{}`", value.display())).collect();
        let mut help =
            arg.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|").replace('<', "\\<");
        let values = arg.get_possible_values();
        if arg.get_action().takes_values() && !values.is_empty() {
            let values: Vec<_> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
            help += &format!(": {}", values.join(", "));
        }
        page += &format!("| `--{flag}{name}` | {variable} | {} | {help} |\n", default.join(", "));
    }
    page
}

#[test]
fn the_page_on_options_is_what_help_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/scheduler-options.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, page()).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, page(), "run: UPDATE=1 cargo test -p epic-scheduler --lib the_page_on_options");
}

const SHARED: &str = "--zk=zk://epic:secret@127.0.0.1:2181,127.0.0.1:2182/epic";
const TOKEN: &str = "--token-file=/t";

#[test]
fn a_shared_journal_is_where_zk_says() {
    let config = read(&[MASTER, STATE, SHARED, TOKEN]).unwrap();
    let zk = config.zk.unwrap();
    assert_eq!((zk.path.as_str(), zk.digest.as_deref(), zk.servers.len()), ("/epic", Some("epic:secret"), 2));
    assert_eq!(config.zk_session_timeout, Duration::from_secs(10));
    let alone = read(&[MASTER, STATE]).unwrap();
    assert_eq!(alone.zk, None);
    for (text, seconds) in [("4s", 4), ("1m", 60)] {
        let flag = format!("--zk-session-timeout={text}");
        assert_eq!(read(&[MASTER, STATE, &flag]).unwrap().zk_session_timeout, Duration::from_secs(seconds));
    }
}

#[test]
fn a_shared_journal_that_is_not_as_it_must_be_is_refused_without_telling_the_password() {
    let form = "write zk://[USER:PASSWORD@]HOST:PORT[,HOST:PORT...]/PATH; see epic-scheduler --help";
    let say = |value: &str| refused(&[&format!("--zk={value}")]);
    let wrong = "invalid value 'zk://127.0.0.1:2181' for '--zk <URL>': the path is missing; ";
    assert_eq!(say("zk://127.0.0.1:2181"), format!("{wrong}{form}"));
    assert!(say("127.0.0.1:2181").contains("it doesn't begin with zk://"));
    let masked = say("zk://epic:secret@127.0.0.1:2181");
    assert!(masked.contains("'...@127.0.0.1:2181'") && !masked.contains("secret"), "{masked}");
    let lost = refused(&["zk://epic:secret@127.0.0.1:2181/epic"]);
    assert!(lost.contains("'...@127.0.0.1:2181/epic'") && !lost.contains("secret"), "{lost}");
    let token = "needs one token for all that share it; write it to a file and give each --token-file FILE";
    assert_eq!(refused(&[SHARED]), format!("--zk zk://127.0.0.1:2181,127.0.0.1:2182/epic {token}"));
    for wrong in ["3s", "61s", "soon"] {
        assert!(refused(&[&format!("--zk-session-timeout={wrong}")]).contains(wrong), "{wrong}");
    }
    assert!(refused(&["--zk-session-timeout=3s"]).contains("it must be from 4s to 60s"));
    let loopback =
        "--listen 127.0.0.1 can't be reached from other machines, and the ZooKeeper server 10.0.0.1 is on one";
    assert!(refused(&["--zk=zk://10.0.0.1:2181/epic", TOKEN]).contains(loopback));
}

#[test]
fn init_is_a_verb_of_its_own() {
    let init = |args: &[&str]| init::Init::read(["epic-scheduler"].iter().chain(args).map(OsString::from));
    let read = init(&["init", SHARED, "--zk-session-timeout", "5s"]).unwrap().unwrap();
    assert_eq!((read.zk.path.as_str(), read.zk_session_timeout), ("/epic", Duration::from_secs(5)));
    assert!(init(&[MASTER, STATE]).is_none() && init(&[]).is_none());
    let missing = init(&["init"]).unwrap().unwrap_err().to_string();
    assert!(missing.starts_with("the following required arguments were not provided: --zk <URL>"), "{missing}");
    assert!(matches!(init(&["init", "--help"]), Some(Err(Error::Asked(_)))));
}

#[test]
fn under_marathon_its_variables_are_defaults_and_what_is_said_wins() {
    let variables = [
        ("MARATHON_APP_ID", "/epic"),
        ("HOST", "agent-1.example"),
        ("PORT_HTTP", "31001"),
        ("PORT_AGENTS", "31002"),
        ("MESOS_SANDBOX", "/sandbox"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let read = |args: &[&str]| {
        Config::read_under(&variables, ["epic-scheduler", "--master=10.0.0.1:1"].iter().chain(args).map(OsString::from))
    };
    let config = read(&[]).unwrap();
    assert_eq!(
        (config.reach.listen.to_string().as_str(), config.state_dir.as_path()),
        ("0.0.0.0:31001", Path::new("/sandbox/state"))
    );
    assert_eq!(config.reach.advertised(), "http://agent-1.example:31001");
    assert_eq!(config.reach.advertised_agents(), "http://agent-1.example:31002");
    let tls = read(&["--tls-cert-file=/c", "--tls-key-file=/k"]).unwrap();
    assert_eq!(tls.reach.advertised(), "https://agent-1.example:31001");
    let (_folder, file) = with_file("state-dir: /f\n");
    let said = read(&[&file, "--advertise=http://10.0.0.9:1", "--listen=10.0.0.9:1"]).unwrap();
    assert_eq!((said.reach.advertised().as_str(), said.state_dir.as_path()), ("http://10.0.0.9:1", Path::new("/f")));
    assert_eq!(said.reach.listen.to_string(), "10.0.0.9:1");
}

#[test]
fn the_package_s_configuration_lacks_what_must_be_set_and_its_examples_can_be_used() {
    let text = include_str!("../../debian/scheduler.yaml");
    let (_folder, file) = with_file(text);
    let refused = read(&[&file]).unwrap_err().to_string();
    assert!(refused.contains("not provided: --master"), "{refused}");
    let is_option = |line: &&str| line.split_once(": ").is_some_and(|(name, _)| !name.contains(' '));
    let mut examples = text.lines().filter_map(|line| line.strip_prefix("# ")).filter(is_option).peekable();
    assert!(examples.peek().is_some(), "no example is found");
    let all: String = examples.map(|line| format!("{line}\n")).collect();
    let (_folder, file) = with_file(&format!("{text}\n{all}"));
    let config = read(&[&file]).unwrap();
    assert!(config.zk.is_some() && config.principal.is_some() && config.bin.is_some(), "{config:?}");
    assert_eq!(config.state_dir, Path::new("/var/lib/epic"));
}
