//! What an operator gets to see: the operator log, the access log, and what is counted.

mod access;
mod descriptors;
mod drops;
mod log;
pub mod metrics;
mod repeats;

pub use access::{
    AccessDrops, AccessWriter, EndedBy, Entry, Outcome, RequestId, RequestIds, RequestLine,
    WorkerLog, rfc3339,
};
pub use descriptors::Descriptors;
pub use drops::Drops;
pub use log::{LogGuard, OperatorDrops, start_log};
pub use repeats::{FailureKey, Repeats};
