//! Two nodes, each a process with a home of its own, on a private DHT on loopback: they meet, are let in, and talk;
//! and every wrong way ends with the documented exit code and a message that says what to do.
#![cfg(target_os = "linux")]

mod support;

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use support::cases::run_all;
use support::conversation::{ANSWERING, claim, invite, log_and_ask};
use support::home::Home;
use support::node::{Daemon, Dht};
use support::program::{Outcome, Place};

// The exit codes of the program.
const NOBODY_ASKED: i32 = 1;
const REJECTED: i32 = 2;
const INVALID: i32 = 3;
const RATE_LIMITED: i32 = 4;
const PEER_OFFLINE: i32 = 6;
const UNAUTHORIZED: i32 = 7;

/// Alice's daemon answers to the sessions `main` and `docs`; Bob holds a grant for `main`. Fields in the order in
/// which they are to be dropped.
struct Network {
    daemon: Option<Daemon>,
    alice: Home,
    bob: Home,
    /// The token that Bob has claimed.
    claimed: String,
    key: String,
    dht: Dht,
}

impl Network {
    /// The happy path up to the claim, in the order in which two people would do it.
    fn start() -> Network {
        let dht = Dht::on_loopback();
        let alice = home("alice", &dht);
        let bob = home("bob", &dht);
        alice.answer_with("main", ANSWERING);
        let claimed = invite(&alice, &bob, "main", &[]);
        let key = alice.public_key();
        let daemon = Daemon::start(&alice);
        assert_eq!(daemon.public_key, key, "the daemon runs under the identity that was exported");
        claim(&bob, &claimed);
        Network { daemon: Some(daemon), alice, bob, claimed, key, dht }
    }

    /// A home of somebody who has nothing to do with Alice yet.
    fn newcomer(&self, name: &str) -> Home {
        home(name, &self.dht)
    }

    fn log(&self, from: &Home, to: &str, session: &str, message: &str) -> Outcome {
        from.p2p(&["log", to, "--session", session, "--message", message])
    }
}

fn home(name: &str, dht: &Dht) -> Home {
    Home::new(name, &Place::here(), &[dht.address])
}

/// One test, since every case needs the same running network; the cases' names are in the failure.
#[test]
fn two_nodes_meet_and_talk_and_every_wrong_way_is_refused_with_its_exit_code() {
    let mut network = Network::start();
    run_all(
        &mut network,
        &[
            ("log and inject reach Alice", log_and_inject_reach_alice),
            ("a name serves as well as a key", a_name_serves_as_well_as_a_key),
            ("an unknown peer is invalid", an_unknown_peer_is_invalid),
            ("no grant is unauthorized", no_grant_is_unauthorized),
            ("a wrong session is unauthorized", a_wrong_session_is_unauthorized),
            ("a token that is none is invalid", a_token_that_is_none_is_invalid),
            ("an expired token is invalid", an_expired_token_is_invalid),
            ("a token for somebody else is invalid", a_token_for_somebody_else_is_invalid),
            ("a token is claimed once", a_token_is_claimed_once),
            ("a payload over 1 MiB is invalid", a_payload_over_1_mib_is_invalid),
            ("the eleventh message in a minute is rate limited", the_eleventh_message_in_a_minute_is_rate_limited),
            ("a revoked peer is unauthorized", a_revoked_peer_is_unauthorized),
            ("a revoked peer cannot claim again", a_revoked_peer_cannot_claim_again),
            ("a peer that is not there is offline", a_peer_that_is_not_there_is_offline),
            ("without any DHT node nobody can be asked", without_any_dht_node_nobody_can_be_asked),
        ],
    );
}

fn log_and_inject_reach_alice(net: &mut Network) {
    log_and_ask(&net.bob, &net.alice, &net.key, "main");
    let message = net.alice.session("main").into_iter().next().expect("the log is in the file");
    assert_eq!(message["channel"]["type"], "p2p", "{message}");
    assert!(message["ts"].is_number(), "{message}");
}

fn a_name_serves_as_well_as_a_key(net: &mut Network) {
    net.bob.p2p(&["name", &net.key, "alice"]).ok();
    net.log(&net.bob, "alice", "main", "to alice by name").ok();
    assert_eq!(net.alice.count_in_session("main", "to alice by name"), 1);
}

fn an_unknown_peer_is_invalid(net: &mut Network) {
    net.log(&net.bob, "nobody", "main", "hello?").refused(INVALID, &["nobody", "wopr p2p"]);
}

fn no_grant_is_unauthorized(net: &mut Network) {
    let stranger = net.newcomer("stranger");
    // The stranger lets Alice in, and so knows her; she has not let the stranger in.
    stranger.p2p(&["grant", &net.key, "main"]).ok();
    net.log(&stranger, &net.key, "main", "let me in").refused(UNAUTHORIZED, &["main", "invite|grant"]);
    assert_eq!(net.alice.count_in_session("main", "let me in"), 0);
}

