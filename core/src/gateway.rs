//! The gateway: the one session that untrusted peers reach, whatever their grants say.
//!
//! A grant of trust `untrusted` opens the gateway's session only, if it covers it, and there only what the gateway and
//! the grant both allow. Without a gateway it opens nothing.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::access::{Capability, SessionName, TrustLevel};
use crate::grant::{Grants, Needs};
use crate::keys::PublicKey;
use crate::time::WallTime;

/// What the sender of a logged text hears while the text waits for the owner.
pub const HELD: &str = "held for the owner's approval";

/// Where untrusted peers arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The session that they reach.
    pub session: SessionName,
    /// What they may do there at most.
    pub capabilities: Vec<Capability>,
    /// Whether the owner has to approve each of their messages.
    pub approval: bool,
}

impl Gateway {
    /// What a grant of these capabilities lets an untrusted peer do in a session.
    fn narrowed<'a>(&'a self, session: &SessionName, granted: &'a [Capability]) -> BTreeSet<&'a Capability> {
        let mut both = BTreeSet::new();
        if *session == self.session {
            for ours in &self.capabilities {
                for theirs in granted {
                    if theirs.includes(ours) {
                        both.insert(ours);
                    } else if ours.includes(theirs) {
                        both.insert(theirs);
                    }
                }
            }
        }
        both
    }
}

/// What a peer may do in a session, now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// How far it is trusted there.
    pub trust: TrustLevel,
    /// Everything it may do there, by all its grants together.
    pub capabilities: Vec<Capability>,
}

/// Whether a peer may do this now, by its grants and through the gateway; `None` is a refusal.
#[must_use]
pub fn permit(
    grants: &Grants,
    gateway: Option<&Gateway>,
    peer: &PublicKey,
    session: &SessionName,
    needs: Needs,
    now: WallTime,
) -> Option<Permit> {
    let mut trust = None;
    let mut capabilities = BTreeSet::new();
    for grant in grants.of_peer(peer).filter(|grant| grant.in_force(now) && grant.covers(session)) {
        let opened: BTreeSet<&Capability> = match (grant.trust, gateway) {
            (TrustLevel::Untrusted, None) => continue,
            (TrustLevel::Untrusted, Some(gateway)) => gateway.narrowed(session, &grant.capabilities),
            _ => grant.capabilities.iter().collect(),
        };
        if opened.iter().any(|capability| needs.met_by(capability)) {
            trust = trust.max(Some(grant.trust));
        }
        capabilities.extend(opened);
    }
    Some(Permit { trust: trust?, capabilities: capabilities.into_iter().cloned().collect() })
}

#[cfg(test)]
mod tests;
