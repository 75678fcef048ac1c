use super::*;

fn is_brace(line: &[u8]) -> bool {
    line.ends_with(b"}")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_replaced_file_is_whole_private_and_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    replace(&path, b"a much longer first version").unwrap();
    replace(&path, b"second").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"second");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_left_over_temporary_file_does_not_stop_a_replace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    fs::write(temporary(&path), "left over, and longer than what comes").unwrap();
    replace(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_failed_replace_leaves_the_old_file_and_no_temporary_one() {
    let folder = tempfile::tempdir().unwrap();
    // A folder that is not empty cannot be replaced by a file: the rename fails, for root too.
    let path = folder.path().join("a.json");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("old"), "old").unwrap();
    let error = replace(&path, b"secret").unwrap_err();
    assert_eq!(error.path(), path);
    assert!(error.to_string().starts_with(&format!("cannot write {}: ", path.display())), "{error}");
    assert!(!temporary(&path).exists());
    assert_eq!(fs::read(path.join("old")).unwrap(), b"old");
}

#[test]
fn reading_takes_away_what_others_may_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    assert!(read_private(&path).unwrap().is_none());
    fs::write(&path, "key").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(read_private(&path).unwrap().unwrap().as_slice(), b"key");
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn new_folders_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    make_folder(&path).unwrap();
    make_folder(&path).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o700, 0o700));
}

#[test]
fn appended_lines_follow_each_other_in_a_private_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    append_lines(&path, b"one\n", is_brace).unwrap();
    append_lines(&path, b"two\nthree\n", is_brace).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_part_of_a_line_is_not_appended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    for part in [&b""[..], b"one", b"one\ntwo"] {
        assert!(append_lines(&path, part, is_brace).is_err());
    }
    assert!(!path.exists());
}

#[test]
fn a_torn_last_line_is_cut_and_a_whole_one_is_ended() {
    let long = format!("{{{}", "x".repeat(20_000));
    let whole = format!("{long}}}");
    let cases: Vec<(String, String)> = vec![
        ("".into(), "".into()),
        ("{1}\n".into(), "{1}\n".into()),
        ("{1}\n{2".into(), "{1}\n".into()),
        ("{1}\n{2}".into(), "{1}\n{2}\n".into()),
        ("{1".into(), "".into()),
        ("{1}".into(), "{1}\n".into()),
        ("\n\n".into(), "\n\n".into()),
        ("{1}\n\0\0\0".into(), "{1}\n".into()),
        ("{1}\n\0\0}\n".into(), "{1}\n".into()),
        (format!("{{1}}\n{long}"), "{1}\n".into()),
        (format!("{{1}}\n{whole}"), format!("{{1}}\n{whole}\n")),
        (format!("{whole}\n"), format!("{whole}\n")),
        (long, "".into()),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (before, after) in cases {
        let path = folder.path().join("log");
        fs::write(&path, &before).unwrap();
        append_lines(&path, b"{new}\n", is_brace).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{after}{{new}}\n"), "{before:?}");

        fs::write(&path, &before).unwrap();
        repair_lines(&path, is_brace).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), after, "{before:?}");
    }
}

#[test]
fn repairing_a_missing_file_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    repair_lines(&path, is_brace).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_full_disk_is_told_apart_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let error = append_lines(&path, b"x\n", is_brace).unwrap_err();
    assert_eq!(error.problem(), FileProblem::Full);
    assert!(error.to_string().starts_with(&format!("cannot append to {}: ", path.display())), "{error}");
    assert!(error.to_string().ends_with("free some space on that disk, then try again"), "{error}");
}

#[test]
fn every_kind_of_problem_has_its_next_step() {
    let error = |kind: ErrorKind| FileError::new("write", Path::new("/x"))(kind.into());
    for (kind, problem, word) in [
        (ErrorKind::QuotaExceeded, FileProblem::Full, "free"),
        (ErrorKind::FileTooLarge, FileProblem::Full, "free"),
        (ErrorKind::ReadOnlyFilesystem, FileProblem::ReadOnly, "writable"),
        (ErrorKind::PermissionDenied, FileProblem::Denied, "ownership"),
        (ErrorKind::Interrupted, FileProblem::Other, "/x"),
    ] {
        assert_eq!(error(kind).problem(), problem);
        assert!(error(kind).to_string().contains(word), "{}", error(kind));
    }
}
