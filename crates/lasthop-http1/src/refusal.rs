//! What is wrong, and whose fault it is: the client's ([`Refusal`]) or the other side's, whichever
//! that is ([`Malformed`]).
//!
//! Reasons are fixed sentences without a byte of what was received, so they can be sent back,
//! logged and counted as they are.

use std::error::Error;
use std::fmt;

/// A request that is not forwarded: the client's fault. The connection has to be closed after the
/// answer, since nothing tells where the next request would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer with: 400, 405, 413, 414, 431, 501 or 505.
    pub status: u16,
    /// One line that says what is wrong, without a full stop.
    pub reason: &'static str,
}

impl Refusal {
    /// A refusal with this status and reason.
    #[must_use]
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    /// 400, which nearly all of them are.
    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.status)
    }
}

impl Error for Refusal {}

/// An answer, or a chunked body of either side, that cannot be passed on. The connection it came
/// from must not be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// One line that says what is wrong, without a full stop.
    pub reason: &'static str,
}

impl Malformed {
    /// Bytes that are malformed for this reason.
    #[must_use]
    pub const fn new(reason: &'static str) -> Self {
        Self { reason }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl Error for Malformed {}

/// A chunked request body that is malformed is the client's fault: 400.
impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::bad(malformed.reason)
    }
}
