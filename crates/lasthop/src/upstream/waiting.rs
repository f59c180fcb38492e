//! Requests of one worker that wait for a connection, and what becomes of one that is given back
//! meanwhile.
//!
//! Handing it over spares a new one. But permits and source ports are shared by all workers, and a worker
//! that is always busy must not keep them to itself: now and then, and whenever the connection is not what
//! the next request needs, it is closed, and its permit goes to whoever has waited longest anywhere, its port
//! to whoever asks next.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::{Connection, Need};

/// Connections handed over in a row while other workers wait for a permit.
const HANDED_IN_A_ROW_MAX: u32 = 4;

/// The waiting requests, first in first out.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    requests: VecDeque<(Need, oneshot::Sender<Box<Connection>>)>,
    handed_in_a_row: u32,
}

/// What requests are waiting for that a connection holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missed {
    /// Requests that wait for a permit, over all workers.
    pub(super) permits: usize,
    /// Another worker finds no source port, and the connection has one.
    pub(super) port_elsewhere: bool,
}

/// What becomes of a connection that is offered.
#[derive(Debug)]
pub(super) enum Offered {
    /// A request has it.
    Taken,
    /// Nobody needs it now.
    Idle(Box<Connection>),
    /// It is to be closed, so that its permit is free.
    Unwanted(Box<Connection>),
}

impl Waiting {
    /// Joins the queue. Dropping the receiver leaves it.
    pub(super) fn join(&mut self, need: Need) -> oneshot::Receiver<Box<Connection>> {
        self.forget_those_gone();
        let (sender, handed_over) = oneshot::channel();
        self.requests.push_back((need, sender));
        handed_over
    }

    /// Offers a connection.
    pub(super) fn offer(&mut self, connection: Box<Connection>, missed: Missed) -> Offered {
        self.forget_those_gone();
        let Some((need, _)) = self.requests.front() else {
            self.handed_in_a_row = 0;
            return match missed.permits {
                0 => Offered::Idle(connection),
                _ => Offered::Unwanted(connection),
            };
        };
        let others_wait = missed.permits > self.requests.len() || missed.port_elsewhere;
        let is_their_turn = others_wait && self.handed_in_a_row >= HANDED_IN_A_ROW_MAX;
        let is_fit = (!need.sure || connection.answers > 1) && connection.stream.is_quiet();
        if is_their_turn || !is_fit {
            self.handed_in_a_row = 0;
            return match (is_fit, missed.permits) {
                // Nobody waits for the permit: the next request may find it good enough.
                (false, 0) => Offered::Idle(connection),
                _ => Offered::Unwanted(connection),
            };
        }
        self.handed_in_a_row += 1;
        let Some((_, request)) = self.requests.pop_front() else {
            return Offered::Idle(connection);
        };
        match request.send(connection) {
            Ok(()) => Offered::Taken,
            // Gone in this moment; whoever is next hears of the next connection.
            Err(connection) => Offered::Idle(connection),
        }
    }

    /// Those who gave up leave from the front; the longest patience bounds how long one stays.
    fn forget_those_gone(&mut self) {
        while self
            .requests
            .front()
            .is_some_and(|(_, request)| request.is_closed())
        {
            self.requests.pop_front();
        }
    }
}
