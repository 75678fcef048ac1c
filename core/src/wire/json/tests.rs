use alloc::format;
use alloc::vec;

use ed25519_dalek::{Signer as _, SigningKey};
use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;
use crate::access::SessionName;
use crate::chain::Chain;

const SESSION_KEY: [u8; 32] = [9; 32];

fn signer(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    PublicKey::from_bytes(signer(seed).verifying_key().to_bytes())
}

fn verifying(seed: u8) -> VerifyingKey {
    public(seed).verifying_key().expect("a key made from a seed")
}

fn write_signed(message: &Message, seed: u8) -> Vec<u8> {
    encode(message, |bytes| signer(seed).sign(bytes).to_bytes())
}

/// Signs a line written by hand, which has no `sig` yet.
fn hand_signed(json: &str) -> Vec<u8> {
    let signature = signed::format_signature(signer(1).sign(json.as_bytes()).to_bytes());
    format!("{},\"sig\":\"{signature}\"}}\n", &json[..json.len() - 1]).into_bytes()
}

fn header() -> Header {
    Header { from: public(1), nonce: Nonce([0xab; 16]), ts: WallTime::from_millis(1_767_225_600_000) }
}

fn session() -> SessionName {
    SessionName::new("main").expect("a name")
}

/// One message of each type, with every member that it can have.
fn one_of_each() -> Vec<Message> {
    let key = EncryptKey::from_bytes(SESSION_KEY);
    let (encrypt_key, ephemeral, re) = (key, Some(key), Some(Nonce([1; 16])));
    let request_id: RequestId = "r1".parse().expect("an id");
    [
        Body::Hello(Hello { versions: vec![2, 1], ephemeral, to: Some(public(2)) }),
        Body::HelloAck(HelloAck { version: 2, ephemeral, to: Some(public(2)), re }),
        Body::Claim(Claim { v: 1, encrypt_key, token: "wop1://x".into(), re }),
        Body::Log(Log {
            v: 2,
            encrypt_key,
            ephemeral,
            session: session(),
            payload: "AA==".into(),
            once: Some(Once { id: Nonce([2; 16]), since: WallTime::from_millis(3) }),
            re,
        }),
        Body::Inject(Inject {
            v: 1,
            encrypt_key,
            ephemeral,
            session: session(),
            payload: "AA==".into(),
            request_id: request_id.clone(),
            chain: Chain::start(Nonce([3; 16])).with(&public(2)),
            re,
        }),
        Body::Response(Response {
            v: 2,
            encrypt_key: Some(key),
            ephemeral,
            session: Some(session()),
            payload: "AA==".into(),
            request_id,
            re,
        }),
        Body::Ack(Ack { encrypt_key: Some(key), session: Some(session()), re }),
        Body::Reject(Reject { session: Some(session()), reason: "unauthorized".into(), re }),
        Body::KeyRotation(KeyRotation { statement: statement(), proof: Some([5; 64]), re }),
    ]
    .into_iter()
    .map(|body| Message { header: header(), body })
    .collect()
}

fn statement() -> String {
    ObjectWriter::new(0).number("v", 1).text("reason", "scheduled").sign(|bytes| signer(1).sign(bytes).to_bytes())
}

/// The message of a line, by the way that its type takes.
fn accept(line: &[u8], seed: u8) -> Option<Message> {
    let received = decode(line).ok()?;
    match received.message().body {
        Body::KeyRotation(_) => {
            received.into_rotation().map(|(header, rotation)| Message { header, body: Body::KeyRotation(rotation) })
        }
        _ => received.verify(&verifying(seed)).ok(),
    }
}

