//! The node's refusals as exit codes and sentences: what happened, and what to do next.

use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::gateway::HELD;
use wopr_p2p_core::invite::ClaimRefused;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::peer::ResolveError;
use wopr_p2p_core::{Command, CommandError, Reply};

use super::Names;
use crate::exit::{Exit, Failure};
use crate::node::Node;

/// The longest that a peer is quoted, in characters.
const QUOTED: usize = 200;

/// What a command was about, as far as a sentence needs it.
#[derive(Clone, Debug, Default)]
pub(super) enum About {
    /// Nothing in particular.
    #[default]
    Nothing,
    /// A peer's session.
    Session(SessionName),
    /// The claim of an invite.
    Claim,
    /// A connection request.
    Connect,
}

/// Has the node do something, and says why it did not.
///
/// # Errors
/// The node's refusal, in words.
pub(super) async fn done(node: &Node, command: Command, about: About) -> Result<(Reply, Names), Failure> {
    let result = node.run(command).await;
    let names = Names::of(&node.snapshot().await?);
    match result {
        Ok(reply) => Ok((reply, names)),
        Err(error) => Err(explain(&error, &about, &names)),
    }
}

/// The node answered something that does not belong to the command: a fault of ours, not of the user.
pub(super) fn unexpected() -> Failure {
    Failure::new(
        Exit::Rejected,
        "the node gave an answer of the wrong kind",
        "this is a fault of wopr: please report it",
    )
}

/// Says why a command was not done.
pub(super) fn explain(error: &CommandError, about: &About, names: &Names) -> Failure {
    let exit = exit(error);
    let (message, next) = match peer_of(error) {
        Some(peer) => with_peer(error, &names.label(&peer), about),
        None => {
            let (message, next) = alone(error);
            (message, next.to_owned())
        }
    };
    Failure::new(exit, message, next)
}

/// The exit code of a refusal.
pub(crate) const fn exit(error: &CommandError) -> Exit {
    match error {
        CommandError::NetworkDown => Exit::Offline,
        CommandError::PeerOffline(_) | CommandError::NoAnswer(_) => Exit::PeerOffline,
        CommandError::VersionMismatch(_) => Exit::VersionMismatch,
        CommandError::Unauthorized(_) => Exit::Unauthorized,
        CommandError::RateLimited(_) => Exit::RateLimited,
        CommandError::Rejected { .. }
        | CommandError::BadAnswer(_)
        | CommandError::NotStored(_)
        | CommandError::LimitReached(_)
        | CommandError::Loop(_)
        | CommandError::ChainTooLong(_)
        | CommandError::Expired
        | CommandError::Cancelled => Exit::Rejected,
        CommandError::Unresolved(_)
        | CommandError::NotAdded(_)
        | CommandError::BadKey(_)
        | CommandError::OwnKey
        | CommandError::NotNamed(_)
        | CommandError::BadAccess(_)
        | CommandError::BadInvite(_)
        | CommandError::InviteExpired(_)
        | CommandError::InviteForAnother(_)
        | CommandError::OwnInvite
        | CommandError::NoSuchGrant
        | CommandError::NoSuchMessage
        | CommandError::NotRevoked(_)
        | CommandError::NotJoined(_)
        | CommandError::BadProfile(_)
        | CommandError::NoSuchRequest
        | CommandError::NoGateway
        | CommandError::PayloadTooLarge { .. } => Exit::Invalid,
    }
}

/// The peer whose doing it is.
const fn peer_of(error: &CommandError) -> Option<PublicKey> {
    match error {
        CommandError::PeerOffline(peer)
        | CommandError::NoAnswer(peer)
        | CommandError::VersionMismatch(peer)
        | CommandError::Unauthorized(peer)
        | CommandError::RateLimited(peer)
        | CommandError::Rejected { peer, .. }
        | CommandError::BadAnswer(peer) => Some(*peer),
        _ => None,
    }
}

