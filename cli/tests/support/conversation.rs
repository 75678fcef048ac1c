//! The way two nodes come to talk: a key, an invite, a claim, a message, a question.

use super::home::Home;

/// The script that `Home::answer_with` gets, and what it makes of a question.
pub(crate) const ANSWERING: &str = "printf 'answer to: '; cat";

/// The issuer's invite for `guest`, whose public key it gets from the guest.
pub(crate) fn invite(issuer: &Home, guest: &Home, sessions: &str, more: &[&str]) -> String {
    let key = guest.public_key();
    let mut args = vec!["invite", "create", &key, "--sessions", sessions];
    args.extend(more);
    let said = issuer.p2p(&args).ok().stdout;
    let token = said.split_whitespace().find(|word| word.starts_with("wop1://"));
    token.unwrap_or_else(|| panic!("no token in: {said}")).to_owned()
}

pub(crate) fn claim(guest: &Home, token: &str) {
    guest.p2p(&["invite", "claim", token]).ok();
}

/// `guest` logs a message into `session` of the node with `key`, and then asks it a question: the answer is the
/// node's command's, and both stand once in the session's file.
pub(crate) fn log_and_ask(guest: &Home, host: &Home, key: &str, session: &str) {
    let note = format!("a note of {}", guest.name());
    guest.p2p(&["log", key, "--session", session, "--message", &note]).ok();
    assert_eq!(host.count_in_session(session, &note), 1, "the note is in the session's file once");

    let question = format!("a question of {}", guest.name());
    let answer = guest.p2p(&["inject", key, "--session", session, "--message", &question]).ok();
    assert_eq!(answer.stdout.trim_end(), format!("answer to: {question}"), "the answer is the command's, and alone");
    assert_eq!(host.count_in_session(session, &question), 1, "the question is in the session's file once");
}
