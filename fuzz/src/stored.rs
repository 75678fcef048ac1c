//! Stored documents, whatever is in them: a node starts or says which one is damaged. What a node that started writes,
//! a node can start from.

use wopr_p2p_core::{Config, Document, DocumentWrite, Input, Node, Output, StartError, time::Now};

use crate::{START, documents};

/// Most outputs of a start and of each of the times looked at.
const MAX_OUTPUTS: usize = 200_000;

/// The documents in the order of [`Document::ALL`], with a zero byte between them; an empty one does not exist.
pub fn run(data: &[u8]) {
    let mut files: Vec<Vec<u8>> = data.splitn(Document::ALL.len(), |byte| *byte == 0).map(<[u8]>::to_vec).collect();
    files.resize(Document::ALL.len(), Vec::new());
    let mut now = START;
    let mut node = match Node::new(Config::default(), documents(&files), [3; 32], now) {
        Ok(node) => node,
        Err(StartError::Damaged(_, error)) => return assert!(!error.to_string().is_empty()),
        Err(StartError::Config(error)) => unreachable!("the default config is refused: {error}"),
    };
    assert!(!node.snapshot().public_key.to_string().is_empty());
    drain(&mut node, &mut files, now);
    for hours in [0, 1, 25, 24 * 31] {
        now.mono = now.mono + core::time::Duration::from_secs(hours * 3600);
        now.wall = now.wall + core::time::Duration::from_secs(hours * 3600);
        node.handle_timeout(now);
        drain(&mut node, &mut files, now);
    }
    let key = node.public_key();
    let again = Node::new(Config::default(), documents(&files), [4; 32], now);
    let again = again.unwrap_or_else(|error| panic!("a node cannot read what it wrote: {error}"));
    assert!(files[0].is_empty() || again.public_key() == key);
}

/// Carries out every output; everything stored is durable at once.
fn drain(node: &mut Node, files: &mut [Vec<u8>], now: Now) {
    for _ in 0..MAX_OUTPUTS {
        let Some(output) = node.poll_output() else { return };
        let Output::Store { id, document, write } = output else { continue };
        let file = Document::ALL.iter().position(|other| *other == document).expect("one of all");
        match write {
            DocumentWrite::Replace(bytes) => files[file] = bytes.to_vec(),
            DocumentWrite::Append(bytes) => files[file].extend(bytes),
        }
        node.handle_input(now, Input::Written { id, result: Ok(()) });
    }
    panic!("a node never comes to rest");
}
