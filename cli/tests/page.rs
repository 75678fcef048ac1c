//! The page in a browser: `tests/page-npm/page.js` does every action by clicking, on the page of a daemon with two peers
//! that are daemons themselves, and tries what a hostile page could do.
//!
//! Needs node, npm and Chromium; says clearly when it skips, and never skips in CI. The browser's driver is pinned in
//! `tests/page-npm/package-lock.json`. With `SHOTS=folder` it leaves pictures of every place there.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use support::home::Home;
use support::node::{Daemon, Dht};
use support::program::{Place, run};

/// Far above the minute that it takes.
const LIMIT: Duration = Duration::from_secs(300);
const CHROMIUM: &str = "/usr/bin/chromium";

#[test]
fn every_action_is_done_by_clicking_and_a_hostile_page_gets_nothing() {
    if !install_driver() {
        return;
    }
    let dht = Dht::on_loopback();
    let folder = tempfile::tempdir().expect("a folder");
    let node = |name: &str, settings: serde_json::Value| {
        let home = Home::new(name, &Place::here(), &[dht.address]);
        // One folder for all, so that the script needs one name.
        std::os::unix::fs::symlink(home.folder(), folder.path().join(name)).expect("a link");
        let config = json!({ "plugins": { "data": { "p2p": settings } } });
        fs::write(home.folder().join("config.json"), config.to_string()).expect("the home can be written");
        home
    };
    let gateway = json!({ "enabled": true, "session": "front-door", "capabilities": ["message", "inject.limited"], "approval": true });
    let answers = json!({ "*": { "command": ["/bin/sh", "-c", "echo an answer"] } });
    let alice = node("alice", json!({ "uiPort": 0, "gateway": gateway, "sessions": answers }));
    let bob = node("bob", json!({ "uiPort": false, "sessions": answers }));
    let carol = node("carol", json!({ "uiPort": false, "gateway": gateway }));
    let _daemons = [&alice, &bob, &carol].map(Daemon::start);

    let mut script = Command::new("node");
    script.arg(driver().join("page.js")).env("WOPR", env!("CARGO_BIN_EXE_wopr")).env("CHROMIUM", CHROMIUM);
    script.env("HOMES", folder.path()).env("BOOTSTRAP", dht.address.to_string());
    let outcome = run(script, "", LIMIT);
    assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.stdout, outcome.stderr);
    println!("{}", outcome.stdout);
}

fn driver() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/page-npm")
}

/// Installs the browser's driver as the lock file says; `false` if something is missing and may be.
fn install_driver() -> bool {
    let done = Command::new("npm").arg("ci").current_dir(driver()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = done.is_ok_and(|status| status.success()) && Path::new(CHROMIUM).exists();
    if !there {
        assert!(
            std::env::var_os("CI").is_none(),
            "in CI the page may not be skipped: 'npm ci' failed, or no {CHROMIUM}"
        );
        let said = writeln!(std::io::stderr(), "\nSKIPPED, no browser: {CHROMIUM} or {}", driver().display());
        said.expect("stderr takes a line");
    }
    there
}
