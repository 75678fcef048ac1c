//! The recorded conversations, each side in turn played by a node of ours: our listener answers the recorded client, our
//! dialler asks the recorded listener. And every awkward text and session name, into our sessions and back.
//!
//! A node draws its own ephemeral keys; what is encrypted for the recorded ones is made anew with the recorded identities.

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
use original::{Channel, Original, parse, payload_key, pkcs8, with_member, x25519_public};
use recorded::{identity, identity_of, remade_payload, remade_response, with_invites};
use serde_json::{Value, json};
use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{Command, CommandError, Config, Input, Reply};
use world::{World, grant, inject, log};
use x25519_dalek::StaticSecret;

/// The one node of ours.
const NODE: usize = 0;

fn frames<'a>(flow: &'a Value, side: &str) -> Vec<&'a Value> {
    flow["frames"].as_array().expect("frames").iter().filter(|frame| frame["from"] == side).collect()
}

/// The fields of a frame.
fn fields(frame: &Value) -> Value {
    frame["line"].as_str().map_or_else(|| frame["fields"].clone(), |line| parse(line.as_bytes()))
}

fn secret(frame: &Value) -> Option<StaticSecret> {
    frame["ephemeralPrivateKey"].as_str().map(|key| pkcs8(key).into())
}

/// The text in a frame's payload, by the recorded key.
fn plaintext(frame: &Value) -> String {
    let recorded = &frame["payload"];
    let Some(payload) = fields(frame)["payload"].as_str().map(|payload| STANDARD.decode(payload).expect("base64"))
    else {
        return "x".repeat(recorded["plaintext"]["length"].as_u64().expect("a length").try_into().expect("a length"));
    };
    let key = vectors::hex(recorded, "aesKeyHex").try_into().expect("32 bytes");
    String::from_utf8(original::open(&key, &payload).expect("the recorded text")).expect("UTF-8")
}

fn now(flow: &Value) -> u64 {
    flow["now"].as_u64().expect("a time")
}

/// Whether a listener that follows the protocol can have sent these frames.
fn is_a_listener(client: &[&Value], server: &[&Value]) -> bool {
    let hello = fields(client[0]);
    let best = hello["versions"].as_array().into_iter().flatten().filter_map(Value::as_u64).filter(|v| *v < 3).max();
    let first = fields(server[0]);
    first["type"] == "reject"
        || first["type"] == "hello-ack" && first["version"].as_u64() == best && first["ephemeralPub"].is_string()
}

/// A node with the listener's keys, the grants that the recorded answers show, and the invites that are claimed.
fn listener(flow: &Value, client: &[&Value], server: &[&Value]) -> World {
    let identity = identity_of(vectors::text(&fields(server[0]), "from"));
    let lines: Vec<Vec<u8>> = client.iter().map(|frame| fields(frame).to_string().into_bytes()).collect();
    let mut stored = identity.stored();
    let asked = client.iter().map(|frame| fields(frame)).find(|message| message["type"] != "hello");
    let unauthorized = server.iter().any(|frame| fields(frame)["reason"] == "unauthorized");
    if let Some(asked) = asked.filter(|asked| asked["type"] != "claim" && !unauthorized) {
        let peer = identity_of(vectors::text(&asked, "from"));
        stored = original::granted(stored, &peer, &json!(["*"]), &json!(["inject"]));
    }
    let mut world = World::with_config(0, &Config::default());
    world.now.wall = WallTime::from_millis(now(flow));
    world.add(Config::default(), with_invites(stored, &identity, &lines));
    world
}

/// A recorded request, for our listener's ephemeral key.
fn request(frame: &Value, server: &[&Value], channel: &Channel<'_>, listener: &Original) -> String {
    let Some(line) = frame["line"].as_str() else {
        // A line that was too long for the file.
        let payload = STANDARD.encode(original::seal(&channel.key(""), [1; 12], plaintext(frame).as_bytes()));
        let mut fields = frame["fields"].clone();
        fields["payload"] = payload.into();
        let order = frame["order"].as_array().expect("an order").iter().filter_map(Value::as_str);
        let members: Vec<String> =
            order.filter(|name| *name != "sig").map(|name| format!("\"{name}\":{}", fields[name])).collect();
        return channel.identity.sign(&format!("{{{}}}", members.join(",")));
    };
    let from = match fields(server[0])["ephemeralPub"].as_str() {
        Some(recorded) => payload_key(&channel.ephemeral, recorded).expect("a key"),
        None => return format!("{line}\n"),
    };
    remade_payload(&format!("{line}\n"), &from, channel, listener)
}

