//! How many descriptors this process holds, and how many it may hold.
//!
//! Read, not counted: the workers' own counts would miss what libraries and the runtime open.

use std::fs;

/// Where the kernel shows them.
const OPEN: &str = "/proc/self/fd";

/// Descriptors of this process; `None` where the host does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// Open now.
    pub in_use: Option<u64>,
    /// The soft `RLIMIT_NOFILE`.
    pub limit: Option<u64>,
}

impl Descriptors {
    /// Asks the kernel.
    pub fn read() -> Self {
        Self {
            in_use: stated().or_else(counted),
            limit: lasthop_kernel::limits::nofile()
                .ok()
                .map(|limit| limit.soft),
        }
    }
}

/// Since Linux 6.2 the size of the directory is the number of open descriptors (Documentation/filesystems/proc.rst,
/// section 3.13 of the kernel). Asking takes a
/// microsecond, and no descriptor, so that it works when they are used up.
fn stated() -> Option<u64> {
    let open = fs::metadata(OPEN).ok()?.len();
    // Before, it was always 0; and a process that serves has some.
    (open > 0).then_some(open)
}

/// Counted one by one, on older kernels: 20 to 80 ms at 20,000, of the thread that asks.
fn counted() -> Option<u64> {
    // The one that lists them is among them.
    let listed = fs::read_dir(OPEN).ok()?.count() as u64;
    Some(listed.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_counted_whatever_the_kernel_tells() {
        // Other tests open and close some meanwhile, so this is a bound from below.
        let held: Vec<_> = (0..50)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let counted = counted().unwrap();
        assert!(counted >= 50, "{counted}");
        assert!(stated().is_none_or(|stated| stated >= 50), "{:?}", stated());
        let Descriptors { in_use, limit } = Descriptors::read();
        assert!(in_use.unwrap() <= limit.unwrap());
        drop(held);
    }
}
