//! Why there is no answer: for the owner in full, for the asker as little as the protocol has words for.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use wopr_p2p_core::AskFailed;
use wopr_p2p_core::access::SessionName;

use super::ChatFault;

/// Why a handler gave no answer, for the owner. The asker hears less: it becomes an [`AskFailed`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerError {
    /// The session has no handler, and there is no default.
    NoHandler {
        /// Which session.
        session: SessionName,
    },
    /// The session has been asked as often as it may be in a day.
    TooManyToday {
        /// Which session.
        session: SessionName,
        /// Its limit.
        max_per_day: u32,
    },
    /// The session's file cannot be read.
    NoHistory {
        /// What and why.
        reason: String,
    },
    /// It took too long and was stopped.
    TimedOut {
        /// Who.
        handler: String,
        /// Its limit.
        timeout: Duration,
    },
    /// It said too much and was stopped.
    AnswerTooLong {
        /// Who.
        handler: String,
        /// Its limit, in bytes.
        max_answer: usize,
    },
    /// The command could not be started.
    NotStarted {
        /// The program.
        program: OsString,
        /// The operating system's reason.
        reason: String,
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
    /// The chat endpoint did not answer as it should.
    Chat {
        /// Which.
        url: String,
        /// What went wrong.
        fault: ChatFault,
    },
    /// The agent did not answer as it should.
    Agent {
        /// The program.
        program: OsString,
        /// What it said.
        reason: String,
    },
}

impl From<&HandlerError> for AskFailed {
    fn from(error: &HandlerError) -> Self {
        match error {
            HandlerError::NoHandler { .. } => Self::NoHandler,
            HandlerError::TooManyToday { .. } => Self::LimitReached,
            HandlerError::TimedOut { .. } => Self::TimedOut,
            HandlerError::AnswerTooLong { .. } => Self::AnswerTooLong,
            HandlerError::NoHistory { .. }
            | HandlerError::NotStarted { .. }
            | HandlerError::Failed { .. }
            | HandlerError::Killed { .. }
            | HandlerError::NotUtf8 { .. }
            | HandlerError::Broken { .. }
            | HandlerError::Chat { .. }
            | HandlerError::Agent { .. } => Self::Died,
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
            Self::TooManyToday { session, max_per_day } => write!(
                f,
                "the session {session:?} was asked {max_per_day} times today (UTC), as often as its maxPerDay allows; \
                 raise it, or wait for tomorrow"
            ),
            Self::NoHistory { reason } => write!(f, "{reason}"),
            Self::TimedOut { handler, timeout } => write!(
                f,
                "{handler} had no answer after {} s and was stopped; raise its timeout if it needs longer",
                timeout.as_secs_f64()
            ),
            Self::AnswerTooLong { handler, max_answer } => {
                write!(f, "{handler} said more than {max_answer} bytes and was stopped; make its answers shorter")
            }
            Self::NotStarted { program, reason } => {
                write!(f, "the handler {program:?} cannot be started: {reason}; check its path and permissions")
            }
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
            Self::Chat { url, fault } => write!(f, "the chat endpoint {url} {fault}"),
            Self::Agent { program, reason } => write!(
                f,
                "the agent {program:?} gave no answer: {reason}; start it by hand to see whether it is logged in"
            ),
        }
    }
}

impl Error for HandlerError {}

impl HandlerError {
    /// The same sentence without what the handler said: it may have quoted the question.
    #[must_use]
    pub fn without_words(&self) -> String {
        match self {
            Self::Failed { program, code, .. } => format!("the handler {program:?} exited with status {code}"),
            Self::Killed { program, signal, .. } => format!("the handler {program:?} was ended by signal {signal}"),
            Self::Chat { url, fault } => format!("the chat endpoint {url} {}", fault.without_words()),
            Self::Agent { program, .. } => format!("the agent {program:?} gave no answer"),
            error => error.to_string(),
        }
    }
}

/// A text for a person to read on a terminal: a peer may have a part in what a handler says, so control characters are
/// made harmless.
pub(super) fn harmless(text: &str) -> String {
    let harmless = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c };
    text.trim().chars().map(harmless).collect()
}
