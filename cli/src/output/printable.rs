//! Makes text from elsewhere harmless for a terminal.
//!
//! A peer chooses its messages, answers and session names. Escape sequences in them could move the cursor, rename the
//! window, fake our own lines or fill the clipboard; direction overrides could show a text that is not there.

use std::io;

use serde::Serialize;

/// Text over several lines: no escape sequence and no control character but line feed and tab is left.
pub(crate) fn printable(text: &str) -> String {
    anstream::adapter::strip_str(text)
        .to_string()
        .chars()
        .filter(|&c| matches!(c, '\n' | '\t') || !is_control(c))
        .collect()
}

/// Text for one line (a name, a table's cell): line feeds and tabs become blanks.
pub(crate) fn printable_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

/// Compact JSON whose control characters are all written as `\u…`: the same value to a program, harmless on a terminal.
///
/// # Errors
/// The value cannot be written as JSON.
pub(crate) fn json(value: &impl Serialize) -> io::Result<String> {
    Ok(escaped(&serde_json::to_string(value)?))
}

/// The same for a JSON text that was written elsewhere, on one line.
pub(crate) fn escaped(json: &str) -> String {
    // Control characters stand inside strings only, and all of them are in the basic plane.
    let escape = |c: char| if is_control(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    if json.contains(is_control) { json.chars().map(escape).collect() } else { json.to_owned() }
}

/// C0, DEL and C1 controls, and the characters that change the direction of what follows.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Those, and the characters without a width or a shape of their own that hide in a text: tags, zero-width blanks.
pub(crate) fn is_invisible(c: char) -> bool {
    is_control(c)
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn escape_sequences_leave_the_text_around_them() {
        assert_eq!(printable("a\x1b[31mred\x1b[0m b"), "ared b");
        assert_eq!(printable("title\x1b]0;owned\x07 done"), "title done");
        assert_eq!(printable("link\x1b]8;;http://x\x1b\\text"), "linktext");
        assert_eq!(printable("up\x1b[2A\rfake"), "upfake");
    }

    #[test]
    fn eight_bit_controls_and_direction_overrides_go() {
        assert_eq!(printable("a\u{9b}31mb"), "a31mb");
        assert_eq!(printable("abc\u{202e}fed\u{2066}"), "abcfed");
        assert_eq!(printable("bell\u{7}back\u{8}del\u{7f}"), "bellbackdel");
    }

    #[test]
    fn lines_and_tabs_stay_in_a_text_and_become_blanks_in_a_line() {
        assert_eq!(printable("a\n\tb"), "a\n\tb");
        assert_eq!(printable_line("a\n\tb"), "a  b");
    }

    #[test]
    fn letters_of_every_script_stay() {
        assert_eq!(printable("Grüße, 你好, 🦀"), "Grüße, 你好, 🦀");
    }

    quickcheck! {
        fn nothing_printed_holds_a_control_character(text: String, escapes: Vec<u8>) -> bool {
            let text = format!("{text}\x1b{}", String::from_utf8_lossy(&escapes));
            !printable_line(&text).contains(is_control)
                && printable(&text).chars().all(|c| matches!(c, '\n' | '\t') || !is_control(c))
        }

        fn json_reads_back_the_same_and_is_harmless(text: String) -> bool {
            let text = format!("{text}\x1b\u{9b}\u{202e}\u{7f}");
            json(&text).is_ok_and(|line| {
                !line.contains(is_control) && serde_json::from_str::<String>(&line).is_ok_and(|back| back == text)
            })
        }
    }
}
