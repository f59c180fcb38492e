//! The lines of a process, read as they come, to be waited for with a deadline.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What has been read so far, and whether the pipe has ended.
#[derive(Default)]
struct Output {
    lines: Vec<String>,
    ended: bool,
    /// Nothing more is to be read for now.
    pausing: bool,
    /// And nothing is.
    paused: bool,
}

/// The lines of one pipe. Clones are the same lines.
#[derive(Clone)]
pub(crate) struct Lines(Arc<(Mutex<Output>, Condvar)>);

impl Lines {
    /// Reads `pipe` to its end on a thread of its own.
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let writer = lines.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            loop {
                writer.while_pausing();
                if !matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                    break;
                }
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                writer.0.0.lock().unwrap().lines.push(text);
                writer.0.1.notify_all();
                line.clear();
            }
            writer.0.0.lock().unwrap().ended = true;
            writer.0.1.notify_all();
        });
        lines
    }

    /// On the reading thread: waits for as long as nothing is to be read.
    fn while_pausing(&self) {
        let mut output = self.0.0.lock().unwrap();
        while output.pausing {
            output.paused = true;
            self.0.1.notify_all();
            output = self.0.1.wait(output).unwrap();
        }
        output.paused = false;
    }

    /// From the next line on, nothing is read.
    pub(crate) fn pause(&self) {
        self.0.0.lock().unwrap().pausing = true;
    }

    /// Waits until that line has come.
    pub(crate) fn wait_for_pause(&self, patience: Duration) {
        let (_read, late) = self
            .0
            .1
            .wait_timeout_while(self.0.0.lock().unwrap(), patience, |read| !read.paused)
            .unwrap();
        assert!(!late.timed_out(), "still reading after {patience:?}");
    }

    /// Reads on.
    pub(crate) fn go_on(&self) {
        self.0.0.lock().unwrap().pausing = false;
        self.0.1.notify_all();
    }

    /// Waits until there are `n` lines, and returns all; fewer when the pipe ends or the time is over
    /// first.
    pub(crate) fn at_least(&self, n: usize, patience: Duration) -> Vec<String> {
        let (read, _) = self
            .0
            .1
            .wait_timeout_while(self.0.0.lock().unwrap(), patience, |read| {
                !read.ended && read.lines.len() < n
            })
            .unwrap();
        read.lines.clone()
    }

    /// Waits for the `n`th line (from 0) that begins so; `None` when the pipe ends or the time is over
    /// first.
    pub(crate) fn nth_with(&self, begin: &str, n: usize, patience: Duration) -> Option<String> {
        let nth = |read: &Output| {
            let mut lines = read.lines.iter().filter(|line| line.starts_with(begin));
            lines.nth(n).cloned()
        };
        let (read, _) = self
            .0
            .1
            .wait_timeout_while(self.0.0.lock().unwrap(), patience, |read| {
                !read.ended && nth(read).is_none()
            })
            .unwrap();
        nth(&read)
    }

    /// Waits for a line that `wanted` accepts, among those already read too.
    pub(crate) fn find(&self, wanted: impl Fn(&str) -> bool, patience: Duration) -> Option<String> {
        let (read, _) = self
            .0
            .1
            .wait_timeout_while(self.0.0.lock().unwrap(), patience, |read| {
                !read.ended && !read.lines.iter().any(|line| wanted(line))
            })
            .unwrap();
        read.lines.iter().find(|line| wanted(line)).cloned()
    }

    /// Waits until the pipe has ended and returns everything.
    pub(crate) fn to_end(&self, patience: Duration) -> String {
        let (read, late) = self
            .0
            .1
            .wait_timeout_while(self.0.0.lock().unwrap(), patience, |read| !read.ended)
            .unwrap();
        assert!(
            !late.timed_out(),
            "the output did not end within {patience:?}: {:?}",
            read.lines
        );
        read.lines.join("\n")
    }

    /// Waits until the pipe has ended, at most so long; whether it has.
    pub(crate) fn ends_within(&self, time: Duration) -> bool {
        let (read, _) = self
            .0
            .1
            .wait_timeout_while(self.0.0.lock().unwrap(), time, |read| !read.ended)
            .unwrap();
        read.ended
    }

    /// Everything read so far.
    pub(crate) fn so_far(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.clone()
    }
}
