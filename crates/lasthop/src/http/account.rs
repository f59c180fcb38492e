//! What one request did and what it took, gathered on its way and told when it is over: to the
//! counters always, to the access log where there is one.
//!
//! The clock is read only where somebody will see the difference. An account that is dropped before
//! it was closed (the worker was stopped in the middle) still leaves its line.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use lasthop_http1::Version;
use lasthop_http1::request::RequestHead;

use super::client::Client;
use super::fault::Fault;
use super::forward::After;
use super::request::Manner;
use super::site::ListenerSite;
use crate::observe::{EndedBy, Entry, Outcome, RequestId, RequestLine};
use crate::relay::{Side, TunnelEnd};
use crate::upstream::{ConnectErrorKind, Connection, Upstream};

/// What is counted for a client that left before it was answered. No status was sent; this is the
/// number that nginx gave it, and that analysers of logs know.
const CLIENT_GONE: u16 = 499;

/// Why an account was dropped before it was closed.
const STOPPED: &str = "the proxy was stopped";

/// One request's account.
#[derive(Debug)]
pub(super) struct Account {
    id: RequestId,
    listener: Rc<ListenerSite>,
    /// When its first bytes were there; none where nobody looks at durations.
    started: Option<Instant>,
    /// The same by the calendar; none where there is no access log.
    began: Option<SystemTime>,
    /// When it asked for a connection to its app.
    asked: Option<Instant>,
    /// When it had one.
    connected: Option<Instant>,
    /// When the head of the answer was there.
    answered: Option<Instant>,
    /// What the client's stream had counted before it; once it was measured, its own bytes.
    received: u64,
    sent: u64,
    client: Option<IpAddr>,
    /// Its line in the access log, begun.
    entry: Option<Entry>,
    route: Option<usize>,
    /// The connection that it used last, or could not get.
    used: Option<Used>,
    attempts: u32,
    status: Option<u16>,
    failure: Option<Failure>,
    is_told: bool,
}

/// A connection to an app, as far as the log cares.
#[derive(Clone, Copy, Debug)]
struct Used {
    target: usize,
    source: Option<SocketAddr>,
    /// None where it did not come about.
    reused: Option<bool>,
}

/// What went wrong.
#[derive(Debug)]
struct Failure {
    /// None for a tunnel, which has to end somehow.
    error: Option<&'static str>,
    details: String,
    ended_by: EndedBy,
}

impl Account {
    /// Opens the account of the request whose first bytes `client` has sent, or is about to send.
    pub(super) fn open(client: &Client, listener: &Rc<ListenerSite>) -> Self {
        Self {
            id: listener.site.request_ids.next(),
            listener: Rc::clone(listener),
            started: listener.site.is_timed.then(Instant::now),
            began: listener.site.access.is_some().then(SystemTime::now),
            asked: None,
            connected: None,
            answered: None,
            received: client.consumed(),
            sent: client.stream.sent(),
            client: client.peer.ip,
            entry: None,
            route: None,
            used: None,
            attempts: 0,
            status: None,
            failure: None,
            is_told: false,
        }
    }

    /// What tells it from all others.
    pub(super) fn id(&self) -> RequestId {
        self.id
    }

    /// Nothing was asked, so there is nothing to tell.
    pub(super) fn forget(&mut self) {
        self.is_told = true;
    }

    /// The head was understood: writes what it says into the log line, whose bytes are borrowed.
    pub(super) fn describe(
        &mut self,
        client: &Client,
        head: &RequestHead<'_, '_>,
        received_id: Option<&str>,
    ) {
        let Some(log) = &self.listener.site.access else {
            return;
        };
        let field = |name: &str| {
            let mut fields = head.fields().iter();
            fields.find(|field| field.name.eq_ignore_ascii_case(name))
        };
        let value = |name| field(name).map_or(&[][..], |field| field.value);
        self.entry = Some(log.begin(&RequestLine {
            id: self.id,
            received_id,
            listener: &self.listener.settings.name,
            client: client.peer.ip,
            time: self.began(),
            method: head.method.as_bytes(),
            target: head.target.path_and_query().as_bytes(),
            host: head.authority().unwrap_or_default().as_bytes(),
            version: match head.version {
                Version::Http10 => (1, 0),
                Version::Http11 => (1, 1),
            },
            user_agent: value("user-agent"),
            referer: value("referer"),
        }));
    }

    /// It wants a connection to its app, and there is none that is idle.
    pub(super) fn asks(&mut self) {
        if self.listener.site.is_timed {
            self.asked = Some(Instant::now());
            // The connection before, if there was one, is dead.
            self.connected = None;
        }
    }

    /// It has a connection to its app.
    pub(super) fn takes(&mut self, connection: &mut Connection, upstream: &Upstream) {
        let reused = connection.answers > 0;
        if reused {
            upstream.metrics.reused.add(1);
        }
        if self.attempts > 0 {
            upstream.metrics.retried.add(1);
        }
        self.attempts += 1;
        if self.listener.site.is_timed {
            self.connected = Some(Instant::now());
        }
        if self.entry.is_some() {
            if connection.source.is_none() {
                connection.source = connection.stream.local_addr();
            }
            self.used = Some(Used {
                target: connection.target,
                source: connection.source,
                reused: Some(reused),
            });
        }
    }

    /// The head of the final answer is there.
    pub(super) fn answers(&mut self, status: u16, upstream: &Upstream) {
        self.status = Some(status);
        if let Some(connected) = self.connected {
            let now = Instant::now();
            self.answered = Some(now);
            upstream.metrics.response_duration.observe(now - connected);
        }
    }

