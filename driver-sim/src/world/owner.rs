//! The owners: what they order, and whether what they are told is true.

use std::time::Duration;

use wopr_p2p_core::access::{Capability, SessionName, SessionSet, TrustLevel};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::rotation::RotationReason;
use wopr_p2p_core::{Command, CommandError, CommandId, Input, Reply};

use super::{Happening, World};
use crate::clock::SECOND;
use crate::host::{Backup, Order};
use crate::ledger::Invited;
use crate::net::Party;
use crate::oracle::{MARK, Rule, Sent};
use crate::scenario::Action;
use crate::words;

/// How many sessions each node has.
pub(super) const SESSIONS: u8 = 4;
/// How long a log or claim may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A session of the simulated nodes.
#[must_use]
pub(crate) fn session(number: u8) -> SessionName {
    SessionName::new(format!("s{}", number % SESSIONS)).unwrap_or_else(|_| unreachable!("a plain name"))
}

/// The sessions of a bit mask; all of them for 0.
pub(crate) fn sessions(mask: u8) -> SessionSet {
    let names: Vec<String> = (0..SESSIONS).filter(|n| mask & (1 << n) != 0).map(|n| format!("s{n}")).collect();
    SessionSet::new(names).unwrap_or(SessionSet::All)
}

impl World {
    /// Gives each node a few friends: they grant each other access, as people do before they meet.
    pub(crate) fn befriend(&mut self) {
        let (nodes, others) = (self.hosts.len(), self.originals.len());
        for index in 0..nodes {
            for step in 1..=2 {
                let other = (index + step) % nodes;
                if other != index {
                    self.grant(index, Party::Node(other), 0, false, 0);
                    self.grant(other, Party::Node(index), 0b0011, false, 0);
                }
            }
        }
        for original in 0..others {
            self.grant(original % nodes, Party::Original(original), 0b0001, false, 0);
        }
    }

    /// The key of a party, as everybody can know it.
    pub(crate) fn key_of(&self, party: Party) -> Option<PublicKey> {
        match party {
            Party::Node(index) => self.hosts.get(index)?.key(),
            Party::Original(index) => Some(self.originals.get(index)?.key()),
            Party::Mallory => Some(self.mallory.as_ref()?.key()),
        }
    }

    /// How an owner calls a peer: by the key that it had when they first met.
    pub(crate) fn contact(&mut self, index: usize, peer: Party) -> Option<PublicKey> {
        let key = self.key_of(peer)?;
        Some(*self.hosts[index].contacts.entry(peer).or_insert(key))
    }

    pub(crate) fn order(&mut self, index: usize, order: Order, command: Command) -> Option<CommandId> {
        self.hosts[index].node.as_ref()?;
        let id = CommandId(self.hosts[index].number());
        self.hosts[index].orders.insert(id, order);
        self.note_order(index, &command);
        self.drive(index, Some(Input::Command { id, command }));
        Some(id)
    }

    fn note_order(&mut self, index: usize, command: &Command) {
        if self.trace.keeps() {
            let text = words::command(&self.keys, command);
            self.note(Party::Node(index), "owner", None, || text);
        }
    }

    /// Carries out a step of the scenario.
    pub(crate) fn act(&mut self, action: &Action) {
        if self.healed {
            return;
        }
        let nodes = self.hosts.len();
        match *action {
            Action::Log { from, to, session: number, size } => {
                let (from, to) = (from % nodes, to % nodes);
                // A stranger's long line counts against it, so owners send long texts to those who know them.
                let size = if self.knows_key(to, from) { size } else { size.min(40_000) };
                self.log(from, Party::Node(to), session(number), size, false);
            }
            Action::Queue { from, to, session: number } => {
                self.queue(from % nodes, Party::Node(to % nodes), session(number));
            }
            Action::Inject { from, to, session: number } => {
                self.inject(from % nodes, Party::Node(to % nodes), session(number));
            }
            Action::Grant { by, to, sessions, message_only, seconds } => {
                self.grant(by % nodes, Party::Node(to % nodes), sessions, message_only, seconds);
            }
            Action::RevokePeer { by, whom } => self.revoke_peer(by % nodes, Party::Node(whom % nodes)),
            Action::RevokeGrant { by, whom } => self.revoke_grant(by % nodes, Party::Node(whom % nodes)),
            Action::Narrow { by, whom, session: number } => {
                self.narrow(by % nodes, Party::Node(whom % nodes), session(number));
            }
            Action::Invite { by, to, sessions: mask, seconds, twice } => {
                self.invite(by % nodes, Party::Node(to % nodes), mask, seconds, twice);
            }
            Action::RevokeInvite { by } => self.revoke_invite(by % nodes),
            Action::Rotate { by, wait } => {
                let (reason, timeout) = (RotationReason::Scheduled, Duration::from_secs(20));
                let command = Command::RotateKeys { reason, notify_all: wait, timeout };
                self.order(by % nodes, Order::Rotate, command);
            }
            _ => self.befall(action),
        }
    }

