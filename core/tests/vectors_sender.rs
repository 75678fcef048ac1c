//! What the original's senders made of a scripted listener: ours comes to the same result, or a stricter one by a rule of
//! `docs/stricter.md`.
//!
//! The listener's frames are sent as they are recorded. Only the answer to an inject must be encrypted anew, for the
//! ephemeral key that our dialler drew, and given its request's id.

#[path = "support/answer_rules.rs"]
mod answer_rules;
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

use std::time::Duration;

use answer_rules::stricter_about_answers;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use original::{Original, parse};
use recorded::{identity, remade_response};
use serde_json::{Value, json};
use wopr_p2p_core::access::{Capability, SessionSet};
use wopr_p2p_core::identity::IdentityFile;
use wopr_p2p_core::invite::InviteToken;
use wopr_p2p_core::keys::Nonce;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{Command, CommandError, Config, Input, Reply, StreamId};
use world::{START, World, inject, log};

const B: usize = 0;

/// A node with B's keys that knows C.
fn sender(now: u64) -> (World, Original) {
    let (b, c) = (identity("B"), identity("C"));
    let known = json!({ "publicKey": c.public(), "encryptPub": c.encrypt_pub(), "added": START, "keySince": START });
    let mut stored = b.stored();
    stored.peers = Some(json!({ "peers": [known] }).to_string().into_bytes());
    let mut world = World::with_config(0, &Config::default());
    world.now.wall = WallTime::from_millis(now);
    world.add(Config::default(), stored);
    world.listen_raw(c.key().topic(), 7);
    (world, c)
}

fn command(case: &Value, b: &World, c: &Original) -> Command {
    match vectors::text(case, "operation") {
        "log" => log(c.key(), "main", "hi"),
        "inject" => inject(c.key(), "main", "hi"),
        "claim" => Command::Claim { token: token(case, b, c), timeout: Duration::from_secs(10) },
        "rotate" => Command::RotateKeys {
            reason: RotationReason::Scheduled,
            notify_all: true,
            timeout: Duration::from_secs(20),
        },
        other => panic!("unknown operation {other}"),
    }
}

/// A token of C for B that opens what the case says.
fn token(case: &Value, b: &World, c: &Original) -> String {
    let texts = |name: &str, or: &str| -> Vec<String> {
        let listed = case["result"][name].as_array().cloned().unwrap_or_else(|| vec![or.into()]);
        listed.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    let issuer = IdentityFile::from_json(&c.stored().identity.expect("an identity")).expect("an identity").current;
    let token = InviteToken {
        issuer: c.key(),
        subject: b.key(B),
        sessions: SessionSet::new(texts("sessions", "main")).expect("sessions"),
        capabilities: texts("caps", "inject").iter().map(|word| word.parse::<Capability>().expect("a word")).collect(),
        expires: b.now.wall + Duration::from_secs(3600),
        nonce: Nonce([3; 16]),
    };
    token.to_token(&issuer).expect("a token")
}

/// A frame for our dialler: a response is made anew, everything else stays.
fn remade(frame: &str, case: &Value, hello: &Value, request: Option<&Value>, c: &Original) -> String {
    let Ok(message) = serde_json::from_str::<Value>(frame) else { return frame.to_owned() };
    let Some(request) = request.filter(|_| message["type"] == "response") else { return frame.to_owned() };
    // A request id of the right form was the right one, unless nothing else explains why it was no answer.
    let generated = message["requestId"].as_str().is_some_and(|id| id.len() == 32);
    let whole = message["payload"].is_string() && message["ephemeralPub"].is_string();
    let id = (generated && (case["result"]["code"] == 0 || !whole)).then(|| vectors::text(request, "requestId"));
    remade_response(frame, id, case["result"]["response"].as_str().unwrap_or("echo: hi"), hello, c)
}

/// What came of a case: the command's result, and how many messages followed each hello.
struct Outcome {
    result: Result<Reply, CommandError>,
    sent: Vec<usize>,
}

fn run(case: &Value, file: &Value) -> Outcome {
    let (mut world, c) = sender(case["now"].as_u64().or(file["now"].as_u64()).expect("a time"));
    let command = command(case, &world, &c);
    let id = world.command(B, command);
    let mut sent = Vec::new();
    let mut played: Vec<StreamId> = Vec::new();
    for _ in 0..100 {
        let unplayed = world.dialled_raw(B).into_iter().find(|stream| !played.contains(stream));
        if let Some(stream) = unplayed {
            played.push(stream);
            sent.push(play(&mut world, case, stream, &c));
        } else if let Some(result) = world.hosts[B].finished.remove(&id) {
            return Outcome { result: told(result, &c), sent };
        } else {
            world.sleep_until_timeout();
        }
    }
    panic!("{}: the command never finished", case["name"]);
}

/// A rotation succeeds towards a peer if the peer has been told.
fn told(result: Result<Reply, CommandError>, c: &Original) -> Result<Reply, CommandError> {
    match result {
        Ok(Reply::Rotated { ref told, .. }) if !told.contains(&c.key()) => Err(CommandError::NoAnswer(c.key())),
        result => result,
    }
}

/// Plays the listener's part on a stream and counts the messages that the sender sent after its hello.
fn play(world: &mut World, case: &Value, stream: StreamId, c: &Original) -> usize {
    let hello = parse(&world.taken(B, stream).remove(0));
    let mut requests: Vec<Value> = Vec::new();
    for frame in case["listenerFrames"].as_array().expect("frames") {
        let bytes = match frame["base64"].as_str() {
            Some(base64) => STANDARD.decode(base64).expect("base64"),
            None => remade(frame.as_str().expect("a text"), case, &hello, requests.first(), c).into_bytes(),
        };
        world.input(B, Input::Received { stream, bytes });
        requests.extend(world.taken(B, stream).iter().map(|line| parse(line)));
    }
    requests.len()
}

/// Why ours believes less than the original did.
fn stricter(case: &Value, file: &Value) -> Option<&'static str> {
    let frames = case["listenerFrames"].as_array().expect("frames").iter();
    let text: String = frames.map(Value::as_str).collect::<Option<_>>()?;
    let now = case["now"].as_u64().or(file["now"].as_u64()).expect("a time");
    stricter_about_answers(&text, &identity("C").public(), now)
}

