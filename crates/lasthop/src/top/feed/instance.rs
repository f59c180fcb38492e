//! The instance, asked for its history again and again by a thread of its own.

use std::io;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use lasthop_kernel::namespace;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::Message;
use super::fetch::{Client, FetchError};
use crate::history::Window;
use crate::top::address::Found;
use crate::top::model::Event;
use crate::top::past::{Past, PastError};

/// The time between two questions: the time between two points of an instance.
const PERIOD: Duration = Duration::from_secs(2);

/// The same where nobody answers.
const PERIOD_LOST: Duration = Duration::from_secs(5);

/// A coarse window has a new point each half minute; until then its last one grows.
const PERIOD_WIDE: Duration = Duration::from_secs(10);

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Past(#[from] PastError),
}

/// What the thread needs.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Where it is, and its token.
    pub found: Found,
    /// Which window is looked at.
    pub window: watch::Receiver<Window>,
    /// The process in whose network namespace it is; one's own where none.
    pub netns: Option<u32>,
}

impl Instance {
    /// Asks until nobody listens.
    pub(crate) fn ask(self, sender: &SyncSender<Message>) {
        let netns = self.netns;
        let ask = || {
            if let Err(error) = self.ask_in_runtime(sender) {
                let why = format!("it cannot be asked: {error}");
                let _ = sender.send(Message::Event(Event::Lost(why)));
            }
        };
        match netns {
            None => ask(),
            // As in `feed/host`: that it can be entered was tried before.
            Some(pid) => {
                let _ = namespace::within(pid, ask);
            }
        }
    }

    fn ask_in_runtime(self, sender: &SyncSender<Message>) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.rounds(sender));
        Ok(())
    }

    async fn rounds(mut self, sender: &SyncSender<Message>) {
        let mut client = Client::new(self.found.address, self.found.token);
        let mut wide: Option<(Window, Instant)> = None;
        loop {
            let begun = Instant::now();
            let mut event = history(&mut client, Window::TenMinutes).await;
            let is_reached = matches!(event, Event::Past(_));
            let window = *self.window.borrow_and_update();
            let is_due = |(of, at): (Window, Instant)| of != window || begun >= at + PERIOD_WIDE;
            if is_reached && window != Window::TenMinutes && wide.is_none_or(is_due) {
                if sender.send(Message::Event(event)).is_err() {
                    return;
                }
                event = history(&mut client, window).await;
                wide = Some((window, begun));
            }
            if sender.send(Message::Event(event)).is_err() {
                return;
            }
            let period = if is_reached { PERIOD } else { PERIOD_LOST };
            // Somebody who looks at another window does not wait for the next round.
            if let Ok(Err(_gone)) = timeout_at(begun + period, self.window.changed()).await {
                return;
            }
        }
    }
}

/// Asks once, for a single frame.
///
/// # Errors
/// Where there is no event loop to ask in.
pub(crate) fn fetch_once(found: Found) -> io::Result<Event> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut client = Client::new(found.address, found.token);
    Ok(runtime.block_on(history(&mut client, Window::TenMinutes)))
}

async fn history(client: &mut Client, window: Window) -> Event {
    let path = format!("/history?window={}", window.as_str());
    match ask(client, &path).await {
        Ok(past) => Event::Past(Box::new(past)),
        Err(error) => Event::Lost(error.to_string()),
    }
}

async fn ask(client: &mut Client, path: &str) -> Result<Past, AskError> {
    Ok(Past::of_json(&client.get(path).await?)?)
}
