//! The command's side of the daemon's socket.

use std::io;

use smol::net::unix::UnixStream;
use wopr_p2p_smol::home::{Home, HomeError};

use super::frame::{FrameError, Request, VERSION, read, write};
use super::protocol::{Response, SOCKET};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Shown};

/// A connection to the home's daemon.
pub(super) struct Connection {
    stream: UnixStream,
    home: Home,
}

impl Connection {
    /// Connects to the daemon; `None` if none runs.
    ///
    /// # Errors
    /// One runs, but not for us.
    pub(super) async fn open(home: &Home) -> Result<Option<Self>, Failure> {
        match UnixStream::connect(home.p2p().join(SOCKET)).await {
            Ok(stream) => Ok(Some(Self { stream, home: home.clone() })),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let message = format!("the daemon of {} cannot be asked: {error}", home.folder().display());
                Err(Failure::new(Exit::Rejected, message, "run this as the user who runs the daemon"))
            }
            // No socket, one that a killed daemon left, or a path too long for any socket.
            Err(_) => Ok(None),
        }
    }

    /// Has the daemon do a command; `None` if it ended before it took it, as one that is being killed does. It may be
    /// asked again, one thing after the other; a daemon closes a connection on which nothing comes for a while.
    ///
    /// # Errors
    /// Why it was not done.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<Option<Shown>, Failure> {
        match self.exchange(request, Output::new(false)).await? {
            Heard { taken: false, last: Err(FrameError::Broken) } => Ok(None),
            heard => self.done(heard.last).map(Some),
        }
    }

    /// Asks about the daemon itself; `None` if it ended without an answer.
    ///
    /// # Errors
    /// What it answers is a failure, or cannot be read.
    pub(super) async fn ask_about_itself(mut self, words: Vec<String>) -> Result<Option<Shown>, Failure> {
        match self.exchange(&Request { words, stdin: None }, Output::new(false)).await?.last {
            Err(FrameError::Broken) => Ok(None),
            answer => self.done(answer).map(Some),
        }
    }

    /// Has the daemon do a command, and prints what it says before the last.
    ///
    /// # Errors
    /// Why it was not done, or not to the end.
    pub(super) async fn ask_and_print(mut self, words: Vec<String>, out: Output) -> Result<Shown, Failure> {
        let heard = self.exchange(&Request { words, stdin: None }, out).await?;
        self.done(heard.last)
    }

    /// Whether the request was taken, and the last response; what comes before is printed.
    async fn exchange(&mut self, request: &Request, out: Output) -> Result<Heard, Failure> {
        let mut taken = false;
        if let Err(error) = write(&mut self.stream, request).await {
            return Ok(Heard { taken, last: Err(error.into()) });
        }
        loop {
            match read(&mut self.stream).await {
                Ok(Response::Taken) => taken = true,
                Ok(Response::Part(shown)) => out.show(&shown)?,
                last => return Ok(Heard { taken, last }),
            }
        }
    }

    fn done(&self, answer: Result<Response, FrameError>) -> Result<Shown, Failure> {
        match answer {
            Ok(Response::Done(shown) | Response::Part(shown)) => Ok(shown),
            Ok(Response::Taken) => Ok(Shown::default()),
            Ok(Response::Failed(failure)) => Err(failure),
            Err(FrameError::OtherVersion(theirs)) => Err(Failure::new(
                Exit::VersionMismatch,
                format!("the daemon speaks version {theirs} of the commands' protocol, this program version {VERSION}"),
                format!("end it with `{}`, and start it with this program: wopr daemon start", self.end_command()),
            )),
            Err(FrameError::Broken) => Err(Failure::new(
                Exit::Rejected,
                "the daemon ended before it answered; the command may have been done",
                "look at the daemon's last words, start it again, and see what has become of the command",
            )),
            Err(FrameError::Unreadable) => Err(Failure::new(
                Exit::Rejected,
                "the daemon's answer cannot be read",
                format!("end it with `{}`, and start it with this program: wopr daemon start", self.end_command()),
            )),
        }
    }

    /// What ends the daemon in order without talking to it: it understands SIGTERM in every version.
    fn end_command(&self) -> String {
        match self.home.lock() {
            Err(HomeError::Locked { pid: Some(pid), .. }) => format!("kill {pid}"),
            _ => "kill PID".to_owned(),
        }
    }
}

/// What came of a request.
struct Heard {
    taken: bool,
    last: Result<Response, FrameError>,
}
