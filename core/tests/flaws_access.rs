//! Who gets in, how far and how long: flaws 6 to 11, 14 and 25 of the original.

#[path = "support/original.rs"]
mod original;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use original::{Channel, Original};
use serde_json::Value;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::replay::ReplayConfig;
use wopr_p2p_core::{Command, CommandError, Config, Event, Reply};
use world::{World, grant, inject, invite, log, session};

const A: usize = 0;
const B: usize = 1;
const DAY_MS: u64 = 86_400_000;

fn token(world: &mut World, names: &[&str]) -> String {
    let b = world.key(B);
    let Ok(Reply::InviteCreated { token, .. }) = world.done(A, invite(b, names)) else { panic!("no invite") };
    token
}

fn claim(token: &str) -> Command {
    Command::Claim { token: token.to_owned(), timeout: Duration::from_secs(10) }
}

fn revoke(peer: PeerRef) -> Command {
    Command::RevokePeer { peer, session: None }
}

fn reason(error: Result<Reply, CommandError>) -> String {
    match error {
        Err(CommandError::Rejected { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn flaw_06_message_is_not_enough_to_ask_the_ai() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["main"], "message")).is_ok());
    assert_eq!(world.done(B, log(a, "main", "hello")), Ok(Reply::Logged));
    assert_eq!(world.done(B, inject(a, "main", "hello?")), Err(CommandError::Unauthorized(a)));
    assert!(world.hosts[A].asked.is_empty());
    assert_eq!(world.hosts[A].texts("main"), ["hello"]);
}

#[test]
fn flaw_06_a_refinement_asks_but_does_not_log_and_travels_to_the_handler() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["main"], "inject.tools")).is_ok());
    world.hosts[A].answers = false;
    world.command(B, inject(a, "main", "hello?"));
    let (_, question) = &world.hosts[A].asked[0];
    let words: Vec<&str> = question.capabilities.iter().map(|capability| capability.as_str()).collect();
    assert_eq!(words, ["inject.tools"]);
    assert_eq!(world.done(B, log(a, "main", "hello")), Err(CommandError::Unauthorized(a)));
}

#[test]
fn flaw_07_a_token_is_not_claimed_twice() {
    let mut world = World::new(2);
    let token = token(&mut world, &["main"]);
    assert!(world.done(B, claim(&token)).is_ok());
    assert_eq!(reason(world.done(B, claim(&token))), "invalid token: already claimed");
    assert_eq!(world.hosts[A].node.snapshot().grants.len(), 1);
    // Not after a restart of the issuer, either.
    world.restart(A, Config::default());
    assert_eq!(reason(world.done(B, claim(&token))), "invalid token: already claimed");
}

#[test]
fn flaw_07_a_claim_whose_answer_was_lost_gave_access_once_and_claiming_again_gives_no_more() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    let token = token(&mut world, &["main"]);
    // The connection stands, so that the next thing that A says is the answer.
    world.done(B, log(a, "main", "not yet")).unwrap_err();
    world.lose_next(A, 1);
    assert_eq!(world.done(B, claim(&token)), Err(CommandError::NoAnswer(a)));
    assert_eq!(world.done(B, log(a, "main", "it stands")), Ok(Reply::Logged));
    assert_eq!(reason(world.done(B, claim(&token))), "invalid token: already claimed");
    assert_eq!(world.hosts[A].node.snapshot().grants.len(), 1);
    assert!(world.done(A, revoke(PeerRef::Key(b))).is_ok());
    assert_eq!(reason(world.done(B, claim(&token))), "invalid token: already claimed");
    assert_eq!(world.done(B, log(a, "main", "and now?")), Err(CommandError::Unauthorized(a)));
}

