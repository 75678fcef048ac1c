//! The shapes of results, for the schemas that tools show: those of `docs/json.md`, whose blocks a test reads with them.
//!
//! Nothing is made of them at run time: a result is what the command printed. It may have more members than its schema.

#![expect(dead_code, reason = "only their schemas are used; a test reads the documentation with them")]

use schemars::JsonSchema;
#[cfg(test)]
use serde::Deserialize;
use serde_json::{Map, Value};

macro_rules! shapes {
    ($($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $member:ident: $kind:ty,)* })*) => {$(
        $(#[$about])*
        #[derive(JsonSchema)]
        #[cfg_attr(test, derive(Deserialize))]
        #[schemars(rename_all = "camelCase")]
        #[cfg_attr(test, serde(rename_all = "camelCase"))]
        pub(super) struct $name {
            $($(#[$doc])* pub(super) $member: $kind,)*
        }
    )*};
}

/// What a command says of a point in time that may not be.
type Millis = Option<u64>;

shapes! {
    /// A peer.
    Named {
        /// Its key: who it is.
        public_key: String,
        /// The beginning of its key's hash.
        short_id: String,
        /// The owner's name for it.
        name: Option<String>,
    }

    /// Who wrote a text.
    Writer {
        /// Its key, if it is known.
        public_key: Option<String>,
        /// The beginning of its key's hash.
        short_id: Option<String>,
        /// The owner's name for it.
        name: Option<String>,
        /// How far the owner trusts it: untrusted, semi-trusted, trusted; null if that could not be looked up.
        trust: Option<String>,
    }

    /// Says that a result has text from elsewhere in it, where, and whose.
    Remote {
        /// A sentence for the reader.
        notice: String,
        /// The members that hold such text.
        members: Vec<String>,
        /// Who wrote it, as far as that is not beside the text.
        from: Vec<Writer>,
    }

    /// One of our own keys in its grace period.
    FormerKey {
        /// The key.
        public_key: String,
        /// When it ends.
        valid_until: u64,
        /// The same in UTC.
        valid_until_iso: String,
        /// Why it was rotated.
        rotation_reason: String,
        /// The peers that know its successor.
        told: Vec<Named>,
        /// Those that do not.
        untold: Vec<Named>,
    }

    /// Who this node is.
    Identity {
        /// The node's key, which others write into invites.
        public_key: String,
        /// The beginning of its hash.
        short_id: String,
        /// The key that texts to the node are encrypted with.
        encrypt_pub: String,
        /// Where the node is found.
        topic: String,
        /// When the key was made.
        created: u64,
        /// The same in UTC.
        created_iso: String,
        /// The key before.
        rotated_from: Option<String>,
        /// Former keys that still count.
        former_keys: Vec<FormerKey>,
    }

    /// Somebody who asked too often.
    Ban {
        /// Who.
        peer: Named,
        /// From what: injects, logs, claims or invalid.
        name: String,
        /// For how long yet.
        banned_for_ms: u64,
    }

    /// How the daemon is seen from outside.
    Network {
        /// Whether the DHT answers.
        dht_reachable: bool,
        /// How many of its nodes are known.
        dht_nodes: u64,
        /// open, consistent, random or unknown.
        nat: String,
        /// The node's addresses, as others see them.
        addresses: Vec<String>,
    }

    /// The node at a glance.
    NodeStatus {
        /// The node's key.
        public_key: String,
        /// The beginning of its hash.
        short_id: String,
        /// Whether a daemon runs: without one, peers cannot reach this node.
        daemon: bool,
        /// How many peers are known.
        peers: u64,
        /// How many grants are in force.
        grants: u64,
        /// How many invites can be claimed.
        open_invites: u64,
        /// Who is connected.
        connected: Vec<Named>,
        /// Who is banned.
        banned: Vec<Ban>,
        /// Null without a daemon.
        network: Option<Network>,
    }

    /// What a peer has used of a limit.
    Used {
        /// injects, logs, claims or invalid.
        name: String,
        /// In the last minute.
        last_minute: u64,
        /// The most in a minute.
        max_per_minute: u64,
        /// In the last hour.
        last_hour: u64,
        /// The most in an hour.
        max_per_hour: u64,
        /// For how long it is banned yet.
        banned_for_ms: Option<u64>,
    }

    /// One peer and its limits.
    PeerStatus {
        /// Its key.
        public_key: String,
        /// The beginning of its hash.
        short_id: String,
        /// The owner's name for it.
        name: Option<String>,
        /// Whether it is connected.
        connected: bool,
        /// What it may do here.
        grants: Vec<Grant>,
        /// What it has used of its limits.
        limits: Vec<Used>,
    }

    /// What a peer opened to this node.
    Opened {
        /// Its sessions, in its words.
        sessions: Vec<String>,
        /// What may be done there.
        capabilities: Vec<String>,
        /// Since when.
        since: u64,
        /// The same in UTC.
        since_iso: String,
        /// Until when.
        expires: Millis,
        /// The same in UTC.
        expires_iso: Option<String>,
    }

    /// A former key of a peer.
    PastKey {
        /// The key.
        public_key: String,
        /// From when it counted.
        valid_from: Millis,
        /// Until when.
        valid_until: Millis,
        /// Why it was rotated.
        rotation_reason: String,
    }

    /// A known peer.
    Peer {
        /// Its key.
        public_key: String,
        /// The beginning of its hash.
        short_id: String,
        /// The owner's name for it.
        name: Option<String>,
        /// When it became known.
        added: u64,
        /// When it was last connected.
        last_seen: Millis,
        /// When its access was taken back.
        revoked: Millis,
        /// What it opened to this node, if anything.
        opened: Option<Opened>,
        /// Its former keys.
        key_history: Vec<PastKey>,
    }

    /// What a peer may do here.
    Grant {
        /// The grant's id.
        id: String,
        /// Whose it is.
        peer: Named,
        /// The sessions; ["*"] for all.
        sessions: Vec<String>,
        /// Those taken out of all.
        except: Vec<String>,
        /// What may be done there.
        capabilities: Vec<String>,
        /// How far the peer is trusted.
        trust: String,
        /// Since when.
        created: u64,
        /// Until when.
        expires: Millis,
        /// The nonce of the invite that it came from.
        invite: Option<String>,
    }

    /// An invite that this node issued.
    Invite {
        /// Its nonce: what names it.
        nonce: String,
        /// Who can claim it.
        subject: Named,
        /// What it opens.
        sessions: Vec<String>,
        /// What may be done there.
        capabilities: Vec<String>,
        /// When it was made.
        created: u64,
        /// Until when it can be claimed.
        expires: u64,
        /// open, claimed, revoked or expired.
        state: String,
    }

    /// New keys.
    Rotated {
        /// The node's new key.
        public_key: String,
        /// The beginning of its hash.
        short_id: String,
        /// The key before.
        rotated_from: String,
        /// Until when the key before counts.
        grace_until: u64,
        /// The peers that were told.
        told: Vec<Named>,
        /// Those that are told later.
        untold: Vec<Named>,
    }

    /// The known peers.
    Peers {
        /// Each of them.
        peers: Vec<Peer>,
    }

    /// What was taken back.
    Revoked {
        /// Grants that have ended.
        revoked: Vec<Grant>,
        /// Grants that go on with fewer sessions.
        narrowed: Vec<Grant>,
        /// Invites that can no longer be claimed.
        invites: Vec<Invite>,
    }

    /// A new invite.
    Created {
        /// The text to give to the peer.
        token: String,
        /// What it says.
        invite: Invite,
    }

    /// What a claimed invite opened.
    Claimed {
        /// Who issued it.
        peer: Peer,
        /// Its sessions, in its words.
        sessions: Vec<String>,
        /// What may be done there.
        capabilities: Vec<String>,
    }

    /// A new grant.
    Granted {
        /// The grant.
        grant: Grant,
    }

    /// Grants in force.
    Grants {
        /// Each of them.
        grants: Vec<Grant>,
    }

    /// A topic that was joined or left.
    TopicChanged {
        /// Its name.
        topic: String,
        /// Whether the node is on it now.
        joined: bool,
        /// Whether a daemon runs, so that others find the node there.
        daemon: bool,
    }

    /// A topic that the node is on.
    Topic {
        /// Its name.
        name: String,
        /// Its hash.
        topic: String,
        /// How many peers are met there now.
        connected: u64,
    }

    /// The topics that the node is on.
    Topics {
        /// Each of them.
        topics: Vec<Topic>,
    }

    /// Somebody on a topic.
    Found {
        /// Its key.
        public_key: String,
        /// The beginning of its hash.
        short_id: String,
        /// The owner's name for it.
        name: Option<String>,
        /// Whether it proved its key; otherwise anybody may be behind it.
        proven: bool,
        /// Whether it is there now.
        connected: bool,
        /// The topics on which we met.
        topics: Vec<String>,
        /// When it was last there.
        last_seen: u64,
        /// What it says of itself.
        profile: Value,
    }

    /// Who was met.
    Discovered {
        /// Each of them.
        discovered: Vec<Found>,
    }

    /// What became of a connection request.
    Connected {
        /// accepted, or pending: its owner has to decide.
        status: String,
        /// Whom it was for.
        peer: Named,
        /// Whether it proved its key.
        proven: Option<bool>,
        /// What it opened, in its words.
        sessions: Option<Vec<String>>,
        /// What may be done there.
        capabilities: Vec<String>,
    }

    /// What others on the topics see of this node.
    Profile {
        /// The profile.
        content: Value,
        /// When it was last changed.
        updated: Millis,
    }

    /// A message that waits for its peer.
    Queued {
        /// What names it.
        id: String,
        /// When it is given up.
        expires: u64,
    }

    /// A message that was left, or waits.
    Logged {
        /// Whether it is in the peer's session.
        logged: bool,
        /// Whom it is for, as was said.
        peer: String,
        /// In which session.
        session: String,
        /// Set if it waits until the peer can be reached.
        queued: Option<Queued>,
    }

    /// An answer.
    Answer {
        /// The text, by the peer's AI.
        answer: String,
        /// Who was asked, as was said.
        peer: String,
        /// In which session.
        session: String,
        /// Whose answer it is.
        from: Option<Writer>,
    }

    /// A message of a session, whole.
    Message {
        /// When.
        ts: u64,
        /// The same in UTC.
        iso: String,
        /// Who wrote it.
        from: String,
        /// message, question or answer.
        r#type: String,
        /// The text.
        content: String,
        /// Where it came from.
        channel: Channel,
    }

    /// Where a message came from.
    Channel {
        /// p2p: from a peer.
        r#type: String,
        /// Its key.
        id: String,
    }

    /// A page of a session.
    Page {
        /// The session.
        session: String,
        /// How many messages it has.
        total: u64,
        /// How many are before this page.
        offset: u64,
        /// How many a page has at most.
        page_size: u64,
        /// How many this one has.
        returned: u64,
        /// Whether there are more.
        has_more: bool,
        /// Where the next page begins.
        next_offset: Option<u64>,
        /// The messages, oldest first.
        history: Vec<Message>,
    }

    /// A message of a session, in short.
    Short {
        /// When.
        ts: u64,
        /// The same in UTC.
        iso: String,
        /// Who wrote it.
        from: String,
        /// message, question or answer.
        r#type: String,
        /// The beginning of the text.
        content: String,
        /// Whether that is not all of it.
        truncated: bool,
        /// Where it came from.
        channel: Option<Channel>,
    }

    /// The last messages of a session.
    Summary {
        /// The session.
        session: String,
        /// How many messages it has.
        total: u64,
        /// How many are shown.
        returned: u64,
        /// The messages, oldest first.
        history: Vec<Short>,
    }

    /// What happened.
    Event {
        /// Its number: each has the next.
        seq: u64,
        /// When.
        ts: u64,
        /// The same in UTC.
        iso: String,
        /// What, such as p2p.message.delivered.
        event: String,
    }

    /// A failure.
    Fault {
        /// The exit code that the command would have.
        code: u8,
        /// Its name, such as EXIT_UNAUTHORIZED.
        name: String,
        /// What happened, and why.
        message: String,
        /// What to do now; may be empty.
        next: String,
    }

    /// The result of a tool that failed.
    Failed {
        /// Why.
        error: Fault,
    }
}

/// What happened, oldest first.
#[derive(JsonSchema)]
pub(super) struct Events {
    /// Each with further members of its own.
    pub(super) events: Vec<Event>,
    /// The number to go on after; null if nothing has happened yet.
    pub(super) next: Option<u64>,
}

/// The node, or one peer.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Status {
    /// Without an argument.
    Node(NodeStatus),
    /// With a peer.
    Peer(PeerStatus),
}

/// A page, or the last messages in short.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum History {
    /// With full.
    Full(Page),
    /// Without.
    Short(Summary),
}

