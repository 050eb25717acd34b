//! The hosts of the data centre: names, addresses, and the files that each has of its own.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use epic_tests::epic::{built, repository};

/// Every host with its address, those of schedulers as pages print them; `admin` is where people type.
pub(crate) const HOSTS: [(&str, Ipv4Addr); 9] = [
    ("admin", Ipv4Addr::new(127, 0, 20, 10)),
    ("zk1", Ipv4Addr::new(127, 0, 20, 11)),
    ("zk2", Ipv4Addr::new(127, 0, 20, 12)),
    ("zk3", Ipv4Addr::new(127, 0, 20, 13)),
    ("zk4", Ipv4Addr::new(127, 0, 20, 14)),
    ("sched1", Ipv4Addr::new(10, 0, 0, 1)),
    ("sched2", Ipv4Addr::new(10, 0, 0, 2)),
    ("sched3", Ipv4Addr::new(10, 0, 0, 3)),
    ("master1", Ipv4Addr::new(127, 0, 20, 31)),
];

/// The files of all hosts.
#[derive(Debug)]
pub(crate) struct Hosts {
    root: PathBuf,
}

impl Hosts {
    /// Makes them below an empty directory: on each host, changes to `/etc`, `/usr` and `/var/lib` are its own.
    ///
    /// # Errors
    /// Something can't be mounted or written.
    pub(crate) fn make(root: &Path) -> Result<Self> {
        sh("ip link set lo up")?;
        fs::create_dir_all(root)?;
        // What lies over another file system must not be an overlay itself, as a container's root is.
        sh(&format!("mount -t tmpfs -o mode=755 tmpfs {}", root.display()))?;
        let hosts = Self { root: root.to_owned() };
        hosts.write_tools()?;
        for (name, address) in HOSTS {
            if !address.is_loopback() {
                sh(&format!("ip addr add {address}/32 dev lo"))?;
            }
            hosts.make_one(name)?;
            // Pages name hosts by their addresses, too.
            symlink(name, root.join(address.to_string()))?;
        }
        // Whoever is on no host is where people type.
        for (part, at) in PARTS {
            sh(&format!("mount --bind {}/admin/{part}/at {at}", root.display()))?;
        }
        Ok(hosts)
    }

    fn make_one(&self, name: &str) -> Result<()> {
        for (part, lower) in PARTS {
            let dir = self.root.join(name).join(part);
            let (at, upper, scratch) = (dir.join("at"), dir.join("upper"), dir.join("scratch"));
            for dir in [&at, &upper, &scratch] {
                fs::create_dir_all(dir)?;
            }
            let (at, upper, scratch) = (at.display(), upper.display(), scratch.display());
            sh(&format!("mount -t overlay overlay -o lowerdir={lower},upperdir={upper},workdir={scratch} {at}"))?;
        }
        let names: Vec<String> = HOSTS.iter().map(|(name, _)| format!("{} {name}", address(name))).collect();
        fs::write(self.etc(name).join("hosts"), format!("127.0.0.1 localhost\n{}\n", names.join("\n")))?;
        fs::write(self.etc(name).join("hostname"), format!("{name}\n"))?;
        self.add_user(name)?;
        for program in ["epic-scheduler", "epic-executor"] {
            let to = self.root.join(name).join("usr/at/bin").join(program);
            // The machine may have them, too.
            if to.symlink_metadata().is_ok() {
                fs::remove_file(&to)?;
            }
            symlink(built(program)?, to)?;
        }
        Ok(())
    }

    /// Adds the service's user and group, which the package would make.
    fn add_user(&self, host: &str) -> Result<()> {
        for (file, entry) in
            [("passwd", "epic:x:64321:64321::/nonexistent:/usr/sbin/nologin"), ("group", "epic:x:64321:")]
        {
            let path = self.etc(host).join(file);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            if !text.lines().any(|line| line.starts_with("epic:")) {
                fs::write(&path, format!("{text}{entry}\n"))?;
            }
        }
        Ok(())
    }