#[test]
fn our_listener_answers_the_recorded_clients_as_recorded() {
    let file = vectors::load("messages.json");
    let mut played = 0;
    for flow in file["flows"].as_array().expect("flows") {
        let (client, server) = (frames(flow, "client"), frames(flow, "server"));
        if !is_a_listener(&client, &server) {
            continue;
        }
        played += 1;
        answer_recorded_client(flow, &client, &server);
    }
    assert!(played > 0 || vectors::are_others(), "no conversation was played");
}

fn answer_recorded_client(flow: &Value, client: &[&Value], server: &[&Value]) {
    let name = &flow["name"];
    let mut world = listener(flow, client, server);
    let hello = fields(client[0]);
    let (who, us) =
        (identity_of(vectors::text(&hello, "from")), identity_of(vectors::text(&fields(server[0]), "from")));
    if server.iter().any(|frame| fields(frame)["reason"] == "rate limited") {
        let mut channel = Channel::dial(&mut world, NODE, &who, 8);
        for number in 0..10 {
            let line = channel.log(&world, "main", &format!("before {number}"));
            assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack", "{name}");
        }
    }
    let stream = world.open_raw(NODE, 9);
    let ephemeral = secret(client[0]).unwrap_or_else(|| StaticSecret::from([1; 32]));
    let mut channel = Channel::on(NODE, stream, &who, ephemeral);
    let mut answers = channel.send(&mut world, &format!("{}\n", vectors::text(client[0], "line")));
    channel.welcomed(&answers);
    for frame in &client[1..] {
        let line = request(frame, server, &channel, &us);
        answers.extend(channel.send(&mut world, &line));
    }
    assert_eq!(answers.len(), server.len(), "{name}: {answers:?}");
    for (ours, recorded) in answers.iter().zip(server) {
        let signed_wrongly = recorded["verifiesWithFrom"] == false;
        let recorded = fields(recorded);
        for member in ["v", "type", "from", "version", "session", "reason", "requestId", "encryptPub"] {
            // A listener of the original that rotated its keys names one key and has the other.
            let absent = recorded[member].is_null() || recorded["type"] == "response";
            if !(absent || signed_wrongly && member == "encryptPub") {
                assert_eq!(ours[member], recorded[member], "{name}: {member}");
            }
        }
        assert!(ours["re"].is_string(), "{name}: our answers say what they answer, which the original ignores");
    }
    let delivered = answers.iter().any(|answer| answer["type"] == "ack" && !answer["session"].is_null());
    for frame in client[1..].iter().filter(|_| delivered) {
        let session = fields(frame)["session"].as_str().expect("a session").to_owned();
        assert_eq!(world.hosts[NODE].texts(&session).last(), Some(&plaintext(frame).as_str()), "{name}");
    }
}

/// What our dialler is told to do, so that it sends what the recorded client sent.
fn command(client: &[&Value], server: &[&Value]) -> Option<Command> {
    let frame = client.iter().find(|frame| !["hello", "hello-ack"].contains(&vectors::text(frame, "type")))?;
    let (message, peer) = (fields(frame), identity_of(vectors::text(&fields(server[0]), "from")).key());
    let session = message["session"].as_str();
    Some(match vectors::text(frame, "type") {
        "log" => log(peer, session?, &plaintext(frame)),
        "inject" => inject(peer, session?, &plaintext(frame)),
        "claim" => Command::Claim { token: vectors::text(&message, "token").into(), timeout: Duration::from_secs(10) },
        "key-rotation" => Command::RotateKeys {
            reason: RotationReason::Compromise,
            notify_all: true,
            timeout: Duration::from_secs(20),
        },
        other => panic!("unknown type {other}"),
    })
}

#[test]
fn our_dialler_asks_the_recorded_listeners_as_recorded() {
    let file = vectors::load("messages.json");
    let mut played = 0;
    for flow in file["flows"].as_array().expect("flows") {
        let (client, server) = (frames(flow, "client"), frames(flow, "server"));
        let offered = fields(client[0])["versions"] == json!([2, 1]);
        // A flow that says what a callback received is a listener's.
        let senders = flow["result"]["code"].is_u64() || flow["result"].is_string();
        let Some(command) = command(&client, &server).filter(|_| offered && senders) else { continue };
        played += 1;
        ask_recorded_listener(flow, &client, &server, command);
    }
    assert!(played > 0 || vectors::are_others(), "no conversation was played");
}

