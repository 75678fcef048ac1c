//! How many and how long: streams, requests, questions, commands, timeouts, bans.

#[path = "support/original.rs"]
mod original;
#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use original::{Channel, Original};
use wopr_p2p_core::event::RejectReason;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::{AskFailed, Command, CommandError, Config, Event, Input, Reply};
use world::{World, grant, inject, log, session};

const A: usize = 0;
const B: usize = 1;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A node with this config that granted an original the session `main`.
fn with_peer(peer: &Original, config: &Config) -> World {
    let mut world = World::with_config(1, config);
    assert!(world.done(A, grant(peer.key(), &["main"], "inject")).is_ok());
    world
}

#[test]
fn the_oldest_stranger_makes_room_for_the_newest_and_a_peer_stays() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer, &Config { max_stranger_streams: 3, ..Config::default() });
    let mut known = Channel::dial(&mut world, A, &peer, 7);
    let strangers: Vec<_> = (0..5)
        .map(|number| {
            world.sleep(Duration::from_millis(1));
            world.open_raw(A, 100 + number)
        })
        .collect();
    let open: Vec<_> = strangers.iter().map(|stream| !world.is_closed(A, *stream)).collect();
    assert_eq!(open, [false, false, true, true, true]);
    let line = known.log(&world, "main", "still here");
    assert_eq!(known.send(&mut world, &line)[0]["type"], "ack");
}

#[test]
fn strangers_never_take_a_peers_stream_however_many_they_are() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer, &Config { max_streams: 4, max_stranger_streams: 4, ..Config::default() });
    let mut known = Channel::dial(&mut world, A, &peer, 7);
    for number in 0..50 {
        world.open_raw(A, 100 + number);
    }
    let line = known.log(&world, "main", "still here");
    assert_eq!(known.send(&mut world, &line)[0]["type"], "ack");
    // And a peer that comes when all is full gets in, too.
    let mut again = Channel::dial(&mut world, A, &peer, 8);
    let line = again.log(&world, "main", "me too");
    assert_eq!(again.send(&mut world, &line)[0]["type"], "ack");
}

#[test]
fn one_transport_key_holds_only_so_many_streams() {
    let mut world = World::with_config(1, &Config { max_streams_per_remote: 2, ..Config::default() });
    let streams: Vec<_> = (0..3).map(|_| world.open_raw(A, 66)).collect();
    let open: Vec<_> = streams.iter().map(|stream| !world.is_closed(A, *stream)).collect();
    assert_eq!(open, [true, true, false]);
    assert!(!{
        let other = world.open_raw(A, 67);
        world.is_closed(A, other)
    });
}

#[test]
fn one_peer_holds_only_so_many_streams_whatever_its_transport_keys() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer, &Config { max_streams_per_remote: 2, ..Config::default() });
    let open: Vec<_> = (0..4)
        .map(|number| {
            world.sleep(Duration::from_millis(1));
            Channel::dial(&mut world, A, &peer, 100 + number)
        })
        .collect();
    let open: Vec<_> = open.iter().map(|channel| !channel.is_closed(&world)).collect();
    assert_eq!(open, [false, false, true, true]);
}

#[test]
fn a_stream_without_a_handshake_is_closed_in_time() {
    let mut world = World::new(1);
    let stream = world.open_raw(A, 66);
    world.sleep(Duration::from_millis(9_999));
    assert!(!world.is_closed(A, stream));
    // A byte now and then does not prolong it.
    world.send_raw(A, stream, b"{");
    world.sleep(Duration::from_millis(1));
    assert!(world.is_closed(A, stream));
}

#[test]
fn an_idle_stream_is_closed_by_its_dialler_before_the_listener_may() {
    let mut world = World::granted();
    let a = world.key(A);
    assert_eq!(world.done(B, log(a, "main", "one")), Ok(Reply::Logged));
    world.sleep(secs(44));
    assert!(world.hosts[A].closed.is_empty() && world.hosts[B].closed.is_empty());
    world.sleep(secs(2));
    assert!(world.hosts[A].closed.is_empty() && !world.hosts[B].closed.is_empty());
    assert!(world.hosts[A].node.snapshot().streams.is_empty() && world.hosts[B].node.snapshot().streams.is_empty());
}

