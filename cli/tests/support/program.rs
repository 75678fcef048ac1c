//! Programs as children: what they said, and that none outlives its test. Nothing here waits without
//! a limit, and nothing waits for a span of time instead of for an event.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) use super::place::Place;

/// A child in the background; killed by its own pid and reaped when dropped.
pub(crate) struct Running {
    name: String,
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    pub(crate) fn start(name: &str, command: Command) -> Running {
        Running::with_stdin(name, command, Stdio::null())
    }

    /// One that is told things while it runs.
    pub(crate) fn start_talking(name: &str, command: Command) -> Running {
        Running::with_stdin(name, command, Stdio::piped())
    }

    fn with_stdin(name: &str, mut command: Command, stdin: Stdio) -> Running {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name}: cannot start {command:?}: {e}"));
        let stdout = lines(child.stdout.take());
        let stderr = lines(child.stderr.take());
        Running { name: name.to_owned(), child, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its stdin.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("it was started to be talked to");
        writeln!(stdin, "{line}").unwrap_or_else(|e| panic!("{} does not listen: {e}", self.name));
    }

    /// The next line on its stdout, waiting for it at most `limit`; its stderr is in the panic when none comes.
    pub(crate) fn next_line(&self, limit: Duration) -> String {
        self.stdout.recv_timeout(limit).unwrap_or_else(|e| {
            let what = match e {
                RecvTimeoutError::Timeout => format!("said nothing for {limit:?}"),
                RecvTimeoutError::Disconnected => "ended".to_owned(),
            };
            panic!("{} {what}; its stderr:\n{}", self.name, self.stderr_so_far())
        })
    }

    /// The next line on its stdout, if one comes within `limit`.
    pub(crate) fn line_within(&self, limit: Duration) -> Option<String> {
        self.stdout.recv_timeout(limit).ok()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|e| panic!("{}: {e}", self.name));
    }

    /// Waits for its end, at most `limit`, and returns its exit code.
    pub(crate) fn wait(mut self, limit: Duration) -> Option<i32> {
        let (_, ended) = until_closed(&self.stdout, Instant::now() + limit);
        assert!(ended, "{} still runs after {limit:?}", self.name);
        self.child.wait().unwrap_or_else(|e| panic!("{}: {e}", self.name)).code()
    }

    /// What it wrote on stderr since this was last asked.
    pub(crate) fn stderr_so_far(&self) -> String {
        self.stderr.try_iter().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(e) = self.child.kill().and_then(|()| self.child.wait().map(|_| ())) {
            eprintln!("{} (pid {}) could not be ended: {e}", self.name, self.child.id());
        }
        if thread::panicking() {
            eprintln!("--- stderr of {}:\n{}", self.name, self.stderr_so_far());
        }
    }
}

/// Kills a process that is not our child, and waits until it has ended.
pub(crate) fn kill(pid: u64) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("{pid} is no process"));
    kill_process(pid, Signal::KILL).unwrap_or_else(|e| panic!("{pid:?} cannot be killed: {e}"));
    let deadline = Instant::now() + Duration::from_secs(10);
    let folder = format!("/proc/{}", pid.as_raw_nonzero());
    // Nobody may be there to reap it. Its sockets close with the last of its threads.
    let threads = || fs::read_dir(format!("{folder}/task")).map_or(0, Iterator::count);
    while fs::read_to_string(format!("{folder}/stat")).is_ok_and(|stat| !stat.contains(") Z ") || threads() > 1) {
        assert!(Instant::now() < deadline, "{pid:?} was killed and lives");
        thread::yield_now();
    }
}

fn lines(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, receive) = channel();
    let pipe = pipe.expect("the pipe was asked for");
    thread::spawn(move || {
        // Ends with the program, or with the test that no longer listens.
        BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
    });
    receive
}

/// A program that ended by itself.
pub(crate) struct Outcome {
    pub(crate) shown: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

/// Runs a command to its end, `input` on its stdin. One that takes longer than `limit` is killed and fails the test.
pub(crate) fn run(mut command: Command, input: &str, limit: Duration) -> Outcome {
    let shown = shown(&command);
    let started = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {shown}: {e}"));
    feed(&mut child, input);
    let stdout = lines(child.stdout.take());
    let stderr = lines(child.stderr.take());
    let (out, out_ended) = until_closed(&stdout, started + limit);
    let (err, err_ended) = until_closed(&stderr, started + limit);
    if !(out_ended && err_ended) {
        child.kill().and_then(|()| child.wait()).unwrap_or_else(|e| panic!("{shown} cannot be ended: {e}"));
        panic!("{shown} was still running after {limit:?}; stdout:\n{out}\nstderr:\n{err}");
    }
    let status = child.wait().unwrap_or_else(|e| panic!("{shown}: {e}"));
    Outcome { shown, code: status.code(), stdout: out, stderr: err, took: started.elapsed() }
}

fn feed(child: &mut Child, input: &str) {
    let mut stdin = child.stdin.take().expect("the pipe was asked for");
    let input = input.to_owned();
    // In a thread of its own: a program may answer before it has read everything, or refuse to read at all.
    thread::spawn(move || stdin.write_all(input.as_bytes()));
}

/// All lines until the pipe closed, and whether it did before the deadline.
fn until_closed(pipe: &Receiver<String>, deadline: Instant) -> (String, bool) {
    let mut text = String::new();
    loop {
        match pipe.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => text.extend([line.as_str(), "\n"]),
            Err(e) => return (text, e == RecvTimeoutError::Disconnected),
        }
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| abridged(&w.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn abridged(text: &str) -> String {
    if text.chars().count() <= 80 {
        text.to_owned()
    } else {
        format!("{}…", text.chars().take(80).collect::<String>())
    }
}

impl Outcome {
    /// It succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Outcome {
        assert_eq!(self.code, Some(0), "{}", self.report());
        self
    }

    /// It ended with `code`, without a panic, and its stderr has each of `words` (`a|b`: one of the two).
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.report());
        assert!(!self.stderr.contains("panicked"), "{}", self.report());
        let said = self.stderr.to_lowercase();
        for word in words {
            let found = word.split('|').any(|w| said.contains(&w.to_lowercase()));
            assert!(found, "stderr does not say '{word}'\n{}", self.report());
        }
    }

    /// Its stdout as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("stdout is not JSON: {e}\n{}", self.report()))
    }

    fn report(&self) -> String {
        let Outcome { shown, code, stdout, stderr, took } = self;
        format!(
            "{shown}\nended with {code:?} after {took:?}; stdout:\n{}\nstderr:\n{}",
            abridged_lines(stdout),
            abridged_lines(stderr)
        )
    }
}

fn abridged_lines(text: &str) -> String {
    text.lines().map(|line| line.chars().take(400).collect::<String>()).collect::<Vec<_>>().join("\n")
}
