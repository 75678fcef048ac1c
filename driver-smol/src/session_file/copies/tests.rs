use std::fs;
use std::path::PathBuf;

use wopr_p2p_core::keys::{Nonce, PublicKey};
use wopr_p2p_core::time::WallTime;

use super::*;

fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

fn line(ts: u64, id: &Nonce, sender: u8, content: &str) -> String {
    let line =
        serde_json::json!({ "ts": ts, "content": content, "channel": { "type": "p2p", "id": key(sender) }, "id": id });
    format!("{line}\n")
}

fn once(since: u64) -> OnceOnly {
    OnceOnly { id: Nonce([7; 16]), senders: vec![key(1), key(2)], since: WallTime::from_millis(since) }
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main.conversation.jsonl");
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn a_copy_is_a_line_with_the_same_id_text_and_sender() {
    let ours = Nonce([7; 16]);
    for (text, wanted) in [
        (line(5, &ours, 1, "hello"), true),
        (line(5, &ours, 2, "hello"), true),
        (line(5, &ours, 3, "hello"), false),
        (line(5, &ours, 1, "other"), false),
        (line(5, &Nonce([8; 16]), 1, "hello"), false),
        (line(5, &Nonce([8; 16]), 1, &format!("\"id\":\"{ours}\"")), false),
        (String::new(), false),
    ] {
        let (_folder, path) = file(&text);
        assert_eq!(find(&path, &once(0), "hello").unwrap(), wanted, "{text}");
    }
    assert!(!find(&PathBuf::from("/nowhere/at/all"), &once(0), "hello").unwrap());
}

#[test]
fn a_copy_is_found_behind_many_newer_lines_long_ones_and_foreign_ones() {
    let mut text = line(100, &Nonce([7; 16]), 1, "hello");
    for number in 0..3000 {
        text += &line(200 + number, &Nonce([9; 16]), 3, &"x".repeat(900));
        text += "{\"role\":\"user\"}\n";
    }
    text += &line(5000, &Nonce([9; 16]), 3, &"y".repeat(3 << 20));
    let (_folder, path) = file(&text);
    assert!(text.len() as u64 > 4 * STRETCH);
    assert!(find(&path, &once(100), "hello").unwrap());
    assert!(!find(&path, &once(100), "hallo").unwrap());
}

#[test]
fn what_is_older_than_the_message_is_not_looked_through() {
    let old =
        |from: u64| (from..from + 4000).map(|ts| line(ts, &Nonce([9; 16]), 3, &"x".repeat(900))).collect::<String>();
    let text = line(1, &Nonce([7; 16]), 1, "hello") + &old(10);
    let (_folder, path) = file(&text);
    assert!(find(&path, &once(1), "hello").unwrap());
    assert!(!find(&path, &once(1_000_000), "hello").unwrap(), "the search ends where lines are older");
    // A clock that was set back for less than a stretch of lines hides nothing.
    let text = line(1_000_000, &Nonce([7; 16]), 1, "hello") + &old(10)[..100_000];
    let (_folder, path) = file(&(text.rsplit_once('\n').unwrap().0.to_owned() + "\n"));
    assert!(find(&path, &once(900_000), "hello").unwrap());
}
