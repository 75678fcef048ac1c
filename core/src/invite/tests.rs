use alloc::format;
use alloc::vec;

use quickcheck::{TestResult, quickcheck};

use super::*;
use crate::access::SessionName;
use crate::rng::Rng;

fn issuer(seed: u8) -> Identity {
    Identity::generate(&mut Rng::new([seed; 32]), WallTime::default())
}

fn token(issuer: &Identity) -> InviteToken {
    InviteToken {
        issuer: issuer.public_key(),
        subject: self::issuer(99).public_key(),
        sessions: SessionSet::new(["main"]).unwrap(),
        capabilities: vec![Capability::inject()],
        expires: WallTime::from_millis(1_000),
        nonce: Nonce([7; 16]),
    }
}

/// The token of a JSON text that the issuer signs as it stands, in which `from` has become `to`.
fn signed(issuer: &Identity, from: &str, to: &str) -> String {
    let json = decoded(&token(issuer).to_token(issuer).unwrap());
    assert!(json.contains(from), "{from} is not in {json}");
    let unsigned = json.split(",\"sig\"").next().unwrap().replacen(from, to, 1) + "}";
    let signature = base64::engine::general_purpose::STANDARD.encode(issuer.sign(unsigned.as_bytes()));
    encoded(&format!("{},\"sig\":\"{signature}\"}}", unsigned.strip_suffix('}').unwrap()))
}

fn decoded(token: &str) -> String {
    let json = URL_SAFE_NO_PAD.decode(token.strip_prefix(InviteToken::PREFIX).unwrap()).unwrap();
    String::from_utf8(json).unwrap()
}

fn encoded(json: &str) -> String {
    format!("{}{}", InviteToken::PREFIX, URL_SAFE_NO_PAD.encode(json))
}

#[test]
fn a_token_says_what_its_issuer_wrote() {
    let issuer = issuer(1);
    let token = token(&issuer);
    assert_eq!(InviteToken::parse(&token.to_token(&issuer).unwrap()), Ok(token));
}

#[test]
fn flaw_25_a_token_without_expiry_is_refused() {
    let issuer = issuer(1);
    assert_eq!(InviteToken::parse(&signed(&issuer, ",\"exp\":1000", "")), Err(InviteError::Member("exp")));
    for never in ["null", "\"1000\"", "{}", "[]", "true", "-1", "1e400"] {
        let token = signed(&issuer, "\"exp\":1000", &format!("\"exp\":{never}"));
        let error = InviteToken::parse(&token).expect_err(never);
        assert!(
            matches!(error, InviteError::Member("exp") | InviteError::NotObject(ObjectError::Syntax)),
            "{never}: {error:?}"
        );
    }
}

#[test]
fn flaw_25_every_other_member_is_required_and_checked() {
    let issuer = issuer(1);
    let (key, nonce) = (issuer.public_key(), Nonce([7; 16]));
    for (from, to, member) in [
        ("\"v\":1,", "", "v"),
        ("\"v\":1,", "\"v\":\"1\",", "v"),
        ("\"v\":1,", "\"v\":true,", "v"),
        (&format!("\"iss\":\"{key}\","), "", "iss"),
        ("\"iss\":\"MCowBQYDK2VwAyE", "\"iss\":\"MCowBQYDK2VuAyE", "iss"),
        ("\"sub\":\"MCowBQYDK2VwAyE", "\"sub\":\"", "sub"),
        ("\"ses\":[\"main\"],", "", "ses"),
        ("\"ses\":[\"main\"]", "\"ses\":[]", "ses"),
        ("\"ses\":[\"main\"]", "\"ses\":[\"\"]", "ses"),
        ("\"ses\":[\"main\"]", "\"ses\":\"*\"", "ses"),
        ("\"ses\":[\"main\"]", "\"ses\":[1]", "ses"),
        ("\"cap\":[\"inject\"],", "", "cap"),
        ("\"cap\":[\"inject\"]", "\"cap\":[]", "cap"),
        ("\"cap\":[\"inject\"]", "\"cap\":[\"Inject\"]", "cap"),
        ("\"cap\":[\"inject\"]", "\"cap\":\"inject\"", "cap"),
        (&format!(",\"nonce\":\"{nonce}\""), "", "nonce"),
        ("\"nonce\":\"07", "\"nonce\":\"0", "nonce"),
        ("\"nonce\":\"07", "\"nonce\":\"0G", "nonce"),
    ] {
        assert_eq!(InviteToken::parse(&signed(&issuer, from, to)), Err(InviteError::Member(member)), "{from} {to}");
    }
    assert_eq!(InviteToken::parse(&signed(&issuer, "\"v\":1", "\"v\":2")), Err(InviteError::UnknownVersion));
}