fn a_wrong_session_is_unauthorized(net: &mut Network) {
    net.log(&net.bob, &net.key, "docs", "not for docs").refused(UNAUTHORIZED, &["docs", "invite|grant"]);
    assert_eq!(net.alice.session("docs"), Vec::<Value>::new());
    let asked = net.bob.p2p(&["inject", &net.key, "--session", "docs", "--message", "and now?"]);
    asked.refused(UNAUTHORIZED, &["docs", "invite|grant"]);
}

fn a_token_that_is_none_is_invalid(net: &mut Network) {
    net.bob.p2p(&["invite", "claim", "wop1://not-a-token"]).refused(INVALID, &["token"]);
}

fn an_expired_token_is_invalid(net: &mut Network) {
    let token = invite(&net.alice, &net.bob, "docs", &["--expire", "1s"]);
    let expires = UNIX_EPOCH + Duration::from_millis(expiry(&token));
    while let Ok(left) = expires.duration_since(SystemTime::now()) {
        thread::sleep(left + Duration::from_millis(1));
    }
    net.bob.p2p(&["invite", "claim", &token]).refused(INVALID, &["expired", "new"]);
}

fn a_token_for_somebody_else_is_invalid(net: &mut Network) {
    let token = invite(&net.alice, &net.bob, "docs", &[]);
    let thief = net.newcomer("thief");
    thief.p2p(&["invite", "claim", &token]).refused(INVALID, &["token", "your|key"]);
}

fn a_token_is_claimed_once(net: &mut Network) {
    net.bob.p2p(&["invite", "claim", &net.claimed]).refused(REJECTED, &["token", "new"]);
}

fn a_payload_over_1_mib_is_invalid(net: &mut Network) {
    // On stdin: a single argument of a program cannot be this long.
    let message = "x".repeat((1 << 20) + 1);
    let args = ["log", &net.key, "--session", "main", "--message", "-"];
    net.bob
        .p2p_with_input(&args, &message)
        .refused(INVALID, &["1 MiB|1048576|1,048,576", "shorter|smaller|split|less"]);
    assert_eq!(net.alice.count_in_session("main", &message), 0);
}

fn the_eleventh_message_in_a_minute_is_rate_limited(net: &mut Network) {
    let carol = net.newcomer("carol");
    let token = invite(&net.alice, &carol, "main", &[]);
    // With a daemon of her own, so that eleven messages take less than the minute.
    let _daemon = Daemon::start(&carol);
    claim(&carol, &token);
    for number in 1..=10 {
        net.log(&carol, &net.key, "main", &format!("carol {number}")).ok();
    }
    net.log(&carol, &net.key, "main", "carol 11").refused(RATE_LIMITED, &["rate limited", "wait|later|hour|minute"]);
    assert_eq!(net.alice.count_in_session("main", "carol 10"), 1);
    assert_eq!(net.alice.count_in_session("main", "carol 11"), 0);
}

fn a_revoked_peer_is_unauthorized(net: &mut Network) {
    net.alice.p2p(&["revoke", &net.bob.public_key()]).ok();
    net.log(&net.bob, &net.key, "main", "still here").refused(UNAUTHORIZED, &["main", "invite|grant"]);
    assert_eq!(net.alice.count_in_session("main", "still here"), 0);
}

fn a_revoked_peer_cannot_claim_again(net: &mut Network) {
    net.bob.p2p(&["invite", "claim", &net.claimed]).refused(REJECTED, &["token", "new"]);
    net.log(&net.bob, &net.key, "main", "back again").refused(UNAUTHORIZED, &["main", "invite|grant"]);
}

fn a_peer_that_is_not_there_is_offline(net: &mut Network) {
    net.daemon = None;
    net.log(&net.bob, &net.key, "main", "anyone?").refused(PEER_OFFLINE, &["daemon start|running|online"]);
}

fn without_any_dht_node_nobody_can_be_asked(net: &mut Network) {
    // Bound and never answering: nobody else can come to listen there meanwhile.
    let mute = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port on loopback");
    net.bob.set_bootstrap(&[mute.local_addr().expect("it is bound")]);
    net.log(&net.bob, &net.key, "main", "anyone at all?").refused(NOBODY_ASKED, &["bootstrap"]);
}

/// The expiry inside a token, in milliseconds since the epoch.
fn expiry(token: &str) -> u64 {
    let text = token.strip_prefix("wop1://").expect("a token");
    let json = URL_SAFE_NO_PAD.decode(text).expect("a token is base64url");
    let token: Value = serde_json::from_slice(&json).expect("a token holds JSON");
    token["exp"].as_u64().unwrap_or_else(|| panic!("no whole exp in {token}"))
}
