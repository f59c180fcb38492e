//! The admin address: what this process tells about itself, to its operator and to Prometheus.
//!
//! Serves the dashboard, `/metrics`, `/status`, `/healthz`, `/doctor` and `/history` from a thread of its own, on an address of its own. It reads what the
//! workers count and never waits for one of them, and no worker waits for it: a scraper that hangs costs nobody anything
//! but itself. It changes nothing in the process. Clients and applications never pass here, so its HTTP is hyper's and
//! its pages are axum's (docs/decisions/0007-admin-address.md); what it says is in docs/metrics.md.

mod authority;
mod basic;
mod connection;
mod dashboard;
mod exposition;
mod gate;
mod host;
mod metrics;
mod open;
mod pages;
mod source_ports;
mod status;
#[cfg(test)]
mod tests;
mod thread;
mod totals;
mod view;

pub use open::{OpenAdmin, OpenError, open};
pub use thread::{AdminThread, CONNECTIONS_MAX};

pub use view::{LogDrops, LogDropsReader, ServerState, View};
