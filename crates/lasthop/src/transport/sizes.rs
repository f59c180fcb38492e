//! How large the parts of a connection are that waits: ten thousand of them are all that a quiet worker holds.
//!
//! Whoever makes one larger sees it here, and finds a way around or a reason. What is put together from them is in
//! `http/serve`. For 64 bits.

use super::connections::Row;
use super::{Buffer, Pace, Slot, Stream, Watch};

#[test]
fn the_parts_of_a_connection_that_waits_are_no_larger_than_they_were() {
    // A socket and its registration, which the lease of a source port is not part of: most streams have none.
    assert_eq!(size_of::<Stream>(), 72, "Stream");
    assert_eq!(size_of::<Option<Slot>>(), 16, "Slot");
    // The table and the row.
    assert_eq!(size_of::<Watch>(), 16, "Watch");
    assert_eq!(size_of::<Row>(), 48, "Row");
    // A slab marks a free row within the row.
    assert_eq!(size_of::<Option<Row>>(), 48, "a row of the table");
    // None is there while a connection waits, but its place is.
    assert_eq!(size_of::<Option<Buffer>>(), 40, "Buffer");
    assert_eq!(size_of::<Pace>(), 8, "Pace");
}
