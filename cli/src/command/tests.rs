//! Every command that needs no network, on a real node; results against the shapes in docs/json.md.

use clap::Parser as _;
use serde_json::Value;
use tempfile::TempDir;
use wopr_p2p_core::keys::Nonce;
use wopr_p2p_smol::home::Home;

use super::execute;
use crate::args::{Area, Cli, NodeCommand, P2p};
use crate::config::Config;
use crate::exit::Failure;
use crate::node::{Node, Reach};
use crate::output::{Output, Shown};

/// A key of somebody else.
const KEY: &str = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
/// And of one more.
const OTHER: &str = "MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";

struct Owner {
    node: Node,
    _folder: TempDir,
}

impl Owner {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let node = smol::block_on(Node::open(&home, &Config::default(), Reach::Nobody)).unwrap();
        Self { node, _folder: folder }
    }

    fn run(&self, words: &[&str], json: bool) -> Result<Shown, Failure> {
        let cli = Cli::try_parse_from([&["wopr", "p2p"], words].concat()).unwrap();
        let Area::P2p { command: P2p::Node(command) } = cli.area else { panic!("not a command for a node: {words:?}") };
        smol::block_on(execute(command, None, &self.node, Output::new(json)))
    }

    /// The result, whose shape must be the documented one of `heading`.
    fn json(&self, words: &[&str], heading: &str) -> Value {
        let shown = self.run(words, true).unwrap();
        let value: Value = serde_json::from_str(&shown.out).unwrap();
        same_shape(&documented(heading), &value, heading);
        value
    }

    fn text(&self, words: &[&str]) -> String {
        anstream::adapter::strip_str(&self.run(words, false).unwrap().out).to_string()
    }

    fn refused(&self, words: &[&str]) -> Failure {
        self.run(words, true).unwrap_err()
    }
}

/// The block under a heading of docs/json.md.
fn documented(command: &str) -> Value {
    let heading = format!("### `wopr p2p {command}`\n");
    let doc = include_str!("../../../docs/json.md");
    let section = doc.split(&heading).nth(1).unwrap_or_else(|| panic!("docs/json.md has no heading {heading}"));
    let block = section.split("```json\n").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
    serde_json::from_str(block).unwrap()
}

/// Objects have the same members; lists are looked at where both have an element.
fn same_shape(documented: &Value, found: &Value, at: &str) {
    match (documented, found) {
        (Value::Object(documented), Value::Object(found)) => {
            let names = |map: &serde_json::Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(documented), names(found), "{at}");
            documented.iter().for_each(|(name, value)| same_shape(value, &found[name], &format!("{at}.{name}")));
        }
        (Value::Array(documented), Value::Array(found)) => {
            if let (Some(documented), Some(found)) = (documented.first(), found.first()) {
                same_shape(documented, found, at);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        _ => assert_eq!(std::mem::discriminant(documented), std::mem::discriminant(found), "{at}"),
    }
}

#[test]
fn identity_export_prints_the_public_key_alone() {
    let owner = Owner::new();
    let key = owner.text(&["identity", "--export"]);
    assert!(key.trim_end().parse::<wopr_p2p_core::keys::PublicKey>().is_ok() && key.ends_with('\n'), "{key:?}");
    assert_eq!(owner.json(&["identity", "--export"], "identity --export")["publicKey"], key.trim_end());
    assert_eq!(owner.json(&["identity"], "identity")["publicKey"], key.trim_end());
    assert!(owner.text(&["status"]).contains(&format!("publicKey:    {key}")));
}

#[test]
fn an_invite_is_made_listed_inspected_and_taken_back() {
    let owner = Owner::new();
    let created = owner.json(&["invite", "create", KEY, "--sessions", "docs,main", "--expire", "1h"], "invite create");
    let (token, invite) = (created["token"].as_str().unwrap(), &created["invite"]);
    assert_eq!(invite["sessions"], serde_json::json!(["docs", "main"]));
    assert_eq!(invite["expires"].as_u64().unwrap() - invite["created"].as_u64().unwrap(), 3_600_000);
    assert_eq!(owner.json(&["invite", "list"], "invite list")["invites"][0], *invite);
    let inspected = owner.json(&["invite", "inspect", token], "invite inspect");
    assert_eq!(inspected["subject"]["publicKey"], KEY);
    assert_eq!((&inspected["forThisNode"], &inspected["claimable"]), (&false.into(), &false.into()));
    let nonce = invite["nonce"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&owner.run(&["invite", "revoke", nonce], true).unwrap().out).unwrap()["invite"]["state"],
        "revoked"
    );
    assert_eq!(owner.json(&["invite", "list"], "invite list")["invites"][0]["state"], "revoked");
}

