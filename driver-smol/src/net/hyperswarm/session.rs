//! One client that shook hands with us and now tries to get through: our side of the punching.
//!
//! Ends with a stream, or after a while without one.

use std::collections::HashSet;
use std::net::SocketAddrV4;
use std::time::Duration;

use peeroxide_dht::hyperdht_messages::{
    ERROR_ABORTED, ERROR_NONE, ERROR_TRY_LATER, FIREWALL_UNKNOWN, HolepunchMessage, HolepunchPayload, MODE_FROM_SERVER,
    PEER_HOLEPUNCH, decode_holepunch_msg_from_bytes, encode_holepunch_msg_to_bytes,
};
use peeroxide_dht::secure_payload::SecurePayload;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::armed::Armed;
use super::connect::ConnectError;
use super::punch::{Event, Puncher, Start};
use super::relay::{Attending, Meeting, PAIRING, Passage, RELAY_AFTER};
use super::rpc::{Call, address, peer};
use super::server::{Door, question};
use super::way::Way;

/// How long a client may take until it punches.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long punching may go on; a random NAT needs up to about 36 seconds.
const PUNCHING: Duration = Duration::from_secs(40);
/// The first probes have just been sent when punching begins, so the next wait.
const AFTER_FAST_OPEN: Duration = Duration::from_secs(1);
/// Questions that wait until our NAT is known.
const MAX_WAITING: usize = 8;

/// A client's message about punching, passed on by a relay.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) relay: SocketAddrV4,
    pub(super) tid: u16,
    /// The client as the relay sees it.
    pub(super) client: SocketAddrV4,
    /// Encrypted.
    pub(super) payload: Vec<u8>,
}

/// A question that was understood.
struct Asked {
    question: Question,
    said: HolepunchPayload,
}

/// The state of one handshake.
pub(super) struct Session {
    door: Door,
    payload: SecurePayload,
    armed: Armed,
    puncher: Puncher,
    round: u64,
    waiting: Vec<Asked>,
    /// Sockets of the puncher on which the stream waits already.
    armed_sockets: HashSet<usize>,
    deadline: Instant,
    relaying: Relaying,
    /// When the meeting at the relay shall not wait any longer: the client has shown that it is one.
    relay_due: Option<Instant>,
    /// There is no way without a relay.
    given_up: bool,
}

/// Whether the two sides meet at a relay.
enum Relaying {
    /// The handshake named none, or we did not get there.
    Impossible,
    /// Our stream of this number can.
    Possible(Meeting, u32),
    /// We are on the way.
    Attending(Attending),
    /// We are there, and the first packet has yet to come.
    There,
}

impl Session {
    pub(super) fn new(door: Door, armed: Armed, puncher: Puncher, meeting: Option<(Meeting, u32)>) -> Self {
        let payload = SecurePayload::new(door.keys.holepunch_secret);
        let armed_sockets = HashSet::from([0]);
        let deadline = Instant::now() + PATIENCE;
        let relaying = meeting.map_or(Relaying::Impossible, |(meeting, stream)| Relaying::Possible(meeting, stream));
        Self {
            door,
            payload,
            armed,
            puncher,
            round: 0,
            waiting: Vec::new(),
            armed_sockets,
            deadline,
            relaying,
            relay_due: None,
            given_up: false,
        }
    }

    /// Goes on until the client is connected, time is up, or the place is taken away (the channel's other end is).
    pub(super) async fn run(mut self, mut questions: mpsc::Receiver<Question>) {
        loop {
            let goes_on = tokio::select! {
                first = self.armed.opened() => {
                    let way = Way::Probed { nat: &self.puncher.nat(), theirs: &self.door.hosts };
                    let wire = self.armed.settle(first, |from| way.path(&self.door.shared, from));
                    if let Some(wire) = wire {
                        self.door.deliver(wire, questions);
                    }
                    return;
                }
                question = questions.recv() => match question {
                    Some(question) => self.hear(question).await,
                    // Our place went to another session.
                    None => return,
                },
                event = self.puncher.next() => self.happened(event).await,
                passage = attended(&mut self.relaying) => self.attended(passage).await,
                () = due(self.relay_due) => self.go_to_relay(),
                () = sleep_until(self.deadline) => return,
            };
            if !goes_on {
                self.given_up = true;
                self.puncher.stop();
                if !self.go_to_relay() {
                    return;
                }
            }
        }
    }

    /// Sets out for the relay if there is one to go to; whether there is anything to wait for there.
    fn go_to_relay(&mut self) -> bool {
        self.relay_due = None;
        if let Relaying::Possible(meeting, stream) = self.relaying {
            self.relaying = Relaying::Attending(meeting.attend(self.door.shared.clone(), stream));
            self.deadline = self.deadline.max(Instant::now() + PAIRING);
        }
        !matches!(self.relaying, Relaying::Impossible)
    }

    async fn attended(&mut self, passage: Result<Passage, ConnectError>) -> bool {
        let Ok(passage) = passage else {
            self.relaying = Relaying::Impossible;
            return !self.given_up;
        };
        self.relaying = Relaying::There;
        self.armed.arm_passage(passage).await;
        self.deadline = self.deadline.max(Instant::now() + PATIENCE);
        true
    }

