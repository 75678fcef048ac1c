//! The gateway in a running node: what untrusted peers reach, and texts that wait for the owner there.

#[path = "support/world.rs"]
mod world;

use std::time::Duration;

use wopr_p2p_core::access::{Capability, TrustLevel};
use wopr_p2p_core::discovery::{PendingRequest, PendingWhat};
use wopr_p2p_core::gateway::{Gateway, HELD};
use wopr_p2p_core::{Command, CommandError, CommandId, Config, Event, Input, Reply};
use world::{World, inject, log, session, sessions};

fn config(approval: bool) -> Config {
    let gateway = Gateway { session: session("public"), capabilities: capabilities("inject"), approval };
    Config { gateway: Some(gateway), ..Config::default() }
}

fn capabilities(name: &str) -> Vec<Capability> {
    vec![name.parse().expect("a capability")]
}

/// Host 0 lets host 1 in, as far as it is trusted.
fn host_and_guest(config: &Config, names: &[&str], trust: TrustLevel) -> World {
    let mut world = World::with_config(2, config);
    let (peer, sessions) = (world.key(1).into(), sessions(names));
    let grant = Command::Grant { peer, sessions, capabilities: capabilities("inject"), trust, expires_in: None };
    world.done(0, grant).expect("granted");
    world
}

fn waiting(world: &World) -> Vec<PendingRequest> {
    world.hosts[0].node.snapshot().requests
}

fn decide(world: &mut World, approve: bool) -> Result<Reply, CommandError> {
    let request = waiting(world)[0].id.to_string();
    world.done(0, if approve { Command::Approve { request } } else { Command::Deny { request } })
}

fn outcome(world: &mut World, id: CommandId) -> Option<Result<Reply, CommandError>> {
    world.hosts[1].finished.remove(&id)
}

fn rejected(world: &World, reason: &str) -> Result<Reply, CommandError> {
    Err(CommandError::Rejected { peer: world.key(0), reason: reason.to_owned() })
}

#[test]
fn an_untrusted_peer_reaches_the_gateway_only_and_its_handler_hears_that() {
    let mut world = host_and_guest(&config(false), &["*"], TrustLevel::Untrusted);
    let host = world.key(0);
    world.hosts[0].answers = false;
    assert_eq!(world.done(1, log(host, "main", "x")), Err(CommandError::Unauthorized(host)));
    assert_eq!(world.done(1, inject(host, "main", "x")), Err(CommandError::Unauthorized(host)));
    assert_eq!(world.done(1, log(host, "public", "a note")), Ok(Reply::Logged));
    world.command(1, inject(host, "public", "a question"));
    let (_, question) = &world.hosts[0].asked[0];
    assert_eq!(question.trust, TrustLevel::Untrusted);
    assert_eq!(question.capabilities, capabilities("inject"));
    assert_eq!(world.hosts[0].texts("main"), [] as [&str; 0]);
}

#[test]
fn without_a_gateway_an_untrusted_peer_reaches_nothing() {
    let mut world = host_and_guest(&Config::default(), &["*"], TrustLevel::Untrusted);
    let host = world.key(0);
    assert_eq!(world.done(1, log(host, "public", "x")), Err(CommandError::Unauthorized(host)));
}

#[test]
fn a_logged_text_waits_and_its_sender_hears_so() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::Untrusted);
    let host = world.key(0);
    assert_eq!(world.done(1, log(host, "public", "a note")), rejected(&world, HELD));
    assert_eq!(world.hosts[0].texts("public"), [] as [&str; 0]);
    let request = waiting(&world).remove(0);
    assert_eq!(request.peer, world.key(1));
    let PendingWhat::Message { text, question: false, .. } = &request.what else { panic!("{request:?}") };
    assert_eq!(text, "a note");
    assert_eq!(decide(&mut world, true), Ok(Reply::Approved(request)));
    assert_eq!(world.hosts[0].texts("public"), ["a note"]);
    assert_eq!(waiting(&world), []);
}

#[test]
fn a_denied_text_never_reaches_the_session() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::Untrusted);
    let host = world.key(0);
    assert_eq!(world.done(1, log(host, "public", "a note")), rejected(&world, HELD));
    assert!(matches!(decide(&mut world, false), Ok(Reply::Denied(_))));
    assert_eq!(waiting(&world), []);
    world.restart(0, config(true));
    assert_eq!(waiting(&world), []);
    assert_eq!(world.hosts[0].texts("public"), [] as [&str; 0]);
}

#[test]
fn a_held_text_outlives_a_restart_and_is_let_in_once() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::Untrusted);
    let host = world.key(0);
    assert_eq!(world.done(1, log(host, "public", "a note")), rejected(&world, HELD));
    world.restart(0, config(true));
    decide(&mut world, true).expect("approved");
    world.restart(0, config(true));
    assert_eq!(waiting(&world), []);
    assert_eq!(world.hosts[0].texts("public"), ["a note"]);
}

#[test]
fn a_question_waits_with_its_asker_and_is_answered_once_approved() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::Untrusted);
    let host = world.key(0);
    let asked = world.command(1, inject(host, "public", "who?"));
    assert_eq!(outcome(&mut world, asked), None);
    assert!(world.hosts[0].events.iter().any(|event| matches!(event, Event::MessageHeld { .. })));
    // Longer than a stream may be idle.
    world.sleep(Duration::from_secs(120));
    assert!(matches!(decide(&mut world, true), Ok(Reply::Approved(_))));
    assert_eq!(outcome(&mut world, asked), Some(Ok(Reply::Answer("re: who?".to_owned()))));
    assert_eq!(world.hosts[0].texts("public"), ["who?", "re: who?"]);
}

