//! `identity`: who this node is.

use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::node::Snapshot;

use super::Names;
use crate::exit::Failure;
use crate::node::Node;
use crate::output::{Fields, Json, Object, View, relative};

/// `identity --export`.
pub(super) async fn export(node: &Node) -> Result<Export, Failure> {
    Ok(Export(node.snapshot().await?.public_key))
}

/// `identity`.
pub(super) async fn show(node: &Node) -> Result<Identity, Failure> {
    Ok(Identity(node.snapshot().await?))
}

/// The public key alone.
pub(super) struct Export(PublicKey);

impl View for Export {
    fn json(&self) -> Object {
        Object::default().shown("publicKey", self.0)
    }

    fn text(&self) -> String {
        format!("{}\n", self.0)
    }
}

/// The public side of the node's keys.
pub(super) struct Identity(Snapshot);

impl View for Identity {
    fn json(&self) -> Object {
        json(&self.0)
    }

    fn text(&self) -> String {
        fields(&self.0).render(0)
    }
}

/// The members that `identity` and `status` share.
pub(super) fn json(node: &Snapshot) -> Object {
    let names = Names::of(node);
    let grace = |key: &wopr_p2p_core::node::GraceKey| {
        Object::default()
            .shown("publicKey", key.public_key)
            .time(["validUntil", "validUntilIso"], key.until)
            .shown("rotationReason", key.reason)
            .with("told", names.json_list(&key.told))
            .with("untold", names.json_list(&key.untold))
    };
    Object::default()
        .shown("publicKey", node.public_key)
        .with("shortId", node.public_key.short_id())
        .shown("encryptPub", node.encrypt_key)
        .shown("topic", node.public_key.topic())
        .time(["created", "createdIso"], node.created)
        .with("rotatedFrom", node.rotated_from.map(|key| key.to_string()))
        .with("formerKeys", node.grace.iter().map(grace).collect::<Json>())
}

/// The fields that `identity` and `status` share.
pub(super) fn fields(node: &Snapshot) -> Fields {
    let now = Node::now();
    let names = Names::of(node);
    let mut fields = Fields::default()
        .field("publicKey", node.public_key.to_string())
        .field("shortId", node.public_key.short_id())
        .field("encryptPub", node.encrypt_key.to_string())
        .field("topic", node.public_key.topic().to_string())
        .field("created", relative(node.created, now));
    for key in &node.grace {
        let (id, until) = (key.public_key.short_id(), relative(key.until, now));
        fields = fields.field("formerKey", format!("{id}, ends {until}, rotated: {}", key.reason));
        if !key.untold.is_empty() {
            fields = fields.field("notToldYet", names.labels(&key.untold));
        }
    }
    fields
}
