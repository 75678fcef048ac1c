//! The command's side of the daemon's socket.

use std::io;

use smol::net::unix::UnixStream;
use wopr_p2p_smol::home::Home;

use super::frame::{FrameError, Request, VERSION, read, write};
use super::protocol::{Response, SOCKET};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Shown};

/// A connection to the home's daemon.
pub(super) struct Connection(UnixStream);

impl Connection {
    /// Connects to the daemon; `None` if none runs.
    ///
    /// # Errors
    /// One runs, but not for us.
    pub(super) async fn open(home: &Home) -> Result<Option<Self>, Failure> {
        match UnixStream::connect(home.p2p().join(SOCKET)).await {
            Ok(stream) => Ok(Some(Self(stream))),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let message = format!("the daemon of {} cannot be asked: {error}", home.folder().display());
                Err(Failure::new(Exit::Rejected, message, "run this as the user who runs the daemon"))
            }
            // No socket, one that a killed daemon left, or a path too long for any socket.
            Err(_) => Ok(None),
        }
    }

    /// Has the daemon do a command.
    ///
    /// # Errors
    /// Why it was not done.
    pub(super) async fn ask(self, words: Vec<String>, stdin: Option<String>) -> Result<Shown, Failure> {
        self.ask_and_print(words, stdin, Output::new(false)).await
    }

    /// Asks about the daemon itself; `None` if it ended without an answer.
    ///
    /// # Errors
    /// What it answers is a failure, or cannot be read.
    pub(super) async fn ask_about_itself(mut self, words: Vec<String>) -> Result<Option<Shown>, Failure> {
        match self.exchange(&Request { words, stdin: None }, Output::new(false)).await? {
            Err(FrameError::Broken) => Ok(None),
            answer => done(answer).map(Some),
        }
    }

    /// Has the daemon do a command, and prints what it says before the last.
    ///
    /// # Errors
    /// Why it was not done, or not to the end.
    pub(super) async fn ask_and_print(
        mut self,
        words: Vec<String>,
        stdin: Option<String>,
        out: Output,
    ) -> Result<Shown, Failure> {
        done(self.exchange(&Request { words, stdin }, out).await?)
    }

    /// The last response; what comes before is printed.
    async fn exchange(&mut self, request: &Request, out: Output) -> Result<Result<Response, FrameError>, Failure> {
        if let Err(error) = write(&mut self.0, request).await {
            return Ok(Err(error.into()));
        }
        loop {
            match read(&mut self.0).await {
                Ok(Response::Part(shown)) => out.show(&shown)?,
                last => return Ok(last),
            }
        }
    }
}

fn done(answer: Result<Response, FrameError>) -> Result<Shown, Failure> {
    match answer {
        Ok(Response::Done(shown) | Response::Part(shown)) => Ok(shown),
        Ok(Response::Failed(failure)) => Err(failure),
        Err(FrameError::OtherVersion(theirs)) => Err(Failure::new(
            Exit::VersionMismatch,
            format!("the daemon speaks version {theirs} of the commands' protocol, this program version {VERSION}"),
            "stop the daemon and start it with this program",
        )),
        Err(FrameError::Broken) => Err(Failure::new(
            Exit::Rejected,
            "the daemon ended before it answered; the command may have been done",
            "look at the daemon's last words, start it again, and see what has become of the command",
        )),
        Err(FrameError::Unreadable) => Err(Failure::new(
            Exit::Rejected,
            "the daemon's answer cannot be read",
            "stop the daemon and start it with this program",
        )),
    }
}
