//! `/metrics`, for whoever has the token that is in the home.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use wopr_p2p_smol::home::Home;

use super::Shared;
use super::page::Unavailable;
use crate::secret::SecretFile;

/// The file with the token, for Prometheus to read. It stays, so that Prometheus need not be told after a restart.
pub(super) fn token(home: &Home) -> SecretFile {
    SecretFile::of(home, "metrics.token", "delete the file and restart the daemon, which makes a new one")
}

/// Everything that is counted.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    // Without a token in the home, or with one that others can read, nobody gets them.
    let token = token(&shared.home).find().ok().flatten();
    let knows = |given: &str| token.is_some_and(|token| token.is(given));
    if !given.and_then(|given| given.strip_prefix("Bearer ")).is_some_and(knows) {
        let how = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, how, "the token is in p2p/metrics.token of the home\n").into_response();
    }
    let around = shared.around.of(&shared.node).await;
    match shared.node.metrics(&around).await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(failure) => Unavailable::from(failure).into_response(),
    }
}
