//! `identity.json`: keys as base64 of their DER, private ones as PKCS#8 (RFC 8410).
//!
//! The text is written into one buffer of sufficient size and parsed without copies, so that no private key stays
//! behind in memory that nobody wipes.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{FormerKey, Identity, IdentityFile, RetiredIdentity};
use crate::error::{MemberFault, StateError};
use crate::keys::PublicKey;
use crate::rotation::RotationReason;
use crate::time::WallTime;

const DOCUMENT: &str = "identity.json";
const ED25519_PKCS8: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const X25519_PKCS8: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x22\x04\x20";

/// More than the members of one identity need: four keys of at most 64 characters, two numbers, a fifth key.
const IDENTITY_LEN: usize = 640;
/// More than a quoted key and its comma need.
const KEY_LEN: usize = 64;

pub(super) fn write(file: &IdentityFile) -> Zeroizing<Vec<u8>> {
    let statements: Vec<String> = file.retired.iter().map(|retired| quoted(&retired.statement)).collect();
    let former_statement = file.former.as_ref().map(|former| quoted(&former.statement));
    let told = file.retired.iter().map(|retired| &retired.told).chain(file.former.iter().map(|former| &former.told));
    let told: usize = told.map(BTreeSet::len).sum();
    let texts: usize = statements.iter().chain(&former_statement).map(String::len).sum();
    let capacity = IDENTITY_LEN * (3 + 2 * file.retired.len()) + KEY_LEN * told + texts;
    let mut out = Zeroizing::new(String::with_capacity(capacity));
    out.push('{');
    push_identity(&mut out, &file.current);
    for (place, (retired, statement)) in file.retired.iter().zip(&statements).enumerate() {
        out.push_str(if place == 0 { ",\"retired\":[{" } else { ",{" });
        push_identity(&mut out, &retired.identity);
        push_end(&mut out, retired.valid_until, retired.reason, statement, &retired.told);
    }
    out.push_str(if file.retired.is_empty() { "" } else { "]" });
    if let (Some(former), Some(statement)) = (&file.former, &former_statement) {
        push(&mut out, format_args!(",\"former\":{{\"publicKey\":\"{}\"", former.public_key));
        push_end(&mut out, former.valid_until, former.reason, statement, &former.told);
    }
    out.push('}');
    debug_assert!(out.len() <= capacity, "the buffer moved and left private keys behind");
    Zeroizing::new(core::mem::take(&mut *out).into_bytes())
}

/// The end of a key that was replaced: how long it counted, why, and who knows.
fn push_end(out: &mut String, until: WallTime, reason: RotationReason, statement: &str, told: &BTreeSet<PublicKey>) {
    push(out, format_args!(",\"validUntil\":{}", until.as_millis()));
    push(out, format_args!(",\"reason\":\"{reason}\",\"statement\":{statement},\"told\":["));
    for (place, key) in told.iter().enumerate() {
        push(out, format_args!("{}\"{key}\"", if place == 0 { "" } else { "," }));
    }
    out.push_str("]}");
}

fn push_identity(out: &mut String, identity: &Identity) {
    push(out, format_args!("\"publicKey\":\"{}\",\"privateKey\":\"", identity.public));
    push_private(out, &ED25519_PKCS8, identity.signing.seed());
    push(out, format_args!("\",\"encryptPub\":\"{}\",\"encryptPriv\":\"", identity.encrypt_public));
    push_private(out, &X25519_PKCS8, identity.encrypt.as_bytes());
    push(out, format_args!("\",\"created\":{}", identity.created.as_millis()));
    if let Some((from, at)) = identity.rotated {
        push(out, format_args!(",\"rotatedFrom\":\"{from}\",\"rotatedAt\":{}", at.as_millis()));
    }
}

fn push_private(out: &mut String, prefix: &[u8; 16], secret: &[u8; 32]) {
    let mut der = Zeroizing::new([0; 48]);
    der[..16].copy_from_slice(prefix);
    der[16..].copy_from_slice(secret);
    // 48 bytes make 64 characters; they are appended within the buffer's capacity.
    STANDARD.encode_string(*der, out);
}

/// Writing into a string cannot fail.
fn push(out: &mut String, text: core::fmt::Arguments<'_>) {
    if out.write_fmt(text).is_err() {
        unreachable!("a String refused text");
    }
}

fn quoted(text: &str) -> String {
    alloc::format!("{}", serde_json::Value::from(text))
}

