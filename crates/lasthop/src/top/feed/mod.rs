//! Where events come from: threads that wait, so that drawing never does.
//!
//! Each sends into one bounded channel and ends when nobody listens. One that panics says so on its way out, so that the
//! program ends instead of showing an old picture for ever.

mod fetch;
mod host;
mod instance;

pub(super) use host::{Watch, look};
pub(super) use instance::{Instance, fetch_once};

use std::io;
use std::sync::mpsc::SyncSender;
use std::thread;

use lasthop_kernel::terminal::{SIGCONT, SIGTSTP};
use ratatui::crossterm::event;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::keys::{self, Told};
use super::model::Event;

/// Messages that may wait to be drawn: a key held down, and everything else at once.
pub(super) const MESSAGES_MAX: usize = 64;

/// What a thread tells the one that draws.
#[derive(Debug)]
pub(super) enum Message {
    /// Something for the model.
    Event(Event),
    /// Something that the terminal told.
    Told(Told),
    /// A signal asks for the end.
    End,
    /// SIGCONT: somebody else had the terminal meanwhile.
    Continued,
    /// The terminal gives no more events.
    TerminalGone(io::Error),
    /// A thread has panicked.
    Broken(&'static str),
}

/// Starts a thread of the program.
///
/// # Errors
/// Where the host gives no thread.
pub(super) fn start(
    name: &'static str,
    sender: SyncSender<Message>,
    work: impl FnOnce(&SyncSender<Message>) + Send + 'static,
) -> io::Result<()> {
    let guard = Guard { name, sender };
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(move || work(&guard.sender))?;
    Ok(())
}

struct Guard {
    name: &'static str,
    sender: SyncSender<Message>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            // Nobody listens where the program is at its end already.
            let _ = self.sender.send(Message::Broken(self.name));
        }
    }
}

/// Waits for keys and for another size of the screen.
pub(super) fn wait_for_input(sender: &SyncSender<Message>) {
    loop {
        let message = match event::read() {
            Ok(input) => match keys::told(&input) {
                Some(told) => Message::Told(told),
                None => continue,
            },
            Err(error) => {
                let _ = sender.send(Message::TerminalGone(error));
                return;
            }
        };
        if sender.send(message).is_err() {
            return;
        }
    }
}

/// The signals that matter to a program that has the terminal.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    stop: Signal,
    go_on: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            stop: signal(SignalKind::from_raw(SIGTSTP))?,
            go_on: signal(SignalKind::from_raw(SIGCONT))?,
        })
    }

    async fn next(&mut self) -> Message {
        tokio::select! {
            _ = self.terminate.recv() => Message::End,
            _ = self.interrupt.recv() => Message::End,
            _ = self.hang_up.recv() => Message::End,
            _ = self.stop.recv() => Message::Told(Told::Suspend),
            _ = self.go_on.recv() => Message::Continued,
        }
    }
}

/// Starts to wait for signals. From when this returns on, none of them ends the process by itself.
///
/// # Errors
/// Where the host gives no thread or event loop.
pub(super) fn start_signals(sender: SyncSender<Message>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    start("signals", sender, move |sender| {
        runtime.block_on(async { while sender.send(signals.next().await).is_ok() {} });
    })
}
