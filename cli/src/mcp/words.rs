//! A tool's arguments as words of a command line, so that tools and commands are read, checked and done by the same code.
//!
//! Invariant: no argument can be taken for anything but itself. Options are written `--name=value`, everything else
//! stands after `--`, and texts go the way of stdin.

use std::fmt::Display;

use clap::Parser as _;

use crate::args::{Area, Cli, NodeCommand, P2p, Sessions};
use crate::exit::Failure;

/// What a tool has done.
pub(super) enum Call {
    /// Something that a node does.
    Node {
        /// The command.
        command: Box<NodeCommand>,
        /// The words that it was read from.
        words: Vec<String>,
        /// The text that it finds on its stdin.
        stdin: Option<String>,
    },
    /// A page of a session's file.
    History(Sessions),
    /// Lines of the log of events.
    Events {
        /// Only those with a higher number.
        after: Option<u64>,
        /// How many at most.
        limit: usize,
    },
}

/// A command line that is being written.
pub(super) struct Words {
    options: Vec<String>,
    places: Vec<String>,
}

impl Words {
    /// Begins with the command's own words.
    pub(super) fn of(command: &[&str]) -> Self {
        Self { options: command.iter().map(|word| (*word).to_owned()).collect(), places: Vec::new() }
    }

    /// An option with its value, if there is one.
    pub(super) fn option(mut self, name: &str, value: Option<impl Display>) -> Self {
        self.options.extend(value.map(|value| format!("--{name}={value}")));
        self
    }

    /// An option without a value, if it is wanted.
    pub(super) fn flag(mut self, name: &str, wanted: bool) -> Self {
        self.options.extend(wanted.then(|| format!("--{name}")));
        self
    }

    /// An option that takes a list, joined by commas.
    ///
    /// # Errors
    /// An element has a comma itself: it would become two.
    pub(super) fn list(self, name: &str, values: Option<&[String]>) -> Result<Self, Failure> {
        let Some(values) = values else { return Ok(self) };
        if let Some(wrong) = values.iter().find(|value| value.contains(',')) {
            let next = "name one without a comma, or ask the owner to use `wopr p2p grant`";
            return Err(Failure::invalid(format!("{wrong:?} in {name} has a comma in it"), next));
        }
        Ok(self.option(name, Some(values.join(","))))
    }

    /// Something that is known by its place.
    pub(super) fn place(mut self, value: impl Display) -> Self {
        self.places.push(value.to_string());
        self
    }

    /// The command with a text as its message.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn message(self, text: String) -> Result<Call, Failure> {
        self.option("message", Some(crate::args::FROM_STDIN)).read(Some(text))
    }

    /// The command.
    ///
    /// # Errors
    /// It is none: a value is not what it has to be.
    pub(super) fn call(self) -> Result<Call, Failure> {
        self.read(None)
    }

    fn read(self, stdin: Option<String>) -> Result<Call, Failure> {
        let mut words = self.options;
        words.extend(["--json", "--"].map(str::to_owned));
        words.extend(self.places);
        let line = std::iter::once("wopr").chain(words.iter().map(String::as_str));
        match Cli::try_parse_from(line).map_err(|error| not_an_argument(&error))?.area {
            Area::P2p { command: P2p::Node(command) } => Ok(Call::Node { command: Box::new(command), words, stdin }),
            Area::Sessions { command } => Ok(Call::History(command)),
            _ => Err(Failure::invalid("no tool does this", "")),
        }
    }
}

/// The parser's first sentence: the rest is about a command line that nobody has typed.
fn not_an_argument(error: &clap::Error) -> Failure {
    let said = error.render().to_string();
    let first = said.split("\n\n").next().unwrap_or_default().trim();
    Failure::invalid(first.strip_prefix("error: ").unwrap_or(first), "correct the argument")
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    fn node(call: Result<Call, Failure>) -> (NodeCommand, Option<String>) {
        match call {
            Ok(Call::Node { command, stdin, .. }) => (*command, stdin),
            Ok(_) => panic!("not a command for a node"),
            Err(failure) => panic!("{failure}"),
        }
    }

    #[test]
    fn an_argument_that_looks_like_an_option_stays_an_argument() {
        let find = |text: &str| node(Words::of(&["p2p", "find"]).place(text).call()).0;
        for text in ["--json", "--home=/tmp/x", "-h", "--help", "--", "revoke"] {
            let NodeCommand::Find { text: found } = find(text) else { panic!("{text}") };
            assert_eq!(found, text);
        }
        let grant = Words::of(&["p2p", "grant"]).place("revoke").place("--trust=trusted").call();
        let NodeCommand::Grant(grant) = node(grant).0 else { panic!("no grant") };
        assert!(grant.command.is_none(), "a peer that is called 'revoke' is a peer");
        assert_eq!(grant.give.unwrap().sessions, ["--trust=trusted"]);
    }

    #[test]
    fn a_list_cannot_grow_by_a_comma() {
        let list = |values: &[&str]| {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            Words::of(&[]).list("sessions", Some(&values)).map(|words| words.options)
        };
        assert_eq!(list(&["a", "b"]).ok().unwrap(), ["--sessions=a,b"]);
        assert_eq!(list(&["a,b"]).err().unwrap().exit.code(), 3);
    }

    quickcheck! {
        fn a_message_is_taken_as_it_is(text: String) -> bool {
            let words = Words::of(&["p2p", "log"]).option("session", Some("main")).place("alice");
            node(words.message(text.clone())).1 == Some(text)
        }
    }
}
