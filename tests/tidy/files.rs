//! The repository as values: paths, texts, folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One file; paths are relative to the repository's root, with `/`.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    /// Empty if it isn't UTF-8.
    pub(crate) text: String,
}

/// All files but those that git ignores.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repository {
    /// In the order of their paths.
    pub(crate) files: Vec<File>,
    /// Without a slash at the end.
    pub(crate) folders: BTreeSet<String>,
}

impl Repository {
    /// Reads the repository that this test was built from.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is a folder of the repository");
        let ignored = fs::read_to_string(root.join(".gitignore")).expect(".gitignore is there");
        let mut ignored: BTreeSet<&str> = ignored.lines().filter_map(|line| line.strip_prefix('/')).collect();
        ignored.insert(".git");
        let mut repository = Self::default();
        repository.walk(root, "", &ignored);
        repository.files.sort_by(|one, other| one.path.cmp(&other.path));
        repository
    }

    /// Makes a repository of files, for samples.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files: Vec<File> = files.iter().map(|(path, text)| File::new(path, text)).collect();
        let folders = files.iter().flat_map(|file| Path::new(&file.path).ancestors().skip(1));
        let folders = folders.map(|folder| folder.display().to_string()).filter(|folder| !folder.is_empty()).collect();
        Self { files, folders }
    }

    /// Lists the files with such an ending.
    pub(crate) fn ending(&self, ending: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.path.ends_with(ending))
    }

    /// Returns a file's text; empty if it isn't there.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.files.iter().find(|file| file.path == path).map_or("", |file| &file.text)
    }

    /// Tells whether there is such a file or folder.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.folders.contains(path) || self.files.iter().any(|file| file.path == path)
    }

    fn walk(&mut self, folder: &Path, prefix: &str, ignored: &BTreeSet<&str>) {
        for entry in fs::read_dir(folder).expect("folders of the repository can be read") {
            let entry = entry.expect("folders of the repository can be read");
            let name = entry.file_name().to_string_lossy().into_owned();
            if prefix.is_empty() && ignored.contains(name.as_str()) {
                continue;
            }
            let path = format!("{prefix}{name}");
            if entry.path().is_dir() {
                self.walk(&entry.path(), &format!("{path}/"), ignored);
                self.folders.insert(path);
            } else {
                // A file that an editor has just removed is no file of the repository.
                let Ok(bytes) = fs::read(entry.path()) else { continue };
                self.files.push(File { path, text: String::from_utf8(bytes).unwrap_or_default() });
            }
        }
    }
}

impl File {
    /// Makes a file of values.
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

#[test]
fn the_repository_is_read_without_what_git_ignores() {
    let repository = Repository::read();
    assert!(repository.has("Cargo.toml") && repository.has("common/src") && repository.has("tests/tidy/main.rs"));
    assert!(!repository.has("target") && !repository.has(".git"));
    assert!(repository.text("Cargo.toml").starts_with("[workspace]"));
}
