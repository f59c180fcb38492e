//! Our own processes at both ends of a proxy, apps and loads, as guards: started, listened to, ended on drop.
//!
//! Each is this program again with a hidden command, so that it can be pinned, is not counted with the proxy, and brings
//! a descriptor limit of its own. They speak in lines on their standard output, and end when their standard input does,
//! so none outlives the harness, however that ends. What went wrong with the proxy they say in a line that begins with
//! [`FAILED`]; what went wrong with themselves goes to the standard error, like the harness' own. An app of many processes
//! has one listening socket in the place of the standard input, as inetd hands it over; its processes are told to end.

pub(crate) mod answer;
pub(crate) mod app;
pub(crate) mod held;
pub(crate) mod hold_app;
pub(crate) mod holder;
pub(crate) mod outcomes;
pub(crate) mod pace;
pub(crate) mod pacer;
pub(crate) mod pairs;

use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use lasthop_kernel::process::{self, Signal};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use crate::error::BenchError;
use crate::interrupt::Interrupt;

/// What a line begins with that says how the proxy failed.
pub(crate) const FAILED: &str = "failed: ";
/// How long a start or a closing may take; both take milliseconds, or a second on a crowded host.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at whether the harness was asked to stop, or whether a process has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Lines that wait to be asked for; they say one thing at a time.
const LINES_MAX: usize = 8;

/// A running process of ours; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    name: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Endpoint {
    /// Runs this program with the hidden command `name` and `arguments`.
    pub(crate) fn start(
        name: &'static str,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, BenchError> {
        Self::start_with(name, arguments, Stdio::piped())
    }

    /// The same with a listening socket, which other processes may have as well, as its standard input.
    pub(crate) fn start_on(
        listener: OwnedFd,
        name: &'static str,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, BenchError> {
        Self::start_with(name, arguments, listener.into())
    }

    fn start_with(
        name: &'static str,
        arguments: impl IntoIterator<Item = OsString>,
        input: Stdio,
    ) -> Result<Self, BenchError> {
        let attempt = || BenchError::host(format!("start the process `{name}`"));
        let mut command = Command::new(std::env::current_exe().map_err(attempt())?);
        command
            .arg(name)
            .args(arguments)
            .stdin(input)
            .stdout(Stdio::piped());
        // Some are too busy to notice that their input ended.
        let mut child = process::die_with_parent(&mut command)
            .spawn()
            .map_err(attempt())?;
        let (send, lines) = sync_channel(LINES_MAX);
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || hand_on_lines(output, &send));
        }
        Ok(Self {
            name,
            input: child.stdin.take(),
            child,
            lines,
        })
    }

    /// The next line that it says, within `patience`.
    pub(crate) fn line(
        &self,
        patience: Duration,
        interrupt: &Interrupt,
    ) -> Result<String, BenchError> {
        let failed = |what| {
            Err(BenchError::Endpoint {
                name: self.name,
                what,
            })
        };
        let deadline = Instant::now() + patience;
        loop {
            interrupt.check()?;
            match self.lines.recv_timeout(LOOK_INTERVAL) {
                Ok(line) => {
                    return match line.strip_prefix(FAILED) {
                        Some(reason) => Err(BenchError::Failed(reason.to_owned())),
                        None => Ok(line),
                    };
                }
                Err(RecvTimeoutError::Disconnected) => return failed("ended too early"),
                Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => {
                    return failed("said nothing in time");
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says a line to it.
    pub(crate) fn tell(&mut self, line: &str) -> Result<(), BenchError> {
        let attempt = BenchError::host(format!("speak to the process `{}`", self.name));
        match &mut self.input {
            Some(input) => writeln!(input, "{line}").map_err(attempt),
            None => Err(attempt(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // The end of its input lets it remove its files; the rest is for one that hangs.
        if self.input.take().is_none() {
            // The error would be that it has ended already.
            let _ = process::signal(self.child.id(), Signal::Terminate);
        }
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(LOOK_INTERVAL);
        }
        // Both fail only if it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends on what the process says, line by line, until it ends or nobody asks any more.
fn hand_on_lines(output: ChildStdout, send: &std::sync::mpsc::SyncSender<String>) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { return };
        if send.send(line).is_err() {
            return;
        }
    }
}

/// Says a line to whoever started this process.
pub(crate) fn say(line: &str) -> Result<(), BenchError> {
    let mut out = io::stdout();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(BenchError::host("speak to the harness"))
}

/// The next line that whoever started this process says; `None` when it has nothing more to say and wants the end.
pub(crate) fn next_order() -> Option<String> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(length) if length > 0 => Some(line.trim().to_owned()),
        _ => None, // an error is an end too
    }
}

/// A runtime on this thread alone.
pub(crate) fn runtime() -> Result<LocalRuntime, BenchError> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(BenchError::host("make a runtime"))
}
