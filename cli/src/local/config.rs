//! `config get|set|path`: the file as JSON, so that what is shown is what is in force, and what is not touched stays.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Map, Value, json};
use wopr_p2p_smol::home::Home;

use crate::args::ConfigCommand;
use crate::config::{self, Config};
use crate::exit::Failure;
use crate::output::printable::printable;
use crate::output::{DIM, Json, Object, Output, Shown, View};

/// Where the settings of the plugin are in the file.
const P2P: [&str; 3] = ["plugins", "data", "p2p"];

/// The variables that come before the file, and the setting that each is for.
const VARIABLES: [(&str, &str); 8] = [
    ("WOPR_P2P_BOOTSTRAP", "bootstrap"),
    ("WOPR_P2P_LAN", "lan"),
    ("WOPR_P2P_MAX_PAYLOAD", "maxPayloadSize"),
    ("WOPR_P2P_KEY_GRACE_HOURS", "keyRotationGraceHours"),
    ("WOPR_P2P_AUTO_ACCEPT", "autoAccept"),
    ("WOPR_P2P_DISCOVERY_TRUST", "discoveryTrust"),
    ("WOPR_LOG", "log.level"),
    ("WOPR_LOG_FORMAT", "log.format"),
];

/// `config …`.
///
/// # Errors
/// The key or value is not one, or the file cannot be read or written.
pub(crate) fn config(home: &Home, command: ConfigCommand, out: Output) -> Result<Shown, Failure> {
    match command {
        ConfigCommand::Path => out.render(&Location(&config::path(home.folder()))),
        ConfigCommand::Get { key } => out.render(&get(home, key.as_deref())?),
        ConfigCommand::Set { key, value } => {
            let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
            let path: Vec<&str> = P2P.into_iter().chain(setting(&key).split('.')).collect();
            edit(home, &path, value)?;
            let found = get(home, Some(&key))?;
            out.render(&Set(found))
        }
    }
}

/// The key without the part that all have.
fn setting(key: &str) -> &str {
    key.strip_prefix("plugins.data.p2p.").unwrap_or(key)
}

/// What is in force where nothing is set; what has no default is left out.
pub(crate) fn defaults() -> Value {
    json!({
        "uiPort": 7334,
        "discoveryTrust": "untrusted",
        "autoAccept": false,
        "keyRotationGraceHours": 24,
        "maxPayloadSize": 1_048_576,
        "keyCompromiseGraceHours": 1,
        "minProtocolVersion": 1,
        "maxQuestionChain": 8,
        "ephemeralTtl": "1h",
        "bind": "0.0.0.0",
        "lan": true,
        "rateLimit": {
            "injects": { "maxPerMinute": 10, "maxPerHour": 100, "ban": "1h" },
            "logs": { "maxPerMinute": 10, "maxPerHour": 100, "ban": "1h" },
            "claims": { "maxPerMinute": 5, "maxPerHour": 20, "ban": "1h" },
            "invalid": { "maxPerMinute": 3, "maxPerHour": 10, "ban": "2h" },
        },
        "replay": { "window": "5m", "maxNonces": 10_000 },
        "outbox": {
            "maxMessages": 1000, "maxPerPeer": 100, "maxBytes": 16_777_216, "firstRetry": "30s", "lastRetry": "15m",
        },
        "requests": { "maxWaiting": 64, "maxPerPeer": 8, "maxBytes": 1_048_576, "expire": "7d" },
        "limits": {
            "maxStreams": 512, "maxStrangerStreams": 256, "maxStreamsPerPeer": 16, "maxRequestsPerStream": 16,
            "maxQuestions": 32, "maxGrants": 100_000, "maxPeers": 10_000, "maxInvites": 10_000, "maxTopics": 32,
            "maxDiscovered": 1024, "idleTimeout": "1m", "handshakeTimeout": "10s",
        },
        "log": { "level": "info", "format": "text" },
        "sessions": {},
        "mcp": { "allow": [] },
    })
}

fn get(home: &Home, key: Option<&str>) -> Result<Found, Failure> {
    // Says what is wrong with the file or the environment before any of it is shown.
    Config::load(home.folder())?;
    let file = read(&config::path(home.folder()))?;
    let written = at(&file, &P2P).cloned().unwrap_or_else(|| json!({}));
    let mut effective = defaults();
    merge(&mut effective, &written);
    let mut from_variable = None;
    for (name, key_of) in VARIABLES {
        if let Some(value) = std::env::var(name).ok().filter(|value| !value.trim().is_empty()) {
            *place(&mut effective, &key_of.split('.').collect::<Vec<_>>()) = variable(key_of, value.trim());
            if key.map(setting) == Some(key_of) {
                from_variable = Some(name);
            }
        }
    }
    let Some(key) = key.map(setting) else {
        return Ok(Found { key: None, value: json!({ "plugins": { "data": { "p2p": effective } } }), source: "all" });
    };
    let path: Vec<&str> = key.split('.').collect();
    let source = match from_variable {
        Some(name) => name,
        None if at(&written, &path).is_some() => "config.json",
        None => "default",
    };
    let value = match at(&effective, &path) {
        Some(value) => value.clone(),
        // Known, but without a default: a file with it would be refused for its value, not for its name.
        None if is_known(&path) => Value::Null,
        None => {
            let next = "`wopr config get` shows the settings, docs/config.md explains them";
            return Err(Failure::invalid(format!("there is no setting \"{key}\""), next));
        }
    };
    Ok(Found { key: Some(key.to_owned()), value, source })
}

