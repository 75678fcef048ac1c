//! A chat endpoint of the shape that OpenAI gave it: Ollama, llama.cpp, vLLM and the hosted services have it.
//!
//! The answer is streamed and bounded while it comes. Dropping the future closes the connection, which makes the common
//! servers stop computing. Redirects are not followed, and no proxy is used: the key goes to the owner's URL and nowhere
//! else.

mod stream;

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use async_compat::Compat;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use wopr_p2p_core::Question;
use zeroize::Zeroizing;

use self::stream::{Answer, Whole};
use super::context::{self, Role};
use super::error::harmless;
use super::{Backend, HandlerError};
use crate::session_file::SessionReader;

/// How much of an error's text is read, in bytes.
const MAX_ERROR: usize = 16 * 1024;
/// How much of it is shown, in characters.
const MAX_SHOWN: usize = 300;

/// A chat endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// Where it is, up to and with the version: `http://127.0.0.1:11434/v1`.
    pub url: Uri,
    /// Which model is asked.
    pub model: String,
    /// Where its key is, if it wants one.
    pub key: Option<KeySource>,
    /// What the model is told before everything else.
    pub system: Option<String>,
    /// How much is sent at most: the session's last messages as far as they fit, in tokens of about four bytes.
    pub context_tokens: usize,
}

impl Chat {
    /// 4096 tokens.
    pub const DEFAULT_CONTEXT_TOKENS: usize = 4096;
}

/// Where a key is. It is read anew for every question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In the environment variable of that name.
    Environment(String),
    /// In a file that only its owner can read.
    File(PathBuf),
}

/// What was wrong with an endpoint. Completes the sentence "the chat endpoint …".
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatFault {
    /// The key cannot be read.
    NoKey(String),
    /// No connection, or it broke.
    Unreachable(String),
    /// It sends us elsewhere.
    Redirects(String),
    /// It refuses.
    Refuses {
        /// The HTTP status.
        status: u16,
        /// When to come again, as it says.
        retry_after: Option<String>,
        /// What it says.
        said: String,
    },
    /// It reports an error in the middle of an answer.
    Fails(String),
    /// What it sends is no chat completion.
    NoChat(String),
    /// Its answer ended before its end.
    Cut,
}

impl ChatFault {
    /// The same without what the endpoint said.
    pub(super) fn without_words(&self) -> String {
        match self {
            Self::Refuses { status, .. } => format!("refused with status {status}"),
            Self::Fails(_) => "failed in the middle of its answer".to_owned(),
            Self::NoChat(_) => "sent what is no chat completion".to_owned(),
            fault => fault.to_string(),
        }
    }
}

impl fmt::Display for ChatFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey(reason) => write!(f, "was not asked: {reason}"),
            Self::Unreachable(reason) => write!(f, "cannot be reached: {reason}; is the server running?"),
            Self::Redirects(to) => {
                write!(f, "redirects to {to}: redirects are not followed, set \"url\" to where it is")
            }
            Self::Refuses { status, retry_after, said } => {
                let next = match status {
                    401 | 403 => "check the key",
                    404 => "check \"url\" (it ends in /v1 mostly) and \"model\"",
                    429 => "it has had enough of us for now",
                    500.. => "look into the server's own log",
                    _ => "check \"model\" and \"contextTokens\"",
                };
                let again = retry_after.as_ref().map(|when| format!(", try again after {when}")).unwrap_or_default();
                let said = if said.is_empty() { String::new() } else { format!("; it said: {said}") };
                write!(f, "refused with status {status}: {next}{again}{said}")
            }
            Self::Fails(said) => write!(f, "failed in the middle of its answer; it said: {said}"),
            Self::NoChat(why) => write!(f, "sent what is no chat completion ({why}): check \"url\""),
            Self::Cut => write!(f, "ended its answer in the middle; look into the server's own log"),
        }
    }
}

#[derive(Serialize)]
struct Asked<'a> {
    model: &'a str,
    messages: Vec<Said<'a>>,
    stream: bool,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: &'a str,
}

/// Asks the endpoint. Dropping the future closes the connection.
pub(super) async fn answer(
    chat: &Chat,
    question: &Arc<Question>,
    files: &SessionReader,
    max_answer: usize,
) -> Result<String, HandlerError> {
    let body = {
        let (chat, question, files) = (chat.clone(), Arc::clone(question), files.clone());
        smol::unblock(move || body(&chat, &question, &files)).await?
    };
    let failed = |fault| HandlerError::Chat { url: chat.url.to_string(), fault };
    let key = match chat.key.clone() {
        None => None,
        Some(key) => {
            let read = smol::unblock(move || key.read()).await;
            Some(read.map_err(|reason| failed(ChatFault::NoKey(reason)))?)
        }
    };
    let request = request(&chat.url, key, body).map_err(failed)?;
    // hyper's connections are tasks of tokio.
    match Compat::new(converse(request, max_answer)).await {
        Ok(answer) => Ok(answer),
        Err(Failed::TooLong) => {
            Err(HandlerError::AnswerTooLong { handler: Backend::Chat(chat.clone()).to_string(), max_answer })
        }
        Err(Failed::Fault(fault)) => Err(failed(fault)),
    }
}

/// Why there is no answer.
enum Failed {
    TooLong,
    Fault(ChatFault),
}

impl From<ChatFault> for Failed {
    fn from(fault: ChatFault) -> Self {
        Self::Fault(fault)
    }
}

