//! Who answers for a session: a command, a chat endpoint or an agent, and its limits.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use wopr_p2p_smol::handler::{Agent, Backend, Chat, Handler, KeySource, Program};

use super::file::duration;

/// The settings of a session, which has one of the three who answer.
pub(super) struct Session(pub(super) Handler);

impl<'de> Deserialize<'de> for Session {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        let backend = match (text.command, text.chat, text.agent) {
            (Some(words), None, None) => Backend::Command(words.0),
            (None, Some(chat), None) => Backend::Chat(chat.into_chat().map_err(D::Error::custom)?),
            (None, None, Some(agent)) => Backend::Agent(agent.into_agent().map_err(D::Error::custom)?),
            _ => return Err(D::Error::custom("a session has one of \"command\", \"chat\" and \"agent\"")),
        };
        let mut handler = Handler::new(backend);
        handler.timeout = text.timeout.unwrap_or(handler.timeout);
        handler.max_answer = text.max_answer_bytes.map_or(handler.max_answer, |bytes| bytes.get() as usize);
        handler.max_running = text.max_concurrent.map_or(handler.max_running, |most| most.get() as usize);
        handler.max_per_day = text.max_per_day;
        Ok(Self(handler))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Text {
    command: Option<Words>,
    chat: Option<ChatText>,
    agent: Option<AgentText>,
    /// How long an answer may take.
    #[serde(default, deserialize_with = "duration")]
    timeout: Option<Duration>,
    /// The longest answer, in bytes.
    max_answer_bytes: Option<NonZeroU32>,
    /// Questions that are answered at the same time.
    max_concurrent: Option<NonZeroU32>,
    /// Questions that are answered in a day of UTC.
    max_per_day: Option<NonZeroU32>,
}

/// A program and its arguments, as a list.
struct Words(Program);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        match words.split_first() {
            Some((program, args)) if !program.is_empty() => Ok(Self(Program::new(program, args))),
            _ => Err(D::Error::custom("a command is a list that starts with a program: [\"prog\", \"arg\"]")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ChatText {
    url: String,
    model: String,
    key_env: Option<String>,
    key_file: Option<PathBuf>,
    system: Option<String>,
    context_tokens: Option<NonZeroU32>,
}

impl ChatText {
    fn into_chat(self) -> Result<Chat, String> {
        let url = url(&self.url)?;
        let key = match (self.key_env, self.key_file) {
            (None, None) => None,
            (Some(name), None) => Some(KeySource::Environment(name)),
            (None, Some(path)) if path.is_absolute() => Some(KeySource::File(path)),
            (None, Some(path)) => {
                return Err(format!("keyFile {path:?} does not start at the root: write the whole path"));
            }
            (Some(_), Some(_)) => return Err("a key is in \"keyEnv\" or in \"keyFile\", not in both".to_owned()),
        };
        if key.is_some() && url.scheme_str() == Some("http") && !is_this_machine(&url) {
            return Err(format!("url {:?} would carry the key unencrypted over the network: use https", self.url));
        }
        Ok(Chat { url, model: self.model, key, system: self.system, context_tokens: tokens(self.context_tokens) })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AgentText {
    command: Words,
    folder: PathBuf,
    system: Option<String>,
    context_tokens: Option<NonZeroU32>,
}

impl AgentText {
    fn into_agent(self) -> Result<Agent, String> {
        if !self.folder.is_absolute() {
            return Err(format!("folder {:?} does not start at the root: write the whole path", self.folder));
        }
        Ok(Agent {
            program: self.command.0,
            folder: self.folder,
            system: self.system,
            context_tokens: tokens(self.context_tokens),
        })
    }
}

fn tokens(set: Option<NonZeroU32>) -> usize {
    set.map_or(Chat::DEFAULT_CONTEXT_TOKENS, |tokens| tokens.get() as usize)
}

fn url(text: &str) -> Result<http::Uri, String> {
    let accepted = "such as \"http://127.0.0.1:11434/v1\" or \"https://api.openai.com/v1\"";
    let wrong = || format!("url {text:?} is not the address of an endpoint, {accepted}");
    let url: http::Uri = text.parse().map_err(|_| wrong())?;
    let authority = url.authority().ok_or_else(wrong)?.as_str();
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.query().is_some() {
        return Err(wrong());
    }
    if authority.contains('@') {
        return Err("url has a name or a password in it: put the key into \"keyEnv\" or \"keyFile\"".to_owned());
    }
    Ok(url)
}

fn is_this_machine(url: &http::Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
