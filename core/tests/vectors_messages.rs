//! Every recorded frame is read, verified and written again to the very same bytes.

#[path = "support/rules.rs"]
mod rules;
#[path = "support/vectors.rs"]
mod vectors;

use std::collections::BTreeMap;

use aes_gcm::aead::{Aead as _, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::Value;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::message::{Body, MAX_PAYLOAD, Message};
use wopr_p2p_core::wire::{json, signed};

type Signers = BTreeMap<PublicKey, SigningKey>;

/// The private keys of the recorded identities.
fn signers() -> Signers {
    let file = vectors::load("identity.json");
    let rotation = vectors::load("rotation.json");
    let identities = file["identities"].as_array().expect("identities").iter().chain([&rotation["newIdentity"]]);
    identities
        .map(|identity| {
            let der = STANDARD.decode(vectors::text(identity, "privateKey")).expect("base64");
            let seed = der.last_chunk::<32>().expect("a PKCS#8 key");
            (vectors::text(identity, "publicKey").parse().expect("a key"), SigningKey::from_bytes(seed))
        })
        .collect()
}

/// The message of a line: verified, or a key rotation, which is not signed.
fn read(line: &str) -> Result<Message, String> {
    let received = json::decode(line.as_bytes()).map_err(|error| error.to_string())?;
    if matches!(received.message().body, Body::KeyRotation(_)) {
        let (header, rotation) = received.into_rotation().expect("a rotation");
        return Ok(Message { header, body: Body::KeyRotation(rotation) });
    }
    let key = received.message().header.from.verifying_key().map_err(|error| error.to_string())?;
    received.verify(&key).map_err(|error| error.to_string())
}

fn check_written_again(line: &str, message: &Message, signers: &Signers) {
    let value: Value = serde_json::from_str(line).expect("JSON");
    let recorded = signed::parse_signature(vectors::text(&value, "sig")).expect("a signature");
    let signer = signers.get(&message.header.from);
    let written = json::encode(message, |bytes| signer.map_or(recorded, |signer| signer.sign(bytes).to_bytes()));
    assert_eq!(std::str::from_utf8(&written).expect("UTF-8"), format!("{line}\n"));
}

#[test]
fn conversations_are_read_verified_and_written_again() {
    let signers = signers();
    let file = vectors::load("messages.json");
    for flow in file["flows"].as_array().expect("flows") {
        for frame in flow["frames"].as_array().expect("frames") {
            let line = frame["line"].as_str().map_or_else(|| rebuilt(frame), str::to_string);
            let name = format!("{} {}: {line:.300}", flow["name"], frame["type"]);
            match read(&line) {
                Err(error) if frame["verifiesWithFrom"] == false => {
                    assert!(json::decode(line.as_bytes()).is_ok(), "{name}: {error}");
                }
                Err(error) => {
                    assert!(rules::stricter_about_message(&line).is_some(), "{name}: {error}, and no rule says why");
                }
                Ok(message) => {
                    assert_ne!(frame["verifiesWithFrom"], false, "{name}");
                    assert_eq!(message.body.type_name(), vectors::text(frame, "type"), "{name}");
                    check_signed_bytes(frame, &line, &message);
                    check_written_again(&line, &message, &signers);
                }
            }
        }
    }
}

fn check_signed_bytes(frame: &Value, line: &str, message: &Message) {
    let (cut, _) = match &message.body {
        Body::KeyRotation(rotation) => signed::cut_signature(rotation.statement.as_bytes()),
        _ => signed::cut_signature(line.as_bytes()),
    }
    .expect("a signed object");
    if let Some(expected) = frame["signedBytes"].as_str() {
        assert_eq!(std::str::from_utf8(&cut).expect("UTF-8"), expected);
    }
}

/// A line that was too long for the file: its text is the letter x, as often as the payload says.
fn rebuilt(frame: &Value) -> String {
    let payload = &frame["payload"];
    let length = payload["plaintext"]["length"].as_u64().and_then(|len| usize::try_from(len).ok()).expect("a length");
    let iv: [u8; 12] = vectors::hex(payload, "ivHex").try_into().expect("12 bytes");
    let cipher = aes_gcm::Aes256Gcm::new_from_slice(&vectors::hex(payload, "aesKeyHex")).expect("a key");
    let sealed = cipher.encrypt(&iv.into(), "x".repeat(length).as_bytes()).expect("encryption");
    let (text, tag) = sealed.split_at(length);
    assert_eq!(tag, vectors::hex(payload, "tagHex"), "the text is another one");

    let mut fields = frame["fields"].as_object().expect("fields").clone();
    fields.insert("payload".into(), STANDARD.encode([&iv, tag, text].concat()).into());
    let order = frame["order"].as_array().expect("an order").iter().map(|name| name.as_str().expect("a name"));
    let members: Vec<String> = order.map(|name| format!("\"{name}\":{}", fields[name])).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn the_size_that_a_refusal_names_is_that_of_the_payloads_text() {
    let file = vectors::load("messages.json");
    let flows = file["flows"].as_array().expect("flows");
    let refused =
        flows.iter().filter(|flow| flow["result"]["message"].as_str().is_some_and(|m| m.contains("too large")));
    for flow in refused {
        let frame = flow["frames"].as_array().expect("frames").iter().find(|frame| frame["type"] == "log");
        let line = rebuilt(frame.expect("a log"));
        let Ok(Body::Log(log)) = read(&line).map(|message| message.body) else { panic!("not a log") };
        let reason = format!("payload too large: {} bytes exceeds {MAX_PAYLOAD} limit", log.payload.len());
        assert_eq!(vectors::text(&flow["result"], "message"), reason);
    }
}

#[test]
fn awkward_texts_are_read_verified_and_written_again() {
    let signers = signers();
    for case in vectors::load("awkward.json")["cases"].as_array().expect("cases") {
        for frame in ["inject", "response"] {
            let Some(line) = case[frame]["line"].as_str() else { continue };
            match read(line) {
                Ok(message) => {
                    let session = match &message.body {
                        Body::Inject(inject) => Some(&inject.session),
                        Body::Response(response) => response.session.as_ref(),
                        _ => None,
                    };
                    assert_eq!(session.map(|name| name.as_str()), case["session"]["text"].as_str(), "{}", case["name"]);
                    check_written_again(line, &message, &signers);
                }
                Err(error) => {
                    let rule = rules::stricter_about_message(line);
                    assert!(rule.is_some(), "{} {frame}: {error}, and no rule says why", case["name"]);
                }
            }
        }
    }
}

/// Checks that a line is read, or refused by a rule.
fn check_read(name: &Value, line: &str) {
    if let Err(error) = read(line) {
        assert!(rules::stricter_about_message(line).is_some(), "{name}: {error}, and no rule says why: {line:.300}");
    }
}

#[test]
fn what_the_original_listener_answered_is_read_or_refused_by_a_rule() {
    for case in vectors::load("negative.json")["cases"].as_array().expect("cases") {
        let frames: Option<String> = case["framesAfterHello"]
            .as_array()
            .and_then(|frames| frames.iter().map(|frame| frame["text"].as_str()).collect());
        let Some(text) = frames else { continue };
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        // With fewer answers than lines it is not recorded which line was answered.
        if case["replies"].as_array().is_some_and(|replies| replies.len() == lines.len()) {
            lines.iter().for_each(|line| check_read(&case["name"], line));
        }
    }
}

#[test]
fn what_the_original_sender_believed_is_read_or_refused_by_a_rule() {
    for case in vectors::load("sender.json")["cases"].as_array().expect("cases") {
        let frames = case["listenerFrames"].as_array().expect("frames").iter();
        let text: Option<String> = frames.map(Value::as_str).collect();
        let Some(text) = text.filter(|_| case["result"]["code"] == 0) else { continue };
        text.lines().filter(|line| !line.is_empty()).for_each(|line| check_read(&case["name"], line));
    }
}