/// What the peer, or its absence, made of the command.
fn with_peer(error: &CommandError, peer: &str, about: &About) -> (String, String) {
    let session = if let About::Session(session) = about { session.as_str() } else { "*" };
    let (message, next) = match error {
        CommandError::PeerOffline(_) => (
            format!("{peer} cannot be reached"),
            "it must be running (`wopr daemon start` there); a slow network may need a longer --timeout; if it changed its \
             keys twice while this node was away, ask its owner for a new invite"
                .to_owned(),
        ),
        CommandError::NoAnswer(_) => (
            format!("{peer} took the request but did not answer in time; it may have acted on it"),
            "wait longer with --timeout, and ask there before you send it again".to_owned(),
        ),
        CommandError::VersionMismatch(_) => (
            format!("{peer} speaks no protocol version that this node speaks"),
            "update the older of the two programs".to_owned(),
        ),
        CommandError::Unauthorized(_) => (
            format!("{peer} has not granted this node what it asked of the session \"{session}\""),
            format!(
                "ask its owner for an invite or a grant for your key (there: wopr p2p grant YOUR-KEY \"{session}\"; \
                 your key: wopr p2p identity --export)"
            ),
        ),
        CommandError::RateLimited(_) => (
            format!("{peer} refused: rate limited"),
            "wait: a ban lasts an hour, after invalid messages two".to_owned(),
        ),
        // Nobody else can have claimed it: the issuer takes it from its subject only.
        CommandError::Rejected { peer: issuer, reason } if already_claimed(reason) && matches!(about, About::Claim) => (
            format!("{peer} refused the token: it was claimed before, by this node"),
            format!(
                "if the answer to that claim got lost, the access stands all the same: try it with \
                 `wopr p2p log {issuer} --session SESSION --message hello` (`wopr p2p invite inspect TOKEN` shows the \
                 sessions); if that is refused, it was revoked: ask for a new token"
            ),
        ),
        CommandError::Rejected { reason, .. } if matches!(about, About::Claim) => (
            format!("{peer} refused the token, in its words: {}", quoted(reason)),
            "a token is for one key, and works once, until it expires or is revoked: ask for a new one".to_owned(),
        ),
        CommandError::Rejected { reason, .. } if matches!(about, About::Connect) => (
            format!("{peer} refused the connection request, in its words: {}", quoted(reason)),
            "ask its owner; asking again soon gets the same answer".to_owned(),
        ),
        CommandError::Rejected { reason, .. } if reason == HELD => (
            format!("{peer} has the message, and its owner has to approve it first"),
            "wait; do not send it again: once approved it is in the session".to_owned(),
        ),
        CommandError::Rejected { reason, .. } => (
            format!("{peer} refused, in its words: {}", quoted(reason)),
            "ask its owner what is wrong there".to_owned(),
        ),
        _ => (
            format!("the answer of {peer} cannot be read"),
            "check that it is the right peer, and try again".to_owned(),
        ),
    };
    (message, next)
}

/// In the issuer's own words, if it is a node of ours; those of the original forget what was claimed.
fn already_claimed(reason: &str) -> bool {
    reason == ClaimRefused::AlreadyClaimed.to_string()
}

/// A peer's words, on one line that they cannot leave.
fn quoted(words: &str) -> String {
    format!("{:?}", words.chars().take(QUOTED).collect::<String>())
}

