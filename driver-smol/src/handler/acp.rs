//! An agent that speaks the Agent Client Protocol (<https://agentclientprotocol.com>) on its stdin and stdout: Claude
//! Code, Gemini CLI, Codex and others do.
//!
//! It is started for one question, in a process group of its own, which is killed when the future is dropped. A remote
//! peer's words must not move it to act on this machine: we offer it no files and no terminal, and refuse every
//! permission that it asks for. What it does without asking is a matter of its own settings.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::v1::schema::{
    CancelNotification, ContentBlock, Implementation, InitializeRequest, NewSessionRequest, PermissionOptionKind,
    PromptRequest, RequestPermissionOutcome, RequestPermissionRequest, RequestPermissionResponse,
    SelectedPermissionOutcome, SessionNotification, SessionUpdate, StopReason, TextContent,
};
use agent_client_protocol::{AcpAgent, AcpAgentConfig, Client, Error};
use smol::channel::{Sender, bounded};
use smol::future;
use wopr_p2p_core::Question;

use super::context::{self, Message, Role};
use super::error::harmless;
use super::{Backend, HandlerError, Program, environment};
use crate::session_file::SessionReader;

/// How much of an agent's error is shown, in characters.
const MAX_SHOWN: usize = 600;

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// How it is started.
    pub program: Program,
    /// The folder that it works in.
    pub folder: PathBuf,
    /// What it is told before everything else.
    pub system: Option<String>,
    /// How much it is told at most, as for [`Chat::context_tokens`](super::Chat::context_tokens).
    pub context_tokens: usize,
}

/// What the agent has said so far.
struct Answer {
    text: Mutex<String>,
    max: usize,
    too_long: Sender<()>,
}

impl Answer {
    fn add(&self, piece: &str) {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len() + piece.len() > self.max {
            // Full if it was said before: nobody needs to hear it twice.
            self.too_long.try_send(()).ok();
        } else {
            text.push_str(piece);
        }
    }
}

/// Asks the agent. Dropping the future kills it and what it started.
pub(super) async fn answer(
    agent: &Agent,
    question: &Arc<Question>,
    files: &SessionReader,
    max_answer: usize,
) -> Result<String, HandlerError> {
    let failed = |reason: String| HandlerError::Agent { program: agent.program.program.clone(), reason };
    let started = started(agent, question, files)?;
    let (prompt, folder) = {
        let (agent, question, files) = (agent.clone(), Arc::clone(question), files.clone());
        smol::unblock(move || prompt(&agent, &question, &files)).await?
    };
    let (too_long, is_too_long) = bounded(1);
    let answer = Arc::new(Answer { text: Mutex::default(), max: max_answer, too_long });
    let talk = async {
        let stopped = talk(started, folder, prompt, Arc::clone(&answer)).await;
        stopped.map(Some).map_err(|error| failed(shown(&error)))
    };
    let limit = async {
        match is_too_long.recv().await {
            Ok(()) => Ok(None),
            Err(_) => future::pending().await,
        }
    };
    match future::or(limit, talk).await? {
        None => Err(HandlerError::AnswerTooLong { handler: Backend::Agent(agent.clone()).to_string(), max_answer }),
        Some(StopReason::EndTurn | StopReason::MaxTokens | StopReason::MaxTurnRequests) => {
            Ok(std::mem::take(&mut *answer.text.lock().unwrap_or_else(PoisonError::into_inner)))
        }
        Some(StopReason::Refusal) => Err(failed("it refuses to answer".to_owned())),
        Some(stopped) => Err(failed(format!("it stopped: {stopped:?}"))),
    }
}

/// The program with what it finds in its environment.
fn started(agent: &Agent, question: &Question, files: &SessionReader) -> Result<AcpAgent, HandlerError> {
    let not_started = |what: &str| HandlerError::NotStarted {
        program: agent.program.program.clone(),
        reason: format!("{what} is not UTF-8"),
    };
    let mut config = AcpAgentConfig::new(&agent.program.program);
    for arg in &agent.program.args {
        config = config.arg(arg.to_str().ok_or_else(|| not_started("an argument"))?);
    }
    for (name, value) in environment(question, files.path(&question.session)) {
        config = config.env(name, value.to_str().ok_or_else(|| not_started(name))?);
    }
    Ok(AcpAgent::new(config))
}