#[test]
fn flaw_07_a_revoked_peer_does_not_get_in_again_by_its_token() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    let (used, open) = (token(&mut world, &["main"]), token(&mut world, &["other"]));
    assert!(world.done(B, claim(&used)).is_ok());
    let revoked = world.done(A, revoke(PeerRef::Key(b)));
    assert!(matches!(revoked, Ok(Reply::Revoked { ref invites, .. }) if invites.len() == 1));
    assert_eq!(reason(world.done(B, claim(&used))), "invalid token: already claimed");
    assert_eq!(reason(world.done(B, claim(&open))), "invalid token: revoked");
    assert_eq!(world.done(B, log(a, "main", "back")), Err(CommandError::Unauthorized(a)));
    assert!(world.hosts[A].node.snapshot().grants.is_empty());
}

#[test]
fn flaw_07_an_invite_for_a_peer_that_was_revoked_before_it_was_known_is_void() {
    let mut world = World::new(2);
    let b = world.key(B);
    let token = token(&mut world, &["main"]);
    // The subject has never been heard of: only its key is known, from the invite.
    let revoked = world.done(A, revoke(PeerRef::Key(b)));
    assert!(matches!(revoked, Ok(Reply::Revoked { ref invites, .. }) if invites.len() == 1), "{revoked:?}");
    assert_eq!(reason(world.done(B, claim(&token))), "invalid token: revoked");
}

#[test]
fn flaw_08_narrowing_a_grant_narrows_it() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["one", "two"], "inject")).is_ok());
    let narrowed = world.done(A, Command::RevokePeer { peer: PeerRef::Key(b), session: Some(session("two")) });
    assert!(matches!(narrowed, Ok(Reply::Revoked { ref narrowed, .. }) if narrowed.len() == 1));
    for restarted in [false, true] {
        if restarted {
            world.restart(A, Config::default());
        }
        assert_eq!(world.done(B, log(a, "one", "in")), Ok(Reply::Logged));
        assert_eq!(world.done(B, log(a, "two", "out")), Err(CommandError::Unauthorized(a)));
    }
}

#[test]
fn flaw_08_a_session_is_taken_out_of_a_grant_on_all_of_them() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["*"], "inject")).is_ok());
    assert!(world.done(A, Command::RevokePeer { peer: PeerRef::Key(b), session: Some(session("diary")) }).is_ok());
    assert_eq!(world.done(B, log(a, "diary", "out")), Err(CommandError::Unauthorized(a)));
    assert_eq!(world.done(B, log(a, "main", "in")), Ok(Reply::Logged));
}

#[test]
fn flaw_08_a_narrower_grant_widens_no_other() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["one"], "inject")).is_ok());
    assert!(world.done(A, grant(b, &["two"], "message")).is_ok());
    assert_eq!(world.done(B, inject(a, "two", "?")), Err(CommandError::Unauthorized(a)));
    assert!(world.done(B, inject(a, "one", "?")).is_ok());
}

#[test]
fn flaw_08_a_grant_ends_when_its_time_is_over() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    let hour = Duration::from_secs(3600);
    let Command::Grant { peer, sessions, capabilities, trust, .. } = grant(b, &["main"], "inject") else { panic!() };
    let limited = Command::Grant { peer, sessions, capabilities, trust, expires_in: Some(hour) };
    assert!(world.done(A, limited).is_ok());
    world.sleep(hour - Duration::from_secs(1));
    assert_eq!(world.done(B, log(a, "main", "in time")), Ok(Reply::Logged));
    world.sleep(Duration::from_secs(1));
    assert_eq!(world.done(B, log(a, "main", "too late")), Err(CommandError::Unauthorized(a)));
    world.sleep(Duration::from_secs(61));
    assert!(world.hosts[A].node.snapshot().grants.is_empty(), "an ended grant is still listed");
}

#[test]
fn flaw_09_a_removed_peer_has_no_grant_left() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["one"], "inject")).is_ok());
    assert!(world.done(A, grant(b, &["*"], "message")).is_ok());
    assert_eq!(world.done(B, log(a, "one", "in")), Ok(Reply::Logged));
    assert!(world.done(A, revoke(PeerRef::Key(b))).is_ok());
    assert!(world.hosts[A].node.snapshot().grants.is_empty());
    assert_eq!(world.done(B, log(a, "one", "out")), Err(CommandError::Unauthorized(a)));
    world.restart(A, Config::default());
    assert_eq!(world.done(B, log(a, "one", "out")), Err(CommandError::Unauthorized(a)));
}

