//! What an operator gets to see: the operator log, and what is counted.

mod log;
pub mod metrics;
mod repeats;

pub use log::{LogGuard, start_log};
pub use repeats::Repeats;