#[test]
fn flaw_25_the_capabilities_are_those_the_issuer_chose() {
    let issuer = issuer(1);
    let capabilities = vec![Capability::message(), "inject.tools".parse().unwrap()];
    let token = InviteToken { capabilities: capabilities.clone(), ..token(&issuer) };
    let read = InviteToken::parse(&token.to_token(&issuer).unwrap()).unwrap();
    assert_eq!(read.capabilities, capabilities);
}

#[test]
fn flaw_24_the_expiry_holds_from_the_next_millisecond() {
    let token = token(&issuer(1));
    assert!(!token.is_expired(WallTime::from_millis(1_000)));
    assert!(token.is_expired(WallTime::from_millis(1_001)));
}

#[test]
fn flaw_24_a_small_order_issuer_cannot_sign_for_everybody() {
    // Under the identity point, an all-zero S with the identity point as R fits every text of a lenient verifier.
    let mut point = [0; 32];
    point[0] = 1;
    let weak = PublicKey::from_bytes(point);
    let token = InviteToken { issuer: weak, ..token(&issuer(1)) };
    let json = decoded(&token.signed_with(|_| {
        let mut signature = [0; 64];
        signature[0] = 1;
        signature
    }));
    assert_eq!(InviteToken::parse(&encoded(&json)), Err(InviteError::BadIssuer));
}

#[test]
fn an_expiry_is_any_javascript_number_rounded_down() {
    let issuer = issuer(1);
    for (number, ms) in [
        ("0", 0),
        ("0.5", 0),
        ("1.5e-7", 0),
        ("1999.999", 1_999),
        ("9007199254740991", MAX_EXACT),
        ("18446744073709552000", u64::MAX),
        ("3.600000000001767e+24", u64::MAX),
    ] {
        let token = InviteToken::parse(&signed(&issuer, "\"exp\":1000", &format!("\"exp\":{number}")));
        assert_eq!(token.map(|token| token.expires), Ok(WallTime::from_millis(ms)), "{number}");
    }
}

#[test]
fn a_token_has_one_spelling_though_another_is_signed() {
    let issuer = issuer(1);
    for (from, to) in [
        ("\"exp\":1000", "\"exp\":1e3"),
        ("\"exp\":1000", "\"exp\":1000.0"),
        ("\"exp\":1000", "\"exp\": 1000"),
        ("main", "m\\u0061in"),
        ("\"ses\"", "\"s\\u0065s\""),
    ] {
        let token = signed(&issuer, from, to);
        assert_eq!(InviteToken::parse(&token), Err(InviteError::NotObject(ObjectError::Syntax)), "{to}");
    }
}

#[test]
fn an_unknown_member_counts_only_if_it_is_signed() {
    let issuer = issuer(1);
    let with = signed(&issuer, "\"v\":1", "\"v\":1,\"more\":{\"sig\":[]}");
    assert_eq!(InviteToken::parse(&with), Ok(token(&issuer)));
    let added = decoded(&token(&issuer).to_token(&issuer).unwrap()).replacen('{', "{\"more\":1,", 1);
    assert_eq!(InviteToken::parse(&encoded(&added)), Err(InviteError::BadSignature));
}

#[test]
fn a_member_given_twice_is_refused_even_if_signed() {
    let issuer = issuer(1);
    for twice in ["\"v\":1,\"v\":1", "\"v\":1,\"more\":1,\"more\":2", "\"v\":1,\"sig\":\"x\""] {
        let token = signed(&issuer, "\"v\":1", twice);
        assert_eq!(InviteToken::parse(&token), Err(InviteError::NotObject(ObjectError::DuplicateMember)), "{twice}");
    }
}

#[test]
fn a_lone_surrogate_in_a_session_name_is_refused() {
    let token = signed(&issuer(1), "main", "a\\ud800b");
    assert!(matches!(
        InviteToken::parse(&token),
        Err(InviteError::Member("ses") | InviteError::NotObject(ObjectError::Syntax))
    ));
}

