//! Who is met on a topic, what is shown there, and when that ends.

use std::time::Duration;

use serde_json::json;
use wopr_p2p_core::keys::Topic;
use wopr_p2p_core::{Command, CommandError, Config, Document, Node, StartError, Stored};

use crate::stranger::Stranger;
use crate::world::World;
use crate::{discovered, join, leave, lobby, nothing_is_given};

#[test]
fn two_nodes_on_one_topic_meet_and_prove_their_keys() {
    let mut world = lobby(3, &Config::default());
    let content = r#"{"name":"alice"}"#;
    world.done(0, Command::SetProfile { content: content.to_owned() }).expect("set");
    for (host, other) in [(1, 0), (0, 1), (2, 1)] {
        let met = discovered(&world, host);
        let found = met.iter().find(|found| found.key == world.key(other)).expect("found");
        assert!(found.proven && found.connected);
        assert_eq!(found.topics.iter().map(|topic| topic.as_str()).collect::<Vec<_>>(), ["lobby"]);
        assert_eq!(found.content, if other == 0 { content } else { "{}" });
        nothing_is_given(&world, host);
    }
}

#[test]
fn topics_and_profile_outlive_a_restart() {
    let mut world = lobby(2, &Config::default());
    world.done(0, Command::SetProfile { content: r#"{"a":1}"#.to_owned() }).expect("set");
    world.restart(0, Config::default());
    world.sleep(Duration::from_secs(5));
    assert_eq!(discovered(&world, 0).len(), 1);
    assert_eq!(discovered(&world, 1)[0].content, r#"{"a":1}"#);
    assert!(discovered(&world, 1)[0].proven);
}

#[test]
fn a_node_that_only_remembers_its_topics_is_on_none() {
    let mut config = Config::default();
    config.discovery.active = false;
    let mut world = World::with_config(1, &config);
    world.done(0, join("lobby")).expect("joined");
    assert_eq!(world.hosts[0].node.snapshot().topics.len(), 1);
    assert!(!world.hosts[0].topics.contains(&Topic::discovery("lobby")));
    world.restart(0, Config::default());
    assert!(world.hosts[0].topics.contains(&Topic::discovery("lobby")));
}

#[test]
fn leaving_a_topic_ends_the_announcement_and_the_streams() {
    let mut world = lobby(2, &Config::default());
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    world.done(0, leave("lobby")).expect("left");
    assert!(!world.hosts[0].topics.contains(&Topic::discovery("lobby")));
    assert!(world.is_closed(0, stranger.stream));
    assert_eq!(discovered(&world, 0), []);
    assert!(!discovered(&world, 1)[0].connected);
    assert!(matches!(world.done(0, leave("lobby")), Err(CommandError::NotJoined(_))));
    // A stream for a topic that was left is a stranger's like any other.
    let late = world.open_raw_for(0, 51, vec![Topic::discovery("lobby")]);
    assert_eq!(world.taken(0, late), Vec::<Vec<u8>>::new());
}

#[test]
fn topics_are_bounded() {
    let mut config = Config::default();
    config.discovery.max_topics = 2;
    let mut world = World::with_config(1, &config);
    world.done(0, join("a")).expect("joined");
    world.done(0, join("b")).expect("joined");
    world.done(0, join("a")).expect("joined already");
    assert!(matches!(world.done(0, join("c")), Err(CommandError::LimitReached("discovery.max_topics"))));
}

#[test]
fn flaw_27_those_who_are_gone_are_forgotten() {
    let mut world = lobby(2, &Config::default());
    world.hosts[1].online = false;
    world.done(1, leave("lobby")).expect("left");
    assert_eq!(discovered(&world, 0).len(), 1);
    assert!(!discovered(&world, 0)[0].connected);
    world.sleep(Duration::from_secs(660));
    assert_eq!(discovered(&world, 0), []);
}

#[test]
fn flaw_27_a_topic_that_is_joined_later_is_announced_and_searched() {
    let mut world = lobby(2, &Config::default());
    world.done(0, join("later")).expect("joined");
    world.sleep(Duration::from_secs(300));
    world.done(1, join("later")).expect("joined");
    world.sleep(Duration::from_secs(5));
    assert_eq!(discovered(&world, 0)[0].topics.len(), 2);
    assert_eq!(discovered(&world, 1)[0].topics.len(), 2);
}

#[test]
fn flaw_28_a_topic_is_shown_to_those_who_are_on_it_and_to_nobody_else() {
    let mut world = lobby(2, &Config::default());
    world.done(0, join("secret")).expect("joined");
    world.done(0, Command::SetProfile { content: r#"{"x":1}"#.to_owned() }).expect("set");
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    let mut heard = stranger.proves(&mut world, &stranger.shows());
    heard.extend(stranger.proves(&mut world, &stranger.request()));
    world.done(0, Command::SetProfile { content: r#"{"x":2}"#.to_owned() }).expect("set");
    heard.extend(stranger.hears(&mut world));
    assert_eq!(heard.iter().filter(|text| text["type"] == "profile").count(), 2);
    for text in &heard {
        assert!(!text.to_string().contains("secret"), "{text}");
        assert!(text["type"] != "profile" || text["profile"]["topics"] == json!(["lobby"]), "{text}");
    }
    assert_eq!(discovered(&world, 1)[0].topics.len(), 1);
}

#[test]
fn a_silent_stream_is_closed_and_its_peer_found_again() {
    let mut world = lobby(1, &Config::default());
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    stranger.proves(&mut world, &stranger.shows());
    world.sleep(Duration::from_secs(89));
    assert!(!world.is_closed(0, stranger.stream));
    world.sleep(Duration::from_secs(2));
    assert!(world.is_closed(0, stranger.stream));
    // Two nodes keep each other awake.
    let mut world = lobby(2, &Config::default());
    world.hosts[1].closed.clear();
    world.sleep(Duration::from_secs(300));
    assert!(discovered(&world, 0)[0].connected);
    assert_eq!(world.hosts[1].closed, []);
}

#[test]
fn after_a_rotation_the_new_key_is_shown_and_proven() {
    let mut world = lobby(2, &Config::default());
    let reason = "scheduled".parse().expect("a reason");
    let timeout = Duration::from_secs(10);
    world.done(0, Command::RotateKeys { reason, notify_all: false, timeout }).expect("rotated");
    let found = discovered(&world, 1);
    assert!(found.iter().any(|found| found.key == world.key(0) && found.proven && found.connected));
}

#[test]
fn a_damaged_document_is_never_overwritten() {
    let world = lobby(1, &Config::default());
    let mut bytes = world.hosts[0].documents[&Document::Discovery].clone();
    bytes.truncate(bytes.len() / 2);
    let stored = Stored { discovery: Some(bytes), ..Default::default() };
    let error = Node::new(Config::default(), stored, [1; 32], world.now).err();
    assert!(matches!(error, Some(StartError::Damaged(Document::Discovery, _))));
}
