//! The dashboard: what the sampler saw and the workers count, as a page for people.
//!
//! `/` is whole without a script; `/events` carries what changes; `/findings` is the documentation of the findings, and
//! `/assets` what the pages are made with. Everything is rendered here, on the admin thread, by one set of pure functions
//! for the first view and for every update (docs/decisions/0012-dashboard.md). Nothing is asked of any other host, and
//! nothing can be changed through it. What the page shows is in docs/dashboard.md.

mod assets;
mod chart;
mod charts;
mod findings;
mod html;
mod live;
mod markdown;
mod numbers;
mod page;
mod seen;
mod series;
#[cfg(test)]
mod tests;
mod upstreams;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lasthop_ports::finding::ALL;

use super::pages::{missing, plain};
use super::view::View;
use crate::doctor;
use crate::history::Window;
use html::Html;
use live::{Live, Scene as _};
use seen::Seen;

/// What the pages may load: their own style sheet, script, icon and events, from this address, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// Who began a request, as the browser says (W3C, Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Asks nginx, should one stand in between, to pass events on at once.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

type Shared = State<Arc<Live<Seen>>>;

/// The pages of the dashboard.
pub(super) fn router(view: Arc<View>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/events", get(events))
        .route("/findings", get(all_findings))
        .route("/findings/{code}", get(finding))
        .route("/assets/{name}", get(asset))
        .with_state(Arc::new(Live::new(Seen::new(view))))
}

async fn index(State(live): Shared, uri: Uri) -> Response {
    match window(&uri) {
        Some(window) => html_page(page::dashboard(window, &live.scene().parts(window))),
        None => no_window(),
    }
}

async fn events(State(live): Shared, headers: HeaderMap, uri: Uri) -> Response {
    // A picture on somebody's page that points here would hold a stream, although that page could read nothing of it. An
    // app on another port of this host is somebody as well: the same site, and not the same origin.
    if headers
        .get(FETCH_SITE)
        .is_some_and(|site| site != "same-origin" && site != "none")
    {
        return plain(
            StatusCode::FORBIDDEN,
            "the events are for the dashboard's own page\n",
        );
    }
    let Some(window) = window(&uri) else {
        return no_window();
    };
    if live.scene().is_draining() {
        return later("it drains: there are no more live updates\n");
    }
    let Some(stream) = live.stream(window) else {
        return later("as many pages are live as there can be; this one can be reloaded\n");
    };
    let fields = [
        (CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (ACCEL_BUFFERING, "no"),
    ];
    (fields, Body::new(stream)).into_response()
}

async fn all_findings() -> Response {
    let mut list = Html::new();
    list.raw("<h1>Findings</h1><p>What lasthop looks for on a host, in the order of their harm to a proxy. \
              <code>lasthop doctor</code> tells the same without this page.</p><dl class=\"codes\">");
    for code in ALL {
        list.raw("<dt><a")
            .attribute("href", format_args!("/findings/{code}"))
            .raw(">");
        let text = doctor::page(code.as_str()).unwrap_or_default();
        list.text(code).raw("</a></dt><dd>");
        list.text(markdown::summary(text)).raw("</dd>");
    }
    list.raw("</dl>");
    html_page(page::text("Findings · lasthop", &list))
}

async fn finding(State(live): Shared, Path(code): Path<String>) -> Response {
    let known = ALL.iter().find(|it| it.as_str() == code);
    let (Some(code), Ok(text)) = (known, doctor::page(&code)) else {
        return plain(
            StatusCode::NOT_FOUND,
            "there is no such finding; /findings lists them all\n",
        );
    };
    let found = live.scene().latest();
    let found = found
        .as_ref()
        .map_or(&[][..], |it| &it.examination.findings);
    let content = findings::page(*code, found, &markdown::html(text));
    html_page(page::text(&format!("{code} · lasthop"), &content))
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match assets::answer(&name, &headers) {
        Some(answer) => answer,
        None => missing().await,
    }
}

/// The window that a request asks for; none where there is no such window.
fn window(uri: &Uri) -> Option<Window> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let mut asked = pairs.filter_map(|pair| pair.strip_prefix("window="));
    match asked.next() {
        Some(name) => Window::of(name),
        None => Some(Window::TenMinutes),
    }
}

fn no_window() -> Response {
    let names = Window::ALL.map(Window::as_str).join(", ");
    plain(
        StatusCode::BAD_REQUEST,
        format!("`window` is one of {names}\n"),
    )
}

fn html_page(page: String) -> Response {
    let fields = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (fields, page).into_response()
}

fn later(text: &'static str) -> Response {
    let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, text);
    answer
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("10"));
    answer
}