#[test]
fn a_denied_question_is_refused_and_no_ai_is_asked() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::Untrusted);
    let host = world.key(0);
    let asked = world.command(1, inject(host, "public", "who?"));
    assert!(matches!(decide(&mut world, false), Ok(Reply::Denied(_))));
    assert_eq!(outcome(&mut world, asked), Some(rejected(&world, "denied by the owner")));
    assert_eq!(world.hosts[0].texts("public"), [] as [&str; 0]);
}

#[test]
fn a_question_is_over_when_its_asker_goes_away() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::Untrusted);
    let host = world.key(0);
    let asked = world.command(1, inject(host, "public", "who?"));
    world.input(1, Input::CancelCommand { id: asked });
    assert_eq!(waiting(&world), []);
}

#[test]
fn a_stopping_node_says_so_to_those_who_wait() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::Untrusted);
    let host = world.key(0);
    let asked = world.command(1, inject(host, "public", "who?"));
    world.input(0, Input::Stopping);
    assert_eq!(outcome(&mut world, asked), Some(rejected(&world, "the node is stopping: try again when it runs")));
    assert_eq!(waiting(&world), []);
}

#[test]
fn after_a_revocation_nothing_that_waits_can_be_let_in() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::Untrusted);
    let (host, guest) = (world.key(0), world.key(1));
    assert_eq!(world.done(1, log(host, "public", "a note")), rejected(&world, HELD));
    let asked = world.command(1, inject(host, "public", "who?"));
    world.done(0, Command::RevokePeer { peer: guest.into(), session: None }).expect("revoked");
    assert_eq!(outcome(&mut world, asked), Some(Err(CommandError::Unauthorized(host))));
    assert_eq!(decide(&mut world, true), Err(CommandError::NoSuchGrant));
    assert_eq!(world.hosts[0].texts("public"), [] as [&str; 0]);
}

#[test]
fn others_need_no_approval() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::SemiTrusted);
    let host = world.key(0);
    assert_eq!(world.done(1, log(host, "public", "a note")), Ok(Reply::Logged));
    assert_eq!(world.done(1, inject(host, "public", "who?")), Ok(Reply::Answer("re: who?".to_owned())));
}

#[test]
fn what_waits_is_bounded() {
    let mut config = config(true);
    config.discovery.max_held_per_peer = 2;
    let mut world = host_and_guest(&config, &["public"], TrustLevel::Untrusted);
    let host = world.key(0);
    for number in 0..2 {
        assert_eq!(world.done(1, log(host, "public", &number.to_string())), rejected(&world, HELD));
    }
    let full = "too many messages wait for the owner's approval";
    assert_eq!(world.done(1, log(host, "public", "2")), rejected(&world, full));
    assert_eq!(world.done(1, inject(host, "public", "3")), rejected(&world, full));
    assert_eq!(waiting(&world).len(), 2);
    config.discovery.max_held_bytes = 3;
    let mut world = host_and_guest(&config, &["public"], TrustLevel::Untrusted);
    assert_eq!(world.done(1, log(world.key(0), "public", "four")), rejected(&world, full));
}

#[test]
fn what_waits_too_long_goes() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::Untrusted);
    let host = world.key(0);
    assert_eq!(world.done(1, log(host, "public", "a note")), rejected(&world, HELD));
    world.sleep(Duration::from_secs(7 * 24 * 3600 - 120));
    assert_eq!(waiting(&world).len(), 1);
    world.sleep(Duration::from_secs(240));
    assert_eq!(waiting(&world), []);
}

#[test]
fn a_text_that_cannot_be_stored_is_not_said_to_wait() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::Untrusted);
    let host = world.key(0);
    assert_eq!(world.done(1, log(host, "public", "a note")), rejected(&world, HELD));
    let before = waiting(&world);
    world.hosts[0].disk_full = true;
    assert!(matches!(decide(&mut world, true), Err(CommandError::NotStored(_))));
    assert_eq!(waiting(&world), before, "what could not be let in goes on waiting");
    assert_eq!(world.done(1, log(host, "public", "another")), rejected(&world, "log failed"));
    assert_eq!(waiting(&world), before);
    world.hosts[0].disk_full = false;
    decide(&mut world, true).expect("approved");
    assert_eq!(world.hosts[0].texts("public"), ["a note"]);
}

#[test]
fn a_queued_message_waits_once_however_often_it_comes() {
    let mut world = host_and_guest(&config(true), &["public"], TrustLevel::Untrusted);
    let host = world.key(0);
    let (peer, timeout, expires_in) = (host.into(), Duration::from_secs(10), Duration::from_secs(3600));
    let (session, text) = (session("public"), "a note".to_owned());
    let queued = world.done(1, Command::Queue { peer, session, text, timeout, expires_in });
    assert_eq!(queued, rejected(&world, HELD), "it has arrived: there is nothing to try again");
    assert_eq!(world.hosts[1].node.snapshot().outbox, []);
    world.sleep(Duration::from_secs(3600));
    assert_eq!(waiting(&world).len(), 1);
    decide(&mut world, true).expect("approved");
    assert_eq!(world.hosts[0].texts("public"), ["a note"]);
}