    /// What befalls a node from outside.
    fn befall(&mut self, action: &Action) {
        let nodes = self.hosts.len();
        match *action {
            Action::Crash { at, down } => self.crash(at % nodes, down * 1000),
            Action::CrashAtWrite { at, writes, before, down } => {
                self.hosts[at % nodes].fuse = Some((writes, before, down));
            }
            Action::DiskFull { at, seconds } => {
                self.fault(Party::Node(at % nodes), None, "disk full");
                self.hosts[at % nodes].disk.full = true;
                self.after(seconds * SECOND, Happening::DiskFreed { host: at % nodes });
            }
            Action::SetClock { at, by } => {
                self.struck(Party::Node(at % nodes));
                self.stats.fault("clock set");
                self.note(Party::Node(at % nodes), "fault", None, || format!("clock set by {by} ms"));
                let host = &mut self.hosts[at % nodes];
                host.clock.ahead += by;
                host.clock_set = self.now;
                host.disordered |= host.clock.ahead.unsigned_abs() > 12 * 3_600_000;
            }
            Action::Cut { from, to, both, seconds } => {
                let name = if both { "partition" } else { "one-way partition" };
                let (from, to) = (Party::Node(from % nodes), Party::Node(to % nodes));
                let until = self.now + seconds * SECOND;
                self.struck(from);
                self.struck(to);
                self.stats.fault(name);
                self.note(from, "fault", Some(to), || format!("{name} for {seconds} s"));
                self.net.cut(from, to, until);
                if both {
                    self.net.cut(to, from, until);
                }
            }
            Action::Backup { at } => {
                let host = &mut self.hosts[at % nodes];
                host.backup = Some(Backup { content: host.disk.content.clone(), books: host.books.clone() });
            }
            Action::Restore { at } => self.restore(at % nodes),
            _ => {}
        }
    }

    fn restore(&mut self, index: usize) {
        let Some(Backup { content, books }) = self.hosts[index].backup.take() else {
            return;
        };
        self.crash(index, 100_000);
        self.fault(Party::Node(index), None, "old state restored");
        let host = &mut self.hosts[index];
        (host.disk.content, host.books, host.restored) = (content, books, Some(self.now));
        host.waiting.clear();
        host.in_order.clear();
        for (text, sent) in &mut self.seen.texts {
            if sent.to == Party::Node(index) {
                let times = host.disk.content.count(&sent.session, text);
                sent.delivered = u32::try_from(times).unwrap_or(u32::MAX);
                sent.asked = 0;
            }
        }
    }

    /// A text that nobody else sends.
    pub(crate) fn text(&mut self, from: Party, to: Party, session: &SessionName, size: usize) -> String {
        self.texts += 1;
        let mark = String::from_utf8_lossy(MARK);
        let text = format!("{mark}{} {}", self.texts, "x".repeat(size));
        let session = session.as_str().to_owned();
        let sent = Sent { from, to, session, delivered: 0, asked: 0, at: self.now };
        self.seen.texts.insert(text.clone(), sent);
        text
    }

    pub(crate) fn log(&mut self, from: usize, to: Party, session: SessionName, size: usize, probe: bool) {
        let Some(key) = self.contact(from, to).filter(|_| to != Party::Node(from)) else {
            return;
        };
        let due = self.due(from, to, &session, size);
        let text = self.text(Party::Node(from), to, &session, size);
        let order = Order::Log { to, text: text.clone(), probe, due };
        let command = Command::Log { peer: PeerRef::Key(key), session, text, timeout: TIMEOUT };
        self.order(from, order, command);
    }

    pub(crate) fn inject(&mut self, from: usize, to: Party, session: SessionName) {
        let Some(key) = self.contact(from, to).filter(|_| to != Party::Node(from)) else {
            return;
        };
        let text = self.text(Party::Node(from), to, &session, 20);
        let order = Order::Inject { to, text: text.clone() };
        let timeout = Duration::from_secs(60);
        self.order(from, order, Command::Inject { peer: PeerRef::Key(key), session, text, timeout });
    }

