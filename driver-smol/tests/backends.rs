//! Handlers against the real thing: the server of llama.cpp with a tiny model of random weights, and an agent of other
//! people's (Qwen Code, by the Agent Client Protocol) that asks that server.
//!
//! Needs python3 with venv, node and npm, and their registries; says clearly when it skips, and never skips in CI. The
//! packages are pinned in `tests/llm/requirements.txt` and `tests/acp/package-lock.json`.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use smol::block_on;
use tempfile::TempDir;
use wopr_p2p_core::access::{Capability, SessionName, TrustLevel};
use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::{AskFailed, Question};
use wopr_p2p_smol::handler::{Agent, Backend, Chat, ChatFault, Handler, HandlerError, Handlers, Program};
use wopr_p2p_smol::home::Home;
use wopr_p2p_smol::session_file::SessionReader;

/// Longer than any step takes on a slow machine.
const LIMIT: Duration = Duration::from_secs(240);

#[test]
fn llama_cpp_and_an_agent_on_top_of_it_answer() {
    let Some(model) = Model::start() else { return };
    a_chat_endpoint_streams_its_answer(&model);
    an_answer_is_given_up_when_it_grows_too_long(&model);
    a_wrong_address_is_named(&model);
    let Some(qwen) = Qwen::installed(&model) else { return };
    an_agent_answers(&qwen);
    an_agent_that_nobody_waits_for_is_killed(&qwen);
}

#[test]
fn a_program_that_is_no_agent_is_a_failure_and_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent {
        program: Program::new("sh", ["-c", "read hello; echo 'please log in' >&2; exit 3"]),
        folder: folder.path().to_owned(),
        system: None,
        context_tokens: 100,
    };
    let error = ask(Backend::Agent(agent), 1000).unwrap_err();
    assert_eq!(AskFailed::from(&error), AskFailed::Died);
    assert!(error.to_string().contains("please log in"), "{error}");
}

fn a_chat_endpoint_streams_its_answer(model: &Model) {
    let answer = ask(Backend::Chat(model.chat()), 1 << 20).unwrap();
    assert!(!answer.is_empty());
}

fn an_answer_is_given_up_when_it_grows_too_long(model: &Model) {
    let error = ask(Backend::Chat(model.chat()), 3).unwrap_err();
    assert_eq!(AskFailed::from(&error), AskFailed::AnswerTooLong, "{error}");
}

fn a_wrong_address_is_named(model: &Model) {
    let wrong = Chat { url: model.url.replace("/v1", "/v9").parse().unwrap(), ..model.chat() };
    let error = ask(Backend::Chat(wrong), 1000).unwrap_err();
    let HandlerError::Chat { fault: ChatFault::Refuses { status: 404, .. }, .. } = error else { panic!("{error}") };
}

fn an_agent_answers(qwen: &Qwen) {
    let answer = ask(Backend::Agent(qwen.agent("")), 1 << 20).unwrap();
    assert!(!answer.is_empty());
}

fn an_agent_that_nobody_waits_for_is_killed(qwen: &Qwen) {
    let number = qwen.folder.path().join("pid");
    let agent = qwen.agent(&format!("echo $$ >{}.new; mv {0}.new {0};", number.display()));
    let asked = smol::spawn(handlers(Backend::Agent(agent), 1 << 20).ask(question()));
    let pid = wait(|| fs::read_to_string(&number).ok()).trim().parse().unwrap();
    block_on(asked.cancel());
    wait(|| (test_kill_process(Pid::from_raw(pid).unwrap()) == Err(Errno::SRCH)).then_some(()));
}

fn ask(backend: Backend, max_answer: usize) -> Result<String, HandlerError> {
    block_on(handlers(backend, max_answer).ask(question()))
}

fn handlers(backend: Backend, max_answer: usize) -> Handlers {
    let mut handlers = Handlers::new(SessionReader::new(&Home::at("/no/home/of/wopr").unwrap()));
    handlers.set_default(Handler { timeout: LIMIT, max_answer, ..Handler::new(backend) });
    handlers
}

fn question() -> Question {
    Question {
        session: SessionName::new("main").unwrap(),
        text: "What is the status of the build?".to_owned(),
        peer: PublicKey::from_bytes([3; 32]),
        peer_name: Some("alice".to_owned()),
        capabilities: vec![Capability::inject()],
        trust: TrustLevel::Trusted,
        chain: "07070707070707070707070707070707:0123456789abcdef".parse().unwrap(),
    }
}

#[track_caller]
fn wait<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(began.elapsed() < LIMIT, "nothing happened");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The server with its model. It ends with its stdin.
struct Model {
    server: Child,
    url: String,
    _folder: TempDir,
}

impl Model {
    fn start() -> Option<Self> {
        let python = python()?;
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new(python)
            .arg(tests().join("llm/serve.py"))
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "the server of tests/llm did not start: {url:?}");
        Some(Self { server, url: url.trim().to_owned(), _folder: folder })
    }

    fn chat(&self) -> Chat {
        Chat { url: self.url.parse().unwrap(), model: "tiny".to_owned(), key: None, system: None, context_tokens: 500 }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        self.server.wait().unwrap();
    }
}

/// The agent, with a home of its own.
struct Qwen {
    folder: TempDir,
    url: String,
}

impl Qwen {
    fn installed(model: &Model) -> Option<Self> {
        let packages = tests().join("acp");
        // Without its optional native modules: `npm ci` wants those of every system in the lock file, and npm does not
        // write them there. What packages do when they are installed is not needed either.
        let install = ["install", "--no-save", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"];
        if !succeeds(Command::new("npm").args(install).current_dir(&packages)) {
            skip(&format!("'npm install' failed in {}", packages.display()));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join(".qwen/settings.json");
        fs::create_dir(settings.parent().unwrap()).unwrap();
        // A model of random weights would go on until its context is full.
        fs::write(settings, r#"{"model":{"generationConfig":{"samplingParams":{"max_tokens":16}}}}"#).unwrap();
        Some(Self { folder, url: model.url.clone() })
    }

    fn agent(&self, before: &str) -> Agent {
        let script = format!(
            "{before} HOME={} exec node {} --acp --auth-type openai --openai-api-key none --openai-base-url {} --model tiny",
            self.folder.path().display(),
            tests().join("acp/node_modules/.bin/qwen").display(),
            self.url
        );
        Agent {
            program: Program::new("sh", ["-c", &script]),
            folder: self.folder.path().to_owned(),
            system: None,
            context_tokens: 500,
        }
    }
}

fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A Python that has the packages of `tests/llm/requirements.txt`, in a folder that is kept from run to run.
fn python() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("llm");
    let (python, wanted) = (folder.join("bin/python"), tests().join("llm/requirements.txt"));
    let done = folder.join("requirements.txt");
    if fs::read(&done).ok() == fs::read(&wanted).ok() {
        return Some(python);
    }
    let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    let install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "-r"];
    if !made || !succeeds(Command::new(&python).args(install).arg(&wanted)) {
        skip("no Python with the packages of tests/llm/requirements.txt");
        return None;
    }
    fs::copy(wanted, done).unwrap();
    Some(python)
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "in CI this may not be skipped: {why}");
    // Past the capture of tests: it has to be seen.
    let said = writeln!(std::io::stderr(), "\nSKIPPED: {why}");
    said.expect("stderr takes a line");
}
