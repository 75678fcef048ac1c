use quickcheck::{Arbitrary, Gen, QuickCheck};

use super::*;

/// A session name that likes awkward characters and lengths.
#[derive(Clone, Debug)]
struct AnyName(SessionName);

impl Arbitrary for AnyName {
    fn arbitrary(g: &mut Gen) -> Self {
        loop {
            let awkward =
                ["/", "..", ".", "%", "%2f", "\0", "\n", "A", "a", "é", "e\u{301}", "-", "_", "con", " ", "💬"];
            let repeat = *g.choose(&[0, 1, 1, 2, 30, 66, 67, 200, 1000]).unwrap();
            let mut text: String = (0..repeat).map(|_| *g.choose(&awkward).unwrap()).collect();
            text.push_str(&String::arbitrary(g));
            while text.len() > SessionName::MAX_LEN {
                text.pop();
            }
            if let Ok(name) = SessionName::new(text) {
                return Self(name);
            }
        }
    }
}

fn name(text: &str) -> SessionName {
    SessionName::new(text).unwrap()
}

#[test]
fn a_file_name_is_plain_short_and_stays_in_its_folder() {
    fn property(AnyName(session): AnyName) -> bool {
        let file_name = FileName::of(&session);
        let plain = file_name.0.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'%' | b'.'));
        let start = file_name.0.bytes().next();
        [file_name.conversation(), file_name.full_name(), file_name.full_name() + ".tmp"].iter().all(|file_name| {
            let joined = std::path::Path::new("/sessions").join(file_name);
            let components: Vec<_> = joined.components().collect();
            let inside = components.len() == 3 && joined.file_name().is_some_and(|last| last == file_name.as_str());
            plain && inside && file_name.len() <= 219 && !matches!(start, None | Some(b'.' | b'-'))
        })
    }
    QuickCheck::new().tests(2000).quickcheck(property as fn(AnyName) -> bool);
}

#[test]
fn a_file_name_says_which_session_it_is() {
    fn property(AnyName(session): AnyName) -> bool {
        let file_name = FileName::of(&session);
        match file_name.decode() {
            Some(decoded) => decoded == session.as_str() && file_name.0 == encode(session.as_str()),
            None => encode(session.as_str()).len() > MAX_LEN,
        }
    }
    QuickCheck::new().tests(2000).quickcheck(property as fn(AnyName) -> bool);
}

#[test]
fn two_sessions_never_share_a_file() {
    fn property(AnyName(one): AnyName, AnyName(other): AnyName) -> bool {
        (one == other) == (FileName::of(&one) == FileName::of(&other))
    }
    QuickCheck::new().tests(2000).quickcheck(property as fn(AnyName, AnyName) -> bool);
}

#[test]
fn names_that_differ_a_little_have_files_that_differ() {
    let long = "x".repeat(1023);
    for (one, other) in [
        ("main", "MAIN"),
        ("é", "e\u{301}"),
        ("a/b", "a%2fb"),
        ("a", "a "),
        ("con", "%63on"),
        (&format!("{long}a"), &format!("{long}b")),
        // A name that looks like the beginning and hash of a long one.
        (&long, FileName::of(&name(&long)).0.as_str()),
    ] {
        let (one, other) = (FileName::of(&name(one)), FileName::of(&name(other)));
        assert_ne!(one.0.to_lowercase(), other.0.to_lowercase());
    }
}

#[test]
fn file_names_are_these() {
    for (session, file_name) in [
        ("main", "main.conversation.jsonl"),
        ("shared-project_2", "shared-project_2.conversation.jsonl"),
        ("My Docs", "%4dy%20%44ocs.conversation.jsonl"),
        ("..", "%2e%2e.conversation.jsonl"),
        (".hidden", "%2ehidden.conversation.jsonl"),
        ("../../etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd.conversation.jsonl"),
        ("-rf", "%2drf.conversation.jsonl"),
        ("nul", "%6eul.conversation.jsonl"),
        ("com7", "%63om7.conversation.jsonl"),
        ("console", "console.conversation.jsonl"),
        ("ü", "%c3%bc.conversation.jsonl"),
    ] {
        assert_eq!(FileName::of(&name(session)).conversation(), file_name);
    }
}

#[test]
fn a_long_name_is_cut_between_characters_and_hashed() {
    for unit in ["x", "A", "-", "aA", "aaA"] {
        let session = name(&unit.repeat(300));
        let FileName(file_name) = FileName::of(&session);
        let (start, hash) = file_name.split_once('.').unwrap();
        assert!(encode(session.as_str()).starts_with(start) && (MAX_LEN - 2..=MAX_LEN).contains(&file_name.len()));
        assert!(FileName(start.to_owned()).decode().is_some(), "{start} ends within a character");
        assert_eq!(hash.len(), HASH_LEN);
    }
    let longest = name(&"x".repeat(MAX_LEN));
    assert_eq!(FileName::of(&longest).0, longest.as_str());
}

#[test]
fn foreign_file_names_have_no_session() {
    for stem in ["", "a.b", "%", "%2", "%2F", "%zz", "%ff"] {
        let decoded = FileName(stem.to_owned()).decode();
        let is_ours = decoded.and_then(|text| SessionName::new(text).ok()).is_some();
        assert!(!is_ours, "{stem}");
    }
}
