//! Any bytes as the head of a program: never a panic, and a note of Go is only found where its name stands.

#![no_main]

use lasthop_kernel::wire::elf::is_go;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|head: &[u8]| {
    if is_go(head) {
        assert!(head.starts_with(b"\x7fELF"));
        assert!(head.windows(4).any(|window| window == b"Go\0\0"));
    }
});
