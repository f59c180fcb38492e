//! Any bytes as the files of /proc/net: each line is read or skipped, and prefixes are no longer than addresses.

#![no_main]

use lasthop_kernel::wire::proc_net::{addresses, routes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().count();
    assert!(addresses(&text).count() <= lines);
    let routes: Vec<_> = routes(&text).collect();
    assert!(routes.len() <= lines);
    for route in routes {
        assert!(route.prefix <= 128);
        assert!(!route.interface.contains(|c: char| c.is_ascii_whitespace()));
    }
});
