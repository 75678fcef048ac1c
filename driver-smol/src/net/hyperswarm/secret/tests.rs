use super::both_sides::keys;
use super::*;

#[test]
fn messages_come_out_as_they_went_in_however_they_are_cut() {
    let (ours, theirs) = keys();
    let (mut sealer, mut bytes) = Sealer::new(&ours);
    let messages = [vec![1], vec![2; 5000], vec![], vec![3; 17], vec![4; MAX_MESSAGE]];
    for message in &messages {
        bytes.extend(sealer.seal(message));
    }
    for cut in [1, 7, 1180, 1 << 24] {
        // A byte at a time takes too long for all of it.
        let part = if cut < 100 { &bytes[..6000] } else { &bytes[..] };
        let mut opener = Opener::new(&theirs);
        let opened: Vec<_> = part.chunks(cut).flat_map(|chunk| opener.open(chunk).unwrap()).collect();
        let expected: Vec<_> = messages.iter().filter(|message| !message.is_empty()).cloned().collect();
        let count = if cut < 100 { 3 } else { expected.len() };
        assert!(opened == expected[..count], "in pieces of {cut}");
    }
}

#[test]
fn both_directions_have_their_own_keys() {
    let (ours, theirs) = keys();
    let (_, first) = Sealer::new(&ours);
    assert_eq!(Opener::new(&ours).open(&first), Err(Corrupt), "nobody takes its own stream for the other's");
    assert_eq!(Opener::new(&theirs).open(&first), Ok(vec![]));
}

#[test]
fn a_changed_byte_ends_the_stream() {
    let (ours, theirs) = keys();
    let (mut sealer, first) = Sealer::new(&ours);
    let frame = sealer.seal(b"pay five");
    for changed in LENGTH..frame.len() {
        let mut frame = frame.clone();
        frame[changed] ^= 1;
        let mut opener = Opener::new(&theirs);
        assert_eq!(opener.open(&first), Ok(vec![]));
        assert_eq!(opener.open(&frame), Err(Corrupt), "byte {changed}");
    }
}

#[test]
fn a_frame_longer_than_a_message_is_refused_by_its_length_alone() {
    let (ours, theirs) = keys();
    let (_, first) = Sealer::new(&ours);
    let mut opener = Opener::new(&theirs);
    assert_eq!(opener.open(&first), Ok(vec![]));
    let [a, b, c, ..] = (MAX_MESSAGE + ABYTES + 1).to_le_bytes();
    assert_eq!(opener.open(&[a, b, c]), Err(Corrupt));
}

#[test]
fn frames_of_nothing_and_of_less_than_a_tag_end_the_stream() {
    let (ours, theirs) = keys();
    let (_, first) = Sealer::new(&ours);
    for length in 0..ABYTES {
        let mut opener = Opener::new(&theirs);
        assert_eq!(opener.open(&first), Ok(vec![]));
        let frame = [vec![length as u8, 0, 0], vec![0; length]].concat();
        assert_eq!(opener.open(&frame), Err(Corrupt), "{length} bytes");
    }
}
