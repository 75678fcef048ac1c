//! Messages that wait for their peers: delivered once and in order, whatever is lost and whoever crashes.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, CommandError, CommandId, Config, DialEnd, Event, Reply};
use world::{World, grant, log, queue};

const A: usize = 0;
const B: usize = 1;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A world in which B may write into A's sessions.
fn granted() -> World {
    let mut world = World::new(2);
    let b = world.key(B);
    assert!(world.done(A, grant(b, &["*"], "inject")).is_ok());
    world
}

/// The same, with A away.
fn away() -> World {
    let mut world = granted();
    world.hosts[A].online = false;
    world
}

fn queued(world: &mut World, text: &str) -> String {
    let a = world.key(A);
    match world.done(B, queue(a, "main", text)) {
        Ok(Reply::Queued { id, .. }) => id.to_string(),
        other => panic!("{other:?}"),
    }
}

fn waiting(world: &World) -> Vec<String> {
    world.hosts[B].node.snapshot().outbox.iter().map(|waiting| waiting.id.to_string()).collect()
}

fn names(world: &World, host: usize) -> Vec<&'static str> {
    world.hosts[host].events.iter().map(Event::name).collect()
}

fn count(world: &World, host: usize, name: &str) -> usize {
    names(world, host).iter().filter(|other| **other == name).count()
}

#[test]
fn a_message_to_a_peer_that_is_there_is_delivered_at_once_and_leaves_nothing_behind() {
    let mut world = granted();
    let a = world.key(A);
    assert_eq!(world.done(B, queue(a, "main", "hello")), Ok(Reply::Logged));
    assert_eq!(world.hosts[A].texts("main"), ["hello"]);
    assert_eq!(waiting(&world), Vec::<String>::new());
    assert_eq!(count(&world, B, "p2p.outbox.queued"), 0);
}

#[test]
fn messages_to_a_peer_that_is_away_wait_and_arrive_in_order_when_it_is_back() {
    let mut world = away();
    let ids = ["one", "two", "three"].map(|text| queued(&mut world, text));
    assert_eq!(waiting(&world), ids);
    world.hosts[A].online = true;
    world.sleep(Duration::from_secs(7200));
    assert_eq!(world.hosts[A].texts("main"), ["one", "two", "three"]);
    assert_eq!(waiting(&world), Vec::<String>::new());
    assert_eq!(count(&world, B, "p2p.outbox.delivered"), 3);
}

#[test]
fn a_message_that_waits_goes_out_at_once_when_the_peer_is_seen() {
    let mut world = away();
    queued(&mut world, "waits");
    // Long enough for the delays between attempts to have grown to their longest.
    world.sleep(Duration::from_secs(5 * 3600));
    world.hosts[A].online = true;
    let (a, b) = (world.key(A), world.key(B));
    assert!(world.done(B, grant(a, &["main"], "inject")).is_ok());
    assert_eq!(world.done(A, log(b, "main", "I am back")), Ok(Reply::Logged));
    world.sleep(Duration::from_secs(1));
    assert_eq!(world.hosts[A].texts("main"), ["waits"]);
}

#[test]
fn many_messages_in_a_short_absence_do_not_make_the_next_attempt_a_late_one() {
    let mut world = away();
    let texts: Vec<String> = (0..12).map(|number| format!("message {number}")).collect();
    for text in &texts {
        queued(&mut world, text);
        world.sleep(Duration::from_secs(1));
    }
    world.hosts[A].online = true;
    // Each of them was tried at once and failed: only the attempts that were due by themselves count for the delay.
    assert!(until_first_delivery(&mut world) <= Duration::from_secs(75));
    world.sleep(Duration::from_secs(120));
    assert_eq!(world.hosts[A].texts("main"), texts);
}

#[test]
fn a_message_waits_no_longer_after_its_peer_is_back_than_the_longest_delay() {
    let longest = Config::default().outbox.last_retry * 5 / 4;
    for away_for in [10, 100, 1000, 10_000, 100_000].map(Duration::from_secs) {
        let mut world = away();
        queued(&mut world, "waits");
        world.sleep(away_for);
        world.hosts[A].online = true;
        let waited = until_first_delivery(&mut world);
        let most = (away_for * 2 + Duration::from_secs(60)).min(longest + Duration::from_secs(5));
        assert!(waited <= most, "away for {away_for:?}, and then {waited:?}");
    }
}

