//! The sockets among the descriptors of a process.

use super::is_over;
use std::io;
use std::time::Instant;

/// Descriptors that are looked at between two looks at the clock.
const ENTRIES_PER_CLOCK: usize = 64;

/// What a look at a descriptor leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The next descriptor.
    Descriptor,
    /// No more of this process.
    Process,
}

/// How far a process was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// To its last descriptor.
    Whole,
    /// As far as `visit` wanted.
    Part,
}

/// Has `visit` see the inode of each socket of process `pid`.
///
/// # Errors
/// As readdir(3) of /proc/PID/fd; `TimedOut` after `end`; `PermissionDenied` also where the names of the descriptors may be
/// read and nothing else, as of a process of our user in another user namespace.
pub(super) fn sockets(
    pid: u32,
    end: Option<Instant>,
    mut visit: impl FnMut(u64) -> Next,
) -> io::Result<Extent> {
    for (count, entry) in std::fs::read_dir(format!("/proc/{pid}/fd"))?.enumerate() {
        if count % ENTRIES_PER_CLOCK == ENTRIES_PER_CLOCK - 1 && is_over(end) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let link = match std::fs::read_link(entry?.path()) {
            Ok(link) => link,
            // So will be all others, and there may be thousands.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            // One that was closed meanwhile is none of ours.
            Err(_) => continue,
        };
        if let Some(inode) = link.to_str().and_then(socket_inode)
            && visit(inode) == Next::Process
        {
            return Ok(Extent::Part);
        }
    }
    Ok(Extent::Whole)
}

/// The number in `socket:[123]`.
pub(super) fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_may_not_be_looked_into_is_given_up_at_its_first_descriptor() {
        let test = "owner::descriptors::tests::\
                    a_process_that_may_not_be_looked_into_is_given_up_at_its_first_descriptor";
        crate::namespace::in_private_network(test, || {
            // The parent has our user, and is in the user namespace around ours.
            let error = sockets(std::os::unix::process::parent_id(), None, |_| {
                Next::Descriptor
            });
            let kind = error.map_err(|error| error.kind());
            assert_eq!(kind, Err(io::ErrorKind::PermissionDenied));
        });
    }

    #[test]
    fn only_sockets_have_the_name_of_a_socket() {
        assert_eq!(socket_inode("socket:[4711]"), Some(4711));
        for link in [
            "/dev/null",
            "pipe:[4711]",
            "socket:[]",
            "socket:[-1]",
            "socket:[1",
        ] {
            assert_eq!(socket_inode(link), None, "{link}");
        }
    }
}
