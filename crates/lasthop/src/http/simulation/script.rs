//! What one side does: it waits until it has seen something, says something, ends its connection.
//!
//! Causality is in the waits: an app that answers once the request is whole does so under every schedule,
//! only sooner or later.

use std::collections::VecDeque;
use std::fmt;

use super::messages::{Message, Seen, messages};
use crate::transport::simulated::{FarEnd, NearEnd};

/// One step of a script.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Goes on once this has been seen.
    Wait(Until),
    /// Says this, in whatever pieces the schedule makes of it.
    Send(Vec<u8>),
    /// Ends the connection; nothing follows.
    Finish(Ending),
}

/// What a side waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The app: the request's body has come so far, in bytes of payload. 0 for the head alone.
    Body(usize),
    /// The app: the request is there to its last byte.
    Whole,
    /// The client: it was told to go on (100) with the request of this number, or has its answer.
    MayGoOn(usize),
    /// The client: so many final answers in all, the last one whole.
    Answers(usize),
    /// Both: so many bytes through the tunnel.
    Tunnel(usize),
    /// Both: the other direction is ended.
    End,
}

/// How a side ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It says nothing more, and still listens.
    Half,
    /// It is gone, in order.
    Close,
    /// It is gone with a reset.
    Reset,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(until) => write!(f, "Wait({until:?})"),
            Self::Send(bytes) => write!(f, "Send(b\"{}\")", bytes.escape_ascii()),
            Self::Finish(ending) => write!(f, "Finish({ending:?})"),
        }
    }
}

/// A side that follows its script.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) far: FarEnd,
    steps: VecDeque<Step>,
    /// Said, and still on its way.
    outgoing: Vec<u8>,
    ending: Option<Ending>,
    has_ended: bool,
    /// All that has come from the proxy, as bytes and taken apart.
    received: Vec<u8>,
    pub(super) seen: Seen,
    /// A client's requests, whether each was a HEAD; none for an app.
    heads: Option<Vec<bool>>,
}

impl Peer {
    pub(super) fn new(far: FarEnd, heads: Option<Vec<bool>>) -> Self {
        Self {
            far,
            steps: VecDeque::new(),
            outgoing: Vec::new(),
            ending: None,
            has_ended: false,
            received: Vec::new(),
            seen: Seen::default(),
            heads,
        }
    }

    pub(super) fn follow(&mut self, steps: &[Step]) {
        self.steps.extend(steps.iter().cloned());
    }

    /// Whether it has said all it has to say.
    pub(super) fn is_done(&self) -> bool {
        self.steps.is_empty() && self.outgoing.is_empty() && self.ending.is_none()
    }

    /// Reads what has come.
    pub(super) fn receive(&mut self) {
        let sent = self.far.take_sent();
        if !sent.is_empty() {
            self.received.extend(sent);
            self.seen = messages(&self.received, self.heads.as_deref());
        }
    }

    /// Takes every step that needs nothing more. `message` is the index of the message that an app
    /// deals with; a client counts answers instead.
    pub(super) fn advance(&mut self, message: usize) {
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Wait(until) if !self.has_seen(until, message) => {
                    self.steps.push_front(step);
                    break;
                }
                Step::Wait(_) => {}
                Step::Send(bytes) => self.outgoing.extend(bytes),
                Step::Finish(ending) => self.ending = Some(ending),
            }
        }
        let is_gone = matches!(self.far.near_end(), NearEnd::Closed | NearEnd::Reset);
        if is_gone || self.has_ended {
            self.steps.clear();
            self.outgoing.clear();
            self.ending = None;
        }
    }

    fn has_seen(&self, until: Until, message: usize) -> bool {
        let mut messages = self.seen.messages.iter();
        let whole = |answer: &&Message| answer.is_whole && !answer.is_interim();
        match until {
            Until::Body(bytes) => messages
                .nth(message)
                .is_some_and(|request| request.is_whole || request.body.len() >= bytes),
            Until::Whole => messages
                .nth(message)
                .is_some_and(|request| request.is_whole),
            Until::MayGoOn(number) => {
                let mut finals = 0;
                messages.any(|answer| {
                    finals += usize::from(!answer.is_interim());
                    finals > number || finals == number && answer.status() == 100
                })
            }
            Until::Answers(count) => messages.filter(whole).count() >= count,
            Until::Tunnel(bytes) => self.seen.rest.len() >= bytes,
            Until::End => self.far.near_end() != NearEnd::Open,
        }
    }

    /// A client that is told that there is nothing more to come, and has nothing more to say, leaves.
    pub(super) fn leave_when_told(&mut self) {
        let is_told = self.far.near_end() == NearEnd::HalfClosed;
        if is_told && self.outgoing.is_empty() && self.ending.is_none() && !self.has_ended {
            self.steps.clear();
            self.ending = Some(Ending::Close);
        }
    }

    /// Whether something is on its way to the proxy: bytes, or an end.
    pub(super) fn has_something(&self) -> bool {
        !self.outgoing.is_empty() || self.ending.is_some()
    }

    /// Lets at most `bytes` arrive, or the end where no byte is left. Returns how many bytes did.
    pub(super) fn deliver(&mut self, bytes: usize) -> usize {
        if self.outgoing.is_empty() {
            match self.ending.take() {
                Some(Ending::Half) => self.far.end(),
                Some(Ending::Close) => self.far.close(),
                Some(Ending::Reset) => self.far.reset(),
                None => return 0,
            }
            self.has_ended = true;
            return 0;
        }
        let count = bytes.min(self.outgoing.len());
        let rest = self.outgoing.split_off(count);
        self.far
            .deliver(&std::mem::replace(&mut self.outgoing, rest));
        count
    }
}
