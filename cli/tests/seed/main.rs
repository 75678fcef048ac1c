//! Every command line in the description that users have, run as it stands there, in order: what it prints, what it
//! changes, and its exit code. `me` is the one who types; Alice and Bob are peers with daemons of their own.
//!
//! The lines are read from a copy of the description. A line that is in neither of the two lists fails the test.
#![cfg(target_os = "linux")]

mod access;
mod discovery;
mod history;
mod identity;
mod messages;
mod peers;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::time::Instant;

use world::World;

/// Lines that cannot run as they stand, and why.
const IMPOSSIBLE: [(&str, &str); 1] = [(
    r#"echo "wop1://..." | base64 -d | jq"#,
    "a token is `wop1://` and base64url: neither is base64. `wopr p2p invite inspect` shows what it says",
)];

/// What is done with a line: it is run, and looked at.
type Step = fn(&mut World, &str);

/// The lines in the order of the description.
const STEPS: &[(&str, Step)] = &[
    ("wopr plugin install wopr-plugin-p2p", identity::plugin_install),
    ("wopr plugin enable p2p", identity::plugin_enable),
    ("wopr p2p status", identity::first_status),
    // Identity management
    ("wopr p2p status", identity::status),
    ("wopr p2p rotate --reason scheduled", identity::rotate_before_anybody_knows),
    ("wopr p2p identity --export", identity::identity_export),
    // Peer management
    ("wopr p2p peers", peers::peers),
    (r#"wopr p2p name <peer-id> "alice""#, peers::name),
    ("wopr p2p find alice", peers::find),
    ("wopr p2p revoke alice", access::revoke),
    // Invites and claims
    (r#"wopr p2p invite create <their-pubkey> --sessions "session1,session2""#, access::invite_create),
    (r#"wopr p2p invite create <their-pubkey> --sessions "*" --expire 24h"#, access::invite_create_expiring),
    (r#"wopr p2p invite claim "wop1://...""#, access::invite_claim),
    // Access grants
    ("wopr p2p grant <peer-pubkey> session1 session2", access::grant),
    ("wopr p2p grant <peer-pubkey> session1 --trust trusted", access::grant_with_trust),
    (r#"wopr p2p grant <peer-pubkey> session1 --capabilities "inject,inject.tools""#, access::grant_with_capabilities),
    ("wopr p2p grants", access::grants),
    ("wopr p2p grants --peer alice", access::grants_of_alice),
    // Discovery
    ("wopr p2p topic join myproject", discovery::topic_join),
    ("wopr p2p topic leave myproject", discovery::topic_leave),
    ("wopr p2p topics", discovery::topics),
    ("wopr p2p discover", discovery::discover),
    ("wopr p2p discover --topic myproject", discovery::discover_on_a_topic),
    ("wopr p2p connect <peer-id>", discovery::connect),
    // Messaging
    (r#"wopr p2p log alice --session main --message "FYI: deployment complete""#, messages::log),
    (r#"wopr p2p inject alice --session main --message "What's the status of the build?""#, messages::inject),
    (
        r#"wopr p2p inject alice --session main --message "Analyze this code" --timeout 300s"#,
        messages::inject_with_timeout,
    ),
    // Scenario 1: the own laptop
    ("wopr p2p status", identity::status),
    ("wopr p2p status", identity::status_of_bob),
    (r#"wopr p2p invite create <nodeB-pubkey> --sessions "*""#, access::invite_to_everything),
    (r#"wopr p2p invite claim "wop1://eyJ2Ijo...""#, access::claim_everything),
    (r#"wopr p2p name <nodeB-shortId> "my-laptop""#, peers::name_the_laptop),
    // Scenario 2: a collaborator
    (
        r#"wopr p2p invite create <peer-pubkey> --sessions "shared-project,docs" --expire 72h"#,
        access::invite_a_collaborator,
    ),
    ("wopr p2p grants --peer <peer-id>", access::grants_of_the_collaborator),
    // Scenario 3: the gateway
    ("wopr p2p topic join public-agents", discovery::topic_join_public),
    (
        r#"wopr p2p grant <discovered-peer-key> public-gateway --capabilities "inject.limited""#,
        access::grant_the_gateway,
    ),
    // Scenario 4: an emergency; key rotation
    ("wopr p2p rotate --reason compromise --notify-all", identity::rotate_and_tell_all),
    ("wopr p2p rotate --reason scheduled", identity::rotate_scheduled),
    ("wopr p2p rotate --reason compromise", identity::rotate_compromise),
    ("wopr p2p rotate --reason upgrade", identity::rotate_upgrade),
    // Rate limiting
    ("wopr p2p status --peer <peer-id>", peers::status_of_a_peer),
    // Monitoring
    ("wopr p2p status", identity::status),
    ("wopr p2p peers --verbose", peers::peers_verbose),
    ("wopr p2p events --follow", messages::events_follow),
    ("wopr logs --service p2p", messages::logs),
    (r#"wopr logs --service p2p --filter "rejected\|revoked\|rotated""#, messages::logs_filtered),
    // Revoking access
    ("wopr p2p revoke alice", access::revoke_and_refuse),
    ("wopr p2p revoke <peer-pubkey>", access::revoke_by_key),
    ("wopr p2p grants", access::no_grants),
    ("wopr p2p grant revoke <grant-id>", access::grant_revoke),
    ("wopr p2p revoke alice --session sensitive-session", access::revoke_a_session),
    // Troubleshooting
    ("wopr p2p peers", peers::peers),
    ("wopr p2p find alice", peers::find),
    ("wopr p2p find <short-id>", peers::find_by_id),
    ("wopr p2p find <public-key>", peers::find_by_key),
    (r#"wopr p2p send alice --session main --message "test" --timeout 30s"#, messages::send),
    ("wopr p2p discover --topic myproject", discovery::discover_who_is_online),
    ("wopr p2p status --peer <peer-id>", peers::status_of_a_peer),
    ("wopr p2p grants --peer alice", access::grants_after_the_revocation),
    // The session mirror: an agent's tool, which the program has as `sessions history`
    (r#"sessions_history(session="my-session")"#, history::history),
    (r#"sessions_history(session="my-session", full=true)              # First 100 messages"#, history::history_full),
    (r#"sessions_history(session="my-session", full=true, offset=100)  # Next 100"#, history::history_next),
    (r#"sessions_history(session="my-session", full=true, limit=50)    # 50 per page"#, history::history_by_fifty),
];

#[test]
fn every_command_line_of_the_seed_does_what_it_says() {
    let mut world = World::new();
    let mut steps = STEPS.iter();
    for (number, line) in seed_lines() {
        if let Some((_, why)) = IMPOSSIBLE.iter().find(|(impossible, _)| *impossible == line) {
            eprintln!("{number}: cannot run ({why}): {line}");
        } else {
            let (expected, step) = steps.next().unwrap_or_else(|| panic!("line {number} is in no list: {line}"));
            assert_eq!(*expected, line, "line {number}: every line is to be in one of the lists, in order");
            let began = Instant::now();
            step(&mut world, &line);
            eprintln!("{number}: ok ({} ms): {line}", began.elapsed().as_millis());
        }
    }
    assert!(steps.next().is_none(), "steps are left over");
}

/// The lines in the description's blocks for a shell that are not comments, with their numbers. No other block has any.
fn seed_lines() -> Vec<(usize, String)> {
    let mut block = None;
    let mut lines = Vec::new();
    for (number, line) in include_str!("../data/seed.md").lines().enumerate() {
        match (line.strip_prefix("```"), block) {
            (Some(kind), None) => block = Some(kind),
            (Some(_), Some(_)) => block = None,
            (None, Some("bash")) if !line.is_empty() && !line.starts_with('#') => {
                lines.push((number + 1, line.to_owned()))
            }
            (None, Some(_)) => assert!(!line.starts_with("wopr "), "a command line in another block: {line}"),
            (None, None) => {}
        }
    }
    assert!(block.is_none(), "a block does not end");
    lines
}
