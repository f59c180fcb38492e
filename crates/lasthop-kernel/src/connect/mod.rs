//! Starting connections to the app, and telling failures apart.
//!
//! Never waits: [`tcp`] starts a handshake, [`UnixConnecting`] tries once, and whoever owns the clock and the event loop
//! does the waiting. A failure says at which [`Step`] it happened, because the same errno means different shortages in
//! bind(2) and in connect(2); [`ConnectFault`] is the conclusion, by the name the metrics and the log use.

mod fault;
mod spent;
mod tcp;
mod unix;

pub use fault::{ConnectError, ConnectFault, Step};
pub use spent::SpentTcp;
pub use tcp::{Origin, tcp, tcp_finish, tcp_is_connected};
pub use unix::{Attempt, UNIX_PATH_BYTES_MAX, UnixConnecting, UnixTarget, UnixTargetError};
