//! Every kept input of every target, without the fuzzer: on any compiler, in seconds.

#![allow(clippy::disallowed_methods, reason = "the corpus is files")]

use std::path::Path;

use wopr_p2p_fuzz::TARGETS;

/// Says which input failed.
struct Running<'a>(&'a Path);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with {}", self.0.display());
        }
    }
}

#[test]
fn the_corpus_of_every_target_breaks_no_rule() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, run) in TARGETS {
        let folder = corpus.join(target);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut inputs: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in &inputs {
            let bytes = std::fs::read(input).unwrap_or_else(|error| panic!("{}: {error}", input.display()));
            let running = Running(input);
            run(&bytes);
            drop(running);
        }
    }
}

#[test]
fn every_target_is_built_for_the_fuzzer() {
    let manifest = include_str!("../Cargo.toml");
    for (target, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target} is no program");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
