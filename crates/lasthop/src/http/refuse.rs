//! When there is no room: what a newcomer is told before it has asked for anything, and what the operator
//! log says of it and of those who had to go.
//!
//! A refused newcomer costs no event loop, no timer and no buffer: its answer is one write, and then it is
//! kept for a moment, so that what it is sending does not turn the close into a reset that takes the answer
//! away. How many are kept so, and for how long, is bounded; the sweep of the connections looks after them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::client::{Client, Standing};
use super::site::ListenerSite;
use crate::config::Config;
use crate::observe::FailureKey;
use crate::transport::{BareSocket, Shortage};

/// Goodbyes that a worker keeps at once; the oldest is closed for one more. They hold descriptors
/// that the shortage leaves nobody else, so they are few, and on one host an answer is read in microseconds.
pub const GOODBYES_MAX: usize = 16;

/// How long one is kept that does not close by itself.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Reads in a row of what such a client sends, 4 KiB each. Who sends more than that to somebody who does
/// not listen loses the answer.
const READS_MAX: usize = 16;

/// What is summed up in the log, for each listener: clients turned away, and idle ones closed.
const REFUSED_CONNECTIONS: &str = "refused: max_connections";
const REFUSED_DESCRIPTORS: &str = "refused: descriptors";
const EVICTED: &str = "evicted";

/// Sockets on which everything has been said and that are not closed yet. One worker's.
#[derive(Debug, Default)]
pub struct Goodbyes(RefCell<VecDeque<Goodbye>>);

#[derive(Debug)]
struct Goodbye {
    socket: BareSocket,
    until: Instant,
}

/// Turns a newcomer away: tells it to come back later, counts it and logs it.
pub fn refuse(newcomer: BareSocket, listener: &ListenerSite, shortage: Shortage) {
    let site = &listener.site;
    let metrics = &site.metrics.listeners[listener.index];
    match shortage {
        Shortage::Connections => metrics.refused_connections.add(1),
        Shortage::Descriptors => metrics.refused_descriptors.add(1),
    }
    let slots = site.connections.slots();
    let details = slots.describe(shortage, listener.index);
    log_refusal(listener, shortage, &details);
    say_goodbye(newcomer, listener, shortage, &details);
}

/// Closes a client for a newcomer's sake. One that has never been served is told why: it may be about to
/// ask, and an end without an answer is to most programs an error that they do not try again after. One
/// that has been served knows that an idle connection can end at any time.
pub(super) fn evict(client: Client, listener: &ListenerSite) {
    let (shortage, details) = count_eviction(listener);
    let Client { stream, watch, .. } = client;
    if client.standing != Standing::Served
        && let Ok(socket) = stream.into_bare()
    {
        say_goodbye(socket, listener, shortage, &details);
    }
    // Last, so that the sweep does not end before it sees the goodbye.
    drop(watch);
}

/// Closes a client for a newcomer's sake that has been told already, that it was too slow.
pub(super) fn evict_answered(client: Client, listener: &ListenerSite) {
    count_eviction(listener);
    let Client { stream, watch, .. } = client;
    if let Ok(socket) = stream.into_bare() {
        keep(socket, listener);
    }
    drop(watch);
}

/// Counts and logs an eviction; returns the bound behind it, as far as one can tell by now, and its numbers.
fn count_eviction(listener: &ListenerSite) -> (Shortage, String) {
    let site = &listener.site;
    site.metrics.listeners[listener.index].evicted.add(1);
    let slots = site.connections.slots();
    let shortage = slots.reached_by_client(listener.index);
    let details = slots.describe(shortage, listener.index);
    log_eviction(listener, &details);
    (shortage, details)
}

fn say_goodbye(mut socket: BareSocket, listener: &ListenerSite, shortage: Shortage, details: &str) {
    let site = &listener.site;
    let with_details = site.config.server.error_details.then_some(details);
    let answer = compose(shortage, with_details, &site.date.text());
    // An idle socket takes this much at once; one that does not is gone.
    if socket.write(answer.as_bytes()).is_ok() {
        keep(socket, listener);
    }
}

/// Keeps a socket on which everything has been said for a moment.
fn keep(socket: BareSocket, listener: &ListenerSite) {
    let site = &listener.site;
    if socket.shutdown_write().is_ok() {
        site.goodbyes.keep(socket, site.connections.clock().now());
    }
}

