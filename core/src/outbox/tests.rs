use alloc::vec::Vec;

use super::*;

fn message(number: u8, text: &str) -> Queued {
    Queued {
        id: Nonce([number; 16]),
        peer: PublicKey::from_bytes([number % 2; 32]),
        session: SessionName::new("main").unwrap(),
        text: text.into(),
        queued: WallTime::from_millis(u64::from(number)),
        expires: WallTime::from_millis(1000),
    }
}

fn waiting(outbox: &Outbox) -> Vec<(u8, Tried)> {
    outbox.iter().map(|entry| (entry.message.id.0[0], entry.tried)).collect()
}

#[test]
fn the_document_leads_to_the_same_messages_in_the_same_order() {
    let mut outbox = Outbox::default();
    let mut document: Vec<u8> = (1..=4).flat_map(|number| outbox.push(message(number, "x\n\"y\""))).collect();
    document.extend(outbox.mark_tried(&Nonce([2; 16])));
    document.extend(outbox.mark_tried(&Nonce([3; 16])));
    document.extend(outbox.mark_refused(&Nonce([3; 16])));
    let (_, done) = outbox.remove(&Nonce([1; 16])).unwrap();
    document.extend(done);
    let wanted = [(2, Tried::Unknown), (3, Tried::No), (4, Tried::No)];
    let mut read = Outbox::load(&document).unwrap();
    assert_eq!(waiting(&read), wanted);
    assert_eq!(read.get(&Nonce([2; 16])).unwrap().message, message(2, "x\n\"y\""));
    let compacted = read.compacted();
    assert_eq!(waiting(&Outbox::load(&compacted).unwrap()), wanted);
    assert!(compacted.len() < document.len());
}

#[test]
fn a_torn_last_line_was_never_queued_and_is_cleared_away_before_the_next() {
    let mut outbox = Outbox::default();
    let mut document = outbox.push(message(1, "whole"));
    let torn = outbox.push(message(2, "torn"));
    document.extend(&torn[..torn.len() - 1]);
    let read = Outbox::load(&document).unwrap();
    assert_eq!(waiting(&read), [(1, Tried::No)]);
    assert!(read.needs_compaction());
}

#[test]
fn a_damaged_line_is_named() {
    let mut outbox = Outbox::default();
    let mut document = outbox.push(message(1, "whole"));
    document.extend(b"{\"queue\":{}}\n");
    let error = Outbox::load(&document).unwrap_err();
    assert!(matches!(error, StateError::Malformed { document: DOCUMENT, line: 2, .. }), "{error}");
}

#[test]
fn every_bound_is_kept() {
    let config = OutboxConfig { max_messages: 3, max_per_peer: 2, max_bytes: 10, ..OutboxConfig::default() };
    let mut outbox = Outbox::default();
    let odd = |key: &PublicKey| *key == PublicKey::from_bytes([1; 32]);
    outbox.push(message(1, "four"));
    assert_eq!(outbox.room(7, odd, &config), Err("outbox.max_bytes"));
    outbox.push(message(3, "x"));
    assert_eq!(outbox.room(1, odd, &config), Err("outbox.max_per_peer"));
    assert_eq!(outbox.room(1, |key| !odd(key), &config), Ok(()));
    outbox.push(message(2, "x"));
    assert_eq!(outbox.room(1, |key| !odd(key), &config), Err("outbox.max_messages"));
}