    pub(crate) fn grant(&mut self, by: usize, to: Party, mask: u8, message_only: bool, seconds: u64) {
        if !self.knows(by, to) {
            // Owners give the key that the peer has now.
            self.hosts[by].contacts.remove(&to);
        }
        let Some(key) = self.contact(by, to).filter(|_| to != Party::Node(by)) else {
            return;
        };
        if let Party::Node(other) = to {
            self.contact(other, Party::Node(by));
        }
        let Some(now) = self.hosts[by].node.as_ref().map(|_| self.hosts[by].now(self.now).wall) else {
            return;
        };
        let capability = if message_only { Capability::message() } else { Capability::inject() };
        let expires_in = (seconds > 0).then(|| Duration::from_secs(seconds));
        let id = CommandId(self.hosts[by].number());
        let (sessions, expires) = (sessions(mask), expires_in.map(|delay| now + delay));
        self.hosts[by].books.order(id, to, sessions.clone(), capability.clone(), expires);
        self.hosts[by].orders.insert(id, Order::Grant);
        let (peer, capabilities, trust) = (PeerRef::Key(key), vec![capability], TrustLevel::Trusted);
        let command = Command::Grant { peer, sessions, capabilities, trust, expires_in };
        self.note_order(by, &command);
        self.drive(by, Some(Input::Command { id, command }));
    }

    /// Takes something back: the books know it before the node does, for it holds at once.
    fn take_back(&mut self, by: usize, command: Command, write: impl FnOnce(&mut Self, CommandId)) {
        if self.hosts[by].node.is_none() {
            return;
        }
        let id = CommandId(self.hosts[by].number());
        self.hosts[by].orders.insert(id, Order::Revoke);
        write(self, id);
        self.note_order(by, &command);
        self.drive(by, Some(Input::Command { id, command }));
    }

    pub(crate) fn revoke_peer(&mut self, by: usize, peer: Party) {
        if let Some(key) = self.contact(by, peer) {
            let command = Command::RevokePeer { peer: PeerRef::Key(key), session: None };
            if self.knows(by, peer) {
                let keys = self.keys_there(by, key);
                self.take_back(by, command, |world, id| {
                    world.hosts[by].books.revoke_peer(id, peer, &keys);
                    for order in world.hosts[by].orders.values_mut() {
                        if let Order::Invite { subject, revoked, .. } = order
                            && keys.contains(subject)
                        {
                            *revoked = Some(id);
                        }
                    }
                });
            }
        }
    }

    /// All keys that a node knows to be those of the peer with this one.
    fn keys_there(&self, by: usize, key: PublicKey) -> Vec<PublicKey> {
        let keys = self.hosts[by].peers().map(|peer| {
            core::iter::once(peer.key).chain(peer.history.iter().map(|past| past.key)).collect::<Vec<PublicKey>>()
        });
        keys.filter(|keys| keys.contains(&key)).flatten().collect()
    }

    fn narrow(&mut self, by: usize, peer: Party, session: SessionName) {
        if let Some(key) = self.contact(by, peer)
            && self.knows(by, peer)
        {
            let command = Command::RevokePeer { peer: PeerRef::Key(key), session: Some(session.clone()) };
            self.take_back(by, command, |world, id| world.hosts[by].books.narrow(id, peer, &session));
        }
    }

    pub(crate) fn revoke_grant(&mut self, by: usize, peer: Party) {
        let books = &self.hosts[by].books;
        let Some(grant) = books.grants.iter().find(|entry| entry.peer == peer).and_then(|entry| entry.id.clone())
        else {
            return;
        };
        let command = Command::RevokeGrant { grant: grant.clone() };
        self.take_back(by, command, |world, id| world.hosts[by].books.revoke_grant(id, &grant));
    }

    /// Whether a node's table of peers has this one: only then can its owner take something back by name.
    pub(crate) fn knows(&self, by: usize, peer: Party) -> bool {
        let contact = self.hosts[by].contacts.get(&peer);
        self.hosts[by].peers().any(|known| {
            contact.is_some_and(|key| known.key == *key || known.history.iter().any(|past| past.key == *key))
        })
    }

    pub(crate) fn invite(&mut self, by: usize, to: Party, mask: u8, seconds: u64, twice: bool) {
        self.invite_for(by, to, mask, seconds, twice, Duration::from_secs(3600));
    }

    /// The same for an invite that ends soon.
    pub(crate) fn invite_for(
        &mut self,
        by: usize,
        to: Party,
        mask: u8,
        seconds: u64,
        twice: bool,
        expires_in: Duration,
    ) {
        let Some(subject) = self.key_of(to).filter(|_| to != Party::Node(by)) else {
            return;
        };
        let (sessions, capabilities) = (sessions(mask), vec![Capability::inject()]);
        let command = Command::CreateInvite { subject, sessions, capabilities, expires_in };
        self.order(by, Order::Invite { to, subject, seconds, twice, revoked: None }, command);
    }

