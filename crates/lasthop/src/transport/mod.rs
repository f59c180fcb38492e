//! What every connection is made of, whichever side it is on: a byte stream over TCP or a Unix
//! socket, buffers borrowed from the worker, and a place in the worker's connection table that
//! carries its deadline.
//!
//! Nothing here knows HTTP, routes or upstreams.

mod buffer;
mod connections;
mod stream;

pub use buffer::{BUFFER_BYTES, Buffer, BufferPool};
pub use connections::{Clock, Connections, Interrupt, TICK, Watch};
pub use stream::{Disturbance, Failure, Stream};
