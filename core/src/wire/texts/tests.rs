use std::vec;

use quickcheck::quickcheck;

use super::*;

fn all(buffer: &mut TextBuffer, mut input: &[u8]) -> Result<Vec<Vec<u8>>, TextError> {
    let mut texts = Vec::new();
    while let Some(text) = buffer.next(&mut input)? {
        texts.push(text);
    }
    Ok(texts)
}

#[test]
fn objects_are_found_wherever_the_bytes_are_cut() {
    let stream = br#" {"a":"}\"{"}{"b":[{}]}
        {"c":"\\"}"#;
    let expected = vec![br#"{"a":"}\"{"}"#.to_vec(), br#"{"b":[{}]}"#.to_vec(), br#"{"c":"\\"}"#.to_vec()];
    for cut in 0..stream.len() {
        let mut buffer = TextBuffer::new(100);
        let mut texts = all(&mut buffer, &stream[..cut]).unwrap();
        texts.extend(all(&mut buffer, &stream[cut..]).unwrap());
        assert_eq!(texts, expected, "cut at {cut}");
        assert_eq!(buffer.buffered(), 0);
    }
}

#[test]
fn what_is_no_object_or_too_long_is_refused_as_soon_as_it_is() {
    assert_eq!(all(&mut TextBuffer::new(9), b"{} null"), Err(TextError::NotObject));
    assert_eq!(all(&mut TextBuffer::new(9), br#"{"a":123}"#).map(|texts| texts.len()), Ok(1));
    assert_eq!(all(&mut TextBuffer::new(9), br#"{"a":12345"#), Err(TextError::TooLong));
}

quickcheck! {
    fn any_bytes_are_taken_or_refused_within_the_bound(chunks: Vec<Vec<u8>>) -> bool {
        let mut buffer = TextBuffer::new(16);
        chunks.iter().map_while(|chunk| all(&mut buffer, chunk).ok()).flatten().all(|text| text.len() <= 16)
            && buffer.buffered() <= 16
    }
}
