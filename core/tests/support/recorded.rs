//! What is recorded of the original, brought into a form in which ours can be compared with it, and messages made anew
//! for a listener with other ephemeral keys.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wopr_p2p_core::{EntryKind, Stored, StreamId};
use x25519_dalek::StaticSecret;

use crate::original::{self, Channel, Original, payload_key, pkcs8, rekeyed, with_member};
use crate::world::{START, World};
use crate::{lenient, vectors};

/// The recorded identity of this name.
pub fn identity(name: &str) -> Original {
    let (file, rotation) = (vectors::load("identity.json"), vectors::load("rotation.json"));
    let mut all = file["identities"].as_array().expect("identities").iter().chain([&rotation["newIdentity"]]);
    Original::of(all.find(|identity| identity["name"] == name).unwrap_or_else(|| panic!("no identity {name}")))
}

/// The recorded identity with this key.
pub fn identity_of(public: &str) -> Original {
    let (file, rotation) = (vectors::load("identity.json"), vectors::load("rotation.json"));
    let mut all = file["identities"].as_array().expect("identities").iter().chain([&rotation["newIdentity"]]);
    Original::of(all.find(|identity| identity["publicKey"] == public).unwrap_or_else(|| panic!("no identity {public}")))
}

/// One answer, as far as it is recorded.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub struct Answer {
    pub kind: String,
    pub session: Option<String>,
    pub request: Option<String>,
    pub reason: Option<String>,
}

/// What came of a case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    pub replies: Vec<Answer>,
    /// Kind, session and text, sorted.
    pub delivered: Vec<(String, String, String)>,
    pub closed: bool,
}

impl Outcome {
    pub fn recorded(case: &Value) -> Self {
        let list = |name: &str| case[name].as_array().cloned().unwrap_or_default();
        let delivered = list("delivered").into_iter().map(|delivered| {
            let text =
                |name: &str| delivered[name]["text"].as_str().or(delivered[name].as_str()).unwrap_or("").to_owned();
            (text("event"), text("session"), text("message"))
        });
        let mut delivered: Vec<_> = delivered.collect();
        delivered.sort();
        Self { replies: list("replies").iter().map(answer).collect(), delivered, closed: false }
    }

    /// What was agreed to.
    pub fn done(&self) -> Vec<&Answer> {
        self.replies.iter().filter(|answer| answer.kind != "reject").collect()
    }

    /// The words of each refusal.
    pub fn reasons(&self) -> Vec<&str> {
        self.replies.iter().filter_map(|answer| answer.reason.as_deref()).collect()
    }

    /// Whether the other did no more than this.
    pub fn includes(&self, other: &Self) -> bool {
        let mut left = self.delivered.clone();
        let mut agreed = self.done();
        other.delivered.iter().all(|one| left.iter().position(|it| it == one).map(|at| left.remove(at)).is_some())
            && other
                .done()
                .iter()
                .all(|one| agreed.iter().position(|it| it == one).map(|at| agreed.remove(at)).is_some())
    }
}

fn answer(answer: &Value) -> Answer {
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    // Why a token cannot be read is told in words of one's own.
    let reason = text("reason").map(|reason| match reason.split_once(": ") {
        Some(("invalid token", _)) => "invalid token".to_owned(),
        _ => reason,
    });
    Answer { kind: text("type").expect("a type"), session: text("session"), request: text("requestId"), reason }
}

/// What a node answered on a stream, and what is in its sessions.
pub fn outcome(world: &World, host: usize, stream: StreamId, answers: &[Vec<u8>]) -> Outcome {
    let mut delivered: Vec<_> = Vec::new();
    for (session, entry) in
        world.hosts[host].sessions.iter().flat_map(|(name, entries)| entries.iter().map(move |entry| (name, entry)))
    {
        let kind = match entry.kind {
            EntryKind::Message => "log",
            EntryKind::Question => "inject",
            EntryKind::Answer => continue,
        };
        delivered.push((kind.to_owned(), session.clone(), entry.content.clone()));
    }
    delivered.sort();
    let replies = answers.iter().map(|line| answer(&original::parse(line))).collect();
    Outcome { replies, delivered, closed: world.is_closed(host, stream) }
}

