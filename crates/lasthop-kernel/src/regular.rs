//! Opening a file that a stranger has named, for its content and for nothing else.
//!
//! Opening can be an act: a FIFO makes the caller wait for a writer, a tape is wound back, a watchdog begins to count.
//! Whoever follows the words of a process, say the file on its command line, has to know what is there before he opens it.
//! A question by path would leave a moment in which the answer becomes untrue, so the place is held first (`O_PATH`,
//! open(2)), asked, and opened through itself.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens `path` for reading if a regular file is there.
///
/// # Errors
/// As open(2), also where there is no /proc; `InvalidInput` where something else is there, which was not opened then.
pub fn open(path: &Path) -> io::Result<File> {
    let place = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)?;
    let metadata = place.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    File::open(format!("/proc/self/fd/{}", place.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_file_is_read_also_through_a_link() {
        let directory = TempDir::new();
        fs::write(directory.join("file"), "content").unwrap();
        std::os::unix::fs::symlink("file", directory.join("link")).unwrap();
        for name in ["file", "link"] {
            let mut text = String::new();
            let mut file = open(&directory.join(name)).unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "content");
        }
    }

    #[test]
    fn what_waits_or_acts_when_opened_is_not_opened() {
        let directory = TempDir::new();
        let fifo = directory.join("fifo");
        let name = std::ffi::CString::new(fifo.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: `name` is NUL-terminated and lives past the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let socket = directory.join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink("fifo", directory.join("link")).unwrap();
        for path in [
            &*fifo,
            &socket,
            &directory.join("link"),
            Path::new("/dev/null"),
        ] {
            let error = open(path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
        let error = open(directory.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        let error = open(&directory.join("nothing")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
