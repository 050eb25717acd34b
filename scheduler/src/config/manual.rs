//! What `epic-scheduler man` and `epic-scheduler completions` are told, and what they tell.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Command, CommandFactory as _, Parser};
use epic_common_io::manual::{self, Shell};

use super::{Config, Error, healthcheck, init, offline, print, refusal};
use crate::failure::{Code, Failure};

/// Which part of the manual is asked for.
#[derive(Clone, Debug)]
pub enum Manual {
    /// The pages.
    Man(Man),
    /// What a shell completes.
    Completions(Completions),
}

/// Writes the pages for man(1) into a folder: one for the program, and one for each verb.
#[derive(Clone, Debug, Parser)]
#[command(name = "epic-scheduler man", version)]
pub struct Man {
    /// The folder, which must be there; pages of the same names are replaced
    pub dir: PathBuf,
}

/// Prints what a shell needs to complete the options and verbs.
#[derive(Clone, Debug, Parser)]
#[command(name = "epic-scheduler completions", version)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

impl Manual {
    /// Reads the options if `args`, which begins with the program's name, asks for `man` or `completions`; else `None`.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line for people.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Option<Result<Self, Error>> {
        let args: Vec<OsString> = args.into_iter().skip(1).collect();
        let read = match args.first()?.to_str()? {
            "man" => Man::try_parse_from(&args).map(Self::Man),
            "completions" => Completions::try_parse_from(&args).map(Self::Completions),
            _ => return None,
        };
        Some(read.map_err(|error| refusal(error, &args, None)))
    }

    /// Writes what was asked for.
    ///
    /// # Errors
    ///
    /// It can't be written.
    pub fn write(&self) -> Result<(), Failure> {
        match self {
            Self::Man(Man { dir }) => pages().write(dir).map_err(|error| {
                Failure::new(Code::Io, &error).about(&format!("cannot write the manual's pages into {}", dir.display()))
            }),
            Self::Completions(Completions { shell }) => io::stdout()
                .write_all(&manual::completions(command(), *shell))
                .map_err(|error| Failure::new(Code::Io, &error).about("cannot write to standard output")),
        }
    }
}

/// Returns the program with all its verbs, as the manual and shells see it.
#[must_use]
pub fn command() -> Command {
    let verb = |command: Command, name: &'static str| command.name(name).version(None::<&str>);
    // There is no verb `help`, which clap would add.
    Config::command().disable_help_subcommand(true).subcommands([
        verb(init::Init::command(), "init"),
        verb(offline::State::command(), "state"),
        verb(print::Print::command(), "print"),
        verb(healthcheck::Healthcheck::command(), "healthcheck"),
        verb(Man::command(), "man"),
        verb(Completions::command(), "completions"),
    ])
}

fn pages() -> manual::Manual {
    manual::Manual {
        command: command(),
        section: "8",
        files: &[
            ("/etc/epic/scheduler.yaml", "The options of the service epic\\-scheduler."),
            ("/var/lib/epic", "Its state directory."),
            ("/usr/lib/epic/epic-executor", "The program that agents fetch."),
        ],
        related: &["epicctl(1)", "systemctl(1)"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_verbs_are_taken() {
        let read = |args: &[&str]| Manual::read(["epic-scheduler"].iter().chain(args).map(OsString::from));
        assert!(
            matches!(read(&["man", "/m"]), Some(Ok(Manual::Man(Man { dir }))) if dir == std::path::Path::new("/m"))
        );
        assert!(matches!(read(&["completions", "zsh"]), Some(Ok(Manual::Completions(_)))));
        assert!(read(&["init"]).is_none() && read(&[]).is_none() && read(&["--master", "man"]).is_none());
        let wrong = read(&["completions", "dos"]).unwrap().unwrap_err().to_string();
        assert!(wrong.contains("'dos'") && wrong.contains("bash"), "{wrong}");
        assert!(matches!(read(&["man", "--help"]), Some(Err(Error::Asked(_)))));
    }

    #[test]
    fn a_page_for_each_verb_is_written_or_it_is_said_why_not() {
        let dir = tempfile::tempdir().unwrap();
        Manual::Man(Man { dir: dir.path().to_owned() }).write().unwrap();
        for name in ["epic-scheduler", "epic-scheduler-init", "epic-scheduler-state-restore", "epic-scheduler-man"] {
            assert!(dir.path().join(format!("{name}.8")).is_file(), "{name}");
        }
        let none = dir.path().join("none");
        let refused = Manual::Man(Man { dir: none }).write().unwrap_err();
        assert!(refused.code == Code::Io && refused.text.contains("/none: No such file"), "{}", refused.text);
    }
}