#[test]
fn a_delivery_makes_the_delays_short_again() {
    let mut world = away();
    queued(&mut world, "first");
    world.sleep(DAY);
    world.hosts[A].online = true;
    world.sleep(Duration::from_secs(1800));
    assert_eq!(world.hosts[A].texts("main"), ["first"]);
    world.hosts[A].online = false;
    world.cut();
    queued(&mut world, "second");
    world.hosts[A].online = true;
    world.sleep(Duration::from_secs(60));
    assert_eq!(world.hosts[A].texts("main"), ["first", "second"]);
}

#[test]
fn an_absence_of_our_own_network_does_not_make_the_next_attempt_a_late_one() {
    let mut world = away();
    world.ends_dials_with(DialEnd::NetworkDown);
    queued(&mut world, "waits");
    world.sleep(DAY);
    world.ends_dials_with(DialEnd::Exhausted);
    world.hosts[A].online = true;
    assert!(until_first_delivery(&mut world) <= Duration::from_secs(40));
}

/// How long it takes until there is a message in A's session.
fn until_first_delivery(world: &mut World) -> Duration {
    let began = world.now.mono;
    while world.hosts[A].texts("main").is_empty() {
        world.sleep(Duration::from_secs(1));
        assert!(world.now.mono.since(began) < DAY, "it never comes");
    }
    world.now.mono.since(began)
}

#[test]
fn a_new_message_goes_behind_those_that_wait() {
    let mut world = away();
    queued(&mut world, "first");
    world.hosts[A].online = true;
    let a = world.key(A);
    assert_eq!(world.done(B, queue(a, "main", "second")), Ok(Reply::Logged));
    assert_eq!(world.hosts[A].texts("main"), ["first", "second"]);
}

#[test]
fn a_restart_keeps_what_waits() {
    let mut world = away();
    queued(&mut world, "one");
    queued(&mut world, "two");
    world.restart(B, Config::default());
    world.hosts[A].online = true;
    world.sleep(Duration::from_secs(7200));
    assert_eq!(world.hosts[A].texts("main"), ["one", "two"]);
}

#[test]
fn a_lost_acknowledgement_leads_to_a_second_one_and_not_to_a_second_delivery() {
    let mut world = granted();
    let a = world.key(A);
    // The message is in A's file; its acknowledgement gets lost with the stream.
    world.hosts[A].holds_writes = true;
    let command = world.command(B, queue(a, "main", "once"));
    assert_eq!(world.let_through(A), "replay.log");
    world.lose_next(A, 1);
    assert_eq!(world.let_through(A), "main");
    world.cut();
    world.let_all_through(A);
    world.sleep(Duration::from_secs(3600));
    assert!(matches!(world.hosts[B].finished.remove(&command), Some(Ok(Reply::Queued { .. }))));
    assert_eq!(world.hosts[A].texts("main"), ["once"]);
    assert_eq!((waiting(&world).len(), count(&world, B, "p2p.outbox.delivered")), (0, 1));
    assert_eq!(count(&world, A, "p2p.message.delivered"), 1, "the owner hears of it once");
}

/// Crashes the receiver or the sender after every number of writes of either, and looks at the end.
#[test]
fn a_crash_of_either_side_at_any_write_delivers_every_message_once_and_in_order() {
    let mut crashes = 0;
    for victim in [A, B] {
        for writes in 0.. {
            let Some((confirmed, texts)) = with_a_crash(victim, writes) else {
                break;
            };
            crashes += 1;
            // Only what the sender had not stored yet, and so not confirmed to its owner, is lost with it.
            assert_eq!(texts, TEXTS[..texts.len()], "host {victim} after {writes} writes");
            assert!(texts.len() >= confirmed, "host {victim} after {writes} writes: {texts:?} of {confirmed}");
            assert!(victim == B || texts.len() == 3, "host {victim} after {writes} writes: {texts:?}");
        }
    }
    assert!(crashes > 12, "{crashes}");
}

const TEXTS: [&str; 3] = ["one", "two", "three"];

