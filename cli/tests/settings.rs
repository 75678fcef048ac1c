//! Each setting by its name: read from the file and from the environment, shown, changed, and in force.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use support::conversation::{claim, invite};
use support::home::Home;
use support::node::{Daemon, Dht};
use support::program::{Outcome, Place, run};
use support::shape::has_shape;

const INVALID: i32 = 3;
const RATE_LIMITED: i32 = 4;
const LIMIT: Duration = Duration::from_secs(60);
/// A key of somebody else.
const KEY: &str = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// Every setting in the file: a value that it takes, and one that it does not.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("uiPort", "7335", "70000"),
    ("log.level", "debug", "loud"),
    ("log.format", "json", "xml"),
    ("mcp.allow", r#"["p2p_claim_invite"]"#, r#"["p2p_log_message"]"#),
    ("discoveryTrust", "semi-trusted", "full"),
    ("autoAccept", "true", "yes"),
    ("keyRotationGraceHours", "48", "169"),
    ("keyCompromiseGraceHours", "0", "169"),
    ("minProtocolVersion", "2", "3"),
    ("maxQuestionChain", "1", "17"),
    ("maxPayloadSize", "1000", "1048577"),
    ("rateLimit.injects.maxPerMinute", "1", "0"),
    ("rateLimit.injects.maxPerHour", "2", "many"),
    ("rateLimit.claims.maxPerMinute", "1", "0"),
    ("rateLimit.claims.maxPerHour", "2", "-1"),
    ("rateLimit.logs.maxPerMinute", "1", "0"),
    ("rateLimit.logs.maxPerHour", "2", "0"),
    ("rateLimit.invalid.maxPerMinute", "1", "0"),
    ("rateLimit.invalid.maxPerHour", "2", "0"),
    ("rateLimit.injects.ban", "10m", "0s"),
    ("rateLimit.logs.ban", "10m", "0s"),
    ("rateLimit.claims.ban", "10m", "soon"),
    ("rateLimit.invalid.ban", "10m", "0s"),
    ("replay.window", "1m", "0s"),
    ("replay.maxNonces", "100", "0"),
    ("outbox.maxMessages", "10", "0"),
    ("outbox.maxPerPeer", "10", "0"),
    ("outbox.maxBytes", "10000", "0"),
    ("outbox.firstRetry", "1s", "0s"),
    ("outbox.lastRetry", "5m", "often"),
    ("requests.maxWaiting", "10", "0"),
    ("requests.maxPerPeer", "1", "0"),
    ("requests.maxBytes", "1000", "0"),
    ("requests.expire", "1d", "0s"),
    ("limits.maxStreams", "100", "0"),
    ("limits.maxStrangerStreams", "10", "0"),
    ("limits.maxStreamsPerPeer", "4", "0"),
    ("limits.maxRequestsPerStream", "4", "0"),
    ("limits.maxQuestions", "4", "0"),
    ("limits.maxGrants", "100", "0"),
    ("limits.maxPeers", "100", "0"),
    ("limits.maxInvites", "100", "0"),
    ("limits.maxTopics", "4", "0"),
    ("limits.maxDiscovered", "100", "0"),
    ("limits.idleTimeout", "30s", "0s"),
    ("limits.handshakeTimeout", "5s", "0s"),
    ("ephemeralTtl", "30m", "soon"),
    ("bind", "127.0.0.1", "eth0"),
    ("lan", "false", "perhaps"),
    ("relayThrough", r#"["yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"]"#, r#"["my-relay"]"#),
    ("bootstrap", r#"["127.0.0.1:49737"]"#, r#"["nowhere"]"#),
    ("gateway", r#"{"enabled":true,"session":"public","capabilities":["inject.limited"]}"#, r#"{"enabled":true}"#),
    ("gateway.enabled", "false", "perhaps"),
    ("gateway.session", "front-door", "*"),
    ("gateway.capabilities", r#"["message"]"#, "[]"),
    ("gateway.approval", "true", "perhaps"),
    ("sessions.main.command", r#"["cat"]"#, "[]"),
    ("sessions.main.timeout", "60s", "soon"),
    ("sessions.main.maxAnswerBytes", "1000", "0"),
];

/// Every variable, its setting, a value that it takes, and one that it does not.
const VARIABLES: [(&str, &str, &str, &str); 8] = [
    ("WOPR_P2P_LAN", "lan", "true", "yes"),
    ("WOPR_P2P_AUTO_ACCEPT", "autoAccept", "true", "yes"),
    ("WOPR_P2P_DISCOVERY_TRUST", "discoveryTrust", "semi-trusted", "full"),
    ("WOPR_P2P_MAX_PAYLOAD", "maxPayloadSize", "2000", "2000000"),
    ("WOPR_P2P_KEY_GRACE_HOURS", "keyRotationGraceHours", "2", "a day"),
    ("WOPR_LOG", "log.level", "debug", "5"),
    ("WOPR_LOG_FORMAT", "log.format", "json", "xml"),
    ("WOPR_P2P_BOOTSTRAP", "bootstrap", "127.0.0.1:1", "nowhere"),
];

fn config(home: &Home, args: &[&str]) -> Outcome {
    with_variables(home, &[], &[&["config"], args].concat())
}

fn with_variables(home: &Home, variables: &[(&str, &str)], args: &[&str]) -> Outcome {
    let mut command = home.command();
    command.env_remove("WOPR_P2P_BOOTSTRAP").env_remove("WOPR_P2P_LAN").args(args).envs(variables.iter().copied());
    run(command, "", LIMIT)
}

fn set(home: &Home, key: &str, value: &str) {
    config(home, &["set", key, value]).ok();
}

fn as_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[test]
fn every_setting_is_shown_changed_checked_and_taken_out() {
    let alice = Home::new("alice", &Place::here(), &[]);
    let path = alice.folder().join("config.json");
    has_shape("config path", &config(&alice, &["path", "--json"]).ok().json());
    has_shape("config get", &config(&alice, &["get", "uiPort", "--json"]).ok().json());
    assert_eq!(config(&alice, &["path"]).ok().stdout.trim_end(), path.display().to_string());
    for &(key, good, bad) in SETTINGS {
        let before = config(&alice, &["get", key, "--json"]);
        config(&alice, &["set", key, bad]).refused(INVALID, &[key.rsplit('.').next().unwrap_or(key)]);
        set(&alice, key, good);
        let now = config(&alice, &["get", &format!("plugins.data.p2p.{key}"), "--json"]).ok().json();
        assert_eq!((&now["key"], &now["value"], &now["source"]), (&key.into(), &as_json(good), &"config.json".into()));
        assert_ne!(before.stdout, config(&alice, &["get", key, "--json"]).stdout, "{key}");
    }
    let written: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(written["plugins"]["data"]["p2p"]["rateLimit"]["logs"]["maxPerHour"], 2);
    alice.p2p(&["status"]).ok();
    for key in ["uiPort", "rateLimit.logs.maxPerHour", "rateLimit.logs.maxPerMinute"] {
        set(&alice, key, "null");
        assert_eq!(config(&alice, &["get", key, "--json"]).ok().json()["source"], "default");
    }
    config(&alice, &["set", "maxPayload", "1000"]).refused(INVALID, &["maxPayload", "maxPayloadSize"]);
    config(&alice, &["get", "maxPayload"]).refused(INVALID, &["maxPayload", "config get"]);
}

/// No setting and no variable can be added without a case above: they are those of the program's defaults, of its
/// documentation and of the seed.
#[test]
fn every_setting_and_variable_has_a_case() {
    let alice = Home::new("alice", &Place::here(), &[]);
    let shown = config(&alice, &["get", "--json"]).ok().json();
    let doc = include_str!("../../docs/config.md");
    let seed = include_str!("data/seed.md");
    let in_docs: Value = serde_json::from_str(block(doc)).unwrap();
    let in_seed: Value = serde_json::from_str(block(seed.split("### Plugin Configuration").nth(1).unwrap())).unwrap();
    let mut keys = Vec::new();
    for config in [&shown["config"], &in_docs, &in_seed] {
        leaves(&config["plugins"]["data"]["p2p"], "", &mut keys);
    }
    assert!(keys.len() > 40);
    for key in keys {
        let key = key.replace("sessions.*.", "sessions.main.");
        assert!(SETTINGS.iter().any(|(known, ..)| *known == key), "no case for the setting {key}");
    }
    for word in [doc, seed].into_iter().flat_map(|text| text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric())) {
        let known = word == "WOPR_HOME" || VARIABLES.iter().any(|(known, ..)| *known == word);
        assert!(known || !word.starts_with("WOPR_"), "no case for the variable {word}");
    }
    for (name, key, ..) in VARIABLES {
        assert!(doc.contains(&format!("`{name}`")) && doc.contains(&format!("`{key}`")), "{name} is not documented");
    }
}

/// The first block of JSON in a text.
fn block(text: &str) -> &str {
    text.split("```json").nth(1).and_then(|rest| rest.split("```").next()).expect("a block")
}

/// The names of everything in an object that is no object itself.
fn leaves(value: &Value, name: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(member, value)| {
            let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
            leaves(value, &name, found);
        }),
        _ => found.push(name.to_owned()),
    }
}

#[test]
fn every_variable_comes_before_the_file_and_is_checked() {
    let alice = Home::new("alice", &Place::here(), &[]);
    for (name, key, good, bad) in VARIABLES {
        let found = with_variables(&alice, &[(name, good)], &["config", "get", key, "--json"]).ok().json();
        let value = if key == "bootstrap" { json!([good]) } else { as_json(good) };
        assert_eq!((&found["value"], &found["source"]), (&value, &name.into()));
        with_variables(&alice, &[(name, bad)], &["p2p", "status"]).refused(INVALID, &[name]);
    }
}

#[test]
fn two_changes_at_once_are_both_kept() {
    let alice = Home::new("alice", &Place::here(), &[]);
    std::thread::scope(|scope| {
        for key in ["uiPort", "keyRotationGraceHours", "maxPayloadSize"] {
            let alice = &alice;
            scope.spawn(move || set(alice, key, "100"));
        }
    });
    for key in ["uiPort", "keyRotationGraceHours", "maxPayloadSize"] {
        assert_eq!(config(&alice, &["get", key]).ok().stdout, "100\n");
    }
}

/// `WOPR_HOME`, `keyRotationGraceHours`, `keyCompromiseGraceHours` and `WOPR_P2P_KEY_GRACE_HOURS`.
#[test]
fn the_grace_period_is_the_one_that_is_set() {
    let alice = Home::new("alice", &Place::here(), &[]);
    let grace_of = |reason: &str, variables: &[(&str, &str)]| {
        let rotated = with_variables(&alice, variables, &["p2p", "rotate", "--reason", reason, "--json"]).ok();
        let until = Duration::from_millis(rotated.json()["graceUntil"].as_u64().unwrap());
        let hours = (until - SystemTime::now().duration_since(UNIX_EPOCH).unwrap()).as_secs_f64() / 3600.0;
        assert!(hours <= hours.ceil() && hours.ceil() - hours < 0.1, "{hours}");
        hours.ceil() as u64
    };
    let grace = |variables: &[(&str, &str)]| grace_of("scheduled", variables);
    assert_eq!(grace(&[]), 24);
    assert_eq!(grace_of("compromise", &[]), 1);
    set(&alice, "keyCompromiseGraceHours", "5");
    assert_eq!(grace_of("compromise", &[]), 5);
    assert_eq!(grace_of("compromise", &[("WOPR_P2P_KEY_GRACE_HOURS", "2")]), 2, "never longer than for another reason");
    set(&alice, "keyRotationGraceHours", "3");
    assert_eq!(grace(&[]), 3);
    assert_eq!(grace(&[("WOPR_P2P_KEY_GRACE_HOURS", "2")]), 2);
    assert!(alice.folder().join("p2p/identity.json").exists(), "WOPR_HOME is where it all is");
}

/// `maxPayloadSize`, `WOPR_P2P_MAX_PAYLOAD`, `rateLimit` and `sessions`, as a peer meets them.
#[test]
fn limits_are_those_that_are_set() {
    let dht = Dht::on_loopback();
    let home = |name| Home::new(name, &Place::here(), &[dht.address]);
    let (alice, bob) = (home("alice"), home("bob"));
    alice.answer_with("main", "cat");
    for (key, value) in [
        ("rateLimit.logs.maxPerMinute", "2"),
        ("rateLimit.injects.maxPerMinute", "1"),
        ("rateLimit.claims.maxPerMinute", "1"),
    ] {
        set(&alice, key, value);
    }
    let _daemon = Daemon::start(&alice);
    let key = alice.public_key();
    claim(&bob, &invite(&alice, &bob, "*", &[]));
    // The first was that of a stranger; from then on they are counted as the peer's.
    claim(&bob, &invite(&alice, &bob, "*", &[]));
    let third = invite(&alice, &bob, "*", &[]);
    bob.p2p(&["invite", "claim", &third]).refused(RATE_LIMITED, &["rate limited"]);

    let log = |text: &str| bob.p2p(&["log", &key, "--session", "main", "--message", text]);
    log("one").ok();
    log("two").ok();
    log("three").refused(RATE_LIMITED, &["rate limited", "wait"]);
    let ask = || bob.p2p(&["inject", &key, "--session", "main", "--message", "hello"]);
    ask().ok();
    ask().refused(RATE_LIMITED, &["rate limited", "wait"]);
    assert_eq!(alice.session("main").len(), 4, "two messages, a question and its answer");

    let status = alice.p2p(&["status", "--json"]).ok().json();
    let mut bans: Vec<_> = status["banned"].as_array().unwrap().iter().map(|ban| ban["name"].as_str()).collect();
    bans.sort_unstable();
    assert_eq!(bans, [Some("claims"), Some("injects"), Some("logs")], "{status}");
    assert_eq!(status["network"]["dhtReachable"], true, "{status}");

    let mut small = bob.command();
    small.args(["p2p", "log", &key, "--session", "main", "--message", &"x".repeat(3000)]);
    small.env("WOPR_P2P_MAX_PAYLOAD", "1000");
    run(small, "", LIMIT).refused(INVALID, &["1000", "shorter"]);
    set(&bob, "maxPayloadSize", "500");
    log(&"x".repeat(3000)).refused(INVALID, &["500", "shorter"]);
}

/// `sessions.….timeout` and `maxAnswerBytes`.
#[test]
fn a_sessions_command_has_the_bounds_that_are_set() {
    let dht = Dht::on_loopback();
    let home = |name| Home::new(name, &Place::here(), &[dht.address]);
    let (alice, bob) = (home("alice"), home("bob"));
    set(&alice, "sessions.slow", r#"{"command":["sleep","30"],"timeout":"100ms"}"#);
    set(&alice, "sessions.wordy", r#"{"command":["echo","more than is allowed"],"maxAnswerBytes":5}"#);
    set(&alice, "sessions.*", r#"{"command":["cat"]}"#);
    let _daemon = Daemon::start(&alice);
    let key = alice.public_key();
    claim(&bob, &invite(&alice, &bob, "*", &[]));
    let ask = |session| bob.p2p(&["inject", &key, "--session", session, "--message", "hello"]);
    assert_eq!(ask("any").ok().stdout, "hello\n");
    let slow = ask("slow");
    slow.refused(2, &["refused"]);
    assert!(slow.took < Duration::from_secs(20), "the command was ended: {:?}", slow.took);
    ask("wordy").refused(2, &["refused"]);
}

#[test]
fn a_disabled_plugin_does_nothing() {
    let alice = Home::new("alice", &Place::here(), &[]);
    alice.p2p(&["grant", KEY, "main"]).ok();
    let plugin = |args: &[&str]| with_variables(&alice, &[], &[&["plugin"], args].concat());
    plugin(&["disable", "p2p"]).ok();
    alice.p2p(&["grants"]).refused(INVALID, &["disabled", "wopr plugin enable p2p"]);
    let listed = plugin(&["list", "--json"]).ok().json();
    has_shape("plugin list", &listed);
    assert_eq!(listed["plugins"][0]["enabled"], false);
    plugin(&["enable", "wopr-plugin-p2p"]).ok();
    assert_eq!(alice.p2p(&["grants", "--json"]).ok().json()["grants"].as_array().unwrap().len(), 1);
    plugin(&["install", "something-else"]).refused(INVALID, &["one plugin, p2p"]);
}

/// The defaults that `config get` shows are those of the documentation.
#[test]
fn the_defaults_are_the_documented_ones() {
    let alice = Home::new("alice", &Place::here(), &[]);
    let shown = config(&alice, &["get", "--json"]).ok().json();
    let shown = &shown["config"]["plugins"]["data"]["p2p"];
    let doc = include_str!("../../docs/config.md");
    let documented: Value = serde_json::from_str(block(doc)).unwrap();
    for (key, value) in shown.as_object().unwrap() {
        // The documentation shows how sessions are written; there are none by default.
        if key != "sessions" {
            assert_eq!(documented["plugins"]["data"]["p2p"][key], *value, "{key}");
        }
    }
    assert_eq!(shown["sessions"], json!({}));
}

#[test]
fn completions_and_manual_pages_have_every_command() {
    let alice = Home::new("alice", &Place::here(), &[]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = with_variables(&alice, &[], &["completions", shell]).ok().stdout;
        assert!(script.contains("notify-all") && script.contains("capabilities"), "{shell}");
    }
    let folder = alice.folder().join("man");
    let written = with_variables(&alice, &[], &["man", "--dir", &folder.display().to_string(), "--json"]).ok().json();
    has_shape("man", &written);
    for page in ["wopr.1", "wopr-p2p-grant.1", "wopr-p2p-grant-revoke.1", "wopr-daemon-start.1", "wopr-config-set.1"] {
        assert!(fs::read_to_string(folder.join(page)).unwrap().contains(".SH NAME"), "{page}");
    }
    assert!(with_variables(&alice, &[], &["man"]).ok().stdout.contains(".TH wopr 1"));
}
