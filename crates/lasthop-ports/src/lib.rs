//! Port ranges, tuples, capacity, plans and the ledger: what can be known about source ports without asking a kernel.
//!
//! Pure: no I/O, no clock, no async, no unsafe, no dependency but loom, where the ledger is tested with it. Whoever has the
//! texts and the counts (from `/proc`, from a recording of another host, from a property test) can call it;
//! `lasthop-kernel` does the reading.

#![forbid(unsafe_code)]

pub mod block;
pub mod capacity;
pub mod host;
pub mod ledger;
pub mod plan;
pub mod range;
pub mod snapshot;
mod sync;
pub mod tuple;

pub use block::{AddressBlock, BlockError};
pub use capacity::{Advice, Bound, Capacity, Change, Limits, TargetCapacity, Term};
pub use host::{HostPorts, TimeWaitReuse};
pub use ledger::{Ended, Full, Grant, Lease, Ledger, Refusal, Walk};
pub use plan::{Condition, Plan, PlannedPair, Sources, Stage};
pub use range::{PortRange, RangeError, ReservedPorts};
pub use snapshot::{Holding, Snapshot};
pub use tuple::{Pair, SourceAddress, TargetAddress, Tuple, TupleError};
