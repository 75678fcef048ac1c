//! Every command line in the description that users have, run as it stands there, in order: what it prints, what it
//! changes, and its exit code. `me` is the one who types; Alice and Bob are peers with daemons of their own.
//!
//! The lines are read from a copy of the description. A line that is in neither of the two lists fails the test.
#![cfg(target_os = "linux")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use support::conversation::{ANSWERING, claim, invite};
use support::home::Home;
use support::node::{Background, Daemon, Dht};
use support::program::{Outcome, Place, Running, run};
use support::shape::has_shape;

const LIMIT: Duration = Duration::from_secs(60);
const UNAUTHORIZED: i32 = 7;

/// Lines that cannot run as they stand, and why.
const IMPOSSIBLE: [(&str, &str); 1] = [(
    r#"echo "wop1://..." | base64 -d | jq"#,
    "a token is `wop1://` and base64url: neither is base64. `wopr p2p invite inspect` shows what it says",
)];

/// What is done with a line: it is run, and looked at.
type Step = fn(&mut World, &str);

/// The lines in the order of the description.
const STEPS: &[(&str, Step)] = &[
    ("wopr plugin install wopr-plugin-p2p", plugin_install),
    ("wopr plugin enable p2p", plugin_enable),
    ("wopr p2p status", first_status),
    // Identity management
    ("wopr p2p status", status),
    ("wopr p2p rotate --reason scheduled", rotate_before_anybody_knows),
    ("wopr p2p identity --export", identity_export),
    // Peer management
    ("wopr p2p peers", peers),
    (r#"wopr p2p name <peer-id> "alice""#, name),
    ("wopr p2p find alice", find),
    ("wopr p2p revoke alice", revoke),
    // Invites and claims
    (r#"wopr p2p invite create <their-pubkey> --sessions "session1,session2""#, invite_create),
    (r#"wopr p2p invite create <their-pubkey> --sessions "*" --expire 24h"#, invite_create_expiring),
    (r#"wopr p2p invite claim "wop1://...""#, invite_claim),
    // Access grants
    ("wopr p2p grant <peer-pubkey> session1 session2", grant),
    ("wopr p2p grant <peer-pubkey> session1 --trust trusted", grant_with_trust),
    (r#"wopr p2p grant <peer-pubkey> session1 --capabilities "inject,inject.tools""#, grant_with_capabilities),
    ("wopr p2p grants", grants),
    ("wopr p2p grants --peer alice", grants_of_alice),
    // Discovery
    ("wopr p2p topic join myproject", topic_join),
    ("wopr p2p topic leave myproject", topic_leave),
    ("wopr p2p topics", topics),
    ("wopr p2p discover", discover),
    ("wopr p2p discover --topic myproject", discover_on_a_topic),
    ("wopr p2p connect <peer-id>", connect),
    // Messaging
    (r#"wopr p2p log alice --session main --message "FYI: deployment complete""#, log),
    (r#"wopr p2p inject alice --session main --message "What's the status of the build?""#, inject),
    (r#"wopr p2p inject alice --session main --message "Analyze this code" --timeout 300s"#, inject_with_timeout),
    // Scenario 1: the own laptop
    ("wopr p2p status", status),
    ("wopr p2p status", status_of_bob),
    (r#"wopr p2p invite create <nodeB-pubkey> --sessions "*""#, invite_to_everything),
    (r#"wopr p2p invite claim "wop1://eyJ2Ijo...""#, claim_everything),
    (r#"wopr p2p name <nodeB-shortId> "my-laptop""#, name_the_laptop),
    // Scenario 2: a collaborator
    (r#"wopr p2p invite create <peer-pubkey> --sessions "shared-project,docs" --expire 72h"#, invite_a_collaborator),
    ("wopr p2p grants --peer <peer-id>", grants_of_the_collaborator),
    // Scenario 3: the gateway
    ("wopr p2p topic join public-agents", topic_join_public),
    (r#"wopr p2p grant <discovered-peer-key> public-gateway --capabilities "inject.limited""#, grant_the_gateway),
    // Scenario 4: an emergency; key rotation
    ("wopr p2p rotate --reason compromise --notify-all", rotate_and_tell_all),
    ("wopr p2p rotate --reason scheduled", rotate_scheduled),
    ("wopr p2p rotate --reason compromise", rotate_compromise),
    ("wopr p2p rotate --reason upgrade", rotate_upgrade),
    // Rate limiting
    ("wopr p2p status --peer <peer-id>", status_of_a_peer),
    // Monitoring
    ("wopr p2p status", status),
    ("wopr p2p peers --verbose", peers_verbose),
    ("wopr p2p events --follow", events_follow),
    ("wopr logs --service p2p", logs),
    (r#"wopr logs --service p2p --filter "rejected\|revoked\|rotated""#, logs_filtered),
    // Revoking access
    ("wopr p2p revoke alice", revoke_and_refuse),
    ("wopr p2p revoke <peer-pubkey>", revoke_by_key),
    ("wopr p2p grants", no_grants),
    ("wopr p2p grant revoke <grant-id>", grant_revoke),
    ("wopr p2p revoke alice --session sensitive-session", revoke_a_session),
    // Troubleshooting
    ("wopr p2p peers", peers),
    ("wopr p2p find alice", find),
    ("wopr p2p find <short-id>", find_by_id),
    ("wopr p2p find <public-key>", find_by_key),
    (r#"wopr p2p send alice --session main --message "test" --timeout 30s"#, send),
    ("wopr p2p discover --topic myproject", discover_who_is_online),
    ("wopr p2p status --peer <peer-id>", status_of_a_peer),
    ("wopr p2p grants --peer alice", grants_after_the_revocation),
    // The session mirror: an agent's tool, which the program has as `sessions history`
    (r#"sessions_history(session="my-session")"#, history),
    (r#"sessions_history(session="my-session", full=true)              # First 100 messages"#, history_full),
    (r#"sessions_history(session="my-session", full=true, offset=100)  # Next 100"#, history_next),
    (r#"sessions_history(session="my-session", full=true, limit=50)    # 50 per page"#, history_by_fifty),
];

#[test]
fn every_command_line_of_the_seed_does_what_it_says() {
    let mut world = World::new();
    let mut steps = STEPS.iter();
    for (number, line) in seed_lines() {
        if let Some((_, why)) = IMPOSSIBLE.iter().find(|(impossible, _)| *impossible == line) {
            eprintln!("{number}: cannot run ({why}): {line}");
        } else {
            let (expected, step) = steps.next().unwrap_or_else(|| panic!("line {number} is in no list: {line}"));
            assert_eq!(*expected, line, "line {number}: every line is to be in one of the lists, in order");
            let began = Instant::now();
            step(&mut world, &line);
            eprintln!("{number}: ok ({} ms): {line}", began.elapsed().as_millis());
        }
    }
    assert!(steps.next().is_none(), "steps are left over");
}

/// The lines in the description's blocks for a shell that are not comments, with their numbers. No other block has any.
fn seed_lines() -> Vec<(usize, String)> {
    let mut block = None;
    let mut lines = Vec::new();
    for (number, line) in include_str!("data/seed.md").lines().enumerate() {
        match (line.strip_prefix("```"), block) {
            (Some(kind), None) => block = Some(kind),
            (Some(_), Some(_)) => block = None,
            (None, Some("bash")) if !line.is_empty() && !line.starts_with('#') => {
                lines.push((number + 1, line.to_owned()))
            }
            (None, Some(_)) => assert!(!line.starts_with("wopr "), "a command line in another block: {line}"),
            (None, None) => {}
        }
    }
    assert!(block.is_none(), "a block does not end");
    lines
}

/// Fields in the order in which they are to be dropped.
struct World {
    my_daemon: Option<Background>,
    _alice_daemon: Daemon,
    _bob_daemon: Daemon,
    me: Home,
    alice: Home,
    bob: Home,
    alice_key: String,
    bob_key: String,
    /// The token of the step before.
    token: String,
    _dht: Dht,
}

impl World {
    fn new() -> World {
        let dht = Dht::on_loopback();
        let home = |name| Home::new(name, &Place::here(), &[dht.address]);
        let (me, alice, bob) = (home("me"), home("alice"), home("bob"));
        alice.answer_with("main", ANSWERING);
        // Bob has the gateway that the description shows.
        let gateway =
            serde_json::json!({ "enabled": true, "session": "public-gateway", "capabilities": ["inject.limited"] });
        let answers = serde_json::json!({ "public-gateway": { "command": ["/bin/sh", "-c", ANSWERING] } });
        let p2p = serde_json::json!({ "gateway": gateway, "sessions": answers });
        let config = serde_json::json!({ "plugins": { "data": { "p2p": p2p } } });
        std::fs::write(bob.folder().join("config.json"), config.to_string()).unwrap();
        let alice_daemon = Daemon::start(&alice);
        let bob_daemon = Daemon::start(&bob);
        let (alice_key, bob_key) = (alice.public_key(), bob.public_key());
        let token = String::new();
        World {
            my_daemon: None,
            _alice_daemon: alice_daemon,
            _bob_daemon: bob_daemon,
            me,
            alice,
            bob,
            alice_key,
            bob_key,
            token,
            _dht: dht,
        }
    }

    /// Runs a line in a shell, as me.
    #[track_caller]
    fn run(&self, line: &str, filled: &[(&str, &str)]) -> Outcome {
        run_at(&self.me, line, filled)
    }

    fn my_grants(&self) -> Vec<Value> {
        list(&self.me, &["grants"], "grants")
    }

    /// Waits until everybody has heard of my new key.
    fn wait_until_all_are_told(&self) {
        wait_for("all are told", || {
            let status = self.me.p2p(&["status", "--json"]).ok().json();
            let former = status["formerKeys"].as_array().unwrap();
            former.iter().all(|key| key["untold"].as_array().unwrap().is_empty()).then_some(())
        })
    }
}

/// Looks until there is something.
#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
    }
}

/// Waits until `home` is connected with the owner of a key on a topic, and has its proof.
#[track_caller]
fn wait_until_met(home: &Home, topic: &str, key: &str) {
    wait_for("they meet", || {
        let found = list(home, &["discover", "--topic", topic], "discovered");
        let met = |peer: &&Value| peer["publicKey"] == key && peer["proven"] == true && peer["connected"] == true;
        found.iter().find(met).map(drop)
    })
}

fn topics_of(home: &Home) -> Vec<Value> {
    list(home, &["topics"], "topics").into_iter().map(|topic| topic["name"].clone()).collect()
}

/// Runs a line in a shell with a home, after its placeholders were filled in.
#[track_caller]
fn run_at(home: &Home, line: &str, filled: &[(&str, &str)]) -> Outcome {
    let line = filled.iter().fold(line.to_owned(), |line, (from, to)| {
        assert!(line.contains(from), "{line} has no {from}");
        line.replace(from, to)
    });
    assert!(!line.contains('<') && !line.contains("..."), "something is left to fill in: {line}");
    run(home.shell(&line), "", LIMIT)
}

fn list(home: &Home, args: &[&str], member: &str) -> Vec<Value> {
    let found = home.p2p(&[args, &["--json"]].concat()).ok().json();
    found[member].as_array().unwrap_or_else(|| panic!("no {member} in {found}")).clone()
}

fn short_id(home: &Home) -> String {
    home.p2p(&["identity", "--json"]).ok().json()["shortId"].as_str().unwrap().to_owned()
}

fn has(outcome: &Outcome, words: &[&str]) {
    for word in words {
        assert!(outcome.stdout.contains(word), "no {word} in:\n{}", outcome.stdout);
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode() & 0o777
}

fn plugin_install(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["built in"]);
}

fn plugin_enable(world: &mut World, line: &str) {
    world.run(line, &[]).ok();
    let plugins = run_at(&world.me, "wopr plugin list --json", &[]).ok().json();
    assert_eq!(plugins["plugins"][0]["enabled"], true);
}

/// "The plugin automatically creates a P2P identity on first use", with mode 0600.
fn first_status(world: &mut World, line: &str) {
    let identity = world.me.folder().join("p2p/identity.json");
    assert!(!identity.exists());
    has(&world.run(line, &[]).ok(), &["publicKey:", "MCowBQYDK2VwAy", "not running"]);
    assert_eq!(mode(&identity), 0o600);
    world.my_daemon = Some(Background::of(&world.me));
    run_at(&world.me, "wopr daemon start", &[]).ok();
}

fn status(world: &mut World, line: &str) {
    let key = world.me.public_key();
    has(&world.run(line, &[]).ok(), &[&format!("publicKey:    {key}"), "running"]);
}

fn rotate_before_anybody_knows(world: &mut World, line: &str) {
    let before = world.me.public_key();
    has(&world.run(line, &[]).ok(), &[&before, "in 23h 59m"]);
    assert_ne!(world.me.public_key(), before);
}

fn identity_export(world: &mut World, line: &str) {
    let key = world.run(line, &[]).ok().stdout;
    let status = world.me.p2p(&["status", "--json"]).ok().json();
    assert_eq!(status["publicKey"], key.trim_end());
    assert_eq!(key.lines().count(), 1);
}

fn peers(world: &mut World, line: &str) {
    if list(&world.me, &["peers"], "peers").is_empty() {
        claim(&world.me, &invite(&world.alice, &world.me, "main", &[]));
    }
    has(&world.run(line, &[]).ok(), &[&short_id(&world.alice)]);
}

fn name(world: &mut World, line: &str) {
    world.run(line, &[("<peer-id>", &short_id(&world.alice))]).ok();
    let peers = list(&world.me, &["peers"], "peers");
    assert!(peers.iter().any(|peer| peer["name"] == "alice" && peer["publicKey"] == *world.alice_key), "{peers:?}");
}

fn find(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["alice", &short_id(&world.alice)]);
}

fn revoke(world: &mut World, line: &str) {
    world.me.p2p(&["grant", "alice", "docs"]).ok();
    let open = invite(&world.me, &world.alice, "docs", &[]);
    has(&world.run(line, &[]).ok(), &["docs"]);
    assert!(world.my_grants().is_empty());
    // Neither the grant nor an invite that was on its way lets her in again.
    world.alice.p2p(&["invite", "claim", &open]).refused(2, &["token"]);
}

fn invite_create(world: &mut World, line: &str) {
    let token = world.run(line, &[("<their-pubkey>", &world.alice_key)]).ok().stdout;
    let says = world.me.p2p(&["invite", "inspect", token.trim_end(), "--json"]).ok().json();
    assert_eq!(says["sessions"], serde_json::json!(["session1", "session2"]));
    assert_eq!(says["subject"]["publicKey"], *world.alice_key);
}

fn invite_create_expiring(world: &mut World, line: &str) {
    let token = world.run(line, &[("<their-pubkey>", &world.alice_key)]).ok().stdout;
    assert!(token.starts_with("wop1://"));
    let issued = list(&world.me, &["invite", "list"], "invites");
    let invite = issued.iter().max_by_key(|invite| invite["created"].as_u64()).unwrap();
    assert_eq!(invite["expires"].as_u64().unwrap() - invite["created"].as_u64().unwrap(), 24 * 3600 * 1000);
    assert_eq!(invite["sessions"], serde_json::json!(["*"]));
}

fn invite_claim(world: &mut World, line: &str) {
    let token = invite(&world.alice, &world.me, "main,docs", &[]);
    has(&world.run(line, &[("wop1://...", &token)]).ok(), &["Connected", "alice", "docs", "main"]);
    let theirs = list(&world.alice, &["grants"], "grants");
    assert!(theirs.iter().any(|grant| grant["sessions"] == serde_json::json!(["docs", "main"])), "{theirs:?}");
}

fn grant(world: &mut World, line: &str) {
    world.run(line, &[("<peer-pubkey>", &world.alice_key)]).ok();
    let grant = newest(world);
    assert_eq!(grant["sessions"], serde_json::json!(["session1", "session2"]));
    assert_eq!(mode(&world.me.folder().join("p2p/access.json")), 0o600);
}

fn grant_with_trust(world: &mut World, line: &str) {
    world.run(line, &[("<peer-pubkey>", &world.alice_key)]).ok();
    assert_eq!(newest(world)["trust"], "trusted");
}

fn grant_with_capabilities(world: &mut World, line: &str) {
    world.run(line, &[("<peer-pubkey>", &world.alice_key)]).ok();
    assert_eq!(newest(world)["capabilities"], serde_json::json!(["inject", "inject.tools"]));
}

/// The grant that was made last.
fn newest(world: &World) -> Value {
    world.my_grants().into_iter().max_by_key(|grant| grant["created"].as_u64()).expect("there is a grant")
}

fn grants(world: &mut World, line: &str) {
    let said = world.run(line, &[]).ok();
    for grant in world.my_grants() {
        has(&said, &[&grant["id"].as_str().unwrap()[..12], "alice"]);
    }
}

fn grants_of_alice(world: &mut World, line: &str) {
    world.me.p2p(&["grant", &world.bob_key, "for-bob"]).ok();
    let said = world.run(line, &[]).ok();
    has(&said, &["session1", "inject.tools"]);
    assert!(!said.stdout.contains("for-bob"));
}

/// Whoever is on the topic already meets me there.
fn topic_join(world: &mut World, line: &str) {
    world.bob.p2p(&["topic", "join", "myproject"]).ok();
    has(&world.run(line, &[]).ok(), &["Joined", "myproject"]);
    assert_eq!(topics_of(&world.me), ["myproject"]);
    let key = world.me.public_key();
    wait_until_met(&world.bob, "myproject", &key);
    wait_until_met(&world.me, "myproject", &world.bob_key);
}

fn topic_leave(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["Left", "myproject"]);
    assert!(topics_of(&world.me).is_empty());
    wait_for("Bob sees that I am gone", || {
        let found = list(&world.bob, &["discover", "--wait", "1ms"], "discovered");
        found.iter().all(|peer| peer["connected"] == false).then_some(())
    });
}

/// Two topics: one with Bob, one with Alice.
fn topics(world: &mut World, line: &str) {
    world.me.p2p(&["topic", "join", "myproject"]).ok();
    world.me.p2p(&["topic", "join", "other-project"]).ok();
    world.alice.p2p(&["topic", "join", "other-project"]).ok();
    has(&world.run(line, &[]).ok(), &["TOPIC", "myproject", "other-project"]);
    wait_until_met(&world.me, "myproject", &world.bob_key);
    wait_until_met(&world.me, "other-project", &world.alice_key);
    let key = world.me.public_key();
    wait_until_met(&world.alice, "other-project", &key);
}

fn discover(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &[&short_id(&world.bob), "myproject", "alice", "other-project", "proven"]);
}

fn discover_on_a_topic(world: &mut World, line: &str) {
    let said = world.run(line, &[]).ok();
    has(&said, &[&short_id(&world.bob), "proven"]);
    assert!(!said.stdout.contains("alice"), "{}", said.stdout);
    // Nor does Bob hear of the topic that he is not on.
    let bobs = world.bob.p2p(&["discover", "--json"]).ok().stdout;
    assert!(!bobs.contains("other-project"), "{bobs}");
}

/// Bob's owner is asked, and lets me into his gateway, and no further. He gets nothing here for it.
fn connect(world: &mut World, line: &str) {
    let before = world.my_grants();
    let id = short_id(&world.bob);
    has(&world.run(line, &[("<peer-id>", &id)]).ok(), &["Waiting", "approval"]);
    let ask = |session| world.me.p2p(&["inject", &world.bob_key, "--session", session, "--message", "may I?"]);
    ask("public-gateway").refused(UNAUTHORIZED, &["public-gateway"]);
    let request = list(&world.bob, &["requests"], "requests").remove(0);
    assert_eq!(request["peer"]["publicKey"], world.me.public_key());
    world.bob.p2p(&["approve", request["id"].as_str().unwrap()]).ok();
    has(&world.run(line, &[("<peer-id>", &id)]).ok(), &["public-gateway"]);
    assert_eq!(ask("public-gateway").ok().stdout, "answer to: may I?\n");
    ask("main").refused(UNAUTHORIZED, &["main"]);
    assert_eq!(world.my_grants(), before);
}

fn log(world: &mut World, line: &str) {
    world.run(line, &[]).ok();
    assert_eq!(world.alice.count_in_session("main", "FYI: deployment complete"), 1);
}

fn inject(world: &mut World, line: &str) {
    assert_eq!(world.run(line, &[]).ok().stdout, "answer to: What's the status of the build?\n");
}

fn inject_with_timeout(world: &mut World, line: &str) {
    assert_eq!(world.run(line, &[]).ok().stdout, "answer to: Analyze this code\n");
    assert_eq!(world.alice.count_in_session("main", "Analyze this code"), 1);
}

fn status_of_bob(world: &mut World, line: &str) {
    has(&run_at(&world.bob, line, &[]).ok(), &[&format!("publicKey:    {}", world.bob_key)]);
}

fn invite_to_everything(world: &mut World, line: &str) {
    let token = world.run(line, &[("<nodeB-pubkey>", &world.bob_key)]).ok().stdout;
    assert!(token.starts_with("wop1://eyJ2Ijo"), "{token}");
    world.token = token.trim_end().to_owned();
}

fn claim_everything(world: &mut World, line: &str) {
    let said = run_at(&world.bob, line, &[("wop1://eyJ2Ijo...", &world.token)]).ok();
    has(&said, &["Connected", "all of its sessions"]);
    let key = world.me.public_key();
    world.bob.p2p(&["log", &key, "--session", "anything", "--message", "hello from the laptop"]).ok();
    assert_eq!(world.me.count_in_session("anything", "hello from the laptop"), 1);
}

fn name_the_laptop(world: &mut World, line: &str) {
    world.run(line, &[("<nodeB-shortId>", &short_id(&world.bob))]).ok();
    has(&world.me.p2p(&["peers"]).ok(), &["my-laptop"]);
}

fn invite_a_collaborator(world: &mut World, line: &str) {
    world.me.p2p(&["revoke", "my-laptop"]).ok();
    let token = world.run(line, &[("<peer-pubkey>", &world.bob_key)]).ok().stdout;
    claim(&world.bob, token.trim_end());
}

/// "Confirm: sessions=["shared-project", "docs"]", and no others.
fn grants_of_the_collaborator(world: &mut World, line: &str) {
    let id = short_id(&world.bob);
    has(&world.run(line, &[("<peer-id>", &id)]).ok(), &["docs, shared-project", "semi-trusted"]);
    let of_bob = list(&world.me, &["grants", "--peer", &id], "grants");
    assert_eq!(of_bob.len(), 1);
    assert_eq!(of_bob[0]["sessions"], serde_json::json!(["docs", "shared-project"]));
    let key = world.me.public_key();
    let other = world.bob.p2p(&["log", &key, "--session", "anything", "--message", "let me in"]);
    other.refused(UNAUTHORIZED, &["anything"]);
}

/// "Discovered peers are NOT auto-accepted."
fn topic_join_public(world: &mut World, line: &str) {
    let before = [&world.me, &world.alice].map(|home| list(home, &["grants"], "grants"));
    world.alice.p2p(&["topic", "join", "public-agents"]).ok();
    world.run(line, &[]).ok();
    wait_until_met(&world.me, "public-agents", &world.alice_key);
    assert_eq!([&world.me, &world.alice].map(|home| list(home, &["grants"], "grants")), before);
}

fn grant_the_gateway(world: &mut World, line: &str) {
    world.run(line, &[("<discovered-peer-key>", &world.bob_key)]).ok();
    let grant = newest(world);
    assert_eq!(grant["sessions"], serde_json::json!(["public-gateway"]));
    assert_eq!(grant["capabilities"], serde_json::json!(["inject.limited"]));
}

fn rotate_and_tell_all(world: &mut World, line: &str) {
    let before = world.me.public_key();
    let said = world.run(line, &[]).ok();
    has(&said, &["alice", "my-laptop", "notToldYet:   nobody"]);
    followed(world, &before, "compromise");
    // At once, under the new key, and without a restart.
    let key = world.me.public_key();
    world.bob.p2p(&["log", &key, "--session", "docs", "--message", "to the new key"]).ok();
    assert_eq!(world.me.count_in_session("docs", "to the new key"), 1);
}

fn rotate_scheduled(world: &mut World, line: &str) {
    rotate(world, line, "scheduled");
}

fn rotate_compromise(world: &mut World, line: &str) {
    rotate(world, line, "compromise");
}

fn rotate_upgrade(world: &mut World, line: &str) {
    rotate(world, line, "upgrade");
}

fn rotate(world: &mut World, line: &str, reason: &str) {
    let before = world.me.public_key();
    world.run(line, &[]).ok();
    world.wait_until_all_are_told();
    followed(world, &before, reason);
}

/// Alice follows my new key, and keeps the one before in its history, in the form that users know.
fn followed(world: &World, before: &str, reason: &str) {
    let key = world.me.public_key();
    assert_ne!(key, before);
    let known = list(&world.alice, &["peers"], "peers");
    let me = known.iter().find(|peer| peer["publicKey"] == *key).unwrap_or_else(|| panic!("not followed: {known:?}"));
    let history = me["keyHistory"].as_array().unwrap();
    let past = history.iter().find(|past| past["publicKey"] == *before).unwrap();
    assert_eq!(past["rotationReason"], reason);
    let grace = past["validUntil"].as_u64().unwrap() - now();
    assert!(grace <= 24 * 3600 * 1000, "a grace period of 24 hours at most: {past}");
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is set");
    u64::try_from(since.as_millis()).expect("this century")
}

fn status_of_a_peer(world: &mut World, line: &str) {
    let id = short_id(&world.alice);
    has(&world.run(line, &[("<peer-id>", &id)]).ok(), &["alice", &world.alice_key]);
    // Bob has logged: his limits are in use.
    has(&world.me.p2p(&["status", "--peer", "my-laptop"]).ok(), &["logs", "of 10", "of 100", "free"]);
}

fn peers_verbose(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["alice", &world.alice_key, "my-laptop", &world.bob_key, "openedToMe"]);
}

fn events_follow(world: &mut World, line: &str) {
    let follower = Running::start("events", world.me.shell(line));
    let began = Instant::now();
    while !follower.line_within(Duration::from_millis(200)).is_some_and(|said| said.contains("p2p.grant.created")) {
        assert!(began.elapsed() < LIMIT, "nothing is heard of a grant");
        world.me.p2p(&["grant", "alice", "followed"]).ok();
    }
}

fn logs(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["p2p.peer.connected", "p2p.grant.created", "p2p.message.rejected"]);
}

fn logs_filtered(world: &mut World, line: &str) {
    let said = world.run(line, &[]).ok();
    has(&said, &["p2p.message.rejected", "p2p.grant.revoked"]);
    let fits = |line: &str| ["rejected", "revoked", "rotated"].iter().any(|word| line.contains(word));
    assert!(said.stdout.lines().all(fits), "{}", said.stdout);
}

/// "After revocation, the peer receives `reject` messages with reason "unauthorized"."
fn revoke_and_refuse(world: &mut World, line: &str) {
    let key = world.me.public_key();
    let log = || world.alice.p2p(&["log", &key, "--session", "session1", "--message", "still there?"]);
    log().ok();
    world.run(line, &[]).ok();
    log().refused(UNAUTHORIZED, &["session1"]);
    assert_eq!(world.me.count_in_session("session1", "still there?"), 1);
}

fn revoke_by_key(world: &mut World, line: &str) {
    world.run(line, &[("<peer-pubkey>", &world.bob_key)]).ok();
    assert!(world.my_grants().is_empty());
}

fn no_grants(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["nobody may use"]);
}

fn grant_revoke(world: &mut World, line: &str) {
    world.me.p2p(&["grant", "alice", "one"]).ok();
    world.me.p2p(&["grant", "my-laptop", "two"]).ok();
    let grants = world.my_grants();
    let one = grants.iter().find(|grant| grant["sessions"][0] == "one").unwrap();
    // As `grants` shows it.
    world.run(line, &[("<grant-id>", &one["id"].as_str().unwrap()[..12])]).ok();
    let left = world.my_grants();
    assert_eq!((left.len(), &left[0]["sessions"][0]), (1, &"two".into()));
}

/// "Peer keeps access to other sessions."
fn revoke_a_session(world: &mut World, line: &str) {
    world.me.p2p(&["grant", "alice", "sensitive-session", "main"]).ok();
    world.run(line, &[]).ok();
    let key = world.me.public_key();
    let log = |session| world.alice.p2p(&["log", &key, "--session", session, "--message", "a look"]);
    log("sensitive-session").refused(UNAUTHORIZED, &["sensitive-session"]);
    log("main").ok();
}

fn find_by_id(world: &mut World, line: &str) {
    has(&world.run(line, &[("<short-id>", &short_id(&world.alice))]).ok(), &["alice"]);
}

fn find_by_key(world: &mut World, line: &str) {
    has(&world.run(line, &[("<public-key>", &world.alice_key)]).ok(), &["alice"]);
}

fn send(world: &mut World, line: &str) {
    world.run(line, &[]).ok();
    assert_eq!(world.alice.count_in_session("main", "test"), 1);
}

/// "Check if peer is online": Bob is, and what was revoked has nothing to do with it.
fn discover_who_is_online(world: &mut World, line: &str) {
    wait_until_met(&world.me, "myproject", &world.bob_key);
    has(&world.run(line, &[]).ok(), &["my-laptop", "proven"]);
}

fn grants_after_the_revocation(world: &mut World, line: &str) {
    let said = world.run(line, &[]).ok();
    has(&said, &["main"]);
    assert!(!said.stdout.contains("sensitive-session"), "{}", said.stdout);
}

/// A session with more messages than a page, one of them long.
fn fill(world: &World) {
    let line = |number: usize| {
        let content = if number == 240 { "long ".repeat(1000) } else { format!("message {number}") };
        let channel = serde_json::json!({ "type": "p2p", "id": world.alice_key });
        let iso = "2024-01-15T12:00:00.000Z";
        let line = serde_json::json!({ "ts": 1_705_320_000_000_u64, "iso": iso, "from": "user", "type": "message",
            "content": content, "channel": channel });
        format!("{line}\n")
    };
    let file = world.me.folder().join("sessions/my-session.conversation.jsonl");
    std::fs::write(file, (0..250).map(line).collect::<String>()).unwrap();
}

/// The tool's call as the program's command.
fn history_of(world: &World, line: &str) -> Value {
    let call = line.split('#').next().unwrap_or_default().trim();
    let inner = call.strip_prefix("sessions_history(").and_then(|rest| rest.strip_suffix(')')).expect("a call");
    let mut command = "wopr sessions history".to_owned();
    for argument in inner.split(", ") {
        let (name, value) = argument.split_once('=').expect("an argument has a value");
        command += &match (name, value) {
            ("session", name) => format!(" {name}"),
            ("full", "true") => " --full".to_owned(),
            (name, number) => format!(" --{name} {number}"),
        };
    }
    world.run(&format!("{command} --json"), &[]).ok().json()
}

fn history(world: &mut World, line: &str) {
    fill(world);
    let page = history_of(world, line);
    assert_eq!((&page["total"], &page["returned"]), (&250.into(), &10.into()));
    let history = page["history"].as_array().unwrap();
    assert_eq!((&history[0]["truncated"], &history[9]["content"]), (&true.into(), &"message 249".into()));
    assert!(history[0]["content"].as_str().unwrap().len() < 1000);
}

fn history_full(world: &mut World, line: &str) {
    let page = history_of(world, line);
    has_shape("sessions history", &page);
    for member in ["session", "total", "offset", "pageSize", "returned", "hasMore", "nextOffset", "history"] {
        assert!(page.get(member).is_some(), "the description has {member}: {page}");
    }
    has_shape("sessions list", &run_at(&world.me, "wopr sessions list --json", &[]).ok().json());
    assert_eq!(page_numbers(&page), (250, 0, 100, 100, Some(100)));
    let first = &page["history"][0];
    assert_eq!((&first["from"], &first["channel"]["type"]), (&"user".into(), &"p2p".into()));
}

fn history_next(world: &mut World, line: &str) {
    let page = history_of(world, line);
    assert_eq!(page_numbers(&page), (250, 100, 100, 100, Some(200)));
    assert_eq!(page["history"][0]["content"], "message 100");
    let last = history_of(world, r#"sessions_history(session="my-session", full=true, offset=200)"#);
    assert_eq!(page_numbers(&last), (250, 200, 100, 50, None));
    assert_eq!(last["history"][40]["content"].as_str().unwrap().len(), 5000, "untruncated");
}

fn history_by_fifty(world: &mut World, line: &str) {
    assert_eq!(page_numbers(&history_of(world, line)), (250, 0, 50, 50, Some(50)));
}

/// `total`, `offset`, `pageSize`, `returned` and `nextOffset`, which is there if `hasMore` says so.
fn page_numbers(page: &Value) -> (u64, u64, u64, u64, Option<u64>) {
    let number = |name: &str| page[name].as_u64().unwrap_or_else(|| panic!("no {name} in {page}"));
    let next = page["nextOffset"].as_u64();
    assert_eq!(page["hasMore"], next.is_some());
    assert_eq!(page["history"].as_array().unwrap().len() as u64, number("returned"));
    (number("total"), number("offset"), number("pageSize"), number("returned"), next)
}
