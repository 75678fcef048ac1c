//! The loop around a node: what happens goes in, what comes out is done, in one place.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use smol::channel::{Receiver, Sender, bounded, unbounded};
use smol::{Task, Timer, future};
use wopr_p2p_core::keys::Topic;
use wopr_p2p_core::{
    AskFailed, AskId, Command, CommandError, CommandId, DialEnd, DialId, Event, Input, Node, Output, Question, Reply,
    StreamId, StreamOrigin, TransportKey,
};

use super::observe::Observer;
use super::{Options, Pong, Report, Wake};
use crate::clock::Clock;
use crate::disk::{Disk, Written};
use crate::event_log::{EventLog, Subject};
use crate::handler::Handlers;
use crate::net::{self, DialEvent, Incoming, Network, Path, Stream, StreamReader, StreamWriter};

/// How long the last messages may take to leave when the node stops.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The loop's own state.
pub(super) struct Running {
    node: Node,
    clock: Clock,
    disk: Disk,
    network: Arc<dyn Network>,
    handlers: Handlers,
    listen: bool,
    report: Box<dyn Fn(Report) + Send>,
    observer: Observer,
    inbox: Sender<Wake>,
    /// How many messages may wait for a slow reader before its stream is given up.
    outbox: usize,
    streams: HashMap<StreamId, Open>,
    dials: HashMap<DialId, Task<()>>,
    asks: HashMap<AskId, Task<()>>,
    /// Writes that the disk has yet to confirm.
    writes: usize,
    /// Each stream's writer has a copy: when all are gone, everything has been sent.
    sending: Sender<Infallible>,
    sent: Receiver<Infallible>,
    stopping: bool,
    commands: HashMap<CommandId, Sender<Result<Reply, CommandError>>>,
    pings: HashMap<CommandId, Sender<Result<Pong, CommandError>>>,
    events: EventLog,
    listening: Listening,
    last_id: u64,
}

/// An open stream: the queue to its writer, and its reader, which stops when dropped.
struct Open {
    outbox: Sender<Vec<u8>>,
    reader: Option<Task<()>>,
    path: Path,
}

/// Whether we have been announced, as far as that is known, and who waits for it.
#[derive(Default)]
struct Listening {
    announced: Option<bool>,
    waiting: Vec<Sender<Result<(), net::NetError>>>,
}

impl Running {
    pub(super) fn new(
        node: Node,
        clock: Clock,
        disk: Disk,
        events: EventLog,
        options: Options,
        inbox: Sender<Wake>,
    ) -> Self {
        let Options { config, network, handlers, listen, report, observe } = options;
        let (sending, sent) = bounded(1);
        Self {
            node,
            clock,
            disk,
            network,
            handlers,
            listen,
            report,
            observer: Observer::new(observe),
            inbox,
            // All that the owner may ask of one peer, or one peer may have answered by us, at once.
            outbox: config.max_commands.saturating_add(config.max_requests_per_stream),
            streams: HashMap::new(),
            dials: HashMap::new(),
            asks: HashMap::new(),
            writes: 0,
            sending,
            sent,
            stopping: false,
            commands: HashMap::new(),
            pings: HashMap::new(),
            events,
            listening: Listening::default(),
            last_id: 0,
        }
    }

    /// Runs until it is told to stop.
    pub(super) async fn run(mut self, wakes: Receiver<Wake>, written: Receiver<Written>) {
        let accept = smol::spawn(accept(Arc::clone(&self.network), self.inbox.clone()));
        self.drain();
        let stopped = loop {
            // Looked at before waiting: inputs that keep coming must not hold up the clock.
            if self.until_timeout().is_zero() {
                self.node.handle_timeout(self.clock.now());
                self.drain();
            }
            let wait = self.until_timeout();
            let timer = async {
                Timer::after(wait).await;
                None
            };
            let wake = async { wakes.recv().await.ok() };
            let write = async { written.recv().await.ok().map(Wake::Written) };
            match future::or(write, future::or(wake, timer)).await {
                Some(Wake::Stop(done)) => break done,
                Some(wake) => self.wake(wake),
                None => self.node.handle_timeout(self.clock.now()),
            }
            self.drain();
        };
        drop(accept);
        self.finish(written).await;
        drop(stopped);
    }

    /// Lets what was accepted come to its end, and takes on nothing more.
    async fn finish(mut self, written: Receiver<Written>) {
        self.stopping = true;
        self.input(Input::Stopping);
        self.drain();
        self.dials.clear();
        self.asks.clear();
        for open in self.streams.values_mut() {
            open.reader = None;
        }
        while self.writes > 0
            && let Ok(written) = written.recv().await
        {
            self.wake(Wake::Written(written));
            self.drain();
        }
        self.streams.clear();
        drop(self.sending);
        let sent = async {
            if let Ok(never) = self.sent.recv().await {
                match never {}
            }
        };
        let late = async {
            Timer::after(LAST_WORDS).await;
        };
        future::or(sent, late).await;
        self.disk.close().await;
        self.events.close().await;
    }