#[test]
fn a_listener_closes_an_idle_stream_in_time() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer, &Config::default());
    let channel = Channel::dial(&mut world, A, &peer, 100);
    world.sleep(secs(59));
    assert!(!channel.is_closed(&world));
    world.sleep(secs(2));
    assert!(channel.is_closed(&world));
}

#[test]
fn a_stream_is_not_idle_while_the_ai_thinks() {
    let mut world = World::granted();
    let a = world.key(A);
    world.hosts[A].answers = false;
    let id = world.command(B, inject(a, "main", "a long one?"));
    world.sleep(secs(250));
    let (ask, _) = world.hosts[A].asked.pop().expect("the question");
    world.input(A, Input::Answered { id: ask, result: Ok("yes".to_owned()) });
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Ok(Reply::Answer("yes".to_owned()))));
}

#[test]
fn an_ai_that_fails_is_a_refusal_and_no_answer() {
    for failure in [AskFailed::NoHandler, AskFailed::TimedOut, AskFailed::Died, AskFailed::AnswerTooLong] {
        let mut world = World::granted();
        let a = world.key(A);
        world.hosts[A].answers = false;
        let id = world.command(B, inject(a, "main", "?"));
        let (ask, _) = world.hosts[A].asked.pop().expect("the question");
        world.input(A, Input::Answered { id: ask, result: Err(failure) });
        let result = world.hosts[B].finished.remove(&id);
        assert!(matches!(result, Some(Err(CommandError::Rejected { .. }))), "{failure:?}: {result:?}");
        assert_eq!(world.hosts[A].texts("main"), ["?"]);
    }
}

#[test]
fn a_session_that_was_asked_too_often_today_is_rate_limited_and_nobody_is_banned() {
    let mut world = World::granted();
    let (a, b) = (world.key(A), world.key(B));
    world.hosts[A].answers = false;
    let id = world.command(B, inject(a, "main", "?"));
    let (ask, _) = world.hosts[A].asked.pop().expect("the question");
    world.input(A, Input::Answered { id: ask, result: Err(AskFailed::LimitReached) });
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Err(CommandError::RateLimited(a))));
    assert!(world.hosts[A].node.standing(&b, world.now).iter().all(|standing| standing.banned.is_none()));
}

#[test]
fn ephemeral_keys_are_not_used_when_their_time_is_over() {
    let mut world = World::granted();
    let a = world.key(A);
    let handshakes = |world: &World| {
        let events = world.hosts[B].events.iter();
        events.filter(|event| matches!(event, Event::PeerConnected { .. })).count()
    };
    // A message every forty seconds keeps the stream; the hourly limit is 100.
    for number in 0..81 {
        assert_eq!(world.done(B, log(a, "main", &number.to_string())), Ok(Reply::Logged));
        world.sleep(secs(40));
    }
    assert_eq!(handshakes(&world), 1);
    // Nearly an hour: the listener would take it for six minutes yet, if it came at once.
    assert_eq!(world.done(B, log(a, "main", "later")), Ok(Reply::Logged));
    assert_eq!(handshakes(&world), 2);
}

#[test]
fn a_listener_takes_nothing_under_keys_whose_time_is_over() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer, &Config { ephemeral_ttl: secs(30), ..Config::default() });
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    world.sleep(secs(30));
    let line = channel.log(&world, "main", "too late");
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "reject");
    assert!(channel.is_closed(&world) && world.hosts[A].sessions.is_empty());
    // It is not held against the peer.
    for _ in 0..3 {
        let mut channel = Channel::dial(&mut world, A, &peer, 7);
        world.sleep(secs(30));
        let line = channel.log(&world, "main", "too late");
        channel.send(&mut world, &line);
    }
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let line = channel.log(&world, "main", "in time");
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack");
}

