//! A bare peer: `swarm_peer listen|dial TOPIC HOST [relay=KEY] BOOTSTRAP...`
//!
//! With a relay's public key in hex it proposes to meet others there.
//! A listener prints "ready" once it is announced, and sends every message back. A dialler prints, in milliseconds,
//! when the stream stood and when the first byte came back, counted from the dial: `{"opened":12.3,"firstByte":14.5}`,
//! after a second, long message has come back whole too.
//! `swarm_peer dht HOST PORT [BOOTSTRAP...]` runs a full node of the DHT, `swarm_peer check HOST [relay=KEY]
//! BOOTSTRAP...` says how the network looks from here, and which relays are there.

use std::error::Error;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use wopr_p2p_smol::net::{Bootstrap, DialEvent, Hyperswarm, HyperswarmConfig, Network, Stream};

fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::args().skip(1).collect::<Vec<_>>())
}

/// Does what the arguments say.
pub(crate) fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [role, rest @ ..] = arguments else { return Err("say listen, dial, dht or check".into()) };
    smol::block_on(async {
        match (role.as_str(), rest) {
            ("dht", [host, port, others @ ..]) => {
                let _node = Bootstrap::run(format!("{host}:{port}").parse()?, others.to_vec()).await?;
                println!("ready");
                smol::future::pending().await
            }
            ("check", [host, bootstrap @ ..]) => {
                let network = open(host.parse()?, bootstrap).await?;
                println!("{:?}", network.surroundings().await);
                println!("{:?}", network.try_relays().await);
                Ok(())
            }
            ("listen", [topic, host, bootstrap @ ..]) => listen(hex(topic)?, host.parse()?, bootstrap).await,
            ("dial", [topic, host, bootstrap @ ..]) => dial(hex(topic)?, host.parse()?, bootstrap).await,
            _ => Err("see the head of examples/swarm_peer.rs for the arguments".into()),
        }
    })
}

/// The public keys of relays, and bootstrap nodes.
type Helpers = (Vec<[u8; 32]>, Vec<String>);

/// Splits what follows the host into relays and bootstrap nodes.
fn relays(rest: &[String]) -> Result<Helpers, Box<dyn Error>> {
    let (relays, bootstrap): (Vec<_>, Vec<_>) = rest.iter().cloned().partition(|word| word.starts_with("relay="));
    let relays = relays.iter().map(|word| hex(&word["relay=".len()..]));
    Ok((relays.collect::<Result<_, _>>()?, bootstrap))
}

/// The length of the second message: about the longest line of the protocol.
const LONG: usize = 1_400_000;

fn hex(text: &str) -> Result<[u8; 32], Box<dyn Error>> {
    let bytes: Result<Vec<u8>, _> =
        (0..text.len() / 2).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2).unwrap_or("?"), 16)).collect();
    bytes?.try_into().map_err(|_| "a topic has 64 hex digits".into())
}

async fn open(host: Ipv4Addr, rest: &[String]) -> Result<Hyperswarm, Box<dyn Error>> {
    let (relays, bootstrap) = relays(rest)?;
    Ok(Hyperswarm::open(HyperswarmConfig { bootstrap, host, lan: false, relays }).await?)
}

async fn listen(topic: [u8; 32], host: Ipv4Addr, bootstrap: &[String]) -> Result<(), Box<dyn Error>> {
    let network = open(host, bootstrap).await?;
    network.listen(topic).await?;
    println!("ready");
    while let Some(incoming) = network.accept().await {
        smol::spawn(echo(incoming.stream)).detach();
    }
    Ok(())
}

async fn echo(stream: Stream) {
    let (mut reader, writer) = stream.split();
    while let Some(message) = reader.recv().await {
        if writer.send(message).await.is_err() {
            break;
        }
    }
}

async fn dial(topic: [u8; 32], host: Ipv4Addr, bootstrap: &[String]) -> Result<(), Box<dyn Error>> {
    let network = open(host, bootstrap).await?;
    smol::Timer::after(Duration::from_millis(300)).await;
    let message = format!("{{\"hello\":\"{}\"}}\n", "x".repeat(300)).into_bytes();
    let began = Instant::now();
    let milliseconds = || began.elapsed().as_secs_f64() * 1000.0;
    let stream = match network.dial(topic).next().await {
        Some(DialEvent::Opened(stream)) => stream,
        other => return Err(format!("no stream after {:.1} ms: {other:?}", milliseconds()).into()),
    };
    let opened = milliseconds();
    let (mut reader, writer) = stream.split();
    writer.send(message.clone()).await?;
    let answer = reader.recv().await.ok_or("the stream closed before the answer came")?;
    let first_byte = milliseconds();
    // One write is one message, however long.
    let long: Vec<u8> = (0..LONG).map(|i| (i % 251) as u8).collect();
    writer.send(long.clone()).await?;
    let long_answer = reader.recv().await.ok_or("the stream closed before the long answer came")?;
    if answer != message || long_answer != long {
        return Err(format!("the answers differ: {} and {} bytes", answer.len(), long_answer.len()).into());
    }
    println!("{{\"opened\":{opened:.1},\"firstByte\":{first_byte:.1}}}");
    writer.close().await;
    network.close().await;
    Ok(())
}
