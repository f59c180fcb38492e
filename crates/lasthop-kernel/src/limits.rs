//! The limit on open files: read and raised, once at start.
//!
//! A proxied request holds two descriptors, and the soft limit of 1,024 that most hosts give is there for programs that
//! still use select(2), not as a wish of the operator. The hard limit is the operator's word and is never touched.

use std::io;

/// `RLIMIT_NOFILE`: how many descriptors this process may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoFile {
    /// What is enforced.
    pub soft: u64,
    /// How far `soft` can be raised without privileges.
    pub hard: u64,
}

/// Raises the soft limit on open files to the hard limit (getrlimit(2)) and returns both.
///
/// # Errors
/// [`LimitError`] when the kernel refuses, which it does only under a security module that forbids the call.
pub fn raise_nofile() -> Result<NoFile, LimitError> {
    let mut limit = read_nofile().map_err(LimitError::Read)?;
    if limit.rlim_cur != limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the pointer is to an initialised `rlimit` that lives past the call; the kernel only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(LimitError::Raise {
                hard: limit.rlim_max,
                source: io::Error::last_os_error(),
            });
        }
    }
    Ok(NoFile {
        soft: limit.rlim_cur,
        hard: limit.rlim_max,
    })
}

/// Reads `RLIMIT_NOFILE` and changes nothing.
///
/// # Errors
/// [`LimitError::Read`].
pub fn nofile() -> Result<NoFile, LimitError> {
    let limit = read_nofile().map_err(LimitError::Read)?;
    Ok(NoFile {
        soft: limit.rlim_cur,
        hard: limit.rlim_max,
    })
}

/// How many descriptors this process has open now (the entries of `/proc/self/fd`, proc(5)).
///
/// # Errors
/// As open(2): where `/proc` is not mounted, or when no descriptor is left to look with.
pub fn open_descriptors() -> io::Result<usize> {
    let entries = std::fs::read_dir("/proc/self/fd")?.count();
    // The one that we look through is among them.
    Ok(entries.saturating_sub(1))
}

/// The limit on open files could not be read or raised: the host's doing.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// getrlimit(2) failed.
    #[error("this host does not let the limit on open files be read")]
    Read(#[source] io::Error),
    /// setrlimit(2) failed.
    #[error("this host does not let the limit on open files be raised to the hard limit of {hard}")]
    Raise {
        /// The hard limit that was aimed at.
        hard: u64,
        /// What the kernel said.
        source: io::Error,
    },
}

fn read_nofile() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a `rlimit` that lives past the call; the kernel fills it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 {
        Ok(limit)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_descriptors_are_counted() {
        // Others of this process come and go while this test runs; a hundred more are seen all the same.
        let before = open_descriptors().unwrap();
        let more: Vec<_> = (0..100)
            .map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        let after = open_descriptors().unwrap();
        assert!(after >= before + 50, "{before} before, {after} after");
        drop(more);
    }

    #[test]
    fn the_soft_limit_is_the_hard_limit_afterwards() {
        let raised = raise_nofile().unwrap();
        assert_eq!(raised.soft, raised.hard);
        assert_eq!(nofile().unwrap(), raised);
    }
}
