//! Where everything is in the executor's sandbox, and whose it is.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use epic_common::ids::{Digest, ServiceId, UnitId};
use nix::unistd::{Gid, Uid, getegid, geteuid};
use thiserror::Error;

/// The sandbox's directories; all but the services' own belong to the executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    root: PathBuf,
}

/// Who runs a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// For people.
    pub name: String,
    /// Its number.
    pub uid: Uid,
    /// Its group's number.
    pub gid: Gid,
}

/// Why a directory or user can't be used.
#[derive(Debug, Error)]
pub enum Error {
    /// The host doesn't know the user.
    #[error("this host has no user {0}")]
    NoUser(String),
    /// The user is root under whatever name.
    #[error("the user {0} is root, which the platform doesn't allow")]
    Root(String),
    /// The executor isn't root, so it can't become another.
    #[error("the executor runs as uid {own}, so it can't start a service as the user {asked}")]
    NotRoot {
        /// The executor's uid.
        own: Uid,
        /// Whom it should become.
        asked: String,
    },
    /// A directory above the sandbox is closed to the user.
    #[error("the user {user} can't pass {} (mode {mode:04o}) on the way to its directory; chmod o+x it", path.display())]
    Closed {
        /// Who can't pass.
        user: String,
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file system refuses.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Its object.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }
}

/// Where output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

const NOBODY: (&str, u32) = ("nobody", 65_534);

impl Sandbox {
    /// Makes the directories that all instances share.
    ///
    /// # Errors
    ///
    /// The directory that can't be made.
    pub fn create(root: PathBuf) -> Result<Self, Error> {
        let sandbox = Self { root };
        for (name, mode) in [("bundles", 0o700), ("installs", 0o711), ("services", 0o711), ("logs", 0o700)] {
            create_dir(&sandbox.root.join(name), mode)?;
        }
        // What we say repeats the last words of services, and the agent lets everybody read it.
        for name in ["stdout", "stderr"].map(|name| sandbox.root.join(name)).iter().filter(|file| file.is_file()) {
            set_mode(name, 0o640)?;
        }
        // Services of other users pass through; Mesos makes the sandbox with the mode 0750.
        let mode = fs::metadata(&sandbox.root).map_err(Error::io("look at", &sandbox.root))?.permissions().mode();
        set_mode(&sandbox.root, mode & 0o700 | 0o011)?;
        Ok(sandbox)
    }

    /// Returns the file of a fetched bundle.
    #[must_use]
    pub fn bundle(&self, digest: &Digest) -> PathBuf {
        self.root.join("bundles").join(format!("{digest}.bin"))
    }

    /// Returns the directory of an unpacked bundle.
    #[must_use]
    pub fn payload(&self, digest: &Digest) -> PathBuf {
        self.root.join("installs").join(digest.to_string())
    }

    /// Returns a service's own directory.
    #[must_use]
    pub fn service(&self, instance: &UnitId, service: &ServiceId) -> PathBuf {
        self.root.join("services").join(instance.to_string()).join(service.as_str())
    }

    /// Returns a service's log file.
    #[must_use]
    pub fn log(&self, instance: &UnitId, service: &ServiceId, stream: Stream) -> PathBuf {
        let end = match stream {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        };
        self.root.join("logs").join(format!("{instance}.{service}.{end}"))
    }

    /// Makes the directory of an instance.
    ///
    /// # Errors
    ///
    /// The directory that can't be made.
    pub fn create_instance(&self, instance: &UnitId) -> Result<(), Error> {
        create_dir(&self.root.join("services").join(instance.to_string()), 0o711)
    }

    /// Makes a service's directory, which belongs to its user, who must be able to get there.
    ///
    /// # Errors
    ///
    /// The directory that can't be made, or that the user can't pass.
    pub fn create_service(&self, instance: &UnitId, service: &ServiceId, user: &User) -> Result<PathBuf, Error> {
        let dir = self.service(instance, service);
        create_dir(&dir, 0o700)?;
        chown(&dir, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(Error::io("give away", &dir))?;
        for above in dir.ancestors().skip(1) {
            let found = fs::metadata(above).map_err(Error::io("look at", above))?;
            let bit = match (found.uid() == user.uid.as_raw(), found.gid() == user.gid.as_raw()) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if found.mode() & bit == 0 && !user.uid.is_root() {
                return Err(Error::Closed {
                    user: user.name.clone(),
                    path: above.to_owned(),
                    mode: found.mode() & 0o7777,
                });
            }
        }
        Ok(dir)
    }
}

/// Whether services may run as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// If they ask for it.
    Allowed,
    /// Never.
    Forbidden,
}

