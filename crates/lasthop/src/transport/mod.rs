//! What every connection is made of, whichever side it is on: a byte stream over TCP or a Unix
//! socket, buffers and pipes borrowed from the worker, a slot among the descriptors of the process, and a place in the
//! worker's connection table that carries its deadline and says whether it could make room.
//!
//! Nothing here knows HTTP, routes or upstreams.

mod accepted;
mod buffer;
mod bulk;
mod clock;
mod connections;
mod eviction;
mod leased;
mod load;
mod pipes;
mod registered;
#[cfg(test)]
pub mod simulated;
mod siphon;
#[cfg(test)]
mod sizes;
mod slots;
mod spent;
mod stream;
mod watch;

pub use accepted::{Accepted, BareSocket};
pub use buffer::{BUFFER_BYTES, Buffer, BufferPool};
pub use bulk::{Bulk, Pace};
pub use clock::{Clock, TICK};
pub use connections::{Connections, Swept, earlier};
pub use eviction::Evictable;
pub use load::Load;
pub use pipes::{PIPE_BYTES, Pipes};
pub use registered::register;
pub use siphon::{Filled, Siphon};
pub use slots::{Shortage, Slot, Slots};
pub use stream::{Disturbance, Failure, Stream};
pub use watch::{Interrupt, Watch};
