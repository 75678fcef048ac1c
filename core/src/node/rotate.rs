//! Key rotation: our own (new keys, telling the peers, the grace period) and a peer's.
//!
//! After a rotation the node answers to both keys until the old one's grace period ends, and remembers which peers have
//! heard of the new one. Those that have not are told when they can be reached, also after that: the statement is kept
//! when the old private key is wiped, until the key that it names is given up, too.
//!
//! A key that somebody else may have (`compromise`) counts for a short time only, and meanwhile for one thing only: peers
//! that use it are known by that to need telling. Nothing else is done under it, and nobody new gets in by it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::change::Change;
use super::request::{Request, What};
use super::{AfterWrite, CommandError, CommandId, Document, DocumentWrite, Node, Output, Reply, StreamId};
use crate::event::{Event, RejectReason};
use crate::identity::{FormerKey, Identity, IdentityFile, RetiredIdentity};
use crate::keys::PublicKey;
use crate::message::{Header, KeyRotation};
use crate::rotation::{RotationReason, RotationStatement};
use crate::time::{Instant, Now};

/// The first delay before a peer that could not be told is tried again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// The longest such delay.
const LAST_RETRY: Duration = Duration::from_secs(3600);
/// What is said to whoever uses a key of ours that somebody else may have.
pub(super) const KEY_GIVEN_UP: &str = "this key was given up: its owner tells its peers of the new one";
/// For so long a peer that refused one of our keys is told of no other. It counts each as a claim, and allows five a
/// minute and twenty an hour.
const NEXT_AFTER_REFUSAL: Duration = Duration::from_secs(15);
/// For so long it is told of none that it was told of before.
const AGAIN_AFTER_REFUSAL: Duration = Duration::from_secs(240);
/// What a peer says to a rotation that it cannot believe, or of a key that it never knew: the original's words.
pub(super) const INVALID_ROTATION: &str = "invalid key rotation";
/// How long one attempt to tell a peer may take.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom we still have to tell of a new key, and who waits for that.
#[derive(Default)]
pub(super) struct Notices {
    /// By the key that was given up and the peer to be told.
    pending: BTreeMap<(PublicKey, PublicKey), Notice>,
    /// The peers that are being told at this moment, each of the successor of this key: one key at a time.
    under_way: BTreeMap<PublicKey, PublicKey>,
    /// The peers that refused a key lately, and when.
    refused_at: BTreeMap<PublicKey, Instant>,
    /// A rotation command that waits for all peers.
    waiting: Option<(CommandId, Instant)>,
}

struct Notice {
    at: Instant,
    delay: Duration,
    /// The peer did not take it: it may never have known the old key, so later notices do not wait for this one.
    refused: bool,
}

impl Notice {
    fn new(now: Now) -> Self {
        Self { at: now.mono, delay: FIRST_RETRY, refused: false }
    }
}

impl Notices {
    /// How many peers have yet to hear of a key.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }
}

impl Node {
    pub(super) fn rotate_keys(&mut self, command: CommandId, reason: RotationReason, wait: Option<Duration>, now: Now) {
        if self.notices.waiting.is_some() || self.changes.rotate_keys() {
            return self.finish(command, Err(CommandError::LimitReached("one rotation at a time")));
        }
        let old = &self.identity.current;
        let new = old.successor(&mut self.rng, now.wall);
        let statement = statement(old, &new, reason, self.config.grace(reason), now);
        let mut next = self.identity.duplicate();
        let identity = core::mem::replace(&mut next.current, new);
        let valid_until = now.wall + self.config.grace(reason);
        next.retired.push(RetiredIdentity { identity, valid_until, reason, statement, told: Default::default() });
        let until = wait.map(|wait| now.mono + wait);
        if planted!(self.config, KeysUsedBeforeStored) {
            self.own_rotated(command, until, next, now);
            return self.store_identity();
        }
        self.change(Change::OwnRotation { command, until, next }, now);
    }