/// Sends three messages, the victim crashing once it has made this many writes. How many commands were told that all is
/// well, and what was delivered; `None` if it never made so many writes.
fn with_a_crash(victim: usize, writes: usize) -> Option<(usize, Vec<String>)> {
    let mut world = granted();
    let a = world.key(A);
    world.hosts[victim].holds_writes = true;
    let commands: Vec<CommandId> = TEXTS.iter().map(|text| world.command(B, queue(a, "main", text))).collect();
    for _ in 0..writes {
        if world.hosts[victim].held.is_empty() {
            return None;
        }
        world.let_through(victim);
    }
    world.hosts[victim].holds_writes = false;
    world.restart(victim, Config::default());
    world.sleep(Duration::from_secs(3 * 3600));
    let confirmed = commands.iter().filter(|id| matches!(world.hosts[B].finished.get(id), Some(Ok(_)))).count();
    Some((confirmed, world.hosts[A].texts("main").into_iter().map(str::to_owned).collect()))
}

#[test]
fn a_crash_between_the_file_and_the_acknowledgement_is_no_second_delivery() {
    let mut world = granted();
    let a = world.key(A);
    world.hosts[A].holds_writes = true;
    let command = world.command(B, queue(a, "main", "once"));
    world.let_through(A);
    world.lose_next(A, 1);
    assert_eq!(world.let_through(A), "main");
    world.hosts[A].holds_writes = false;
    world.restart(A, Config::default());
    world.sleep(Duration::from_secs(3600));
    assert!(world.hosts[B].finished.contains_key(&command));
    assert_eq!((world.hosts[A].texts("main"), waiting(&world).len()), (vec!["once"], 0));
}

#[test]
fn a_repetition_after_both_rotated_their_keys_is_still_one() {
    let mut world = granted();
    let a = world.key(A);
    // Each knows the other, and so hears of its new key.
    assert!(world.done(B, grant(a, &["main"], "inject")).is_ok());
    world.hosts[A].holds_writes = true;
    world.command(B, queue(a, "main", "once"));
    world.let_through(A);
    world.lose_next(A, 1);
    world.let_through(A);
    world.cut();
    world.let_all_through(A);
    for host in [B, A] {
        let rotate = Command::RotateKeys {
            reason: RotationReason::Scheduled,
            notify_all: true,
            timeout: Duration::from_secs(9),
        };
        assert!(world.done(host, rotate).is_ok());
    }
    world.restart(A, Config::default());
    world.sleep(Duration::from_secs(2 * 3600));
    assert_eq!((world.hosts[A].texts("main"), waiting(&world).len()), (vec!["once"], 0));
    assert_eq!((count(&world, B, "p2p.outbox.delivered"), count(&world, B, "p2p.outbox.failed")), (1, 0));
}

#[test]
fn the_same_text_queued_twice_is_two_messages() {
    let mut world = away();
    queued(&mut world, "again");
    queued(&mut world, "again");
    world.hosts[A].online = true;
    world.sleep(Duration::from_secs(7200));
    assert_eq!(world.hosts[A].texts("main"), ["again", "again"]);
}

#[test]
fn nothing_waits_longer_than_it_may() {
    let mut world = away();
    queued(&mut world, "late");
    world.sleep(8 * DAY);
    assert_eq!((waiting(&world).len(), count(&world, B, "p2p.outbox.failed")), (0, 1));
    world.hosts[A].online = true;
    world.sleep(DAY);
    assert!(world.hosts[A].texts("main").is_empty());
    world.restart(B, Config::default());
    assert_eq!(waiting(&world).len(), 0, "it is gone from the disk, too");
}

#[test]
fn a_message_that_expires_while_it_is_tried_does_not_hold_up_the_next() {
    let mut world = away();
    let a = world.key(A);
    // Whoever says nothing makes each attempt take as long as it may: the first that nobody waits for is under way.
    world.listen_raw(a.topic(), 77);
    let Command::Queue { peer, session, text, timeout, .. } = queue(a, "main", "late") else { unreachable!() };
    let expires_in = Duration::from_secs(60);
    assert!(world.done(B, Command::Queue { peer, session, text, timeout, expires_in }).is_ok());
    queued(&mut world, "next");
    world.sleep(expires_in);
    assert_eq!((waiting(&world).len(), count(&world, B, "p2p.outbox.failed")), (1, 1));
    world.stop_listening_raw();
    world.hosts[A].online = true;
    world.sleep(Duration::from_secs(7200));
    assert_eq!(world.hosts[A].texts("main"), ["next"]);
}

