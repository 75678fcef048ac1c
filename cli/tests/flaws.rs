//! The original's flaws are numbered, and each has tests of ours that are named after it. Here it is held that none was
//! forgotten: a number has a test, or stands below with the reason why there is nothing to test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// How many numbered flaws there are.
const LAST: u32 = 41;

/// Flaws of parts that this program does not have.
const NOT_OURS: [(u32, &str); 4] = [
    (38, "codes of six characters to pair with: an invite is for one key, and nothing is paired by a code"),
    (39, "a home outside of `~/.wopr` and warnings in place of enforcement: there is one home and no such mode"),
    (40, "commands, events, settings that were only described: `seed`, `events.rs` and `settings.rs` run them all"),
    (41, "`wopr friend` without output: there are no friends, there are grants"),
];

#[test]
fn every_flaw_of_the_original_has_a_test_named_after_it() {
    let mut tested = BTreeSet::new();
    for part in ["core", "driver-smol", "driver-sim", "cli"] {
        tests_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(part), &mut tested);
    }
    for number in 1..=LAST {
        let excused = NOT_OURS.iter().any(|(excused, _)| *excused == number);
        assert_ne!(
            tested.contains(&number),
            excused,
            "flaw {number}: a test fn flaw_{number:02}_… or a reason, not both"
        );
    }
}

/// The numbers in the names of tests: `fn flaw_07_…`, and several in one name.
fn tests_below(folder: &Path, found: &mut BTreeSet<u32>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                tests_below(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("a source file is text");
            let names = source.lines().filter_map(|line| line.trim().strip_prefix("fn flaw_"));
            for name in names {
                found.extend(name.split("_flaw_").filter_map(|part| part.split('_').next()?.parse::<u32>().ok()));
            }
        }
    }
}
