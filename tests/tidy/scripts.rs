//! Shell scripts end at their first error.

use crate::files::File;

/// Tells whether a file is a shell script, by its name or its first line.
pub(crate) fn is_script(file: &File) -> bool {
    file.path.ends_with(".sh") || is_shell(file.text.lines().next().unwrap_or_default())
}

/// Complains of a script that goes on after an error.
pub(crate) fn check(file: &File) -> Vec<String> {
    if !is_script(file) {
        return Vec::new();
    }
    let first = file.text.lines().next().unwrap_or_default();
    let wanted = if first.contains("bash") { "set -euo pipefail" } else { "set -eu" };
    let mut complaints = Vec::new();
    if !is_shell(first) {
        complaints.push(format!("{}:1: a script begins with #!/bin/sh or #!/bin/bash", file.path));
    }
    if !file.text.lines().any(|line| line.starts_with(wanted)) {
        complaints.push(format!("{}: lacks \"{wanted}\" on a line of its own", file.path));
    }
    complaints
}

fn is_shell(line: &str) -> bool {
    ["#!/bin/sh", "#!/bin/bash", "#!/usr/bin/env bash"].contains(&line)
}

#[test]
fn a_script_that_goes_on_after_an_error_is_found() {
    let complaints = |path: &str, text: &str| check(&File::new(path, text)).len();
    assert_eq!(complaints("a.sh", "#!/bin/sh\nset -eu\n"), 0);
    assert_eq!(complaints("a.sh", "#!/bin/sh\nset -euf\n"), 0);
    assert_eq!(complaints("a.sh", "#!/bin/sh\nset -e\n"), 1);
    assert_eq!(complaints("a.sh", "#!/bin/sh\n# set -eu\n"), 1);
    assert_eq!(complaints("a.sh", "#!/bin/bash\nset -eu\n"), 1);
    assert_eq!(complaints("a.sh", "#!/bin/bash\nset -euo pipefail\n"), 0);
    assert_eq!(complaints("run", "#!/bin/bash\necho\n"), 1);
    assert_eq!(complaints("a.sh", "set -eu\n"), 1);
    assert_eq!(complaints("a.py", "#!/usr/bin/python3\n"), 0);
}
