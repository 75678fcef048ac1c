use alloc::vec;
use alloc::vec::Vec;

use quickcheck::quickcheck;

use super::*;

const CAP: usize = 1 << 20;

/// Gives the bytes in the pieces that `cuts` says, reading all lines after each.
fn lines(buffer: &mut LineBuffer, mut bytes: &[u8], cuts: &[u8], limit: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut lines = Vec::new();
    let mut cuts = cuts.iter().cycle();
    while !bytes.is_empty() {
        let len = cuts.next().map_or(bytes.len(), |cut| usize::from(*cut).clamp(1, bytes.len()));
        let (piece, rest) = bytes.split_at(len);
        bytes = rest;
        if let Err(error) = buffer.extend(piece) {
            return (lines, Some(error));
        }
        loop {
            match buffer.next_line(limit) {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break,
                Err(error) => return (lines, Some(error)),
            }
        }
    }
    (lines, None)
}

/// What the bytes hold, by a reading that sees them all at once.
fn naive(bytes: &[u8], limit: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut lines = Vec::new();
    let mut empty = 0;
    let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
    while let Some(piece) = pieces.next() {
        if piece.len() > limit {
            return (lines, Some(FrameError::TooLong));
        }
        if pieces.peek().is_none() {
            break;
        }
        match piece.strip_suffix(b"\r").unwrap_or(piece) {
            [] => empty += 1,
            line => {
                empty = 0;
                lines.push(line.to_vec());
            }
        }
        if empty > LineBuffer::MAX_EMPTY_LINES {
            return (lines, Some(FrameError::EmptyLines));
        }
    }
    (lines, None)
}

quickcheck! {
    fn any_cutting_gives_the_same_lines(bytes: Vec<u8>, cuts: Vec<u8>, limit: u8) -> bool {
        // Few different bytes, so that line ends are common.
        let bytes: Vec<u8> = bytes.iter().map(|byte| *b"ab\r\n\n".get(usize::from(byte % 8)).unwrap_or(&b'x')).collect();
        let limit = usize::from(limit % 8);
        lines(&mut LineBuffer::new(CAP), &bytes, &cuts, limit) == naive(&bytes, limit)
    }

    fn the_cap_is_never_exceeded(pieces: Vec<Vec<u8>>, cap: u8) -> bool {
        let cap = usize::from(cap % 32);
        let mut buffer = LineBuffer::new(cap);
        pieces.iter().all(|piece| {
            let fits = buffer.failed || buffer.buffered() + piece.len() <= cap;
            let held = buffer.extend(piece).is_ok() == fits && buffer.buffered() <= cap;
            // Lines are left unread on purpose: one at most is taken.
            held && buffer.bytes.capacity() <= 2 * cap && buffer.next_line(cap).is_ok() | buffer.failed
        })
    }
}

#[test]
fn flaw_16_any_number_of_lines_in_one_piece_are_all_read() {
    let mut buffer = LineBuffer::new(CAP);
    let (lines, error) = lines(&mut buffer, b"one\ntwo\r\n\nthree\nfo", &[], 100);
    assert_eq!((lines, error), (vec![b"one".to_vec(), b"two".to_vec(), b"three".to_vec()], None));
    assert_eq!(buffer.buffered(), 2);
}

#[test]
fn flaw_17_a_line_without_end_is_refused_at_its_limit() {
    let mut buffer = LineBuffer::new(CAP);
    for _ in 0..8 {
        assert_eq!(buffer.extend(b"x"), Ok(()));
        assert_eq!(buffer.next_line(8), Ok(None));
    }
    assert_eq!(buffer.extend(b"x"), Ok(()));
    assert_eq!(buffer.next_line(8), Err(FrameError::TooLong));

    // From now on nothing is kept, and the error is not repeated.
    assert_eq!(buffer.extend(&[b'x'; 100]), Ok(()));
    assert_eq!((buffer.next_line(8), buffer.buffered(), buffer.bytes.capacity()), (Ok(None), 0, 0));
}

#[test]
fn flaw_17_nothing_beyond_the_cap_is_kept() {
    let mut buffer = LineBuffer::new(10);
    assert_eq!(buffer.extend(b"0123\n56789"), Ok(()));
    assert_eq!(buffer.extend(b"x"), Err(FrameError::Overflow));
    assert_eq!((buffer.buffered(), buffer.next_line(10)), (0, Ok(None)));

    let mut buffer = LineBuffer::new(10);
    assert_eq!(buffer.extend(&[b'\n'; 11]), Err(FrameError::Overflow));
}

#[test]
fn the_limit_can_change_between_lines() {
    let mut buffer = LineBuffer::new(CAP);
    assert_eq!(buffer.extend(b"1234\n123456\n1234567"), Ok(()));
    assert_eq!(buffer.next_line(4), Ok(Some(b"1234".to_vec())));
    assert_eq!(buffer.next_line(6), Ok(Some(b"123456".to_vec())));
    assert_eq!(buffer.next_line(7), Ok(None));
    assert_eq!(buffer.next_line(6), Err(FrameError::TooLong));
}

#[test]
fn empty_lines_are_skipped_but_not_for_ever() {
    let mut buffer = LineBuffer::new(CAP);
    assert_eq!(buffer.extend(&[b'\n'; LineBuffer::MAX_EMPTY_LINES]), Ok(()));
    assert_eq!(buffer.next_line(10), Ok(None));
    assert_eq!(buffer.extend(b"x\n"), Ok(()));
    assert_eq!(buffer.next_line(10), Ok(Some(b"x".to_vec())));
    assert_eq!(buffer.extend(&b"\r\n".repeat(LineBuffer::MAX_EMPTY_LINES + 1)), Ok(()));
    assert_eq!(buffer.next_line(10), Err(FrameError::EmptyLines));
}

#[test]
fn the_memory_of_a_big_line_is_given_back() {
    let mut buffer = LineBuffer::new(CAP);
    let big = [&[b'x'; 100_000] as &[u8], b"\n"].concat();
    for follows in [b"" as &[u8], b"y\n"] {
        assert_eq!(buffer.extend(&[&big, follows].concat()), Ok(()));
        while buffer.next_line(CAP).is_ok_and(|line| line.is_some()) {}
        assert!(buffer.bytes.capacity() <= LineBuffer::KEEP, "{}", buffer.bytes.capacity());
    }
}

#[test]
fn lines_left_unread_are_not_moved_again_and_again() {
    let mut buffer = LineBuffer::new(CAP);
    assert_eq!(buffer.extend(&b"ab\n".repeat(CAP / 3)), Ok(()));
    // A full buffer, of which one line is read for one that arrives: were the rest moved each time, this would move
    // a hundred billion bytes.
    for _ in 0..100_000 {
        assert_eq!(buffer.next_line(2), Ok(Some(b"ab".to_vec())));
        assert_eq!(buffer.extend(b"ab\n"), Ok(()));
    }
    assert!(buffer.bytes.capacity() <= 2 * CAP);
}

#[test]
fn where_no_empty_line_may_be_the_first_one_is_an_error() {
    let mut buffer = LineBuffer::new(CAP).without_empty_lines();
    assert_eq!(lines(&mut buffer, b"one\n\ntwo\n", &[100], 10), (vec![b"one".to_vec()], Some(FrameError::EmptyLines)));
}
