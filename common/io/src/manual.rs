//! Pages for `man`, and completions for shells, from what `--help` says.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
pub use clap_complete::Shell;
use clap_complete::generate;
use clap_mangen::Man;

/// A program as its manual shows it.
#[derive(Clone, Debug)]
pub struct Manual {
    /// All that it takes; verbs are subcommands.
    pub command: Command,
    /// Which part of the system's manual it belongs to: `1` for people, `8` for who runs the machine.
    pub section: &'static str,
    /// Files that it uses where a package has installed it, and what each is.
    pub files: &'static [(&'static str, &'static str)],
    /// Pages to read next, such as `epicctl(1)`.
    pub related: &'static [&'static str],
}

impl Manual {
    /// Writes a page for the program and one for each verb, such as `epicctl.1` and `epicctl-bundle.1`, into a folder
    /// that is there; files of the same names are replaced.
    ///
    /// # Errors
    ///
    /// A file can't be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        self.pages().into_iter().try_for_each(|(name, page)| fs::write(folder.join(name), page))
    }

    /// Returns each page's file name and text, in roff.
    fn pages(&self) -> Vec<(String, String)> {
        let mut command = self.command.clone().disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        self.add(&command, None, &mut pages);
        pages
    }

    fn add(&self, command: &Command, above: Option<&str>, pages: &mut Vec<(String, String)>) {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        let source = format!("{} {}", self.command.get_name(), self.command.get_version().unwrap_or_default());
        let page = Man::new(command.clone()).section(self.section).source(source).manual("EPIC on Mesos");
        let mut text = Vec::new();
        page.render(&mut text).expect("a vector takes all that is written to it");
        let mut text = String::from_utf8(text).expect("clap's texts are UTF-8");
        // What clap calls extra is said after the options, and here that is how the program ends.
        text = text.replace(".SH EXTRA\n", ".SH \"EXIT STATUS\"\n").replace("\nExit codes:\n", "\n");
        let mut related: Vec<String> = above.map(|above| format!("{above}({})", self.section)).into_iter().collect();
        if above.is_none() && !self.files.is_empty() {
            text += ".SH FILES\n";
            text.extend(
                self.files.iter().map(|(path, is)| format!(".TP\n\\fI{}\\fR\n{is}\n", path.replace('-', "\\-"))),
            );
        }
        related.extend(self.related.iter().map(|page| (*page).to_owned()));
        if !related.is_empty() {
            text += &format!(".SH \"SEE ALSO\"\n{}\n", related.join(", ").replace('-', "\\-"));
        }
        pages.push((format!("{name}.{}", self.section), text));
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            self.add(verb, Some(&name), pages);
        }
    }
}

/// Returns what a shell needs to complete the program's options and verbs.
#[must_use]
pub fn completions(mut command: Command, shell: Shell) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    generate(shell, &mut command, name, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn program() -> Command {
        let verb = Command::new("fly").about("Leaves the ground").arg(Arg::new("high").long("high").help("How high"));
        Command::new("bird").version("1.2").about("Is a bird").subcommand(verb)
    }

    #[test]
    fn each_verb_has_a_page_that_leads_back() {
        let manual = Manual {
            command: program(),
            section: "8",
            files: &[("/etc/bird-seed", "What it eats.")],
            related: &["worm(1)"],
        };
        let folder = tempfile::tempdir().unwrap();
        manual.write(folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let (all, verb) = (read("bird.8"), read("bird-fly.8"));
        assert!(all.contains(".TH bird 8") && all.contains("bird 1.2") && all.contains("bird\\-fly(8)"), "{all}");
        assert!(all.contains("/etc/bird\\-seed\\fR\nWhat it eats.") && all.contains("SEE ALSO\"\nworm(1)"), "{all}");
        assert!(verb.contains("How high") && verb.contains("SEE ALSO\"\nbird(8), worm(1)"), "{verb}");
        assert!(!verb.contains(".SH FILES"), "{verb}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(manual.write(&folder.path().join("none")).is_err());
    }

    #[test]
    fn shells_learn_the_verbs_and_their_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = String::from_utf8(completions(program(), shell)).unwrap();
            assert!(text.contains("fly") && text.contains("high"), "{shell}: {text}");
        }
    }
}
