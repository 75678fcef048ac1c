//! Connections: how many, how slow, how large, and their end.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Connections at the same time; more have to wait.
const MAX_CONNECTIONS: usize = 64;
/// How long a request's head may take to arrive, and how long a connection may be idle.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 32 << 10;
/// The most header lines of a request.
const MAX_HEADERS: usize = 64;
/// How long the requests under way have at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long to wait before the next connection when none can be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is closed. What is still under way a moment later ends with the runtime.
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    stop: smol::channel::Receiver<Infallible>,
    stopping: watch::Sender<bool>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let (places, graceful) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), GracefulShutdown::new());
    let accepting = async {
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => connection(stream, app.clone(), &graceful, place),
                // Out of file descriptors, most likely: others will give some back.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = stop.recv() => {}
    }
    stopping.send_replace(true);
    // Whoever has not ended by then is cut off.
    tokio::time::timeout(LAST_WORDS, graceful.shutdown()).await.ok();
}

fn connection(stream: TcpStream, app: Router, graceful: &GracefulShutdown, place: OwnedSemaphorePermit) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let serving = graceful.watch(serving);
    tokio::spawn(async move {
        // A connection that breaks is nobody's loss.
        serving.await.ok();
        drop(place);
    });
}