    /// The new keys are stored: listen under them, and tell everybody.
    pub(super) fn own_rotated(&mut self, command: CommandId, until: Option<Instant>, next: IdentityFile, now: Now) {
        let before = core::mem::replace(&mut self.identity, next);
        let (old, new) = (before.current.public_key(), self.identity.current.public_key());
        // Who was told of earlier rotations while this one was being stored.
        for earlier in before.rotations() {
            if let Some(told) = self.identity.told_mut(&earlier.old) {
                told.extend(earlier.told);
            }
        }
        if !planted!(self.config, NewKeyUnreachable) {
            self.outputs.push_back(Output::Listen { topic: new.topic() });
        }
        self.event(Event::OwnKeyRotated { old, new });
        // Everybody in the table knows the key before, whatever the wall clock said when they were added.
        let peers: Vec<PublicKey> = self.access.peers.iter().map(|peer| peer.key).collect();
        for peer in peers {
            self.known_by(old, peer, now);
        }
        self.notices.waiting = until.map(|until| (command, until));
        if until.is_none() {
            self.finish_rotation(command);
        }
        self.tell_peers(now);
        self.show_profile_to_all(now);
    }

    fn finish_rotation(&mut self, command: CommandId) {
        let Some(last) = self.identity.retired.last() else {
            return;
        };
        let old = last.identity.public_key();
        let reply = Reply::Rotated {
            public_key: self.identity.current.public_key(),
            rotated_from: old,
            grace_until: last.valid_until,
            told: last.told.iter().copied().collect(),
            untold: self.untold(&old),
        };
        self.finish(command, Ok(reply));
    }

    /// The peers that have yet to hear of the successor of a key of ours.
    pub(super) fn untold(&self, old: &PublicKey) -> Vec<PublicKey> {
        self.notices.pending.keys().filter(|(of, _)| of == old).map(|(_, peer)| *peer).collect()
    }

    /// Plans to tell a peer of every rotation since we met that is still in its grace period.
    pub(super) fn schedule_notices_for(&mut self, peer: PublicKey, now: Now) {
        for rotation in self.identity.rotations() {
            // A peer that was added after the rotation knows the new key only.
            let rotated = rotation.successor.rotated_at();
            let older = self.access.peers.get(&peer).is_some_and(|peer| Some(peer.added) <= rotated);
            if older && !rotation.told.contains(&peer) {
                let key = (rotation.old, peer);
                self.notices.pending.entry(key).or_insert(Notice::new(now));
            }
        }
    }