/// A node with the client's keys that knows the listener.
fn dialler(flow: &Value, client: &[&Value], us: &Original) -> World {
    let asked = client.iter().map(|frame| fields(frame)).find(|message| message["type"] == "key-rotation");
    // It rotates its keys itself.
    let from = asked.map_or_else(|| fields(client[0])["from"].clone(), |rotation| rotation["from"].clone());
    let mut stored = identity_of(from.as_str().expect("a key")).stored();
    let known = json!({ "publicKey": us.public(), "encryptPub": us.encrypt_pub(), "added": 1, "keySince": 1 });
    stored.peers = Some(json!({ "peers": [known] }).to_string().into_bytes());
    let mut world = World::with_config(0, &Config::default());
    world.now.wall = WallTime::from_millis(now(flow));
    world.add(Config::default(), stored);
    world.listen_raw(us.key().topic(), 7);
    world
}

fn ask_recorded_listener(flow: &Value, client: &[&Value], server: &[&Value], command: Command) {
    let name = &flow["name"];
    let listener = identity_of(vectors::text(&fields(server[0]), "from"));
    let mut world = dialler(flow, client, &listener);
    let id = world.command(NODE, command);
    let mut played = Vec::new();
    let mut sent = Vec::new();
    let result = (0..100).find_map(|_| {
        let stream = world.dialled_raw(NODE).into_iter().find(|stream| !played.contains(stream));
        if let Some(stream) = stream {
            played.push(stream);
            sent.extend(play(&mut world, flow, server, stream, &listener));
        } else if !world.hosts[NODE].finished.contains_key(&id) {
            world.sleep_until_timeout();
        }
        world.hosts[NODE].finished.remove(&id)
    });
    let result = match result.unwrap_or_else(|| panic!("{name}: the command never finished")) {
        Ok(Reply::Rotated { told, .. }) if told.is_empty() => Err(CommandError::NoAnswer(listener.key())),
        result => result,
    };
    let text: String = server.iter().map(|frame| format!("{}\n", vectors::text(frame, "line"))).collect();
    let rule = stricter_about_answers(&text, &listener.public(), now(flow));
    let good = flow["result"]["code"] == 0 && rule.is_none();
    assert_eq!(result.is_ok(), good, "{name}: {result:?}; the rule is {rule:?}");
    if rule.is_some() {
        assert!(sent.is_empty(), "{name}: something was sent to a listener that is not believed");
    } else if let Some(request) = sent.first() {
        let frame = client.iter().find(|frame| frame["type"] == request["type"]).expect("the same message");
        check_request(name, request, frame, server, &listener);
    }
}

/// Plays the recorded listener on a stream and returns what our dialler sent after its hello.
fn play(
    world: &mut World,
    flow: &Value,
    server: &[&Value],
    stream: wopr_p2p_core::StreamId,
    listener: &Original,
) -> Vec<Value> {
    let hello = parse(&world.taken(NODE, stream).remove(0));
    let mut sent: Vec<Value> = Vec::new();
    for frame in server {
        let line = format!("{}\n", vectors::text(frame, "line"));
        let line = match sent.first().filter(|_| frame["type"] == "response") {
            Some(request) => {
                let text = flow["result"]["response"].as_str().unwrap_or("");
                remade_response(&line, request["requestId"].as_str(), text, &hello, listener)
            }
            None => line,
        };
        world.input(NODE, Input::Received { stream, bytes: line.into_bytes() });
        sent.extend(world.taken(NODE, stream).iter().map(|line| parse(line)));
    }
    sent
}

/// Our request has the members of the recorded one, and its text, for whoever has the recorded listener's keys.
fn check_request(name: &Value, ours: &Value, frame: &Value, server: &[&Value], listener: &Original) {
    let recorded = fields(frame);
    let names = |message: &Value| message.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(ours), names(&recorded), "{name}");
    assert_eq!(ours["v"], recorded["v"], "{name}");
    assert_eq!(ours["session"], recorded["session"], "{name}");
    assert_eq!(ours["token"], recorded["token"], "{name}");
    let Some(payload) = ours["payload"].as_str() else { return };
    let key = match (ours["ephemeralPub"].as_str(), secret(server[0])) {
        (Some(theirs), Some(ephemeral)) => payload_key(&ephemeral, theirs),
        _ => payload_key(listener.encrypt_secret(), vectors::text(ours, "encryptPub")),
    };
    let text = original::open(&key.expect("a key"), &STANDARD.decode(payload).expect("base64"));
    assert_eq!(text.as_deref(), Some(plaintext(frame).as_bytes()), "{name}");
}

