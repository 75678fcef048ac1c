//! Texts that wait for their receivers: none is lost, none comes twice, and those of one sender come in their order.

use std::time::Duration;

use wopr_p2p_core::access::SessionName;
use wopr_p2p_core::keys::Nonce;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_core::{Command, Reply};

use super::World;
use crate::host::Order;
use crate::net::Party;
use crate::oracle::{MARK, Rule};

impl World {
    /// The owner has a text that may wait.
    pub(crate) fn queue(&mut self, from: usize, to: Party, session: SessionName) {
        let Some(key) = self.contact(from, to).filter(|_| to != Party::Node(from)) else {
            return;
        };
        // It may take more than one try.
        self.is_modest(from, to);
        self.is_modest(from, to);
        let text = self.text(Party::Node(from), to, &session, 20);
        let order = Order::Queue { to, text: text.clone() };
        let (timeout, expires_in) = (Duration::from_secs(5), Duration::from_secs(24 * 3600));
        self.order(from, order, Command::Queue { peer: PeerRef::Key(key), session, text, timeout, expires_in });
    }

    /// The owner is told that it was delivered, or waits.
    pub(crate) fn queued(&mut self, index: usize, to: Party, text: String, reply: &Reply) {
        let party = Party::Node(index);
        match reply {
            Reply::Queued { id, .. } => {
                if !self.hosts[index].disk.content.has_queued(id) {
                    self.violated(Rule::Stored, party, "a text waits that is not stored");
                }
                self.hosts[index].waiting.insert(*id, text);
            }
            _ => self.check_stored(party, to, &text),
        }
    }

    /// The owner hears that what waited was delivered.
    pub(crate) fn queued_delivered(&mut self, index: usize, id: &Nonce) {
        let text = self.hosts[index].waiting.remove(id);
        let to = text.as_ref().and_then(|text| self.seen.texts.get(text)).map(|sent| sent.to);
        if let (Some(text), Some(to)) = (text, to) {
            self.check_stored(Party::Node(index), to, &text);
        }
    }

    /// A text that had waited is in a session's file.
    pub(crate) fn check_appended(&mut self, index: usize, session: &str, text: &str) {
        let party = Party::Node(index);
        if self.hosts[index].disk.content.count(session, text) > 1 {
            self.violated(Rule::Once, party, "a text that waited is stored twice");
        }
        let number = text.as_bytes().strip_prefix(MARK).and_then(|rest| rest.split(|byte| *byte == b' ').next());
        let number = number.and_then(|digits| str::from_utf8(digits).ok()?.parse::<u64>().ok());
        let sender = self.seen.texts.get(text).map(|sent| sent.from);
        let (Some(number), Some(from)) = (number, sender) else {
            return;
        };
        // Old state of a sender brings back what was given up or delivered since.
        let restored = matches!(from, Party::Node(sender) if self.hosts[sender].restored.is_some());
        let last = self.hosts[index].in_order.insert(from, number);
        if last.is_some_and(|last| last > number) && !restored {
            self.violated(Rule::Once, party, format!("a text of {from:?} overtakes another that waited before it"));
        }
    }

    /// In the end: what waits is still there, or was delivered, or its owner was told.
    pub(crate) fn check_waiting(&mut self) {
        for index in 0..self.hosts.len() {
            let outbox = self.hosts[index].node.as_ref().map(|node| node.snapshot().outbox).unwrap_or_default();
            for (id, text) in core::mem::take(&mut self.hosts[index].waiting) {
                let sent = self.seen.texts.get(&text).cloned();
                let delivered = sent.is_none_or(|sent| match sent.to {
                    Party::Node(to) => {
                        let host = &self.hosts[to];
                        host.restored.is_some() || host.disk.content.count(&sent.session, &text) > 0
                    }
                    _ => true,
                });
                if !delivered && !outbox.iter().any(|waiting| waiting.id == id) {
                    self.violated(Rule::Stored, Party::Node(index), "a text that waited is lost");
                }
            }
        }
    }
}
