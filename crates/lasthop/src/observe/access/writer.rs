//! The thread that writes the access log, and its handle on the main thread.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::output::Output;
use super::queue::{Queue, Work};
use super::worker::WorkerLog;
use crate::config::{AccessFormat, AccessLog};

/// The access log: owns the thread `access-log`, which ends once this is dropped and everything queued is
/// written.
#[derive(Debug)]
pub struct AccessWriter {
    format: AccessFormat,
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl AccessWriter {
    /// Opens the log and starts its thread; none where no access log is wanted. A file is appended
    /// to, and created with mode 0640 where there is none.
    ///
    /// # Errors
    /// As open(2), with the path in the text; or no thread could be had.
    pub fn start(access: &AccessLog, format: AccessFormat) -> io::Result<Option<Self>> {
        let output = Output::open(access)?;
        output.map(|output| Self::spawn(output, format)).transpose()
    }

    pub(super) fn spawn(output: Output, format: AccessFormat) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let ended = Ended(Arc::clone(&queue));
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_until_closed(&ended.0, output))?;
        Ok(Self {
            format,
            queue,
            thread: Some(thread),
        })
    }

    /// One worker's end of the log.
    pub fn for_worker(&self) -> WorkerLog {
        WorkerLog::new(self.format, Arc::clone(&self.queue))
    }

    /// Opens the file again, as is due after it was renamed. Lines handed over by now go to the old
    /// file, later ones to the new. Does not wait. If the file cannot be opened, the old one is
    /// written on to, and the operator log says so. Standard output stays what it is.
    pub fn reopen(&self) {
        self.queue.reopen();
    }

    /// Lines dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// To ask for the drops from elsewhere, and after the end.
    pub fn drops(&self) -> AccessDrops {
        AccessDrops(Arc::clone(&self.queue))
    }

    /// Writes what is queued and ends the thread; returns whether that was done within `patience`.
    /// If not, because nobody reads on, what is left counts as dropped and the thread is left behind.
    /// The workers are gone by now: what they still write is dropped.
    pub fn finish(mut self, patience: Duration) -> bool {
        self.queue.close();
        let ended = self.queue.wait_for_end(patience);
        if ended && let Some(thread) = self.thread.take() {
            // It has nothing to say, and panics nowhere.
            let _ = thread.join();
        }
        ended
    }
}

impl Drop for AccessWriter {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// What was dropped, and why.
#[derive(Clone, Debug)]
pub struct AccessDrops(Arc<Queue>);

impl AccessDrops {
    /// Lines dropped since the start.
    pub fn lines(&self) -> u64 {
        self.0.dropped()
    }

    /// The last error since this was asked the last time; none where lines are dropped because the
    /// reader is too slow.
    pub(in crate::observe) fn take_error(&self) -> Option<io::Error> {
        self.0.take_error()
    }
}

/// Tells who waits for the thread's end, however it ends.
struct Ended(Arc<Queue>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn write_until_closed(queue: &Queue, mut output: Output) {
    while let Some(work) = queue.take() {
        match work {
            Work::Reopen => output.reopen(),
            Work::Write(chunk) => {
                if let Err(unwritten) = output.write(&chunk.bytes) {
                    let lost = chunk.lines.saturating_sub(unwritten.written_lines);
                    queue.fail_lines(lost, &unwritten.error);
                }
                queue.give_back(chunk.bytes);
            }
        }
    }
}