    fn until_timeout(&self) -> Duration {
        let now = self.clock.now().mono;
        self.node.poll_timeout().map_or(Duration::from_secs(60), |(at, _)| at.since(now))
    }

    fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::Input(input) => {
                match &input {
                    Input::StreamClosed { stream } => self.closed(*stream),
                    Input::DialEnded { dial, .. } => drop(self.dials.remove(dial)),
                    _ => {}
                }
                self.input(input);
            }
            Wake::Written((id, result)) => {
                self.writes -= 1;
                self.observer.written(id, result.is_ok());
                self.input(Input::Written { id, result });
            }
            Wake::Answered { id, result } => self.answered(id, result),
            Wake::Opened { stream, origin } => self.opened(stream, origin),
            Wake::Run { command, result, waits } => {
                let id = CommandId(self.next_id());
                self.commands.insert(id, result);
                if is_question(&command) {
                    smol::spawn(give_up(waits, id, self.inbox.clone())).detach();
                }
                self.input(Input::Command { id, command });
            }
            Wake::Ping { peer, timeout, result } => {
                let id = CommandId(self.next_id());
                self.pings.insert(id, result);
                self.input(Input::Command { id, command: Command::Ping { peer, timeout } });
            }
            // Whoever asked may have stopped waiting.
            Wake::Paths(to) => drop(to.try_send(self.streams.iter().map(|(id, open)| (*id, open.path)).collect())),
            Wake::Look(look) => look(&self.node, self.clock.now()),
            Wake::Subscribe { to, ready } => self.events.subscribe(to, ready),
            Wake::Listened(result) => self.listened(result),
            Wake::AwaitListening(waiting) => self.await_listening(waiting),
            Wake::Stop(_) => {}
        }
    }

    fn await_listening(&mut self, waiting: Sender<Result<(), net::NetError>>) {
        match self.listening.announced {
            None if self.listen => self.listening.waiting.push(waiting),
            None | Some(true) => drop(waiting.try_send(Ok(()))),
            Some(false) => drop(waiting.try_send(Err(net::NetError::Unreachable))),
        }
    }

    fn listened(&mut self, result: Result<(), net::NetError>) {
        let announced = result.is_ok() || self.listening.announced == Some(true);
        self.listening.announced = Some(announced);
        // The reason is for the first who waits; the others hear the usual one.
        let mut reason = result.err();
        for waiting in self.listening.waiting.drain(..) {
            let result = if announced { Ok(()) } else { Err(reason.take().unwrap_or(net::NetError::Unreachable)) };
            drop(waiting.try_send(result));
        }
    }

    fn input(&mut self, input: Input) {
        if let Input::Received { stream, .. } = &input {
            self.observer.reads(Some(*stream));
        }
        self.node.handle_input(self.clock.now(), input);
    }

    /// Does what the node wants done.
    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            self.carry_out(output);
        }
        self.observer.reads(None);
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Dial { .. } | Output::Listen { .. } | Output::Ask { .. } if self.stopping => {}
            Output::Transmit { stream, bytes } => self.transmit(stream, bytes),
            Output::CloseStream { stream } => self.closed(stream),
            Output::Dial { dial, topic } => {
                let task = smol::spawn(dial_out(self.network.dial(topic.0), dial, self.inbox.clone()));
                self.dials.insert(dial, task);
            }
            Output::StopDial { dial } => drop(self.dials.remove(&dial)),
            Output::Listen { topic } => self.announce(topic),
            Output::Unlisten { topic } => {
                if self.listen {
                    smol::spawn(self.network.unlisten(topic.0)).detach();
                }
            }
            Output::Store { id, document, write } => {
                self.writes += 1;
                self.disk.store(id, document, write);
            }
            Output::Record { id, session, entry } => {
                self.writes += 1;
                self.observer.records(id, entry.kind);
                self.disk.record(id, session, entry);
            }
            Output::Ask { id, question } => self.ask(id, question),
            Output::CancelAsk { id } => {
                self.asks.remove(&id);
                self.observer.asked(id, None);
            }
            Output::Finished { id, result } => self.finished(id, result),
            Output::Event(event) => self.happened(event),
        }
    }

    fn finished(&mut self, id: CommandId, result: Result<Reply, CommandError>) {
        // Whoever asked may have stopped waiting.
        if let Some(waiting) = self.commands.remove(&id) {
            drop(waiting.try_send(result));
        } else if let Some(waiting) = self.pings.remove(&id) {
            let pong = match result {
                Ok(Reply::Pong { stream, found, round_trip }) => {
                    let open = self.streams.get(&stream).ok_or(CommandError::Cancelled);
                    open.map(|open| Pong { found, round_trip, path: open.path })
                }
                Ok(_) => Err(CommandError::Cancelled),
                Err(error) => Err(error),
            };
            drop(waiting.try_send(pong));
        }
    }

    fn happened(&mut self, event: Event) {
        self.observer.event(&event);
        let subject = Subject::of(&event).map(|key| {
            let peer = self.node.peer(&key);
            Subject { key, name: peer.and_then(|peer| peer.name.clone()), known: peer.is_some() }
        });
        self.events.log(event, self.clock.now().wall, subject);
    }

    fn ask(&mut self, id: AskId, question: Question) {
        let (peer, session) = (question.peer, question.session.clone());
        let (asked, inbox) = (self.handlers.ask(question), self.inbox.clone());
        let task = smol::spawn(async move {
            let result = asked.await.map_err(|error| Report::Unanswered { peer, session, error });
            drop(inbox.send(Wake::Answered { id, result }).await);
        });
        self.asks.insert(id, task);
        self.observer.asks(id);
    }

    fn answered(&mut self, id: AskId, result: Result<String, Report>) {
        // Without a task it was given up in the moment of its answer.
        if self.asks.remove(&id).is_none() {
            return;
        }
        self.observer.asked(id, Some(result.is_ok()));
        let result = result.map_err(|report| {
            let Report::Unanswered { error, .. } = &report;
            let failed = AskFailed::from(error);
            (self.report)(report);
            failed
        });
        self.input(Input::Answered { id, result });
    }

    fn announce(&mut self, topic: Topic) {
        if !self.listen {
            return;
        }
        let (listening, inbox) = (self.network.listen(topic.0), self.inbox.clone());
        // Where peers find us: a discovery topic says nothing about that.
        let counts = topic == self.node.public_key().topic();
        smol::spawn(async move {
            let result = listening.await;
            if counts {
                drop(inbox.send(Wake::Listened(result)).await);
            }
        })
        .detach();
    }

    fn opened(&mut self, stream: Stream, origin: StreamOrigin) {
        let id = StreamId(self.next_id());
        let (remote, path) = (TransportKey(stream.remote()), stream.path());
        let (reader, writer) = stream.split();
        // Its bound is looked at in `transmit`: a bounded queue would take up all of its room from the start.
        let (outbox, queued) = unbounded();
        let sending = self.sending.clone();
        smol::spawn(async move {
            write(writer, queued).await;
            drop(sending);
        })
        .detach();
        let reader = Some(smol::spawn(read(reader, id, self.inbox.clone())));
        self.streams.insert(id, Open { outbox, reader, path });
        self.observer.opened(id, matches!(origin, StreamOrigin::Dialled(_)));
        self.input(Input::StreamOpened { stream: id, origin, remote });
    }

    fn transmit(&mut self, id: StreamId, bytes: Vec<u8>) {
        let Some(open) = self.streams.get(&id) else {
            return;
        };
        if open.outbox.len() >= self.outbox || open.outbox.try_send(bytes).is_err() {
            // It reads nothing, or it is gone: nobody can be answered there.
            self.closed(id);
            self.input(Input::StreamClosed { stream: id });
        }
    }

    fn closed(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
        self.observer.closed(stream);
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

fn is_question(command: &Command) -> bool {
    match command {
        Command::Inject { .. } => true,
        Command::InChain { command, .. } => is_question(command),
        _ => false,
    }
}

/// Cancels a command when nobody waits for it any more; one that has finished by then takes no notice.
async fn give_up(waits: Receiver<Infallible>, id: CommandId, inbox: Sender<Wake>) {
    if let Ok(never) = waits.recv().await {
        match never {}
    }
    drop(inbox.send(Wake::Input(Input::CancelCommand { id })).await);
}

/// Hands over the streams that others open.
async fn accept(network: Arc<dyn Network>, inbox: Sender<Wake>) {
    while let Some(Incoming { stream, topics }) = network.accept().await {
        let origin = StreamOrigin::Accepted { topics: topics.into_iter().map(Topic).collect() };
        if inbox.send(Wake::Opened { stream, origin }).await.is_err() {
            return;
        }
    }
}

/// Hands over the streams of one dial.
async fn dial_out(mut search: net::Dial, dial: DialId, inbox: Sender<Wake>) {
    let why = loop {
        let wake = match search.next().await {
            Some(DialEvent::Opened(stream)) => Wake::Opened { stream, origin: StreamOrigin::Dialled(dial) },
            Some(DialEvent::Ended(net::DialEnd::NetworkDown)) => break DialEnd::NetworkDown,
            Some(DialEvent::Ended(net::DialEnd::Exhausted)) | None => break DialEnd::Exhausted,
        };
        if inbox.send(wake).await.is_err() {
            return;
        }
    };
    drop(inbox.send(Wake::Input(Input::DialEnded { dial, why })).await);
}

/// Hands over what arrives on a stream.
async fn read(mut reader: StreamReader, stream: StreamId, inbox: Sender<Wake>) {
    while let Some(bytes) = reader.recv().await {
        if inbox.send(Wake::Input(Input::Received { stream, bytes })).await.is_err() {
            return;
        }
    }
    drop(inbox.send(Wake::Input(Input::StreamClosed { stream })).await);
}

/// Sends what is queued for a stream, then closes it.
async fn write(writer: StreamWriter, queued: Receiver<Vec<u8>>) {
    while let Ok(bytes) = queued.recv().await {
        if writer.send(bytes).await.is_err() {
            return;
        }
    }
    writer.close().await;
}
