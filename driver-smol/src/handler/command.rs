//! One running command: its pipes, its end, and the end of everything it started.
//!
//! The process group is killed on every way out. Its number is ours until its leader is reaped, so killing and reaping
//! are done under one lock: no signal can reach a stranger's process that got the same number.

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use smol::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use smol::{Async, channel, future};

use super::error::harmless;
use super::{Backend, HandlerError, Program, environment};
use wopr_p2p_core::Question;

/// How much of stderr is kept for the owner, in bytes: its end, which says most.
const MAX_STDERR: usize = 4096;

/// How much is read from a pipe at once, in bytes.
const PIECE: usize = 16 * 1024;

/// The most that a pipe holds on Linux unless root raises it, in bytes.
const MAX_PIPE: usize = 1024 * 1024;

/// Runs a program on one question. Dropping the future kills the program and what it started.
pub(super) async fn answer(
    run: &Program,
    question: &Question,
    file: PathBuf,
    max_answer: usize,
) -> Result<String, HandlerError> {
    let program = || run.program.clone();
    let broken = |error: io::Error| HandlerError::Broken { program: program(), reason: error.to_string() };

    let mut command = Command::new(&run.program);
    command.args(&run.args).envs(environment(question, file)).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = smol::unblock(move || Running::start(command))
        .await
        .map_err(|error| HandlerError::NotStarted { program: program(), reason: error.to_string() })?;

    let mut output = Output { answer: Vec::new(), max_answer, stderr: Vec::new() };
    let status = match running.converse(question.text.as_bytes(), &mut output).await.map_err(broken)? {
        End::Exited(status) if output.answer.len() <= max_answer => status,
        _ => {
            let handler = Backend::Command(run.clone()).to_string();
            return Err(HandlerError::AnswerTooLong { handler, max_answer });
        }
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => output.into_answer().ok_or_else(|| HandlerError::NotUtf8 { program: program() }),
        (Some(code), _) => Err(HandlerError::Failed { program: program(), code, stderr: output.stderr() }),
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            Err(HandlerError::Killed { program: program(), signal, stderr: output.stderr() })
        }
    }
}

/// A command that was started, with everything that it starts.
struct Running {
    /// `None` once the question is written.
    stdin: Option<Async<ChildStdin>>,
    stdout: Async<ChildStdout>,
    stderr: Async<ChildStderr>,
    group: Group,
}

enum End {
    Exited(ExitStatus),
    AnswerTooLong,
}

impl Running {
    /// Blocks for as long as the operating system needs to start a program.
    fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = Group::watch(child);
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("the command has no pipes"));
        };
        Ok(Self { stdin: Some(Async::new(stdin)?), stdout: Async::new(stdout)?, stderr: Async::new(stderr)?, group })
    }

    /// Writes the question and reads what the command says, until it has exited or has said too much. That its pipes are
    /// closed is no end: it may do so early, or leave them to others that it started.
    async fn converse(&mut self, question: &[u8], output: &mut Output) -> io::Result<End> {
        let Self { stdin, stdout, stderr, group } = self;
        let Output { answer, max_answer, stderr: said } = &mut *output;
        let write = async {
            if let Some(stdin) = stdin {
                // A command need not read its question: if it closes its stdin, that is no failure.
                drop(stdin.write_all(question).await);
            }
            *stdin = None;
            future::pending().await
        };
        let read = async {
            while let 1.. = read_piece(stdout, |piece| answer.extend_from_slice(piece)).await? {
                if answer.len() > *max_answer {
                    return Ok(End::AnswerTooLong);
                }
            }
            future::pending().await
        };
        let listen = async {
            while let 1.. = read_piece(stderr, |piece| keep_end(said, piece)).await? {}
            future::pending().await
        };
        let exited = async { group.exited().await.map(End::Exited) };
        let end = future::or(write, future::or(read, future::or(listen, exited))).await?;
        if let End::Exited(_) = end {
            // What the command wrote just before its end is still in the pipes.
            drain(&mut self.stdout, |piece| output.answer.extend_from_slice(piece)).await?;
            drain(&mut self.stderr, |piece| keep_end(&mut output.stderr, piece)).await?;
        }
        Ok(end)
    }
}

