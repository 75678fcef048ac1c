//! Commands of an owner, with the settings that most tests want.

use std::time::Duration;

use wopr_p2p_core::Command;
use wopr_p2p_core::access::{Capability, SessionName, SessionSet, TrustLevel};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::peer::PeerRef;

pub fn session(name: &str) -> SessionName {
    SessionName::new(name).expect("a session name")
}

pub fn sessions(names: &[&str]) -> SessionSet {
    SessionSet::new(names.iter().copied()).expect("session names")
}

pub fn log(peer: PublicKey, name: &str, text: &str) -> Command {
    let timeout = Duration::from_secs(10);
    Command::Log { peer: PeerRef::Key(peer), session: session(name), text: text.to_owned(), timeout }
}

/// A log that waits in the outbox if it must, for a week.
pub fn queue(peer: PublicKey, name: &str, text: &str) -> Command {
    Command::Queue {
        peer: PeerRef::Key(peer),
        session: session(name),
        text: text.to_owned(),
        timeout: Duration::from_secs(10),
        expires_in: Duration::from_secs(7 * 24 * 3600),
    }
}

pub fn inject(peer: PublicKey, name: &str, text: &str) -> Command {
    let timeout = Duration::from_secs(300);
    Command::Inject { peer: PeerRef::Key(peer), session: session(name), text: text.to_owned(), timeout }
}

pub fn grant(peer: PublicKey, names: &[&str], capability: &str) -> Command {
    Command::Grant {
        peer: PeerRef::Key(peer),
        sessions: sessions(names),
        capabilities: vec![capability.parse::<Capability>().expect("a capability")],
        trust: TrustLevel::Trusted,
        expires_in: None,
    }
}

pub fn revoke(peer: impl Into<PeerRef>) -> Command {
    Command::RevokePeer { peer: peer.into(), session: None }
}

pub fn invite(subject: PublicKey, names: &[&str]) -> Command {
    Command::CreateInvite {
        subject,
        sessions: sessions(names),
        capabilities: vec![Capability::inject()],
        expires_in: Duration::from_secs(3600),
    }
}

pub fn claim(token: &str) -> Command {
    Command::Claim { token: token.to_owned(), timeout: Duration::from_secs(10) }
}
