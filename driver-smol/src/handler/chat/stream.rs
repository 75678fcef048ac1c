//! A chat completion in pieces: lines of server-sent events, each with some JSON, up to `[DONE]`. No socket, no clock.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ChatFault, Failed, shown};

/// The longest line that a well-meaning server sends: a server may send the whole answer in one, each byte escaped in six.
pub(super) const fn max_line(max_answer: usize) -> usize {
    max_answer.saturating_mul(6).saturating_add(64 * 1024)
}

/// An answer that is being made.
pub(super) struct Answer {
    text: String,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    max_answer: usize,
    /// The model has said why it stopped. Not every server says `[DONE]` after that.
    stopped: bool,
    over: bool,
}

impl Answer {
    pub(super) const fn new(max_answer: usize) -> Self {
        Self { text: String::new(), line: Vec::new(), max_answer, stopped: false, over: false }
    }

    /// Takes bytes, cut anywhere.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), Failed> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.event(line.trim_ascii())?;
            if self.over {
                return Ok(());
            }
        }
        if self.line.len() + bytes.len() > max_line(self.max_answer) {
            return Err(Failed::TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether the server has said that this was all.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// The answer, if it came whole.
    pub(super) fn finish(self) -> Result<String, Failed> {
        if self.over || self.stopped { Ok(self.text) } else { Err(ChatFault::Cut.into()) }
    }

    fn event(&mut self, line: &[u8]) -> Result<(), Failed> {
        // Other fields, comments and empty lines say nothing about the answer.
        let Some(data) = line.strip_prefix(b"data:") else { return Ok(()) };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            self.over = true;
            return Ok(());
        }
        if let Some(message) = error_message(data) {
            return Err(ChatFault::Fails(shown(&message)).into());
        }
        let piece: Piece = serde_json::from_slice(data).map_err(|error| ChatFault::NoChat(error.to_string()))?;
        // Some servers send a piece without choices, with figures only.
        let Some(choice) = piece.choices.into_iter().next() else { return Ok(()) };
        self.text.push_str(&choice.delta.content.unwrap_or_default());
        self.stopped |= choice.finish_reason.is_some();
        if self.text.len() > self.max_answer {
            return Err(Failed::TooLong);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Piece {
    #[serde(default)]
    choices: Vec<PieceChoice>,
}

#[derive(Deserialize)]
struct PieceChoice {
    #[serde(default)]
    delta: Content,
    #[serde(default)]
    finish_reason: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct Content {
    content: Option<String>,
}

/// An answer in one piece.
#[derive(Deserialize)]
pub(super) struct Whole {
    choices: Vec<WholeChoice>,
}

#[derive(Deserialize)]
struct WholeChoice {
    message: Content,
}

impl Whole {
    pub(super) fn read(bytes: &[u8]) -> Result<String, ChatFault> {
        if let Some(message) = error_message(bytes) {
            return Err(ChatFault::Fails(shown(&message)));
        }
        let whole: Self = serde_json::from_slice(bytes).map_err(|error| ChatFault::NoChat(error.to_string()))?;
        let choice =
            whole.choices.into_iter().next().ok_or_else(|| ChatFault::NoChat("it has no choice".to_owned()))?;
        Ok(choice.message.content.unwrap_or_default())
    }
}

/// The message of `{"error": {"message": …}}` or `{"error": …}`.
pub(super) fn error_message(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Failure {
        error: What,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum What {
        Object { message: String },
        Text(String),
        Other(IgnoredAny),
    }
    match serde_json::from_slice(json).ok()? {
        Failure { error: What::Object { message } | What::Text(message) } => Some(message),
        Failure { error: What::Other(_) } => Some("an error without a message".to_owned()),
    }
}

#[cfg(test)]
mod tests;
