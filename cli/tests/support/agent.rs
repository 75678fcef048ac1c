//! An agent's host: the official MCP client, which starts our server, or speaks to a daemon, as hosts do.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::Home;
use super::program::{Place, Running};

/// How long a call may take before the test fails.
const LIMIT: Duration = Duration::from_secs(90);

/// The folder of the client and of its lock file.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/npm")
}

/// Installs the client as its lock file says; `false` if there is no npm and it may be skipped.
pub(crate) fn install_client() -> bool {
    let mut install = Command::new("npm");
    install.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder()).stdout(Stdio::null()).stderr(Stdio::null());
    let installed = install.status().is_ok_and(|status| status.success());
    if !installed {
        assert!(std::env::var_os("CI").is_none(), "in CI the client may not be skipped: 'npm ci' failed");
        let said = writeln!(std::io::stderr(), "\nSKIPPED, no client: 'npm ci' failed in {}", folder().display());
        said.expect("stderr takes a line");
    }
    installed
}

/// The host of one agent.
pub(crate) struct Agent {
    running: Running,
    calls: u64,
}

/// What came of a call.
pub(crate) struct Called {
    /// The result as it came, or `{"failed": …}` where the client refused it.
    pub(crate) result: Value,
    /// What was told on the way.
    pub(crate) progress: Vec<Value>,
}

impl Agent {
    /// Has the client start `wopr mcp` of a home.
    pub(crate) fn start(home: &Home) -> Agent {
        let server = home.command();
        let mut command = Place::here().command("node");
        command.arg(folder().join("client.js")).arg("stdio").arg(server.get_program()).arg("mcp");
        for (name, value) in server.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Agent::greet(&format!("agent {}", home.name()), command).expect("the server takes its host")
    }

    /// Has the client speak to a daemon.
    pub(crate) fn over_http(url: &str, token: &str) -> Result<Agent, Value> {
        let mut command = Place::here().command("node");
        command.arg(folder().join("client.js")).args(["http", url, token]);
        Agent::greet(url, command)
    }

    fn greet(name: &str, command: Command) -> Result<Agent, Value> {
        let running = Running::start_talking(name, command);
        let ready = line(&running);
        if ready.get("ready").is_none() {
            return Err(ready);
        }
        assert_eq!(ready["ready"]["name"], "wopr");
        assert!(ready["instructions"].as_str().is_some_and(|text| text.contains("never an instruction")), "{ready}");
        Ok(Agent { running, calls: 0 })
    }

    /// The tools that the server lists.
    pub(crate) fn tools(&mut self) -> Vec<Value> {
        self.calls += 1;
        self.running.say(&json!({ "id": self.calls, "list": true }).to_string());
        line(&self.running)["result"]["tools"].as_array().expect("a list of tools").clone()
    }

    /// Begins a call; its number.
    pub(crate) fn begin(&mut self, tool: &str, arguments: Value) -> u64 {
        self.calls += 1;
        self.running.say(&json!({ "id": self.calls, "call": tool, "arguments": arguments }).to_string());
        self.calls
    }

    /// Has the client cancel a call.
    pub(crate) fn cancel(&mut self, call: u64) {
        self.running.say(&json!({ "cancel": call }).to_string());
    }

    /// Waits for a call's end.
    #[track_caller]
    pub(crate) fn end(&mut self, call: u64) -> Called {
        let (deadline, mut progress) = (Instant::now() + LIMIT, Vec::new());
        loop {
            let line = line(&self.running);
            assert!(Instant::now() < deadline, "call {call} goes on");
            if line["id"] != call {
                continue;
            }
            match (line.get("progress"), line.get("result")) {
                (Some(told), _) => progress.push(told.clone()),
                (None, Some(result)) => return Called { result: result.clone(), progress },
                (None, None) => return Called { result: line, progress },
            }
        }
    }

    /// Calls a tool and waits for the end.
    #[track_caller]
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Called {
        let call = self.begin(tool, arguments);
        self.end(call)
    }

    /// The structured result of a call that has to succeed.
    #[track_caller]
    pub(crate) fn done(&mut self, tool: &str, arguments: Value) -> Value {
        self.call(tool, arguments).done()
    }

    /// The failure of a call that has to fail, whose code must be this one.
    #[track_caller]
    pub(crate) fn refused(&mut self, tool: &str, arguments: Value, code: u64) -> Value {
        let Called { result, .. } = self.call(tool, arguments);
        assert_eq!(result["isError"], true, "{tool}: {result}");
        let error = &result["structuredContent"]["error"];
        assert_eq!(error["code"], code, "{tool}: {result}");
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        assert!(text.starts_with(error["name"].as_str().expect("a name")), "{tool}: {result}");
        error.clone()
    }
}

impl Called {
    /// The structured result.
    #[track_caller]
    pub(crate) fn done(&self) -> Value {
        let Called { result, .. } = self;
        assert_ne!(result["isError"], true, "{result}");
        assert!(result["structuredContent"].is_object(), "{result}");
        result["structuredContent"].clone()
    }

    /// The text beside it.
    pub(crate) fn text(&self) -> String {
        let blocks = self.result["content"].as_array().expect("a list of blocks");
        blocks.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n")
    }
}

fn line(running: &Running) -> Value {
    let line = running.next_line(LIMIT);
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("not JSON: {e}: {line}"))
}
