//! The small command that stands in for an AI in the demo: it reads the question on stdin and answers on stdout, as any
//! handler of a session does.

use std::io::Read as _;

use crate::exit::Failure;
use crate::output::{Object, Output};

/// The longest question that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Answers the question on stdin.
///
/// # Errors
/// Stdin is no text, or stdout cannot be written.
pub(crate) fn run(out: Output) -> Result<(), Failure> {
    let mut question = String::new();
    std::io::stdin()
        .take(LONGEST)
        .read_to_string(&mut question)
        .map_err(|error| Failure::invalid(format!("the question cannot be read: {error}"), "write text to stdin"))?;
    Ok(out.line(&Object::default().with("answer", answer(&question)), &answer(&question))?)
}

pub(super) fn answer(question: &str) -> String {
    let words = question.split_whitespace().count();
    let topic = question.to_lowercase();
    if topic.contains("build") {
        format!("The build is green. (A built-in command read your {words} words.)")
    } else {
        format!("I read {words} words. (A built-in command: ask it about the build.)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_about_the_question() {
        assert!(answer("What's the status of the build?").starts_with("The build is green"));
        assert!(answer("Hello there").starts_with("I read 2 words"));
    }
}