impl Arbitrary for Message {
    fn arbitrary(g: &mut Gen) -> Self {
        let key = |g: &mut Gen| EncryptKey::from_bytes(core::array::from_fn(|_| u8::arbitrary(g)));
        let nonce = |g: &mut Gen| Nonce(core::array::from_fn(|_| u8::arbitrary(g)));
        let maybe = |g: &mut Gen| bool::arbitrary(g);
        let text = |g: &mut Gen| format!("x{}", String::arbitrary(g));
        let name = |g: &mut Gen| SessionName::new(String::arbitrary(g)).unwrap_or_else(|_| session());

        let messages = one_of_each();
        let mut message = g.choose(&messages).cloned().unwrap_or_else(|| messages[0].clone());
        message.header.nonce = nonce(g);
        message.header.ts = WallTime::from_millis(u64::arbitrary(g) % (1 << 53));
        match &mut message.body {
            Body::Hello(hello) => {
                hello.versions = Vec::<u64>::arbitrary(g).into_iter().take(16).map(|v| v % (1 << 53)).collect();
                hello.ephemeral = maybe(g).then(|| key(g));
                hello.to = maybe(g).then(|| public(3));
            }
            Body::HelloAck(ack) => {
                ack.version = u8::arbitrary(g);
                ack.ephemeral = maybe(g).then(|| key(g));
                ack.re = maybe(g).then(|| nonce(g));
            }
            Body::Claim(claim) => claim.token = text(g),
            Body::Log(log) => (log.session, log.payload, log.ephemeral) = (name(g), text(g), maybe(g).then(|| key(g))),
            Body::Inject(inject) => {
                inject.payload = text(g);
                inject.request_id = String::arbitrary(g).parse().unwrap_or_else(|_| nonce(g).into());
                inject.re = maybe(g).then(|| nonce(g));
            }
            Body::Response(response) => {
                response.session = maybe(g).then(|| name(g));
                response.encrypt_key = maybe(g).then(|| key(g));
            }
            Body::Ack(ack) => ack.session = maybe(g).then(|| name(g)),
            Body::Reject(reject) => (reject.reason, reject.session) = (text(g), maybe(g).then(|| name(g))),
            Body::KeyRotation(rotation) => rotation.proof = maybe(g).then_some([7; 64]),
        }
        message
    }
}

quickcheck! {
    fn what_is_written_reads_back(message: Message) -> bool {
        accept(&write_signed(&message, 1), 1) == Some(message)
    }

    fn arbitrary_lines_never_panic(bytes: Vec<u8>) -> bool {
        decode(&bytes).is_err()
    }

    fn a_mutated_line_is_refused_or_says_the_same(message: Message, at: usize, byte: u8, how: u8) -> bool {
        let mut line = write_signed(&message, 1);
        let at = at % line.len();
        match how % 3 {
            0 => line[at] = byte,
            1 => line.insert(at, byte),
            _ => {
                line.remove(at);
            }
        }
        // A key rotation is not signed: there is nothing to compare it with.
        let rotation = matches!(message.body, Body::KeyRotation(_));
        accept(&line, 1).is_none_or(|read| rotation || read == message)
    }
}

#[test]
fn our_members_stand_right_before_the_nonce() {
    let names = |message: &Message| {
        let line = write_signed(message, 1);
        let value: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        let text = String::from_utf8(line).expect("UTF-8");
        let mut names: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
        names.sort_by_key(|name| text.rfind(&format!("\"{name}\":")));
        names.join(" ")
    };
    let expected = [
        "v type from versions ephemeralPub to nonce ts sig",
        "v type from version ephemeralPub to re nonce ts sig",
        "v type from encryptPub token re nonce ts sig",
        "v type from encryptPub ephemeralPub session payload id since re nonce ts sig",
        "v type from encryptPub ephemeralPub session payload requestId chain re nonce ts sig",
        "v type from encryptPub ephemeralPub session payload requestId re nonce ts sig",
        "v type from encryptPub session re nonce ts sig",
        "v type from session reason re nonce ts sig",
    ];
    for (message, expected) in one_of_each().iter().zip(expected) {
        assert_eq!(names(message), expected, "{}", message.body.type_name());
    }
    let rotation = String::from_utf8(write_signed(&one_of_each()[8], 1)).expect("UTF-8");
    let tail = rotation.split_once(&statement()).expect("the statement as it is").1;
    assert!(tail.starts_with(",\"re\":\"01010101010101010101010101010101\",\"proof\":\"BQUF"), "{tail}");
    assert!(tail.contains("==\",\"nonce\":\"abab"), "{tail}");
}

#[test]
fn every_member_is_required_or_may_be_left_out() {
    let optional = ["versions", "ephemeralPub", "to", "re", "proof", "chain"];
    let optional_here = |kind: &str, name: &str| {
        optional.contains(&name)
            || (kind == "response" || kind == "ack") && (name == "encryptPub" || name == "session")
            || kind == "reject" && name == "session"
    };
    for message in one_of_each() {
        let kind = message.body.type_name();
        let line = write_signed(&message, 1);
        let members: serde_json::Map<_, _> = serde_json::from_slice(&line).expect("an object");
        for name in members.keys() {
            let without = serde_json::to_vec(&{
                let mut members = members.clone();
                members.remove(name);
                members
            })
            .expect("JSON");
            match decode(&without) {
                Ok(_) => assert!(optional_here(kind, name), "{kind} was read without {name}"),
                // These two come together or not at all.
                Err(DecodeError::Missing(missing)) if ["id", "since"].contains(&name.as_str()) => {
                    assert_eq!(missing, name);
                }
                Err(DecodeError::Missing(missing)) => {
                    assert!(missing == name && !optional_here(kind, name), "{kind}: {missing} instead of {name}");
                }
                Err(error) => panic!("{kind} without {name}: {error}"),
            }
        }
    }
}

