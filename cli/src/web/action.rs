//! What can be done on the page. Each action becomes the words of the command that does it in a terminal, and goes the
//! way of those: what is allowed, refused and said cannot differ.

use std::collections::BTreeMap;

use axum::extract::Form;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap};
use axum::response::{IntoResponse, Redirect, Response};
use clap::Parser as _;

use super::entry::Visitor;
use super::login::Notice;
use crate::args::{Area, Cli, NodeCommand, P2p};
use crate::command;
use crate::exit::Failure;
use crate::output::{Output, Shown, laid_out};

/// The longest notice that is kept, in bytes: a token with many sessions is the longest that is worth it.
const MAX_NOTICE: usize = 32 << 10;

/// How wide the tables in a notice are, in characters: that of a page on a wide screen.
const COLUMNS: usize = 100;

/// Everything that the page can do.
const ACTIONS: [&str; 14] = [
    "approve",
    "deny",
    "name",
    "revoke",
    "grant",
    "revoke-grant",
    "invite",
    "claim",
    "revoke-invite",
    "join",
    "leave",
    "connect",
    "profile",
    "cancel",
];

/// Does what a form asks for, and goes back to where it was.
pub(super) async fn act(
    visitor: Visitor,
    headers: HeaderMap,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Response {
    let field = |name: &str| fields.get(name).map_or("", |value| value.trim());
    if !headers.contains_key(header::ORIGIN) || !visitor.form.is(field("form")) {
        return (StatusCode::FORBIDDEN, "this form is not of this page\n").into_response();
    }
    let action = field("do");
    let notice = match words(action, field).and_then(parse) {
        Ok(command) => notice(command::execute(command, None, &visitor.shared.node, Output::new(false)).await),
        Err(failure) => notice(Err(failure)),
    };
    tracing::debug!(action = known(action), done = notice.done, "an action on the page");
    visitor.shared.logins().notify(&visitor.door, notice);
    Redirect::to(&format!("{}/{}", visitor.base(), back(field("back")))).into_response()
}

/// The command's words. What a form holds stands behind `--name=` or behind `--`: it cannot become an option.
fn words<'f>(action: &str, field: impl Fn(&str) -> &'f str) -> Result<Vec<String>, Failure> {
    let option = |name: &str| format!("--{name}={}", field(name));
    let given = |name: &str| if field(name).is_empty() { None } else { Some(option(name)) };
    let listed = |name: &str| field(name).split([',', ' ', '\n', '\r']).map(str::trim).filter(|one| !one.is_empty());
    let joined = |name: &str| format!("--{name}={}", listed(name).collect::<Vec<_>>().join(","));
    let plain = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    Ok(match action {
        "approve" | "deny" => plain(&[action, "--", field("request")]),
        "name" => plain(&["name", "--", field("peer"), field("name")]),
        "revoke" => {
            let session = given("session");
            plain(&["revoke"]).into_iter().chain(session).chain(plain(&["--", field("peer")])).collect()
        }
        "grant" => {
            let options = [Some(option("trust")), Some(joined("capabilities")), given("expire")];
            let head = plain(&["grant"]).into_iter().chain(options.into_iter().flatten());
            head.chain(plain(&["--", field("peer")])).chain(listed("sessions").map(str::to_owned)).collect()
        }
        "revoke-grant" => plain(&["grant", "revoke", "--", field("grant")]),
        "invite" => {
            let options = [Some(joined("sessions")), Some(joined("capabilities")), given("expire")];
            let head = plain(&["invite", "create"]).into_iter().chain(options.into_iter().flatten());
            head.chain(plain(&["--", field("peer")])).collect()
        }
        "claim" => plain(&["invite", "claim", "--timeout=30s", "--", field("token")]),
        "revoke-invite" => plain(&["invite", "revoke", "--", field("invite")]),
        "join" | "leave" => plain(&["topic", action, "--", field("topic")]),
        "connect" => plain(&["connect", "--timeout=20s", "--", field("peer")]),
        "profile" => plain(&["profile", "set", "--", field("profile")]),
        "cancel" => plain(&["outbox", "cancel", "--", field("id")]),
        _ => return Err(Failure::invalid("the page does not know this action", "load the page again")),
    })
}