#[test]
fn flaw_10_a_peer_is_revoked_by_whatever_names_it() {
    for how in 0..4 {
        let mut world = World::new(2);
        let (a, b) = (world.key(A), world.key(B));
        let Ok(Reply::Granted(first)) = world.done(A, grant(b, &["one"], "inject")) else { panic!("no grant") };
        assert!(world.done(A, Command::NamePeer { peer: PeerRef::Key(b), name: "bob".into() }).is_ok());
        let peer = match how {
            0 => b.to_string().parse().expect("a full key"),
            1 => b.short_id().parse().expect("a short id"),
            2 => "bob".parse().expect("a name"),
            _ => {
                assert!(world.done(A, Command::RevokeGrant { grant: first.id.to_string() }).is_ok());
                PeerRef::Key(b)
            }
        };
        if how < 3 {
            assert!(world.done(A, grant(b, &["two"], "inject")).is_ok());
            let revoked = world.done(A, revoke(peer));
            assert!(
                matches!(revoked, Ok(Reply::Revoked { ref grants, .. }) if grants.len() == 2),
                "{how}: {revoked:?}"
            );
        }
        assert_eq!(world.done(B, log(a, "one", "out")), Err(CommandError::Unauthorized(a)), "{how}");
    }
}

/// A node that granted an original the session `main`.
fn with_peer(peer: &Original) -> World {
    let mut world = World::new(1);
    assert!(world.done(A, grant(peer.key(), &["main"], "inject")).is_ok());
    world
}

/// Tells a node of a rotation, under the handshake of `teller`.
fn tell(world: &mut World, teller: &Original, old: &Original, statement: &str) -> Vec<Value> {
    let mut channel = Channel::dial(world, A, teller, 7);
    let line = channel.rotation(world, old, statement);
    channel.send(world, &line)
}

fn peers(world: &World) -> Vec<String> {
    world.hosts[A].node.snapshot().peers.iter().map(|peer| peer.key.to_string()).collect()
}

#[test]
fn flaw_11_an_honest_rotation_moves_the_grants() {
    let (old, new) = (Original::made(40), Original::made(41));
    let mut world = with_peer(&old);
    let statement = old.statement(&new, "scheduled", world.now.wall.as_millis(), DAY_MS);
    assert_eq!(tell(&mut world, &new, &old, &statement)[0]["type"], "ack");
    assert_eq!(peers(&world), [new.public()]);
    let mut channel = Channel::dial(&mut world, A, &new, 7);
    let line = channel.log(&world, "main", "new key");
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack");
}

#[test]
fn flaw_11_a_rotation_needs_a_handshake_under_the_new_key() {
    let (old, new, mallory) = (Original::made(40), Original::made(41), Original::made(66));
    for teller in [&old, &mallory] {
        let mut world = with_peer(&old);
        let statement = old.statement(&new, "scheduled", world.now.wall.as_millis(), DAY_MS);
        let answers = tell(&mut world, teller, &old, &statement);
        assert_eq!(answers[0]["reason"], "invalid key rotation");
        assert_eq!(peers(&world), [old.public()]);
    }
}

