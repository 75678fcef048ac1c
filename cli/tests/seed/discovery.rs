//! Topics, who is met there, and requests for access.

use serde_json::Value;

use crate::support::home::Home;
use crate::world::{UNAUTHORIZED, World, has, list, short_id, wait_for};

/// Whoever is on the topic already meets me there.
pub(crate) fn topic_join(world: &mut World, line: &str) {
    world.bob.p2p(&["topic", "join", "myproject"]).ok();
    has(&world.run(line, &[]).ok(), &["Joined", "myproject"]);
    assert_eq!(topics_of(&world.me), ["myproject"]);
    let key = world.me.public_key();
    wait_until_met(&world.bob, "myproject", &key);
    wait_until_met(&world.me, "myproject", &world.bob_key);
}

pub(crate) fn topic_leave(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &["Left", "myproject"]);
    assert!(topics_of(&world.me).is_empty());
    wait_for("Bob sees that I am gone", || {
        let found = list(&world.bob, &["discover", "--wait", "1ms"], "discovered");
        found.iter().all(|peer| peer["connected"] == false).then_some(())
    });
}

/// Two topics: one with Bob, one with Alice.
pub(crate) fn topics(world: &mut World, line: &str) {
    world.me.p2p(&["topic", "join", "myproject"]).ok();
    world.me.p2p(&["topic", "join", "other-project"]).ok();
    world.alice.p2p(&["topic", "join", "other-project"]).ok();
    has(&world.run(line, &[]).ok(), &["TOPIC", "myproject", "other-project"]);
    wait_until_met(&world.me, "myproject", &world.bob_key);
    wait_until_met(&world.me, "other-project", &world.alice_key);
    let key = world.me.public_key();
    wait_until_met(&world.alice, "other-project", &key);
}

fn topics_of(home: &Home) -> Vec<Value> {
    list(home, &["topics"], "topics").into_iter().map(|topic| topic["name"].clone()).collect()
}

/// "Discovered peers are NOT auto-accepted."
pub(crate) fn topic_join_public(world: &mut World, line: &str) {
    let before = [&world.me, &world.alice].map(|home| list(home, &["grants"], "grants"));
    world.alice.p2p(&["topic", "join", "public-agents"]).ok();
    world.run(line, &[]).ok();
    wait_until_met(&world.me, "public-agents", &world.alice_key);
    assert_eq!([&world.me, &world.alice].map(|home| list(home, &["grants"], "grants")), before);
}

pub(crate) fn discover(world: &mut World, line: &str) {
    has(&world.run(line, &[]).ok(), &[&short_id(&world.bob), "myproject", "alice", "other-project", "proven"]);
}

pub(crate) fn discover_on_a_topic(world: &mut World, line: &str) {
    let said = world.run(line, &[]).ok();
    has(&said, &[&short_id(&world.bob), "proven"]);
    assert!(!said.stdout.contains("alice"), "{}", said.stdout);
    // Nor does Bob hear of the topic that he is not on.
    let bobs = world.bob.p2p(&["discover", "--json"]).ok().stdout;
    assert!(!bobs.contains("other-project"), "{bobs}");
}

/// "Check if peer is online": Bob is, and what was revoked has nothing to do with it.
pub(crate) fn discover_who_is_online(world: &mut World, line: &str) {
    wait_until_met(&world.me, "myproject", &world.bob_key);
    has(&world.run(line, &[]).ok(), &["my-laptop", "proven"]);
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

/// Bob's owner is asked, and lets me into his gateway, and no further. He gets nothing here for it.
pub(crate) fn connect(world: &mut World, line: &str) {
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
