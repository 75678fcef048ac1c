use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use wopr_p2p_core::keys::{Nonce, PublicKey};
use wopr_p2p_core::time::WallTime;

use super::*;

fn new_sessions() -> (tempfile::TempDir, SessionWriter) {
    let folder = tempfile::tempdir().unwrap();
    let lock = Home::at(folder.path()).unwrap().lock().unwrap();
    (folder, SessionWriter::new(Arc::new(lock)))
}

fn name(text: &str) -> SessionName {
    SessionName::new(text).unwrap()
}

fn entry(content: &str) -> SessionEntry {
    SessionEntry {
        at: WallTime::from_millis(1_705_320_000_000),
        from: "alice".to_owned(),
        kind: EntryKind::Message,
        content: content.to_owned(),
        peer: PublicKey::from_bytes([7; 32]),
        once: None,
    }
}

fn contents(page: &Page) -> Vec<String> {
    let content = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["content"].as_str().unwrap().to_owned()
    };
    page.lines.iter().map(|line| content(line.get())).collect()
}

#[test]
fn a_line_has_the_members_of_the_seed() {
    let (folder, mut sessions) = new_sessions();
    sessions.append(&name("main"), &entry("a \"b\"\nc\u{2028}💬")).unwrap();
    let path = folder.path().join("sessions/main.conversation.jsonl");
    let key = PublicKey::from_bytes([7; 32]).to_string();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!(
            "{{\"ts\":1705320000000,\"iso\":\"2024-01-15T12:00:00.000Z\",\"from\":\"alice\",\"type\":\"message\",\
             \"content\":\"a \\\"b\\\"\\nc\u{2028}💬\",\"channel\":{{\"type\":\"p2p\",\"id\":\"{key}\"}}}}\n"
        )
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn questions_and_answers_are_told_apart() {
    let (_folder, mut sessions) = new_sessions();
    for kind in [EntryKind::Question, EntryKind::Answer] {
        sessions.append(&name("main"), &SessionEntry { kind, ..entry("x") }).unwrap();
    }
    let page = sessions.reader.history(&name("main"), 0, 10).unwrap();
    let kinds: Vec<_> = page.lines.iter().map(|line| line.get().contains("\"type\":\"question\"")).collect();
    assert_eq!(kinds, [true, false]);
    assert!(page.lines[1].get().contains("\"type\":\"answer\""));
}

#[test]
fn a_line_that_a_crash_cut_off_is_cleared_away_at_any_length() {
    let (folder, mut sessions) = new_sessions();
    let path = folder.path().join("sessions/main.conversation.jsonl");
    sessions.append(&name("main"), &entry("first")).unwrap();
    let first = fs::read(&path).unwrap();
    for cut in 0..first.len() {
        let torn = [&first, &first[..cut]].concat();
        fs::write(&path, torn).unwrap();
        sessions.append(&name("main"), &entry("last")).unwrap();
        let contents = contents(&sessions.reader.history(&name("main"), 0, 10).unwrap());
        // Only the line end is missing: the message is there, and stays.
        let whole = cut == first.len() - 1;
        assert_eq!(
            contents,
            if whole { vec!["first", "first", "last"] } else { vec!["first", "last"] },
            "cut at {cut}"
        );
    }
}

#[test]
fn sessions_are_listed_by_their_own_names() {
    let (folder, mut sessions) = new_sessions();
    let long_one = "x".repeat(1024);
    let long_other = format!("{}é", "x".repeat(1000));
    let mut names: Vec<_> = ["../up", "MAIN", "main", "é", &long_one, &long_other].map(name).into();
    names.sort();
    for session in &names {
        sessions.append(session, &entry(session.as_str())).unwrap();
    }
    assert_eq!(sessions.reader.list().unwrap(), names);
    for session in &names {
        assert_eq!(contents(&sessions.reader.history(session, 0, 10).unwrap()), [session.as_str()]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "a file is outside of its folder");
}

#[test]
fn files_that_are_not_ours_are_not_listed() {
    let (folder, mut sessions) = new_sessions();
    sessions.append(&name("main"), &entry("x")).unwrap();
    let long = FileName::of(&name(&"x".repeat(300)));
    for file_name in [
        "Main.conversation.jsonl",
        "a.b.conversation.jsonl",
        "%4A.conversation.jsonl",
        "notes.txt",
        &long.conversation(),
    ] {
        fs::write(folder.path().join("sessions").join(file_name), "").unwrap();
    }
    // A full name that is another's is no name.
    fs::write(folder.path().join("sessions").join(long.full_name()), "main").unwrap();
    assert_eq!(sessions.reader.list().unwrap(), [name("main")]);
}

#[test]
fn a_home_without_sessions_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let reader = SessionReader::new(&Home::at(folder.path()).unwrap());
    assert_eq!(reader.list().unwrap(), []);
    let page = reader.history(&name("main"), 5, 10).unwrap();
    assert_eq!((page.total, page.offset, page.lines.len(), page.next_offset()), (0, 5, 0, None));
}

#[test]
fn pages_cover_a_history_without_gap_or_overlap() {
    let (_folder, mut sessions) = new_sessions();
    let all: Vec<String> = (0..25).map(|n| format!("{n}-{}", "x".repeat(n * 997))).collect();
    for content in &all {
        sessions.append(&name("main"), &entry(content)).unwrap();
    }
    for limit in [1, 7, 24, 25, 100] {
        let (mut seen, mut offset) = (Vec::new(), Some(0));
        while let Some(from) = offset {
            let page = sessions.reader.history(&name("main"), from, limit).unwrap();
            assert_eq!((page.total, page.offset), (25, from));
            seen.extend(contents(&page));
            offset = page.next_offset();
        }
        assert_eq!(seen, all, "pages of {limit}");
    }
    for (offset, limit) in [(25, 10), (1000, 10), (0, 0)] {
        let page = sessions.reader.history(&name("main"), offset, limit).unwrap();
        assert_eq!((page.total, page.lines.len()), (25, 0));
    }
}

#[test]
fn a_page_leaves_out_what_is_damaged_and_what_is_not_written_yet() {
    let (folder, mut sessions) = new_sessions();
    let path = folder.path().join("sessions/main.conversation.jsonl");
    sessions.append(&name("main"), &entry("first")).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"not json\n\xff\xff\n{\"content\":\"other\",\"extra\":1}\n{\"content\":\"being wri").unwrap();
    let page = sessions.reader.history(&name("main"), 0, 10).unwrap();
    assert_eq!(contents(&page), ["first", "other"]);
    assert_eq!(page.lines[1].get(), "{\"content\":\"other\",\"extra\":1}");
    assert_eq!((page.total, page.damaged.as_slice(), page.next_offset()), (4, &[1, 2][..], None));
    let page = sessions.reader.history(&name("main"), 2, 1).unwrap();
    assert_eq!((page.damaged.as_slice(), page.next_offset()), (&[2][..], Some(3)));
}

