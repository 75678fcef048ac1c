use super::*;

fn new_home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("a/wopr")).unwrap();
    (folder, home)
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn wopr_home_goes_before_the_users_home() {
    let choose = |wopr: Option<&str>, user: Option<&str>| {
        Home::choose(wopr.map(OsString::from), user.map(PathBuf::from)).map(|home| home.folder)
    };
    assert_eq!(choose(Some("/w"), Some("/u")).unwrap(), Path::new("/w"));
    assert_eq!(choose(None, Some("/u")).unwrap(), Path::new("/u/.wopr"));
    assert_eq!(choose(Some(""), Some("/u")).unwrap(), Path::new("/u/.wopr"));
    assert!(matches!(choose(None, None), Err(HomeError::Unknown)));
    assert!(matches!(choose(None, Some("")), Err(HomeError::Unknown)));
    assert!(choose(Some("relative"), None).unwrap().is_absolute());
}

#[test]
fn a_new_home_is_private() {
    let (_folder, home) = new_home();
    let lock = home.lock().unwrap();
    assert_eq!(lock.home(), &home);
    for folder in [home.folder().to_path_buf(), home.p2p(), home.sessions()] {
        assert_eq!(mode(folder), 0o700);
    }
    assert_eq!(mode(home.p2p().join("lock")), 0o600);
    assert_eq!(mode(home.p2p().join("format")), 0o600);
}

#[test]
fn an_open_p2p_folder_is_closed_but_the_folder_above_is_left_alone() {
    let (_folder, home) = new_home();
    fs::create_dir_all(home.p2p()).unwrap();
    fs::set_permissions(home.p2p(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(home.folder(), Permissions::from_mode(0o755)).unwrap();
    home.lock().unwrap();
    assert_eq!(mode(home.p2p()), 0o700);
    // It may be any folder that WOPR_HOME names, `/tmp` by mistake.
    assert_eq!(mode(home.folder()), 0o755);
}

#[test]
fn a_second_lock_is_refused_and_names_the_holder() {
    let (_folder, home) = new_home();
    let first = home.lock().unwrap();
    let error = home.lock().unwrap_err();
    let pid = std::process::id();
    assert!(matches!(&error, HomeError::Locked { pid: Some(holder), .. } if *holder == pid), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&home.folder().display().to_string()) && text.contains(&format!("pid {pid}")), "{text}");
    drop(first);
    home.lock().unwrap();
}

#[test]
fn a_lock_file_without_a_number_still_locks() {
    let (_folder, home) = new_home();
    let _first = home.lock().unwrap();
    for junk in [&b""[..], b"not a number", b"\xff\xff", &[b'1'; 5000]] {
        fs::write(home.p2p().join("lock"), junk).unwrap();
        assert!(matches!(home.lock(), Err(HomeError::Locked { pid: None, .. })));
    }
}

#[test]
fn a_stale_number_in_the_lock_file_does_not_lock() {
    let (_folder, home) = new_home();
    drop(home.lock().unwrap());
    fs::write(home.p2p().join("lock"), "123456789012345\n").unwrap();
    let _lock = home.lock().unwrap();
    assert_eq!(fs::read_to_string(home.p2p().join("lock")).unwrap(), format!("{}\n", std::process::id()));
}

#[test]
fn a_home_of_another_format_is_refused_and_left_as_it_was() {
    let (_folder, home) = new_home();
    drop(home.lock().unwrap());
    for other in ["2\n", "", "junk"] {
        fs::write(home.p2p().join("format"), other).unwrap();
        let error = home.lock().unwrap_err();
        assert!(matches!(&error, HomeError::OtherFormat { found, .. } if found == other.trim()), "{error:?}");
        assert!(error.to_string().contains(&home.folder().display().to_string()), "{error}");
        assert_eq!(fs::read_to_string(home.p2p().join("format")).unwrap(), other);
    }
}

#[test]
fn a_home_without_a_mark_is_taken_as_it_is() {
    let (_folder, home) = new_home();
    fs::create_dir_all(home.p2p()).unwrap();
    fs::write(home.p2p().join("identity.json"), "{}").unwrap();
    home.lock().unwrap();
    assert_eq!(fs::read(home.p2p().join("identity.json")).unwrap(), b"{}");
    assert_eq!(fs::read(home.p2p().join("format")).unwrap(), b"1\n");
}

#[test]
fn a_home_that_is_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "").unwrap();
    let error = Home::at(&path).unwrap().lock().unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[test]
fn a_folder_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a folder to another user");
        return;
    }
    let (_folder, home) = new_home();
    fs::create_dir_all(home.p2p()).unwrap();
    std::os::unix::fs::chown(home.p2p(), Some(12345), None).unwrap();
    let error = home.lock().unwrap_err();
    assert!(matches!(&error, HomeError::NotOurs { folder } if *folder == home.p2p()), "{error:?}");
}