#[test]
fn flaw_11_between_nodes_of_ours_the_new_key_signs_the_statement_too() {
    // B's notice to A, with its proof taken out: the rest is as B sent it.
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(A, grant(b, &["main"], "inject")).is_ok());
    assert!(world.done(B, grant(a, &["main"], "inject")).is_ok());
    world.hosts[A].online = false;
    world.listen_raw(a.topic(), 66);
    let reason = wopr_p2p_core::rotation::RotationReason::Scheduled;
    world.command(B, Command::RotateKeys { reason, notify_all: false, timeout: Duration::from_secs(5) });
    let near = world.dialled_raw(B)[0];
    let hello = world.taken(B, near).remove(0);
    let far = world.open_raw(A, 66);
    let ack = world.send_raw(A, far, &hello).remove(0);
    world.input(B, wopr_p2p_core::Input::Received { stream: near, bytes: ack });
    let notice = String::from_utf8(world.taken(B, near).remove(0)).expect("UTF-8");
    let (before, rest) = notice.split_once(",\"proof\":\"").expect("a proof");
    let (_, after) = rest.split_once('"').expect("its end");
    let answers = world.send_raw(A, far, format!("{before}{after}").as_bytes());
    assert_eq!(original::parse(&answers[0])["reason"], "invalid key rotation");
    assert_eq!(peers(&world), [b.to_string()]);
    assert_eq!(original::parse(&world.send_raw(A, far, notice.as_bytes())[0])["type"], "ack");
}

#[test]
fn flaw_11_nobody_takes_another_peers_key() {
    let (mallory, victim) = (Original::made(66), Original::made(40));
    let mut world = with_peer(&victim);
    assert!(world.done(A, grant(mallory.key(), &["gateway"], "message")).is_ok());
    // Even the victim itself cannot join the two: one key has one owner.
    let statement = mallory.statement(&victim, "scheduled", world.now.wall.as_millis(), DAY_MS);
    assert_eq!(tell(&mut world, &victim, &mallory, &statement)[0]["reason"], "invalid key rotation");
    assert_eq!(peers(&world).len(), 2);
    // Nor does anybody take the node's own key.
    let us = world.key(A);
    assert!(!peers(&world).contains(&us.to_string()));
}

#[test]
fn flaw_11_a_statement_of_another_key_than_the_old_one_moves_nothing() {
    let (old, mallory) = (Original::made(40), Original::made(66));
    let mut world = with_peer(&old);
    let statement = old.statement(&mallory, "scheduled", world.now.wall.as_millis(), DAY_MS);
    // The same words, signed by the thief.
    let (text, _) = statement.rsplit_once(",\"sig\"").expect("a signature");
    let forged = mallory.sign(&format!("{text}}}"));
    assert_eq!(tell(&mut world, &mallory, &old, forged.trim_end())[0]["reason"], "invalid key rotation");
    assert_eq!(peers(&world), [old.public()]);
}

#[test]
fn flaw_11_a_second_successor_is_refused_and_reported() {
    let (old, new, thief) = (Original::made(40), Original::made(41), Original::made(66));
    let mut world = with_peer(&old);
    let now = world.now.wall.as_millis();
    assert_eq!(tell(&mut world, &new, &old, &old.statement(&new, "compromise", now, DAY_MS))[0]["type"], "ack");
    let stolen = old.statement(&thief, "scheduled", now, DAY_MS);
    assert_eq!(tell(&mut world, &thief, &old, &stolen)[0]["reason"], "invalid key rotation");
    let reported = |event: &Event| {
        matches!(event, Event::RotationConflict { old: of, known, refused }
            if (*of, *known, *refused) == (old.key(), new.key(), thief.key()))
    };
    assert!(world.hosts[A].events.iter().any(reported));
    assert_eq!(peers(&world), [new.public()]);
}

#[test]
fn flaw_11_the_grace_of_an_old_key_is_bounded_by_us() {
    let (old, new) = (Original::made(40), Original::made(41));
    let mut world = with_peer(&old);
    let statement = old.statement(&new, "compromise", world.now.wall.as_millis(), DAY_MS * 365 * 100);
    assert_eq!(tell(&mut world, &new, &old, &statement)[0]["type"], "ack");
    let try_old = |world: &mut World| {
        let mut channel = Channel::dial(world, A, &old, 7);
        let line = channel.log(world, "main", "old key");
        channel.send(world, &line)[0]["type"].clone()
    };
    world.sleep(Duration::from_secs(3600 - 2));
    assert_eq!(try_old(&mut world), "ack");
    world.sleep(Duration::from_secs(2));
    assert_eq!(try_old(&mut world), "reject");
}

