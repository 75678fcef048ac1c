//! `ping`: how far away a peer is, and which way its packets take.

use std::time::Duration;

use wopr_p2p_core::CommandError;
use wopr_p2p_core::peer::PeerRef;
use wopr_p2p_smol::driver::Pong;

use super::Names;
use super::failure::{About, explain};
use crate::exit::Failure;
use crate::node::Node;
use crate::output::{BAD, BOLD, Cell, Json, Object, Table, View};

/// `ping PEER`: tries as often as asked; one answer is enough to succeed.
pub(super) async fn ping(node: &Node, peer: PeerRef, count: u32, timeout: Duration) -> Result<Pings, Failure> {
    let mut tries = Vec::new();
    for _ in 0..count {
        tries.push(node.ping(peer.clone(), timeout).await);
        // A peer that refuses us, or that nobody knows, is no other at the next try.
        if matches!(tries.last(), Some(Err(error)) if !may_pass(error)) {
            break;
        }
    }
    let names = Names::of(&node.snapshot().await?);
    let words = |error: &CommandError| explain(error, &About::Nothing, &names);
    match tries.iter().find_map(|tried| tried.as_ref().err()) {
        Some(error) if tries.iter().all(Result::is_err) => Err(words(error)),
        _ => {
            let tries = tries.iter().map(|tried| tried.as_ref().copied().map_err(|error| words(error).message));
            Ok(Pings { peer: peer.to_string(), tries: tries.collect() })
        }
    }
}

/// Whether the next try can end otherwise.
fn may_pass(error: &CommandError) -> bool {
    matches!(error, CommandError::PeerOffline(_) | CommandError::NoAnswer(_) | CommandError::NetworkDown)
}

/// What came of the tries.
pub(super) struct Pings {
    peer: String,
    tries: Vec<Result<Pong, String>>,
}

impl Pings {
    fn times(&self) -> Vec<f64> {
        self.tries.iter().flatten().map(|pong| millis(pong.round_trip)).collect()
    }

    /// Least, average and most.
    fn summary(&self) -> Option<[f64; 3]> {
        let times = self.times();
        let least = times.iter().copied().reduce(f64::min)?;
        let most = times.iter().copied().reduce(f64::max)?;
        Some([least, times.iter().sum::<f64>() / times.len() as f64, most])
    }
}

impl View for Pings {
    fn json(&self) -> Object {
        let tried = |tried: &Result<Pong, String>| match tried {
            Ok(pong) => Object::default()
                .with("roundTripMs", millis(pong.round_trip))
                .with("connectMs", millis(pong.found))
                .with("path", pong.path.to_string())
                .with("error", Json::Null),
            Err(error) => Object::default()
                .with("roundTripMs", Json::Null)
                .with("connectMs", Json::Null)
                .with("path", Json::Null)
                .with("error", error.as_str()),
        };
        let [least, average, most] = self.summary().map_or([None; 3], |times| times.map(Some));
        Object::default()
            .with("peer", self.peer.as_str())
            .with("tries", self.tries.iter().map(tried).collect::<Json>())
            .with("answers", self.times().len())
            .with("minMs", least)
            .with("avgMs", average)
            .with("maxMs", most)
    }

    fn text(&self) -> String {
        let mut table = Table::new(["", "ROUND TRIP", "CONNECT", "PATH"], "");
        for (number, tried) in self.tries.iter().enumerate() {
            let number = Cell::from((number + 1).to_string());
            match tried {
                Ok(Pong { found, round_trip, path }) => {
                    table.row([
                        number,
                        shown(millis(*round_trip)).into(),
                        shown(millis(*found)).into(),
                        path.to_string().into(),
                    ]);
                }
                Err(error) => table.row([number, Cell::styled(error, BAD), "".into(), "".into()]),
            }
        }
        let answers = format!("{} of {} answered", self.times().len(), self.tries.len());
        let times = self.summary().map(|times| times.map(shown).join(" / ")).unwrap_or_default();
        format!("{}{BOLD}{}{BOLD:#}: {answers}, min / avg / max: {times}\n", table.render(), Cell::from(&self.peer))
    }
}

fn shown(millis: f64) -> String {
    format!("{millis:.1} ms")
}

/// To the microsecond.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