/// What can be told without asking anybody. Where the node's own words hold the next step, they stand alone.
fn alone(error: &CommandError) -> (String, &'static str) {
    let next = match error {
        CommandError::NetworkDown => {
            return (
                "the network cannot be reached: no node of the DHT answered, and the peer is not on a network of ours"
                    .to_owned(),
                "check the connection, and the bootstrap nodes (WOPR_P2P_BOOTSTRAP, or \"bootstrap\" in config.json); \
                 `wopr p2p netcheck` says what is in the way",
            );
        }
        CommandError::PayloadTooLarge { size, limit } => {
            return (
                format!(
                    "the message is too large: its payload has {size} bytes, and {limit} (1 MiB by default) are allowed"
                ),
                "send something shorter, or in several messages",
            );
        }
        CommandError::BadInvite(why) => return (format!("the token cannot be used: {why}"), ""),
        CommandError::InviteExpired(_) => "ask the issuer for a new one (`wopr p2p invite create` there)",
        CommandError::InviteForAnother(_) => {
            "send the issuer your public key (`wopr p2p identity --export`) and ask for a token for it"
        }
        CommandError::OwnInvite => "send it to the peer it is for: that one claims it",
        CommandError::Unresolved(ResolveError::Unknown(_)) => {
            "give its whole public key, or a name first: wopr p2p name PUBLIC_KEY NAME"
        }
        CommandError::OwnKey => "name another peer",
        CommandError::BadKey(_) => "ask the peer for the output of `wopr p2p identity --export`",
        CommandError::BadAccess(_) => "correct the sessions or capabilities",
        CommandError::NoSuchGrant => "`wopr p2p grants` lists those in force",
        CommandError::NotJoined(_) => "`wopr p2p topics` lists those it is on",
        CommandError::BadProfile(_) => "write for example: wopr p2p profile set '{\"name\": \"my agent\"}'",
        CommandError::NoSuchRequest => "`wopr p2p requests` lists what waits",
        CommandError::NoGateway => {
            "set \"gateway\" in config.json (docs/config.md) and restart, or grant sessions: wopr p2p grant KEY SESSION"
        }
        CommandError::NoSuchMessage => "`wopr p2p outbox list` lists those that wait",
        CommandError::Loop(_) => "answer the question without asking whoever waits for it",
        CommandError::ChainTooLong(_) => "answer the question without asking further peers",
        CommandError::LimitReached(_) => "try again when less is under way",
        CommandError::NotStored(_) => "check that there is space on the disk and that the home can be written",
        CommandError::Cancelled => "the node stopped meanwhile: try again",
        _ => "",
    };
    (error.to_string(), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PublicKey {
        PublicKey::from_bytes([7; 32])
    }

    fn about() -> About {
        About::Session(SessionName::new("main").unwrap())
    }

    #[test]
    fn each_refusal_has_the_exit_code_that_scripts_know() {
        for (error, code) in [
            (CommandError::NetworkDown, 1),
            (CommandError::Rejected { peer: key(), reason: "no".to_owned() }, 2),
            (CommandError::OwnKey, 3),
            (CommandError::PayloadTooLarge { size: 2, limit: 1 }, 3),
            (CommandError::InviteForAnother(key()), 3),
            (CommandError::RateLimited(key()), 4),
            (CommandError::VersionMismatch(key()), 5),
            (CommandError::PeerOffline(key()), 6),
            (CommandError::Unauthorized(key()), 7),
        ] {
            assert_eq!(explain(&error, &about(), &Names::default()).exit.code(), code);
        }
    }

    #[test]
    fn a_token_that_this_node_claimed_before_may_have_given_access_all_the_same() {
        let reason = ClaimRefused::AlreadyClaimed.to_string();
        let refused = CommandError::Rejected { peer: key(), reason };
        let failure = explain(&refused, &About::Claim, &Names::default());
        assert_eq!(failure.exit.code(), 2);
        assert!(failure.message.contains("claimed before, by this node"), "{failure}");
        let try_it = format!("wopr p2p log {} --session", key());
        assert!(failure.next.contains(&try_it) && failure.next.contains("new token"), "{}", failure.next);
    }

    #[test]
    fn a_refusal_names_the_peer_and_the_session_and_the_next_step() {
        let failure = explain(&CommandError::Unauthorized(key()), &about(), &Names::default());
        assert!(failure.message.contains(&key().short_id()) && failure.message.contains("\"main\""), "{failure}");
        assert!(failure.next.contains("wopr p2p grant"), "{}", failure.next);
    }
}
