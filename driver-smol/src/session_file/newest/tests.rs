use quickcheck::quickcheck;

use super::*;

fn file_with(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn line(content: &str) -> String {
    let content = serde_json::to_string(content).unwrap();
    format!(
        r#"{{"ts":5,"iso":"x","from":"bob","type":"message","content":{content},"channel":{{"type":"p2p","id":"k"}}}}"#
    )
}

fn contents(path: &Path) -> Vec<String> {
    NewestFirst::open(path).unwrap().map(|said| said.unwrap().content).collect()
}

#[test]
fn the_newest_message_comes_first() {
    let (_folder, path) = file_with(&format!("{}\n{}\n{}\n", line("a"), line("b"), line("c")));
    assert_eq!(contents(&path), ["c", "b", "a"]);
    let first = NewestFirst::open(&path).unwrap().next().unwrap().unwrap();
    let (kind, from) = ("message".to_owned(), "bob".to_owned());
    assert_eq!(first, Said { ts: 5, kind, from, content: "c".to_owned(), peer: Some("k".to_owned()) });
}

#[test]
fn a_session_without_a_file_or_with_an_empty_one_has_said_nothing() {
    assert_eq!(contents(Path::new("/no/such/file")), [""; 0]);
    let (_folder, path) = file_with("");
    assert_eq!(contents(&path), [""; 0]);
}

#[test]
fn a_line_that_is_being_written_and_one_that_is_damaged_are_passed_over() {
    let (_folder, path) = file_with(&format!("{}\nnot json\n\n{}\n{{\"ts\":1", line("a"), line("b")));
    assert_eq!(contents(&path), ["b", "a"]);
    let (_folder, path) = file_with("half a line");
    assert_eq!(contents(&path), [""; 0]);
}

#[test]
fn a_line_that_is_longer_than_any_message_is_an_error_and_then_the_end() {
    let (_folder, path) = file_with(&format!("{}\n{}\n", line("a"), "x".repeat(MAX_LINE + 200_000)));
    let mut said = NewestFirst::open(&path).unwrap();
    assert!(said.next().unwrap().unwrap_err().to_string().contains("longer than any message"));
    assert!(said.next().is_none());
}

quickcheck! {
    /// Lines of every length, around the size of a piece and beyond it.
    fn what_was_written_is_read_backwards(lengths: Vec<u16>) -> bool {
        let texts: Vec<_> = lengths.iter().take(8).map(|length| "y".repeat(usize::from(*length) * 2)).collect();
        let (_folder, path) = file_with(&texts.iter().map(|text| line(text) + "\n").collect::<String>());
        let mut read = contents(&path);
        read.reverse();
        read == texts
    }
}
