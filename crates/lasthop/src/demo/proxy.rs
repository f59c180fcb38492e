//! A lasthop of its own process for the demo: started with flags or a file, awaited, ended on drop.
//!
//! It is a child process and not a thread, so that `/proc/PID/stat` counts the proxy's CPU time and nothing else's. Its
//! standard error is read for the line that says where it serves, and on; the last lines are kept for the message in
//! case it fails.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use lasthop_kernel::process;
use thiserror::Error;

use super::load::Destination;

/// How long a proxy may take until it serves; it takes milliseconds.
const START_DEADLINE: Duration = Duration::from_secs(10);
/// Lines of its standard error that are kept.
const COMPLAINT_LINES_MAX: usize = 10;
/// What the line that announces a listener begins with (printed by `lasthop run`).
const ANNOUNCEMENT: &str = "listening on ";

/// A running proxy; dropping it kills the process and waits for its end.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    destination: Destination,
    complaints: Arc<Mutex<VecDeque<String>>>,
}

/// Why no proxy came up.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The binary could not be started at all.
    #[error("cannot start {}", path.display())]
    Spawn {
        /// The binary.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended, or stayed silent, instead of saying where it listens.
    #[error("{} {what}{complaints}", path.display())]
    Silent {
        /// The binary.
        path: PathBuf,
        /// What it did instead.
        what: &'static str,
        /// The end of its standard error, each line on a line of its own, indented; empty if there was none.
        complaints: String,
    },
}

impl Proxy {
    /// Runs `binary run --listen 127.0.0.1:0 --to TARGET --workers 1` and waits until it serves. One worker, so that
    /// CPU per request means the same on every host.
    ///
    /// # Errors
    /// When the binary cannot be started, ends, or does not say within ten seconds where it listens.
    pub fn start(binary: &Path, target: &OsStr) -> Result<Self, ProxyError> {
        let mut command = Command::new(binary);
        command
            .args(["run", "--listen", "127.0.0.1:0", "--workers", "1"])
            .args(["--access-log", "off", "--to"])
            .arg(target);
        Self::serve(binary, command)
    }

    /// Runs `binary run FILE` and waits until it serves.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(binary: &Path, file: &Path) -> Result<Self, ProxyError> {
        let mut command = Command::new(binary);
        command.arg("run").arg(file);
        Self::serve(binary, command)
    }

    fn serve(binary: &Path, mut command: Command) -> Result<Self, ProxyError> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // The guard ends it; this is for a harness that is killed and drops no guard.
        let mut child = process::die_with_parent(&mut command)
            .spawn()
            .map_err(|source| ProxyError::Spawn {
                path: binary.to_owned(),
                source,
            })?;
        let complaints = Arc::new(Mutex::new(VecDeque::new()));
        let (announce, announced) = mpsc::sync_channel(1);
        let stderr = child.stderr.take();
        // From here on the guard owns the child: every early return ends it.
        let mut proxy = Self {
            child,
            destination: Destination::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            complaints: Arc::clone(&complaints),
        };
        if let Some(stderr) = stderr {
            // It ends with the pipe, that is with the child.
            thread::spawn(move || watch(stderr, &announce, &complaints));
        }
        match announced.recv_timeout(START_DEADLINE) {
            Ok(destination) => proxy.destination = destination,
            Err(error) => {
                let ended = matches!(error, mpsc::RecvTimeoutError::Disconnected);
                return Err(proxy.silent(binary, ended));
            }
        }
        Ok(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The last lines of its standard error, each on a line of its own, indented; empty if there were none.
    #[must_use]
    pub fn complaints(&self) -> String {
        let lines = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| format!("\n    {line}")).collect()
    }

    fn silent(mut self, path: &Path, ended: bool) -> ProxyError {
        self.end();
        ProxyError::Silent {
            path: path.to_owned(),
            what: if ended {
                "ended before it served"
            } else {
                "did not say where it listens"
            },
            complaints: self.complaints(),
        }
    }

    fn end(&mut self) {
        // Killed, not drained: nothing of its state is worth waiting for. Both calls fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends where the first announcement says that it serves, and keeps the last lines of all others.
fn watch(
    stderr: impl Read,
    announce: &mpsc::SyncSender<Destination>,
    complaints: &Mutex<VecDeque<String>>,
) {
    for line in BufReader::new(stderr).split(b'\n') {
        // A failing read means that the child is gone, which its owner notices by itself.
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some(destination) = announced(&line) {
            // The starter may have given up; then nobody asks any more.
            let _ = announce.try_send(destination);
            continue;
        }
        let mut lines = complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == COMPLAINT_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// The address in `listening on ADDRESS (NAME)`, where a listener that has no name of its own is announced without it.
fn announced(line: &str) -> Option<Destination> {
    let address = line.strip_prefix(ANNOUNCEMENT)?.trim_end();
    let address = address.rsplit_once(" (").map_or(address, |parts| parts.0);
    match address.strip_prefix("unix:") {
        Some(path) => Some(Destination::Unix(path.into())),
        None => address.parse().ok().map(Destination::Tcp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_is_read_with_and_without_a_name() {
        for line in ["127.0.0.1:43211 (web)\n", "127.0.0.1:43211\n"] {
            let Some(Destination::Tcp(address)) = announced(&format!("listening on {line}")) else {
                panic!("{line} is an address");
            };
            assert_eq!(address, "127.0.0.1:43211".parse().unwrap());
        }
        for line in ["unix:/run/a b.sock (web)", "unix:/run/a b.sock"] {
            let Some(Destination::Unix(path)) = announced(&format!("listening on {line}")) else {
                panic!("{line} is a path");
            };
            assert_eq!(path, Path::new("/run/a b.sock"));
        }
        assert!(announced("about to listen\n").is_none());
    }

    #[test]
    fn a_binary_that_is_missing_is_named() {
        let error =
            Proxy::start(Path::new("/nonexistent/lasthop"), OsStr::new("127.0.0.1:1")).unwrap_err();
        assert_eq!(error.to_string(), "cannot start /nonexistent/lasthop");
    }

    #[test]
    fn a_binary_that_ends_without_serving_is_an_error() {
        let error = Proxy::start(Path::new("/bin/true"), OsStr::new("127.0.0.1:1")).unwrap_err();
        assert!(
            error.to_string().contains("ended before it served"),
            "{error}"
        );
    }

    #[test]
    fn only_the_last_complaints_are_kept() {
        let complaints = Mutex::new(VecDeque::new());
        let said: String = (0..25).map(|n| format!("line {n}\n")).collect();
        watch(said.as_bytes(), &mpsc::sync_channel(1).0, &complaints);
        let lines = complaints.into_inner().unwrap();
        assert_eq!(lines.len(), COMPLAINT_LINES_MAX);
        assert_eq!(lines.back().map(String::as_str), Some("line 24"));
    }
}
