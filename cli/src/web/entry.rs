//! The way in and out: login links, the browser's session, logging out. And the files that are nobody's secret.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Form, FromRequestParts, Path, RawPathParams, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;
use serde::Deserialize;

use super::login::{LONGEST, Notice};
use super::{Shared, page};
use crate::secret::Secret;

/// The cookie's name.
const COOKIE: &str = "wopr";
/// Set by our script where nobody did anything.
const BY_ITSELF: &str = "x-live";

/// A browser that was let in.
pub(super) struct Visitor {
    pub(super) shared: Arc<Shared>,
    /// The part of the path behind which the page is.
    pub(super) door: String,
    /// What stands in each form.
    pub(super) form: Secret,
    /// Whether the page only looks again by itself.
    pub(super) by_itself: bool,
}

impl Visitor {
    /// The beginning of every path.
    pub(super) fn base(&self) -> String {
        base(&self.door)
    }

    /// What came of the last action; shown once.
    pub(super) fn take_notice(&self) -> Option<Notice> {
        if self.by_itself { None } else { self.shared.logins().take_notice(&self.door) }
    }
}

fn base(door: &str) -> String {
    format!("/s/{door}")
}

impl FromRequestParts<Arc<Shared>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Response> {
        let params = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| refused())?;
        let door = params.iter().find(|(name, _)| *name == "door").map(|(_, door)| door.to_owned()).unwrap_or_default();
        let by_itself = parts.headers.contains_key(BY_ITSELF) || parts.uri.path().ends_with("/live");
        let form = shared.logins().find(&door, keys(&parts.headers), !by_itself, Instant::now());
        let form = form.ok_or_else(refused)?;
        Ok(Self { shared: Arc::clone(shared), door, form, by_itself })
    }
}

/// The values of our cookie; another program on this machine may have set more of them.
fn keys(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    all.flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter_map(|(name, value)| (name == COOKIE).then_some(value))
}

fn refused() -> Response {
    (StatusCode::UNAUTHORIZED, page::closed("This page is locked")).into_response()
}

/// Whatever is not there looks like what is locked.
pub(super) async fn locked() -> Response {
    refused()
}

/// Shows a link's button. Looking does not use the link up: programs look at links before people do.
pub(super) async fn link(Path(token): Path<String>) -> Markup {
    page::enter(&token)
}

#[derive(Deserialize)]
pub(super) struct Login {
    token: String,
}

/// Uses a link.
pub(super) async fn login(State(shared): State<Arc<Shared>>, headers: HeaderMap, Form(login): Form<Login>) -> Response {
    if !headers.contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, page::closed("No browser sends a form so")).into_response();
    }
    match shared.logins().enter(&login.token, Instant::now()) {
        Ok(Some(entered)) => {
            let base = base(entered.door.as_str());
            let cookie = format!(
                "{COOKIE}={}; Path={base}; Max-Age={}; HttpOnly; SameSite=Strict",
                entered.key.as_str(),
                LONGEST.as_secs()
            );
            ([(header::SET_COOKIE, cookie)], Redirect::to(&format!("{base}/"))).into_response()
        }
        Ok(None) => (StatusCode::UNAUTHORIZED, page::closed("This link was used, or is too old")).into_response(),
        Err(error) => {
            tracing::error!(%error, "no randomness for a login");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Leave {
    form: String,
}

/// Ends the session.
pub(super) async fn leave(visitor: Visitor, Form(leave): Form<Leave>) -> Response {
    if !visitor.form.is(&leave.form) {
        return StatusCode::FORBIDDEN.into_response();
    }
    visitor.shared.logins().leave(&visitor.door);
    let cookie = format!("{COOKIE}=; Path={}; Max-Age=0; HttpOnly; SameSite=Strict", visitor.base());
    ([(header::SET_COOKIE, cookie)], page::closed("You have logged out")).into_response()
}

/// A file of the page. They hold nothing about the node: whoever asks may have them.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "page.css" => ("text/css; charset=utf-8", include_str!("assets/page.css")),
        "page.js" => ("text/javascript; charset=utf-8", include_str!("assets/page.js")),
        "icon.svg" => ("image/svg+xml", include_str!("assets/icon.svg")),
        _ => return refused(),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
