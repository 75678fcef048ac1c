//! `/metrics` of a daemon that has met a peer, checked by Prometheus' own tool; the dashboard, which may ask for nothing
//! else; and the log of the same daemon, which may hold no secret and no message.
#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use support::conversation::{claim, invite};
use support::home::Home;
use support::node::{Background, Daemon, Dht};
use support::program::{Place, run};
use support::shape::has_shape;

const LIMIT: Duration = Duration::from_secs(60);

fn configure(home: &Home, settings: &Value) {
    let config = json!({ "plugins": { "data": { "p2p": settings } } });
    fs::write(home.folder().join("config.json"), config.to_string()).expect("the home can be written");
}

/// Starts the daemon in the background, so that it writes its log, and gives the port of its page.
fn start(home: &Home) -> u16 {
    let mut command = home.command();
    command.args(["daemon", "start", "--json"]);
    let status = run(command, "", LIMIT).ok().json();
    let page = status["page"].as_str().and_then(|url| url.strip_prefix("http://127.0.0.1:")?.strip_suffix('/'));
    page.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no page: {status}"))
}

/// The status and the whole answer of one request.
fn get(port: u16, path: &str, more: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit can be set");
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers in text");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {answer}")), answer)
}

fn metrics(home: &Home, port: u16) -> String {
    let path = home.folder().join("p2p/metrics.token");
    assert_eq!(fs::metadata(&path).expect("the token is there").permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(path).expect("it can be read");
    let (status, answer) = get(port, "/metrics", &format!("Authorization: Bearer {}\r\n", token.trim()));
    assert_eq!(status, 200, "{answer}");
    answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
}

/// The value of a sample.
#[track_caller]
fn sample(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

#[test]
fn what_happens_is_counted_for_prometheus_and_neither_secrets_nor_messages_are_logged() {
    let dht = Dht::on_loopback();
    let [alice, bob] = ["alice", "bob"].map(|name| Home::new(name, &Place::here(), &[dht.address]));
    let quotes = json!({ "command": ["/bin/sh", "-c", "cat >&2; exit 3"] });
    let answers = json!({ "command": ["/bin/sh", "-c", "echo the-answer-is-secret"] });
    configure(&alice, &json!({ "uiPort": 0, "sessions": { "main": answers, "broken": quotes } }));
    let _cleanup = Background::of(&alice);
    let port = start(&alice);
    configure(&bob, &json!({ "uiPort": false }));
    let _bob = Daemon::start(&bob);

    assert_eq!(get(port, "/metrics", "").0, 401);
    assert_eq!(get(port, "/metrics", &format!("Authorization: Bearer {}\r\n", "0".repeat(64))).0, 401);
    let token = invite(&alice, &bob, "main,broken", &[]);
    claim(&bob, &token);
    let key = alice.public_key();
    bob.p2p(&["log", &key, "--session", "main", "--message", "the-note-is-secret"]).ok();
    bob.p2p(&["inject", &key, "--session", "main", "--message", "the-question-is-secret"]).ok();
    bob.p2p(&["inject", &key, "--session", "broken", "--message", "the-quoted-is-secret"]).refused(2, &[]);
    bob.p2p(&["log", &key, "--session", "other", "--message", "the-refused-is-secret", "--no-queue"]).refused(7, &[]);

    let text = metrics(&alice, port);
    for (name, least) in [
        ("wopr_messages_received_total{kind=\"log\",outcome=\"delivered\"}", 1.0),
        ("wopr_messages_received_total{kind=\"inject\",outcome=\"delivered\"}", 2.0),
        ("wopr_messages_received_total{kind=\"inject\",outcome=\"answered\"}", 1.0),
        ("wopr_messages_received_total{kind=\"inject\",outcome=\"unanswered\"}", 1.0),
        ("wopr_messages_rejected_total{reason=\"unauthorized\"}", 1.0),
        ("wopr_inject_seconds_count{side=\"answering\"}", 2.0),
        ("wopr_handshake_seconds_count{side=\"accepted\"}", 1.0),
        ("wopr_streams_opened_total{side=\"accepted\"}", 1.0),
        ("wopr_commands_total{command=\"invite\",outcome=\"EXIT_OK\"}", 1.0),
        ("wopr_events_total{event=\"p2p.grant.created\"}", 1.0),
        ("wopr_connections{side=\"accepted\",version=\"2\"}", 1.0),
        ("wopr_table_entries{table=\"grants\"}", 1.0),
        ("wopr_dht_reachable", 1.0),
    ] {
        assert!(sample(&text, name) >= least, "{name} is {}", sample(&text, name));
    }
    let bobs = bob.public_key();
    assert!(!text.contains(&bobs) && !text.contains("broken"), "a label is what a peer chose:\n{text}");
    checked_by_promtool(&text);
    the_dashboard_asks_for_nothing_else(&text);
    a_token_that_others_can_read_counts_no_more(&alice, port);

    for name in ["daemon.log", "events.jsonl"] {
        let log = fs::read_to_string(alice.folder().join("p2p").join(name)).expect("it is there");
        assert!(!log.contains("-is-secret"), "{name} has a message:\n{log}");
    }
    let log = fs::read_to_string(alice.folder().join("p2p/daemon.log")).expect("it is there");
    assert!(log.contains("a question got no answer") && log.contains("status 3"), "what went wrong is there:\n{log}");
}

#[test]
fn at_the_finest_level_the_log_has_no_secret_and_its_lines_are_json_where_wanted() {
    let dht = Dht::on_loopback();
    let [alice, bob] = ["alice", "bob"].map(|name| Home::new(name, &Place::here(), &[dht.address]));
    let answers = json!({ "main": { "command": ["/bin/sh", "-c", "echo the-answer-is-secret"] } });
    configure(&alice, &json!({ "uiPort": 0, "log": { "level": "trace", "format": "json" }, "sessions": answers }));
    let _cleanup = Background::of(&alice);
    let port = start(&alice);
    let link = alice.p2p(&["ui", "--json"]).ok().json();
    has_shape("p2p ui", &link);
    let link = link["url"].as_str().expect("a link").to_owned();
    let path = link.split_once(&port.to_string()).expect("with the port").1;
    assert_eq!(get(port, path, "").0, 200);
    let door = "5ecret".repeat(10);
    assert_eq!(get(port, &format!("/s/{door}/"), "").0, 401);
    metrics(&alice, port);
    let token = invite(&alice, &bob, "main", &[]);
    claim(&bob, &token);
    bob.p2p(&["inject", &alice.public_key(), "--session", "main", "--message", "the-question-is-secret"]).ok();

    let log = fs::read_to_string(alice.folder().join("p2p/daemon.log")).expect("it is there");
    let identity = fs::read_to_string(alice.folder().join("p2p/identity.json")).expect("it is there");
    let identity: Value = serde_json::from_str(&identity).expect("it is JSON");
    let private =
        identity.as_object().expect("an object").iter().filter(|(name, _)| name.to_lowercase().contains("priv"));
    let mut secrets: Vec<String> = private.filter_map(|(_, value)| Some(value.as_str()?.to_owned())).collect();
    assert!(!secrets.is_empty(), "no private key in {:?}", identity.as_object().expect("an object").keys());
    let scrape = fs::read_to_string(alice.folder().join("p2p/metrics.token")).expect("it is there");
    secrets.extend([token, door, path.rsplit('/').next().unwrap_or_default().to_owned(), scrape.trim().to_owned()]);
    for secret in secrets.iter().map(String::as_str).chain(["-is-secret"]) {
        assert!(!log.contains(secret), "the log has a secret:\n{log}");
    }
    // What the daemon says of its events is beside it, for people.
    let lines = log.lines().filter(|line| line.starts_with('{')).map(serde_json::from_str::<Value>);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>().expect("lines of JSON");
    for (level, message) in [("INFO", "the daemon is ready"), ("DEBUG", "a request"), ("DEBUG", "a command")] {
        let there = lines.iter().any(|line| line["level"] == level && line["message"] == message);
        assert!(there, "no {level} {message:?} in\n{log}");
    }
}

fn a_token_that_others_can_read_counts_no_more(home: &Home, port: u16) {
    let path = home.folder().join("p2p/metrics.token");
    let token = fs::read_to_string(&path).expect("it can be read");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it is ours");
    assert_eq!(get(port, "/metrics", &format!("Authorization: Bearer {}\r\n", token.trim())).0, 401);
}

fn checked_by_promtool(text: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::null());
    if promtool.output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "in CI promtool may not be missing: Debian's package prometheus");
        writeln!(std::io::stderr(), "\nSKIPPED: there is no promtool").expect("stderr takes a line");
        return;
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    let outcome = run(promtool, text, LIMIT);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{}\n{text}", outcome.stdout);
}

/// Each metric that an expression of the dashboard names is there, or is a counter that has not begun.
fn the_dashboard_asks_for_nothing_else(text: &str) {
    let there: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .chain(text.lines().filter_map(|line| line.split(['{', ' ']).next()))
        .collect();
    let dashboard: Value = serde_json::from_str(include_str!("../../docs/grafana-dashboard.json")).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().expect("an expression")).collect();
    assert!(expressions.len() > 20, "{} expressions", expressions.len());
    for expression in expressions {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let mut names = words.filter(|word| word.starts_with("wopr_")).peekable();
        assert!(names.peek().is_some(), "{expression}");
        names.for_each(|name| assert!(there.contains(name), "there is no {name}, which the dashboard shows"));
    }
    let described = include_str!("../../docs/page.md");
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    families.for_each(|name| assert!(described.contains(&format!("`{name}`")), "docs/page.md has no {name}"));
}
