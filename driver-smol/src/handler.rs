//! Asking a session's AI: any command that reads the question on stdin and writes its answer to stdout.
//!
//! What the command can rely on:
//!
//! - It is started for one question, without a shell, in the folder of the daemon and with the daemon's environment. wopr
//!   puts no secret into its own environment; what the owner puts there, the command sees.
//! - Its environment also has `WOPR_ORIGIN=remote` (the text is no command of the owner), `WOPR_PEER` (the asker's full
//!   public key), `WOPR_PEER_NAME` (the owner's name for them; may be empty), `WOPR_PEER_SHORT_ID`, `WOPR_SESSION`,
//!   `WOPR_SESSION_FILE` (the session's history, the question in its last lines), `WOPR_CAPABILITIES` (joined by commas),
//!   `WOPR_TRUST`, `WOPR_HOME`, so that `wopr` commands go to this very node, and `WOPR_CHAIN`, which they hand on: a
//!   question that comes back to somebody who waits for this answer is refused. The session's name and the question are a remote peer's words: quote them.
//! - Its stdin is the question's text, exactly and to the end. It need not read it.
//! - Its answer is what it wrote to stdout when it exits with status 0, as UTF-8, without a final line end. Any other end
//!   is a failure, never an answer.
//! - It leads a process group of its own, which is killed when the question is over: when the command has exited, when it
//!   took too long or wrote too much, or when nobody waits for the answer any more. Only a process that leaves the group
//!   (`setsid`) goes on.

mod command;

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_io::Timer;
use smol::future;
use smol::lock::Semaphore;
use wopr_p2p_core::access::SessionName;

use crate::session_file::SessionReader;
use wopr_p2p_core::{AskFailed, Question};

/// A command that answers questions, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// The program, looked up in `PATH` if it has no slash.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// How long a question may take, waiting for others of its session included.
    pub timeout: Duration,
    /// The longest answer, in bytes.
    pub max_answer: usize,
    /// How many questions of one session it answers at the same time; at least 1.
    pub max_running: usize,
}

impl Handler {
    /// 300 seconds: how long an inject waits for its answer.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
    /// 1 MiB: the largest payload.
    pub const DEFAULT_MAX_ANSWER: usize = 1024 * 1024;
    /// 4 questions.
    pub const DEFAULT_MAX_RUNNING: usize = 4;

    /// A command with the default limits.
    pub fn new(program: impl Into<OsString>, args: impl IntoIterator<Item: Into<OsString>>) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            timeout: Self::DEFAULT_TIMEOUT,
            max_answer: Self::DEFAULT_MAX_ANSWER,
            max_running: Self::DEFAULT_MAX_RUNNING,
        }
    }
}

/// Which command answers for which session.
#[derive(Debug)]
pub struct Handlers {
    files: SessionReader,
    by_session: BTreeMap<SessionName, Arc<Handler>>,
    default: Option<Arc<Handler>>,
    /// The sessions with questions under way. Kept only as long as they have some: peers choose the names.
    places: Mutex<BTreeMap<SessionName, Weak<Semaphore>>>,
}

impl Handlers {
    /// No command for any session. `files` tells commands where their session's history is.
    #[must_use]
    pub const fn new(files: SessionReader) -> Self {
        Self { files, by_session: BTreeMap::new(), default: None, places: Mutex::new(BTreeMap::new()) }
    }

    /// Sets the command for one session.
    pub fn set(&mut self, session: SessionName, handler: Handler) {
        self.by_session.insert(session, Arc::new(handler));
    }

    /// Sets the command for every session without one of its own.
    pub fn set_default(&mut self, handler: Handler) {
        self.default = Some(Arc::new(handler));
    }

    /// Asks the session's command. Nothing happens before the future is polled; dropping it kills what it started.
    pub fn ask(&self, question: Question) -> impl Future<Output = Result<String, HandlerError>> + Send + 'static {
        let handler = self.by_session.get(&question.session).or(self.default.as_ref()).cloned();
        let place = handler.as_ref().map(|handler| self.place(&question.session, handler.max_running));
        let file = self.files.path(&question.session);
        async move {
            let (Some(handler), Some(place)) = (handler, place) else {
                return Err(HandlerError::NoHandler { session: question.session });
            };
            let answer = async {
                let _place = place.acquire().await;
                command::answer(&handler, &question, file).await
            };
            let timeout = async {
                Timer::after(handler.timeout).await;
                Err(HandlerError::TimedOut { program: handler.program.clone(), timeout: handler.timeout })
            };
            future::or(answer, timeout).await
        }
    }

    /// The places of a session's questions.
    fn place(&self, session: &SessionName, max_running: usize) -> Arc<Semaphore> {
        // Nothing can panic between two states of the map.
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, place| place.strong_count() > 0);
        places.get(session).and_then(Weak::upgrade).unwrap_or_else(|| {
            let place = Arc::new(Semaphore::new(max_running.max(1)));
            places.insert(session.clone(), Arc::downgrade(&place));
            place
        })
    }
}

