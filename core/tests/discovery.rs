//! Discovery: who is met, what is shown and proved, and that nothing said there gives anybody anything.

#[path = "support/stranger.rs"]
mod stranger;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use quickcheck::{QuickCheck, quickcheck};
use serde_json::{Value, json};
use stranger::Stranger;
use wopr_p2p_core::access::TrustLevel;
use wopr_p2p_core::discovery::{Connected, Discovered, PendingRequest, PendingWhat};
use wopr_p2p_core::gateway::Gateway;
use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::keys::{Nonce, Topic};
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rng::Rng;
use wopr_p2p_core::wire::discovery::{Answer, MAX_MESSAGE, Outgoing};
use wopr_p2p_core::{Command, CommandError, Config, Document, Event, Reply};
use world::{World, grant, session, sessions};

fn join(topic: &str) -> Command {
    Command::JoinTopic { topic: topic.parse().expect("a topic") }
}

fn leave(topic: &str) -> Command {
    Command::LeaveTopic { topic: topic.parse().expect("a topic") }
}

fn connect(peer: impl Into<PeerRef>) -> Command {
    Command::Connect { peer: peer.into(), timeout: Duration::from_secs(30) }
}

fn approve(request: impl ToString) -> Command {
    Command::Approve { request: request.to_string() }
}

fn deny(request: impl ToString) -> Command {
    Command::Deny { request: request.to_string() }
}

fn with_gateway() -> Config {
    let capabilities = vec!["inject.limited".parse().expect("a capability")];
    let gateway = Gateway { session: session("public"), capabilities, approval: false };
    Config { gateway: Some(gateway), ..Config::default() }
}

/// Nodes that are all on the topic "lobby" and have met.
fn lobby(count: usize, config: &Config) -> World {
    let mut world = World::with_config(count, config);
    for host in 0..count {
        world.done(host, join("lobby")).expect("joined");
    }
    world.sleep(Duration::from_secs(10));
    world
}

fn discovered(world: &World, host: usize) -> Vec<Discovered> {
    world.hosts[host].node.snapshot().discovered
}

fn requests(world: &World, host: usize) -> Vec<PendingRequest> {
    world.hosts[host].node.snapshot().requests
}

/// Nothing was granted, opened or learnt about keys.
fn nothing_is_given(world: &World, host: usize) {
    let snapshot = world.hosts[host].node.snapshot();
    assert_eq!(snapshot.grants, []);
    assert_eq!(snapshot.peers, []);
}

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
fn flaw_01_an_unsolicited_acceptance_gives_nothing() {
    let mut world = lobby(1, &with_gateway());
    let accept = Answer::Accepted {
        sessions: Some(sessions(&["*"])),
        capabilities: vec!["inject".parse().expect("a capability")],
    };
    let grants = br#"{"type":"grant_update","grants":{"sessions":["*"]}}"#;
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    stranger.says(&mut world, &stranger.shows());
    stranger.says(&mut world, &Outgoing::connect_response(&accept));
    stranger.sends(&mut world, grants);
    nothing_is_given(&world, 0);
    // Proving its own key does not make it wanted.
    let proven = Stranger::meets(&mut world, 0, "lobby", 51);
    proven.proves(&mut world, &proven.shows());
    proven.proves(&mut world, &Outgoing::connect_response(&accept));
    nothing_is_given(&world, 0);
    assert!(discovered(&world, 0).iter().any(|found| found.key == proven.key() && found.proven));
    assert!(!world.is_closed(0, proven.stream));
}

#[test]
fn flaw_01_an_acceptance_from_another_than_was_asked_gives_nothing() {
    let mut world = lobby(2, &with_gateway());
    assert!(matches!(world.done(0, connect(world.key(1))), Ok(Reply::Connected(Connected::Pending { .. }))));
    let accept = Answer::Accepted { sessions: Some(sessions(&["*"])), capabilities: Vec::new() };
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    stranger.proves(&mut world, &stranger.shows());
    stranger.proves(&mut world, &Outgoing::connect_response(&accept));
    nothing_is_given(&world, 0);
}

