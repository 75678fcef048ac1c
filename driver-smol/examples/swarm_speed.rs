//! How fast one stream is: `swarm_speed listen|send TOPIC HOST BYTES MESSAGE BOOTSTRAP...`
//!
//! The listener takes BYTES bytes and sends one byte back; the sender sends them in messages of MESSAGE bytes and
//! prints how long it took until that byte came: `{"seconds":1.2,"megabytesPerSecond":83.3}`.

use std::error::Error;
use std::net::Ipv4Addr;
use std::time::Instant;

use wopr_p2p_smol::net::{DialEvent, Hyperswarm, HyperswarmConfig, Network};

fn main() -> Result<(), Box<dyn Error>> {
    run(&std::env::args().skip(1).collect::<Vec<_>>())
}

/// Does what the arguments say.
pub(crate) fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [role, topic, host, bytes, message, bootstrap @ ..] = arguments else {
        return Err("see the head of examples/swarm_speed.rs for the arguments".into());
    };
    let topic = hex(topic)?;
    let (bytes, message): (usize, usize) = (bytes.parse()?, message.parse()?);
    let host: Ipv4Addr = host.parse()?;
    smol::block_on(async {
        let network = Hyperswarm::open(HyperswarmConfig {
            bootstrap: bootstrap.to_vec(),
            host,
            lan: false,
            ..HyperswarmConfig::default()
        })
        .await?;
        if role == "listen" {
            listen(&network, topic, bytes).await
        } else {
            send(&network, topic, bytes, message).await
        }
    })
}

fn hex(text: &str) -> Result<[u8; 32], Box<dyn Error>> {
    let bytes: Result<Vec<u8>, _> =
        (0..text.len() / 2).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2).unwrap_or("?"), 16)).collect();
    bytes?.try_into().map_err(|_| "a topic has 64 hex digits".into())
}

async fn listen(network: &Hyperswarm, topic: [u8; 32], bytes: usize) -> Result<(), Box<dyn Error>> {
    network.listen(topic).await?;
    println!("ready");
    while let Some(incoming) = network.accept().await {
        let (mut reader, writer) = incoming.stream.split();
        let mut left = bytes;
        while left > 0
            && let Some(message) = reader.recv().await
        {
            left = left.saturating_sub(message.len());
        }
        writer.send(vec![1]).await?;
        while reader.recv().await.is_some() {}
    }
    Ok(())
}

async fn send(network: &Hyperswarm, topic: [u8; 32], bytes: usize, message: usize) -> Result<(), Box<dyn Error>> {
    let stream = match network.dial(topic).next().await {
        Some(DialEvent::Opened(stream)) => stream,
        other => return Err(format!("no stream: {other:?}").into()),
    };
    let (mut reader, writer) = stream.split();
    let began = Instant::now();
    let mut left = bytes;
    while left > 0 {
        let size = left.min(message);
        writer.send(vec![0x5a; size]).await?;
        left -= size;
    }
    reader.recv().await.ok_or("the stream closed before the answer came")?;
    let seconds = began.elapsed().as_secs_f64();
    println!("{{\"seconds\":{seconds:.3},\"megabytesPerSecond\":{:.1}}}", bytes as f64 / 1e6 / seconds);
    writer.close().await;
    network.close().await;
    Ok(())
}
