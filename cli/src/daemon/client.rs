//! The command's side of the daemon's socket.

use std::io;

use smol::net::unix::UnixStream;
use wopr_p2p_smol::home::Home;

use super::protocol::{FrameError, Request, Response, SOCKET, VERSION, read, write};
use crate::exit::{Exit, Failure};
use crate::output::Shown;

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
    pub(super) async fn ask(mut self, words: Vec<String>, stdin: Option<String>) -> Result<Shown, Failure> {
        let request = Request { words, stdin };
        let answer = match write(&mut self.0, &request).await {
            Ok(()) => read(&mut self.0).await,
            Err(error) => Err(error.into()),
        };
        match answer {
            Ok(Response::Done(shown)) => Ok(shown),
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
}
