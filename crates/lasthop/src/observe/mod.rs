//! What an operator gets to see: in this version the operator log. Metrics and the access log follow.

mod log;
mod repeats;

pub use log::{LogGuard, start_log};
pub use repeats::Repeats;