/// The text that was recorded in an inject, by the recorded key.
fn recorded_text(inject: &Value) -> Vec<u8> {
    let (_, payload) = vectors::text(inject, "line").split_once("\"payload\":\"").expect("a payload");
    let payload = STANDARD.decode(payload.split_once('"').expect("its end").0);
    let key = vectors::hex(inject, "aesKeyHex").try_into().expect("32 bytes");
    original::open(&key, &payload.expect("base64")).expect("the recorded text")
}

#[test]
fn every_awkward_text_reaches_its_session_from_an_original_or_a_rule_refuses_it() {
    let (a, b) = (identity("A"), identity("B"));
    for case in vectors::load("awkward.json")["cases"].as_array().expect("cases") {
        let name = &case["name"];
        let line = vectors::text(&case["inject"], "line");
        let mut world = World::with_config(0, &Config::default());
        world.add(Config::default(), original::granted(a.stored(), &b, &json!(["*"]), &json!(["inject"])));
        world.now.wall = WallTime::from_millis(parse_ts(line));
        let channel = Channel::dial(&mut world, NODE, &b, 9);
        let text = recorded_text(&case["inject"]);
        let payload = STANDARD.encode(original::seal(&channel.key(""), [2; 12], &text));
        let changed = with_member(line, "payload", |_| Some(payload));
        let changed = with_member(&changed, "ephemeralPub", |_| Some(x25519_public(&channel.ephemeral)));
        let answers = channel.send(&mut world, &format!("{}\n", b.sign_again(line, &changed)));
        if rules::stricter_about_message(line).is_some() {
            assert!(answers.is_empty() && world.hosts[NODE].sessions.is_empty(), "{name}: a rule refuses it");
            continue;
        }
        let session = vectors::text(&case["session"], "text");
        let text = String::from_utf8(text).expect("UTF-8");
        let answer = format!("re: {text}");
        assert_eq!(world.hosts[NODE].texts(session), [text.as_str(), answer.as_str()], "{name}");
        assert_eq!(answers.len(), 1, "{name}");
        assert_eq!(answers[0]["session"], session, "{name}");
        assert_eq!(channel.answer_of(&answers[0]), Some(answer), "{name}");
        if let Some(received) = case["received"]["message"]["text"].as_str() {
            assert_eq!(text, received, "{name}: the original received another text");
        }
    }
}

/// A line's time, although a lone surrogate in it may keep it from being JSON.
fn parse_ts(line: &str) -> u64 {
    let (_, rest) = line.rsplit_once("\"ts\":").expect("a time");
    rest.split([',', '}']).next().and_then(|ts| ts.parse().ok()).expect("a number")
}

#[test]
fn every_awkward_text_goes_there_and_back_between_nodes_of_ours() {
    const OTHER: usize = 1;
    for case in vectors::load("awkward.json")["cases"].as_array().expect("cases") {
        let name = &case["name"];
        let text = String::from_utf8(recorded_text(&case["inject"])).expect("UTF-8");
        let Some(Ok(session)) = case["session"]["text"].as_str().map(SessionName::new) else { continue };
        let mut world = World::new(2);
        let (node, other) = (world.key(NODE), world.key(OTHER));
        assert!(world.done(NODE, grant(other, &["*"], "inject")).is_ok());
        assert_eq!(world.done(OTHER, log(node, session.as_str(), &text)), Ok(Reply::Logged), "{name}");
        let question = Command::Inject {
            peer: PeerRef::Key(node),
            session: session.clone(),
            text: text.clone(),
            timeout: Duration::from_secs(300),
        };
        let answer = format!("re: {text}");
        assert_eq!(world.done(OTHER, question), Ok(Reply::Answer(answer.clone())), "{name}");
        assert_eq!(
            world.hosts[NODE].texts(session.as_str()),
            [text.as_str(), text.as_str(), answer.as_str()],
            "{name}"
        );
    }
}
