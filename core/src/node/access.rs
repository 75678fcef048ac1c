//! Who may do what, as it is in force and as it is stored: `access.json` and `peers.json`.

use alloc::vec::Vec;

use super::discover::book::Book;
use super::{Document, StartError, Stored};
use crate::config::Config;
use crate::error::StateError;
use crate::grant::{Grant, Grants};
use crate::invite::Invites;
use crate::peer::{Peer, Peers};

/// Who may do what.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) peers: Peers,
    pub(super) grants: Grants,
    pub(super) invites: Invites,
    pub(super) book: Book,
}

impl Access {
    pub(super) fn load(config: &Config, stored: &Stored) -> Result<Self, StartError> {
        let peers: PeersFile = read(Document::Peers, stored.peers.as_deref())?;
        let access: AccessFile = read(Document::Access, stored.access.as_deref())?;
        let peers = Peers::load(config.max_peers, peers.peers);
        Ok(Self {
            peers: peers.map_err(|error| StartError::Damaged(Document::Peers, error))?,
            grants: Grants::load(config.max_grants, access.grants),
            invites: access.invites,
            book: read(Document::Discovery, stored.discovery.as_deref())?,
        })
    }

    /// The document's bytes. Writing to memory cannot fail, and none of the types refuses to be written.
    pub(super) fn to_json(&self, document: Document) -> Vec<u8> {
        match document {
            Document::Peers => serde_json::to_vec(&PeersOut { peers: &self.peers }),
            Document::Discovery => serde_json::to_vec(&self.book),
            _ => serde_json::to_vec(&AccessOut { grants: &self.grants, invites: &self.invites }),
        }
        .unwrap_or_default()
    }
}

#[derive(Default, serde::Deserialize)]
struct PeersFile {
    peers: Vec<Peer>,
}

#[derive(serde::Serialize)]
struct PeersOut<'a> {
    peers: &'a Peers,
}

#[derive(Default, serde::Deserialize)]
struct AccessFile {
    grants: Vec<Grant>,
    invites: Invites,
}

#[derive(serde::Serialize)]
struct AccessOut<'a> {
    grants: &'a Grants,
    invites: &'a Invites,
}

fn read<T: Default + serde::de::DeserializeOwned>(document: Document, json: Option<&[u8]>) -> Result<T, StartError> {
    let Some(json) = json else {
        return Ok(T::default());
    };
    serde_json::from_slice(json).map_err(|error| {
        let document_name = document.file_name();
        let (line, column) = (error.line(), error.column());
        StartError::Damaged(document, StateError::Malformed { document: document_name, line, column })
    })
}
