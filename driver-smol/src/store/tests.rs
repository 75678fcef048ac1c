use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::home::Home;

fn new_store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    (folder, store)
}

fn open(home: &Path) -> Store {
    Store::open(Arc::new(Home::at(home).unwrap().lock().unwrap())).unwrap()
}

fn replace(bytes: &[u8]) -> DocumentWrite {
    DocumentWrite::Replace(Zeroizing::new(bytes.to_vec()))
}

fn names(store: &Store) -> Vec<String> {
    let entries = fs::read_dir(store.home.home().p2p()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_store_has_no_document() {
    let (_folder, store) = new_store();
    for document in Document::ALL {
        assert!(store.load(document).unwrap().is_none());
    }
}

#[test]
fn documents_come_back_as_written_after_a_restart() {
    let (folder, mut store) = new_store();
    for document in Document::ALL {
        store.write(document, &replace(b"old")).unwrap();
        store.write(document, &replace(format!("{document:?}\n").as_bytes())).unwrap();
    }
    store.write(Document::Replay, &DocumentWrite::Append(b"a\nb\n".to_vec())).unwrap();
    drop(store);
    let store = open(folder.path());
    for document in Document::ALL {
        let tail = if document == Document::Replay { "a\nb\n" } else { "" };
        assert_eq!(store.load(document).unwrap().unwrap().as_slice(), format!("{document:?}\n{tail}").as_bytes());
        assert_eq!(fs::metadata(store.path(document)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_torn_line_of_the_replay_log_is_cut_when_it_is_opened() {
    let (folder, mut store) = new_store();
    store.write(Document::Replay, &DocumentWrite::Append(b"one\n".to_vec())).unwrap();
    let path = store.path(Document::Replay);
    drop(store);
    fs::write(&path, "one\ntw").unwrap();
    let store = open(folder.path());
    assert_eq!(store.load(Document::Replay).unwrap().unwrap().as_slice(), b"one\n");
}

#[test]
fn flaw_29_a_failed_write_is_an_error_and_keeps_the_old_document() {
    let (_folder, mut store) = new_store();
    store.write(Document::Access, &replace(b"grants")).unwrap();
    // The temporary file cannot be made where a folder has its name, whoever we are.
    fs::create_dir(file::temporary(&store.path(Document::Access))).unwrap();
    let error = store.write(Document::Access, &replace(b"fewer")).unwrap_err();
    assert!(error.to_string().contains("access.json"), "{error}");
    assert_eq!(store.load(Document::Access).unwrap().unwrap().as_slice(), b"grants");
}

#[test]
fn flaw_30_no_second_copy_of_the_keys_stays_behind() {
    let (folder, mut store) = new_store();
    store.write(Document::Identity, &replace(b"old keys")).unwrap();
    let path = store.path(Document::Identity);
    drop(store);
    fs::write(file::temporary(&path), "new keys, cut off").unwrap();
    let mut store = open(folder.path());
    assert_eq!(names(&store), ["format", "identity.json", "lock"]);
    store.write(Document::Identity, &replace(b"new keys")).unwrap();
    assert_eq!(names(&store), ["format", "identity.json", "lock"]);
}

#[test]
fn a_damaged_document_is_kept_aside_once_for_its_owner_only() {
    let (_folder, mut store) = new_store();
    let mut copies = Vec::new();
    for content in [b"first", b"other"] {
        store.write(Document::Identity, &replace(content)).unwrap();
        let copy = store.keep_copy(Document::Identity).unwrap();
        assert_eq!(store.keep_copy(Document::Identity).unwrap(), copy, "the same content, the same copy");
        assert_eq!(store.load(Document::Identity).unwrap().unwrap().as_slice(), content, "the document stays");
        copies.push((copy, content));
    }
    // The name is that of `printf first | sha256sum`.
    assert!(copies[0].0.ends_with("identity.json.damaged-a7937b64b8caa58f"), "{copies:?}");
    for (path, content) in copies {
        assert_eq!(fs::read(&path).unwrap(), content);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let error = store.keep_copy(Document::Access).unwrap_err();
    assert!(error.to_string().contains("access.json"), "{error}");
}

#[test]
fn copies_of_damaged_documents_fill_no_disk() {
    let (_folder, mut store) = new_store();
    for number in 0..MAX_COPIES {
        store.write(Document::Peers, &replace(&[u8::try_from(number).unwrap()])).unwrap();
        store.keep_copy(Document::Peers).unwrap();
    }
    store.write(Document::Peers, &replace(b"one more")).unwrap();
    let error = store.keep_copy(Document::Peers).unwrap_err();
    assert!(error.to_string().contains("there are 8 files peers.json.damaged-"), "{error}");
    store.write(Document::Access, &replace(b"of another")).unwrap();
    store.keep_copy(Document::Access).unwrap();
}

#[test]
fn a_part_of_a_line_is_refused() {
    let (_folder, mut store) = new_store();
    let error = store.write(Document::Replay, &DocumentWrite::Append(b"no end".to_vec())).unwrap_err();
    assert!(error.to_string().contains("the last line has no end"), "{error}");
    assert!(store.load(Document::Replay).unwrap().is_none());
}
