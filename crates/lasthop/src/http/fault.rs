//! Everything that can keep a request from being answered by its app, and what follows from it.
//!
//! The fault alone decides the status, the `Proxy-Status` error type (RFC 9209 section 2.3), whether the
//! client may come back (`Retry-After`) and how loud the log is. This file is that table.

use std::fmt;
use std::io;
use std::time::Duration;

use lasthop_http1::refusal::Refusal;
use tracing::Level;

use crate::observe::EndedBy;
use crate::upstream::{ConnectError, ConnectErrorKind};

/// Why the proxy itself has to answer, or cannot.
#[derive(Debug)]
pub(super) enum Fault {
    /// The client's request is malformed, ambiguous or too large.
    Request(Refusal),
    /// The client is too slow with the head of its request.
    SlowHead,
    /// The client is too slow with the body of its request.
    SlowBody,
    /// The client's body ended before its declared length, or broke off.
    CutBody,
    /// No route covers the request.
    NoRoute,
    /// There is no connection to the app.
    Connect(Box<ConnectError>),
    /// The app took longer than `response_timeout` for the head of its answer.
    ResponseTimeout(Duration),
    /// The app took longer than `body_timeout` to send or to take the next bytes of a body.
    AppBodyTimeout(Duration),
    /// The app's answer is malformed or ambiguous.
    BadAnswer(&'static str),
    /// The app closed or reset the connection before its answer was whole.
    CutAnswer(Cut),
    /// The client is gone: it reset the connection, or does not read.
    ClientGone(Gone),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Request(refusal)
    }
}

/// How an answer broke off.
#[derive(Debug)]
pub(super) enum Cut {
    /// The app ended the stream.
    Closed,
    /// The stream failed.
    Failed(io::Error),
}

/// How a client left.
#[derive(Debug)]
pub(super) enum Gone {
    /// It closed, or half-closed, before its request had gone to the app.
    Closed,
    /// Its connection failed.
    Failed(io::Error),
    /// It did not read for `body_timeout`.
    NotReading,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The client's.
    Client,
    /// The app's.
    Upstream,
    /// Ours, or this host's: it never counts against the app.
    Us,
    /// The operator's: no route.
    Configuration,
}

impl Fault {
    /// Status of the answer; none where there is nobody to answer.
    pub(super) fn status(&self) -> Option<u16> {
        Some(match self {
            Self::Request(refusal) => refusal.status,
            Self::SlowHead | Self::SlowBody => 408,
            Self::CutBody => 400,
            Self::NoRoute => 404,
            Self::Connect(error) => match error.kind {
                ConnectErrorKind::Refused
                | ConnectErrorKind::Missing
                | ConnectErrorKind::Permission
                | ConnectErrorKind::Other => 502,
                ConnectErrorKind::SourcePorts
                | ConnectErrorKind::Backlog
                | ConnectErrorKind::Descriptors
                | ConnectErrorKind::Limit => 503,
                ConnectErrorKind::TimedOut => 504,
            },
            Self::ResponseTimeout(_) | Self::AppBodyTimeout(_) => 504,
            Self::BadAnswer(_) | Self::CutAnswer(_) => 502,
            Self::ClientGone(_) => return None,
        })
    }