/// Reads once and returns how much there was, 0 at the end.
async fn read_piece(pipe: &mut (impl AsyncRead + Unpin), take: impl FnOnce(&[u8])) -> io::Result<usize> {
    let mut piece = [0; PIECE];
    let len = pipe.read(&mut piece).await?;
    take(&piece[..len]);
    // A command that never stops writing must not stop all else.
    future::yield_now().await;
    Ok(len)
}

/// Reads what is in a pipe now, without waiting for those that may still hold its other end.
async fn drain(pipe: &mut (impl AsyncRead + Unpin), mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut piece = [0; PIECE];
    let mut drained = 0;
    while drained < MAX_PIPE {
        match future::poll_once(pipe.read(&mut piece)).await.transpose()? {
            None | Some(0) => break,
            Some(len) => {
                take(&piece[..len]);
                drained += len;
            }
        }
    }
    Ok(())
}

/// Keeps the last [`MAX_STDERR`] bytes.
fn keep_end(kept: &mut Vec<u8>, piece: &[u8]) {
    kept.extend_from_slice(piece);
    kept.drain(..kept.len().saturating_sub(MAX_STDERR));
}

/// What a command has written.
struct Output {
    answer: Vec<u8>,
    /// In bytes; `answer` is longer by no more than a piece while it is being found too long.
    max_answer: usize,
    stderr: Vec<u8>,
}

impl Output {
    /// The answer without its final line end; `None` if it is not UTF-8.
    fn into_answer(self) -> Option<String> {
        let mut answer = String::from_utf8(self.answer).ok()?;
        if answer.ends_with('\n') {
            answer.pop();
            if answer.ends_with('\r') {
                answer.pop();
            }
        }
        Some(answer)
    }

    fn stderr(&self) -> String {
        harmless(&String::from_utf8_lossy(&self.stderr))
    }
}

/// The process group of a command. Dropping it kills the group.
struct Group {
    /// `None` once the leader is reaped and its number may be another's.
    leader: Arc<Mutex<Option<Pid>>>,
    exit: channel::Receiver<io::Result<ExitStatus>>,
}

impl Group {
    /// Watches over a process that leads its group. A thread waits for its end, kills the rest of the group and reaps it.
    fn watch(mut child: Child) -> Self {
        let leader = Arc::new(Mutex::new(Some(Pid::from_child(&child))));
        let (exited, exit) = channel::bounded(1);
        let watched = leader.clone();
        // Detached: it must reap the process also when nobody waits for the answer any more.
        smol::unblock(move || {
            let status = reap(&mut child, &watched);
            drop(exited.try_send(status));
        })
        .detach();
        Self { leader, exit }
    }

    /// How the leader exited. Gives it once.
    async fn exited(&self) -> io::Result<ExitStatus> {
        self.exit.recv().await.map_err(io::Error::other)?
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        kill(*self.leader.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn reap(child: &mut Child, leader: &Mutex<Option<Pid>>) -> io::Result<ExitStatus> {
    let pid = WaitId::Pid(Pid::from_child(child));
    // Leaves the leader unreaped, so that its number stays its group's.
    let ended = loop {
        match waitid(pid.clone(), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(Errno::INTR) => {}
            ended => break ended,
        }
    };
    let mut leader = leader.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = leader.take();
    if ended.is_ok() {
        kill(pid);
    }
    child.wait()
}

fn kill(group: Option<Pid>) {
    if let Some(group) = group {
        // It fails if nothing is left of the group but its ended leader, or if what is left runs as another user (`sudo`):
        // there is nothing to do about either.
        kill_process_group(group, Signal::KILL).ok();
    }
}
