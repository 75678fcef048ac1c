//! The recorded hellos, said to a node of ours with the listener's keys: the answer is as recorded, or there is none by a
//! rule of `docs/stricter.md`.

#[path = "support/lenient.rs"]
mod lenient;
#[path = "support/original.rs"]
mod original;
#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/rules.rs"]
mod rules;
#[path = "support/vectors.rs"]
mod vectors;
#[path = "support/world.rs"]
mod world;

use original::parse;
use recorded::identity;
use serde_json::Value;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{Config, StreamId};
use world::World;

const A: usize = 0;

fn listener(file: &Value, case: &Value) -> (World, StreamId) {
    let mut world = World::with_config(0, &Config::default());
    let now = case["now"].as_u64().or(file["now"].as_u64()).expect("a time");
    world.now.wall = WallTime::from_millis(now);
    world.add(Config::default(), identity("A").stored());
    let stream = world.open_raw(A, 9);
    (world, stream)
}

/// Why a hello that the original answers gets none of ours.
fn stricter(line: &str, now: u64) -> Option<&'static str> {
    if let Some(rule) = rules::stricter_about_message(line) {
        return Some(rule);
    }
    let hello: Value = serde_json::from_str(line).expect("a hello");
    let offered = hello["versions"].as_array();
    let forward_secret = offered.is_some_and(|versions| versions.contains(&2.into()));
    let ephemeral = hello["ephemeralPub"].as_str().is_some_and(|key| !key.is_empty());
    if hello["ts"].as_u64().is_some_and(|ts| ts.abs_diff(now) > 300_000) {
        Some(vectors::explained("a hello more than five minutes from our clock"))
    } else if forward_secret && !ephemeral {
        Some(vectors::explained("a hello that offers version 2 without an ephemeralPub"))
    } else if hello["from"] == identity("A").public() {
        Some(vectors::explained("a hello of our own"))
    } else {
        None
    }
}

#[test]
fn a_hello_is_answered_as_recorded_or_refused_by_a_rule() {
    let file = vectors::load("hello.json");
    for case in file["cases"].as_array().expect("cases").iter().filter(|case| case["line"].is_string()) {
        let (name, line, recorded) = (&case["name"], vectors::text(case, "line"), &case["reply"]);
        let (mut world, stream) = listener(&file, case);
        let answers = world.send_raw(A, stream, format!("{line}\n").as_bytes());
        let rule = stricter(line, world.now.wall.as_millis());
        if recorded.is_null() || rule.is_some() {
            let agreed = answers.iter().any(|answer| parse(answer)["type"] != "reject");
            assert!(!agreed && world.is_closed(A, stream), "{name}: answered, and it must not be ({rule:?})");
            continue;
        }
        let [answer] = answers.as_slice() else { panic!("{name}: {} answers", answers.len()) };
        let answer = parse(answer);
        for member in ["type", "v", "version", "reason"].into_iter().filter(|member| !recorded[member].is_null()) {
            assert_eq!(answer[member], recorded[member], "{name}: {member}");
        }
        assert_eq!(answer["ephemeralPub"].is_string(), recorded["ephemeralPub"] == true, "{name}");
        assert_eq!(answer["from"], identity("A").public(), "{name}");
        assert_eq!(answer["re"], parse(line.as_bytes())["nonce"], "{name}: our answer names the hello");
        assert_eq!(world.is_closed(A, stream), recorded["type"] == "reject", "{name}");
    }
}

#[test]
fn a_second_hello_on_a_stream_is_never_answered() {
    let file = vectors::load("hello.json");
    for case in file["cases"].as_array().expect("cases").iter().filter(|case| case["line"].is_string()) {
        let line = format!("{}\n", vectors::text(case, "line"));
        let (mut world, stream) = listener(&file, case);
        world.send_raw(A, stream, line.as_bytes());
        assert!(world.send_raw(A, stream, line.as_bytes()).is_empty(), "{}", case["name"]);
        assert!(world.is_closed(A, stream), "{}", case["name"]);
    }
}
