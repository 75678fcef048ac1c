//! Messages of protocol versions 1 and 2: what is read is what was written, and a signature covers every byte of it.

use wopr_p2p_core::message::{Body, Header, Message};
use wopr_p2p_core::rotation::RotationStatement;
use wopr_p2p_core::wire::json::{decode, encode};
use wopr_p2p_core::wire::signed::Object;

use crate::identity;

/// The first two bytes say where the signed message is changed, the third how; the rest is one line.
pub fn run(data: &[u8]) {
    let [low, high, flip, line @ ..] = data else { return };
    objects(line);
    let Ok(received) = decode(line) else { return };
    let message = received.message().clone();
    if let Some((_, rotation)) = received.into_rotation() {
        // Whether the statement holds is for its own signature to say.
        drop(RotationStatement::parse_and_verify(rotation.statement.as_bytes()));
        return written_as_read(&message, &[0; 64]);
    }
    written_as_read(&message, &[7; 64]);
    signed(message, usize::from(u16::from_le_bytes([*low, *high])), *flip);
}

/// Members are read alike by us and by a JSON parser, and what is left without `sig` is still an object.
fn objects(json: &[u8]) {
    let Ok(object) = Object::parse(json) else { return };
    let Ok(value) = serde_json::from_slice::<serde_json::Map<_, _>>(json) else {
        // Half a character is a text in JavaScript; in Rust there is none.
        return assert!(json.windows(3).any(|three| three == b"\\ud"), "no object for other readers of JSON");
    };
    for (name, expected) in &value {
        let name = serde_json::to_string(name).expect("a text");
        let text = object.get(&name[1..name.len() - 1]).expect("every member is found");
        assert_eq!(serde_json::from_str::<serde_json::Value>(text).as_ref().ok(), Some(expected));
    }
    let Ok((signed, _)) = object.cut_signature() else { return };
    let rest: serde_json::Map<_, _> = serde_json::from_slice(&signed).expect("still an object");
    assert_eq!(rest.len() + 1, value.len(), "exactly one member is cut out");
    assert!(!rest.contains_key("sig") && Object::parse(&signed).is_ok());
}

fn written_as_read(message: &Message, signature: &[u8; 64]) {
    let line = encode(message, |_| *signature);
    let again = decode(&line).expect("what we write can be read");
    assert_eq!(again.message(), message);
    assert_eq!(encode(again.message(), |_| *signature), line, "one message has one spelling");
}

/// A message that we signed is believed as it is, and in no other form.
fn signed(message: Message, at: usize, flip: u8) {
    let identity = identity(1);
    let key = identity.public_key().verifying_key().expect("a good key");
    let message = Message { header: Header { from: identity.public_key(), ..message.header }, ..message };
    let mut line = encode(&message, |bytes| identity.sign(bytes));
    let verified = decode(&line).expect("a message").verify(&key).expect("our own signature");
    assert_eq!(verified, message);
    let at = at % line.len();
    line[at] ^= flip;
    if let Ok(Ok(believed)) = decode(&line).map(|received| received.verify(&key)) {
        assert_eq!(believed, message, "a changed message is believed");
        assert!(!matches!(believed.body, Body::KeyRotation(_)));
    }
}