#[test]
fn flaw_02_a_request_in_another_name_changes_nothing_about_the_named_peer() {
    let mut world = lobby(1, &with_gateway());
    let friend = Stranger::meets(&mut world, 0, "lobby", 50);
    world.done(0, grant(friend.key(), &["public"], "inject.limited")).expect("granted");
    let before = world.hosts[0].node.snapshot();
    // Another end, which names the friend's key and an encryption key of its own.
    let mut thief = Stranger::meets(&mut world, 0, "lobby", 51);
    let own = thief.identity.encrypt_key();
    thief.identity = Identity::generate(&mut Rng::new([50; 32]), world.now.wall);
    let request = Outgoing::connect_request(
        "lobby",
        thief.profile("{}").replace(&thief.identity.encrypt_key().to_string(), &own.to_string()),
    );
    thief.says(&mut world, &request);
    let after = world.hosts[0].node.snapshot();
    assert_eq!((after.peers, after.grants), (before.peers, before.grants));
}

#[test]
fn flaw_02_approving_an_unproven_request_gives_its_sender_no_key() {
    let mut world = lobby(1, &with_gateway());
    let thief = Stranger::meets(&mut world, 0, "lobby", 51);
    let answer = thief.says(&mut world, &thief.request());
    assert_eq!((&answer[0]["accept"], &answer[0]["pending"]), (&json!(false), &json!(true)));
    let request = requests(&world, 0).remove(0);
    assert!(matches!(request.what, PendingWhat::Connection { proven: false, .. }));
    world.done(0, approve(request.id)).expect("approved");
    let snapshot = world.hosts[0].node.snapshot();
    assert_eq!(snapshot.peers[0].encrypt_key, None);
    assert_eq!(snapshot.grants[0].peer, thief.key());
}

#[test]
fn flaw_18_messages_are_read_however_they_are_cut_or_joined() {
    let mut world = lobby(1, &Config::default());
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    let two = b"{\"type\":\"ping\",\"ts\":1}\n{\"type\":\"ping\",\"ts\":2}";
    let pongs = [json!({"type": "pong", "ts": 1}), json!({"type": "pong", "ts": 2})];
    assert_eq!(stranger.sends(&mut world, two), pongs);
    let mut bytewise = Vec::new();
    for byte in two {
        bytewise.extend(stranger.sends(&mut world, &[*byte]));
    }
    assert_eq!(bytewise, pongs);
}

#[test]
fn flaw_18_a_proof_counts_on_one_stream_for_one_node_and_for_a_while() {
    let mut world = lobby(2, &Config::default());
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    let shown = stranger.proven(&world, &stranger.shows());
    // Recorded there, played here: on another stream, and to another node.
    for host in [0, 1] {
        let replayer = Stranger::meets(&mut world, host, "lobby", 60 + u8::try_from(host).expect("small"));
        replayer.sends(&mut world, &shown);
        assert!(world.is_closed(host, replayer.stream), "host {host}");
        assert!(discovered(&world, host).iter().all(|found| found.key != stranger.key()));
    }
    // The right challenge, but for another node.
    let mut proof = stranger.proof(&world);
    proof.to = world.key(1);
    let bytes = stranger.shows().proven(&proof, |bytes| stranger.identity.sign(bytes));
    stranger.sends(&mut world, &bytes);
    assert!(world.is_closed(0, stranger.stream));
    // Signed by a clock that is far ahead.
    let late = Stranger::meets(&mut world, 0, "lobby", 52);
    let mut proof = late.proof(&world);
    proof.ts = world.now.wall + Duration::from_secs(301);
    let bytes = late.shows().proven(&proof, |bytes| late.identity.sign(bytes));
    late.sends(&mut world, &bytes);
    assert!(world.is_closed(0, late.stream));
    assert!(discovered(&world, 0).iter().all(|found| found.key == world.key(1)));
}

