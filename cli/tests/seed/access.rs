//! Who may do what here: invites, grants, and the end of both.

use serde_json::{Value, json};

use crate::support::conversation::{claim, invite};
use crate::world::{UNAUTHORIZED, World, has, list, mode, run_at, short_id};

pub(crate) fn invite_create(world: &mut World, line: &str) {
    let token = world.run(line, &[("<their-pubkey>", &world.alice_key)]).ok().stdout;
    let says = world.me.p2p(&["invite", "inspect", token.trim_end(), "--json"]).ok().json();
    assert_eq!(says["sessions"], json!(["session1", "session2"]));
    assert_eq!(says["subject"]["publicKey"], *world.alice_key);
}

pub(crate) fn invite_create_expiring(world: &mut World, line: &str) {
    let token = world.run(line, &[("<their-pubkey>", &world.alice_key)]).ok().stdout;
    assert!(token.starts_with("wop1://"));
    let issued = list(&world.me, &["invite", "list"], "invites");
    let invite = issued.iter().max_by_key(|invite| invite["created"].as_u64()).unwrap();
    assert_eq!(invite["expires"].as_u64().unwrap() - invite["created"].as_u64().unwrap(), 24 * 3600 * 1000);
    assert_eq!(invite["sessions"], json!(["*"]));
}

pub(crate) fn invite_claim(world: &mut World, line: &str) {
    let token = invite(&world.alice, &world.me, "main,docs", &[]);
    has(&world.run(line, &[("wop1://...", &token)]).ok(), &["Connected", "alice", "docs", "main"]);
    let theirs = list(&world.alice, &["grants"], "grants");
    assert!(theirs.iter().any(|grant| grant["sessions"] == json!(["docs", "main"])), "{theirs:?}");
}

pub(crate) fn invite_to_everything(world: &mut World, line: &str) {
    let token = world.run(line, &[("<nodeB-pubkey>", &world.bob_key)]).ok().stdout;
    assert!(token.starts_with("wop1://eyJ2Ijo"), "{token}");
    world.token = token.trim_end().to_owned();
}

pub(crate) fn claim_everything(world: &mut World, line: &str) {
    let said = run_at(&world.bob, line, &[("wop1://eyJ2Ijo...", &world.token)]).ok();
    has(&said, &["Connected", "all of its sessions"]);
    let key = world.me.public_key();
    world.bob.p2p(&["log", &key, "--session", "anything", "--message", "hello from the laptop"]).ok();
    assert_eq!(world.me.count_in_session("anything", "hello from the laptop"), 1);
}

pub(crate) fn invite_a_collaborator(world: &mut World, line: &str) {
    world.me.p2p(&["revoke", "my-laptop"]).ok();
    let token = world.run(line, &[("<peer-pubkey>", &world.bob_key)]).ok().stdout;
    claim(&world.bob, token.trim_end());
}

/// "Confirm: sessions=["shared-project", "docs"]", and no others.
pub(crate) fn grants_of_the_collaborator(world: &mut World, line: &str) {
    let id = short_id(&world.bob);
    has(&world.run(line, &[("<peer-id>", &id)]).ok(), &["docs, shared-project", "semi-trusted"]);
    let of_bob = list(&world.me, &["grants", "--peer", &id], "grants");
    assert_eq!(of_bob.len(), 1);
    assert_eq!(of_bob[0]["sessions"], json!(["docs", "shared-project"]));
    let key = world.me.public_key();
    let other = world.bob.p2p(&["log", &key, "--session", "anything", "--message", "let me in"]);
    other.refused(UNAUTHORIZED, &["anything"]);
}

pub(crate) fn grant(world: &mut World, line: &str) {
    world.run(line, &[("<peer-pubkey>", &world.alice_key)]).ok();
    let grant = newest(world);
    assert_eq!(grant["sessions"], json!(["session1", "session2"]));
    assert_eq!(mode(&world.me.folder().join("p2p/access.json")), 0o600);
}

pub(crate) fn grant_with_trust(world: &mut World, line: &str) {
    world.run(line, &[("<peer-pubkey>", &world.alice_key)]).ok();
    assert_eq!(newest(world)["trust"], "trusted");
}

