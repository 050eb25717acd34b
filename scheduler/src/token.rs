//! The token that allows changes: read from the operator's file, or made once in the state directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use epic_common::ids::Digest;
use epic_common_io::secret::Source;
use sha2::{Digest as _, Sha256};

/// A token that was read; the text itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where it is, for whoever needs it.
    pub place: String,
    /// Its sha256.
    pub sha256: Digest,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be used.
    #[error("cannot {operation} token file {}", path.display())]
    Io {
        /// What was tried, such as `read`.
        operation: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Everybody on the machine knows it.
    #[error("token file {} has mode {mode:04o}, so that every user can read or write it; run: chmod 600 {0}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It isn't a token.
    #[error("{place} holds no token: {LENGTH_MIN} to {LENGTH_MAX} visible ASCII characters are needed, {found}")]
    Malformed {
        /// The file or the variable.
        place: String,
        /// What is there, without telling it.
        found: String,
    },
}

/// Reads the token that an operator gives in a file; white space around it doesn't count.
///
/// # Errors
///
/// The file can't be read, everybody can read or write it, or it doesn't hold 16 to 256 visible ASCII characters.
pub fn read(path: &Path) -> Result<Token, Error> {
    let failed = |source| Error::Io { operation: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o006 != 0 {
        return Err(Error::Open { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    let sha256 =
        digest(&bytes).map_err(|found| Error::Malformed { place: format!("token file {}", path.display()), found })?;
    Ok(Token { place: path.display().to_string(), sha256 })
}

/// Takes the token from where it is said to be.
///
/// # Errors
///
/// Those of [`read`]; what a variable holds must be of the same form.
pub fn take(source: &Source) -> Result<Token, Error> {
    match source {
        Source::File(path) => read(path),
        Source::Variable { name, value } => {
            let malformed = |found| Error::Malformed { place: (*name).to_owned(), found };
            let sha256 = digest(value.expose().as_bytes()).map_err(malformed)?;
            Ok(Token { place: (*name).to_owned(), sha256 })
        }
    }
}

/// Returns a token's sha256, or what is wrong with it.
fn digest(bytes: &[u8]) -> Result<Digest, String> {
    let token = bytes.trim_ascii();
    if !(LENGTH_MIN..=LENGTH_MAX).contains(&token.len()) {
        return Err(format!("it has {}", token.len()));
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err("it has others".to_owned());
    }
    Ok(Digest(Sha256::digest(token).into()))
}

/// Reads the state directory's own token, and makes it if there is none: 32 random bytes in hexadecimal, mode 0600.
///
/// Only one process may own the directory. A crash leaves no token or a whole one.
///
/// # Errors
///
/// Those of [`read`], and a directory that can't be written.
pub fn own(state_dir: &Path) -> Result<Token, Error> {
    let path = state_dir.join("token");
    match fs::symlink_metadata(&path) {
        Ok(_) => read(&path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(state_dir, &path).map_err(|source| Error::Io { operation: "make", path: path.clone(), source })?;
            read(&path)
        }
        Err(source) => Err(Error::Io { operation: "read", path, source }),
    }
}

fn make(state_dir: &Path, path: &Path) -> io::Result<()> {
    let part = state_dir.join("token.part");
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    let secret: [u8; 32] = rand::random();
    file.write_all(format!("{}\n", hex::encode(secret)).as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    File::open(state_dir)?.sync_all()
}

const LENGTH_MIN: usize = 16;
const LENGTH_MAX: usize = 256;
const FILE_BYTES_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use epic_common_io::secret::Secret;

    use super::*;

    #[expect(clippy::unwrap_in_result, reason = "the result is what is checked; a test fails by panicking")]
    fn check(contents: &[u8], mode: u32) -> Result<Digest, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        read(&path).map(|token| token.sha256).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "T"))
    }

    fn digest(text: &str) -> Digest {
        Digest(Sha256::digest(text.as_bytes()).into())
    }

    #[test]
    fn white_space_around_a_token_does_not_count() {
        assert_eq!(check(b"\n 0123456789abcdef\n", 0o600), Ok(digest("0123456789abcdef")));
        assert_eq!(check(b"0123456789abcdef", 0o640), Ok(digest("0123456789abcdef")));
    }

    #[test]
    fn what_is_no_token_is_refused_without_telling_it() {
        let needs = "token file T holds no token: 16 to 256 visible ASCII characters are needed, it has";
        assert_eq!(check(b"short", 0o600), Err(format!("{needs} 5")));
        assert_eq!(check(&[b'x'; 257], 0o600), Err(format!("{needs} 257")));
        assert_eq!(check(b"0123456789 abcdef", 0o600), Err(format!("{needs} others")));
        assert_eq!(check("0123456789abcdéf".as_bytes(), 0o600), Err(format!("{needs} others")));
        assert!(check(&[b'x'; 256], 0o600).is_ok());
    }

    #[test]
    fn a_variable_is_held_to_the_same_and_named() {
        let take = |value: &str| {
            let source = Source::Variable { name: "EPIC_TOKEN", value: Secret::new(value.to_owned()) };
            take(&source).map(|token| token.sha256).map_err(|error| error.to_string())
        };
        assert_eq!(take("0123456789abcdef"), Ok(digest("0123456789abcdef")));
        let needs = "EPIC_TOKEN holds no token: 16 to 256 visible ASCII characters are needed, it has";
        assert_eq!(take("sh0rt"), Err(format!("{needs} 5")));
        assert_eq!(take(""), Err(format!("{needs} 0")));
    }

    #[test]
    fn a_token_that_everybody_can_read_or_write_is_refused() {
        for mode in [0o644, 0o602, 0o604] {
            let said = check(b"0123456789abcdef", mode).unwrap_err();
            let wanted =
                format!("token file T has mode {mode:04o}, so that every user can read or write it; run: chmod 600 T");
            assert_eq!(said, wanted);
        }
    }

    #[test]
    fn the_own_token_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token.part"), "left by a crash").unwrap();
        let first = own(folder.path()).unwrap();
        assert_eq!(own(folder.path()).unwrap(), first);
        assert_eq!(fs::metadata(&first.place).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&first.place).unwrap().len(), 65);
        let another = tempfile::tempdir().unwrap();
        assert_ne!(own(another.path()).unwrap().sha256, first.sha256);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = own(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(error.to_string(), "cannot make token file /nonexistent/token");
    }
}