#[test]
fn a_ban_outlives_a_restart() {
    let mut world = World::granted();
    let a = world.key(A);
    for number in 0..10 {
        assert_eq!(world.done(B, log(a, "main", &number.to_string())), Ok(Reply::Logged));
    }
    assert_eq!(world.done(B, log(a, "main", "over")), Err(CommandError::RateLimited(a)));
    world.restart(A, Config::default());
    assert_eq!(world.done(B, log(a, "main", "over")), Err(CommandError::RateLimited(a)));
    // An hour after it began.
    world.sleep(secs(3_590));
    assert_eq!(world.done(B, log(a, "main", "over")), Err(CommandError::RateLimited(a)));
    world.sleep(secs(20));
    assert_eq!(world.done(B, log(a, "main", "again")), Ok(Reply::Logged));
}

#[test]
fn counters_outlive_a_restart() {
    let mut world = World::granted();
    let a = world.key(A);
    for number in 0..10 {
        assert_eq!(world.done(B, log(a, "main", &number.to_string())), Ok(Reply::Logged));
    }
    // They are stored every ten seconds.
    world.sleep(secs(11));
    world.restart(A, Config::default());
    assert_eq!(world.done(B, log(a, "main", "over")), Err(CommandError::RateLimited(a)));
}

#[test]
fn a_banned_transport_is_turned_away_after_a_restart_too() {
    let mut world = World::new(1);
    for _ in 0..4 {
        let stream = world.open_raw(A, 66);
        world.send_raw(A, stream, b"nonsense\n");
    }
    for restarted in [false, true] {
        if restarted {
            world.restart(A, Config::default());
        }
        let stream = world.open_raw(A, 66);
        assert!(world.is_closed(A, stream), "restarted: {restarted}");
        let turned_away =
            Event::PeerRejected { remote: wopr_p2p_core::TransportKey([66; 32]), reason: RejectReason::RateLimited };
        assert_eq!(world.hosts[A].events.last(), Some(&turned_away));
    }
}

#[test]
fn questions_with_the_ai_are_bounded() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer, &Config { max_asks: 2, ..Config::default() });
    world.hosts[A].answers = false;
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    for number in 0..3 {
        let line = channel.inject(&world, "main", "?", &number.to_string());
        let answers = channel.send(&mut world, &line);
        assert_eq!(answers.len(), usize::from(number == 2));
        assert!(answers.iter().all(|answer| answer["reason"] == "too many requests at once"));
    }
    assert_eq!(world.hosts[A].asked.len(), 2);
}

#[test]
fn questions_with_the_ai_are_bounded_while_they_are_being_stored() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer, &Config { max_asks: 2, ..Config::default() });
    world.hosts[A].answers = false;
    world.hosts[A].holds_writes = true;
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    for number in 0..5 {
        let line = channel.inject(&world, "main", "?", &number.to_string());
        channel.send(&mut world, &line);
    }
    world.let_all_through(A);
    assert_eq!(world.hosts[A].asked.len(), 2, "more questions than allowed are with the AI");
}

#[test]
fn requests_of_one_stream_are_bounded() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer, &Config { max_requests_per_stream: 3, ..Config::default() });
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    world.hosts[A].holds_writes = true;
    let lines: String = (0..5).map(|number| channel.log(&world, "main", &number.to_string())).collect();
    let reasons: Vec<_> = channel.send(&mut world, &lines).iter().map(|answer| answer["reason"].clone()).collect();
    assert_eq!(reasons, ["too many requests at once"; 2]);
    world.let_all_through(A);
    assert_eq!(world.hosts[A].texts("main"), ["0", "1", "2"]);
    // There is room again.
    let line = channel.log(&world, "main", "5");
    assert_eq!(channel.received(&mut world).len(), 3);
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack");
}

#[test]
fn commands_under_way_are_bounded() {
    let mut world = World::with_config(1, &Config { max_commands: 3, ..Config::default() });
    let nobody = Original::made(40).key();
    let ids: Vec<_> = (0..4).map(|_| world.command(A, log(nobody, "main", "?"))).collect();
    let results: Vec<_> = ids.iter().map(|id| world.hosts[A].finished.get(id).cloned()).collect();
    assert_eq!(results, [None, None, None, Some(Err(CommandError::LimitReached("max_commands")))]);
    // Each ends, and makes room.
    world.sleep(secs(10));
    assert!(ids.iter().all(|id| world.hosts[A].finished.contains_key(id)));
    assert!(!matches!(world.done(A, log(nobody, "main", "?")), Err(CommandError::LimitReached(_))));
}

