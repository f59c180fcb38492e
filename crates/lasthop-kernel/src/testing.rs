//! What the tests of this crate share: directories that vanish, waiting for a socket without sleeping, and being nobody.
//!
//! The unit tests start no process: a fork copies every open descriptor until it execs, and for that moment a listener
//! that another test has just closed would still be alive. Tests that start processes are in `tests/`.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Longest wait for something that happens at once on a healthy machine, in milliseconds.
const WAIT_MS_MAX: libc::c_int = 10_000;

/// A fresh directory, removed with all it holds when dropped.
pub(crate) struct TempDir {
    path: PathBuf,
}

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lasthop-k-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Nothing to be done about it in a test; the name says whose it was.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Waits until poll(2) reports the socket writable or broken.
pub(crate) fn wait_writable(socket: &impl AsFd) {
    wait(socket, libc::POLLOUT);
}

/// Waits until poll(2) reports something to read or to accept.
pub(crate) fn wait_readable(socket: &impl AsFd) {
    wait(socket, libc::POLLIN);
}

fn wait(socket: &impl AsFd, events: libc::c_short) {
    let mut poll = libc::pollfd {
        fd: socket.as_fd().as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: one initialised `pollfd` that lives past the call, and a count of one.
    let ready = unsafe { libc::poll(&raw mut poll, 1, WAIT_MS_MAX) };
    assert_eq!(ready, 1, "the socket did not become ready");
}

/// Says on stderr that the calling test, or a part of it, is skipped: past the capture of the test harness, which hides
/// what a passing test prints.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // In one piece, because other tests write too; a lost line is no failure.
    let line = format!("SKIPPED: {test}: {reason}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// The user and group that own nothing.
pub(crate) const NOBODY: u32 = 65_534;

/// Runs `body` as a user without privileges, on a thread of its own: the kernel keeps credentials per thread, and the
/// bare system calls, unlike the C library's functions, change those of the caller only. `None`, and a line on stderr,
/// where the tests do not run as root, or as root of a user namespace that has no other user.
pub(crate) fn as_nobody<T: Send>(body: impl FnOnce() -> T + Send) -> Option<T> {
    if crate::identity::effective_uid() != 0 {
        skip("in part, because becoming another user needs root");
        return None;
    }
    let outcome = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let id = libc::c_long::from(NOBODY);
                // SAFETY: plain numbers; a length of zero, so the null pointer is not followed. Nothing else runs on
                // this thread afterwards, and it ends here.
                let changed = unsafe {
                    libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) == 0
                        && libc::syscall(libc::SYS_setresgid, id, id, id) == 0
                        && libc::syscall(libc::SYS_setresuid, id, id, id) == 0
                };
                if changed {
                    Ok(body())
                } else {
                    Err(io::Error::last_os_error())
                }
            })
            .join()
    });
    match outcome {
        Ok(Ok(value)) => Some(value),
        // A number without a mapping, or setgroups(2) given up (user_namespaces(7)).
        Ok(Err(error)) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EINVAL)) => {
            skip(&format!(
                "in part, because nobody is no user of this namespace ({error})"
            ));
            None
        }
        Ok(Err(error)) => panic!("becoming nobody: {error}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
