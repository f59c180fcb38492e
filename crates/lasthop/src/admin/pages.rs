//! What is where on the admin address, and what every answer of it carries.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::gate::Gate;
use super::view::View;
use super::{dashboard, exposition, host, metrics, status};
use crate::observe::Descriptors;

/// The page that needs no token.
pub(super) const HEALTH: &str = "/healthz";

/// What every page is made from.
pub(super) type SharedView = State<Arc<View>>;

const PLAIN: &str = "text/plain; charset=utf-8";

/// Of every answer that does not say otherwise itself, as the dashboard's do. What is told is of this moment and for
/// whoever asked; a page may load nothing, run nothing and be framed by nobody.
const SECURITY: [(HeaderName, &str); 3] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

/// Every page, behind the gate.
pub(super) fn router(gate: Gate, view: View) -> Router {
    let view = Arc::new(view);
    Router::new()
        .route(HEALTH, get(health))
        .route("/metrics", get(metrics_page))
        .route("/status", get(status_page))
        .route("/doctor", get(host::doctor_page))
        .route("/history", get(host::history_page))
        .fallback(missing)
        .with_state(Arc::clone(&view))
        .merge(dashboard::router(view))
        .layer(from_fn_with_state(Arc::new(gate), guard))
}

async fn guard(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut answer = match gate.refusal(&parts) {
        Some(refusal) => refusal,
        None => next.run(Request::from_parts(parts, body)).await,
    };
    for (name, value) in SECURITY {
        let field = answer.headers_mut().entry(name);
        field.or_insert(HeaderValue::from_static(value));
    }
    answer
}

/// An answer of plain text, which ends with a line feed.
pub(super) fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    (status, [(CONTENT_TYPE, PLAIN)], text.into()).into_response()
}

async fn health(State(view): SharedView) -> Response {
    if view.state.is_draining() {
        plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        plain(StatusCode::OK, "ok\n")
    }
}

async fn metrics_page(State(view): SharedView) -> Response {
    let page = metrics::page(&view, Descriptors::read());
    ([(CONTENT_TYPE, exposition::CONTENT_TYPE)], page).into_response()
}

async fn status_page(State(view): SharedView) -> Response {
    match status::json(&view, Descriptors::read(), Instant::now()) {
        Ok(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot write the status as JSON");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the status cannot be written\n",
            )
        }
    }
}

pub(super) async fn missing() -> Response {
    plain(
        StatusCode::NOT_FOUND,
        "there is no such page; / lists them all\n",
    )
}
