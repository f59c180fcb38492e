//! Lines that neither log has room for, told in the operator log.
//!
//! A log that loses lines in silence is worse than none. The main thread asks every ten seconds; what was
//! dropped since the last time is one warning, with what to do about it, also when lines flow again.

use std::io;
use std::time::Duration;

use tracing_appender::non_blocking::ErrorCounter;

use super::access::{AccessDrops, AccessWriter};
use super::log::LogGuard;

/// What has been dropped, and how much of it has been told.
#[derive(Debug)]
pub struct Drops {
    access: Option<Access>,
    operator: ErrorCounter,
    operator_told: u64,
}

#[derive(Debug)]
struct Access {
    drops: AccessDrops,
    told: u64,
    /// The last error that has not been told.
    error: Option<io::Error>,
}

impl Drops {
    /// How often [`Drops::tell`] is due: at most one warning a log in that time.
    pub const INTERVAL: Duration = Duration::from_secs(10);

    /// Of these two logs, from their start on. Outlives the access log's writer.
    pub fn new(access: Option<&AccessWriter>, operator: &LogGuard) -> Self {
        Self {
            access: access.map(|writer| Access {
                drops: writer.drops(),
                told: 0,
                error: None,
            }),
            operator: operator.dropped(),
            operator_told: 0,
        }
    }

    /// Tells what was dropped since the last time, if anything was. To be called every
    /// [`Drops::INTERVAL`], and once more when the access log has ended.
    pub fn tell(&mut self) {
        if let Some(access) = &mut self.access {
            access.tell(&self.operator);
        }
        let total = lines(&self.operator);
        let lines_since = total - self.operator_told;
        if lines_since > 0 {
            let told = reaches(&self.operator, || {
                tracing::warn!(
                    lines = lines_since,
                    total,
                    fix = "whatever reads our standard error has to read faster",
                    "operator log lines dropped"
                );
            });
            if told {
                self.operator_told = total;
            }
        }
    }
}

impl Access {
    fn tell(&mut self, operator: &ErrorCounter) {
        let total = self.drops.lines();
        let lines = total - self.told;
        if lines == 0 {
            return;
        }
        self.error = self.drops.take_error().or(self.error.take());
        let fix = fix(self.error.as_ref());
        let error = self.error.as_ref().map(tracing::field::display);
        let told = reaches(operator, || {
            tracing::warn!(lines, total, error, fix, "access log lines dropped");
        });
        if told {
            self.told = total;
            self.error = None;
        }
    }
}

/// Whether what `tell` logs has found room in the operator log. If somebody's line was dropped
/// meanwhile it may have been this one, and it is told again with the next count.
fn reaches(operator: &ErrorCounter, tell: impl FnOnce()) -> bool {
    let before = lines(operator);
    tell();
    lines(operator) == before
}

fn lines(counter: &ErrorCounter) -> u64 {
    counter.dropped_lines() as u64
}

fn fix(error: Option<&io::Error>) -> &'static str {
    match error.map(io::Error::kind) {
        None => "whatever reads the access log has to read faster, or log to a file",
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            "make room where the access log is; it goes on by itself"
        }
        Some(io::ErrorKind::BrokenPipe) => {
            "nobody reads the access log any more: restart us together with its reader"
        }
        Some(_) => "mend what the error says; it goes on by itself",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AccessFormat, AccessLog};
    use crate::observe::log::{WAITING_LINES_MAX, queue};
    use crate::observe::{Outcome, RequestIds, RequestLine};
    use std::io::Write;
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    /// What is logged while `body` runs.
    fn logged(body: impl FnOnce()) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = tracing_subscriber::fmt()
            .with_writer(Mutex::new(Shared(Arc::clone(&lines))))
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(log, body);
        let lines = lines.lock().unwrap();
        let text = str::from_utf8(&lines).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes nothing until its other end is dropped.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log_lines(writer: &AccessWriter, count: usize) {
        let (worker, ids) = (writer.for_worker(), RequestIds::new(1));
        for _ in 0..count {
            let request = RequestLine::unread(ids.next(), "web", SystemTime::UNIX_EPOCH);
            worker.write(worker.begin(&request), &Outcome::default());
        }
    }

    #[test]
    fn access_log_lines_that_a_full_disk_took_are_told_once_with_what_to_do() {
        let (_operator, guard) = queue(io::sink());
        let access = AccessLog::File("/dev/full".into());
        let writer = AccessWriter::start(&access, AccessFormat::Json).unwrap();
        let writer = writer.unwrap();
        let mut drops = Drops::new(Some(&writer), &guard);
        assert_eq!(logged(|| drops.tell()), [""; 0], "nothing yet");
        log_lines(&writer, 3);
        assert!(writer.finish(Duration::from_secs(30)));
        let lines = logged(|| drops.tell());
        assert_eq!(lines.len(), 1, "{lines:?}");
        for words in [
            "WARN",
            "access log lines dropped",
            "lines=3",
            "total=3",
            "No space left on device",
            "make room",
        ] {
            assert!(lines[0].contains(words), "{words} in {lines:?}");
        }
        assert_eq!(logged(|| drops.tell()), [""; 0], "told once");
    }

    #[test]
    fn operator_log_lines_that_nobody_read_are_told_with_their_count() {
        let (unstick, stuck) = channel();
        let (mut operator, guard) = queue(Stuck(stuck));
        let mut drops = Drops::new(None, &guard);
        for _ in 0..WAITING_LINES_MAX + 100 {
            operator.write_all(b"a line\n").unwrap();
        }
        let lines = logged(|| drops.tell());
        assert_eq!(lines.len(), 1, "{lines:?}");
        let counted = guard.dropped().dropped_lines();
        // The thread may have taken a line or two out of the queue before it was stuck.
        assert!((90..=100).contains(&counted), "{counted}");
        assert!(lines[0].contains("operator log lines dropped"), "{lines:?}");
        assert!(lines[0].contains(&format!("lines={counted}")), "{lines:?}");
        assert_eq!(logged(|| drops.tell()), [""; 0], "told once");
        drop(unstick);
    }
}
