//! `p2p dht`: a node of a private DHT, for others to start from.

use std::net::SocketAddrV4;

use wopr_p2p_smol::net::{Bootstrap, NetError};

use crate::config::Config;
use crate::daemon::{signals, until_asked};
use crate::exit::{Exit, Failure};
use crate::output::{BOLD, Object, Output};

/// Runs a node of the DHT until SIGTERM or Ctrl-C. `WOPR_P2P_BOOTSTRAP` and `bootstrap` name further nodes of the same
/// DHT; the first node of a network has none.
///
/// # Errors
/// The address cannot be used.
pub(crate) async fn run(listen: SocketAddrV4, config: Config, out: Output) -> Result<(), Failure> {
    let signals = signals()?;
    let node = Bootstrap::run(listen, config.bootstrap.unwrap_or_default()).await.map_err(|error| refused(&error))?;
    let address = node.address().to_string();
    let ready = Object::default().with("ready", true).with("listen", address.as_str());
    out.line(&ready, &format!("listening on {BOLD}{address}{BOLD:#}\n"))?;
    let result = until_asked(signals).await;
    node.close().await;
    result
}

fn refused(error: &NetError) -> Failure {
    let next = "name an address of this machine and a free UDP port, such as 127.0.0.1:49737 or port 0";
    Failure::new(Exit::Invalid, error.to_string(), next)
}
