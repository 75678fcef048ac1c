use std::fs;
use std::sync::Arc;

use smol::block_on;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::time::WallTime;
use zeroize::Zeroizing;

use super::*;
use crate::home::{Home, HomeError};
use wopr_p2p_core::EntryKind;

fn new_disk() -> (tempfile::TempDir, Home, Disk, channel::Receiver<Written>) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path()).unwrap();
    let lock = Arc::new(home.lock().unwrap());
    let (disk, written) = Disk::start(Store::open(lock.clone()).unwrap(), SessionWriter::new(lock)).unwrap();
    (folder, home, disk, written)
}

fn entry(content: &str) -> SessionEntry {
    SessionEntry {
        at: WallTime::from_millis(0),
        from: "bob".to_owned(),
        kind: EntryKind::Message,
        content: content.to_owned(),
        peer: PublicKey::from_bytes([1; 32]),
        once: None,
    }
}

#[test]
fn each_write_is_reported_once_and_in_the_order_of_its_document() {
    let (_folder, home, disk, written) = new_disk();
    for n in 0..40 {
        disk.store(WriteId(n), Document::Replay, DocumentWrite::Append(format!("{n}\n").into_bytes()));
        disk.record(WriteId(100 + n), SessionName::new("main").unwrap(), entry(&n.to_string()));
    }
    let mut reported: Vec<_> = (0..80).map(|_| block_on(written.recv()).unwrap()).collect();
    assert!(reported.iter().all(|(_, result)| result.is_ok()));
    assert!(reported.iter().filter(|(id, _)| id.0 < 100).is_sorted_by_key(|(id, _)| *id));
    assert!(reported.iter().filter(|(id, _)| id.0 >= 100).is_sorted_by_key(|(id, _)| *id));
    reported.sort_by_key(|(id, _)| *id);
    assert_eq!(reported.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), (0..40).chain(100..140).collect::<Vec<_>>());
    let lines: String = (0..40).map(|n| format!("{n}\n")).collect();
    assert_eq!(fs::read_to_string(home.p2p().join("replay.log")).unwrap(), lines);
}

#[test]
fn a_failed_write_is_reported_with_its_reason_and_the_next_goes_on() {
    let (_folder, home, disk, written) = new_disk();
    std::os::unix::fs::symlink("/dev/full", home.sessions().join("full.conversation.jsonl")).unwrap();
    disk.record(WriteId(1), SessionName::new("full").unwrap(), entry("x"));
    disk.record(WriteId(2), SessionName::new("main").unwrap(), entry("x"));
    let (id, result) = block_on(written.recv()).unwrap();
    let reason = result.unwrap_err().reason;
    assert!(id == WriteId(1) && reason.contains("full.conversation.jsonl") && reason.contains("free some"), "{reason}");
    assert_eq!(block_on(written.recv()).unwrap(), (WriteId(2), Ok(())));
}

#[test]
fn closing_waits_for_every_write_and_then_frees_the_home() {
    let (_folder, home, disk, written) = new_disk();
    for n in 0..40 {
        disk.store(WriteId(n), Document::Access, DocumentWrite::Replace(Zeroizing::new(n.to_string().into_bytes())));
    }
    assert!(matches!(home.lock(), Err(HomeError::Locked { .. })));
    block_on(disk.close());
    assert_eq!(fs::read_to_string(home.p2p().join("access.json")).unwrap(), "39");
    assert_eq!(written.len(), 40);
    home.lock().unwrap();
}
