//! Doing something in the network namespace of another process.

use crate::process::is_gone;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// The network namespace of a process could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// It has ended.
    #[error("there is no process {pid} any more")]
    Gone {
        /// The process.
        pid: u32,
    },
    /// It belongs to another user, who keeps its namespaces to himself (`PTRACE_MODE_READ_FSCREDS`, ptrace(2)).
    #[error(
        "only its user and root (CAP_SYS_PTRACE) may look up the network namespace of process {pid}"
    )]
    Hidden {
        /// The process.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// The namespace may be seen, not entered (setns(2)).
    #[error(
        "entering the network namespace of process {pid} needs CAP_SYS_ADMIN, here and in the user namespace that owns it"
    )]
    Denied {
        /// The process.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something else: no descriptor, no thread, no /proc.
    #[error("the network namespace of process {pid} cannot be entered")]
    Failed {
        /// The process.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Does `work` in the network namespace of process `pid`, on a thread of its own that ends with it; the calling thread
/// waits for it and stays where it is. Sockets that `work` makes belong to that namespace for good.
///
/// Files are still those of this process, except that `/proc/thread-self/net` and `/proc/sys/net` follow the thread.
///
/// # Errors
/// [`EnterError`]: `work` has then not run.
///
/// # Panics
/// Where `work` does.
pub fn within<T: Send>(pid: u32, work: impl FnOnce() -> T + Send) -> Result<T, EnterError> {
    let namespace = File::open(format!("/proc/{pid}/ns/net")).map_err(|source| {
        match (is_gone(&source), source.kind()) {
            (true, _) => EnterError::Gone { pid },
            (_, io::ErrorKind::PermissionDenied) => EnterError::Hidden { pid, source },
            _ => EnterError::Failed { pid, source },
        }
    })?;
    let enter_and_work = || {
        // SAFETY: setns(2) takes two numbers and touches no memory of ours; the descriptor is open past the call. Only
        // the calling thread changes over, and it ends after `work`, so that no other code finds itself elsewhere.
        if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
            let source = io::Error::last_os_error();
            return Err(match source.kind() {
                io::ErrorKind::PermissionDenied => EnterError::Denied { pid, source },
                _ => EnterError::Failed { pid, source },
            });
        }
        Ok(work())
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("namespace".to_owned())
            .spawn_scoped(scope, enter_and_work)
            .map_err(|source| EnterError::Failed { pid, source })?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::as_nobody;

    #[test]
    fn a_process_that_is_gone_is_named() {
        let error = within(u32::MAX, || ()).unwrap_err();
        assert_eq!(error.to_string(), "there is no process 4294967295 any more");
    }

    #[test]
    fn what_is_missing_is_said_of_a_namespace_that_is_closed_to_us() {
        // A thread may look at its own process, whoever the thread is; entering is another matter.
        if let Some(entered) = as_nobody(|| within(std::process::id(), || ())) {
            assert!(
                matches!(entered, Err(EnterError::Denied { .. })),
                "{entered:?}"
            );
        }
        // Process 1 is root's.
        if let Some(entered) = as_nobody(|| within(1, || ())) {
            assert!(
                matches!(entered, Err(EnterError::Hidden { .. })),
                "{entered:?}"
            );
        }
    }
}