/// A recorded line for another ephemeral key of the listener: `case.listenerEphemeral` is the recorded one.
pub fn remade(line: &[u8], channel: &Channel<'_>, case: &Value, listener: &Original) -> Vec<u8> {
    let recorded = &case["listenerEphemeral"]["privateKey"];
    let recorded_key = recorded.as_str().map(|key| original::x25519_public(&pkcs8(key).into()));
    let (Ok(text), Some(recorded_key)) = (std::str::from_utf8(line), recorded_key) else { return line.to_vec() };
    let from = payload_key(&channel.ephemeral, &recorded_key).expect("the recorded key");
    remade_payload(text, &from, channel, listener).into_bytes()
}

/// A recorded line whose payload is for the key `from`, for the channel's key. One for the static keys stays.
pub fn remade_payload(text: &str, from: &[u8; 32], channel: &Channel<'_>, listener: &Original) -> String {
    let body = text.trim_end_matches(['\r', '\n']);
    let end = &text[body.len()..];
    let to = channel.key(&listener.encrypt_pub());
    let by_static = payload_key(channel.identity.encrypt_secret(), &listener.encrypt_pub()).expect("a key");
    let changed = with_member(body, "payload", |payload| {
        let bytes = lenient::base64(payload);
        if original::open(&by_static, &bytes).is_some() {
            return None;
        }
        Some(in_the_same_spelling(payload, &rekeyed(&bytes, from, &to)))
    });
    format!("{}{end}", channel.identity.sign_again(body, &changed))
}

/// A recorded response for a dialler with other keys: encrypted for the key in its hello, and with this request id. What
/// the response lacks it goes on lacking.
pub fn remade_response(line: &str, id: Option<&str>, text: &str, hello: &Value, signer: &Original) -> String {
    let (body, end) = line.split_at(line.trim_end().len());
    let message = original::parse(body.as_bytes());
    let mut changed = body.to_owned();
    if let Some(id) = id {
        changed = with_member(&changed, "requestId", |_| Some(id.to_owned()));
    }
    if message["payload"].is_string() && message["ephemeralPub"].is_string() {
        let fresh = StaticSecret::from([0x21; 32]);
        let key = payload_key(&fresh, vectors::text(hello, "ephemeralPub")).expect("the dialler's ephemeral key");
        let payload = STANDARD.encode(original::seal(&key, [5; 12], text.as_bytes()));
        changed = with_member(&changed, "payload", |_| Some(payload));
        changed = with_member(&changed, "ephemeralPub", |_| Some(original::x25519_public(&fresh)));
    }
    format!("{}{end}", signer.sign_again(body, &changed))
}

/// Writes bytes in base64 as another text of the same length is written: with its junk, in its alphabet.
fn in_the_same_spelling(like: &str, bytes: &[u8]) -> String {
    let url = like.contains(['-', '_']);
    let text = STANDARD.encode(bytes);
    let mut digits = text.chars().map(|digit| match digit {
        '+' if url => '-',
        '/' if url => '_',
        digit => digit,
    });
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    like.chars().map(|c| if is_digit(c) { digits.next().unwrap_or(c) } else { c }).collect()
}

/// Puts the invites that these lines claim into the issuer's table, as far as they name it as their issuer.
pub fn with_invites(mut stored: Stored, issuer: &Original, lines: &[Vec<u8>]) -> Stored {
    let mut invites: Vec<Value> = Vec::new();
    for line in lines {
        let Ok(message) = serde_json::from_slice::<Value>(line) else { continue };
        let Some(token) = message["token"].as_str().and_then(|token| token.strip_prefix("wop1://")) else { continue };
        let Ok(token) = serde_json::from_slice::<Value>(&lenient::base64(token)) else { continue };
        let known = invites.iter().any(|invite| invite["nonce"] == token["nonce"]);
        let usable = ["iss", "sub"].iter().all(|name| lenient::spki(&token[*name], 0x70).is_some());
        let nonce = token["nonce"].as_str().is_some_and(|nonce| nonce.len() == 32);
        let expires = token["exp"].as_f64().map(|exp| format!("{exp:.0}"));
        let Some(expires) = expires.and_then(|exp| exp.parse::<u64>().ok()) else { continue };
        if token["iss"] == issuer.public() && usable && nonce && !known {
            invites.push(json!({
                "nonce": token["nonce"], "subject": token["sub"], "sessions": token["ses"],
                "capabilities": token["cap"], "created": START, "expires": expires, "state": "open",
            }));
        }
    }
    let access = stored.access.as_deref().map_or(json!({ "grants": [] }), original::parse);
    stored.access = Some(json!({ "grants": access["grants"], "invites": invites }).to_string().into_bytes());
    stored
}
