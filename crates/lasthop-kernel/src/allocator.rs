//! When mimalloc, where a program has it for its allocator, gives memory back to the host.
//!
//! It marks what is free and gives it back at the next occasion after a second, but it has no clock: occasions are its own
//! work for the program. A proxy whose requests allocate nothing gives it none, so what a crowd had held would stay until
//! the next one comes. Here is only the one setting; whether a program has this allocator is its own affair.

use std::ffi::c_int;

/// `mi_option_purge_delay` of mimalloc.h, in milliseconds. The crate names only some of the options.
const PURGE_DELAY: c_int = 15;

/// Memory that is free as a whole page of the allocator (64 KiB, as a rule) goes back to the host from now on as soon as it
/// is (madvise(2)), and not at some occasion after a second. For a program's first lines: nothing happens, and the answer is
/// false, where other threads run already, which may be reading the setting.
///
/// A page that is freed and needed again in turn is not meant: the allocator keeps the last of each size aside for a while.
pub fn give_back_at_once() -> bool {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return false;
    }
    // SAFETY: stores a number in the allocator's table of options, which has this one, and touches nothing else; there is no
    // other thread that could read it meanwhile.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: reads a number.
        let value = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // No option beside it has this default; and tests are run by a thread beside the first.
        assert!(!give_back_at_once());
        assert_eq!(value(), 1000);
    }
}
