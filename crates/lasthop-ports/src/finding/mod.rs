//! A finding: one thing that is wrong with a host or will be, as data.
//!
//! Its [`Code`] is a promise: it never changes its meaning and has a page in docs/findings. Everything else about it is
//! for people, and for programs in the shape that it is serialised in, which docs/doctor.md describes.

mod code;
mod remedy;

pub use code::{ALL, Code};
pub use remedy::{Remedy, Step};

use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

use crate::forecast::Forecast;
use crate::snapshot::{GroupKey, Owner};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; nothing hurts.
    Note,
    /// Something will hurt soon.
    Warning,
    /// Something hurts now.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// One thing that is wrong, or will be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What it is; stable.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// One line with the numbers.
    pub headline: String,
    /// What it is about.
    pub subject: Subject,
    /// How much of how much; none where it is not about a quantity.
    pub usage: Option<Amount>,
    /// When it will be used up, where the readings have a trend.
    pub forecast: Option<Forecast>,
    /// The processes that have the problem, as far as known.
    pub processes: Vec<Owner>,
    /// What was seen, one fact a line, the most telling first.
    pub evidence: Vec<String>,
    /// What can be done, the best first. Never empty but for notes.
    pub remedies: Vec<Remedy>,
}

/// What a finding is about. What two findings of the same code differ in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// Connections from one source to one target.
    Group {
        /// The address they come from.
        source: std::net::IpAddr,
        /// Where they lead.
        target: SocketAddr,
    },
    /// A TCP listener.
    Listener {
        /// Where it listens.
        address: SocketAddr,
    },
    /// A Unix socket, listening or not.
    UnixSocket {
        /// Its path, or `@name`.
        path: String,
    },
    /// A process.
    Process {
        /// Its number.
        pid: u32,
    },
    /// The network namespace as a whole.
    Namespace,
    /// The host as a whole.
    Host,
}

impl From<GroupKey> for Subject {
    fn from(key: GroupKey) -> Self {
        Self::Group {
            source: key.source,
            target: key.destination,
        }
    }
}

/// How much is used of how much there is, in numbers of what the finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// In use.
    pub used: u64,
    /// How much there can be.
    pub limit: u64,
    /// Of what: `ports`, `descriptors`, `connections`, `files`, `pages`.
    pub unit: &'static str,
}
