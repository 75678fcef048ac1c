//! The tools over HTTP, at `/mcp` of the daemon's port, for whoever has the home's token.
//!
//! Host and Origin are checked before, for every route (`web::guard`); that we listen on loopback is the server's.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use wopr_p2p_smol::home::Home;

use super::server::Server;
use crate::secret::SecretFile;

/// How long a host may say nothing before its session is forgotten; it begins a new one then.
const IDLE: Duration = Duration::from_secs(3600);

/// The file with the token that lets a program speak to the daemon over HTTP.
pub(super) fn token(home: &Home) -> SecretFile {
    SecretFile::of(home, "mcp.token", "wopr mcp --new-http-token makes a new one")
}

/// The route, behind the token.
pub(crate) fn router(home: &Home) -> Router {
    let server = Server::new(home);
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.keep_alive = Some(IDLE);
    // Host and Origin have been checked, with the port.
    let config = StreamableHttpServerConfig::default();
    let service = StreamableHttpService::new(move || Ok(server.clone()), Arc::new(sessions), config);
    Router::new().route_service("/mcp", service).route_layer(middleware::from_fn_with_state(home.clone(), guard))
}

async fn guard(State(home): State<Home>, request: Request, next: Next) -> Response {
    if knows_token(&home, request.headers()) {
        return next.run(request).await;
    }
    let words = "the token is missing or wrong: wopr mcp --http-token prints it\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], words).into_response()
}

fn knows_token(home: &Home, headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return false };
    let Some((scheme, text)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else { return false };
    // Without a token in the home, or with one that others can read, nobody gets in.
    let token = token(home).find().ok().flatten();
    scheme.eq_ignore_ascii_case("bearer") && token.is_some_and(|token| token.is(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_in_without_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            knows_token(&home, &headers)
        };
        assert!(!with(&["Bearer "]) && !with(&[]), "a home without a token lets nobody in");
        let known = token(&home).find_or_make().unwrap();
        let right = format!("Bearer {}", known.as_str());
        assert!(with(&[&right]) && with(&[&right.replace("Bearer", "bearer")]));
        for wrong in [format!("Basic {}", known.as_str()), right.replace(char::is_numeric, "x"), format!("{right}0")] {
            assert!(!with(&[&wrong]), "{wrong}");
        }
        assert!(!with(&[&right, &right]), "two are one too many");
        token(&home).renew().unwrap();
        assert!(!with(&[&right]), "the one before is none any more");
    }
}
