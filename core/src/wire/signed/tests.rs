use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use quickcheck::quickcheck;

use super::*;

fn cut(json: &str) -> Result<(String, String), ObjectError> {
    let (signed, signature) = cut_signature(json.as_bytes())?;
    Ok((String::from_utf8(signed).expect("cut between characters"), signature.to_string()))
}

fn cut_ok(json: &str) -> (String, String) {
    cut(json).expect(json)
}

#[test]
fn sig_is_cut_out_wherever_it_stands() {
    for (json, signed) in [
        (r#"{"a":1,"b":2,"sig":"s"}"#, r#"{"a":1,"b":2}"#),
        (r#"{"a":1,"sig":"s","b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{"sig":"s","a":1,"b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{"sig":"s"}"#, "{}"),
        (" \t{\"a\":1,\"sig\":\"s\"} \r\n", "{\"a\":1}"),
    ] {
        assert_eq!(cut_ok(json), (signed.to_string(), "s".to_string()), "{json}");
    }
}

#[test]
fn a_nested_sig_stays() {
    let json = r#"{"a":{"sig":"inner"},"b":"\"sig\":\"text\"","sig":"s"}"#;
    assert_eq!(cut_ok(json).0, r#"{"a":{"sig":"inner"},"b":"\"sig\":\"text\""}"#);
}

#[test]
fn duplicates_are_found_at_any_depth() {
    for json in [
        r#"{"sig":"a","sig":"b"}"#,
        r#"{"a":1,"b":2,"a":1,"sig":"s"}"#,
        r#"{"a":[{"b":1,"c":2,"b":1}],"sig":"s"}"#,
        r#"{"\n":1,"\n":2,"sig":"s"}"#,
    ] {
        assert_eq!(cut(json), Err(ObjectError::DuplicateMember), "{json}");
    }
    assert!(cut(r#"{"a":{"a":[{"a":1},{"a":1}]},"sig":"s"}"#).is_ok());
}

#[test]
fn what_json_stringify_would_write_otherwise_is_refused() {
    for json in [
        "{\"a\": 1}",
        "{ \"a\":1}",
        "{\"a\":1 }",
        "{\"a\" :1}",
        "{\"a\":[1, 2]}",
        r#"{"\u0061":1}"#,
        r#"{"a":"\u0061"}"#,
        r#"{"a":"\/"}"#,
        r#"{"a":"\u000a"}"#,
        r#"{"a":"\u001F"}"#,
        r#"{"a":"\u0020"}"#,
        r#"{"a":"\ud83d\ude00"}"#,
        r#"{"a":"\uD800"}"#,
        r#"{"a":"\ud83d\uDE00"}"#,
        r#"{"a":"\u00e9"}"#,
        r#"{"a":1.0}"#,
        r#"{"a":-0}"#,
        r#"{"a":1e2}"#,
        r#"{"a":1.50}"#,
        r#"{"a":9007199254740993}"#,
        r#"{"a":1e400}"#,
        r#"{"a":0.0000001}"#,
        r#"{"7":1}"#,
        r#"{"a":{"0":1}}"#,
    ] {
        assert_eq!(cut(json), Err(ObjectError::Syntax), "{json}");
    }
    for json in [
        r#"{"a":"\u0000\u0007\b\t\n\u000b\f\r\u000e\u001f\"\\/"}"#,
        r#"{"a":"\ud800\ud800x\udfff\udc00"}"#,
        r#"{"a":1.5}"#,
        r#"{"a":[0,-1,1e-7,0.000001,1e+21,100000000000000000000,-1.5e-9,5e-324,1767225600000.25,null,true,false]}"#,
        "{\"a\":\"\u{7f}\u{2028}\u{1f600}\",\"\":{},\"__proto__\":[]}",
    ] {
        assert_eq!(cut(json), Err(ObjectError::Unsigned), "{json}");
    }
}

#[test]
fn what_is_not_one_object_is_refused() {
    for json in ["null", "{}x", "5", "[]", "\"x\"", "", " ", "true", "\u{feff}{}"] {
        assert!(matches!(cut(json), Err(ObjectError::NotObject | ObjectError::TrailingData)), "{json}");
    }
    assert_eq!(cut(r#"{"sig":"s"}{}"#), Err(ObjectError::TrailingData));
    assert_eq!(cut_signature(b"{\"a\":\"\xff\",\"sig\":\"s\"}"), Err(ObjectError::NotUtf8));
}

#[test]
fn what_is_not_json_is_refused() {
    for json in [
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":NaN}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\u{1}\":1}",
        "{\"a\":}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":[1,]}",
        "{\"a\":[}",
        "{\"a\":{]}",
        "{\"a\":\"",
        "{\"a\":\"\\",
        "{\"a\\",
        "{\"",
        "{\"a\":1\"b\":2}",
        "{\"a\" 1}",
        "{\"a\":1é}",
        "{\"a\":\"\\é\"}",
        "{\"a\":\"\\u12",
    ] {
        assert_eq!(cut(json), Err(ObjectError::Syntax), "{json}");
    }
}

#[test]
fn sig_must_be_a_plain_string() {
    assert_eq!(cut("{}"), Err(ObjectError::Unsigned));
    assert_eq!(cut(r#"{"a":{"sig":"s"}}"#), Err(ObjectError::Unsigned));
    for sig in ["null", "5", "[\"s\"]", "{}", r#""a\n""#] {
        assert_eq!(cut(&format!("{{\"sig\":{sig}}}")), Err(ObjectError::SignatureNotText), "{sig}");
    }
}

#[test]
fn depth_and_members_are_bounded() {
    let nested = |depth: usize| format!("{{\"a\":{}{},\"sig\":\"s\"}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(cut(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(cut(&nested(MAX_DEPTH + 1)), Err(ObjectError::TooDeep));
    assert_eq!(cut(&nested(500_000)), Err(ObjectError::TooDeep));

    let wide = |count: usize| {
        let members: Vec<_> = (1..count).map(|n| format!("\"m{n}\":{n}")).collect();
        format!("{{{},\"sig\":\"s\"}}", members.join(","))
    };
    assert!(cut(&wide(MAX_MEMBERS)).is_ok());
    assert_eq!(cut(&wide(MAX_MEMBERS + 1)), Err(ObjectError::TooManyMembers));
}

#[test]
fn signatures_are_strict_base64_of_64_bytes() {
    let good = STANDARD.encode([7; 64]);
    assert_eq!(parse_signature(&good), Some([7; 64]));
    for bad in ["", "AA==", good.trim_end_matches('='), &good.replace('w', "-"), &STANDARD.encode([7; 65])] {
        assert_eq!(parse_signature(bad), None, "{bad}");
    }
    // The last character has four bits that belong to no byte: they must be zero.
    assert_eq!(parse_signature(&good.replace("w==", "x==")), None);
}

#[test]
fn the_writer_signs_what_stands_before_sig() {
    let mut seen = Vec::new();
    let text = ObjectWriter::new(0).text("a", "x\"\\\u{1}\u{1f}\u{7f}é\u{2028}/").number("n", 5).raw("r", "[1]").sign(
        |bytes| {
            seen = bytes.to_vec();
            [1; 64]
        },
    );
    assert_eq!(seen, "{\"a\":\"x\\\"\\\\\\u0001\\u001f\u{7f}é\u{2028}/\",\"n\":5,\"r\":[1]}".as_bytes());
    let (signed, signature) = cut_ok(&text);
    assert_eq!((signed.as_bytes(), parse_signature(&signature)), (seen.as_slice(), Some([1; 64])));
}

quickcheck! {
    fn written_strings_read_back(name: String, value: String) -> bool {
        let text = ObjectWriter::new(0).text(&name, &value).with_signature("s");
        let object = Object::parse(text.as_bytes());
        name == "sig" || name.starts_with(|first: char| first.is_ascii_digit()) || object.is_ok_and(|object| {
            serde_json::from_str::<String>(object.members[0].value).is_ok_and(|read| read == value)
        })
    }

    fn written_strings_are_those_of_serde_json(value: String) -> bool {
        let text = ObjectWriter::new(0).text("a", &value).with_signature("s");
        serde_json::to_string(&value).is_ok_and(|json| text == format!("{{\"a\":{json},\"sig\":\"s\"}}"))
    }

    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) -> bool {
        let object = [b"{\"sig\":\"s\"," as &[u8], &bytes].concat();
        [bytes, object]
            .iter()
            .all(|json| cut_signature(json).is_err() || serde_json::from_slice::<serde_json::Value>(json).is_ok())
    }

    fn broken_objects_never_panic(at: usize, byte: u8) -> bool {
        let mut json = br#"{"a":{"b":[1,"\u0001\"",null]},"sig":"s","c":-1.5e-13}"#.to_vec();
        let len = json.len();
        json[at % len] = byte;
        // Whatever is still accepted is JSON to serde_json too.
        cut_signature(&json).is_err() || serde_json::from_slice::<serde_json::Value>(&json).is_ok()
    }
}