    async fn happened(&mut self, event: Event) -> bool {
        match event {
            Event::Probe(number, from) => {
                if let Some(socket) = self.puncher.socket(number) {
                    socket.probe(from);
                }
                true
            }
            Event::Request(from, request) => {
                let message = request.value.as_deref().and_then(|value| decode_holepunch_msg_from_bytes(value).ok());
                let asked = message.filter(|_| request.command == PEER_HOLEPUNCH && !request.internal);
                match asked.and_then(|message| question(from, request.tid, message)) {
                    Some(question) => self.hear(question).await,
                    None => true,
                }
            }
            Event::Nat => {
                let waiting = if self.puncher.nat().settled { std::mem::take(&mut self.waiting) } else { vec![] };
                for asked in waiting {
                    if !self.answer(asked).await {
                        return false;
                    }
                }
                true
            }
            Event::GaveUp => false,
        }
    }

    /// Takes in what the client says, and answers as soon as our NAT is known.
    async fn hear(&mut self, question: Question) -> bool {
        // Not from our client: only it has the key.
        let Ok(said) = self.payload.decrypt(&question.payload) else {
            return true;
        };
        if matches!(self.relaying, Relaying::Possible(..)) && self.relay_due.is_none() {
            self.relay_due = Some(Instant::now() + RELAY_AFTER);
        }
        if said.error != ERROR_NONE {
            return false;
        }
        // Whoever can read what we sent to this address through our own relay is there.
        let token = self.payload.token(&question.client.ip().to_string());
        let echoed = self.door.listener.is_relay(question.relay) && said.remote_token == Some(token);
        if said.round >= self.round {
            self.round = said.round;
            let verified = echoed.then(|| *question.client.ip());
            self.puncher.remote.update(said.firewall, said.punching, said.addresses.as_deref(), verified);
        }
        let asked = Asked { question, said };
        if self.puncher.nat().settled {
            return self.answer(asked).await;
        }
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push(asked);
        }
        true
    }

    async fn answer(&mut self, Asked { question, said }: Asked) -> bool {
        let nat = self.puncher.nat();
        let opened = said.remote_address.as_ref().and_then(address);
        if !nat.is_random()
            && opened.is_some_and(|opened| nat.addresses.contains(&opened))
            && let Some(socket) = self.puncher.socket(0)
        {
            // The client has opened its NAT for this very address: one probe connects us. Without it the client would
            // wait for the next round of probes, a second later.
            socket.probe(question.client);
        }
        if self.puncher.remote.punching {
            let error = match self.puncher.start(&self.door.shared.turns, AFTER_FAST_OPEN).await {
                Ok(Start::Punching) => ERROR_NONE,
                Ok(Start::Busy) => ERROR_TRY_LATER,
                Ok(Start::NoWay) | Err(_) => ERROR_ABORTED,
            };
            if error != ERROR_NONE {
                self.send(&question, &self.refusal(error));
                return error == ERROR_TRY_LATER;
            }
            self.arm_all();
            self.deadline = Instant::now() + PUNCHING;
        }
        let token = self.payload.token(&question.client.ip().to_string());
        let answer = HolepunchPayload {
            error: ERROR_NONE,
            firewall: nat.firewall,
            round: self.round,
            connected: false,
            punching: self.puncher.is_punching(),
            addresses: Some(nat.addresses.iter().copied().map(peer).collect()),
            remote_address: None,
            token: self.door.listener.is_relay(question.relay).then_some(token),
            remote_token: said.token,
        };
        self.send(&question, &answer);
        true
    }

    /// The stream has to be where the client's first packet arrives, and that may be any of the sockets.
    fn arm_all(&mut self) {
        for number in self.puncher.sockets() {
            if let Some(socket) = self.puncher.socket(number)
                && self.armed_sockets.insert(number)
            {
                self.armed.arm(socket.clone());
            }
        }
    }

    fn refusal(&self, error: u64) -> HolepunchPayload {
        HolepunchPayload {
            error,
            firewall: FIREWALL_UNKNOWN,
            round: self.round,
            connected: false,
            punching: false,
            addresses: None,
            remote_address: None,
            token: None,
            remote_token: None,
        }
    }

    /// Answers from the socket that punches: the relay tells the client the address it sees.
    fn send(&self, question: &Question, answer: &HolepunchPayload) {
        let Some(socket) = self.puncher.socket(0) else {
            return;
        };
        let Ok(payload) = self.payload.encrypt(answer) else {
            return;
        };
        let peer_address = Some(peer(question.client));
        let message = HolepunchMessage { mode: MODE_FROM_SERVER, id: 0, payload, peer_address };
        let Ok(value) = encode_holepunch_msg_to_bytes(&message) else {
            return;
        };
        socket.relay(
            question.relay,
            question.tid,
            Call::new(PEER_HOLEPUNCH, self.door.listener.target).with_value(value),
        );
    }
}

/// Ends when we have come to the relay, or not.
async fn attended(relaying: &mut Relaying) -> Result<Passage, ConnectError> {
    match relaying {
        Relaying::Attending(attending) => attending.await,
        _ => std::future::pending().await,
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
