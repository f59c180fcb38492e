//! A clock that the standard library lacks: what the calling thread has cost.

use std::io;
use std::time::Duration;

/// Processor time that the calling thread has used so far, in its own code and in the kernel, to the nanosecond
/// (`CLOCK_THREAD_CPUTIME_ID`, clock_gettime(2)).
///
/// # Errors
/// As clock_gettime(2): where a sandbox forbids it.
pub fn thread_cpu_time() -> io::Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one `timespec`, which is ours and lives past the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // Neither is ever negative.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Ok(Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_works_uses_time_and_another_ones_work_is_not_its_own() {
        let begun = thread_cpu_time().unwrap();
        let others = std::thread::spawn(|| {
            let mut used = Duration::ZERO;
            while used < Duration::from_millis(20) {
                used = thread_cpu_time().unwrap();
            }
            used
        });
        let others = others.join().unwrap();
        let ours = thread_cpu_time().unwrap() - begun;
        assert!(others >= Duration::from_millis(20));
        assert!(ours < others, "{ours:?}");
    }
}
