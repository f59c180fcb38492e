//! Bytes on their way: a queue of what is to be written, and the tunnel that carries bytes both ways.
//!
//! Nothing here knows what the bytes mean; framing is `http`'s business.

mod outbox;
mod tunnel;

pub use outbox::{LARGE_BYTES, Outbox, SPLICED_MIN};
pub use tunnel::{Direction, Side, Tunnel, TunnelEnd};