pub(crate) fn grant_with_capabilities(world: &mut World, line: &str) {
    world.run(line, &[("<peer-pubkey>", &world.alice_key)]).ok();
    assert_eq!(newest(world)["capabilities"], json!(["inject", "inject.tools"]));
}

pub(crate) fn grant_the_gateway(world: &mut World, line: &str) {
    world.run(line, &[("<discovered-peer-key>", &world.bob_key)]).ok();
    let grant = newest(world);
    assert_eq!(grant["sessions"], json!(["public-gateway"]));
    assert_eq!(grant["capabilities"], json!(["inject.limited"]));
}

/// The grant that was made last.
fn newest(world: &World) -> Value {
    world.my_grants().into_iter().max_by_key(|grant| grant["created"].as_u64()).expect("there is a grant")
}

pub(crate) fn grants(world: &mut World, line: &str) {
    let said = world.run(line, &[]).ok();
    for grant in world.my_grants() {
        has(&said, &[&grant["id"].as_str().unwrap()[..12], "alice"]);
    }
}

pub(crate) fn grants_of_alice(world: &mut World, line: &str) {
    world.me.p2p(&["grant", &world.bob_key, "for-bob"]).ok();
    let said = world.run(line, &[]).ok();
    has(&said, &["session1", "inject.tools"]);
    assert!(!said.stdout.contains("for-bob"));
}

pub(crate) fn grants_after_the_revocation(world: &mut World, line: &str) {
    let said = world.run(line, &[]).ok();
    has(&said, &["main"]);
    assert!(!said.stdout.contains("sensitive-session"), "{}", said.stdout);
}

pub(crate) fn no_grants(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["nobody may use"]);
}

pub(crate) fn revoke(world: &mut World, line: &str) {
    world.me.p2p(&["grant", "alice", "docs"]).ok();
    let open = invite(&world.me, &world.alice, "docs", &[]);
    has(&world.run(line, &[]).ok(), &["docs"]);
    assert!(world.my_grants().is_empty());
    // Neither the grant nor an invite that was on its way lets her in again.
    world.alice.p2p(&["invite", "claim", &open]).refused(2, &["token"]);
}

/// "After revocation, the peer receives `reject` messages with reason "unauthorized"."
pub(crate) fn revoke_and_refuse(world: &mut World, line: &str) {
    let key = world.me.public_key();
    let log = || world.alice.p2p(&["log", &key, "--session", "session1", "--message", "still there?"]);
    log().ok();
    world.run(line, &[]).ok();
    log().refused(UNAUTHORIZED, &["session1"]);
    assert_eq!(world.me.count_in_session("session1", "still there?"), 1);
}

pub(crate) fn revoke_by_key(world: &mut World, line: &str) {
    world.run(line, &[("<peer-pubkey>", &world.bob_key)]).ok();
    assert!(world.my_grants().is_empty());
}

/// "Peer keeps access to other sessions."
pub(crate) fn revoke_a_session(world: &mut World, line: &str) {
    world.me.p2p(&["grant", "alice", "sensitive-session", "main"]).ok();
    world.run(line, &[]).ok();
    let key = world.me.public_key();
    let log = |session| world.alice.p2p(&["log", &key, "--session", session, "--message", "a look"]);
    log("sensitive-session").refused(UNAUTHORIZED, &["sensitive-session"]);
    log("main").ok();
}

pub(crate) fn grant_revoke(world: &mut World, line: &str) {
    world.me.p2p(&["grant", "alice", "one"]).ok();
    world.me.p2p(&["grant", "my-laptop", "two"]).ok();
    let grants = world.my_grants();
    let one = grants.iter().find(|grant| grant["sessions"][0] == "one").unwrap();
    // As `grants` shows it.
    world.run(line, &[("<grant-id>", &one["id"].as_str().unwrap()[..12])]).ok();
    let left = world.my_grants();
    assert_eq!((left.len(), &left[0]["sessions"][0]), (1, &"two".into()));
}
