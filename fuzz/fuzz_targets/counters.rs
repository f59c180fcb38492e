//! Any bytes as the kernel's counters: each is read or skipped, and names are words of the text.

#![no_main]

use lasthop_kernel::wire::counters::{Counter, of_lines, of_pairs_of_lines};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split_ascii_whitespace().count();
    let check = |counter: &Counter<'_>| {
        assert!(!counter.name.is_empty());
        assert!(!counter.name.contains(|c: char| c.is_ascii_whitespace()));
        assert!(!counter.group.contains(':'));
    };
    assert!(of_pairs_of_lines(&text).inspect(check).count() <= words);
    assert!(of_lines(&text).inspect(check).count() <= words);
});
