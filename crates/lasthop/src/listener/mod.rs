//! Where clients come in: the addresses, opened once at start, and the loops that accept on them.
//!
//! TCP addresses have one listening socket per worker, and the kernel spreads connections over them.
//! A Unix socket can have one listener only: one acceptor takes its connections and hands each to
//! the least loaded worker before any task exists for it.

mod accept;
mod open;

pub use accept::{Admitted, Entrance, Listen, accept, register};
pub use open::{OpenError, OpenListener, Sockets, open};
