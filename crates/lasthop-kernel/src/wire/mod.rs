//! What the kernel answers, read: netlink messages, the records of sock_diag and rtnetlink, and files of /proc.
//!
//! Pure functions over bytes that ask nobody and never panic: a record that is cut or of a shape unknown here is
//! `None`. Apart from those who ask, so that each can be cut at every byte and fuzzed; public for the fuzz targets and
//! for nobody else. Integers of netlink are of the host's order, ports and addresses of the network's.

pub mod counters;
pub mod elf;
pub mod inet_diag;
pub mod netlink;
pub mod proc_net;
pub mod proc_pid;
pub mod route;
pub mod unix_diag;

/// The array of `N` bytes that begins at `at`.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

/// For tests: has `check` see the bytes cut at every length, and with every byte replaced by extremes.
#[cfg(test)]
pub(crate) fn maim(bytes: &[u8], mut check: impl FnMut(&[u8])) {
    for length in 0..=bytes.len() {
        check(&bytes[..length]);
    }
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.to_vec();
            changed[at] = value;
            check(&changed);
        }
    }
}
