//! Invite tokens: any text, and any members under a true signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wopr_p2p_core::invite::InviteToken;
use wopr_p2p_core::wire::signed::ObjectWriter;

use crate::identity;

/// A token's text; or JSON members, a line each, that the issuer signs.
pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if text.starts_with(InviteToken::PREFIX) {
        if let Ok(token) = InviteToken::parse(text) {
            assert!(!token.capabilities.is_empty() && token.capabilities.len() <= InviteToken::MAX_CAPABILITIES);
        }
        return;
    }
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or("0");
    let issuer = identity(1);
    let object = ObjectWriter::new(512).raw("v", next()).display("iss", issuer.public_key());
    let object =
        object.raw("sub", next()).raw("ses", next()).raw("cap", next()).raw("exp", next()).raw("nonce", next());
    let mut text = String::from(InviteToken::PREFIX);
    URL_SAFE_NO_PAD.encode_string(object.sign(|bytes| issuer.sign(bytes)), &mut text);
    let Ok(token) = InviteToken::parse(&text) else { return };
    assert_eq!(token.issuer, issuer.public_key());
    // Expiries beyond what every node reads alike are written as the last that is.
    let Ok(again) = token.to_token(&issuer) else { return };
    let again = InviteToken::parse(&again).expect("what we write can be read");
    assert!(again.expires <= token.expires);
    assert_eq!(InviteToken { expires: token.expires, ..again }, token);
}
