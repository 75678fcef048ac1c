//! What a terminal shows while something is waited for, and that none of it is anywhere else. The terminal is a real one
//! to the program: a pseudo-terminal of the kernel.
#![cfg(target_os = "linux")]

mod support;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use support::conversation::{claim, invite};
use support::home::Home;
use support::node::{Daemon, Dht};
use support::program::Place;

const LIMIT: Duration = Duration::from_secs(60);

/// A terminal of 80 columns and 24 lines, and what was written to it so far.
struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// With the side that programs get. When the last of them has ended, so has the screen.
    fn new() -> (Terminal, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let ours = openpt(flags).expect("a pseudo-terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("it is ours");
        tcsetwinsize(&ours, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).expect("it has a size");
        let theirs = ioctl_tiocgptpeer(&ours, flags).expect("its other side");
        let keyboard = File::from(ours);
        let mut reading = keyboard.try_clone().expect("it can be read as well");
        let (send, screen) = channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // Reading fails when no program has it any more; the test may have ended, too.
            while let Ok(length @ 1..) = reading.read(&mut piece) {
                if send.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        (Terminal { keyboard, screen, seen: String::new() }, theirs)
    }

    fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + LIMIT;
        while !self.seen.contains(text) {
            let piece = self.screen.recv_timeout(end.saturating_duration_since(Instant::now()));
            let piece = piece.unwrap_or_else(|e| panic!("no {text:?} ({e}) in {:?}", self.seen));
            self.seen += &String::from_utf8_lossy(&piece);
        }
    }

    /// Everything, when the programs have ended.
    fn until_the_end(mut self) -> String {
        while let Ok(piece) = self.screen.recv_timeout(LIMIT) {
            self.seen += &String::from_utf8_lossy(&piece);
        }
        self.seen
    }
}

#[test]
fn a_terminal_is_told_what_is_waited_for_and_a_pipe_is_told_nothing() {
    let dht = Dht::on_loopback();
    let [alice, bob] = ["alice", "bob"].map(|name| Home::new(name, &Place::here(), &[dht.address]));
    let go = alice.folder().join("go");
    alice.answer_with("main", &format!("until test -e '{}'; do sleep 0.05; done; echo the answer", go.display()));
    let daemon = Daemon::start(&alice);
    claim(&bob, &invite(&alice, &bob, "main", &[]));
    let words = ["inject", &daemon.public_key, "--session", "main", "--message", "why?"];

    let (mut terminal, theirs) = Terminal::new();
    let mut command = bob.command();
    command.arg("p2p").args(words).env("TERM", "xterm");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(theirs);
    let child = command.spawn().expect("it starts");
    // The command has the other side of the terminal as well.
    drop(command);
    terminal.wait_for("finding ");
    terminal.wait_for("connected, waiting for the answer");
    fs::write(&go, "").expect("the home can be written");
    let outcome = child.wait_with_output().expect("it ends");
    assert_eq!((outcome.status.code(), outcome.stdout.as_slice()), (Some(0), &b"the answer\n"[..]));
    let seen = terminal.until_the_end();
    assert!(seen.ends_with("\u{1b}[2K") || seen.ends_with('\r'), "nothing of it stays on the screen: {seen:?}");

    let piped = bob.p2p(&words).ok();
    assert_eq!((piped.stdout.as_str(), piped.stderr.as_str()), ("the answer\n", ""));
}

#[test]
fn top_shows_the_node_until_it_is_left_and_gives_the_screen_back() {
    let alice = Home::without_dht("alice", &Place::here());
    let daemon = Daemon::start(&alice);
    let (mut terminal, theirs) = Terminal::new();
    let side = || theirs.try_clone().expect("one more");
    let mut command = alice.command();
    command.arg("top").env("TERM", "xterm").stdin(side()).stdout(side()).stderr(theirs.try_clone().expect("one more"));
    let mut child = command.spawn().expect("it starts");
    drop((command, theirs));
    terminal.wait_for("\u{1b}[?1049h");
    terminal.wait_for(&daemon.public_key);
    terminal.wait_for("q quit");
    terminal.keyboard.write_all(b"q").expect("a key is pressed");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(terminal.until_the_end().contains("\u{1b}[?1049l"), "the screen is as it was");
}

#[test]
fn whoever_starts_the_tools_by_hand_is_told_what_they_are_for() {
    let alice = Home::without_dht("alice", &Place::here());
    let (mut terminal, theirs) = Terminal::new();
    let mut command = alice.command();
    command.arg("mcp").stdin(theirs.try_clone().expect("one more")).stdout(Stdio::null()).stderr(theirs);
    let mut child = command.spawn().expect("it starts");
    drop(command);
    terminal.wait_for("docs/mcp.md");
    terminal.keyboard.write_all(b"\x04").expect("a key is pressed");
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
}