#[test]
fn an_invite_for_people_is_the_token_alone_on_stdout() {
    let owner = Owner::new();
    let shown = owner.run(&["invite", "create", KEY, "--sessions", "*"], false).unwrap();
    assert!(shown.out.starts_with("wop1://") && shown.out.split_whitespace().count() == 1, "{}", shown.out);
    assert!(shown.note.contains("once"), "{}", shown.note);
}

#[test]
fn a_grant_is_given_narrowed_and_ended() {
    let owner = Owner::new();
    let given = owner.json(&["grant", KEY, "main", "docs", "--capabilities", "message,inject.tools"], "grant");
    assert_eq!(given["grant"]["trust"], "trusted");
    assert_eq!(given["grant"]["capabilities"], serde_json::json!(["message", "inject.tools"]));
    assert_eq!(owner.json(&["grants", "--peer", KEY], "grants")["grants"][0], given["grant"]);
    owner.json(&["status", "--peer", KEY], "status --peer");
    let narrowed = owner.json(&["revoke", KEY, "--session", "docs"], "revoke");
    assert_eq!(narrowed["narrowed"][0]["sessions"], serde_json::json!(["main"]));
    let id = given["grant"]["id"].as_str().unwrap();
    assert_eq!(owner.json(&["grant", "revoke", id], "revoke")["revoked"][0]["id"], id);
    assert_eq!(owner.json(&["grants"], "grants")["grants"], serde_json::json!([]));
    assert_eq!(owner.refused(&["grant", "revoke", id]).exit.code(), 3);
}

#[test]
fn revoking_a_peer_ends_its_grants_and_invites() {
    let owner = Owner::new();
    owner.json(&["grant", KEY, "*"], "grant");
    owner.json(&["invite", "create", KEY, "--sessions", "main"], "invite create");
    let revoked = owner.json(&["revoke", KEY], "revoke");
    assert_eq!((revoked["revoked"].as_array().unwrap().len(), revoked["invites"].as_array().unwrap().len()), (1, 1));
    assert!(owner.json(&["peers"], "peers")["peers"][0]["revoked"].is_u64());
}

#[test]
fn a_peer_is_found_by_name_short_id_and_key() {
    let owner = Owner::new();
    owner.json(&["grant", KEY, "main"], "grant");
    owner.json(&["grant", OTHER, "main"], "grant");
    let named = owner.json(&["name", KEY, "Alice"], "name");
    assert_eq!(named["name"], "Alice");
    let short_id = named["shortId"].as_str().unwrap();
    for text in ["ali", short_id, KEY] {
        let found = owner.json(&["find", text], "peers");
        assert_eq!(found["peers"].as_array().unwrap().len(), 1, "{text}");
        assert_eq!(found["peers"][0]["publicKey"], KEY, "{text}");
    }
    assert_eq!(owner.refused(&["find", "zebra"]).exit.code(), 3);
    assert_eq!(owner.refused(&["name", OTHER, "Alice"]).exit.code(), 3);
    assert!(owner.text(&["peers", "--verbose"]).contains(OTHER));
}

