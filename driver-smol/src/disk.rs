//! The node's writes, off the event loop: one thread for the documents, one for the sessions. Each does its writes in the
//! order in which they were given and reports one when it is durable, so order and truth are those of the disk.

use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use smol::channel;
use wopr_p2p_core::access::SessionName;

use crate::file::FileError;
use crate::session_file::SessionWriter;
use crate::store::Store;
use wopr_p2p_core::{Document, DocumentWrite, SessionEntry, WriteFailed, WriteId};

/// How a write ended: what the node wants to hear as `Input::Written`.
pub type Written = (WriteId, Result<(), WriteFailed>);

/// Does writes in the background. Dropping it lets those that were given come to their end; [`Disk::close`] waits for
/// them. What is queued is bounded by the node, which waits for confirmations.
pub struct Disk {
    documents: Worker<(WriteId, Document, DocumentWrite)>,
    sessions: Worker<(WriteId, SessionName, SessionEntry)>,
    written: channel::Sender<Written>,
}

impl Disk {
    /// Starts the threads. The receiver gets exactly one [`Written`] for each write, in no particular order between
    /// documents and sessions.
    ///
    /// # Errors
    /// The operating system gives no more threads.
    pub fn start(mut store: Store, mut sessions: SessionWriter) -> io::Result<(Self, channel::Receiver<Written>)> {
        let (written, receiver) = channel::unbounded();
        let documents = Worker::start("wopr-documents", written.clone(), move |(id, document, write)| {
            (id, store.write(document, &write))
        })?;
        let sessions = Worker::start("wopr-sessions", written.clone(), move |(id, session, entry)| {
            (id, sessions.append(&session, &entry))
        })?;
        Ok((Self { documents, sessions, written }, receiver))
    }

    /// Serves `Output::Store`.
    pub fn store(&self, id: WriteId, document: Document, write: DocumentWrite) {
        self.check(id, self.documents.give((id, document, write)));
    }

    /// Serves `Output::Record`.
    pub fn record(&self, id: WriteId, session: SessionName, entry: SessionEntry) {
        self.check(id, self.sessions.give((id, session, entry)));
    }

    /// Waits until every write that was given has ended.
    pub async fn close(self) {
        smol::unblock(|| {
            self.documents.finish();
            self.sessions.finish();
        })
        .await;
    }

    fn check(&self, id: WriteId, given: bool) {
        if !given {
            let reason = "the thread that writes files has died: restart wopr".to_owned();
            report(&self.written, (id, Err(WriteFailed { reason })));
        }
    }
}

/// Nobody listens any more when the driver is going down: the write itself counts, so that is no error.
fn report(to: &channel::Sender<Written>, written: Written) {
    drop(to.try_send(written));
}

struct Worker<Job> {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

impl<Job: Send + 'static> Worker<Job> {
    fn start(
        name: &str,
        written: channel::Sender<Written>,
        mut run: impl FnMut(Job) -> (WriteId, Result<(), FileError>) + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            for job in queue {
                let (id, result) = run(job);
                let result = result.map_err(|error| WriteFailed { reason: error.to_string() });
                report(&written, (id, result));
            }
        })?;
        Ok(Self { jobs, thread })
    }

    /// Whether the thread still takes jobs.
    fn give(&self, job: Job) -> bool {
        self.jobs.send(job).is_ok()
    }

    fn finish(self) {
        drop(self.jobs);
        // A thread that panicked has said so on stderr, and its jobs are over as well.
        drop(self.thread.join());
    }
}

#[cfg(test)]
mod tests;
