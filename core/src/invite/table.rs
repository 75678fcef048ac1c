//! The issuer's memory of its invites: what is not in it cannot be claimed, what was claimed cannot be claimed again.
//!
//! Forgetting an entry therefore never opens anything.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use serde::de::Error as _;

use crate::access::{Capability, SessionSet};
use crate::keys::{Nonce, PublicKey};
use crate::time::WallTime;

#[cfg(test)]
mod tests;

/// How long an expired invite is still listed.
const LISTED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// An invite as its issuer remembers it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InviteSummary {
    /// What tells it from every other token.
    pub nonce: Nonce,
    /// The only key that may claim it.
    pub subject: PublicKey,
    /// What it opens.
    pub sessions: SessionSet,
    /// What may be done there.
    pub capabilities: Vec<Capability>,
    /// When it was issued.
    pub created: WallTime,
    /// The last millisecond in which it can be claimed.
    pub expires: WallTime,
    /// What has become of it.
    pub state: InviteState,
}

impl InviteSummary {
    /// Whether it can be claimed at this moment.
    #[must_use]
    pub fn is_claimable(&self, now: WallTime) -> bool {
        self.state == InviteState::Open && now <= self.expires
    }
}

/// What has become of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InviteState {
    /// Not claimed yet. It may have expired.
    Open,
    /// Its subject has claimed it.
    Claimed {
        /// When.
        at: WallTime,
    },
    /// The issuer took it back.
    Revoked {
        /// When.
        at: WallTime,
    },
}

/// There are as many claimable invites as the configuration allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvitesFull;

impl fmt::Display for InvitesFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many open invites: revoke some, or wait until some expire")
    }
}

impl core::error::Error for InvitesFull {}

/// Why a claim is refused; the texts are the reject reasons on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimRefused {
    /// We remember no such invite.
    NotIssued,
    /// The claimant is not its subject.
    NotYours,
    /// It was taken back.
    Revoked,
    /// It was claimed before.
    AlreadyClaimed,
    /// Its time is over.
    Expired,
}

impl fmt::Display for ClaimRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotIssued => "token not issued by this peer",
            Self::NotYours => "token not issued for you",
            Self::Revoked => "invalid token: revoked",
            Self::AlreadyClaimed => "invalid token: already claimed",
            Self::Expired => "invalid token: expired",
        })
    }
}

impl core::error::Error for ClaimRefused {}

/// Why an invite is not taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeRefused {
    /// We remember no such invite.
    NotIssued,
    /// It was claimed: the grant that came of it is what can be revoked.
    AlreadyClaimed,
}

impl fmt::Display for RevokeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotIssued => "no such invite was issued here: list the invites to find the right one",
            Self::AlreadyClaimed => "the invite was claimed: revoke the peer's grant instead",
        })
    }
}

impl core::error::Error for RevokeRefused {}

/// Every invite that a node remembers issuing, by nonce. Stored as a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invites(BTreeMap<Nonce, InviteSummary>);

impl Invites {
    /// Remembers a new invite. When there are `max` already, one that can no longer be claimed gives way.
    ///
    /// # Errors
    /// All `max` invites can still be claimed at the time this one was created.
    pub fn issue(&mut self, summary: InviteSummary, max: usize) -> Result<(), InvitesFull> {
        while self.0.len() >= max {
            let ended = self.0.values().filter(|invite| !invite.is_claimable(summary.created));
            let oldest = ended.min_by_key(|invite| invite.created).map(|invite| invite.nonce);
            self.0.remove(&oldest.ok_or(InvitesFull)?);
        }
        self.0.insert(summary.nonce, summary);
        Ok(())
    }

    /// Marks an invite as claimed by `subject`: the first time, before its expiry, if it was not taken back.
    ///
    /// # Errors
    /// Each [`ClaimRefused`]. A stranger learns no more than that the token is not theirs.
    pub fn claim(&mut self, nonce: &Nonce, subject: &PublicKey, now: WallTime) -> Result<&InviteSummary, ClaimRefused> {
        let invite = self.0.get_mut(nonce).ok_or(ClaimRefused::NotIssued)?;
        if invite.subject != *subject {
            return Err(ClaimRefused::NotYours);
        }
        match invite.state {
            InviteState::Revoked { .. } => Err(ClaimRefused::Revoked),
            InviteState::Claimed { .. } => Err(ClaimRefused::AlreadyClaimed),
            InviteState::Open if now > invite.expires => Err(ClaimRefused::Expired),
            InviteState::Open => {
                invite.state = InviteState::Claimed { at: now };
                Ok(invite)
            }
        }
    }

    /// Opens a claimed invite again: the grant that was to come of it could not be stored.
    pub fn unclaim(&mut self, nonce: &Nonce) {
        if let Some(invite) = self.0.get_mut(nonce)
            && matches!(invite.state, InviteState::Claimed { .. })
        {
            invite.state = InviteState::Open;
        }
    }

    /// Takes an invite back; taking it back again changes nothing.
    ///
    /// # Errors
    /// Unknown, or claimed already.
    pub fn revoke(&mut self, nonce: &Nonce, now: WallTime) -> Result<&InviteSummary, RevokeRefused> {
        let invite = self.0.get_mut(nonce).ok_or(RevokeRefused::NotIssued)?;
        match invite.state {
            InviteState::Claimed { .. } => return Err(RevokeRefused::AlreadyClaimed),
            InviteState::Revoked { .. } => {}
            InviteState::Open => invite.state = InviteState::Revoked { at: now },
        }
        Ok(invite)
    }

    /// Takes back every open invite for one peer, expired ones too, and returns them as they are now.
    pub fn revoke_subject(&mut self, subject: &PublicKey, now: WallTime) -> Vec<InviteSummary> {
        let open = |invite: &&mut InviteSummary| invite.subject == *subject && invite.state == InviteState::Open;
        let revoke = |invite: &mut InviteSummary| {
            invite.state = InviteState::Revoked { at: now };
            invite.clone()
        };
        self.0.values_mut().filter(open).map(revoke).collect()
    }

    /// Whether this peer has an invite that is neither claimed nor taken back.
    #[must_use]
    pub fn has_open(&self, subject: &PublicKey) -> bool {
        self.0.values().any(|invite| invite.subject == *subject && invite.state == InviteState::Open)
    }

    /// Forgets what expired more than a week ago.
    pub fn prune(&mut self, now: WallTime) {
        self.0.retain(|_, invite| now <= invite.expires + LISTED);
    }

    /// One invite.
    #[must_use]
    pub fn get(&self, nonce: &Nonce) -> Option<&InviteSummary> {
        self.0.get(nonce)
    }

    /// Every invite, in the order of the nonces.
    pub fn iter(&self) -> impl Iterator<Item = &InviteSummary> {
        self.0.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl serde::Serialize for Invites {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> serde::Deserialize<'de> for Invites {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut invites = BTreeMap::new();
        for invite in Vec::<InviteSummary>::deserialize(deserializer)? {
            if invites.insert(invite.nonce, invite).is_some() {
                return Err(D::Error::custom("an invite is listed twice"));
            }
        }
        Ok(Self(invites))
    }
}