#[test]
fn an_unknown_peer_is_invalid_and_the_way_to_the_known_ones_is_shown() {
    let owner = Owner::new();
    for words in [&["status", "--peer", "nobody"][..], &["grants", "--peer", "nobody"], &["revoke", "nobody"]] {
        let failure = owner.refused(words);
        assert_eq!(failure.exit.code(), 3, "{words:?}");
        assert!(failure.message.contains("nobody") && failure.message.contains("wopr p2p peers"), "{failure}");
    }
}

#[test]
fn rotation_gives_a_new_key_and_keeps_the_old_one_for_the_grace_period() {
    let owner = Owner::new();
    owner.json(&["grant", KEY, "main"], "grant");
    let old = owner.json(&["identity"], "identity")["publicKey"].clone();
    let rotated = owner.json(&["rotate", "--reason", "scheduled"], "rotate");
    assert_eq!(rotated["rotatedFrom"], old);
    assert_eq!(rotated["untold"][0]["publicKey"], KEY);
    let status = owner.json(&["status"], "status");
    assert_eq!((&status["publicKey"], &status["formerKeys"][0]["publicKey"]), (&rotated["publicKey"], &old));
}

#[test]
fn an_empty_message_is_invalid() {
    let failure = Owner::new().refused(&["log", KEY, "--session", "main", "--message", ""]);
    assert_eq!(failure.exit.code(), 3);
}

#[test]
fn what_was_logged_and_answered_has_the_documented_shape() {
    use super::message::{Answer, Logged, Waits};
    use crate::output::View as _;
    let shape = |object: crate::output::Object| serde_json::to_value(object).unwrap();
    let [peer, session] = ["bob", "main"].map(str::to_owned);
    let waits = Waits { id: Nonce([1; 16]), expires: Node::now(), daemon: false };
    for queued in [None, Some(waits)] {
        let logged = Logged { peer: peer.clone(), session: session.clone(), queued };
        same_shape(&documented("log"), &shape(logged.json()), "log");
    }
    let owner = Owner::new();
    owner.json(&["grant", KEY, "main"], "grant");
    let snapshot = smol::block_on(owner.node.snapshot()).unwrap();
    let from = super::message::writer(&KEY.parse().unwrap(), &snapshot, &super::Names::of(&snapshot));
    let answer = Answer { peer, session, answer: "ok\x1b[2J".to_owned(), from: Some(from) };
    same_shape(&documented("inject"), &shape(answer.json()), "inject");
    assert_eq!(answer.text(), "ok\n", "the answer alone, without terminal escapes");
}

#[test]
fn topics_are_joined_listed_and_left() {
    let owner = Owner::new();
    let joined = owner.json(&["topic", "join", "myproject"], "topic join");
    assert_eq!((&joined["joined"], &joined["daemon"]), (&true.into(), &false.into()));
    let topics = owner.json(&["topics"], "topics");
    assert_eq!(topics["topics"][0]["name"], "myproject");
    assert_eq!(
        topics["topics"][0]["topic"].as_str().unwrap(),
        wopr_p2p_core::keys::Topic::discovery("myproject").to_string()
    );
    owner.json(&["discover", "--topic", "myproject", "--wait", "1ms"], "discover");
    assert_eq!(owner.refused(&["discover", "--topic", "other"]).exit.code(), 3);
    owner.json(&["topic", "leave", "myproject"], "topic join");
    assert_eq!(owner.json(&["topics"], "topics")["topics"], serde_json::json!([]));
    let failure = owner.refused(&["topic", "leave", "myproject"]);
    assert_eq!(failure.exit.code(), 3);
    assert!(failure.message.contains("myproject") && failure.next.contains("topics"), "{failure}");
}

