//! Any bytes as a TCP socket that sock_diag tells: read or refused, never half, and its addresses are canonical.

#![no_main]

use lasthop_kernel::sock_diag::TcpEntry;
use lasthop_kernel::wire::inet_diag::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|record: &[u8]| {
    let Some(socket) = parse(record) else {
        return;
    };
    assert!(record.len() >= 72);
    for end in [socket.local, socket.peer] {
        assert_eq!(end.ip(), end.ip().to_canonical());
    }
    let entry = TcpEntry::from(socket);
    assert_eq!(entry.time_wait_left.is_some(), socket.timer == 3);
    // What was read does not hang on what follows the last whole attribute.
    let without = parse(&record[..72]).map(|cut| (cut.local, cut.peer, cut.inode));
    assert_eq!(without, Some((socket.local, socket.peer, socket.inode)));
});