#[test]
fn a_cancelled_command_ends_at_once_and_stops_the_ai() {
    let mut world = World::granted();
    let a = world.key(A);
    world.hosts[A].answers = false;
    let id = world.command(B, inject(a, "main", "?"));
    world.input(B, Input::CancelCommand { id });
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Err(CommandError::Cancelled)));
    assert_eq!(world.hosts[A].cancelled.len(), 1);
    // While looking for the peer, too.
    world.hosts[A].online = false;
    let id = world.command(B, log(Original::made(40).key(), "main", "?"));
    world.input(B, Input::CancelCommand { id });
    assert_eq!(world.hosts[B].finished.remove(&id), Some(Err(CommandError::Cancelled)));
}

#[test]
fn a_text_that_is_too_long_is_refused_before_anything_is_sent() {
    let mut world = World::granted();
    let a = world.key(A);
    let fits = "x".repeat(786_404);
    assert_eq!(world.done(B, log(a, "main", &fits)), Ok(Reply::Logged));
    let too_long =
        Command::Log { peer: PeerRef::Key(a), session: session("main"), text: fits + "x", timeout: secs(10) };
    let refused = CommandError::PayloadTooLarge { size: 1_048_580, limit: 1_048_576 };
    assert_eq!(world.done(B, too_long), Err(refused));
}

#[test]
fn a_long_text_of_a_peer_without_a_grant_is_unauthorized() {
    let mut world = World::new(2);
    let a = world.key(A);
    let long = "x".repeat(200_000);
    assert_eq!(world.done(B, log(a, "main", &long)), Err(CommandError::Unauthorized(a)));
    assert_eq!(world.done(B, inject(a, "main", &long)), Err(CommandError::Unauthorized(a)));
}

#[test]
fn a_text_that_is_too_long_for_the_other_side_is_refused_in_its_words() {
    for text in [100_000, 300_000] {
        let mut world = World::with_config(1, &Config { max_payload: 65_536, ..Config::default() });
        world.add(Config::default(), wopr_p2p_core::Stored::default());
        let (a, b) = (world.key(A), world.key(B));
        assert!(world.done(A, grant(b, &["main"], "inject")).is_ok());
        let refused = world.done(B, log(a, "main", &"x".repeat(text)));
        let Err(CommandError::Rejected { reason, .. }) = refused else { panic!("{refused:?}") };
        assert!(reason.starts_with("payload too large: "), "{reason}");
    }
}

#[test]
fn an_answer_that_is_too_long_to_be_sent_is_a_refusal() {
    let mut world = World::granted();
    let a = world.key(A);
    world.hosts[A].answers = false;
    let id = world.command(B, inject(a, "main", "?"));
    let (ask, _) = world.hosts[A].asked.pop().expect("the question");
    world.input(A, Input::Answered { id: ask, result: Ok("x".repeat(1 << 20)) });
    let result = world.hosts[B].finished.remove(&id);
    assert!(matches!(result, Some(Err(CommandError::Rejected { .. }))), "{result:?}");
}

#[test]
fn a_wall_clock_that_jumps_ends_no_timeout_and_opens_no_window() {
    let peer = Original::made(40);
    let mut world = with_peer(&peer, &Config::default());
    let mut channel = Channel::dial(&mut world, A, &peer, 7);
    let early = channel.log(&world, "main", "before the jump");
    let wall = world.now.wall;
    world.now.wall = wall + secs(3600);
    assert!(channel.send(&mut world, &early).iter().all(|answer| answer["type"] == "reject"));
    world.now.wall = wall;
    // The jump and its end have closed no other stream and left nothing waiting.
    let mut channel = Channel::dial(&mut world, A, &peer, 8);
    world.now.wall = wall + secs(3600);
    world.sleep(secs(1));
    world.now.wall = wall + secs(1);
    let line = channel.log(&world, "main", "after it");
    assert_eq!(channel.send(&mut world, &line)[0]["type"], "ack");
}
