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

use super::site::ListenerSite;
use crate::transport::{Accepted, Shortage};

/// Refused newcomers that a worker keeps at once; the oldest is closed for one more. They hold descriptors
/// that the shortage leaves nobody else, so they are few, and on one host an answer is read in microseconds.
pub const GOODBYES_MAX: usize = 16;

/// How long one is kept that does not close by itself.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Reads in a row of what a refused newcomer sends, 4 KiB each. Who sends more than that to somebody who does
/// not listen loses the answer.
const READS_MAX: usize = 16;

/// Newcomers that have been refused and not closed yet. One worker's.
#[derive(Debug, Default)]
pub struct Goodbyes(RefCell<VecDeque<Goodbye>>);

#[derive(Debug)]
struct Goodbye {
    socket: Accepted,
    until: Instant,
}

impl Goodbyes {
    /// Tells `newcomer` to come back later. Returns whether it is kept for a moment: then somebody has to
    /// [`Goodbyes::sweep`].
    pub fn say(&self, mut newcomer: Accepted, listener: &ListenerSite, shortage: Shortage) -> bool {
        let site = &listener.site;
        let now = site.connections.clock().now();
        let metrics = &site.metrics.listeners[listener.index];
        match shortage {
            Shortage::Connections => metrics.refused_connections.add(1),
            Shortage::Descriptors => metrics.refused_descriptors.add(1),
        }
        let details = site.connections.slots().describe(shortage, listener.index);
        log_refusal(listener, shortage, &details, now);
        let with_details = site.config.server.error_details.then_some(&*details);
        let answer = compose(shortage, with_details, &site.date.text());
        // A fresh socket takes this much at once; one that does not is gone.
        let is_said = newcomer.write(answer.as_bytes()).is_ok();
        if !is_said || newcomer.shutdown_write().is_err() {
            return false;
        }
        let mut goodbyes = self.0.borrow_mut();
        if goodbyes.len() >= GOODBYES_MAX
            && let Some(oldest) = goodbyes.pop_front()
        {
            oldest.close();
        }
        goodbyes.push_back(Goodbye {
            socket: newcomer,
            until: now + GOODBYE_MAX,
        });
        true
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
    /// Reads away what has come; returns whether the newcomer is still there.
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

/// The answer to whatever the newcomer wants.
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

fn log_refusal(listener: &ListenerSite, shortage: Shortage, details: &str, now: Instant) {
    let (kind, fix) = match shortage {
        Shortage::Connections => (
            "refused: max_connections",
            "raise max_connections of this listener if this host can hold more clients",
        ),
        Shortage::Descriptors => (
            "refused: descriptors",
            "raise the limit on open files (LimitNOFILE= of the service, ulimit -n)",
        ),
    };
    let repeats = &listener.site.repeats;
    if let Some(repeated) = repeats.admit((kind, Some(listener.index)), now) {
        let listener = &*listener.settings.name;
        let repeated = (repeated > 0).then_some(repeated);
        tracing::warn!(listener, details, fix, repeated, "client refused, no room");
    }
}

/// Counts and logs a client that was closed for a newcomer's sake.
pub(super) fn evicted(listener: &ListenerSite, now: Instant) {
    let site = &listener.site;
    site.metrics.listeners[listener.index].evicted.add(1);
    let key = ("evicted", Some(listener.index));
    if let Some(repeated) = site.repeats.admit(key, now) {
        let slots = site.connections.slots();
        let bound = slots.reached_by_client(listener.index);
        let details = slots.describe(bound, listener.index);
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
