//! The recorded attempts at the original's listener, at a node of ours with the same keys and the same grant: what comes
//! of them is as recorded, or stricter by a rule of `docs/stricter.md`.
//!
//! A node draws its own ephemeral key, so each payload is encrypted anew for it, with the very fault that the recorded
//! one has, and what was signed rightly is signed anew. Everything else is sent as it was.

#[path = "support/channel_rules.rs"]
mod channel_rules;
#[path = "support/lenient.rs"]
mod lenient;
#[path = "support/original.rs"]
mod original;
#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/rules.rs"]
mod rules;
#[path = "support/token_rules.rs"]
mod token_rules;
#[path = "support/vectors.rs"]
mod vectors;
#[path = "support/world.rs"]
mod world;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use channel_rules::{Before, stricter_in_channel};
use original::{Channel, Original, pkcs8, x25519_public};
use recorded::{Outcome, identity, outcome, remade, with_invites};
use serde_json::Value;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{Config, StreamId};
use world::{START, World};
use x25519_dalek::StaticSecret;

const A: usize = 0;

/// How the bytes of a case are cut on their way.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    AsRecorded,
    ByLine,
    ByByte,
}

/// What everything in the file is about.
struct Setting {
    listener: Original,
    client: Original,
    ephemeral: StaticSecret,
}

impl Setting {
    fn load(file: &Value) -> Self {
        let ephemeral = pkcs8(vectors::text(&file["clientEphemeral"], "priv")).into();
        Self { listener: identity("A"), client: identity("B"), ephemeral }
    }

    /// A node with the listener's keys, the grant of the case, and every invite that the case claims.
    fn world(&self, case: &Value, lines: &[Vec<u8>]) -> World {
        let mut stored = self.listener.stored();
        let grant = &case["grantForB"];
        if !grant.is_null() {
            stored = original::granted(stored, &self.client, &grant["sessions"], &grant["caps"]);
        }
        let mut world = World::with_config(0, &Config::default());
        world.now.wall = WallTime::from_millis(case["now"].as_u64().unwrap_or(START));
        world.add(Config::default(), with_invites(stored, &self.listener, lines));
        world
    }

    /// Opens a stream, shaking hands if the case does.
    fn dial(&self, world: &mut World, case: &Value) -> (StreamId, Option<Channel<'_>>) {
        let stream = world.open_raw(A, 9);
        let hello = case["hello"] != false;
        let channel =
            hello.then(|| Channel::hello_with(world, A, stream, &self.client, self.ephemeral.clone(), &[2, 1]));
        assert!(channel.as_ref().is_none_or(|channel| channel.version == 2), "the handshake failed");
        (stream, channel)
    }
}

/// The bytes of each frame.
fn frames(case: &Value) -> Vec<Vec<u8>> {
    let frames = case["framesAfterHello"].as_array().expect("frames").iter();
    let bytes = |frame: &Value| match frame["base64"].as_str() {
        Some(base64) => STANDARD.decode(base64).expect("base64"),
        None => vectors::text(frame, "text").into(),
    };
    frames.map(bytes).collect()
}