fn check(case: &Value, file: &Value) {
    let name = format!("{} {}", case["operation"], case["name"]);
    let Outcome { result: ours, sent } = run(case, file);
    let rule = stricter(case, file);
    let recorded = &case["result"];
    let most = case["messagesSentBySender"].as_u64().and_then(|sent| usize::try_from(sent).ok()).unwrap_or(1);
    assert!(sent.iter().all(|sent| *sent <= most), "{name}: sent {sent:?}, recorded {most}");
    if recorded["code"] != 0 || rule.is_some() {
        let error = ours.expect_err(&name);
        if rule.is_none() {
            check_refusal(&name, recorded, &error);
        }
        return;
    }
    assert_eq!(sent, [most], "{name}");
    let reply = ours.unwrap_or_else(|error| panic!("{name}: {error:?}, and no rule says why"));
    match reply {
        Reply::Answer(text) => assert_eq!(text, vectors::text(recorded, "response"), "{name}"),
        Reply::Claimed { peer, sessions, capabilities } => {
            assert_eq!(peer.key.to_string(), vectors::text(recorded, "peerKey"), "{name}");
            assert_eq!(json!(sessions.names()), recorded["sessions"], "{name}");
            let words: Vec<&str> = capabilities.iter().map(Capability::as_str).collect();
            assert_eq!(json!(words), recorded["caps"], "{name}");
        }
        Reply::Logged | Reply::Rotated { .. } => {}
        other => panic!("{name}: {other:?}"),
    }
}

/// A refusal in words is told as such, and as what it means.
fn check_refusal(name: &str, recorded: &Value, error: &CommandError) {
    let (Some(2 | 4), Some(words)) = (recorded["code"].as_u64(), recorded["message"].as_str()) else { return };
    if name.starts_with("\"rotate\"") {
        return;
    }
    let c = identity("C").key();
    let expected = match words {
        "rate limited" => CommandError::RateLimited(c),
        "unauthorized" => CommandError::Unauthorized(c),
        other => CommandError::Rejected { peer: c, reason: other.to_owned() },
    };
    assert_eq!(*error, expected, "{name}");
}

#[test]
fn a_sender_comes_to_the_recorded_result_or_a_stricter_one_by_a_rule() {
    let file = vectors::load("sender.json");
    for case in file["cases"].as_array().expect("cases") {
        check(case, &file);
    }
}

#[test]
fn flaw_21_whatever_a_listener_does_every_command_ends() {
    let file = vectors::load("sender.json");
    for case in file["cases"].as_array().expect("cases") {
        let frames = case["listenerFrames"].as_array().expect("frames").len();
        for kept in 0..frames {
            let mut cut = case.clone();
            cut["listenerFrames"].as_array_mut().expect("frames").truncate(kept);
            cut["result"] = json!("still pending");
            // It panics if the command never ends.
            let ours = run(&cut, &file).result;
            assert!(kept > 0 || ours.is_err(), "{}: {ours:?} from nothing", case["name"]);
        }
    }
}

/// The tests above would pass if nothing were ever sent.
#[test]
fn a_sender_of_ours_and_the_scripted_listener_understand_each_other() {
    let (mut world, c) = sender(START);
    let id = world.command(B, inject(c.key(), "main", "héllo"));
    let stream = world.dialled_raw(B)[0];
    let mut listener = original::Channel::welcome(&mut world, B, stream, &c, 2);
    let request = listener.received(&mut world).remove(0);
    assert_eq!(listener.text_of(&request).as_deref(), Some("héllo"));
    assert_eq!(request["session"], "main");
    let line = listener.response(&world, &request, "wörld");
    listener.send(&mut world, &line);
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Ok(Reply::Answer("wörld".to_owned()))));
}
