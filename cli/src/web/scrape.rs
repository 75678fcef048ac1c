//! `/metrics`, for whoever has the token that is in the home.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use wopr_p2p_smol::home::Home;

use super::Shared;
use super::login::Secret;
use super::page::Unavailable;

/// The token's file in the home's `p2p` folder: for Prometheus to read.
const FILE: &str = "metrics.token";

/// The token; made with its file if there is none. It stays, so that Prometheus need not be told after a restart.
///
/// # Errors
/// It cannot be read or written.
pub(super) fn token(home: &Home) -> io::Result<Secret> {
    let path = home.p2p().join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let private = fs::metadata(&path)?.permissions().mode() & 0o077 == 0;
            if let Some(token) = Secret::known(text.trim()).filter(|_| private) {
                return Ok(token);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = Secret::new().map_err(io::Error::other)?;
    // A file that others could read is replaced, and its token is worth nothing any more.
    let mut file = tempfile::NamedTempFile::new_in(home.p2p())?;
    writeln!(file, "{}", token.as_str())?;
    file.persist(&path)?;
    Ok(token)
}

/// Everything that is counted.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    if !given.and_then(|given| given.strip_prefix("Bearer ")).is_some_and(|given| shared.scrape_token.is(given)) {
        let how = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, how, "the token is in p2p/metrics.token of the home\n").into_response();
    }
    let around = shared.around.of(&shared.node).await;
    match shared.node.metrics(&around).await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(failure) => Unavailable::from(failure).into_response(),
    }
}
