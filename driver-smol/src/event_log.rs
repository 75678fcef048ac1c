//! What happened, as lines of JSON in `p2p/events.jsonl`: written before any subscriber sees it, bounded on disk.
//!
//! The file is renamed to `events.jsonl.1` when it is full, in place of the one before: two files of [`MAX_FILE`] bytes
//! are the most. What somebody else can make happen at will is written a few times a minute (`limit`); the rest of it
//! is counted, and one line tells how many there were. Lines are numbered (`seq`) without gaps and for ever, so that a
//! reader can go on where it was. A power cut can take the last lines: the log is for looking at, and nothing is
//! decided by it. The shape of a line is in `docs/json.md`.

mod follow;
mod limit;
mod line;
mod read;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use smol::channel::{Sender, TrySendError};
use wopr_p2p_core::Event;
use wopr_p2p_core::time::WallTime;

use crate::file::{self, FileError};
use crate::home::{Home, HomeLock};

pub use follow::Follow;
use limit::Limiter;
use line::Line;
pub use line::Subject;
pub use read::{EventLine, EventReader, Query};

/// The longest that a file of the log gets, in bytes.
pub const MAX_FILE: u64 = 4 << 20;

const FILE: &str = "events.jsonl";
const OLDER: &str = "events.jsonl.1";

/// Where the log's files are, the older one first; neither need exist.
fn paths(home: &Home) -> [PathBuf; 2] {
    [OLDER, FILE].map(|name| home.p2p().join(name))
}

/// An event with its line in the log.
#[derive(Clone, Debug)]
pub struct Happened {
    /// What happened; `None` for a line that only counts what was left out.
    pub event: Option<Event>,
    /// Its line.
    pub line: Arc<EventLine>,
}

/// What is given to the thread that writes.
enum Job {
    Event { event: Box<Event>, at: WallTime, subject: Option<Subject> },
    Subscribe { to: Sender<Happened>, ready: Sender<()> },
}

/// Writes the log in the background. Dropping it lets what was given be written; [`EventLog::close`] waits for that.
pub struct EventLog {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

impl EventLog {
    /// Opens the log of a locked home and starts the thread that writes it.
    ///
    /// # Errors
    /// The log cannot be read or repaired, or the operating system gives no thread.
    pub fn start(home: Arc<HomeLock>) -> Result<Self, FileError> {
        let path = home.home().p2p().join(FILE);
        let file = Log::open(home)?;
        let (jobs, queue) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("wopr-events".to_owned())
            .spawn(move || Writer { log: file, limiter: Limiter::default(), subscribers: Vec::new() }.run(&queue))
            .map_err(FileError::new("start the thread that writes", &path))?;
        Ok(Self { jobs, thread })
    }

    /// Writes an event and then shows it to the subscribers. `subject` is what is known of the peer that it is about.
    pub fn log(&self, event: Event, at: WallTime, subject: Option<Subject>) {
        // Without its thread there is nobody to tell, and nothing that depends on it.
        drop(self.jobs.send(Job::Event { event: Box::new(event), at, subject }));
    }

    /// Shows everything from now on to this subscriber, which misses what it has no room for. `ready` is told when it is
    /// certain that whatever is not in the files yet will be shown.
    pub fn subscribe(&self, to: Sender<Happened>, ready: Sender<()>) {
        drop(self.jobs.send(Job::Subscribe { to, ready }));
    }

    /// Waits until everything that was given is written.
    pub async fn close(self) {
        let Self { jobs, thread } = self;
        smol::unblock(move || {
            drop(jobs);
            // A thread that panicked has said so on stderr.
            drop(thread.join());
        })
        .await;
    }
}

struct Writer {
    log: Log,
    limiter: Limiter,
    subscribers: Vec<Sender<Happened>>,
}

impl Writer {
    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        loop {
            let job = match self.limiter.next_end() {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(end) => queue.recv_timeout(end.saturating_duration_since(Instant::now())),
            };
            let over = matches!(job, Err(RecvTimeoutError::Disconnected));
            for counted in self.limiter.take_counts(Instant::now(), over) {
                self.write(None, &counted);
            }
            match job {
                Ok(Job::Event { event, at, subject }) => self.event(*event, at, subject),
                Ok(Job::Subscribe { to, ready }) => {
                    self.subscribers.push(to);
                    // Whoever asked may be gone already.
                    ready.try_send(()).ok();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn event(&mut self, event: Event, at: WallTime, subject: Option<Subject>) {
        let line = Line::of(&event, at, subject.as_ref());
        let known = subject.as_ref().filter(|subject| subject.known).map(|subject| subject.key);
        if self.limiter.allows(&event, &line, known, Instant::now()) {
            self.write(Some(event), &line);
        }
    }

    fn write(&mut self, event: Option<Event>, line: &Line) {
        let line = Arc::new(self.log.append(line));
        let happened = Happened { event, line };
        self.subscribers
            .retain(|subscriber| !matches!(subscriber.try_send(happened.clone()), Err(TrySendError::Closed(_))));
    }
}

/// The open file.
struct Log {
    home: Arc<HomeLock>,
    file: Option<File>,
    len: u64,
    next: u64,
    /// Lines that could not be written since the last one that was.
    missed: u64,
}

impl Log {
    fn open(home: Arc<HomeLock>) -> Result<Self, FileError> {
        let [_, path] = paths(home.home());
        file::repair_lines(&path, |_| false)?;
        let last = EventReader::new(home.home()).read(&Query { tail: Some(1), ..Query::default() })?;
        let next = last.last().map_or(1, |line| line.seq + 1);
        Ok(Self { home, file: None, len: 0, next, missed: 0 })
    }

    /// Numbers a line and writes it. A full disk must not stop the node: then the line is shown, and what is missing is
    /// written as a count as soon as that works again.
    fn append(&mut self, line: &Line) -> EventLine {
        if self.missed > 0 {
            let missed = Line::missed(self.missed, line.at());
            if self.put(&missed).is_ok() {
                self.missed = 0;
            }
        }
        let numbered = line.numbered(self.next);
        match self.put(line) {
            Ok(line) => line,
            Err(_) => {
                self.missed += 1;
                self.next += 1;
                numbered
            }
        }
    }

    fn put(&mut self, line: &Line) -> io::Result<EventLine> {
        let numbered = line.numbered(self.next);
        let bytes = format!("{}\n", numbered.json);
        let [older, path] = paths(self.home.home());
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.reopen(&path)?,
        };
        if self.len > 0 && self.len + bytes.len() as u64 > MAX_FILE {
            fs::rename(&path, &older)?;
            file = self.reopen(&path)?;
        }
        if let Err(error) = file.write_all(bytes.as_bytes()) {
            // A part of the line may be there; readers pass over it if it cannot be taken back.
            drop(file.set_len(self.len));
            return Err(error);
        }
        self.file = Some(file);
        self.len += bytes.len() as u64;
        self.next += 1;
        Ok(numbered)
    }

    fn reopen(&mut self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        self.len = file.metadata()?.len();
        Ok(file)
    }
}

/// How long what happens again and again is counted before a line tells how often.
const WINDOW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
