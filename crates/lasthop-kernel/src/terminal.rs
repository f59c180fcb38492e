//! Signals of a terminal's job control: numbers, and stopping as a program without handlers would.

use std::{io, mem, ptr};

/// The terminal asks to step behind the shell (Ctrl-Z), signal(7).
pub const SIGTSTP: i32 = libc::SIGTSTP;

/// The process goes on, signal(7).
pub const SIGCONT: i32 = libc::SIGCONT;

/// Stops this process and its process group, as the terminal does on Ctrl-Z, and returns when it goes on. A process that
/// nobody could continue (its group is orphaned, setpgid(2)) is not stopped by the kernel, and this returns at once.
///
/// The whole group, because whoever started us through `sudo` or a script has to be stopped as well to see the shell.
/// The handler of SIGTSTP is out of the way meanwhile: only the default action stops.
///
/// # Errors
/// What sigaction(2) or kill(2) refuse.
pub fn stop_group() -> io::Result<()> {
    // SAFETY: `sigaction` is a plain C struct for which all zeroes is a valid value: SIG_DFL, no flags, an empty mask.
    let default: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: as above; it is overwritten before it is read.
    let mut before: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: both point to structs that outlive the call; the default action runs no code of ours.
    check(unsafe { libc::sigaction(SIGTSTP, &raw const default, &raw mut before) })?;
    // SAFETY: takes two numbers. 0 is the caller's own process group.
    let stopped = check(unsafe { libc::kill(0, SIGTSTP) });
    // SAFETY: gives back what was there before, which was valid then and is now.
    check(unsafe { libc::sigaction(SIGTSTP, &raw const before, ptr::null_mut()) })?;
    stopped
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