/// A tool's output schema: its result, or a failure; with the mark of remote text if it can have some.
pub(super) fn output<T: JsonSchema>(remote: bool) -> Map<String, Value> {
    let mut choices = match super::schema::of_result::<T>() {
        // A shape that is a choice itself.
        schema if schema.contains_key("anyOf") => schema["anyOf"].as_array().cloned().unwrap_or_default(),
        schema => vec![Value::Object(schema)],
    };
    choices.push(Value::Object(super::schema::of_result::<Failed>()));
    let mut output = Map::new();
    output.insert("type".to_owned(), "object".into());
    if remote {
        let mark = Map::from_iter([("remote".to_owned(), Value::Object(super::schema::of_result::<Remote>()))]);
        output.insert("properties".to_owned(), Value::Object(mark));
    }
    output.insert("anyOf".to_owned(), Value::Array(choices));
    output
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    /// Reads the block under a heading of docs/json.md.
    fn documented<T: DeserializeOwned>(heading: &str) {
        let doc = include_str!("../../../docs/json.md");
        let section = doc.split(&format!("### `wopr {heading}`\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
        let block = section.split("```json\n").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
        if let Err(error) = serde_json::from_str::<T>(block) {
            panic!("{heading}: {error} in {block}");
        }
    }

    #[test]
    fn every_schema_describes_what_the_command_prints() {
        documented::<Identity>("p2p identity");
        documented::<NodeStatus>("p2p status");
        documented::<PeerStatus>("p2p status --peer");
        documented::<Rotated>("p2p rotate");
        documented::<Peers>("p2p peers");
        documented::<Peer>("p2p name");
        documented::<Revoked>("p2p revoke");
        documented::<Created>("p2p invite create");
        documented::<Claimed>("p2p invite claim");
        documented::<Granted>("p2p grant");
        documented::<Grants>("p2p grants");
        documented::<TopicChanged>("p2p topic join");
        documented::<Topics>("p2p topics");
        documented::<Discovered>("p2p discover");
        documented::<Connected>("p2p connect");
        documented::<Profile>("p2p profile");
        documented::<Logged>("p2p log");
        documented::<Answer>("p2p inject");
        documented::<Page>("sessions history");
    }
}
