//! `wopr sim`: what it prints, the files that it writes, and that a run is the same again.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use support::shape::has_shape;

const INVALID: i32 = 3;

fn sim(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wopr"));
    command.arg("sim").args(args).env_remove("WOPR_HOME").env("HOME", "/nonexistent");
    command.output().expect("the program starts")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[test]
fn one_seed_is_summed_up_in_the_documented_shape_and_is_the_same_again() {
    let args = ["--seed", "3", "--nodes", "3", "--hours", "0.05", "--faults", "6", "--json"];
    let [first, second] = [sim(&args), sim(&args)];
    assert!(first.status.success(), "{first:?}");
    let [mut first, mut second] = [json(&first), json(&second)];
    has_shape("sim", &first);
    assert_eq!((&first["seeds"], &first["violationCount"]), (&1.into(), &0.into()));
    for figures in [&mut first, &mut second] {
        figures["cpuSeconds"] = Value::Null;
    }
    assert_eq!(first, second);
}

#[test]
fn many_seeds_end_in_a_table() {
    let output = sim(&["--seeds", "7..11", "--nodes", "3..4", "--hours", "0.02", "--scenario", "junk"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for part in ["seeds:", "FAULT", "ATTACK", "junk", "TRIED", "REPELLED", "no rule was broken"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(output.stderr.is_empty(), "nothing is shown that is only for a terminal: {output:?}");
}

#[test]
fn a_run_is_written_as_lines_and_as_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let [trace, page] = ["trace", "page"].map(|name| folder.path().join(name).display().to_string());
    let args = ["--seed", "5", "--nodes", "3", "--hours", "0.02", "--trace", &trace, "--html", &page, "--json"];
    let output = sim(&args);
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<Value> =
        fs::read_to_string(&trace).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = &lines[lines.len() - 1];
    assert_eq!((&lines[0]["kind"], &lines[0]["seed"]), (&"run".into(), &5.into()));
    // Reading along changes nothing.
    assert_eq!((&last["kind"], &last["hash"]), (&"end".into(), &json(&output)["hash"]));
    let kinds: std::collections::BTreeSet<&str> = lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    for kind in kinds {
        let documented = format!("| `{kind}` |");
        assert!(include_str!("../../docs/sim.md").contains(&documented), "docs/sim.md lacks {documented}");
    }
    assert!(fs::read_to_string(&page).unwrap().starts_with("<!doctype html>"));
}

#[test]
fn what_cannot_be_is_refused_with_what_can() {
    for (args, hint) in [
        (&["--scenario", "nonsense"][..], "unknown-key-share"),
        (&["--seed", "1", "--seeds", "2"], "--seeds"),
        (&["--seeds", "0"], "500..600"),
        (&["--nodes", "1"], "at least two"),
        (&["--hours", "-1"], "0.01"),
        (&["--faults", "11"], "0..=10"),
        (&["--trace", "x"], "--seed"),
        (&["--seed", "1", "--nodes", "2", "--hours", "0.01", "--html", "/nonexistent/x"], "/nonexistent/x"),
    ] {
        let output = sim(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(INVALID), "{args:?}: {output:?}");
        assert!(said.contains(hint), "{args:?}: {said}");
    }
}
