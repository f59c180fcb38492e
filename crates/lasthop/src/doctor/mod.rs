//! The doctor: one look at a host, the findings about it, and how they are told.
//!
//! Reads the kernel's tables into a [`Snapshot`](lasthop_ports::Snapshot), has `lasthop-ports` judge it, looks for the
//! owners of what was found, and renders the outcome for people and for programs. It is in nobody's path, works for any
//! proxy on the host and changes nothing. Why it is cut like this is in docs/decisions/0011-doctor.md.

mod collect;
mod examine;
mod json;
mod memory;
mod owners;
mod page;
mod recording;
mod report;
mod sockets;
mod text;

pub use collect::{
    Depth, RESAMPLED_GROUPS_MAX, Reading, SAMPLE_MAX, Samples, Socket, Spread, collect, resample,
};
pub use examine::{Background, Examination, examine};
pub use json::{SCHEMA, json};
pub use memory::{Memory, OwnerSearch};
pub use owners::descriptors;
pub use page::{UnknownCode, page};
pub use recording::{Recorder, RecordingError, replay};
pub use report::{NotEntered, Report, Verdict, as_root};
pub use text::{TextStyle, text};
