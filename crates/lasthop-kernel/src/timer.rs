//! A timer that is exact to some microseconds, as a descriptor that an event loop waits for (timerfd_create(2)).
//!
//! For load that is sent on time: timeouts of epoll, and of the runtimes above it, come in milliseconds. The proxy itself
//! needs nothing so exact, and a descriptor for each timeout would be too dear for it.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

/// One timer of the monotonic clock, not set at first. Non-blocking.
#[derive(Debug)]
pub struct Timer {
    // A file, because reading is all that is done with it.
    file: std::fs::File,
}

impl Timer {
    /// Makes one.
    ///
    /// # Errors
    /// Those of timerfd_create(2): no descriptor or no memory left on this host.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes two numbers and touches no memory of ours.
        let descriptor = unsafe {
            libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_CLOEXEC | libc::TFD_NONBLOCK,
            )
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self {
            file: descriptor.into(),
        })
    }

    /// Lets the descriptor become readable once, `after` from now; what was set before is forgotten. Zero means at once.
    ///
    /// # Errors
    /// Those of timerfd_settime(2); `InvalidInput` for more seconds than the kernel counts.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        // Zero would unset it.
        let after = after.max(Duration::from_nanos(1));
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
        // SAFETY: `itimerspec` is four integers, for which zero is a valid value.
        let mut value: libc::itimerspec = unsafe { std::mem::zeroed() };
        value.it_value.tv_sec = after.as_secs().try_into().map_err(too_long)?;
        // Below a billion, so it fits everywhere.
        value.it_value.tv_nsec = after.subsec_nanos() as libc::c_long;
        // SAFETY: the descriptor is ours and open; the kernel only reads `value`, which lives past the call, and is
        // given nowhere to write the former value to.
        let result = unsafe {
            libc::timerfd_settime(
                self.file.as_raw_fd(),
                0,
                &raw const value,
                std::ptr::null_mut(),
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Takes the expiry, so that the descriptor is no longer readable.
    ///
    /// # Errors
    /// `WouldBlock` while the time has not come.
    pub fn take(&self) -> io::Result<()> {
        // timerfd_create(2): eight bytes, a count of expiries, which is one here.
        let mut count = [0; 8];
        (&self.file).read(&mut count).map(|_| ())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// Ends with the expiry, for which a test's own time limit is the bound.
    fn wait(timer: &Timer) {
        while let Err(error) = timer.take() {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            std::thread::yield_now();
        }
    }

    #[test]
    fn it_expires_once_and_never_early() {
        let timer = Timer::new().unwrap();
        let wanted = Duration::from_micros(300);
        let before = Instant::now();
        timer.set(wanted).unwrap();
        wait(&timer);
        assert!(before.elapsed() >= wanted);
        assert_eq!(timer.take().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn zero_means_at_once_and_a_later_setting_replaces_an_earlier() {
        let timer = Timer::new().unwrap();
        timer.set(Duration::from_secs(3600)).unwrap();
        timer.set(Duration::ZERO).unwrap();
        wait(&timer);
    }

    #[test]
    fn a_timer_that_is_not_set_never_expires() {
        let timer = Timer::new().unwrap();
        assert_eq!(timer.take().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn more_seconds_than_the_kernel_counts_are_refused() {
        let error = Timer::new().unwrap().set(Duration::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