impl Goodbyes {
    fn keep(&self, socket: BareSocket, now: Instant) {
        let mut goodbyes = self.0.borrow_mut();
        if goodbyes.len() >= GOODBYES_MAX
            && let Some(oldest) = goodbyes.pop_front()
        {
            oldest.close();
        }
        goodbyes.push_back(Goodbye {
            socket,
            until: now + GOODBYE_MAX,
        });
    }

    /// Closes the one that has been kept longest. Returns whether there was one.
    pub fn cut_oldest(&self) -> bool {
        let oldest = self.0.borrow_mut().pop_front();
        oldest.map(Goodbye::close).is_some()
    }

    /// Closes those who have closed, or have been kept long enough. Returns whether any is left.
    pub fn sweep(&self, now: Instant) -> bool {
        let mut goodbyes = self.0.borrow_mut();
        goodbyes.retain_mut(|goodbye| goodbye.is_open() && now < goodbye.until);
        !goodbyes.is_empty()
    }
}

impl Goodbye {
    /// Reads away what has come; returns whether the client is still there.
    fn is_open(&mut self) -> bool {
        let mut bytes = [0; 4096];
        for _ in 0..READS_MAX {
            match self.socket.read(&mut bytes) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// Closes it, without a reset if it has sent no more by now.
    fn close(mut self) {
        self.is_open();
    }
}

/// The answer to whatever the client wants.
fn compose(shortage: Shortage, details: Option<&str>, date: &str) -> String {
    let error = match shortage {
        Shortage::Connections => "connection_limit_reached",
        Shortage::Descriptors => "proxy_internal_error",
    };
    let (parameter, body) = match details {
        Some(details) => (
            format!("; details=\"{details}\""),
            format!("503 Service Unavailable: {details}\n"),
        ),
        None => (String::new(), "503 Service Unavailable\n".to_owned()),
    };
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nDate: {date}\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Proxy-Status: lasthop; error={error}{parameter}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn log_refusal(listener: &ListenerSite, shortage: Shortage, details: &str) {
    let (kind, fix) = match shortage {
        Shortage::Connections => (
            REFUSED_CONNECTIONS,
            "raise max_connections of this listener if this host can hold more clients",
        ),
        Shortage::Descriptors => (
            REFUSED_DESCRIPTORS,
            "raise the limit on open files (LimitNOFILE= of the service, ulimit -n)",
        ),
    };
    let site = &listener.site;
    let now = site.connections.clock().now();
    if let Some(repeated) = site.repeats.admit((kind, Some(listener.index)), now) {
        let listener = &*listener.settings.name;
        let repeated = (repeated > 0).then_some(repeated);
        tracing::warn!(listener, details, fix, repeated, "client refused, no room");
    }
}

fn log_eviction(listener: &ListenerSite, details: &str) {
    let site = &listener.site;
    let now = site.connections.clock().now();
    if let Some(repeated) = site.repeats.admit((EVICTED, Some(listener.index)), now) {
        let listener = &*listener.settings.name;
        let repeated = (repeated > 0).then_some(repeated);
        let fix = "raise max_connections of this listener or the limit on open files (LimitNOFILE=), \
                   or lower idle_timeout";
        tracing::info!(
            listener,
            details,
            fix,
            repeated,
            "idle client closed to make room"
        );
    }
}

/// Says how often something went unlogged that concerns a listener; returns whether it does.
pub(super) fn again(config: &Config, (kind, listener): FailureKey, repeated: u64) -> bool {
    let listener = listener.and_then(|index| config.listeners.get(index));
    let listener = listener.map(|listener| &*listener.name);
    match kind {
        REFUSED_CONNECTIONS | REFUSED_DESCRIPTORS => {
            tracing::warn!(kind, listener, repeated, "clients refused again, no room");
        }
        EVICTED => {
            tracing::info!(listener, repeated, "idle clients closed again to make room");
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_it_is_about_and_keeps_the_numbers_to_itself() {
        let answer = compose(Shortage::Connections, None, "today");
        assert!(answer.contains("error=connection_limit_reached\r\nRetry-After: 1\r\n"));
        let answer = compose(Shortage::Descriptors, Some("file descriptors: 7"), "today");
        assert!(answer.contains("error=proxy_internal_error; details=\"file descriptors: 7\"\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