#[test]
fn the_profile_is_shown_and_set() {
    let owner = Owner::new();
    let empty = owner.run(&["profile", "show"], true).unwrap().out;
    assert_eq!(empty, "{\"content\":{},\"updated\":null,\"updatedIso\":null}\n");
    owner.json(&["profile", "set", "{\"name\": \"my agent\"}"], "profile");
    assert_eq!(owner.json(&["profile", "show"], "profile")["content"]["name"], "my agent");
    let failure = owner.refused(&["profile", "set", "[1]"]);
    assert_eq!(failure.exit.code(), 3);
    assert!(failure.message.contains("JSON object") && failure.next.contains("profile set"), "{failure}");
}

#[test]
fn nothing_waits_under_an_unknown_id() {
    let owner = Owner::new();
    assert_eq!(owner.json(&["requests"], "requests")["requests"], serde_json::json!([]));
    for words in [["approve", "12345678"], ["deny", "12345678"], ["deny", KEY]] {
        let failure = owner.refused(&words);
        assert_eq!(failure.exit.code(), 3, "{words:?}");
        assert!(failure.next.contains("wopr p2p requests"), "{failure}");
    }
}

#[test]
fn a_message_to_a_peer_that_is_away_is_queued_listed_and_cancelled() {
    let owner = Owner::new();
    owner.json(&["grant", KEY, "main"], "grant");
    let logged = owner.json(&["log", KEY, "--session", "main", "--message", "hi", "--queue", "--expire", "2h"], "log");
    assert_eq!(logged["logged"], false);
    let id = logged["queued"]["id"].as_str().unwrap();
    let listed = &owner.json(&["outbox", "list"], "outbox list")["outbox"][0];
    assert_eq!((&listed["id"], &listed["bytes"], &listed["sent"]), (&id.into(), &2.into(), &false.into()));
    assert_eq!(listed["expires"].as_u64().unwrap() - listed["queued"].as_u64().unwrap(), 7_200_000);
    assert!(!owner.text(&["outbox", "list"]).contains("hi"), "the text is nobody else's business");
    owner.json(&["outbox", "cancel", id], "outbox cancel");
    assert_eq!(owner.json(&["outbox", "list"], "outbox list")["outbox"], serde_json::json!([]));
    assert_eq!(owner.refused(&["outbox", "cancel", id]).exit.code(), 3);
}

#[test]
fn without_a_daemon_nothing_is_queued_unless_that_is_asked_for() {
    let owner = Owner::new();
    owner.json(&["grant", KEY, "main"], "grant");
    let refused = owner.refused(&["log", KEY, "--session", "main", "--message", "hi"]);
    assert!(matches!(refused.exit.code(), 1 | 6), "{refused}");
    assert_eq!(owner.json(&["outbox", "list"], "outbox list")["outbox"], serde_json::json!([]));
}

#[test]
fn flaw_34_a_question_of_a_handler_carries_the_chain_to_the_node_that_does_it() {
    let line = ["wopr", "p2p", "inject", KEY, "--session", "main", "--message", "x"];
    let command = |words: &[String]| match Cli::try_parse_from(words).unwrap().area {
        Area::P2p { command: P2p::Node(command) } => command,
        other => panic!("{other:?}"),
    };
    let mut words = line.map(str::to_owned).to_vec();
    let chain = "07070707070707070707070707070707:0123456789abcdef";
    let mut typed = command(&words);
    typed.join_chain(&mut words, Some(chain.to_owned())).unwrap();
    for command in [typed, command(&words)] {
        let NodeCommand::Inject(inject) = command else { panic!("{command:?}") };
        assert_eq!(inject.chain.unwrap().to_string(), chain);
    }
    let mut untouched = line.map(str::to_owned).to_vec();
    command(&untouched.clone()).join_chain(&mut untouched, None).unwrap();
    assert_eq!(untouched, line);
    let failure = command(&untouched.clone()).join_chain(&mut untouched, Some("x".to_owned())).unwrap_err();
    assert_eq!(failure.exit.code(), 3);
}