    pub(crate) fn revoke_invite(&mut self, by: usize) {
        let open = self.hosts[by].books.invites.iter().rev().find(|invite| !invite.over);
        let Some(nonce) = open.map(|invite| invite.nonce.clone()) else { return };
        let command = Command::RevokeInvite { invite: nonce.clone() };
        self.take_back(by, command, |world, id| {
            for invite in world.hosts[by].books.invites.iter_mut().filter(|invite| invite.nonce == nonce) {
                invite.leaving = Some(id);
            }
        });
    }

    pub(crate) fn claim(&mut self, by: usize, at: Party, token: String) {
        self.order(by, Order::Claim { at, token: token.clone() }, Command::Claim { token, timeout: TIMEOUT });
    }

    /// An order ended. What the owner is told must be true.
    pub(crate) fn order_ended(&mut self, index: usize, id: CommandId, result: Result<Reply, CommandError>) {
        let party = Party::Node(index);
        let Some(order) = self.hosts[index].orders.remove(&id) else {
            return self.violated(Rule::Ended, party, "an order that nobody gave, or that had ended, ends");
        };
        self.note(party, "told", None, || words::told(&order, &result));
        match &result {
            Ok(_) => self.stats.done += 1,
            Err(_) => self.stats.failed += 1,
        }
        match (order, result) {
            (Order::Log { to, text, probe, due }, result) => {
                match &result {
                    Ok(_) => {
                        self.check_stored(party, to, &text);
                        if to == Party::Mallory {
                            self.mallory_is_believed(party);
                        }
                    }
                    Err(error) => self.check_due(index, to, &text, &due, error),
                }
                if probe {
                    self.probe_ended(index, to, &text, result.err());
                }
            }
            (Order::Queue { to, text }, Ok(reply)) => self.queued(index, to, text, &reply),
            (Order::Inject { to, text }, Ok(reply)) => {
                self.check_stored(party, to, &text);
                // Mallory answers nothing that could be read.
                if reply != Reply::Answer(format!("re: {text}")) {
                    self.violated(Rule::Identity, party, "an answer that the AI did not give");
                }
            }
            (Order::Grant, Ok(Reply::Granted(grant))) => {
                if let Err(what) = self.hosts[index].books.granted(id, &grant) {
                    self.violated(Rule::Access, party, what);
                }
            }
            (Order::Grant, _) => self.hosts[index].books.not_granted(id),
            (Order::Revoke, Ok(_)) => self.hosts[index].books.revoked(id),
            (Order::Revoke, Err(CommandError::NotRevoked(_))) => self.hosts[index].books.not_revoked(id),
            (Order::Invite { to, subject, seconds, twice, revoked }, Ok(Reply::InviteCreated { token, invite })) => {
                self.hosts[index].books.invites.push(Invited {
                    peer: to,
                    subject,
                    sessions: invite.sessions.clone(),
                    capabilities: invite.capabilities.clone(),
                    expires: invite.expires,
                    nonce: invite.nonce.to_string(),
                    over: false,
                    leaving: revoked,
                });
                self.hand_over(index, to, token, seconds, twice);
            }
            (Order::Claim { at: Party::Node(issuer), token }, Ok(Reply::Claimed { .. }))
                if self.hosts[issuer].restored.is_none() && self.hosts[issuer].disk.content.has_open_invite(&token) =>
            {
                self.violated(Rule::Stored, party, "a claim was acknowledged, and its invite is still open");
            }
            _ => {}
        }
    }

    fn hand_over(&mut self, issuer: usize, to: Party, token: String, seconds: u64, twice: bool) {
        self.mallory_reads(&token);
        let at = Party::Node(issuer);
        if let Party::Node(by) = to {
            for pause in [0, 3].into_iter().take(if twice { 2 } else { 1 }) {
                self.after((seconds + pause) * SECOND, Happening::Claim { by, at, token: token.clone() });
            }
        }
    }

    /// Whatever is acknowledged is on the disk of the one who did.
    pub(crate) fn check_stored(&mut self, from: Party, to: Party, text: &str) {
        let Party::Node(index) = to else {
            return;
        };
        let Some(sent) = self.seen.texts.get(text) else {
            return;
        };
        let host = &self.hosts[index];
        let replaced = host.restored.is_some_and(|at| at >= sent.at);
        if !replaced && host.disk.content.count(&sent.session, text) != 1 {
            self.violated(Rule::Stored, to, format!("a text of {from:?} was acknowledged and is not stored once"));
        }
    }

    /// Whether a node has the present key of another in its table.
    fn knows_key(&self, by: usize, peer: usize) -> bool {
        self.hosts[peer].key().is_some_and(|key| self.hosts[by].peers().any(|known| known.key == key))
    }
}