    /// Writes the stand-ins, and links to the programs, to where every host finds them first.
    fn write_tools(&self) -> Result<()> {
        let tools = self.tools();
        fs::create_dir_all(&tools)?;
        for file in fs::read_dir(repository("tests/pages/shims"))? {
            let file = file?;
            let to = tools.join(file.file_name());
            fs::copy(file.path(), &to)?;
            fs::set_permissions(&to, Permissions::from_mode(0o755))?;
        }
        Ok(symlink(built("epicctl")?, tools.join("epicctl"))?)
    }

    /// Returns where the stand-ins are.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }

    /// Returns where commands to the whole data centre are written.
    pub(crate) fn orders(&self) -> PathBuf {
        self.root.join("orders")
    }

    /// Returns the directory in which people type.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Returns where a host's logs are.
    pub(crate) fn log(&self, host: &str, unit: &str) -> PathBuf {
        self.root.join(host).join(format!("{unit}.log"))
    }

    /// Returns a host's `/etc`.
    pub(crate) fn etc(&self, host: &str) -> PathBuf {
        self.root.join(host).join("etc/at")
    }

    /// Returns a host's `/var/lib`.
    pub(crate) fn var_lib(&self, host: &str) -> PathBuf {
        self.root.join(host).join("var-lib/at")
    }

    /// Returns the program that runs another one on a host, whose name and words follow.
    pub(crate) fn enter(&self) -> PathBuf {
        self.tools().join("enter")
    }

    /// Returns the environment that all programs of the data centre need.
    pub(crate) fn env(&self) -> [(&'static str, String); 3] {
        let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.tools().display());
        [("PATH", path), ("CENTRE", self.root.display().to_string()), ("HOME", self.home().display().to_string())]
    }
}

/// Returns a host's address.
pub(crate) fn address(host: &str) -> Ipv4Addr {
    HOSTS.iter().find(|(name, _)| *name == host).map_or(Ipv4Addr::LOCALHOST, |(_, address)| *address)
}

fn sh(command: &str) -> Result<()> {
    let ran = Command::new("/bin/sh").args(["-c", command]).output()?;
    ensure!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr).trim());
    Ok(())
}

/// The directories of which each host has its own, with what they are over; also known to `shims/enter`.
const PARTS: [(&str, &str); 3] = [("etc", "/etc"), ("usr", "/usr"), ("var-lib", "/var/lib")];

impl Hosts {
    /// Writes a line to a file on a host, which root owns and the service reads.
    ///
    /// # Errors
    /// It can't be written.
    pub(crate) fn write_secret(&self, host: &str, path: &str, line: &str) -> Result<()> {
        self.write(host, path, &format!("{line}\n"))?;
        let script = "chown root:epic \"$1\" && chmod 0640 \"$1\"";
        let mut command = Command::new(self.enter());
        let status = command.args([host, "/bin/sh", "-c", script, "sh", path]).envs(self.env()).status()?;
        ensure!(status.success(), "cannot give {path} on {host} to the service: {status}");
        Ok(())
    }

    /// Writes a file on a host, readable by its owner only.
    ///
    /// It is written from there: links in a path lead to other places on each host.
    ///
    /// # Errors
    /// It can't be written.
    pub(crate) fn write(&self, host: &str, path: &str, text: &str) -> Result<()> {
        let script = "umask 077; mkdir -p \"$(dirname \"$1\")\"; cat > \"$1\"";
        let mut command = Command::new(self.enter());
        command.args([host, "/bin/sh", "-c", script, "sh", path]).envs(self.env());
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        child.stdin.take().context("a pipe was asked for")?.write_all(text.as_bytes())?;
        let status = child.wait()?;
        ensure!(status.success(), "cannot write {path} on {host}: {status}");
        Ok(())
    }
}
