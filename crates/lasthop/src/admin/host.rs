//! What the sampler saw of the host, for `/metrics`, `/doctor` and `/history`.
//!
//! Nothing is read for a page: it tells of the latest look, and of when that was.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use lasthop_ports::Severity;

use super::exposition::{Kind, Page};
use super::pages::{SharedView, plain};
use crate::doctor::{self, Report};
use crate::history::{self, SOCKET_STATES, Window};
use crate::observe::metrics::ConnectResult;
use crate::sampler::{Latest, Sampled};

/// How long a page waits for the first look, which takes half a second on a full host.
const FIRST_LOOK_MAX: Duration = Duration::from_secs(2);

/// What the names of Unix sockets' states begin with where they stand beside those of TCP.
const UNIX: &str = "unix_";

/// Forecasts that are told, the soonest first: a page stays bounded on a host where everything rises.
const FORECASTS_MAX: usize = 64;

/// The families of `/metrics`.
pub(super) fn metrics(sampled: &Sampled, page: &mut Page) {
    let latest = sampled.latest();
    sockets(latest.as_deref(), page);
    findings(latest.as_deref(), page);
    forecasts(latest.as_deref(), page);
    page.family(
        "lasthop_sampler_cpu_seconds_total",
        Kind::Counter,
        "Processor time that looking at the host and at these numbers has taken, in seconds.",
    )
    .sample(&[], sampled.processor_time().as_secs_f64());
}

fn sockets(latest: Option<&Latest>, page: &mut Page) {
    let snapshot = latest.map(|latest| &latest.examination.snapshot);
    let counts = snapshot.and_then(|snapshot| snapshot.sockets.as_ref());
    let mut family = page.family(
        "lasthop_sockets",
        Kind::Gauge,
        "TCP sockets of the network namespace, of all programs, by state.",
    );
    for (state, read, _) in SOCKET_STATES {
        if let Some(counts) = counts.filter(|_| !state.starts_with(UNIX)) {
            family.sample(&[("state", state)], read(counts));
        }
    }
    let mut family = page.family(
        "lasthop_unix_sockets",
        Kind::Gauge,
        "Unix sockets of the network namespace, of all programs, by state.",
    );
    for (state, read, _) in SOCKET_STATES {
        if let (Some(counts), Some(state)) = (counts, state.strip_prefix(UNIX)) {
            family.sample(&[("state", state)], read(counts));
        }
    }
    let mut family = page.family(
        "lasthop_host_sampled_timestamp_seconds",
        Kind::Gauge,
        "When the host was last looked at, in seconds since 1970.",
    );
    if let Some(snapshot) = snapshot {
        family.sample(&[], snapshot.taken_ms as f64 / 1e3);
    }
}

fn findings(latest: Option<&Latest>, page: &mut Page) {
    let mut family = page.family(
        "lasthop_findings",
        Kind::Gauge,
        "What is wrong with the host or will be: findings by their code and severity.",
    );
    let findings = latest
        .iter()
        .flat_map(|latest| &latest.examination.findings);
    let mut counts: BTreeMap<(&str, Severity), u64> = BTreeMap::new();
    for finding in findings {
        let code = finding.code.as_str();
        *counts.entry((code, finding.severity)).or_default() += 1;
    }
    for ((code, severity), count) in counts {
        let severity = severity.to_string();
        family.sample(&[("code", code), ("severity", &severity)], count);
    }
}

fn forecasts(latest: Option<&Latest>, page: &mut Page) {
    let mut family = page.family(
        "lasthop_source_ports_forecast_seconds",
        Kind::Gauge,
        "When the source ports of a pair of addresses will be used up if they rise like this; absent where they do not.",
    );
    let mut forecasts: Vec<_> = latest.iter().flat_map(|latest| &latest.forecasts).collect();
    forecasts.sort_by(|(_, one), (_, other)| one.seconds_left.total_cmp(&other.seconds_left));
    for (key, forecast) in forecasts.into_iter().take(FORECASTS_MAX) {
        let (source, target) = (key.source.to_string(), key.destination.to_string());
        let labels = [("source", &*source), ("target", &*target)];
        family.sample(&labels, forecast.seconds_left.round());
    }
}

/// `/doctor`.
pub(super) async fn doctor_page(State(view): SharedView) -> Response {
    let first = tokio::time::timeout(FIRST_LOOK_MAX, view.sampled.first());
    let Ok(latest) = first.await else {
        let mut answer = plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the host has not been looked at yet\n",
        );
        let headers = answer.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        return answer;
    };
    let mut text = doctor::json(&Report::of_one(latest.examination.clone()));
    text.push('\n');
    json(text)
}

/// `/history`. Without a `window` the shortest.
pub(super) async fn history_page(State(view): SharedView, uri: Uri) -> Response {
    let parts = uri.query().unwrap_or_default().split('&');
    let asked = parts.filter_map(|part| part.strip_prefix("window=")).next();
    let window = asked.map_or(Some(Window::TenMinutes), Window::of);
    let Some(window) = window else {
        let windows = Window::ALL.map(Window::as_str).join(", ");
        let text = format!("there is no such window; there are {windows}\n");
        return plain(StatusCode::BAD_REQUEST, text);
    };
    let results = ConnectResult::ALL.map(ConnectResult::label);
    let written = view
        .sampled
        .history(|history| history::json(history, window, &results));
    match written {
        Ok(text) => json(text),
        Err(error) => {
            tracing::error!(%error, "cannot write the history as JSON");
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the history cannot be written\n",
            )
        }
    }
}

fn json(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
