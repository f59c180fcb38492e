//! Any bytes as a Unix socket that sock_diag tells: read or refused, and a path has no zero byte in it.

#![no_main]

use lasthop_kernel::wire::unix_diag::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|record: &[u8]| {
    let Some(socket) = parse(record) else {
        return;
    };
    assert!(record.len() >= 16);
    if let Some([first, rest @ ..]) = socket.name {
        assert!(*first == 0 || !rest.contains(&0));
    }
});
