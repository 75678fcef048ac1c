//! Requests for access: how they are made, how they wait, and what becomes of them.

use std::time::Duration;

use serde_json::{Value, json};
use wopr_p2p_core::access::TrustLevel;
use wopr_p2p_core::discovery::{Connected, DiscoveryConfig, PendingWhat};
use wopr_p2p_core::identity::Identity;
use wopr_p2p_core::keys::Topic;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rng::Rng;
use wopr_p2p_core::wire::discovery::Outgoing;
use wopr_p2p_core::{Command, CommandError, Config, Event, Reply};

use crate::stranger::Stranger;
use crate::world::{grant, inject, sessions};
use crate::{approve, connect, deny, discovered, join, lobby, nothing_is_given, requests, with_gateway};

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
    world.done(1, inject(alice, "public", "may I?")).expect("answered");
    let refused = world.done(1, inject(alice, "main", "and here?"));
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

fn inactive() -> DiscoveryConfig {
    DiscoveryConfig { active: false, ..Default::default() }
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
