//! What the fuzzer starts from: the recorded messages and tokens, the documents of a node that was in use, and short
//! scripts in which everything goes well.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use wopr_p2p_core::access::{Capability, SessionName, SessionSet, TrustLevel};
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, Config};

use crate::host::Host;
use crate::{START, control, identity};

/// One input of a target.
pub type Seed = (&'static str, Vec<u8>);

/// Every seed; `vectors` is the folder `core/tests/vectors`.
///
/// # Panics
/// A file of vectors is missing or is not JSON.
#[must_use]
pub fn all(vectors: &Path) -> Vec<Seed> {
    let mut seeds = scripts();
    seeds.extend(recorded(vectors));
    seeds.push(("stored", documents()));
    seeds.push(("control", control::frame_of(&["p2p", "log", "alice", "--session", "main"], Some("hello"))));
    seeds.push(("control", control::frame_of(&[], None)));
    seeds.push(("token", members("[\"main\"]", "[\"inject\"]")));
    seeds.push(("token", members("[\"*\"]", "[\"inject.tools\",\"message\"]")));
    for lines in ["a\nbc\n", "a\r\n\r\n\nb\r", "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n", "0123456789"] {
        seeds.push(("frame", [&[8, 8, 1], lines.as_bytes()].concat()));
    }
    for flags in 0..32 {
        for kind in [0x13, 0x03] {
            let header = [kind, flags, 1, 0, 192, 0, 2, 1, 1, 0];
            seeds.push(("dht", [&header[..], &[1; 96]].concat()));
        }
    }
    seeds
}

/// Texts of the vectors, by what they look like.
fn recorded(vectors: &Path) -> Vec<Seed> {
    let mut texts = Vec::new();
    for file in ["messages", "hello", "negative", "awkward", "rotation", "sender", "tokens", "tokens-negative", "json"]
    {
        collect(&load(vectors, file), &mut texts);
    }
    let mut seeds: Vec<Seed> = Vec::new();
    for text in texts.iter().filter(|text| text.len() < 4096) {
        if text.starts_with("wop1://") {
            seeds.push(("token", text.clone().into_bytes()));
        } else if text.starts_with('{') {
            seeds.push(("message", [&[9, 1, 1], text.as_bytes()].concat()));
        }
    }
    let mut texts = Vec::new();
    collect(&load(vectors, "discovery"), &mut texts);
    seeds.extend(texts.iter().filter(|text| text.starts_with('{')).map(|text| {
        let text = [&[2], text.as_bytes()].concat();
        ("discovery", text)
    }));
    let mut texts = Vec::new();
    collect(&load(vectors, "identity")["identities"], &mut texts);
    seeds.extend(texts.into_iter().filter(|text| text.starts_with('{')).map(|text| ("stored", text.into_bytes())));
    seeds
}

fn load(vectors: &Path, file: &str) -> Value {
    let path = vectors.join(file).with_extension("json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Object(members) => members.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}

/// The members of a token, to be signed.
fn members(sessions: &str, capabilities: &str) -> Vec<u8> {
    let subject = identity(2).public_key();
    let nonce = "000102030405060708090a0b0c0d0e0f";
    format!("1\n\"{subject}\"\n{sessions}\n{capabilities}\n1767229200000\n\"{nonce}\"").into_bytes()
}

/// All documents of a node that has granted, invited, queued, rotated and joined a topic.
fn documents() -> Vec<u8> {
    let mut host = Host::new(1, Config::default(), START);
    let (timeout, day) = (Duration::from_secs(10), Duration::from_secs(24 * 3600));
    let key = identity(2).public_key();
    let peer = || PeerRef::Key(key);
    let sessions = SessionSet::new(["main", "other"]).expect("session names");
    let session = SessionName::new("main").expect("a session name");
    let commands = [
        Command::Grant {
            peer: peer(),
            sessions: sessions.clone(),
            capabilities: vec![Capability::inject()],
            trust: TrustLevel::Trusted,
            expires_in: Some(day),
        },
        Command::NamePeer { peer: peer(), name: "alice".to_owned() },
        Command::RevokePeer { peer: peer(), session: Some(session.clone()) },
        Command::CreateInvite { subject: key, sessions, capabilities: vec![Capability::message()], expires_in: day },
        Command::Queue { peer: peer(), session, text: "hello".to_owned(), timeout, expires_in: day },
        Command::JoinTopic { topic: "lobby".parse().expect("a topic") },
        Command::SetProfile { content: "{\"name\":\"bob\"}".to_owned() },
        Command::RotateKeys { reason: RotationReason::Scheduled, notify_all: false, timeout },
    ];
    for command in commands {
        host.command(command, START);
    }
    host.files().join(&0)
}

/// How `arbitrary` reads the variant `at` of `count`.
fn variant(at: u64, count: u64) -> [u8; 4] {
    u32::try_from((at << 32).div_ceil(count)).unwrap_or(u32::MAX).to_le_bytes()
}

fn scripts() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let step = |at| variant(at, 11).to_vec();
    let order = |by: u8, at, rest: &[u8]| [&step(0)[..], &[by], &variant(at, 10), rest].concat();
    let grant = order(0, 3, &[0, 0, 0]);
    let settle = step(1);
    for text in 0..3 {
        let send = order(1, text, &[0]);
        seeds.push(("script", [&grant[..], &send, &settle, &send, &settle].concat()));
    }
    let (invite, claim, rotate) = (order(0, 6, &[0]), order(1, 7, &[]), order(1, 9, &[0]));
    let (log, wait, restart) = (order(1, 0, &[0]), [&step(8)[..], &[60]].concat(), [&step(10)[..], &[0]].concat());
    seeds.push(("script", [&invite[..], &claim, &settle, &log, &settle, &restart, &log, &settle].concat()));
    seeds.push(("script", [&grant[..], &log, &settle, &rotate, &settle, &wait, &log, &settle].concat()));

    let step = |at| variant(at, 11).to_vec();
    let say = |who, what| [&step(5)[..], &variant(who, 4), &variant(what, 9), &[0; 6]].concat();
    let open = [&step(0)[..], &[0]].concat();
    for who in [0, 2] {
        let said: Vec<u8> = [0, 4, 2, 3, 5].into_iter().flat_map(|what| say(who, what)).collect();
        seeds.push(("connection", [&open[..], &said].concat()));
    }
    seeds.push(("connection", [&step(1)[..], &say(0, 1), &say(0, 8)].concat()));

    let step = |at| variant(at, 10).to_vec();
    let says = |who: u8, what| [&step(3)[..], &[who], &variant(what, 7), &[0; 7]].concat();
    let comes = [&step(0)[..], &[0]].concat();
    let approve = [&step(5)[..], &[1]].concat();
    seeds.push(("discovery", [&[1][..], &comes, &says(0, 0), &says(0, 1), &approve, &says(0, 5)].concat()));
    seeds.push(("discovery", [&[1][..], &step(1), &step(4), &[0], &says(0, 0), &says(0, 2)].concat()));

    let stir = |seed: u8| (0..200_u8).map(move |at| at.wrapping_mul(seed).rotate_left(3) ^ seed);
    for seed in [3, 7, 11, 29, 101, 201] {
        for target in ["udx", "secret"] {
            seeds.push((target, stir(seed).collect()));
        }
        seeds.push(("udx", core::iter::once(0).chain(stir(seed)).collect()));
    }
    // Three messages, then everything at once.
    seeds.push(("secret", [&[0, 2, 7, 7, 0, 0, 0, 1, 9][..], &[3, 255], &[0; 255]].concat()));
    seeds
}
