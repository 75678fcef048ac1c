//! The owner's settings as the core's: its defaults, with what the owner set.

use std::num::NonZeroU32;
use std::time::Duration;

use wopr_p2p_core::gateway::Gateway;
use wopr_p2p_core::rate::{Limit, RateConfig};

use super::bounds::{Limits, Outbox, Requests};
use super::{Config, Rate, RateLimits};

impl Config {
    /// The bounds and delays of the node.
    pub(crate) fn core(&self) -> wopr_p2p_core::Config {
        let mut core = wopr_p2p_core::Config::default();
        set(&mut core.max_payload, self.max_payload_size.map(|size| size as usize));
        set(&mut core.rotation_grace, self.key_rotation_grace_hours.map(hours));
        set(&mut core.rotation_grace_compromise, self.key_compromise_grace_hours.map(hours));
        set(&mut core.min_version, self.min_protocol_version.and_then(|version| u8::try_from(version).ok()));
        set(&mut core.max_chain, self.max_question_chain.map(|questions| questions as usize));
        set(&mut core.ephemeral_ttl, self.ephemeral_ttl);
        set(&mut core.discovery.auto_accept, self.auto_accept);
        set(&mut core.discovery.trust, self.discovery_trust);
        core.gateway = self.gateway.as_ref().filter(|gateway| gateway.enabled).map(|gateway| Gateway {
            session: gateway.session.clone(),
            capabilities: gateway.capabilities.clone(),
            approval: gateway.approval,
        });
        rates(&mut core.rates, &self.rate_limit);
        set(&mut core.replay.window, self.replay.window);
        set(&mut core.replay.max_nonces, count(self.replay.max_nonces));
        outbox(&mut core, &self.outbox);
        requests(&mut core, &self.requests);
        limits(&mut core, &self.limits);
        core
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn count(number: Option<NonZeroU32>) -> Option<usize> {
    number.map(|number| number.get() as usize)
}

fn hours(hours: u32) -> Duration {
    Duration::from_secs(u64::from(hours) * 3600)
}

fn rates(core: &mut RateConfig, rates: &RateLimits) {
    limit(&mut core.injects, &rates.injects);
    limit(&mut core.claims, &rates.claims);
    limit(&mut core.logs, &rates.logs);
    limit(&mut core.invalid, &rates.invalid);
}

fn limit(limit: &mut Limit, rate: &Rate) {
    set(&mut limit.per_minute, count(rate.max_per_minute));
    set(&mut limit.per_hour, count(rate.max_per_hour));
    set(&mut limit.ban, rate.ban);
}

fn outbox(core: &mut wopr_p2p_core::Config, outbox: &Outbox) {
    set(&mut core.outbox.max_messages, count(outbox.max_messages));
    set(&mut core.outbox.max_per_peer, count(outbox.max_per_peer));
    set(&mut core.outbox.max_bytes, count(outbox.max_bytes));
    set(&mut core.outbox.first_retry, outbox.first_retry);
    set(&mut core.outbox.last_retry, outbox.last_retry);
}

fn requests(core: &mut wopr_p2p_core::Config, requests: &Requests) {
    set(&mut core.discovery.max_requests, count(requests.max_waiting));
    set(&mut core.discovery.max_held_per_peer, count(requests.max_per_peer));
    set(&mut core.discovery.max_held_bytes, count(requests.max_bytes));
    set(&mut core.discovery.request_expiry, requests.expire);
}

fn limits(core: &mut wopr_p2p_core::Config, limits: &Limits) {
    set(&mut core.max_streams, count(limits.max_streams));
    set(&mut core.max_stranger_streams, count(limits.max_stranger_streams));
    set(&mut core.max_streams_per_remote, count(limits.max_streams_per_peer));
    set(&mut core.max_requests_per_stream, count(limits.max_requests_per_stream));
    set(&mut core.max_asks, count(limits.max_questions));
    set(&mut core.max_grants, count(limits.max_grants));
    set(&mut core.max_peers, count(limits.max_peers));
    set(&mut core.max_invites, count(limits.max_invites));
    set(&mut core.discovery.max_topics, count(limits.max_topics));
    set(&mut core.discovery.max_found, count(limits.max_discovered));
    set(&mut core.idle_timeout, limits.idle_timeout);
    set(&mut core.handshake_timeout, limits.handshake_timeout);
}