#[test]
fn every_member_has_its_type() {
    for message in one_of_each() {
        let kind = message.body.type_name();
        let members: serde_json::Map<_, _> = serde_json::from_slice(&write_signed(&message, 1)).expect("an object");
        for name in members.keys() {
            for wrong in ["null", "{}", "[]", "[\"\"]", "true", "-1", "1.5", "\"\\u0000\"", "1e+300", "[null]"] {
                let text: Vec<_> = members
                    .iter()
                    .map(|(n, value)| if n == name { format!("\"{n}\":{wrong}") } else { format!("\"{n}\":{value}") })
                    .collect();
                let result = decode(format!("{{{}}}", text.join(",")).as_bytes());
                // An empty list of versions is a list of versions, and these names take any text.
                let fine = name == "versions" && wrong == "[]"
                    || ["reason", "token", "payload", "session"].contains(&name.as_str()) && wrong == "\"\\u0000\"";
                match result {
                    Ok(_) => assert!(fine, "{kind}: {name} was read from {wrong}"),
                    Err(DecodeError::UnknownVersion) => assert_eq!(name, "v"),
                    Err(DecodeError::UnknownType) => assert_eq!(name, "type"),
                    Err(error) => assert_eq!(error, DecodeError::Invalid(static_name(name)), "{kind} {wrong}"),
                }
            }
        }
    }
}

fn static_name(name: &str) -> &'static str {
    let names = [
        "v",
        "type",
        "from",
        "versions",
        "version",
        "encryptPub",
        "ephemeralPub",
        "session",
        "payload",
        "requestId",
        "token",
        "reason",
        "keyRotation",
        "to",
        "re",
        "id",
        "since",
        "chain",
        "proof",
        "nonce",
        "ts",
        "sig",
    ];
    names.into_iter().find(|known| *known == name).expect("a known member")
}

#[test]
fn flaw_05_what_is_no_message_is_an_error_and_never_a_panic() {
    for line in ["null", "{}", "5", "[]", "\"x\"", "true", "", "\n", "{", "{\"type\":\"hello\"}"] {
        assert!(decode(line.as_bytes()).is_err(), "{line}");
    }
    let line = |member: &str, wrong: &str| {
        let json = String::from_utf8(write_signed(&one_of_each()[0], 1)).expect("UTF-8");
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        json.replace(&format!("\"{member}\":{}", value[member]), &format!("\"{member}\":{wrong}"))
    };
    for wrong in
        ["2", "\"21\"", "[1.5]", "[true]", "[[2]]", "{}", "[-1]", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]"]
    {
        assert_eq!(decode(line("versions", wrong).as_bytes()).err(), Some(DecodeError::Invalid("versions")), "{wrong}");
    }
    for wrong in ["5", "[1]", "null", "\"__proto__\"", "{}"] {
        assert_eq!(decode(line("from", wrong).as_bytes()).err(), Some(DecodeError::Invalid("from")), "{wrong}");
    }
}

