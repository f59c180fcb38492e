//! Port ranges, tuples, capacity, plans, the ledger, and the judgement of a host: what can be known about source ports
//! without asking a kernel.
//!
//! Pure: no I/O, no clock, no async, no unsafe. Depends on `serde`, because a [`Snapshot`] that somebody recorded and a
//! [`Finding`] that somebody reads by program are their own formats, and on loom, where the ledger is tested with it.
//! Whoever has the texts and the counts (from `/proc`, from a recording of another host, from a property test) can call
//! it; `lasthop-kernel` does the reading.

#![forbid(unsafe_code)]

pub mod block;
pub mod capacity;
pub mod counts;
pub mod diagnose;
pub mod finding;
pub mod forecast;
pub mod grouped;
pub mod host;
pub mod ledger;
pub mod plan;
pub mod range;
mod remedy;
pub mod snapshot;
mod sync;
pub mod tuple;

pub use block::{AddressBlock, BlockError};
pub use capacity::{Advice, Bound, Capacity, Change, Limits, TargetCapacity, Term};
pub use counts::{Holding, PairCounts};
pub use diagnose::diagnose;
pub use finding::{Code, Finding, Severity};
pub use forecast::{Forecast, Sample, forecast};
pub use grouped::Grouped;
pub use host::{HostPorts, TimeWaitReuse};
pub use ledger::{Ended, Full, Grant, Lease, Ledger, Refusal, Walk};
pub use plan::{Condition, Plan, PlannedPair, Sources, Stage};
pub use range::{PortRange, RangeError, ReservedPorts};
pub use snapshot::Snapshot;
pub use tuple::{Pair, SourceAddress, TargetAddress, Tuple, TupleError};