/// What is said to the agent, and its folder, which must be there.
fn prompt(
    agent: &Agent,
    question: &Question,
    files: &SessionReader,
) -> Result<(Vec<ContentBlock>, PathBuf), HandlerError> {
    if !agent.folder.is_dir() {
        return Err(HandlerError::NotStarted {
            program: agent.program.program.clone(),
            reason: format!("its folder {:?} is not there", agent.folder),
        });
    }
    let conversation = context::conversation(agent.system.as_deref(), agent.context_tokens, question, files)?;
    // The protocol has no roles in a prompt.
    let block = |Message { role, text }| {
        let text = if role == Role::Assistant { format!("[you answered]\n{text}") } else { text };
        ContentBlock::Text(TextContent::new(text))
    };
    Ok((conversation.into_iter().map(block).collect(), agent.folder.clone()))
}

/// One question in a session of the agent's.
async fn talk(
    agent: AcpAgent,
    folder: PathBuf,
    prompt: Vec<ContentBlock>,
    answer: Arc<Answer>,
) -> Result<StopReason, Error> {
    Client
        .v1()
        .on_receive_notification(
            async move |notification: SessionNotification, _: ConnectionTo<agent_client_protocol::Agent>| {
                if let SessionUpdate::AgentMessageChunk(chunk) = notification.update
                    && let ContentBlock::Text(text) = chunk.content
                {
                    answer.add(&text.text);
                }
                Ok(())
            },
            agent_client_protocol::on_receive_notification!(),
        )
        .on_receive_request(
            async move |request: RequestPermissionRequest, responder, _: ConnectionTo<agent_client_protocol::Agent>| {
                responder.respond(RequestPermissionResponse::new(refusal(&request)))
            },
            agent_client_protocol::on_receive_request!(),
        )
        .connect_with(agent, async move |connection: ConnectionTo<agent_client_protocol::Agent>| {
            let us = Implementation::new("wopr", env!("CARGO_PKG_VERSION"));
            let hello = InitializeRequest::new(ProtocolVersion::V1).client_info(us);
            connection.send_request(hello).block_task().await?;
            let session = connection.send_request(NewSessionRequest::new(folder)).block_task().await?.session_id;
            let asked = connection.send_request(PromptRequest::new(session.clone(), prompt));
            let mut given_up = Cancel { connection: connection.clone(), session: Some(session) };
            let stopped = asked.block_task().await?.stop_reason;
            given_up.session = None;
            Ok(stopped)
        })
        .await
}

/// Tells the agent, if this is dropped before its answer, that nobody waits any more.
struct Cancel {
    connection: ConnectionTo<agent_client_protocol::Agent>,
    session: Option<agent_client_protocol::v1::schema::SessionId>,
}

impl Drop for Cancel {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            // It is killed right after that in any case.
            self.connection.send_notification(CancelNotification::new(session)).ok();
        }
    }
}

/// No, as politely as the agent's options allow.
fn refusal(request: &RequestPermissionRequest) -> RequestPermissionOutcome {
    let no = |kind| request.options.iter().find(move |option| option.kind == kind);
    match no(PermissionOptionKind::RejectOnce).or_else(|| no(PermissionOptionKind::RejectAlways)) {
        Some(option) => RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new(option.option_id.clone())),
        None => RequestPermissionOutcome::Cancelled,
    }
}

/// The end of an error, which says most: it may hold what the agent wrote to stderr.
fn shown(error: &Error) -> String {
    let text = harmless(&error.to_string());
    let skipped = text.chars().count().saturating_sub(MAX_SHOWN);
    if skipped == 0 { text } else { format!("…{}", text.chars().skip(skipped).collect::<String>()) }
}

#[cfg(test)]
mod tests;
