//! What the original says on a discovery stream is understood, shown as unproven, answered where it waits for an
//! answer, and believed in nothing.

#[path = "support/stranger.rs"]
mod stranger;
#[path = "support/vectors.rs"]
mod vectors;
#[path = "support/world.rs"]
mod world;

use serde_json::Value;
use wopr_p2p_core::gateway::Gateway;
use wopr_p2p_core::keys::{PublicKey, Topic};
use wopr_p2p_core::wire::discovery::{Message, decode};
use wopr_p2p_core::{Command, Config, StreamId};
use world::{World, session};

/// A node on the recorded topic with a gateway, and a stream to it.
fn meet() -> (World, StreamId) {
    let capabilities = vec!["inject".parse().expect("a capability")];
    let gateway = Gateway { session: session("main"), capabilities, approval: false };
    let mut world = World::with_config(1, &Config { gateway: Some(gateway), ..Config::default() });
    world.done(0, Command::JoinTopic { topic: "lobby".parse().expect("a topic") }).expect("joined");
    let stream = world.open_raw_for(0, 50, vec![Topic::discovery("lobby")]);
    world.taken(0, stream);
    (world, stream)
}

fn frames(file: &Value) -> impl Iterator<Item = &Value> {
    let steps = file["conversation"].as_array().expect("a conversation").iter();
    steps.flat_map(|step| step["frames"].as_array().expect("frames"))
}

#[test]
fn everything_the_original_says_is_read() {
    let file = vectors::load("discovery.json");
    for frame in frames(&file) {
        let text = vectors::text(frame, "text");
        let said: Value = serde_json::from_str(text).expect("JSON");
        let received = decode(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(received.proof().is_none(), "{text}");
        let shown = match (vectors::text(&said, "type"), received.unproven()) {
            ("profile", Message::Profile { shown, challenge: None }) => Some(shown),
            ("connect_request", Message::ConnectRequest { topic, shown }) => {
                assert_eq!(said["topic"], topic);
                Some(shown)
            }
            ("connect_response", Message::ConnectResponse(_)) | ("grant_update", Message::Other) => None,
            (_, message) => panic!("{text} is read as {message:?}"),
        };
        if let Some(shown) = shown {
            assert_eq!(said["profile"]["publicKey"], shown.key.to_string());
            let content: Value = serde_json::from_str(&shown.content).expect("JSON");
            assert_eq!(said["profile"]["content"], content);
        }
    }
}

#[test]
fn our_profile_has_the_members_of_the_originals_in_their_order_and_our_own_behind() {
    let file = vectors::load("discovery.json");
    let recorded = frames(&file).next().expect("the first frame is a profile");
    let (mut world, _) = meet();
    let stream = world.open_raw_for(0, 51, vec![Topic::discovery("lobby")]);
    let sent = String::from_utf8(world.taken(0, stream).remove(0)).expect("UTF-8");
    let order = |text: &str| -> Vec<String> {
        let profile = text.split_once("\"profile\":{").expect("a profile").1;
        let names = ["id", "publicKey", "encryptPub", "content", "topics", "updated"];
        let mut found: Vec<(usize, &str)> =
            names.iter().filter_map(|name| Some((profile.find(&format!("\"{name}\":"))?, *name))).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, name)| name.to_owned()).collect()
    };
    assert_eq!(order(&sent), order(vectors::text(recorded, "text")));
    assert!(sent.starts_with("{\"type\":\"profile\",\"profile\":{") && !sent.ends_with('\n'), "{sent}");
    let members: Value = serde_json::from_str(&sent).expect("JSON");
    assert_eq!(members["profile"]["topics"], serde_json::json!(["lobby"]));
    let mut names: Vec<_> = members.as_object().expect("an object").keys().collect();
    names.sort();
    assert_eq!(names, ["challenge", "profile", "type"]);
}

#[test]
fn nothing_the_original_says_gives_anybody_anything() {
    let file = vectors::load("discovery.json");
    let (mut world, stream) = meet();
    let probes = file["probes"].as_array().expect("probes").iter().map(|probe| vectors::text(probe, "sent"));
    for text in frames(&file).map(|frame| vectors::text(frame, "text")).chain(probes) {
        // Both sides' words on one stream, and each on one of its own.
        world.send_raw(0, stream, text.as_bytes());
        let alone = world.open_raw_for(0, 60, vec![Topic::discovery("lobby")]);
        world.send_raw(0, alone, text.as_bytes());
    }
    let snapshot = world.hosts[0].node.snapshot();
    assert_eq!((snapshot.grants, snapshot.peers), (Vec::new(), Vec::new()));
    assert!(snapshot.discovered.iter().all(|found| !found.proven));
}

/// Why our reply to a probe may differ from the original's.
fn rule(sent: &str, recorded: &[Value]) -> Option<&'static str> {
    let Ok(said) = serde_json::from_str::<Value>(sent) else {
        return Some("several messages in one write, or one in several");
    };
    let profile = &said["profile"];
    match said["type"].as_str() {
        Some("ping") if said.get("ts").is_some_and(|ts| !ts.is_number()) => Some("a ping whose ts is not a number"),
        Some("connect_request") if recorded.iter().any(|reply| reply["accept"] == true) => {
            Some("a connection request that is not decided by the owner")
        }
        Some("connect_request" | "profile")
            if profile["publicKey"].as_str().is_none_or(|key| key.parse::<PublicKey>().is_err()) =>
        {
            Some("a profile without an Ed25519 key in strict base64 of its SPKI")
        }
        _ => None,
    }
}

#[test]
fn probes_are_answered_as_recorded_or_otherwise_by_a_rule() {
    let file = vectors::load("discovery.json");
    for probe in file["probes"].as_array().expect("probes") {
        let (name, sent) = (&probe["name"], vectors::text(probe, "sent"));
        let recorded: Vec<Value> = probe["replies"]
            .as_array()
            .expect("replies")
            .iter()
            .map(|reply| serde_json::from_str(reply.as_str().expect("a text")).expect("JSON"))
            .collect();
        let (mut world, stream) = meet();
        let replies = stranger::texts(world.send_raw(0, stream, sent.as_bytes()));
        // What a refusal says is each owner's business.
        let same = replies.len() == recorded.len()
            && replies.iter().zip(&recorded).all(|(ours, theirs)| {
                ours == theirs || ours["type"] == theirs["type"] && ours["accept"] == false && theirs["accept"] == false
            });
        if !same {
            let rule = rule(sent, &recorded);
            let rule =
                rule.unwrap_or_else(|| panic!("{name}: {replies:?} instead of {recorded:?}, and no rule says why"));
            vectors::explained(rule);
        }
        assert!(replies.iter().all(|reply| reply["accept"] != true), "{name}");
    }
}
