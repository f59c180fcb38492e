//! Where the lines go: standard output or a file, written with one write(2) a chunk.
//!
//! Not `std::io::Stdout`: that holds a lock while it writes, so a reader that stalls would stall
//! everybody else who wants to say a word there. A line that was torn by a failed write is ended
//! before the next one begins, so that a full disk costs whole lines and never mixes two.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::AccessLog;

/// The rights of a new log file, before the umask: its readers are the group's business.
const FILE_MODE: u32 = 0o640;

/// Between two attempts to write to a descriptor that does not block and is full. It is the reader's
/// pace that counts then; 100 looks a second are nothing, and only this thread waits.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// Where the lines go.
#[derive(Debug)]
pub(super) struct Output {
    sink: File,
    /// To open it again; none for standard output.
    path: Option<PathBuf>,
    /// Whether the last byte written was not a line end.
    torn: bool,
}

/// A chunk that was not written whole.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// Its lines that were written to their end.
    pub(super) written_lines: u64,
    pub(super) error: io::Error,
}

impl Output {
    /// Opens it; none where no access log is wanted.
    ///
    /// # Errors
    /// As open(2), with the path in the text.
    pub(super) fn open(access: &AccessLog) -> io::Result<Option<Self>> {
        Ok(match access {
            AccessLog::Off => None,
            AccessLog::Stdout => {
                let sink = io::stdout().as_fd().try_clone_to_owned()?;
                Some(Self::new(File::from(sink), None))
            }
            AccessLog::File(path) => {
                let named = |error: io::Error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                };
                let sink = open(path).map_err(named)?;
                Some(Self::new(sink, Some(path.clone())))
            }
        })
    }

    pub(super) fn new(sink: File, path: Option<PathBuf>) -> Self {
        Self {
            sink,
            path,
            torn: false,
        }
    }

    /// Writes whole lines, and waits as long as that takes.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        write(&mut self.sink, lines, &mut self.torn)
    }

    /// Opens the file again, which another may have taken the name of. If that fails, the old one
    /// stays, and the operator log says so.
    pub(super) fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match open(path) {
            Ok(sink) => {
                // A torn line ends where it is; on the same file before the next one anyway.
                self.torn &= is_same(&self.sink, &sink);
                self.sink = sink;
                tracing::info!(path = %path.display(), "access log reopened");
            }
            Err(error) => tracing::error!(
                path = %path.display(),
                %error,
                fix = "make it writable for us and send SIGUSR1 again",
                "cannot reopen the access log, writing on to the old file"
            ),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Opening a named pipe to write waits for a reader, unless it is opened to read as well (fifo(7)).
    // What is no pipe may well be readable for others only.
    let is_pipe = path.metadata().is_ok_and(|file| file.file_type().is_fifo());
    OpenOptions::new()
        .read(is_pipe)
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(path)
}

fn is_same(one: &File, other: &File) -> bool {
    let identity = |file: &File| file.metadata().map(|it| (it.dev(), it.ino())).ok();
    identity(one) == identity(other)
}

/// Writes `lines` to `sink`, after a line end if the one before was torn.
fn write(sink: &mut impl Write, lines: &[u8], torn: &mut bool) -> Result<(), Unwritten> {
    let unwritten = |written_lines, error| Unwritten {
        written_lines,
        error,
    };
    if *torn {
        write_all(sink, b"\n").map_err(|(_, error)| unwritten(0, error))?;
        *torn = false;
    }
    write_all(sink, lines).map_err(|(written, error)| {
        let written = &lines[..written];
        *torn = written.last().is_some_and(|byte| *byte != b'\n');
        let ends = written.iter().filter(|byte| **byte == b'\n');
        unwritten(ends.count() as u64, error)
    })
}

/// Writes everything, or says how much was written before the error.
fn write_all(sink: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match sink.write(&bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                // Somebody has made the descriptor nonblocking, which it is for all who share it.
                io::ErrorKind::WouldBlock => std::thread::sleep(FULL_PAUSE),
                _ => return Err((written, error)),
            },
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes what its script says, one write a step.
    struct Scripted {
        steps: Vec<io::Result<usize>>,
        taken: Vec<u8>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.steps.remove(0)?.min(bytes.len());
            self.taken.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn error(kind: io::ErrorKind) -> io::Result<usize> {
        Err(kind.into())
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next_one() {
        use io::ErrorKind::{Interrupted, StorageFull, WouldBlock};
        let mut sink = Scripted {
            steps: vec![
                Ok(4),
                error(StorageFull),
                error(StorageFull),
                Ok(1),
                error(Interrupted),
                Ok(2),
                error(WouldBlock),
                Ok(100),
            ],
            taken: Vec::new(),
        };
        let mut torn = false;
        let unwritten = write(&mut sink, b"a\nbcd\ne\n", &mut torn).unwrap_err();
        assert_eq!(unwritten.written_lines, 1);
        assert_eq!(unwritten.error.kind(), StorageFull);
        assert!(torn);
        let unwritten = write(&mut sink, b"lost\n", &mut torn).unwrap_err();
        assert_eq!(unwritten.written_lines, 0);
        assert!(torn, "still");
        write(&mut sink, b"next\n", &mut torn).unwrap();
        assert_eq!(sink.taken, b"a\nbc\nnext\n");
        assert!(!torn);
    }

    #[test]
    fn an_error_between_two_lines_tears_nothing() {
        let mut sink = Scripted {
            steps: vec![Ok(2), error(io::ErrorKind::BrokenPipe), Ok(0)],
            taken: Vec::new(),
        };
        let mut torn = false;
        let unwritten = write(&mut sink, b"a\nb\n", &mut torn).unwrap_err();
        assert_eq!((unwritten.written_lines, torn), (1, false));
        let unwritten = write(&mut sink, b"c\n", &mut torn).unwrap_err();
        assert_eq!(unwritten.error.kind(), io::ErrorKind::WriteZero);
    }
}