fn lines(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    frames.concat().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// What a node of ours makes of a case.
fn run(setting: &Setting, case: &Value, cut: Cut) -> Outcome {
    let frames = frames(case);
    let recorded_lines = lines(&frames);
    let mut world = setting.world(case, &recorded_lines);
    let (stream, channel) = setting.dial(&mut world, case);
    let made: Vec<Vec<u8>> = match &channel {
        Some(channel) => recorded_lines.iter().map(|line| remade(line, channel, case, &setting.listener)).collect(),
        None => recorded_lines.clone(),
    };
    let same_lengths = made.iter().zip(&recorded_lines).all(|(made, recorded)| made.len() == recorded.len());
    let lengths: Vec<usize> = match cut {
        Cut::AsRecorded if same_lengths => frames.iter().map(Vec::len).collect(),
        Cut::AsRecorded | Cut::ByLine => made.iter().map(Vec::len).collect(),
        Cut::ByByte => vec![1; made.concat().len()],
    };
    let mut rest = made.concat();
    let mut answers = Vec::new();
    for length in lengths {
        let after = rest.split_off(length);
        answers.extend(world.send_raw(A, stream, &rest));
        rest = after;
    }
    outcome(&world, A, stream, &answers)
}

/// The first line of a case that a rule refuses, and the rule.
fn first_rule(setting: &Setting, case: &Value) -> Option<(usize, &'static str)> {
    let (from, ephemeral) = (setting.client.public(), x25519_public(&setting.ephemeral));
    let listener = case["listenerEphemeral"]["publicKey"].as_str().unwrap_or("");
    let mut claimed = Vec::new();
    for (number, line) in lines(&frames(case)).iter().enumerate() {
        let before = Before {
            hello: (case["hello"] != false).then_some((&from, &ephemeral)),
            version: 2,
            now: case["now"].as_u64().unwrap_or(START),
            capabilities: &case["grantForB"]["caps"],
            key: original::payload_key(&setting.ephemeral, listener),
            claimed: &claimed,
        };
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if line.trim().is_empty() {
            continue;
        }
        if let Some(rule) = stricter_in_channel(line, &before) {
            return Some((number, rule));
        }
        if let Some(token) = original::parse(line.as_bytes())["token"].as_str() {
            claimed.push(token.to_owned());
        }
    }
    None
}

/// Whether the original could read the case as it was cut: it handles the first line of a write, and decodes each write
/// by itself.
fn readable_for_the_original(case: &Value) -> bool {
    let frames = frames(case);
    let one_line = |frame: &Vec<u8>| frame.iter().filter(|byte| **byte == b'\n').count() <= 1;
    frames.iter().all(|frame| one_line(frame) && std::str::from_utf8(frame).is_ok())
}

fn check(setting: &Setting, case: &Value) {
    let name = &case["name"];
    let ours = run(setting, case, Cut::AsRecorded);
    for cut in [Cut::ByLine, Cut::ByByte] {
        assert_eq!(run(setting, case, cut), ours, "{name}: it matters how the bytes are cut");
    }
    let rule = first_rule(setting, case);
    let recorded = Outcome::recorded(case);
    if rule.is_none() && readable_for_the_original(case) {
        assert_eq!(ours.done(), recorded.done(), "{name}: no rule says why");
        // What is refused in words is refused in the same words; where the original is silent, ours may say why.
        if !recorded.reasons().is_empty() {
            assert_eq!(ours.reasons(), recorded.reasons(), "{name}: no rule says why");
        }
    } else if readable_for_the_original(case) {
        assert!(recorded.includes(&ours), "{name}: ours does more: {ours:?}, recorded {recorded:?}");
    }
    if let Some((number, _)) = rule.filter(|_| readable_for_the_original(case)) {
        let before = Outcome { replies: recorded.replies.iter().take(number).cloned().collect(), ..recorded.clone() };
        if recorded.replies.len() == lines(&frames(case)).len() {
            assert!(ours.replies.starts_with(&before.replies), "{name}: the lines before line {number} are fine");
        }
    }
    let said_something = lines(&frames(case)).iter().any(|line| line.ends_with(b"\n") && !line.trim_ascii().is_empty());
    assert!(!said_something || ours.closed || !ours.replies.is_empty(), "{name}: neither answered nor closed");
}

#[test]
fn what_comes_of_each_attempt_is_as_recorded_or_stricter_by_a_rule() {
    let file = vectors::load("negative.json");
    let setting = Setting::load(&file);
    for case in file["cases"].as_array().expect("cases") {
        check(&setting, case);
    }
}

/// The rules above speak of what the original does: here it is the other way round, nothing of a rule gets through.
#[test]
fn what_a_rule_refuses_is_neither_delivered_nor_granted() {
    let file = vectors::load("negative.json");
    let setting = Setting::load(&file);
    for case in file["cases"].as_array().expect("cases") {
        let Some((0, rule)) = first_rule(&setting, case) else { continue };
        let ours = run(&setting, case, Cut::AsRecorded);
        assert!(ours.done().is_empty() && ours.delivered.is_empty(), "{}: {rule}, and yet {ours:?}", case["name"]);
    }
}
