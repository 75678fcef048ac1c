//! Asking a session's AI: a [command](Program), a [chat endpoint](Chat) or an [agent](Agent), and how much of it a
//! session may use.
//!
//! Whatever answers, it stops when its time is over, when its answer grows too long, or when nobody waits for the answer
//! any more: dropping the future of [`Handlers::ask`] kills the process group, ends the agent, closes the connection.
//!
//! What a command can rely on:
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

mod acp;
mod chat;
mod command;
mod context;
mod error;
mod today;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_io::Timer;
use smol::future;
use smol::lock::Semaphore;
use wopr_p2p_core::access::SessionName;

pub use self::acp::Agent;
pub use self::chat::{Chat, ChatFault, KeySource};
pub use self::error::HandlerError;
use self::today::Today;
use crate::clock::Clock;
use crate::session_file::SessionReader;
use wopr_p2p_core::Question;

/// What answers questions, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Who answers.
    pub backend: Backend,
    /// How long a question may take, waiting for others of its session included.
    pub timeout: Duration,
    /// The longest answer, in bytes.
    pub max_answer: usize,
    /// How many questions of one session it answers at the same time; at least 1.
    pub max_running: usize,
    /// How many questions of one session it answers in a day of UTC; no limit if not set.
    pub max_per_day: Option<NonZeroU32>,
}

impl Handler {
    /// 300 seconds: how long an inject waits for its answer.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
    /// 1 MiB: the largest payload.
    pub const DEFAULT_MAX_ANSWER: usize = 1024 * 1024;
    /// 4 questions.
    pub const DEFAULT_MAX_RUNNING: usize = 4;

    /// With the default limits.
    #[must_use]
    pub const fn new(backend: Backend) -> Self {
        Self {
            backend,
            timeout: Self::DEFAULT_TIMEOUT,
            max_answer: Self::DEFAULT_MAX_ANSWER,
            max_running: Self::DEFAULT_MAX_RUNNING,
            max_per_day: None,
        }
    }

    /// A command with the default limits.
    pub fn command(program: impl Into<OsString>, args: impl IntoIterator<Item: Into<OsString>>) -> Self {
        Self::new(Backend::Command(Program::new(program, args)))
    }
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A program that is started for each question.
    Command(Program),
    /// An HTTP endpoint of the shape that OpenAI gave it.
    Chat(Chat),
    /// An agent that speaks the Agent Client Protocol on its stdin and stdout.
    Agent(Agent),
}

impl Backend {
    async fn answer(
        &self,
        question: &Arc<Question>,
        files: &SessionReader,
        max: usize,
    ) -> Result<String, HandlerError> {
        match self {
            Self::Command(program) => command::answer(program, question, files.path(&question.session), max).await,
            Self::Chat(chat) => chat::answer(chat, question, files, max).await,
            Self::Agent(agent) => acp::answer(agent, question, files, max).await,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(program) => write!(f, "the handler {:?}", program.program),
            Self::Chat(chat) => write!(f, "the chat endpoint {}", chat.url),
            Self::Agent(agent) => write!(f, "the agent {:?}", agent.program.program),
        }
    }
}

/// A program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Looked up in `PATH` if it has no slash.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl Program {
    /// A program with its arguments.
    pub fn new(program: impl Into<OsString>, args: impl IntoIterator<Item: Into<OsString>>) -> Self {
        Self { program: program.into(), args: args.into_iter().map(Into::into).collect() }
    }
}

/// Who answers for which session.
#[derive(Debug)]
pub struct Handlers {
    files: SessionReader,
    by_session: BTreeMap<SessionName, Arc<Handler>>,
    default: Option<Arc<Handler>>,
    /// The sessions with questions under way. Kept only as long as they have some: peers choose the names.
    places: Mutex<BTreeMap<SessionName, Weak<Semaphore>>>,
    today: Today,
}

impl Handlers {
    /// Nobody for any session. `files` has what was said in the sessions.
    #[must_use]
    pub fn new(files: SessionReader) -> Self {
        let today = Today::new(files.clone());
        Self { files, by_session: BTreeMap::new(), default: None, places: Mutex::new(BTreeMap::new()), today }
    }

    /// Sets who answers for one session.
    pub fn set(&mut self, session: SessionName, handler: Handler) {
        self.by_session.insert(session, Arc::new(handler));
    }

    /// Sets who answers for every session that has nobody of its own.
    pub fn set_default(&mut self, handler: Handler) {
        self.default = Some(Arc::new(handler));
    }

    /// Asks the session's handler. Nothing happens before the future is polled; dropping it stops what it started.
    pub fn ask(&self, question: Question) -> impl Future<Output = Result<String, HandlerError>> + Send + 'static {
        let handler = self.by_session.get(&question.session).or(self.default.as_ref()).cloned();
        let place = handler.as_ref().map(|handler| self.place(&question.session, handler.max_running));
        let (files, today) = (self.files.clone(), self.today.clone());
        let question = Arc::new(question);
        async move {
            let (Some(handler), Some(place)) = (handler, place) else {
                return Err(HandlerError::NoHandler { session: question.session.clone() });
            };
            if let Some(max_per_day) = handler.max_per_day {
                today.count(&question.session, max_per_day, Clock::start().now().wall).await?;
            }
            let answer = async {
                let _place = place.acquire().await;
                handler.backend.answer(&question, &files, handler.max_answer).await
            };
            let timeout = async {
                Timer::after(handler.timeout).await;
                Err(HandlerError::TimedOut { handler: handler.backend.to_string(), timeout: handler.timeout })
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