/// Why a command gave no answer, for the owner. The asker hears less: it becomes an [`AskFailed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerError {
    /// The session has no command, and there is no default.
    NoHandler {
        /// Which session.
        session: SessionName,
    },
    /// The command could not be started.
    NotStarted {
        /// The program.
        program: OsString,
        /// The operating system's reason.
        reason: String,
    },
    /// It took too long and was killed.
    TimedOut {
        /// The program.
        program: OsString,
        /// Its limit.
        timeout: Duration,
    },
    /// It wrote too much and was killed.
    AnswerTooLong {
        /// The program.
        program: OsString,
        /// Its limit, in bytes.
        max_answer: usize,
    },
    /// It exited with a status that is not 0.
    Failed {
        /// The program.
        program: OsString,
        /// The status.
        code: i32,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// A signal ended it that did not come from us.
    Killed {
        /// The program.
        program: OsString,
        /// The signal's number.
        signal: i32,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// Its answer is not UTF-8.
    NotUtf8 {
        /// The program.
        program: OsString,
    },
    /// Its pipes failed.
    Broken {
        /// The program.
        program: OsString,
        /// The operating system's reason.
        reason: String,
    },
}

impl From<&HandlerError> for AskFailed {
    fn from(error: &HandlerError) -> Self {
        match error {
            HandlerError::NoHandler { .. } => Self::NoHandler,
            HandlerError::TimedOut { .. } => Self::TimedOut,
            HandlerError::AnswerTooLong { .. } => Self::AnswerTooLong,
            HandlerError::NotStarted { .. }
            | HandlerError::Failed { .. }
            | HandlerError::Killed { .. }
            | HandlerError::NotUtf8 { .. }
            | HandlerError::Broken { .. } => Self::Died,
        }
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |stderr: &str| if stderr.is_empty() { String::new() } else { format!("; it said: {stderr}") };
        match self {
            // A peer chose the name: `Debug` makes its control characters harmless.
            Self::NoHandler { session } => {
                write!(f, "no handler answers for the session {session:?}: configure one for it, or a default")
            }
            Self::NotStarted { program, reason } => {
                write!(f, "the handler {program:?} cannot be started: {reason}; check its path and permissions")
            }
            Self::TimedOut { program, timeout } => write!(
                f,
                "the handler {program:?} had no answer after {} s and was killed; raise its timeout if it needs longer",
                timeout.as_secs_f64()
            ),
            Self::AnswerTooLong { program, max_answer } => write!(
                f,
                "the handler {program:?} wrote more than {max_answer} bytes and was killed; make its answers shorter"
            ),
            Self::Failed { program, code, stderr } => {
                write!(f, "the handler {program:?} exited with status {code}{}", said(stderr))
            }
            Self::Killed { program, signal, stderr } => {
                write!(f, "the handler {program:?} was ended by signal {signal}{}", said(stderr))
            }
            Self::NotUtf8 { program } => {
                write!(f, "the handler {program:?} answered something that is not UTF-8; make it write UTF-8 text")
            }
            Self::Broken { program, reason } => write!(f, "the pipes of the handler {program:?} failed: {reason}"),
        }
    }
}

impl Error for HandlerError {}

impl HandlerError {
    /// The same sentence without what the command said: it may have quoted the question.
    #[must_use]
    pub fn without_words(&self) -> String {
        match self {
            Self::Failed { program, code, .. } => format!("the handler {program:?} exited with status {code}"),
            Self::Killed { program, signal, .. } => format!("the handler {program:?} was ended by signal {signal}"),
            error => error.to_string(),
        }
    }
}

/// What a command finds in its environment besides the daemon's own.
fn environment(question: &Question, session_file: PathBuf) -> [(&'static str, OsString); 10] {
    // The file is in the home's `sessions` folder.
    let home = session_file.ancestors().nth(2).map(|home| home.as_os_str().to_owned()).unwrap_or_default();
    let capabilities: Vec<_> = question.capabilities.iter().map(|capability| capability.as_str()).collect();
    [
        ("WOPR_ORIGIN", "remote".into()),
        ("WOPR_PEER", question.peer.to_string().into()),
        ("WOPR_PEER_NAME", question.peer_name.as_deref().unwrap_or_default().into()),
        ("WOPR_PEER_SHORT_ID", question.peer.short_id().into()),
        ("WOPR_SESSION", question.session.as_str().into()),
        ("WOPR_SESSION_FILE", session_file.into()),
        ("WOPR_CAPABILITIES", capabilities.join(",").into()),
        ("WOPR_TRUST", question.trust.as_str().into()),
        ("WOPR_HOME", home),
        ("WOPR_CHAIN", question.chain.to_string().into()),
    ]
}

#[cfg(test)]
mod tests;