fn parse(words: Vec<String>) -> Result<NodeCommand, Failure> {
    let whole = ["wopr", "p2p"].into_iter().map(str::to_owned).chain(words);
    match Cli::try_parse_from(whole) {
        Ok(Cli { area: Area::P2p { command: P2p::Node(command) }, .. }) => Ok(command),
        Ok(_) => Err(Failure::invalid("the page does not know this action", "load the page again")),
        Err(error) => {
            let said = error.render().to_string();
            let first = said.split("\n\n").next().unwrap_or_default().trim();
            Err(Failure::invalid(first.strip_prefix("error: ").unwrap_or(first), ""))
        }
    }
}

fn notice(result: Result<Shown, Failure>) -> Notice {
    let plain = |styled: &str| {
        let mut text = anstream::adapter::strip_str(&laid_out(styled, Some(COLUMNS))).to_string();
        if text.len() > MAX_NOTICE {
            text.truncate(text.floor_char_boundary(MAX_NOTICE));
        }
        text.trim_end().to_owned()
    };
    match result {
        Ok(Shown { out, note, .. }) => Notice { done: true, text: plain(&out), more: plain(&note) },
        Err(Failure { message, next, .. }) => Notice { done: false, text: plain(&message), more: plain(&next) },
    }
}

/// The page to go back to: one of ours, and nothing else.
fn back(typed: &str) -> &str {
    let ours = ["peers", "access", "topics", "messages", "activity"];
    ours.into_iter().find(|ours| *ours == typed).unwrap_or_default()
}

/// The action as a word of ours.
fn known(action: &str) -> &'static str {
    ACTIONS.into_iter().find(|known| *known == action).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(action: &str, fields: &[(&str, &str)]) -> Result<NodeCommand, Failure> {
        let fields: BTreeMap<&str, &str> = fields.iter().copied().collect();
        words(action, |name| fields.get(name).copied().unwrap_or_default()).and_then(parse)
    }

    const KEY: &str = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    #[test]
    fn every_action_is_a_command() {
        let fields = [
            ("peer", KEY),
            ("request", "0a1b2c3d"),
            ("name", "alice"),
            ("session", "main"),
            ("sessions", "main, docs"),
            ("capabilities", "inject"),
            ("trust", "trusted"),
            ("expire", "24h"),
            ("grant", "12ab"),
            ("token", "wop1://x"),
            ("invite", "12ab"),
            ("topic", "room"),
            ("profile", "{}"),
            ("id", "12ab"),
        ];
        for action in ACTIONS {
            assert!(words_of(action, &fields).is_ok(), "{action}: {:?}", words_of(action, &fields));
            assert_eq!(known(action), action);
        }
        assert!(words_of("rotate", &fields).is_err());
    }

    #[test]
    fn what_is_typed_into_a_form_cannot_become_an_option() {
        let NodeCommand::Name { name, .. } = words_of("name", &[("peer", KEY), ("name", "--json")]).unwrap() else {
            panic!()
        };
        assert_eq!(name, "--json");
        let revoked = words_of("revoke", &[("peer", KEY), ("session", "a --peer=b")]).unwrap();
        assert!(
            matches!(revoked, NodeCommand::Revoke { session: Some(session), .. } if session.as_str() == "a --peer=b")
        );
        let NodeCommand::Grant(grant) = words_of(
            "grant",
            &[("peer", KEY), ("sessions", "revoke"), ("capabilities", "inject"), ("trust", "trusted")],
        )
        .unwrap() else {
            panic!()
        };
        assert!(grant.command.is_none(), "a session named revoke is a session");
    }

    #[test]
    fn what_is_refused_is_said_in_one_sentence() {
        let failure = words_of("join", &[("topic", "")]).unwrap_err();
        assert!(!failure.message.contains('\n') && !failure.message.is_empty(), "{failure}");
    }

    #[test]
    fn a_table_in_a_notice_has_its_columns_apart() {
        let mut table = crate::output::Table::new(["GRANT", "PEER"], "none");
        table.row(["12ab34cd".into(), "bob".into()]);
        let said = notice(Ok(Shown { out: table.render(), ..Shown::default() }));
        assert_eq!(said.text, "GRANT     PEER\n12ab34cd  bob");
    }

    #[test]
    fn the_way_back_is_one_of_our_pages() {
        assert_eq!(back("peers"), "peers");
        for typed in ["", "https://evil.example", "//evil.example", "../x", "sessions/main"] {
            assert_eq!(back(typed), "");
        }
    }
}
