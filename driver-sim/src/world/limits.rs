//! How much gets through: counted beside the nodes, from what they store and what they complain of.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use wopr_p2p_core::TransportKey;
use wopr_p2p_core::event::RejectReason;
use wopr_p2p_core::grant::Needs;
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::time::Instant;

use super::World;
use crate::adversary::Kind;
use crate::net::Party;
use crate::oracle::{Rule, accuses};

/// What a node let through since it was started. A crash may cost it the last of its own counts, so this starts anew too.
#[derive(Default)]
pub(crate) struct Let {
    texts: BTreeMap<(PublicKey, bool), VecDeque<Instant>>,
    nuisance: BTreeMap<TransportKey, u64>,
}

/// The node counts when something arrives; when it is stored, its minute may be this much shorter.
const SLACK: Duration = Duration::from_secs(10);

impl World {
    /// A text of a peer is stored: not more of them than the limits allow.
    pub(crate) fn count_text(&mut self, index: usize, peer: PublicKey, needs: Needs) {
        let now = self.hosts[index].now(self.now).mono;
        let host = &mut self.hosts[index];
        let (rates, kind) = (&host.config.rates, needs == Needs::Inject);
        let limit = if kind { rates.injects } else { rates.logs };
        let times = host.let_in.texts.entry((peer, kind)).or_default();
        times.push_back(now);
        while times.front().is_some_and(|first| now.since(*first) > Duration::from_secs(3600) - SLACK) {
            times.pop_front();
        }
        let minute = times.iter().filter(|time| now.since(**time) <= Duration::from_secs(60) - SLACK).count();
        let (hour, per_minute, per_hour) = (times.len(), limit.per_minute, limit.per_hour);
        if minute > per_minute || hour > per_hour {
            let what = format!("{minute} texts of one peer within a minute, {hour} within an hour");
            self.violated(Rule::Limits, Party::Node(index), what);
        }
    }

    /// A transport key is a nuisance: soon it is heard no more. What it had opened before may still be.
    pub(crate) fn count_nuisance(&mut self, index: usize, remote: TransportKey, reason: RejectReason) {
        // What comes on a stream that a node dialled is not held against anybody.
        let dialled = matches!(
            self.mallory.as_ref().map(|mallory| mallory.kind),
            Some(Kind::Impostor | Kind::Relay | Kind::Liar)
        );
        if dialled || !accuses(reason) || reason == RejectReason::RateLimited {
            return;
        }
        let host = &mut self.hosts[index];
        let times = host.let_in.nuisance.entry(remote).or_default();
        *times += 1;
        // The bans of a run end once at most.
        let most = 2 * (host.config.rates.invalid.per_hour + host.config.max_streams_per_remote + 2) as u64;
        if *times > most {
            let what = format!("one transport key is heard although it was a nuisance {times} times");
            self.violated(Rule::Limits, Party::Node(index), what);
        }
    }
}
