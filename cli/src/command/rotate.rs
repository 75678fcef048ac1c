//! `rotate`: new keys.

use wopr_p2p_core::keys::PublicKey;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_core::{Command, Reply};

use super::Names;
use super::failure::{About, done, unexpected};
use crate::args::Rotate;
use crate::exit::Failure;
use crate::node::Node;
use crate::output::{Fields, Object, View, WARN, relative};

/// `rotate`.
pub(super) async fn rotate(node: &Node, typed: &Rotate) -> Result<Rotated, Failure> {
    let Rotate { reason, notify_all, timeout } = *typed;
    let command = Command::RotateKeys { reason, notify_all, timeout };
    match done(node, command, About::Nothing).await? {
        (Reply::Rotated { public_key, rotated_from, grace_until, told, untold }, names) => {
            Ok(Rotated { public_key, rotated_from, grace_until, told, untold, names })
        }
        _ => Err(unexpected()),
    }
}

/// The new keys, and who knows of them.
pub(super) struct Rotated {
    public_key: PublicKey,
    rotated_from: PublicKey,
    grace_until: WallTime,
    told: Vec<PublicKey>,
    untold: Vec<PublicKey>,
    names: Names,
}

impl View for Rotated {
    fn json(&self) -> Object {
        Object::default()
            .shown("publicKey", self.public_key)
            .with("shortId", self.public_key.short_id())
            .shown("rotatedFrom", self.rotated_from)
            .time(["graceUntil", "graceUntilIso"], self.grace_until)
            .with("told", self.names.json_list(&self.told))
            .with("untold", self.names.json_list(&self.untold))
    }

    fn text(&self) -> String {
        Fields::default()
            .field("publicKey", self.public_key.to_string())
            .field("rotatedFrom", self.rotated_from.to_string())
            .field("oldKeyEnds", relative(self.grace_until, Node::now()))
            .field("told", self.names.labels(&self.told))
            .field("notToldYet", self.names.labels(&self.untold))
            .render(0)
    }

    fn note(&self) -> String {
        if self.untold.is_empty() {
            return String::new();
        }
        format!(
            "{WARN}While a daemon runs (`wopr daemon start`), it tells the others as soon as they can be reached. One that \
             stays away until the next rotation's grace period is over has to be invited anew, and so has this node \
             there.{WARN:#}"
        )
    }
}