impl User {
    /// Finds the user that a service asks for; without a name an unprivileged one.
    ///
    /// # Errors
    ///
    /// Why it can't run as that user.
    pub fn find(asked: Option<&str>, root: Root) -> Result<Self, Error> {
        let own = geteuid();
        let user = match (asked, own.is_root()) {
            (None, false) => return Ok(Self { name: own.to_string(), uid: own, gid: getegid() }),
            (asked, _) => {
                let name = asked.unwrap_or(NOBODY.0);
                match nix::unistd::User::from_name(name) {
                    Ok(Some(user)) => Self { name: name.to_owned(), uid: user.uid, gid: user.gid },
                    Ok(None) | Err(_) if asked.is_none() => {
                        Self { name: NOBODY.0.to_owned(), uid: Uid::from_raw(NOBODY.1), gid: Gid::from_raw(NOBODY.1) }
                    }
                    Ok(None) | Err(_) => return Err(Error::NoUser(name.to_owned())),
                }
            }
        };
        if user.uid.is_root() && root == Root::Forbidden {
            return Err(Error::Root(user.name));
        }
        if !own.is_root() && user.uid != own {
            return Err(Error::NotRoot { own, asked: user.name });
        }
        Ok(user)
    }
}

fn create_dir(dir: &Path, mode: u32) -> Result<(), Error> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::io("create", dir)(error)),
        Ok(()) | Err(_) => set_mode(dir, mode),
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(Error::io("set the mode of", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_user_is_one_of_the_hosts_and_root_only_if_allowed() {
        let check = |asked, root, expected: Result<(u32, u32), &str>| {
            let found = User::find(asked, root)
                .map(|user| (user.uid.as_raw(), user.gid.as_raw()))
                .map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "these tests are for root");
        };
        check(None, Root::Forbidden, Ok((65_534, 65_534)));
        check(Some("daemon"), Root::Forbidden, Ok((1, 1)));
        check(Some("root"), Root::Allowed, Ok((0, 0)));
        check(Some("root"), Root::Forbidden, Err("the user root is root, which the platform doesn't allow"));
        check(Some("no-such-user"), Root::Allowed, Err("this host has no user no-such-user"));
    }

    #[test]
    fn a_service_has_a_directory_of_its_own_in_a_sandbox_that_is_not() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let dir = root.path().join("sandbox");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o750)).unwrap();
        fs::write(dir.join("stderr"), "").unwrap();
        let sandbox = Sandbox::create(dir.clone()).unwrap();
        let modes = ["", "stderr", "bundles", "installs", "services", "logs"].map(|name| mode(&dir.join(name)));
        assert_eq!(modes, [0o711, 0o640, 0o700, 0o711, 0o711, 0o700]);
        let (instance, service, user) =
            ("worker-0".parse().unwrap(), "web".into(), User::find(None, Root::Forbidden).unwrap());
        sandbox.create_instance(&instance).unwrap();
        for _ in 0..2 {
            let own = sandbox.create_service(&instance, &service, &user).unwrap();
            assert_eq!((fs::metadata(&own).unwrap().uid(), mode(&own)), (65_534, 0o700));
            assert_eq!(fs::metadata(own.parent().unwrap()).unwrap().uid(), 0);
        }
    }

    #[test]
    fn a_directory_that_the_user_cannot_pass_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o700)).unwrap();
        let dir = root.path().join("sandbox");
        fs::create_dir(&dir).unwrap();
        let sandbox = Sandbox::create(dir).unwrap();
        sandbox.create_instance(&"worker-0".parse().unwrap()).unwrap();
        let user = User::find(None, Root::Forbidden).unwrap();
        let error = sandbox.create_service(&"worker-0".parse().unwrap(), &"web".into(), &user).unwrap_err();
        let expected = format!(
            "the user nobody can't pass {} (mode 0700) on the way to its directory; chmod o+x it",
            root.path().display()
        );
        assert_eq!(error.to_string(), expected);
        let root_user = User::find(Some("root"), Root::Allowed).unwrap();
        assert!(sandbox.create_service(&"worker-0".parse().unwrap(), &"web".into(), &root_user).is_ok());
    }
}