#[test]
fn flaw_14_a_message_without_a_time_is_refused() {
    let json = |ts: &str| format!(r#"{{"v":2,"type":"ack","from":"{}","nonce":"{}"{ts}}}"#, public(1), Nonce([0; 16]));
    assert_eq!(decode(&hand_signed(&json(""))).err(), Some(DecodeError::Missing("ts")));
    for ts in ["null", "\"now\"", "[1767225600000]", "-1", "0.5", "1e+300", "100000000000000000000"] {
        let line = hand_signed(&json(&format!(",\"ts\":{ts}")));
        assert_eq!(decode(&line).err(), Some(DecodeError::Invalid("ts")), "{ts}");
    }
    for (ts, millis) in [("0", 0), ("1767225600000", 1_767_225_600_000), ("9007199254740992", 1 << 53)] {
        let received = decode(&hand_signed(&json(&format!(",\"ts\":{ts}")))).expect(ts);
        assert_eq!(received.message().header.ts.as_millis(), millis, "{ts}");
        assert!(received.verify(&verifying(1)).is_ok(), "{ts}");
    }
}

#[test]
fn flaw_24_the_signature_is_over_the_bytes_as_they_came() {
    // Any order that the signer used, members that nobody knows among them.
    let json = format!(
        r#"{{"nonce":"{}","x":1,"ts":1,"extra":{{"b":[1.5,null],"a":"\ud800"}},"type":"ack","v":2,"from":"{}"}}"#,
        Nonce([0; 16]),
        public(1)
    );
    let line = hand_signed(&json);
    let message = decode(&line).expect("well-formed").verify(&verifying(1)).expect("signed");
    assert_eq!(message.body, Body::Ack(Ack { encrypt_key: None, session: None, re: None }));
    // Another order of the same members was not signed.
    let reordered = String::from_utf8(line).expect("UTF-8").replace("\"x\":1,\"ts\":1", "\"ts\":1,\"x\":1");
    assert!(decode(reordered.as_bytes()).expect("well-formed").verify(&verifying(1)).is_err());
}

#[test]
fn a_signature_of_another_key_than_the_senders_proves_nothing() {
    let message = &one_of_each()[6];
    assert!(decode(&write_signed(message, 2)).expect("well-formed").verify(&verifying(1)).is_err());
    // The signature fits this key, but the message is not from it.
    assert!(decode(&write_signed(message, 2)).expect("well-formed").verify(&verifying(2)).is_err());
}

#[test]
fn a_key_rotation_is_never_a_verified_message() {
    let line = write_signed(&one_of_each()[8], 1);
    assert!(decode(&line).expect("well-formed").verify(&verifying(1)).is_err());
    let (_, rotation) = decode(&line).expect("well-formed").into_rotation().expect("a rotation");
    assert_eq!(rotation.statement, statement());
    assert!(decode(&write_signed(&one_of_each()[0], 1)).expect("well-formed").into_rotation().is_none());

    // Its sig repeats the statement's, to the letter.
    let text = String::from_utf8(line).expect("UTF-8");
    let (head, _) = text.rsplit_once("\"sig\":\"").expect("a signature");
    let other = signed::format_signature([3; 64]);
    for wrong in [format!("{head}\"sig\":\"{other}\"}}"), format!("{head}\"sig\":\"\"}}")] {
        assert_eq!(decode(wrong.as_bytes()).err(), Some(DecodeError::Invalid("sig")), "{wrong}");
    }
}

#[test]
fn members_given_twice_are_refused() {
    let line = String::from_utf8(write_signed(&one_of_each()[3], 1)).expect("UTF-8");
    let twice = line.replace("\"session\":", "\"session\":\"other\",\"session\":");
    assert_eq!(decode(twice.as_bytes()).err(), Some(DecodeError::Object(ObjectError::DuplicateMember)));
}

#[test]
fn a_hello_without_versions_speaks_version_1() {
    let json = format!(
        r#"{{"v":2,"type":"hello","from":"{}","ephemeralPub":"","nonce":"{}","ts":1}}"#,
        public(1),
        Nonce([0; 16])
    );
    let received = decode(&hand_signed(&json)).expect("well-formed");
    assert_eq!(received.message().body, Body::Hello(Hello { versions: vec![1], ephemeral: None, to: None }));
}

#[test]
fn nonces_have_one_spelling() {
    let json = |nonce: &str| format!(r#"{{"v":2,"type":"ack","from":"{}","nonce":{nonce},"ts":1}}"#, public(1));
    assert!(decode(&hand_signed(&json("\"00112233445566778899aabbccddeeff\""))).is_ok());
    for nonce in ["\"00112233445566778899AABBCCDDEEFF\"", "\"n\"", "5", "{}", "\"00112233445566778899aabbccddeeff0\""] {
        assert_eq!(decode(&hand_signed(&json(nonce))).err(), Some(DecodeError::Invalid("nonce")), "{nonce}");
    }
}

#[test]
fn big_junk_is_refused_in_linear_time() {
    let mega = 1 << 20;
    let nested = format!("{{\"a\":{}", "[".repeat(mega));
    let wide = format!("{{{}}}", (0..mega / 8).map(|n| format!("\"m{n}\":0")).collect::<Vec<_>>().join(","));
    let quoted = format!("{{\"a\":\"{}", "\\\"".repeat(mega));
    let digits = format!("{{\"ts\":{}}}", "9".repeat(mega));
    let versions = format!(
        r#"{{"v":2,"type":"hello","from":"{}","nonce":"{}","ts":1,"versions":[{}1]}}"#,
        public(1),
        Nonce([0; 16]),
        "1,".repeat(mega)
    );
    for (junk, expected) in [
        (nested, DecodeError::Object(ObjectError::TooDeep)),
        (wide, DecodeError::Object(ObjectError::TooManyMembers)),
        (quoted, DecodeError::Object(ObjectError::Syntax)),
        (digits, DecodeError::Object(ObjectError::Syntax)),
        (versions, DecodeError::Invalid("versions")),
    ] {
        assert_eq!(decode(junk.as_bytes()).err(), Some(expected));
    }
}

#[test]
fn debug_shows_no_payload_and_no_token() {
    for message in one_of_each() {
        let text = format!("{message:?}");
        assert!(!text.contains("AA==") && !text.contains("wop1") && !text.contains("scheduled"), "{text}");
    }
}
