//! The frames between a command and the daemon: any bytes give a request or an error, and a request survives being
//! written.

use smol::io::Cursor;

#[path = "../../cli/src/daemon/frame.rs"]
mod frame;

use self::frame::{Request, read, write};

/// The bytes of a connection to the daemon's socket.
pub fn run(data: &[u8]) {
    let Ok(request) = smol::block_on(read::<Request>(&mut Cursor::new(data))) else { return };
    let mut frame = Vec::new();
    smol::block_on(write(&mut frame, &request)).expect("what was read fits into a frame");
    let again = smol::block_on(read::<Request>(&mut Cursor::new(&frame)));
    assert_eq!(again, Ok(request));
}

/// The frame of a request.
pub(crate) fn frame_of(words: &[&str], stdin: Option<&str>) -> Vec<u8> {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    let mut frame = Vec::new();
    let request = Request { words, stdin: stdin.map(str::to_owned) };
    smol::block_on(write(&mut frame, &request)).expect("a short frame");
    frame
}
