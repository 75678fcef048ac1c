//! What every request passes before any route sees it, and the headers of every answer.
//!
//! The browser of the owner is where hostile pages run as well. Such a page can send requests to us in two ways: from
//! another origin, which the browser tells us (`Origin`, `Sec-Fetch-Site`), or as if from ours, by a name of its own
//! that it lets point to 127.0.0.1 (DNS rebinding), which the `Host` tells us. Both are refused here, read or write.

use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http_body_util::Limited;

/// The longest body where a route does not say otherwise, in bytes.
const MAX_FORM: usize = 64 << 10;
/// The longest body that any route can ask for.
const MAX_BODY: usize = 4 << 20;

/// Nothing but our own files, no script or style within a page, nobody's frame, forms to ourselves only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
                      require-trusted-types-for 'script'; trusted-types wopr";

/// `same-origin`, not `no-referrer`: with the latter browsers write `Origin: null` on a form's request, and the origin
/// could not be checked. Neither says anything to another origin.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Puts the guard around routes.
pub(super) fn layer(routes: Router, port: u16) -> Router {
    routes.layer(DefaultBodyLimit::max(MAX_FORM)).layer(middleware::from_fn_with_state(port, guard))
}

async fn guard(State(port): State<u16>, request: Request, next: Next) -> Response {
    let (method, started) = (request.method().clone(), Instant::now());
    // What comes behind it can be a secret.
    let place: String = request.uri().path().split('/').nth(1).unwrap_or_default().chars().take(12).collect();
    let mut response = match check(&request, port) {
        Ok(()) => next.run(request.map(|body| Body::new(Limited::new(body, MAX_BODY)))).await,
        Err(refusal) => refusal.into_response(),
    };
    let (status, took) = (response.status().as_u16(), started.elapsed());
    tracing::debug!(%method, place, status, ?took, "a request");
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

type Refusal = (StatusCode, &'static str);

fn check(request: &Request, port: u16) -> Result<(), Refusal> {
    let (headers, method) = (request.headers(), request.method());
    let ours = |host: &str| {
        let names = ["127.0.0.1", "localhost", "[::1]"];
        host.rsplit_once(':').is_some_and(|(name, of)| {
            names.iter().any(|ours| ours.eq_ignore_ascii_case(name)) && of == port.to_string()
        })
    };
    let host = only(headers, header::HOST).filter(|host| ours(host));
    let host = host.ok_or((StatusCode::MISDIRECTED_REQUEST, "this name is not ours\n"))?;
    // A request for a whole URL names a host of its own.
    if request.uri().authority().is_some_and(|authority| authority.as_str() != host) {
        return Err((StatusCode::MISDIRECTED_REQUEST, "this name is not ours\n"));
    }
    let foreign = (StatusCode::FORBIDDEN, "this comes from another page\n");
    if headers.contains_key(header::ORIGIN) {
        let origin = only(headers, header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
        if !origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) {
            return Err(foreign);
        }
    }
    // Other ports of 127.0.0.1 are the same site. A link on another page may be followed, no more.
    let fetch = |name| only(headers, HeaderName::from_static(name));
    let followed = method == Method::GET
        && fetch("sec-fetch-mode") == Some("navigate")
        && fetch("sec-fetch-dest") == Some("document");
    match fetch("sec-fetch-site") {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) if followed => Ok(()),
        Some(_) => Err(foreign),
    }
}

/// The header's value, if there is exactly one.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

#[cfg(test)]
mod tests;