/// All members are optional here, so that a missing one can be named. Keys are borrowed: none of them needs an escape.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    public_key: Option<&'a str>,
    private_key: Option<&'a str>,
    encrypt_pub: Option<&'a str>,
    encrypt_priv: Option<&'a str>,
    created: Option<WallTime>,
    rotated_from: Option<&'a str>,
    rotated_at: Option<WallTime>,
    // Of retired identities only.
    valid_until: Option<WallTime>,
    reason: Option<&'a str>,
    statement: Option<String>,
    told: Option<Vec<&'a str>>,
    // Of the document only.
    #[serde(borrow, default)]
    retired: Vec<Members<'a>>,
    #[serde(borrow, default)]
    former: Option<Former<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Former<'a> {
    public_key: Option<&'a str>,
    valid_until: Option<WallTime>,
    reason: Option<&'a str>,
    statement: Option<String>,
    told: Option<Vec<&'a str>>,
}

pub(super) fn read(json: &[u8]) -> Result<IdentityFile, StateError> {
    let members: Members<'_> = serde_json::from_slice(json).map_err(|error| StateError::Malformed {
        document: DOCUMENT,
        line: error.line(),
        column: error.column(),
    })?;
    let retired = members.retired.iter().map(read_retired).collect::<Result<_, _>>()?;
    let former = members.former.as_ref().map(read_former).transpose()?.map(Box::new);
    Ok(IdentityFile { current: read_identity(&members)?, retired, former })
}

fn read_former(former: &Former<'_>) -> Result<FormerKey, StateError> {
    Ok(FormerKey {
        public_key: parsed(required(former.public_key, "publicKey")?, "publicKey")?,
        valid_until: required(former.valid_until, "validUntil")?,
        reason: parsed(required(former.reason, "reason")?, "reason")?,
        statement: required(former.statement.clone(), "statement")?,
        told: read_told(former.told.as_ref())?,
    })
}

fn read_told(told: Option<&Vec<&str>>) -> Result<BTreeSet<PublicKey>, StateError> {
    required(told, "told")?.iter().map(|key| parsed(key, "told")).collect()
}

fn read_retired(members: &Members<'_>) -> Result<RetiredIdentity, StateError> {
    Ok(RetiredIdentity {
        identity: read_identity(members)?,
        valid_until: required(members.valid_until, "validUntil")?,
        reason: parsed::<RotationReason>(required(members.reason, "reason")?, "reason")?,
        statement: required(members.statement.clone(), "statement")?,
        told: read_told(members.told.as_ref())?,
    })
}

fn read_identity(members: &Members<'_>) -> Result<Identity, StateError> {
    let signing = private(&ED25519_PKCS8, members.private_key, "privateKey")?;
    let encrypt = private(&X25519_PKCS8, members.encrypt_priv, "encryptPriv")?;
    let rotated = match (members.rotated_from, members.rotated_at) {
        (None, None) => None,
        (from, at) => Some((parsed(required(from, "rotatedFrom")?, "rotatedFrom")?, required(at, "rotatedAt")?)),
    };
    let identity = Identity::from_secrets(&signing, &encrypt, required(members.created, "created")?, rotated);
    if parsed::<PublicKey>(required(members.public_key, "publicKey")?, "publicKey")? != identity.public {
        return Err(fault("publicKey", MemberFault::Contradicts("privateKey")));
    }
    if parsed::<crate::keys::EncryptKey>(required(members.encrypt_pub, "encryptPub")?, "encryptPub")?
        != identity.encrypt_public
    {
        return Err(fault("encryptPub", MemberFault::Contradicts("encryptPriv")));
    }
    Ok(identity)
}

fn private(prefix: &[u8; 16], text: Option<&str>, member: &'static str) -> Result<Zeroizing<[u8; 32]>, StateError> {
    let unreadable = || fault(member, MemberFault::Unreadable);
    let mut der = Zeroizing::new([0; 48]);
    let len = STANDARD.decode_slice(required(text, member)?, &mut *der).map_err(|_| unreadable())?;
    let secret = der[..len].strip_prefix(prefix).ok_or_else(unreadable)?;
    Ok(Zeroizing::new(secret.try_into().map_err(|_| unreadable())?))
}

fn required<T>(value: Option<T>, member: &'static str) -> Result<T, StateError> {
    value.ok_or_else(|| fault(member, MemberFault::Missing))
}

fn parsed<T: core::str::FromStr>(text: &str, member: &'static str) -> Result<T, StateError> {
    text.parse().map_err(|_| fault(member, MemberFault::Unreadable))
}

const fn fault(member: &'static str, fault: MemberFault) -> StateError {
    StateError::Member { document: DOCUMENT, member, fault }
}
