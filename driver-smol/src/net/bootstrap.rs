//! A full node of the DHT, for others to start from: a private network needs at least one.

use std::fmt;
use std::net::SocketAddrV4;

use async_compat::CompatExt as _;
use libudx::UdxRuntime;
use peeroxide_dht::hyperdht::{HyperDhtConfig, HyperDhtHandle, spawn};

use super::NetError;

/// A running node of the DHT. It stores what peers announce and relays their handshakes.
pub struct Bootstrap {
    handle: HyperDhtHandle,
    address: SocketAddrV4,
    /// Kept for as long as the node runs.
    _runtime: UdxRuntime,
}

impl Bootstrap {
    /// Runs a node on this address, under which others must be able to reach it; port 0 takes a free one. `others` are
    /// further nodes of the same DHT, as `HOST:PORT`; the first node of a network has none.
    ///
    /// # Errors
    /// [`NetError::Address`] for the address of no interface in particular, [`NetError::Bind`] if the socket cannot be
    /// opened.
    pub async fn run(address: SocketAddrV4, others: Vec<String>) -> Result<Self, NetError> {
        if address.ip().is_unspecified() {
            // A node's place in the DHT follows from its address, so it has to know it.
            let reason = "name the address under which others reach this machine";
            return Err(NetError::Address { text: address.to_string(), reason });
        }
        let failed = |reason: String| NetError::Bind { address: address.into(), reason: std::io::Error::other(reason) };
        async move {
            let runtime = UdxRuntime::new().map_err(|reason| failed(reason.to_string()))?;
            let mut config = HyperDhtConfig::default();
            config.dht.bootstrap = others;
            config.dht.host = address.ip().to_string();
            config.dht.port = address.port();
            config.dht.ephemeral = Some(false);
            config.dht.firewalled = false;
            // The third part is for listeners on the node itself; there are none.
            let (_, handle, _) = spawn(&runtime, config).await.map_err(|reason| failed(reason.to_string()))?;
            let port = handle.local_port().await.map_err(|reason| failed(reason.to_string()))?;
            Ok(Self { handle, address: SocketAddrV4::new(*address.ip(), port), _runtime: runtime })
        }
        .compat()
        .await
    }

    /// Where it can be reached.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Ends the node.
    pub async fn close(self) {
        // An error means that it has ended already.
        drop(self.handle.destroy().await);
    }
}

impl fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bootstrap({})", self.address)
    }
}