#[test]
fn flaw_18_somebody_between_two_nodes_can_only_pass_on_what_they_say() {
    let mut world = lobby(1, &with_gateway());
    let victim = Stranger::meets(&mut world, 0, "lobby", 50);
    victim.proves(&mut world, &victim.shows());
    // The one between writes on the same stream without the victim's key.
    let thief = Identity::generate(&mut Rng::new([51; 32]), world.now.wall);
    let mut proof = victim.proof(&world);
    let bytes = victim.request().proven(&proof, |bytes| thief.sign(bytes));
    victim.sends(&mut world, &bytes);
    assert!(world.is_closed(0, victim.stream));
    let again = Stranger::meets(&mut world, 0, "lobby", 50);
    again.proves(&mut world, &again.shows());
    proof = again.proof(&world);
    proof.from = thief.public_key();
    let bytes = again.request().proven(&proof, |bytes| thief.sign(bytes));
    again.sends(&mut world, &bytes);
    assert!(world.is_closed(0, again.stream));
    assert_eq!(requests(&world, 0), []);
}

#[test]
fn flaw_27_a_request_waits_and_its_sender_hears_so_and_then_the_outcome() {
    let mut world = lobby(2, &with_gateway());
    let (alice, bob) = (world.key(0), world.key(1));
    let short = PeerRef::ShortId(alice.short_id());
    let pending = Ok(Reply::Connected(Connected::Pending { peer: alice }));
    assert_eq!(world.done(1, connect(short)), pending);
    // Asking again asks for the same.
    assert_eq!(world.done(1, connect(alice)), pending);
    let waiting = requests(&world, 0);
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].peer, bob);
    assert!(matches!(waiting[0].what, PendingWhat::Connection { proven: true, .. }));
    let asked = |event: &&Event| matches!(event, Event::ConnectRequested { .. });
    assert_eq!(world.hosts[0].events.iter().filter(asked).count(), 1);
    nothing_is_given(&world, 0);

    let Ok(Reply::Granted(granted)) = world.done(0, approve(waiting[0].id)) else { panic!("not granted") };
    assert_eq!((granted.peer, granted.sessions.names(), granted.trust), (bob, vec!["public"], TrustLevel::Untrusted));
    assert_eq!(granted.capabilities, ["inject.limited".parse().expect("a capability")]);
    assert_eq!(requests(&world, 0), []);
    // Bob hears of it without asking, and notes what he may use; he has granted nothing.
    let bobs = world.hosts[1].node.snapshot();
    let opened = bobs.peers.iter().find(|peer| peer.key == alice).and_then(|peer| peer.opened.clone());
    assert_eq!(opened.expect("opened").sessions, sessions(&["public"]));
    assert_eq!((bobs.grants, bobs.asked), (Vec::new(), Vec::new()));
    assert!(matches!(world.done(1, connect(alice)), Ok(Reply::Connected(Connected::Accepted { proven: true, .. }))));
    world.done(1, world::inject(alice, "public", "may I?")).expect("answered");
    let refused = world.done(1, world::inject(alice, "main", "and here?"));
    assert_eq!(refused, Err(CommandError::Unauthorized(alice)));
}

#[test]
fn flaw_27_a_denial_is_told_as_one() {
    let mut world = lobby(2, &with_gateway());
    let alice = world.key(0);
    world.done(1, connect(alice)).expect("pending");
    world.done(0, deny(world.key(1))).expect("denied");
    assert_eq!(world.hosts[1].node.snapshot().asked, []);
    let denied = Err(CommandError::Rejected { peer: alice, reason: "denied by the owner".to_owned() });
    assert_eq!(world.done(1, connect(alice)), denied);
    assert_eq!(requests(&world, 0), []);
    nothing_is_given(&world, 1);
    // The denial fades.
    world.sleep(Duration::from_secs(25 * 3600));
    assert!(matches!(world.done(1, connect(alice)), Ok(Reply::Connected(Connected::Pending { .. }))));
}