    /// The `error` parameter of `Proxy-Status`.
    pub(super) fn error_type(&self) -> &'static str {
        match self {
            Self::Request(refusal) if refusal.status == 405 => "http_request_denied",
            Self::Request(_) | Self::SlowHead | Self::SlowBody | Self::CutBody => {
                "http_request_error"
            }
            Self::NoRoute => "destination_not_found",
            Self::Connect(error) => match error.kind {
                ConnectErrorKind::Refused => "connection_refused",
                ConnectErrorKind::Missing
                | ConnectErrorKind::Permission
                | ConnectErrorKind::Other => "destination_unavailable",
                ConnectErrorKind::SourcePorts
                | ConnectErrorKind::Backlog
                | ConnectErrorKind::Limit => "connection_limit_reached",
                ConnectErrorKind::Descriptors => "proxy_internal_error",
                ConnectErrorKind::TimedOut => "connection_timeout",
            },
            Self::ResponseTimeout(_) | Self::AppBodyTimeout(_) => "http_response_timeout",
            Self::BadAnswer(_) => "http_protocol_error",
            Self::CutAnswer(_) => "http_response_incomplete",
            Self::ClientGone(_) => "connection_terminated",
        }
    }

    /// A short name, by which the log tells apart what it sums up: finer than the error type where
    /// the remedy differs.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Request(refusal) => match refusal.status {
                405 => "connect_method",
                413 => "body_too_large",
                414 => "target_too_long",
                431 => "head_too_large",
                501 => "not_implemented",
                505 => "version",
                _ => "malformed_request",
            },
            Self::SlowHead => "slow_head",
            Self::SlowBody => "slow_body",
            Self::CutBody => "cut_body",
            Self::NoRoute => "no_route",
            Self::Connect(error) => error.kind.label(),
            Self::ResponseTimeout(_) => "response_timeout",
            Self::AppBodyTimeout(_) => "body_timeout",
            Self::BadAnswer(_) => "bad_answer",
            Self::CutAnswer(_) => "cut_answer",
            Self::ClientGone(_) => "client_gone",
        }
    }

    /// Whether failures of this kind are the clients' doing.
    pub(super) fn is_of_client(kind: &str) -> bool {
        matches!(
            kind,
            "connect_method"
                | "body_too_large"
                | "target_too_long"
                | "head_too_large"
                | "not_implemented"
                | "version"
                | "malformed_request"
                | "slow_head"
                | "slow_body"
                | "cut_body"
                | "client_gone"
        )
    }

    /// Whether the shortage will pass by itself, and after how many seconds to come back.
    pub(super) fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Connect(error) => match error.kind {
                ConnectErrorKind::SourcePorts
                | ConnectErrorKind::Backlog
                | ConnectErrorKind::Descriptors
                | ConnectErrorKind::Limit => Some(1),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whose fault it is.
    pub(super) fn blame(&self) -> Blame {
        match self {
            Self::Request(_)
            | Self::SlowHead
            | Self::SlowBody
            | Self::CutBody
            | Self::ClientGone(_) => Blame::Client,
            Self::NoRoute => Blame::Configuration,
            Self::Connect(error) => match error.kind {
                ConnectErrorKind::SourcePorts
                | ConnectErrorKind::Backlog
                | ConnectErrorKind::Descriptors
                | ConnectErrorKind::Limit => Blame::Us,
                _ => Blame::Upstream,
            },
            Self::ResponseTimeout(_)
            | Self::AppBodyTimeout(_)
            | Self::BadAnswer(_)
            | Self::CutAnswer(_) => Blame::Upstream,
        }
    }

    /// How loud the log is. A client's mistake is the client's business, and one that leaves is
    /// nobody's; since repeated ones are summed up, a crowd of either fills no disk.
    pub(super) fn severity(&self) -> Level {
        match self.blame() {
            _ if matches!(self, Self::ClientGone(_)) => Level::DEBUG,
            Blame::Client | Blame::Configuration => Level::INFO,
            Blame::Upstream | Blame::Us => Level::WARN,
        }
    }

    /// Who ended the exchange before its time: who left, failed or was too slow; we ourselves
    /// where we would not go on.
    pub(super) fn ended_by(&self) -> EndedBy {
        match self.blame() {
            _ if matches!(self, Self::Request(_)) => EndedBy::Proxy,
            Blame::Client => EndedBy::Client,
            Blame::Upstream => EndedBy::Upstream,
            Blame::Us | Blame::Configuration => EndedBy::Proxy,
        }
    }
}

/// One line of reason, for the `details` parameter, the body of the answer and the log. Only visible
/// ASCII, so that it fits into a structured field string (RFC 9651 section 3.3.3).
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(refusal) => f.write_str(refusal.reason),
            Self::SlowHead => f.write_str("the request head took too long"),
            Self::SlowBody => f.write_str("the request body took too long"),
            Self::CutBody => f.write_str("the request body ended before its declared length"),
            Self::NoRoute => f.write_str("no route for this host and path"),
            Self::Connect(error) => f.write_str(&error.details()),
            Self::ResponseTimeout(limit) => {
                write!(f, "no answer from the application within {limit:?}")
            }
            Self::AppBodyTimeout(limit) => {
                write!(
                    f,
                    "the application neither sent nor read anything for {limit:?}"
                )
            }
            Self::BadAnswer(reason) => f.write_str(reason),
            Self::CutAnswer(Cut::Closed) => {
                f.write_str("the application closed the connection before its answer was whole")
            }
            Self::CutAnswer(Cut::Failed(error)) => {
                write!(
                    f,
                    "the connection to the application failed: {}",
                    error.kind()
                )
            }
            Self::ClientGone(Gone::Closed) => f.write_str("the client closed the connection"),
            Self::ClientGone(Gone::Failed(error)) => {
                write!(f, "the connection to the client failed: {}", error.kind())
            }
            Self::ClientGone(Gone::NotReading) => {
                f.write_str("the client does not read its answer")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::{ConnectResult, FAILURE_KINDS};

    #[test]
    fn every_kind_of_failure_has_a_counter_and_every_counter_a_kind() {
        let request = |status| Fault::Request(Refusal::new(status, "wrong"));
        let second = Duration::from_secs(1);
        let faults = [400, 405, 413, 414, 431, 501, 505].map(request);
        let faults = faults.into_iter().chain([
            Fault::SlowHead,
            Fault::SlowBody,
            Fault::CutBody,
            Fault::NoRoute,
            Fault::ResponseTimeout(second),
            Fault::AppBodyTimeout(second),
            Fault::BadAnswer("wrong"),
            Fault::CutAnswer(Cut::Closed),
            Fault::ClientGone(Gone::Closed),
        ]);
        let connects = ConnectResult::ALL.into_iter().skip(1);
        let mut kinds: Vec<&str> = faults
            .map(|fault| fault.kind())
            .chain(connects.map(ConnectResult::label))
            .chain([ConnectErrorKind::Limit.label()])
            .collect();
        kinds.sort_unstable();
        assert_eq!(kinds, FAILURE_KINDS);
    }
}