#[test]
fn a_cancelled_message_is_not_delivered() {
    let mut world = away();
    let (first, second) = (queued(&mut world, "no"), queued(&mut world, "yes"));
    assert!(matches!(world.done(B, Command::Unqueue { id: first.clone() }), Ok(Reply::Unqueued(_))));
    assert_eq!(world.done(B, Command::Unqueue { id: first }), Err(CommandError::NoSuchMessage));
    assert_eq!(waiting(&world), [second]);
    world.restart(B, Config::default());
    world.hosts[A].online = true;
    world.sleep(Duration::from_secs(7200));
    assert_eq!(world.hosts[A].texts("main"), ["yes"]);
}

#[test]
fn what_the_peer_refuses_for_good_is_dropped_and_told_and_the_next_one_goes_on() {
    let mut world = away();
    let (a, b) = (world.key(A), world.key(B));
    assert!(matches!(world.done(B, queue(a, "secret", "no")), Ok(Reply::Queued { .. })));
    queued(&mut world, "yes");
    let revoke = Command::RevokePeer { peer: PeerRef::Key(b), session: None };
    assert!(world.done(A, revoke).is_ok());
    assert!(world.done(A, grant(b, &["main"], "message")).is_ok());
    world.hosts[A].online = true;
    world.sleep(Duration::from_secs(7200));
    assert_eq!((world.hosts[A].texts("main"), world.hosts[A].texts("secret").len()), (vec!["yes"], 0));
    assert_eq!(count(&world, B, "p2p.outbox.failed"), 1);
}

#[test]
fn whoever_waits_hears_a_refusal_and_nothing_stays_queued() {
    let mut world = World::new(2);
    let a = world.key(A);
    assert_eq!(world.done(B, queue(a, "main", "hello")), Err(CommandError::Unauthorized(a)));
    assert_eq!(waiting(&world).len(), 0);
}

#[test]
fn a_long_queue_keeps_below_the_limits_of_its_peer() {
    let mut world = away();
    let texts: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    for text in &texts {
        queued(&mut world, text);
    }
    world.hosts[A].online = true;
    world.sleep(Duration::from_secs(7200));
    assert_eq!(world.hosts[A].texts("main"), texts);
    assert_eq!(count(&world, A, "p2p.message.rejected"), 0);
}

#[test]
fn an_absent_peer_is_dialled_ever_more_rarely() {
    let mut world = away();
    queued(&mut world, "waits");
    let dials = |world: &World| world.hosts[B].dialled;
    world.sleep(Duration::from_secs(3600));
    let first_hour = dials(&world);
    world.sleep(Duration::from_secs(24 * 3600));
    let day = dials(&world) - first_hour;
    // Each attempt looks three times.
    assert!((9..=30).contains(&first_hour), "{first_hour}");
    assert!(day <= 24 * 4 * 3 + 3, "{day}");
}

#[test]
fn the_bounds_of_the_outbox_are_kept() {
    let mut config = Config::default();
    config.outbox.max_per_peer = 2;
    let mut world = World::with_config(2, &config);
    world.hosts[A].online = false;
    queued(&mut world, "one");
    queued(&mut world, "two");
    let a = world.key(A);
    assert_eq!(world.done(B, queue(a, "main", "three")), Err(CommandError::LimitReached("outbox.max_per_peer")));
}

#[test]
fn a_full_disk_queues_nothing_and_says_so() {
    let mut world = away();
    let a = world.key(A);
    world.hosts[B].disk_full = true;
    assert!(matches!(world.done(B, queue(a, "main", "lost")), Err(CommandError::NotStored(_))));
    assert_eq!(waiting(&world).len(), 0);
    world.hosts[B].disk_full = false;
    queued(&mut world, "kept");
    world.restart(B, Config::default());
    assert_eq!(waiting(&world).len(), 1);
}

#[test]
fn a_node_that_runs_for_one_command_sends_what_the_command_waits_for_and_nothing_else() {
    let mut config = Config::default();
    config.outbox.background = false;
    let mut world = World::with_config(2, &config);
    let b = world.key(B);
    assert!(world.done(A, grant(b, &["*"], "inject")).is_ok());
    world.hosts[A].online = false;
    queued(&mut world, "waits");
    world.hosts[A].online = true;
    world.sleep(Duration::from_secs(7200));
    assert!(world.hosts[A].texts("main").is_empty());
    let a = world.key(A);
    assert_eq!(world.done(B, queue(a, "main", "now")), Ok(Reply::Logged));
    assert_eq!(world.hosts[A].texts("main"), ["waits", "now"]);
}