    /// It failed; `sent` is the status of our own answer, where one goes out instead of the app's.
    pub(super) fn fails(&mut self, fault: &Fault, manner: &Manner, sent: Option<u16>) {
        if sent.is_some() || !manner.is_answered {
            self.status = sent;
        }
        self.listener.site.metrics.failures.count(fault.kind());
        if self.listener.site.access.is_none() {
            return;
        }
        self.failure = Some(Failure {
            error: Some(fault.error_type()),
            details: fault.to_string(),
            ended_by: fault.ended_by(),
        });
        if let (Fault::Connect(error), Some(route)) = (fault, manner.route)
            && error.kind != ConnectErrorKind::Limit
        {
            let config = &self.listener.site.config;
            let targets = &config.upstreams[config.routes[route].upstream].targets;
            let target = targets.iter().position(|target| *target == error.target);
            self.used = target.map(|target| Used {
                target,
                source: None,
                reused: None,
            });
        }
    }

    /// Takes down how far it has come: once, at its end, whatever ends it.
    pub(super) fn measure(&mut self, client: &Client, manner: &Manner) {
        self.route = manner.route;
        let taken = client.consumed() - self.received;
        self.received = match taken {
            // Its head was never taken from the input, and nothing else can be there.
            0 => client.stream.received() - self.received,
            taken => taken,
        };
        self.sent = client.stream.sent() - self.sent;
        self.listener.count_bytes(self.received, self.sent);
    }

    /// The request was measured and is over, or has become a tunnel: its log line goes along with that.
    pub(super) fn close(mut self, mut after: After) -> After {
        let site = &self.listener.site;
        let status = self.status.unwrap_or(CLIENT_GONE);
        site.metrics.route(self.route).count(status);
        let joined = match &mut after {
            After::Tunnel(joined) => Some(joined),
            _ => None,
        };
        if let Some(started) = self.started {
            // A tunnel's duration is its users' business; what it took to get it is ours.
            let until = self.answered.filter(|_| joined.is_some());
            let until = until.unwrap_or_else(Instant::now);
            site.metrics.request_duration.observe(until - started);
        }
        match joined {
            Some(joined) if self.entry.is_some() => joined.account = Some(Box::new(self)),
            Some(_) => self.is_told = true,
            None => self.tell(),
        }
        after
    }

    /// The tunnel is over that the request became, after so many bytes from and to the client.
    pub(super) fn close_tunnel(mut self, end: Option<&TunnelEnd>, received: u64, sent: u64) {
        self.received += received;
        self.sent += sent;
        let (ended_by, details) = match end {
            Some(TunnelEnd::Closed(Side::Client)) => (EndedBy::Client, "closed".to_owned()),
            Some(TunnelEnd::Closed(Side::App)) => (EndedBy::Upstream, "closed".to_owned()),
            Some(TunnelEnd::Broken(Side::Client, error)) => {
                (EndedBy::Client, error.kind().to_string())
            }
            Some(TunnelEnd::Broken(Side::App, error)) => {
                (EndedBy::Upstream, error.kind().to_string())
            }
            Some(TunnelEnd::Silent) => (EndedBy::Proxy, "tunnel_timeout".to_owned()),
            None => (EndedBy::Proxy, STOPPED.to_owned()),
        };
        self.failure = Some(Failure {
            error: None,
            details,
            ended_by,
        });
        self.tell();
    }

    /// The time for its line. It is there wherever a line is.
    fn began(&self) -> SystemTime {
        self.began.unwrap_or_else(SystemTime::now)
    }

    /// Finishes the line.
    fn tell(&mut self) {
        self.is_told = true;
        let site = &self.listener.site;
        let (Some(log), Some(started)) = (&site.access, self.started) else {
            return;
        };
        // A head that was refused has said nothing yet.
        let entry = match self.entry.take() {
            Some(entry) => entry,
            None => log.begin(&RequestLine {
                client: self.client,
                ..RequestLine::unread(self.id, &self.listener.settings.name, self.began())
            }),
        };
        let route = self.route.map(|route| &site.config.routes[route]);
        let upstream = route.map(|route| &site.config.upstreams[route.upstream]);
        let target = self.used.zip(upstream);
        let target = target.map(|(used, upstream)| &upstream.targets[used.target]);
        let now = Instant::now();
        let connect = self.asked.map(|asked| {
            // Where it got none, or none for its second attempt, it waited to the end.
            let connected = self.connected.filter(|connected| *connected >= asked);
            connected.unwrap_or(now) - asked
        });
        let wait = self.answered.zip(self.connected);
        log.write(
            entry,
            &Outcome {
                status: self.status,
                error: self.failure.as_ref().and_then(|failure| failure.error),
                details: self.failure.as_ref().map(|failure| &*failure.details),
                ended_by: self.failure.as_ref().map(|failure| failure.ended_by),
                route: route.map(|route| &*route.name),
                upstream: upstream.map(|upstream| &*upstream.name),
                target: target.map(|target| target as &dyn Display),
                source: self.used.and_then(|used| used.source),
                reused: self.used.and_then(|used| used.reused),
                attempts: self.attempts,
                connect,
                wait: wait.map(|(answered, connected)| answered - connected),
                total: now - started,
                received_bytes: self.received,
                sent_bytes: self.sent,
            },
        );
        // The next tick hands it over.
        site.connections.clock().wind();
    }
}

impl Drop for Account {
    /// The worker was stopped in the middle of it.
    fn drop(&mut self) {
        if self.is_told {
            return;
        }
        self.failure.get_or_insert_with(|| Failure {
            error: None,
            details: STOPPED.to_owned(),
            ended_by: EndedBy::Proxy,
        });
        self.tell();
    }
}
