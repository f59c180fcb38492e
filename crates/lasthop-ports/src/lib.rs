//! Port ranges, tuples and capacity arithmetic: what can be known about source ports without asking a kernel.
//!
//! Pure: no I/O, no clock, no async, no unsafe, no dependency. Whoever has the texts and the counts (from `/proc`,
//! from a recording of another host, from a property test) can call it; `lasthop-kernel` does the reading.

#![forbid(unsafe_code)]

pub mod capacity;
pub mod range;
pub mod tuple;

pub use capacity::Capacity;
pub use range::{PortRange, RangeError, ReservedPorts};
pub use tuple::{Pair, SourceAddress, TargetAddress, Tuple, TupleError};
