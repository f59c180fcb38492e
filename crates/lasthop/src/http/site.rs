//! What a request can see of the worker that serves it: routes, upstreams, buffers, settings.
//!
//! Built once per worker and listener by `server`, and only read from then on.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use lasthop_http1::limits::HeadLimits;

use super::date::DateText;
use super::desk::Desks;
use super::refuse::Goodbyes;
use crate::config::{Config, Listener};
use crate::observe::Repeats;
use crate::observe::metrics::WorkerMetrics;
use crate::observe::{RequestIds, WorkerLog};
use crate::route::RouteTable;
use crate::transport::{BufferPool, Connections};
use crate::upstream::Upstream;

/// One worker's view of the whole configuration.
#[derive(Debug)]
pub struct Site {
    /// The configuration all workers share.
    pub config: Arc<Config>,
    /// Host and path to route.
    pub routes: RouteTable,
    /// By the index that routes carry.
    pub upstreams: Vec<Rc<Upstream>>,
    /// This worker's buffers.
    pub buffers: BufferPool,
    /// Where requests are dealt with.
    pub desks: Desks,
    /// This worker's client connections.
    pub connections: Connections,
    /// Heads are serialised here before they go into a buffer; never borrowed across an await.
    pub scratch: RefCell<Vec<u8>>,
    /// For answers whose app sent none (RFC 9110 section 6.6.1).
    pub date: DateText,
    /// Failures that repeat are counted here instead of filling the log.
    pub repeats: Repeats,
    /// The access log, where there is one.
    pub access: Option<WorkerLog>,
    /// Names for requests.
    pub request_ids: RequestIds,
    /// Whether anybody will see how long requests take: without, the clock is not read for them.
    pub is_timed: bool,
    /// What this worker counts; only its own thread writes here.
    pub metrics: Arc<WorkerMetrics>,
    /// Clients that this worker had no room for, on their way out.
    pub goodbyes: Goodbyes,
}

/// What is particular to the listener that a client came through.
#[derive(Debug)]
pub struct ListenerSite {
    /// The worker's view.
    pub site: Rc<Site>,
    /// Its index in the configuration, and in what is counted.
    pub index: usize,
    /// The listener's settings.
    pub settings: Listener,
    /// Bounds on a request's head, from those settings.
    pub limits: HeadLimits,
}

impl ListenerSite {
    /// Counts bytes from and to a client.
    pub(super) fn count_bytes(&self, received: u64, sent: u64) {
        let metrics = &self.site.metrics.listeners[self.index];
        metrics.received_bytes.add(received);
        metrics.sent_bytes.add(sent);
    }
}