#[test]
fn only_one_spelling_of_the_text_is_a_token() {
    let issuer = issuer(1);
    let good = token(&issuer).to_token(&issuer).unwrap();
    let body = good.strip_prefix(InviteToken::PREFIX).unwrap();
    for (bad, error) in [
        (body.into(), InviteError::NotToken),
        (format!(" {good}"), InviteError::NotToken),
        (format!("WOP1://{body}"), InviteError::NotToken),
        (format!("{good}="), InviteError::NotBase64),
        (format!("{good}\n"), InviteError::NotBase64),
        (good.replacen("eyJ", "eyJ!", 1), InviteError::NotBase64),
        ("wop1://".into(), InviteError::NotObject(ObjectError::NotObject)),
        ("wop1://bnVsbA".into(), InviteError::NotObject(ObjectError::NotObject)),
    ] {
        assert_eq!(InviteToken::parse(&bad), Err(error), "{bad}");
    }
}

#[test]
fn an_overlong_text_is_refused_before_it_is_decoded() {
    let long = format!("{}{}", InviteToken::PREFIX, "!".repeat(InviteToken::MAX_LEN));
    assert_eq!(InviteToken::parse(&long), Err(InviteError::TooLong));
}

#[test]
fn a_token_that_nobody_could_claim_is_not_made() {
    let issuer = issuer(1);
    let names: Vec<String> = (0..60).map(|n| format!("{n:01024}")).collect();
    let long = InviteToken { sessions: SessionSet::new(names).unwrap(), ..token(&issuer) };
    assert_eq!(long.to_token(&issuer), Err(InviteError::TooLong));
    let none = InviteToken { capabilities: vec![], ..token(&issuer) };
    assert_eq!(none.to_token(&issuer), Err(InviteError::Member("cap")));
    let many = vec![Capability::inject(); InviteToken::MAX_CAPABILITIES + 1];
    let many = InviteToken { capabilities: many, ..token(&issuer) };
    assert_eq!(many.to_token(&issuer), Err(InviteError::Member("cap")));
}

#[test]
fn an_expiry_that_never_comes_is_one_that_every_node_reads_alike() {
    let issuer = issuer(1);
    let token = InviteToken { expires: WallTime::from_millis(u64::MAX), ..token(&issuer) };
    let read = InviteToken::parse(&token.to_token(&issuer).unwrap()).unwrap();
    assert_eq!(read.expires.as_millis(), 9_007_199_254_740_991);
}

quickcheck! {
    fn what_is_written_is_read(seed: u8, names: Vec<String>, words: u8, expires: u32) -> TestResult {
        let Ok(sessions) = SessionSet::new(names) else { return TestResult::discard() };
        let issuer = issuer(seed);
        let capabilities = (0..=words % 4).map(|n| format!("inject.n{n}").parse().unwrap()).collect();
        let expires = WallTime::from_millis(expires.into());
        let token = InviteToken { sessions, capabilities, expires, ..token(&issuer) };
        TestResult::from_bool(token.to_token(&issuer).is_ok_and(|text| InviteToken::parse(&text) == Ok(token)))
    }

    fn a_changed_character_is_noticed(at: usize, character: u8) -> TestResult {
        let issuer = issuer(1);
        let good = token(&issuer).to_token(&issuer).unwrap();
        let mut bytes = good.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = character % 128;
        let Ok(bad) = String::from_utf8(bytes) else { return TestResult::discard() };
        TestResult::from_bool(bad == good || InviteToken::parse(&bad).is_err())
    }

    fn no_signed_json_makes_parse_panic(from: usize, len: usize, with: String) -> bool {
        let issuer = issuer(1);
        let json = decoded(&token(&issuer).to_token(&issuer).unwrap());
        let from = from % json.len();
        let to = (from + len % 16).min(json.len());
        let unsigned = format!("{}{with}{}", &json[..from], &json[to..]);
        InviteToken::parse(&encoded(&unsigned)).map_or(true, |token| token.issuer == issuer.public_key())
    }
}

#[test]
fn a_session_name_of_the_original_survives() {
    let issuer = issuer(1);
    for name in ["line1\nline2\r\n", "\u{2028}\u{2029}\u{a0}\u{feff}", "\u{0}\u{1f}\u{7f}", "C:\\temp\"", "😀", " "] {
        let sessions = SessionSet::new([name]).unwrap();
        let text = InviteToken { sessions, ..token(&issuer) }.to_token(&issuer).unwrap();
        assert!(InviteToken::parse(&text).unwrap().sessions.contains(&SessionName::new(name).unwrap()), "{name:?}");
    }
}