fn variable(key: &str, text: &str) -> Value {
    match key {
        "bootstrap" => text.split(',').map(str::trim).collect(),
        "discoveryTrust" | "log.level" | "log.format" => text.into(),
        _ => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    }
}

/// Whether the file may have such a key.
fn is_known(path: &[&str]) -> bool {
    let mut file = Value::Null;
    let whole: Vec<&str> = P2P.iter().chain(path).copied().collect();
    *place(&mut file, &whole) = Value::Null;
    Config::check(&file.to_string()).map_or_else(|fault| !fault.contains("unknown field"), |()| true)
}

fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// The place of a value; what is missing on the way to it is made.
fn place<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Value {
    path.iter().fold(value, |value, name| {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        &mut value[*name]
    })
}

/// Takes a value out, and the objects that are empty without it.
fn take_out(value: &mut Value, path: &[&str]) {
    let Some((name, rest)) = path.split_first() else { return };
    if let Some(object) = value.as_object_mut()
        && let Some(inner) = object.get_mut(*name)
    {
        take_out(inner, rest);
        if rest.is_empty() || inner.as_object().is_some_and(Map::is_empty) {
            object.remove(*name);
        }
    }
}

fn merge(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Object(value), Value::Object(over)) => {
            for (name, inner) in over {
                merge(value.entry(name.clone()).or_insert(Value::Null), inner);
            }
        }
        (value, over) => *value = over.clone(),
    }
}

fn read(path: &Path) -> Result<Value, Failure> {
    let cannot = |why: String| {
        let next = "correct the file; without it, the defaults are in force";
        Failure::invalid(format!("{} cannot be used: {why}", path.display()), next)
    };
    match fs::read_to_string(path) {
        Ok(text) => {
            Config::check(&text).map_err(cannot)?;
            serde_json::from_str(&text).map_err(|error| cannot(error.to_string()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(json!({})),
        Err(error) => Err(cannot(error.to_string())),
    }
}

/// Changes one value of the file; `null` takes it out. A file that would not do afterwards is not written.
///
/// # Errors
/// The file cannot be read or written, or the value is not one for this place.
pub(super) fn edit(home: &Home, path: &[&str], value: Value) -> Result<(), Failure> {
    let file = config::path(home.folder());
    let cannot = |error: io::Error| {
        let next = "check that there is space on the disk and that the home can be written";
        Failure::invalid(format!("{} cannot be written: {error}", file.display()), next)
    };
    fs::create_dir_all(home.folder()).map_err(cannot)?;
    // Held while the file is read and written: of two changes at once, none is lost.
    let folder = File::open(home.folder()).map_err(cannot)?;
    folder.lock().map_err(cannot)?;
    let mut settings = read(&file)?;
    if value.is_null() {
        take_out(&mut settings, path);
    } else {
        *place(&mut settings, path) = value;
    }
    let text = format!("{settings:#}\n");
    Config::check(&text).map_err(|fault| {
        // The line would be that of a file that nobody has.
        let fault = fault.split_once(", key ").map_or(fault.as_str(), |(_, rest)| rest);
        Failure::invalid(format!("this cannot be set: {fault}"), "docs/config.md has every setting")
    })?;
    write(&file, &text).map_err(cannot)
}

/// Puts the text in place as a whole, also where the name is a link to a file elsewhere.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(text.as_bytes())?;
    temporary.as_file().sync_all()?;
    temporary.persist(&path)?;
    File::open(folder)?.sync_all()
}

struct Location<'a>(&'a Path);

impl View for Location<'_> {
    fn json(&self) -> Object {
        Object::default().shown("path", self.0.display()).with("exists", self.0.exists())
    }

    fn text(&self) -> String {
        format!("{}\n", self.0.display())
    }
}

/// A setting in force.
struct Found {
    key: Option<String>,
    value: Value,
    source: &'static str,
}

impl View for Found {
    fn json(&self) -> Object {
        let value = Json::from(&self.value);
        match &self.key {
            None => Object::default().with("config", value),
            Some(key) => Object::default().with("key", key.as_str()).with("value", value).with("source", self.source),
        }
    }

    /// The value alone, so that it can be piped.
    fn text(&self) -> String {
        match &self.value {
            Value::String(text) => format!("{}\n", printable(text)),
            value => format!("{}\n", printable(&format!("{value:#}"))),
        }
    }

    fn note(&self) -> String {
        if self.key.is_none() { String::new() } else { format!("{DIM}from: {}{DIM:#}", self.source) }
    }
}

/// A setting after its change.
struct Set(Found);

impl View for Set {
    fn json(&self) -> Object {
        self.0.json()
    }

    fn text(&self) -> String {
        self.0.text()
    }

    fn note(&self) -> String {
        let over = match self.0.source {
            "config.json" | "default" => String::new(),
            name => format!(" The variable {name} comes before the file."),
        };
        format!("{DIM}A running daemon takes it up with `wopr daemon restart`.{over}{DIM:#}")
    }
}
