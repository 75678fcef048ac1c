use quickcheck::quickcheck;

use super::*;

const GOOD: &str = ": hello\n\nevent: x\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\n\
    data:{\"choices\":[{\"delta\":{\"content\":\"Grüß \"}}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"Gott\"},\"finish_reason\":null}]}\n\n\
    data: {\"choices\":[{\"delta\":{\"content\":null},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\nrubbish";

fn read(text: &[u8], cut: usize, max_answer: usize) -> Result<String, Failed> {
    let mut answer = Answer::new(max_answer);
    for piece in text.chunks(cut.max(1)) {
        answer.take(piece)?;
        if answer.is_over() {
            break;
        }
    }
    answer.finish()
}

fn fault(text: &str) -> ChatFault {
    match read(text.as_bytes(), 7, 1000) {
        Err(Failed::Fault(fault)) => fault,
        Err(Failed::TooLong) => panic!("too long"),
        Ok(answer) => panic!("{answer}"),
    }
}

#[test]
fn the_pieces_make_the_answer_however_they_are_cut() {
    for cut in 1..GOOD.len() {
        assert_eq!(read(GOOD.as_bytes(), cut, 1000).ok().as_deref(), Some("Grüß Gott"), "cut every {cut} bytes");
    }
}

#[test]
fn a_stream_that_ends_early_is_no_answer() {
    let (before, _) = GOOD.split_once("data: {\"choices\":[{\"delta\":{\"content\":null}").unwrap();
    assert_eq!(fault(before), ChatFault::Cut);
    assert_eq!(fault(""), ChatFault::Cut);
}

#[test]
fn a_server_need_not_say_done_after_the_reason_to_stop() {
    let (before, _) = GOOD.split_once("data: [DONE]").unwrap();
    assert_eq!(read(before.as_bytes(), 9, 1000).ok().as_deref(), Some("Grüß Gott"));
}

#[test]
fn an_error_in_the_middle_is_reported_and_no_answer() {
    let failed = fault(
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\ndata: {\"error\":{\"message\":\"out of \\u001bmemory\"}}\n",
    );
    assert_eq!(failed, ChatFault::Fails("out of \u{fffd}memory".to_owned()));
    assert_eq!(fault("data: {\"error\":\"busy\"}\n"), ChatFault::Fails("busy".to_owned()));
    assert!(matches!(fault("data: {\"choices\":1}\n"), ChatFault::NoChat(_)));
    assert!(matches!(fault("data: <html>\n"), ChatFault::NoChat(_)));
}

#[test]
fn an_answer_and_a_line_are_bounded() {
    let long = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n", "x".repeat(11));
    assert!(matches!(read(long.as_bytes(), 100, 10), Err(Failed::TooLong)));
    let endless = vec![b'x'; max_line(10) + 1];
    assert!(matches!(read(&endless, 1000, 10), Err(Failed::TooLong)));
}

#[test]
fn an_answer_in_one_piece_is_read() {
    assert_eq!(Whole::read(br#"{"choices":[{"message":{"content":"hi"}}]}"#).unwrap(), "hi");
    assert!(matches!(Whole::read(br#"{"choices":[]}"#), Err(ChatFault::NoChat(_))));
    assert_eq!(Whole::read(br#"{"error":{"message":"no"}}"#), Err(ChatFault::Fails("no".to_owned())));
}

quickcheck! {
    fn no_bytes_make_it_panic(bytes: Vec<u8>, cut: usize) -> bool {
        let text = [b"data: ", bytes.as_slice(), b"\ndata: {\"choices\":[{", &bytes].concat();
        drop(read(&text, cut, 10));
        true
    }
}