#[test]
fn flaw_27_a_decision_made_while_the_sender_is_away_reaches_it_when_it_is_back() {
    let mut world = lobby(2, &with_gateway());
    let alice = world.key(0);
    world.done(1, connect(alice)).expect("pending");
    world.hosts[1].online = false;
    world.restart(1, Config { discovery: inactive(), ..with_gateway() });
    world.restart(0, with_gateway());
    let waiting = requests(&world, 0);
    assert_eq!(waiting.len(), 1, "it outlives the restart");
    world.done(0, approve(waiting[0].id)).expect("approved");
    world.hosts[1].online = true;
    world.restart(1, with_gateway());
    world.sleep(Duration::from_secs(120));
    let bobs = world.hosts[1].node.snapshot();
    assert!(bobs.peers.iter().any(|peer| peer.key == alice && peer.opened.is_some()));
    assert_eq!(bobs.asked, []);
}

fn inactive() -> wopr_p2p_core::discovery::DiscoveryConfig {
    wopr_p2p_core::discovery::DiscoveryConfig { active: false, ..Default::default() }
}

#[test]
fn flaw_27_nobody_there_is_said_as_such() {
    let mut world = lobby(1, &Config::default());
    let nobody = Identity::generate(&mut Rng::new([9; 32]), world.now.wall).public_key();
    assert_eq!(world.done(0, connect(nobody)), Err(CommandError::PeerOffline(nobody)));
    let unknown = world.done(0, connect(PeerRef::ShortId("0123abcd".to_owned())));
    assert!(matches!(unknown, Err(CommandError::Unresolved(_))));
    // An original that shows itself and does not answer.
    let silent = Stranger::meets(&mut world, 0, "lobby", 50);
    let plain = json!({"type": "profile", "profile": {"publicKey": silent.key().to_string()}});
    silent.sends(&mut world, plain.to_string().as_bytes());
    assert_eq!(world.done(0, connect(silent.key())), Err(CommandError::NoAnswer(silent.key())));
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
fn flaw_37_accepting_by_itself_gives_the_gateway_only_and_to_proven_keys_only() {
    let mut config = with_gateway();
    config.discovery.auto_accept = true;
    let mut world = lobby(2, &config);
    let claimed = Stranger::meets(&mut world, 0, "lobby", 50);
    assert_eq!(claimed.says(&mut world, &claimed.request())[0]["pending"], true);
    assert_eq!(requests(&world, 0).len(), 1);
    nothing_is_given(&world, 0);

    let Ok(Reply::Connected(Connected::Accepted { sessions: opened, .. })) = world.done(1, connect(world.key(0)))
    else {
        panic!("not accepted")
    };
    assert_eq!(opened, Some(sessions(&["public"])));
    let grants = world.hosts[0].node.snapshot().grants;
    assert_eq!(grants.len(), 1);
    assert_eq!((grants[0].peer, grants[0].trust), (world.key(1), TrustLevel::Untrusted));
    assert_eq!(grants[0].sessions, sessions(&["public"]));
}

#[test]
fn flaw_37_a_revoked_peer_is_not_accepted_by_itself_again() {
    let mut config = with_gateway();
    config.discovery.auto_accept = true;
    let mut world = lobby(2, &config);
    let (alice, bob) = (world.key(0), world.key(1));
    world.done(1, connect(alice)).expect("accepted");
    world.done(0, Command::RevokePeer { peer: bob.into(), session: None }).expect("revoked");
    assert!(matches!(world.done(1, connect(alice)), Ok(Reply::Connected(Connected::Pending { .. }))));
    assert_eq!(world.hosts[0].node.snapshot().grants, []);
}

#[test]
fn flaw_37_accepting_by_itself_is_off_unless_it_was_set() {
    let mut world = lobby(2, &with_gateway());
    assert!(matches!(world.done(1, connect(world.key(0))), Ok(Reply::Connected(Connected::Pending { .. }))));
    nothing_is_given(&world, 0);
}

#[test]
fn flaw_37_a_waiting_request_cannot_be_swapped_for_another() {
    let mut world = lobby(1, &with_gateway());
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    stranger.proves(&mut world, &stranger.shows());
    stranger.proves(&mut world, &stranger.request());
    let before = requests(&world, 0);
    // Somebody else in the same name, saying something else; and one of another key with the same content.
    let mut thief = Stranger::meets(&mut world, 0, "lobby", 51);
    let own = Identity::generate(&mut Rng::new([51; 32]), world.now.wall);
    thief.identity = Identity::generate(&mut Rng::new([50; 32]), world.now.wall);
    let request = Outgoing::connect_request("lobby", thief.profile(r#"{"name":"thief"}"#));
    thief.says(&mut world, &request);
    assert_eq!(requests(&world, 0), before);
    let mut other = Stranger::meets(&mut world, 0, "lobby", 52);
    other.identity = own;
    other.says(&mut world, &other.request());
    let after = requests(&world, 0);
    assert_eq!(after.len(), 2);
    assert!(after.contains(&before[0]));
    let Ok(Reply::Granted(granted)) = world.done(0, approve(before[0].id)) else { panic!("not granted") };
    assert_eq!(granted.peer, stranger.key());
}

#[test]
fn flaw_37_a_denied_name_is_not_denied_to_its_owner() {
    let mut world = lobby(1, &with_gateway());
    let mut thief = Stranger::meets(&mut world, 0, "lobby", 51);
    thief.identity = Identity::generate(&mut Rng::new([50; 32]), world.now.wall);
    thief.says(&mut world, &thief.request());
    let first = requests(&world, 0)[0].id;
    world.done(0, deny(first)).expect("denied");
    assert_eq!(thief.hears(&mut world)[0]["reason"], "denied by the owner");
    let owner = Stranger::meets(&mut world, 0, "lobby", 50);
    owner.proves(&mut world, &owner.shows());
    let answer = owner.proves(&mut world, &owner.request());
    assert_eq!(answer[0]["pending"], true);
    let waiting = requests(&world, 0);
    assert!(matches!(waiting[0].what, PendingWhat::Connection { proven: true, .. }));
    assert_ne!(waiting[0].id, first, "what was decided stays decided");
}

#[test]
fn waiting_requests_are_bounded_and_unproven_ones_leave_room() {
    let mut config = with_gateway();
    config.discovery.max_requests = 4;
    let mut world = lobby(1, &config);
    for seed in 50..56 {
        let stranger = Stranger::meets(&mut world, 0, "lobby", seed);
        stranger.says(&mut world, &stranger.request());
    }
    assert_eq!(requests(&world, 0).len(), 2);
    let mut refused = Vec::new();
    for seed in 60..64 {
        let stranger = Stranger::meets(&mut world, 0, "lobby", seed);
        stranger.proves(&mut world, &stranger.shows());
        refused.extend(stranger.proves(&mut world, &stranger.request()));
    }
    assert_eq!(requests(&world, 0).len(), 4);
    assert!(refused.last().expect("an answer")["reason"].as_str().expect("words").contains("too many"));
    world.sleep(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(requests(&world, 0), [], "they expire");
}

#[test]
fn a_request_that_comes_too_often_is_rate_limited() {
    let mut world = lobby(1, &with_gateway());
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    let mut last = Value::Null;
    for _ in 0..6 {
        last = stranger.says(&mut world, &stranger.request()).remove(0);
    }
    assert_eq!(last["reason"], "rate limited");
    assert_eq!(requests(&world, 0).len(), 1);
}

#[test]
fn without_a_gateway_nothing_can_be_approved_and_the_owner_can_still_grant() {
    let mut world = lobby(2, &Config::default());
    let (alice, bob) = (world.key(0), world.key(1));
    world.done(1, connect(alice)).expect("pending");
    let waiting = requests(&world, 0);
    assert_eq!(world.done(0, approve(waiting[0].id)), Err(CommandError::NoGateway));
    world.done(0, grant(bob, &["docs"], "message")).expect("granted");
    assert_eq!(requests(&world, 0), []);
    let bobs = world.hosts[1].node.snapshot();
    assert_eq!(bobs.peers[0].opened.clone().expect("told").sessions, sessions(&["docs"]));
    assert_eq!(bobs.grants, []);
}

#[test]
fn a_decision_that_cannot_be_stored_is_none() {
    let mut world = lobby(2, &with_gateway());
    world.done(1, connect(world.key(0))).expect("pending");
    let waiting = requests(&world, 0);
    world.hosts[0].disk_full = true;
    assert!(matches!(world.done(0, approve(waiting[0].id)), Err(CommandError::NotStored(_))));
    assert!(matches!(world.done(0, join("other")), Err(CommandError::NotStored(_))));
    assert_eq!(requests(&world, 0), waiting);
    nothing_is_given(&world, 0);
    assert!(!world.hosts[0].topics.contains(&Topic::discovery("other")));
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    assert_eq!(stranger.says(&mut world, &stranger.request())[0]["accept"], false);
    assert_eq!(requests(&world, 0), waiting, "what is not stored does not wait");
}

#[test]
fn an_original_is_asked_and_its_answer_counts_for_that_once() {
    let mut world = lobby(1, &Config::default());
    let original = Stranger::meets(&mut world, 0, "lobby", 50);
    let plain = json!({"type": "profile", "profile": {"publicKey": original.key().to_string(), "content": {"7": 1}}});
    assert_eq!(original.sends(&mut world, plain.to_string().as_bytes()), [] as [Value; 0]);
    assert!(!discovered(&world, 0)[0].proven);
    let id = world.command(0, connect(original.key()));
    let asked = original.hears(&mut world);
    assert_eq!(asked.len(), 1);
    assert_eq!((&asked[0]["type"], &asked[0]["topic"]), (&json!("connect_request"), &json!("lobby")));
    assert_eq!(asked[0]["proof"], Value::Null);
    original.sends(&mut world, br#"{"type":"connect_response","accept":true,"sessions":["main"]}"#);
    let reply = world.hosts[0].finished.remove(&id).expect("finished").expect("accepted");
    assert!(matches!(reply, Reply::Connected(Connected::Accepted { proven: false, .. })), "{reply:?}");
    nothing_is_given(&world, 0);
}

#[test]
fn whoever_names_a_proven_key_does_not_describe_it() {
    let mut world = lobby(2, &Config::default());
    let mut liar = Stranger::meets(&mut world, 0, "lobby", 50);
    let theirs = world.key(1).to_string();
    let lie = json!({"type": "profile", "profile": {"publicKey": theirs, "content": {"name": "lie"}}});
    liar.sends(&mut world, lie.to_string().as_bytes());
    let found = discovered(&world, 0);
    assert_eq!((found.len(), found[0].proven, found[0].content.as_str()), (1, true, "{}"));
    // And our own key is nobody else's.
    liar = Stranger::meets(&mut world, 0, "lobby", 51);
    let ours = json!({"type": "profile", "profile": {"publicKey": world.key(0).to_string()}});
    liar.sends(&mut world, ours.to_string().as_bytes());
    assert!(world.is_closed(0, liar.stream));
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
fn a_flood_is_cut_off_and_counted_against_its_transport() {
    let mut world = lobby(1, &Config::default());
    let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
    stranger.sends(&mut world, &b"{\"type\":\"ping\"}".repeat(40));
    assert!(world.is_closed(0, stranger.stream));
    for _ in 0..3 {
        let long = Stranger::meets(&mut world, 0, "lobby", 50);
        long.sends(&mut world, &[b"{\"type\":\"", &[b'x'; MAX_MESSAGE][..]].concat());
        assert!(world.is_closed(0, long.stream));
    }
    let banned = world.open_raw_for(0, 50, vec![Topic::discovery("lobby")]);
    assert!(world.is_closed(0, banned));
    let other = world.open_raw_for(0, 51, vec![Topic::discovery("lobby")]);
    assert!(!world.is_closed(0, other));
}

#[test]
fn streams_are_bounded_at_the_cost_of_those_who_proved_nothing() {
    let mut config = Config::default();
    config.discovery.max_streams = 3;
    let mut world = lobby(1, &config);
    let proven = Stranger::meets(&mut world, 0, "lobby", 50);
    proven.proves(&mut world, &proven.shows());
    let first = Stranger::meets(&mut world, 0, "lobby", 51);
    for seed in 52..60 {
        Stranger::meets(&mut world, 0, "lobby", seed);
    }
    assert!(world.is_closed(0, first.stream));
    assert!(!world.is_closed(0, proven.stream));
    for _ in 0..4 {
        world.open_raw_for(0, 70, vec![Topic::discovery("lobby")]);
    }
    let mut config = Config::default();
    config.discovery.max_found = 2;
    let mut world = lobby(1, &config);
    for seed in 50..60 {
        let stranger = Stranger::meets(&mut world, 0, "lobby", seed);
        stranger.says(&mut world, &stranger.shows());
    }
    assert_eq!(discovered(&world, 0).len(), 2);
}

#[test]
fn a_damaged_document_is_never_overwritten() {
    let world = lobby(1, &Config::default());
    let mut bytes = world.hosts[0].documents[&Document::Discovery].clone();
    bytes.truncate(bytes.len() / 2);
    let stored = wopr_p2p_core::Stored { discovery: Some(bytes), ..Default::default() };
    let error = wopr_p2p_core::Node::new(Config::default(), stored, [1; 32], world.now).err();
    assert!(matches!(error, Some(wopr_p2p_core::StartError::Damaged(Document::Discovery, _))));
}

quickcheck! {
    fn random_bytes_on_a_discovery_stream_give_nothing_and_keep_nothing(chunks: Vec<Vec<u8>>) -> bool {
        let mut world = lobby(1, &with_gateway());
        let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
        for chunk in &chunks {
            stranger.sends(&mut world, chunk);
        }
        nothing_is_given(&world, 0);
        world.hosts[0].node.buffered() <= MAX_MESSAGE
    }
}

#[test]
fn changed_messages_give_nothing() {
    fn property(kind: u8, at: usize, byte: u8) -> bool {
        let mut config = with_gateway();
        config.discovery.auto_accept = true;
        let mut world = lobby(1, &config);
        let stranger = Stranger::meets(&mut world, 0, "lobby", 50);
        let accepted = Answer::Accepted { sessions: Some(sessions(&["*"])), capabilities: Vec::new() };
        let message = match kind % 3 {
            0 => stranger.shows(),
            1 => stranger.request(),
            _ => Outgoing::connect_response(&accepted),
        };
        let mut bytes = stranger.proven(&world, &message);
        let at = at % bytes.len();
        let unchanged = bytes[at] == byte;
        bytes[at] = byte;
        stranger.sends(&mut world, &bytes);
        let snapshot = world.hosts[0].node.snapshot();
        unchanged || snapshot.grants.is_empty() && !snapshot.discovered.iter().any(|found| found.proven)
    }
    QuickCheck::new().tests(2000).quickcheck(property as fn(u8, usize, u8) -> bool);
}

#[test]
fn a_challenge_is_unlike_every_other() {
    let mut world = lobby(1, &Config::default());
    let challenges: Vec<Nonce> = (50..54).map(|seed| Stranger::meets(&mut world, 0, "lobby", seed).challenge).collect();
    assert!(challenges.iter().all(|one| challenges.iter().filter(|other| *other == one).count() == 1));
}
