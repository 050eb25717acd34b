//! Words that no file may hold.

use crate::files::File;

/// Complains of what is put off, and of tests that are skipped or can't say why they pass.
pub(crate) fn put_off(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in numbered(&file.text) {
        for word in PUT_OFF.iter().filter(|word| line.contains(**word)) {
            complaints.push(format!("{}:{number}: \"{word}\" has no place here", file.path));
        }
        let owed = line.split(LATER).skip(1).any(|rest| !rest.starts_with("(#"));
        if owed {
            complaints.push(format!("{}:{number}: \"{LATER}\" needs the number of its issue: {LATER}(#12)", file.path));
        }
    }
    complaints
}

/// Complains of paths that exist on somebody's machine only.
pub(crate) fn places(file: &File) -> Vec<String> {
    let found = |line: &str| PLACES.iter().find(|place| names(line, place)).copied();
    let lines = numbered(&file.text).filter_map(|(number, line)| Some((number, found(line)?)));
    lines.map(|(number, place)| format!("{}:{number}: \"{place}\" is a place on one machine", file.path)).collect()
}

/// Tells whether the place stands in the line as a path of its own, not as a part of a longer one.
fn names(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + place.len()..].chars().next();
        let begins = !before.is_some_and(|c| c.is_alphanumeric() || "_-.}>$)*".contains(c));
        let ends = place.ends_with('/') || !after.is_some_and(|c| c.is_alphanumeric() || "_-.{".contains(c));
        begins && ends
    })
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

// Written in two parts, since this file is looked at, too.
const PUT_OFF: [&str; 6] = [
    concat!("to", "do!"),
    concat!("unimp", "lemented!"),
    concat!("#[ig", "nore"),
    concat!("#[should", "_panic"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];
const LATER: &str = concat!("TO", "DO");
const PLACES: [&str; 4] =
    [concat!("/wo", "rk"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("../sh", "ared")];

#[test]
fn each_word_is_found() {
    for word in PUT_OFF {
        assert_eq!(put_off(&File::new("a.rs", &format!("fine\n    {word}"))).len(), 1, "{word}");
    }
    let debt = |rest: &str| put_off(&File::new("a.rs", &format!("// {LATER}{rest}"))).len();
    assert_eq!((debt(": later"), debt("(#12): measure it"), debt("")), (1, 0, 1));
    assert_eq!(put_off(&File::new("a.rs", "//! Tells what to do, and ignores the rest.")), Vec::<String>::new());
}

#[test]
fn each_place_is_found() {
    for place in PLACES {
        assert_eq!(places(&File::new("a.md", &format!("see `{place}x/y`"))).len(), usize::from(place.ends_with('/')));
        assert_eq!(places(&File::new("a.md", &format!("\n\nsee {place}"))).len(), 1, "{place}");
        assert_eq!(places(&File::new("a.sh", &format!("cd {place}/y"))).len(), 1, "{place}");
    }
    for fine in [concat!("agent/wo", "rk"), concat!("/wo", "rkers"), concat!("{dir}/wo", "rk"), concat!("$1/ho", "me/")]
    {
        assert_eq!(places(&File::new("a.rs", fine)), Vec::<String>::new(), "{fine}");
    }
}
