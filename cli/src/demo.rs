//! `p2p demo`: the whole thing at work, on this machine alone. Two nodes with throw-away homes meet on a private DHT on
//! loopback; one lets the other in, they talk, and what was not granted is refused.
//!
//! It uses the same nodes and settings as every other command; only the homes and the DHT are its own.

pub(crate) mod answer;
mod steps;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use smol::future;
use wopr_p2p_core::access::{Capability, SessionName, SessionSet};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::{Command, CommandError, Reply};
use wopr_p2p_smol::handler::Handler;
use wopr_p2p_smol::home::Home;
use wopr_p2p_smol::net::Bootstrap;
use wopr_p2p_smol::session_file::SessionReader;

use self::steps::Steps;
use crate::config::Config;
use crate::daemon::{signals, until_asked};
use crate::exit::{Exit, Failure};
use crate::node::{Node, Reach};
use crate::output::{BOLD, DIM, Json, Object, Output};

/// The session that Bob is let into.
const OPEN: &str = "main";
/// The session that he is not let into.
const CLOSED: &str = "private";
/// How long each message may take; far more than it does.
const TIMEOUT: Duration = Duration::from_secs(30);
const NOTE: &str = "FYI: deployment complete";
const QUESTION: &str = "What's the status of the build?";

/// Shows the demo, step by step.
///
/// # Errors
/// A step was not as it should be.
pub(crate) async fn run(out: Output) -> Result<(), Failure> {
    if !out.is_json() {
        out.line(
            &Object::default(),
            &format!("{BOLD}wopr demo{BOLD:#} {DIM}two nodes on a private DHT on this machine{DIM:#}\n\n"),
        )?;
    }
    let signals = signals()?;
    let folder = tempfile::Builder::new().prefix("wopr-demo-").tempdir().map_err(|error| {
        Failure::invalid(
            format!("no folder for the demo can be made: {error}"),
            "set TMPDIR to a folder that can be written",
        )
    })?;
    let interrupted = async {
        until_asked(signals).await?;
        Err(Failure::new(Exit::Rejected, "the demo was interrupted", ""))
    };
    let mut steps = Steps::new(out);
    future::or(show(&mut steps, folder.path()), interrupted).await?;
    Ok(steps.finish()?)
}

async fn show(steps: &mut Steps, folder: &Path) -> Result<(), Failure> {
    let dht = steps.step("dht", "A private DHT starts on loopback", start_dht()).await?;
    let opening = open_nodes(folder, dht.address());
    let (alice, bob) = steps.step("identities", "Alice and Bob get keys of their own", opening).await?;
    steps.step("listen", "Alice can be found under her key", listen(&alice)).await?;
    let stage = Stage { alice_home: home(folder, "alice")?, alice, bob };
    let token = steps.step("invite", "Alice invites Bob's key to one session", stage.invite()).await?;
    steps.step("claim", "Bob finds Alice and claims the invite", stage.claim(token)).await?;
    steps.step("log", "Bob leaves a message in the session", stage.log()).await?;
    steps.step("inject", "Bob asks the session's AI a question", stage.inject()).await?;
    steps.step("session", "Alice's session file has all of it", stage.session_file()).await?;
    steps.step("refused", "Bob tries a session that was not granted", stage.refused(CLOSED)).await?;
    steps.step("revoke", "Alice revokes Bob", stage.revoke()).await?;
    steps.step("revoked", "Bob tries the first session again", stage.refused(OPEN)).await?;
    stage.bob.close().await;
    stage.alice.close().await;
    dht.close().await;
    Ok(())
}

async fn start_dht() -> Result<(Bootstrap, Object), Failure> {
    let dht = Bootstrap::run(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), Vec::new())
        .await
        .map_err(|error| Failure::new(Exit::Offline, error.to_string(), "check that UDP on 127.0.0.1 is allowed"))?;
    let found = Object::default().shown("listen", dht.address());
    Ok((dht, found))
}

/// Alice's node answers questions to its one session with the built-in command.
async fn open_nodes(folder: &Path, dht: SocketAddrV4) -> Result<((Node, Node), Object), Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::invalid(format!("this program's own file is not known: {error}"), "start it by its full path")
    })?;
    let answering = Handler { timeout: TIMEOUT, ..Handler::command(program, ["p2p", "demo-answer"]) };
    let (bootstrap, bind) = (Some(vec![dht.to_string()]), Some(*dht.ip()));
    let settings = || Config { bootstrap: bootstrap.clone(), bind, lan: Some(false), ..Config::default() };
    let alice_settings = Config { sessions: BTreeMap::from([(OPEN.to_owned(), answering)]), ..settings() };
    let alice = Node::open(&home(folder, "alice")?, &alice_settings, Reach::BothWays).await?;
    let bob = Node::open(&home(folder, "bob")?, &settings(), Reach::Others).await?;
    let found = Object::default()
        .shown("alice", alice.snapshot().await?.public_key)
        .shown("bob", bob.snapshot().await?.public_key);
    Ok(((alice, bob), found))
}

fn home(folder: &Path, name: &str) -> Result<Home, Failure> {
    Home::at(folder.join(name)).map_err(|error| Failure::invalid(error.to_string(), ""))
}

async fn listen(alice: &Node) -> Result<((), Object), Failure> {
    alice.listening().await.map_err(|error| Failure::new(Exit::Offline, error.to_string(), ""))?;
    Ok(((), Object::default().shown("topic", alice.snapshot().await?.public_key.topic())))
}

/// The two nodes, in the steps that they take together.
struct Stage {
    alice_home: Home,
    alice: Node,
    bob: Node,
}

