//! Any bytes as a route that rtnetlink tells: read or refused, and a source is of the route's family.

#![no_main]

use lasthop_kernel::wire::route::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|record: &[u8]| {
    let Some(route) = parse(record) else {
        return;
    };
    assert!(record.len() >= 12);
    if let Some(source) = route.preferred_source {
        assert_eq!(source.is_ipv4(), i32::from(record[0]) == 2);
    }
});