#[test]
fn a_page_deep_in_a_million_lines_is_found() {
    let (folder, sessions) = new_sessions();
    let path = folder.path().join("sessions/main.conversation.jsonl");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    for n in 0..1_000_000 {
        writeln!(file, "{{\"content\":\"{n}\"}}").unwrap();
    }
    file.into_inner().unwrap();
    let page = sessions.reader.history(&name("main"), 999_990, 5).unwrap();
    assert_eq!(contents(&page), ["999990", "999991", "999992", "999993", "999994"]);
    assert_eq!((page.total, page.next_offset()), (1_000_000, Some(999_995)));
}

#[test]
fn a_full_disk_is_an_error_that_names_the_file() {
    let (folder, mut sessions) = new_sessions();
    let path = folder.path().join("sessions/main.conversation.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let error = sessions.append(&name("main"), &entry("x")).unwrap_err();
    assert_eq!((error.problem(), error.path()), (file::FileProblem::Full, path.as_path()));
}

fn repeatable(content: &str) -> SessionEntry {
    let peer = PublicKey::from_bytes([7; 32]);
    let once = wopr_p2p_core::OnceOnly { id: Nonce([5; 16]), senders: vec![peer], since: WallTime::from_millis(0) };
    SessionEntry { once: Some(once), ..entry(content) }
}

#[test]
fn a_message_that_comes_again_is_written_once_and_reported_as_written_each_time() {
    let (_folder, mut sessions) = new_sessions();
    for _ in 0..3 {
        sessions.append(&name("main"), &repeatable("once")).unwrap();
        sessions.append(&name("main"), &entry("always")).unwrap();
    }
    sessions.append(&name("main"), &repeatable("another text")).unwrap();
    let page = sessions.reader.history(&name("main"), 0, 10).unwrap();
    assert_eq!(contents(&page), ["once", "always", "always", "always", "another text"]);
}

#[test]
fn a_message_that_comes_again_after_a_crash_at_any_length_of_its_line_is_there_once() {
    let (folder, mut sessions) = new_sessions();
    let path = folder.path().join("sessions/main.conversation.jsonl");
    sessions.append(&name("main"), &entry("first")).unwrap();
    let first = fs::read(&path).unwrap().len();
    sessions.append(&name("main"), &repeatable("once")).unwrap();
    let whole = fs::read(&path).unwrap();
    for len in first..=whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        sessions.append(&name("main"), &repeatable("once")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole, "cut off after {len} bytes");
    }
}