#[test]
fn flaw_11_a_rotation_from_the_future_is_refused() {
    let (old, new) = (Original::made(40), Original::made(41));
    let mut world = with_peer(&old);
    let later = world.now.wall.as_millis() + 301_000;
    assert_eq!(tell(&mut world, &new, &old, &old.statement(&new, "scheduled", later, DAY_MS))[0]["type"], "reject");
    assert_eq!(peers(&world), [old.public()]);
}

#[test]
fn flaw_11_a_revoked_peer_does_not_rotate() {
    let (old, new) = (Original::made(40), Original::made(41));
    let mut world = with_peer(&old);
    assert!(world.done(A, revoke(PeerRef::Key(old.key()))).is_ok());
    let statement = old.statement(&new, "scheduled", world.now.wall.as_millis(), DAY_MS);
    assert_eq!(tell(&mut world, &new, &old, &statement)[0]["type"], "reject");
}

#[test]
fn flaw_11_rotations_are_counted() {
    let (old, new) = (Original::made(40), Original::made(41));
    let mut world = with_peer(&old);
    let mut channel = Channel::dial(&mut world, A, &new, 7);
    let mut reasons = Vec::new();
    for number in 0..7 {
        let statement = new.statement(&old, "scheduled", world.now.wall.as_millis() - number, DAY_MS);
        let line = channel.rotation(&world, &new, &statement);
        reasons.extend(channel.send(&mut world, &line).iter().map(|answer| answer["reason"].clone()));
    }
    assert_eq!(reasons[..5], ["invalid key rotation"; 5].map(Value::from));
    assert_eq!(reasons[5], "rate limited");
}

/// The bytes of a protocol 1 log, which is bound to no handshake: sent once, they can be sent again.
fn logged_in_protocol_1(world: &mut World, peer: &Original, text: &str) -> String {
    let stream = world.open_raw(A, 7);
    let mut channel = Channel::hello(world, A, stream, peer, &[1]);
    let line = channel.log(world, "main", text);
    assert_eq!(channel.send(world, &line)[0]["type"], "ack");
    world.close_raw(A, stream);
    line
}

fn replay(world: &mut World, peer: &Original, line: &str) -> Vec<Value> {
    let stream = world.open_raw(A, 7);
    Channel::hello(world, A, stream, peer, &[1]).send(world, line)
}

#[test]
fn flaw_14_a_replay_is_refused_after_a_restart_too() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer);
    let line = logged_in_protocol_1(&mut world, &peer, "once");
    assert!(replay(&mut world, &peer, &line).is_empty());
    world.restart(A, Config::default());
    assert!(replay(&mut world, &peer, &line).is_empty());
    assert_eq!(world.hosts[A].texts("main"), ["once"]);
}

#[test]
fn flaw_14_filling_the_table_lets_no_replay_in() {
    let (peer, flooder) = (Original::made(40), Original::made(41));
    let mut config = Config { replay: ReplayConfig { max_nonces: 8, ..ReplayConfig::default() }, ..Config::default() };
    (config.rates.logs.per_minute, config.rates.logs.per_hour) = (1000, 1000);
    let mut world = World::with_config(1, &config);
    for granted in [&peer, &flooder] {
        assert!(world.done(A, grant(granted.key(), &["main"], "inject")).is_ok());
    }
    let line = logged_in_protocol_1(&mut world, &peer, "once");
    for number in 0..50 {
        world.sleep(Duration::from_millis(1));
        logged_in_protocol_1(&mut world, &flooder, &number.to_string());
    }
    assert!(replay(&mut world, &peer, &line).is_empty());
    world.restart(A, config);
    assert!(replay(&mut world, &peer, &line).is_empty());
    assert_eq!(world.hosts[A].texts("main").iter().filter(|text| **text == "once").count(), 1);
}

