use alloc::vec;

use quickcheck::quickcheck;

use super::*;
use crate::identity::Identity;
use crate::rng::Rng;

const NOW: WallTime = WallTime::from_millis(1_767_225_600_000);

fn identity(seed: u8) -> Identity {
    Identity::generate(&mut Rng::new([seed; 32]), NOW)
}

fn proof(from: &Identity, to: &Identity) -> Proof {
    let (from, to) = (from.public_key(), to.public_key());
    Proof { from, to, re: Nonce([7; 16]), nonce: Nonce([9; 16]), ts: NOW }
}

fn shown(identity: &Identity, content: &str) -> String {
    profile_json(&identity.public_key(), &identity.encrypt_key(), content, "lobby", NOW)
}

#[test]
fn a_proven_message_is_read_back_and_verified() {
    let (a, b) = (identity(1), identity(2));
    let outgoing = Outgoing::profile(shown(&a, r#"{"7":1.50,"name":"Ä"}"#), Nonce([3; 16]));
    let received = decode(&outgoing.proven(&proof(&a, &b), |bytes| a.sign(bytes))).unwrap();
    assert_eq!(received.proof(), Some(&proof(&a, &b)));
    let key = a.public_key().verifying_key().unwrap();
    let Ok(Message::Profile { shown, challenge }) = received.verify(&key) else { panic!("not verified") };
    assert_eq!(shown.key, a.public_key());
    assert_eq!(shown.encrypt_key, Some(a.encrypt_key()));
    assert_eq!(shown.content, r#"{"7":1.50,"name":"Ä"}"#);
    assert_eq!(challenge, Some(Nonce([3; 16])));
}

#[test]
fn a_proof_covers_every_member_that_counts() {
    let (a, b) = (identity(1), identity(2));
    let key = a.public_key().verifying_key().unwrap();
    let verifies = |text: &str| decode(text.as_bytes()).is_ok_and(|received| received.verify(&key).is_ok());
    let accepted = Answer::Accepted {
        sessions: Some(SessionSet::new(["main"]).unwrap()),
        capabilities: vec!["inject.limited".parse().unwrap()],
    };
    let write = |outgoing: Outgoing| String::from_utf8(outgoing.proven(&proof(&a, &b), |bytes| a.sign(bytes))).unwrap();
    let texts = [
        write(Outgoing::profile(shown(&a, r#"{"x":"y"}"#), Nonce([3; 16]))),
        write(Outgoing::connect_request("lobby", shown(&a, "{}"))),
        write(Outgoing::connect_response(&accepted)),
        write(Outgoing::connect_response(&Answer::Pending)),
        write(Outgoing::connect_response(&Answer::Refused { reason: "no".to_string() })),
    ];
    for text in &texts {
        assert!(verifies(text), "{text}");
    }
    for (index, from, to) in [
        (0, r#""x":"y""#, r#""x":"z""#),
        (0, "0303", "0304"),
        (0, "0707", "0708"),
        (0, "0909", "0908"),
        (0, "\"ts\":1767225600000", "\"ts\":1767225600001"),
        (1, "\"topic\":\"lobby\"", "\"topic\":\"hobby\""),
        (2, "true", "false"),
        (2, "main", "mail"),
        (2, "inject.limited", "inject.unlimit"),
        (3, "\"pending\":true", "\"pending\":false"),
        (4, "\"no\"", "\"on\""),
        (4, "\"reason\"", "\"season\""),
    ] {
        let changed = texts[index].replacen(from, to, 1);
        assert_ne!(changed, texts[index], "{from}");
        assert!(!verifies(&changed), "{changed}");
    }
}

#[test]
fn a_proof_is_for_one_type_of_message() {
    let (a, b) = (identity(1), identity(2));
    let outgoing = Outgoing::connect_request("lobby", shown(&a, "{}"));
    let text = outgoing.proven(&proof(&a, &b), |bytes| a.sign(bytes));
    let text = String::from_utf8(text).unwrap().replacen("connect_request", "profile", 1);
    let key = a.public_key().verifying_key().unwrap();
    assert!(decode(text.as_bytes()).unwrap().verify(&key).is_err());
}

#[test]
fn without_a_proof_nobody_vouches() {
    let a = identity(1);
    let received = decode(&Outgoing::connect_request("lobby", shown(&a, "{}")).plain()).unwrap();
    assert_eq!(received.proof(), None);
    assert!(received.verify(&a.public_key().verifying_key().unwrap()).is_err());
}

#[test]
fn answers_are_read_as_written() {
    let refused = Answer::Refused { reason: "no \"way\"\n".to_string() };
    for answer in [Answer::Pending, refused] {
        let text = Outgoing::connect_response(&answer).plain();
        assert_eq!(decode(&text).unwrap().unproven(), Message::ConnectResponse(answer));
    }
}

#[test]
fn an_answer_fits_into_a_message_whatever_the_sessions_are_called() {
    let names = (0..200).map(|n| alloc::format!("{n}{}", "\u{1}".repeat(500)));
    let answer = Answer::Accepted { sessions: SessionSet::new(names).ok(), capabilities: vec![Capability::inject()] };
    let text = Outgoing::connect_response(&answer).plain();
    assert!(text.len() < MAX_MESSAGE, "{}", text.len());
    let Message::ConnectResponse(Answer::Accepted { sessions: Some(SessionSet::Named(names)), .. }) =
        decode(&text).unwrap().unproven()
    else {
        panic!("not an acceptance")
    };
    assert_eq!(names.len(), 1);
}

#[test]
fn what_has_another_shape_is_refused() {
    for (text, error) in [
        ("null", DecodeError::Syntax),
        ("{\"type\":\"ping\"", DecodeError::Syntax),
        ("{}", DecodeError::Missing("type")),
        ("{\"type\":5}", DecodeError::Invalid("type")),
        ("{\"type\":\"profile\"}", DecodeError::Missing("profile")),
        ("{\"type\":\"profile\",\"profile\":[1]}", DecodeError::Invalid("profile")),
        ("{\"type\":\"profile\",\"profile\":{}}", DecodeError::Missing("publicKey")),
        ("{\"type\":\"profile\",\"profile\":{\"publicKey\":5}}", DecodeError::Invalid("publicKey")),
        ("{\"type\":\"connect_response\"}", DecodeError::Missing("accept")),
        ("{\"type\":\"ping\",\"proof\":[]}", DecodeError::Invalid("proof")),
        ("{\"type\":\"ping\",\"proof\":{\"sig\":\"\"}}", DecodeError::Invalid("sig")),
    ] {
        assert_eq!(decode(text.as_bytes()).map(|_| ()), Err(error), "{text}");
    }
}

quickcheck! {
    fn any_bytes_are_refused_or_read_as_unproven(bytes: Vec<u8>, middle: String) -> bool {
        let text = alloc::format!("{{\"type\":\"profile\",\"profile\":{{\"publicKey\":{middle},\"content\":{middle}}}}}");
        [bytes, text.into_bytes()].iter().all(|text| decode(text).map_or(true, |read| read.proof().is_none()))
    }
}
