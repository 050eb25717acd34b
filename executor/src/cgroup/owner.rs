//! Whose control groups are whose, so that those of a dead executor can be told from those of a live one.

use std::fs;

/// An executor's process, told from any later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    namespace: u64,
    pid: u32,
    start: u64,
}

impl Owner {
    /// Returns this process; what `/proc` doesn't tell is 0.
    #[must_use]
    pub fn this_process() -> Self {
        let pid = std::process::id();
        Self { namespace: namespace().unwrap_or(0), pid, start: start(pid).unwrap_or(0) }
    }

    /// Returns the name of the owner's group for `what`.
    #[must_use]
    pub fn group(self, what: &str) -> String {
        format!("epic-{}-{}-{}-{what}", self.namespace, self.pid, self.start)
    }

    /// Finds the owner of a group in its name; `None` if it has another form.
    pub(super) fn of_group(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("epic-")?.splitn(4, '-');
        let namespace = parts.next()?.parse().ok()?;
        let pid = parts.next()?.parse().ok()?;
        let start = parts.next()?.parse().ok()?;
        parts.next().map(|_| Self { namespace, pid, start })
    }

    /// Tells whether the owner is certainly dead: processes of another pid namespace can't be looked up.
    pub(super) fn is_gone(self) -> bool {
        namespace() == Some(self.namespace) && start(self.pid) != Some(self.start)
    }
}

/// Returns the number of our pid namespace, from `pid:[4026531836]`.
fn namespace() -> Option<u64> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// Returns when a process was started, in clock ticks since the boot; field 22 of its `stat` (proc(5)).
fn start(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may have anything in it.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_name_tells_its_owner() {
        let own = Owner::this_process();
        assert!(own.namespace != 0 && own.start != 0);
        assert_eq!(Owner::of_group(&own.group("worker-0.1")), Some(own));
        for foreign in
            ["epic-test-1-2", "epic-1-2", "epic-1-2-3", "epic-mesos-test.15251-7MVVGs-a1", "mesos", "epic-1-2-x-y"]
        {
            assert_eq!(Owner::of_group(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn an_owner_is_gone_if_its_number_is_free_or_anothers() {
        let own = Owner::this_process();
        assert!(!own.is_gone());
        assert!(Owner { start: own.start + 1, ..own }.is_gone());
        assert!(Owner { pid: u32::MAX, ..own }.is_gone());
        assert!(!Owner { pid: u32::MAX, namespace: own.namespace + 1, ..own }.is_gone());
    }
}
