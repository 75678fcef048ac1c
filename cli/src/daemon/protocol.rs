//! What a command and the daemon say to each other: a request, and responses up to the last, each a frame. Then another
//! request may come on the same connection.

use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::output::Shown;

/// The socket's name in the home's `p2p` folder, which only its owner can enter.
pub(super) const SOCKET: &str = "daemon.sock";

/// What came of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Response {
    /// The request was read and is about to be done: always the first. Without it nothing was done.
    Taken,
    /// To be printed; more follows.
    Part(Shown),
    /// To be printed.
    Done(Shown),
    /// Why it was not done.
    Failed(Failure),
}

#[cfg(test)]
mod tests {
    use smol::io::Cursor;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::super::frame::{FrameError, MAX_FRAME, Request, VERSION, read, write};
    use super::*;
    use crate::exit::Exit;

    fn frame(value: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        smol::block_on(write(&mut bytes, value)).unwrap();
        bytes
    }

    fn read_back<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
        smol::block_on(read(&mut Cursor::new(bytes)))
    }

    #[test]
    fn what_is_written_is_read() {
        let request = Request { words: vec!["p2p".to_owned(), "peers".to_owned()], stdin: Some("hi".to_owned()) };
        assert_eq!(read_back::<Request>(&frame(&request)).unwrap(), request);
        let response = Response::Failed(Failure::new(Exit::PeerOffline, "away", "wait"));
        assert_eq!(read_back::<Response>(&frame(&response)).unwrap(), response);
    }

    #[test]
    fn another_version_is_told_apart_whatever_follows() {
        assert!(matches!(read_back::<Request>(&[9, 0xff, 0xff, 0xff, 0xff]), Err(FrameError::OtherVersion(9))));
    }

    #[test]
    fn a_long_frame_is_refused_by_its_length() {
        let head = [&[VERSION][..], &(MAX_FRAME + 1).to_be_bytes()].concat();
        assert!(matches!(read_back::<Request>(&head), Err(FrameError::Unreadable)));
    }

    #[test]
    fn a_cut_or_damaged_frame_is_an_error() {
        let whole = frame(&Request { words: Vec::new(), stdin: None });
        assert!(matches!(read_back::<Request>(&whole[..whole.len() - 1]), Err(FrameError::Broken)));
        assert!(matches!(read_back::<Request>(&whole[..3]), Err(FrameError::Broken)));
        assert!(matches!(read_back::<Response>(&whole), Err(FrameError::Unreadable)));
    }
}