fn body(chat: &Chat, question: &Question, files: &SessionReader) -> Result<Vec<u8>, HandlerError> {
    let conversation = context::conversation(chat.system.as_deref(), chat.context_tokens, question, files)?;
    let messages = conversation
        .iter()
        .map(|message| {
            let role = match message.role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            Said { role, content: &message.text }
        })
        .collect();
    serde_json::to_vec(&Asked { model: &chat.model, messages, stream: true })
        .map_err(|error| HandlerError::NoHistory { reason: error.to_string() })
}

fn request(url: &Uri, key: Option<HeaderValue>, body: Vec<u8>) -> Result<Request<Full<Bytes>>, ChatFault> {
    let mut request = Request::post(format!("{}/chat/completions", url.to_string().trim_end_matches('/')))
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "text/event-stream, application/json")
        .header(USER_AGENT, concat!("wopr/", env!("CARGO_PKG_VERSION")));
    if let Some(key) = key {
        request = request.header(AUTHORIZATION, key);
    }
    request.body(Full::from(body)).map_err(|error| ChatFault::NoChat(error.to_string()))
}

async fn converse(request: Request<Full<Bytes>>, max_answer: usize) -> Result<String, Failed> {
    let response = send(request).await?;
    let status = response.status();
    if status.is_redirection() {
        let to = response.headers().get(LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
        return Err(ChatFault::Redirects(shown(to.as_deref().unwrap_or("nowhere"))).into());
    }
    if status != StatusCode::OK {
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|when| when.to_str().ok());
        let retry_after =
            retry_after.map(|when| if when.parse::<u32>().is_ok() { format!("{when} s") } else { shown(when) });
        let said = error_text(response).await;
        return Err(ChatFault::Refuses { status: status.as_u16(), retry_after, said }.into());
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "text/event-stream" => streamed(response, max_answer).await,
        "application/json" => whole(response, max_answer).await,
        other => Err(ChatFault::NoChat(format!("its type is {:?}", shown(other))).into()),
    }
}

async fn send(request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ChatFault> {
    let sent = if request.uri().scheme_str() == Some("https") {
        client(https().map_err(ChatFault::Unreachable)?).request(request).await
    } else {
        client(HttpConnector::new()).request(request).await
    };
    sent.map_err(|error| {
        // Its own sentence says little; the last cause says why.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        ChatFault::Unreachable(harmless(&cause.to_string()))
    })
}

/// A client that keeps no connection: a question may be the only one in hours.
fn client<C>(connector: C) -> Client<C, Full<Bytes>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)
}

/// With the certificates that the operating system trusts, read once.
fn https() -> Result<HttpsConnector<HttpConnector>, String> {
    static CONNECTOR: OnceLock<Result<HttpsConnector<HttpConnector>, String>> = OnceLock::new();
    let make = || {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let roots = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
        let roots = roots.map_err(|error| format!("no trusted certificates on this system: {error}"))?;
        Ok(roots.https_only().enable_http1().build())
    };
    CONNECTOR.get_or_init(make).clone()
}

/// An answer as it is made.
async fn streamed(response: Response<Incoming>, max_answer: usize) -> Result<String, Failed> {
    let mut body = response.into_body();
    let mut answer = Answer::new(max_answer);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ChatFault::Cut)?;
        if let Some(piece) = frame.data_ref() {
            answer.take(piece)?;
            if answer.is_over() {
                break;
            }
        }
    }
    answer.finish()
}

/// An answer in one piece, from a server that does not stream.
async fn whole(response: Response<Incoming>, max_answer: usize) -> Result<String, Failed> {
    let bytes = read(response, stream::max_line(max_answer)).await.map_err(|_| ChatFault::Cut)?;
    let bytes = bytes.ok_or(Failed::TooLong)?;
    let answer = Whole::read(&bytes)?;
    if answer.len() > max_answer { Err(Failed::TooLong) } else { Ok(answer) }
}

/// The body, or `None` if it is longer than `max` bytes.
async fn read(response: Response<Incoming>, max: usize) -> Result<Option<Vec<u8>>, hyper::Error> {
    let (mut body, mut bytes) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        if let Some(piece) = frame?.data_ref() {
            if bytes.len() + piece.len() > max {
                return Ok(None);
            }
            bytes.extend_from_slice(piece);
        }
    }
    Ok(Some(bytes))
}

/// What a server says about its refusal: the message in its JSON, or the beginning of its text.
async fn error_text(response: Response<Incoming>) -> String {
    let Ok(Some(bytes)) = read(response, MAX_ERROR).await else { return String::new() };
    shown(&stream::error_message(&bytes).unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Short enough for a line, and harmless on a terminal.
fn shown(text: &str) -> String {
    let text = harmless(text);
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl KeySource {
    /// The header with the key.
    fn read(self) -> Result<HeaderValue, String> {
        let key = match &self {
            Self::Environment(name) => Zeroizing::new(
                std::env::var(name).map_err(|_| format!("{name} is not set in the environment of the daemon"))?,
            ),
            Self::File(path) => {
                let cannot = |error: io::Error| format!("its key file {path:?} cannot be read: {error}");
                let mode = std::fs::metadata(path).map_err(cannot)?.permissions().mode();
                if mode & 0o077 != 0 {
                    return Err(format!("others can read its key file {path:?}: chmod 600 it"));
                }
                Zeroizing::new(std::fs::read_to_string(path).map_err(cannot)?)
            }
        };
        let header = Zeroizing::new(format!("Bearer {}", key.trim()));
        let mut value = HeaderValue::from_str(&header)
            .map_err(|_| "its key has characters that no key has: is it the right file or variable?".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