#[test]
fn flaw_14_strangers_do_not_fill_the_table() {
    let (peer, config) = (
        Original::made(40),
        Config { replay: ReplayConfig { max_nonces: 4, ..ReplayConfig::default() }, ..Config::default() },
    );
    let mut world = World::with_config(1, &config);
    assert!(world.done(A, grant(peer.key(), &["main"], "inject")).is_ok());
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let early = channel.log(&world, "main", "written before the flood");
    world.sleep(Duration::from_secs(1));
    for stranger in 100..120 {
        let identity = Original::made(stranger);
        let mut flood = Channel::dial(&mut world, A, &identity, stranger);
        let line = flood.log(&world, "main", "flood");
        assert_eq!(flood.send(&mut world, &line)[0]["reason"], "unauthorized");
    }
    // A full table would refuse what is older than its contents.
    assert_eq!(channel.send(&mut world, &early)[0]["type"], "ack");
}

#[test]
fn flaw_14_a_message_without_a_time_is_refused() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer);
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let line = channel.log(&world, "main", "when?");
    let ts = format!(",\"ts\":{}", world.now.wall.as_millis());
    let untimed = peer.sign_again(line.trim_end(), &line.trim_end().replace(&ts, ""));
    assert!(channel.send(&mut world, &format!("{untimed}\n")).is_empty());
    assert!(channel.is_closed(&world) && world.hosts[A].sessions.is_empty());
}

#[test]
fn flaw_14_the_window_has_two_ends() {
    for (offset, kind) in [(-300_001_i64, "reject"), (-300_000, "ack"), (300_000, "ack"), (300_001, "reject")] {
        let peer = Original::made(40);
        let mut world = with_peer(&peer);
        let mut channel = Channel::dial(&mut world, A, &peer, 7);
        let now = world.now;
        world.now.wall = wopr_p2p_core::time::WallTime::from_millis(now.wall.as_millis().saturating_add_signed(offset));
        let line = channel.log(&world, "main", "when?");
        world.now = now;
        assert_eq!(channel.send(&mut world, &line)[0]["type"], kind, "{offset} ms");
    }
}

#[test]
fn flaw_25_an_invite_gives_what_it_says_and_no_more() {
    let mut world = World::new(2);
    let (a, b) = (world.key(A), world.key(B));
    let Command::CreateInvite { subject, sessions, expires_in, .. } = invite(b, &["main"]) else { panic!() };
    let capabilities = vec!["message".parse().expect("a capability")];
    let created = world.done(A, Command::CreateInvite { subject, sessions, capabilities, expires_in });
    let Ok(Reply::InviteCreated { token, .. }) = created else { panic!("{created:?}") };
    assert!(world.done(B, claim(&token)).is_ok());
    assert_eq!(world.done(B, log(a, "main", "in")), Ok(Reply::Logged));
    assert_eq!(world.done(B, inject(a, "main", "out?")), Err(CommandError::Unauthorized(a)));
}

#[test]
fn flaw_25_an_expired_invite_is_refused_by_its_issuer() {
    let peer = Original::made(40);
    let mut world = World::new(1);
    let Ok(Reply::InviteCreated { token, .. }) = world.done(A, invite(peer.key(), &["main"])) else {
        panic!("no invite");
    };
    world.sleep(Duration::from_secs(3601));
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let line = channel.claim(&world, &token);
    assert_eq!(channel.send(&mut world, &line)[0]["reason"], "invalid token: expired");
    assert!(world.hosts[A].node.snapshot().grants.is_empty());
}

#[test]
fn flaw_25_a_token_is_claimed_by_its_subject_only() {
    let (peer, thief) = (Original::made(40), Original::made(66));
    let mut world = World::new(1);
    let Ok(Reply::InviteCreated { token, .. }) = world.done(A, invite(peer.key(), &["main"])) else {
        panic!("no invite");
    };
    let mut channel = Channel::dial(&mut world, A, &thief, 66);
    let line = channel.claim(&world, &token);
    assert_eq!(channel.send(&mut world, &line)[0]["reason"], "token not issued for you");
    assert!(world.hosts[A].node.snapshot().grants.is_empty());
    // The attempt does not spend it.
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let line = channel.claim(&world, &token);
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack");
}
