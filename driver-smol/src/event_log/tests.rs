use std::fs;

use smol::channel::{Receiver, bounded};
use wopr_p2p_core::TransportKey;
use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::event::RejectReason;
use wopr_p2p_core::keys::PublicKey;

use super::*;

fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path()).unwrap();
    (folder, home)
}

fn start(home: &Home) -> (EventLog, Receiver<Happened>) {
    let log = EventLog::start(Arc::new(home.lock().unwrap())).unwrap();
    let (to, shown) = bounded(100_000);
    let (ready, subscribed) = bounded(1);
    log.subscribe(to, ready);
    smol::block_on(subscribed.recv()).unwrap();
    (log, shown)
}

fn delivered(session: &str) -> Event {
    Event::MessageDelivered { peer: PublicKey::from_bytes([7; 32]), session: SessionName::new(session).unwrap() }
}

fn rejected(number: u8) -> Event {
    Event::PeerRejected { remote: TransportKey([number; 32]), reason: RejectReason::Malformed }
}

fn at(ms: u64) -> WallTime {
    WallTime::from_millis(ms)
}

fn seqs(home: &Home, query: Query) -> Vec<u64> {
    EventReader::new(home).read(&query).unwrap().into_iter().map(|line| line.seq).collect()
}

#[test]
fn a_line_has_the_documented_members_and_is_in_the_file_before_it_is_shown() {
    let (_folder, home) = home();
    let (log, shown) = start(&home);
    let key = PublicKey::from_bytes([7; 32]);
    log.log(delivered("main"), at(1_705_320_000_000), Some(Subject { key, name: Some("al".into()), known: true }));
    let line = smol::block_on(shown.recv()).unwrap().line;
    let wanted = format!(
        "{{\"seq\":1,\"ts\":1705320000000,\"iso\":\"2024-01-15T12:00:00.000Z\",\"event\":\"p2p.message.delivered\",\
         \"peer\":{{\"publicKey\":\"{key}\",\"shortId\":\"{}\",\"name\":\"al\"}},\"session\":\"main\"}}",
        key.short_id()
    );
    assert_eq!(line.json, wanted);
    assert_eq!(fs::read_to_string(home.p2p().join(FILE)).unwrap(), wanted + "\n");
}

#[test]
fn numbers_go_on_after_a_restart_and_after_a_torn_line() {
    let (_folder, home) = home();
    for _ in 0..2 {
        let (log, _shown) = start(&home);
        for _ in 0..3 {
            log.log(delivered("main"), at(5), None);
        }
        smol::block_on(log.close());
        let path = home.p2p().join(FILE);
        let mut text = fs::read(&path).unwrap();
        text.extend(b"{\"seq\":99,\"ts\":");
        fs::write(&path, text).unwrap();
    }
    assert_eq!(seqs(&home, Query::default()), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_reader_gets_what_it_asked_for() {
    let (_folder, home) = home();
    let (log, _shown) = start(&home);
    for ms in [10, 20, 30, 40] {
        log.log(delivered("main"), at(ms), None);
    }
    smol::block_on(log.close());
    assert_eq!(seqs(&home, Query { after: Some(2), ..Query::default() }), [3, 4]);
    assert_eq!(seqs(&home, Query { since: Some(at(20)), ..Query::default() }), [2, 3, 4]);
    assert_eq!(seqs(&home, Query { since: Some(at(20)), tail: Some(2), ..Query::default() }), [3, 4]);
    assert_eq!(seqs(&home, Query { tail: Some(0), ..Query::default() }), [0; 0]);
}

#[test]
fn two_files_of_4_mib_are_the_most_and_the_newest_lines_are_in_them() {
    let (_folder, home) = home();
    let (log, _shown) = start(&home);
    let name = "s".repeat(120);
    let lines = 3 * MAX_FILE / 200;
    for _ in 0..lines {
        log.log(delivered(&name), at(5), None);
    }
    smol::block_on(log.close());
    for path in paths(&home) {
        let len = fs::metadata(&path).unwrap().len();
        assert!(len <= MAX_FILE, "{len} bytes");
    }
    let kept = seqs(&home, Query::default());
    assert_eq!(kept.last(), Some(&lines));
    assert!(kept.len() as u64 > MAX_FILE / 300, "{}", kept.len());
    assert!(kept.windows(2).all(|pair| pair[0] + 1 == pair[1]), "no gap between the files");
}

#[test]
fn a_strangers_flood_is_counted_and_hides_nobody_else() {
    let (_folder, home) = home();
    let (log, shown) = start(&home);
    let peer = PublicKey::from_bytes([7; 32]);
    for number in 0..10_000_u32 {
        log.log(rejected(number as u8), at(5), None);
        let stranger = PublicKey::from_bytes([number as u8; 32]);
        let connected = |peer| Event::PeerConnected { peer, version: 2, dialled: false };
        log.log(connected(stranger), at(5), Some(Subject { key: stranger, name: None, known: false }));
        if number == 9_000 {
            log.log(connected(peer), at(5), Some(Subject { key: peer, name: None, known: true }));
        }
    }
    smol::block_on(log.close());
    let lines = EventReader::new(&home).read(&Query::default()).unwrap();
    assert_eq!(lines.len(), 20 + 20 + 1 + 2, "those written, the peer's, and two that count the rest");
    let repeated: Vec<u64> = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(&line.json).unwrap()["repeated"].as_u64())
        .collect();
    assert_eq!(repeated, [9_980, 9_980]);
    assert!(lines.iter().any(|line| line.json.contains(&peer.to_string())), "the peer is there");
    assert_eq!(shown.len(), lines.len(), "what is not written is not shown");
}

#[test]
fn what_cannot_be_written_is_shown_and_its_count_is_written_later() {
    let (_folder, home) = home();
    let (log, shown) = start(&home);
    // A folder where the file should be: writing fails as on a full disk.
    fs::create_dir(home.p2p().join(FILE)).unwrap();
    log.log(delivered("one"), at(5), None);
    log.log(delivered("two"), at(5), None);
    for _ in 0..2 {
        smol::block_on(shown.recv()).unwrap();
    }
    fs::remove_dir(home.p2p().join(FILE)).unwrap();
    log.log(delivered("three"), at(5), None);
    smol::block_on(log.close());
    let lines = EventReader::new(&home).read(&Query::default()).unwrap();
    let names: Vec<_> = lines.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(names, ["p2p.events.missed", "p2p.message.delivered"]);
    assert!(lines[0].json.ends_with("\"count\":2}"), "{}", lines[0].json);
}
