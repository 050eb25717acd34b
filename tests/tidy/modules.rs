//! The shape of a Rust file: what it says first, and how long it is.

use crate::files::File;

/// Complains of a file that doesn't begin by saying what it is, or is too long for one idea.
pub(crate) fn check(file: &File) -> Vec<String> {
    let path = &file.path;
    let mut complaints = Vec::new();
    if !file.text.starts_with("//! ") {
        complaints.push(format!("{path}:1: a file begins with \"//! \" and a sentence that says what lives there"));
    }
    let (outside, all) = lines(&file.text);
    let (outside_max, all_max) =
        if is_test(path) { (TEST_LINES_MAX, TEST_LINES_MAX) } else { (LINES_MAX, ALL_LINES_MAX) };
    if outside > outside_max {
        complaints.push(format!("{path}: {outside} lines without tests; at most {outside_max}: divide it by ideas"));
    } else if all > all_max {
        complaints.push(format!("{path}: {all} lines; at most {all_max}: move its tests to a file of their own"));
    }
    complaints
}

/// Tells whether a file holds nothing but tests; what tests and the demo stand on is code like other code.
fn is_test(path: &str) -> bool {
    let is_library = ["tests/harness/", "tests/demo/", "tests/bench/"].iter().any(|folder| path.starts_with(folder));
    let in_tests = path.starts_with("tests/") || path.contains("/tests/");
    in_tests && !is_library || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

/// Counts lines outside modules for tests, and all lines.
fn lines(text: &str) -> (usize, usize) {
    let (mut outside, mut all) = (0, 0);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        all += 1;
        let is_module = lines.peek().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        if line != "#[cfg(test)]" || !is_module {
            outside += 1;
            continue;
        }
        for line in lines.by_ref() {
            all += 1;
            if line == "}" {
                break;
            }
        }
    }
    (outside, all)
}

const LINES_MAX: usize = 400;
const ALL_LINES_MAX: usize = 500;
const TEST_LINES_MAX: usize = 700;

#[cfg(test)]
fn complaints(path: &str, text: &str) -> usize {
    check(&File::new(path, text)).len()
}

#[test]
fn a_file_that_does_not_say_what_it_is_is_found() {
    assert_eq!(complaints("cli/src/main.rs", "//! The entry point.\nfn main() {}\n"), 0);
    assert_eq!(complaints("cli/src/main.rs", "fn main() {}\n"), 1);
    assert_eq!(complaints("cli/src/main.rs", "// The entry point.\n"), 1);
}

#[test]
fn a_file_with_too_many_lines_is_found() {
    let code = |lines: usize| format!("//! A file.\n{}", "x\n".repeat(lines - 1));
    let tests = |lines: usize| format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "x\n".repeat(lines - 3));
    assert_eq!(complaints("cli/src/a.rs", &code(400)), 0);
    assert_eq!(complaints("cli/src/a.rs", &code(401)), 1);
    assert_eq!(complaints("tests/harness/a.rs", &code(401)), 1);
    assert_eq!(complaints("cli/src/a.rs", &(code(400) + &tests(100))), 0);
    assert_eq!(complaints("cli/src/a.rs", &(code(400) + &tests(101))), 1);
    let after = |lines: usize| format!("//! A file.\n{}{}", tests(90), "x\n".repeat(lines - 1));
    assert_eq!((complaints("cli/src/a.rs", &after(400)), complaints("cli/src/a.rs", &after(401))), (0, 1));
    for path in ["tests/e2e/a.rs", "cli/tests/a.rs", "cli/src/tests.rs", "cli/src/a_tests.rs"] {
        assert_eq!(complaints(path, &code(700)), 0, "{path}");
        assert_eq!(complaints(path, &code(701)), 1, "{path}");
    }
}