    /// A peer has a new key: what it was told, and what it has yet to be told, it is under that key.
    pub(super) fn move_notices(&mut self, old: &PublicKey, new: PublicKey, now: Now) {
        let mut moved = false;
        for told in self.identity.all_told_mut() {
            if told.remove(old) {
                moved |= told.insert(new);
            }
        }
        let keys: Vec<PublicKey> =
            self.notices.pending.keys().filter(|(_, of)| of == old).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(notice) = self.notices.pending.remove(&(key, *old)) {
                self.notices.pending.insert((key, new), Notice { at: now.mono, ..notice });
            }
        }
        self.notices.under_way.remove(old);
        if let Some(at) = self.notices.refused_at.remove(old) {
            self.notices.refused_at.insert(new, at);
        }
        if moved {
            self.store_identity();
        }
    }

    /// After a restart: nobody knows any more which of the peers that were met after a rotation know us by the old key
    /// (from an invite that was claimed under it, say), so each is asked.
    pub(super) fn schedule_all_notices(&mut self, now: Now) {
        let oldest = self.identity.retired.first().map(|retired| retired.identity.public_key());
        let peers = self.access.peers.iter().filter(|peer| peer.revoked.is_none());
        let peers: Vec<PublicKey> = peers.map(|peer| peer.key).collect();
        for peer in peers {
            self.schedule_notices_for(peer, now);
            if let Some(oldest) = oldest {
                self.known_by(oldest, peer, now);
            }
        }
    }

    /// A peer has just been heard: if it does not know our new key yet, now is the time.
    pub(super) fn peer_is_back(&mut self, peer: PublicKey, now: Now) {
        let peer = self.acting(peer, now);
        for ((_, of), notice) in &mut self.notices.pending {
            if *of == peer {
                notice.at = now.mono;
            }
        }
    }

    /// Plans to tell a peer that knows us by this key of every key that came after it.
    pub(super) fn known_by(&mut self, local: PublicKey, peer: PublicKey, now: Now) {
        let peer = self.acting(peer, now);
        if self.access.peers.get(&peer).is_none_or(|peer| peer.revoked.is_some()) || planted!(self.config, PeersNotTold)
        {
            return;
        }
        let since = self.identity.retired.iter().skip_while(|retired| retired.identity.public_key() != local);
        for retired in since.filter(|retired| !retired.told.contains(&peer)) {
            self.notices.pending.entry((retired.identity.public_key(), peer)).or_insert(Notice::new(now));
        }
    }

    /// When the next peer is to be told, or a command stops waiting for that. A notice that has to wait for an earlier
    /// one keeps nobody awake.
    pub(super) fn notice_timeout(&self) -> Option<Instant> {
        let next = self.notices.pending.iter().filter_map(|((old, peer), notice)| self.tell_at(old, peer, notice));
        let waiting = self.notices.waiting.as_ref().map(|(_, until)| *until);
        next.chain(waiting).min()
    }

    /// When a peer is to be told of the successor of a key; `None` while another one comes first.
    fn tell_at(&self, old: &PublicKey, peer: &PublicKey, notice: &Notice) -> Option<Instant> {
        if self.notices.under_way.contains_key(peer) || self.notice_before(old, peer) {
            return None;
        }
        let pause = if notice.delay == FIRST_RETRY { NEXT_AFTER_REFUSAL } else { AGAIN_AFTER_REFUSAL };
        Some(self.notices.refused_at.get(peer).map_or(notice.at, |refused| notice.at.max(*refused + pause)))
    }

    /// The notices whose time has come.
    fn due_notices(&self, now: Now) -> impl Iterator<Item = (&(PublicKey, PublicKey), &Notice)> {
        let due = move |old, peer, notice| self.tell_at(old, peer, notice).is_some_and(|at| at <= now.mono);
        self.notices.pending.iter().filter(move |((old, peer), notice)| due(old, peer, notice))
    }

    /// Whether a peer has yet to hear of a key of ours.
    pub(super) fn has_untold_key(&self, peer: &PublicKey) -> bool {
        self.notices.pending.iter().any(|((_, of), notice)| of == peer && !notice.refused)
    }

    /// A peer that was never told of our new key is told before anything else is asked of it under that key.
    pub(super) fn tell_first(&mut self, peer: &PublicKey, now: Now) {
        for ((_, of), notice) in &mut self.notices.pending {
            if of == peer && notice.delay == FIRST_RETRY {
                notice.at = now.mono;
            }
        }
        self.tell_peers(now);
    }

    /// Tells the peers whose time has come; a peer hears of our keys one at a time and in their order.
    pub(super) fn tell_peers(&mut self, now: Now) {
        self.notices.refused_at.retain(|_, refused| *refused + AGAIN_AFTER_REFUSAL > now.mono);
        let mut due: Vec<_> = self.due_notices(now).map(|((old, peer), notice)| (notice.delay, *old, *peer)).collect();
        // Of those that a peer refused, the one that it was told least often.
        due.sort_by_key(|(delay, ..)| *delay);
        for (_, old, peer) in due {
            if self.notices.under_way.contains_key(&peer) {
                continue;
            }
            let Some(rotation) = self.identity.rotations().find(|rotation| rotation.old == old) else {
                self.notices.pending.remove(&(old, peer));
                continue;
            };
            let (local, statement) = (rotation.successor.public_key(), String::from(rotation.statement));
            self.notices.under_way.insert(peer, old);
            let deadline = now.mono + NOTICE_TIMEOUT;
            let what = What::Notice { old, statement };
            self.request(Request { local, target: peer, what, deadline, sent: None }, now);
        }
    }

    /// Whether this peer has yet to hear of a rotation before that of `old`.
    fn notice_before(&self, old: &PublicKey, peer: &PublicKey) -> bool {
        self.identity
            .rotations()
            .map(|rotation| rotation.old)
            .take_while(|key| key != old)
            .any(|key| self.notices.pending.get(&(key, *peer)).is_some_and(|notice| !notice.refused))
    }

    /// Whether we met a peer after a rotation, so that it may know us by the new key only.
    fn met_after_rotation(&self, old: &PublicKey, peer: &PublicKey) -> bool {
        let rotated = self.identity.successor_of(old).and_then(Identity::rotated_at);
        self.access.peers.get(peer).is_none_or(|peer| rotated.is_none_or(|rotated| peer.added > rotated))
    }

    pub(super) fn notice_ended(
        &mut self,
        old: PublicKey,
        peer: PublicKey,
        result: &Result<Reply, CommandError>,
        now: Now,
    ) {
        let peer = self.acting(peer, now);
        if self.notices.under_way.get(&peer) == Some(&old) {
            self.notices.under_way.remove(&peer);
        }
        if matches!(result, Err(CommandError::Rejected { .. } | CommandError::RateLimited(_))) {
            self.notices.refused_at.insert(peer, now.mono);
        }
        let refused = matches!(result, Err(CommandError::Rejected { reason, .. }) if reason == INVALID_ROTATION);
        // It never knew the old key: there is nothing to be told.
        let told = result.is_ok() || refused && self.met_after_rotation(&old, &peer);
        if told {
            self.notices.pending.remove(&(old, peer));
            if let Some(told) = self.identity.told_mut(&old) {
                told.insert(peer);
            }
            let all_know = self.untold(&old).is_empty();
            self.identity.former.take_if(|former| former.public_key == old && all_know);
            self.store_identity();
            if result.is_ok() {
                self.event(Event::RotationTold { peer });
            }
            self.peer_is_back(peer, now);
        } else if let Some(notice) = self.notices.pending.get_mut(&(old, peer)) {
            notice.refused |= refused;
            notice.at = now.mono + notice.delay;
            // After the grace period there is no hurry any more: nobody can reach us by the old key.
            let longest = if self.identity.find(&old).is_some() { LAST_RETRY } else { LAST_RETRY * 6 };
            notice.delay = (notice.delay * 2).min(longest);
        }
        self.end_waiting(now);
    }

    /// Finishes a rotation command that waits for the peers, once all have been tried or its time is over.
    pub(super) fn end_waiting(&mut self, now: Now) {
        let Some((command, until)) = self.notices.waiting else {
            return;
        };
        let busy = !self.notices.under_way.is_empty() || self.due_notices(now).next().is_some();
        if !busy || until <= now.mono {
            self.notices.waiting = None;
            self.finish_rotation(command);
        }
    }

    /// A peer says that it has a new key.
    pub(super) fn peer_rotated(&mut self, id: StreamId, header: Header, rotation: &KeyRotation, now: Now) {
        let Some(channel) = self.streams.get(&id).and_then(|stream| stream.channel()) else {
            return;
        };
        let statement = RotationStatement::parse_and_verify(rotation.statement.as_bytes());
        #[cfg(wopr_planted)]
        let statement = statement.or_else(|error| self.unsigned_rotation(rotation).ok_or(error));
        let Ok(statement) = statement else {
            return self.refuse(id, Some(header.nonce), None, RejectReason::BadRotation, INVALID_ROTATION, now);
        };
        // The handshake proved the new key; where both sides can, it also signs this very statement in this stream.
        let proved = planted!(self.config, RotationUnproven)
            || statement.new == channel.remote().public()
                && statement.old == header.from
                && match channel.bound() {
                    None => true,
                    Some(nonce) => rotation.proof.as_ref().is_some_and(|proof| {
                        channel.remote().verifies(&KeyRotation::proof_bytes(&rotation.statement, nonce), proof)
                    }),
                };
        let until = statement.grace_until(now.wall, self.config.grace(statement.reason), self.config.replay.window);
        #[cfg(wopr_planted)]
        let until = self.long_grace(until, now);
        let ours = self.identity.find(&statement.new).is_some() || self.identity.find(&statement.old).is_some();
        match until {
            Ok(until) if proved && !ours => {
                self.change(Change::PeerRotation { stream: id, re: header.nonce, statement, until }, now);
            }
            _ => self.refuse(id, Some(header.nonce), None, RejectReason::BadRotation, INVALID_ROTATION, now),
        }
    }

    /// Announces every key we answer to.
    pub(super) fn listen(&mut self) {
        for key in self.identity.keys() {
            self.outputs.push_back(Output::Listen { topic: key.topic() });
        }
    }

    /// Keys that were given up while our wall clock was ahead: it has been set right since, so peers would refuse the
    /// statement as one of the future, and the grace period would last as long as the clock was wrong. Both start now.
    pub(super) fn mend_rotations(&mut self, now: Now) {
        let mut mended = false;
        for position in 0..self.identity.retired.len() {
            let retired = &self.identity.retired[position];
            let grace = self.config.grace(retired.reason);
            if retired.valid_until > now.wall + grace + self.config.replay.window {
                let successor = self.identity.successor_of(&retired.identity.public_key());
                let text = successor.map(|next| statement(&retired.identity, next, retired.reason, grace, now));
                let retired = &mut self.identity.retired[position];
                retired.valid_until = now.wall + grace;
                if let Some(text) = text {
                    retired.statement = text;
                }
                mended = true;
            }
        }
        if mended {
            self.store_identity();
        }
    }

    /// Gives up the keys whose grace period is over, and wipes them.
    pub(super) fn retire_expired(&mut self, now: Now) {
        let over: Vec<PublicKey> = self
            .identity
            .retired
            .iter()
            .filter(|retired| retired.valid_until <= now.wall)
            .map(|retired| retired.identity.public_key())
            .collect();
        if over.is_empty() {
            return;
        }
        for key in &over {
            self.outputs.push_back(Output::Unlisten { topic: key.topic() });
        }
        let pending: Vec<(PublicKey, PublicKey)> = self.notices.pending.keys().copied().collect();
        let knew = pending.into_iter().filter(|(old, peer)| !self.met_after_rotation(old, peer)).collect::<Vec<_>>();
        // Peers can still be told of the last of them: its successor is there to prove itself.
        let last = self.identity.retired.iter().rfind(|retired| over.contains(&retired.identity.public_key()));
        let last = last.filter(|last| !self.untold(&last.identity.public_key()).is_empty());
        self.identity.former = last.map(|last| Box::new(FormerKey::from(last)));
        self.identity.retired.retain(|retired| !over.contains(&retired.identity.public_key()));
        let told_of: Vec<PublicKey> = self.identity.rotations().map(|rotation| rotation.old).collect();
        self.notices.pending.retain(|(old, _), _| told_of.contains(old));
        for (old, peer) in knew.into_iter().filter(|(old, _)| !told_of.contains(old)) {
            self.event(Event::RotationMissed { peer, old });
        }
        let stale: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.channel().is_some_and(|channel| over.contains(&channel.local())))
            .map(|(id, _)| *id)
            .collect();
        for id in stale {
            self.close(id, now);
        }
        self.store_identity();
    }

    /// Stores the identity as it is; nothing waits for it. While new keys are on their way to the disk it waits for them,
    /// so that it does not take their place.
    pub(super) fn store_identity(&mut self) {
        self.identity_unsaved = self.changes.rotate_keys();
        if self.identity_unsaved {
            return;
        }
        let write = DocumentWrite::Replace(self.identity.to_json());
        self.store(Document::Identity, write, AfterWrite::Nothing(Document::Identity));
    }
}

/// The signed words by which a key names the one that follows it, from now on.
fn statement(old: &Identity, new: &Identity, reason: RotationReason, grace: Duration, now: Now) -> String {
    let (new_encrypt, effective_at) = (new.encrypt_key(), now.wall);
    let (old_key, new_key) = (old.public_key(), new.public_key());
    RotationStatement { old: old_key, new: new_key, new_encrypt, reason, effective_at, grace }.sign(old)
}
