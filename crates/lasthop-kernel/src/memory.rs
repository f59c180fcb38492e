//! How much memory this host has, and has left, and in which pieces this process takes it and gives it back.
//!
//! The host as a whole, as `/proc/meminfo` tells it. A limit that a container or a unit sets is not looked at.

use std::io;

/// Memory in bytes that programs can still have without swapping: the kernel's own estimate (`MemAvailable`, proc(5)).
///
/// # Errors
/// As open(2), where `/proc` is not there; `InvalidData` where the file has no such line.
pub fn available() -> io::Result<u64> {
    read("MemAvailable")
}

/// Memory in bytes that the host has in all, the kernel's own code and what firmware keeps not included (`MemTotal`).
///
/// # Errors
/// As [`available`].
pub fn total() -> io::Result<u64> {
    read("MemTotal")
}

/// This process takes memory in pages of their plain size from now on, and not in huge ones (2 MiB on x86-64) where it has
/// touched a byte of each: `PR_SET_THP_DISABLE` (prctl(2), Linux 3.15). What is huge already stays so. Processes that it
/// starts inherit this.
///
/// # Errors
/// As prctl(2): `InvalidInput` where the kernel knows no huge pages, so that nothing is to be done.
pub fn refuse_huge_pages() -> io::Result<()> {
    // SAFETY: prctl(2) with this option takes numbers and touches no memory of ours; those not used have to be zero.
    if unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Gives the host the memory behind `bytes`, which are zero from then on and take it again, a page at a time, where they are
/// written or read: `MADV_DONTNEED` (madvise(2)) for the whole pages among them. The others at both ends stay as they are.
///
/// For memory from the allocator. What is mapped from a file would be as in the file, and not zero.
///
/// # Errors
/// As madvise(2): `InvalidInput` where the memory is locked (mlock(2)). Nothing is lost then but the saving.
pub fn give_back(bytes: &mut [u8]) -> io::Result<()> {
    // SAFETY: takes a number and touches no memory of ours.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let page = usize::try_from(page).map_err(|_| io::ErrorKind::Unsupported)?;
    let before = bytes.as_ptr().align_offset(page);
    let Some(bytes) = bytes.get_mut(before..) else {
        return Ok(());
    };
    let whole = bytes.len() / page * page;
    if whole == 0 {
        return Ok(());
    }
    let bytes = &mut bytes[..whole];
    // SAFETY: the pages lie within `bytes`, which nobody else sees for the length of the borrow, and every byte of them has a
    // value afterwards as it had before.
    if unsafe { libc::madvise(bytes.as_mut_ptr().cast(), bytes.len(), libc::MADV_DONTNEED) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn read(name: &str) -> io::Result<u64> {
    in_meminfo(&std::fs::read_to_string("/proc/meminfo")?, name)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The value of a line such as `MemAvailable:   23130680 kB`, in bytes. The kernel's kB are kibibytes.
fn in_meminfo(text: &str, name: &str) -> Option<u64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = value.strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_memory_left() {
        assert!(available().unwrap() > 1 << 20);
        assert!(available().unwrap() < total().unwrap());
    }

    #[test]
    fn huge_pages_are_refused_for_the_whole_process() {
        let refused = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            status.lines().any(|line| line == "THP_enabled:\t0")
        };
        refuse_huge_pages().unwrap();
        assert!(refused());
    }

    #[test]
    fn whole_pages_are_given_back_and_nothing_beside_them() {
        // Not at the beginning of a page, and not to the end of one.
        let mut all = vec![b'x'; 1 << 20];
        let (begin, end) = (100, (1 << 20) - 100);
        give_back(&mut all[begin..end]).unwrap();
        assert!(
            all[..begin]
                .iter()
                .chain(&all[end..])
                .all(|&byte| byte == b'x')
        );
        let given = all.iter().filter(|&&byte| byte == 0).count();
        assert!(given > all.len() - (1 << 17), "pages are 64 KiB at most");
        for few in [0, 1, 4095] {
            give_back(&mut all[begin..begin + few]).unwrap();
        }
        all.fill(b'y');
        assert!(all.iter().all(|&byte| byte == b'y'));
    }

    #[test]
    fn only_a_whole_line_is_read() {
        let text =
            "MemTotal:       24684084 kB\nMemAvailable:   23130680 kB\nHugePages_Total:       0\n";
        assert_eq!(in_meminfo(text, "MemAvailable"), Some(23_130_680 * 1024));
        assert_eq!(in_meminfo(text, "Mem"), None);
        assert_eq!(in_meminfo(text, "HugePages_Total"), None);
        assert_eq!(
            in_meminfo("MemAvailable: 18446744073709551615 kB", "MemAvailable"),
            None
        );
    }
}
