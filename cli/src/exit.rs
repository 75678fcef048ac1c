//! How the program ends: the exit codes that scripts rely on, and what is said with one that is not zero.

use std::fmt;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// The exit codes, with the names that users know them by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Our own network is down, or nobody could be asked.
    Offline = 1,
    /// The peer, or our own system, refused the request.
    Rejected = 2,
    /// The request makes no sense: a wrong argument, a broken file, an unknown name.
    Invalid = 3,
    /// Too many requests: the peer counts them.
    RateLimited = 4,
    /// No protocol version in common.
    VersionMismatch = 5,
    /// This one peer could not be reached.
    PeerOffline = 6,
    /// The peer has not granted this.
    Unauthorized = 7,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The exit code with this number; what is none of ours counts as refused.
    pub(crate) fn from_code(code: u8) -> Self {
        let all = [
            Self::Offline,
            Self::Rejected,
            Self::Invalid,
            Self::RateLimited,
            Self::VersionMismatch,
            Self::PeerOffline,
            Self::Unauthorized,
        ];
        all.into_iter().find(|exit| exit.code() == code).unwrap_or(Self::Rejected)
    }

    /// The name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Offline => "EXIT_OFFLINE",
            Self::Rejected => "EXIT_REJECTED",
            Self::Invalid => "EXIT_INVALID",
            Self::RateLimited => "EXIT_RATE_LIMITED",
            Self::VersionMismatch => "EXIT_VERSION_MISMATCH",
            Self::PeerOffline => "EXIT_PEER_OFFLINE",
            Self::Unauthorized => "EXIT_UNAUTHORIZED",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what was asked, for a person: what happened and why, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What happened, and why.
    pub(crate) message: String,
    /// What to do now; empty if there is nothing to say.
    pub(crate) next: String,
}

impl Failure {
    /// A failure with its next step.
    pub(crate) fn new(exit: Exit, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit, message: message.into(), next: next.into() }
    }

    /// What was asked makes no sense.
    pub(crate) fn invalid(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Exit::Invalid, message, next)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    /// Only writing to stdout ends up here: files are read and written with errors that name them.
    fn from(error: std::io::Error) -> Self {
        Self::invalid(format!("the output could not be written: {error}"), "check where stdout goes")
    }
}