impl Stage {
    async fn invite(&self) -> Result<(String, Object), Failure> {
        let command = Command::CreateInvite {
            subject: key(&self.bob).await?,
            sessions: SessionSet::new([OPEN]).map_err(wrong)?,
            capabilities: vec![Capability::inject()],
            expires_in: Duration::from_secs(3600),
        };
        let Reply::InviteCreated { token, invite } = self.alice.run(command).await.map_err(wrong)? else {
            return Err(unlike("no invite was created"));
        };
        let shown: String = token.chars().take(40).collect();
        let found =
            Object::default().with("token", format!("{shown}…")).with("sessions", invite.sessions.names().join(", "));
        Ok((token, found))
    }

    async fn claim(&self, token: String) -> Result<((), Object), Failure> {
        let claim = Command::Claim { token, timeout: TIMEOUT };
        let Reply::Claimed { sessions, capabilities, .. } = self.bob.run(claim).await.map_err(wrong)? else {
            return Err(unlike("the invite was not claimed"));
        };
        self.name(&self.bob, key(&self.alice).await?, "alice").await?;
        self.name(&self.alice, key(&self.bob).await?, "bob").await?;
        let capabilities: Vec<_> = capabilities.iter().map(ToString::to_string).collect();
        let opened = format!("{} ({})", sessions.names().join(", "), capabilities.join(", "));
        if sessions.names() != [OPEN] {
            return Err(unlike(&format!("the invite opened {opened}")));
        }
        Ok(((), Object::default().with("opened", opened)))
    }

    async fn name(&self, node: &Node, peer: PublicKey, name: &str) -> Result<(), Failure> {
        node.run(Command::NamePeer { peer: peer.into(), name: name.to_owned() }).await.map(drop).map_err(wrong)
    }

    async fn log(&self) -> Result<((), Object), Failure> {
        let (peer, session) = (key(&self.alice).await?.into(), session(OPEN)?);
        self.bob.run(Command::Log { peer, session, text: NOTE.to_owned(), timeout: TIMEOUT }).await.map_err(wrong)?;
        Ok(((), Object::default().with("message", NOTE)))
    }

    async fn inject(&self) -> Result<((), Object), Failure> {
        let (peer, session) = (key(&self.alice).await?.into(), session(OPEN)?);
        let ask = Command::Inject { peer, session, text: QUESTION.to_owned(), timeout: TIMEOUT };
        let Reply::Answer(answer) = self.bob.run(ask).await.map_err(wrong)? else {
            return Err(unlike("there was no answer"));
        };
        if answer != answer::answer(QUESTION) {
            return Err(unlike(&format!("the answer is not the built-in command's: {answer}")));
        }
        Ok(((), Object::default().with("question", QUESTION).with("answer", answer)))
    }

    /// The message, the question and the answer, each once and in order.
    async fn session_file(&self) -> Result<((), Object), Failure> {
        let reader = SessionReader::new(&self.alice_home);
        let page = reader.history(&session(OPEN)?, 0, 10).map_err(wrong)?;
        let lines: Vec<serde_json::Value> =
            page.lines.iter().map(|line| serde_json::from_str(line.get())).collect::<Result<_, _>>().map_err(wrong)?;
        let texts = |member: &str| -> Vec<_> {
            lines.iter().map(|line| line[member].as_str().unwrap_or_default().to_owned()).collect()
        };
        if texts("type") != ["message", "question", "answer"]
            || texts("content") != [NOTE, QUESTION, &answer::answer(QUESTION)]
        {
            return Err(unlike(&format!("the session file has other lines: {lines:?}")));
        }
        let shown = texts("from").into_iter().zip(texts("content")).map(|(from, content)| format!("{from}: {content}"));
        Ok(((), Object::default().with("line", shown.collect::<Json>())))
    }

    async fn revoke(&self) -> Result<((), Object), Failure> {
        let revoke = Command::RevokePeer { peer: key(&self.bob).await?.into(), session: None };
        match self.alice.run(revoke).await.map_err(wrong)? {
            Reply::Revoked { grants, .. } if grants.len() == 1 => {
                Ok(((), Object::default().with("grantsEnded", grants.len())))
            }
            _ => Err(unlike("not exactly one grant ended")),
        }
    }

    /// Bob's message is refused as unauthorised, and does not reach the session.
    async fn refused(&self, name: &'static str) -> Result<((), Object), Failure> {
        let (peer, session) = (key(&self.alice).await?.into(), session(name)?);
        let before = self.lines(name)?;
        match self.bob.run(Command::Log { peer, session, text: "let me in".to_owned(), timeout: TIMEOUT }).await {
            Err(CommandError::Unauthorized(_)) if self.lines(name)? == before => {
                Ok(((), Object::default().with("session", name).with("refused", "unauthorized")))
            }
            Err(CommandError::Unauthorized(_)) => Err(unlike("the refused message is in the session all the same")),
            Err(error) => Err(unlike(&format!("refused for another reason: {error}"))),
            Ok(_) => Err(unlike("the message was accepted")),
        }
    }

    fn lines(&self, name: &str) -> Result<u64, Failure> {
        Ok(SessionReader::new(&self.alice_home).history(&session(name)?, 0, 0).map_err(wrong)?.total)
    }
}

async fn key(node: &Node) -> Result<PublicKey, Failure> {
    Ok(node.snapshot().await?.public_key)
}

fn session(name: &str) -> Result<SessionName, Failure> {
    SessionName::new(name).map_err(wrong)
}

/// Something failed that should not have.
fn wrong(error: impl ToString) -> Failure {
    unlike(&error.to_string())
}

/// A step is not as it should be.
fn unlike(what: &str) -> Failure {
    let next = "this is a fault of wopr, or of this machine's loopback network: please report it";
    Failure::new(Exit::Rejected, format!("the demo's last step is not as it should be: {what}"), next)
}
