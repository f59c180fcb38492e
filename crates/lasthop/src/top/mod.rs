//! `lasthop top`: a host in a terminal, live, with or without an instance on it.
//!
//! Sockets by state over time, ports in use against the wall, what is wrong, and what an instance says about itself.
//! Threads wait for the host, for the instance, for keys and for signals (`feed`); the model takes what they tell; the
//! view draws it. Only this file knows all of them. It changes nothing on the host.

mod address;
mod feed;
mod keys;
pub mod model;
pub mod past;
mod terminal;
pub mod view;

pub use address::{FindError, TOKEN_VARIABLE};

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lasthop_kernel::namespace::{self, EnterError};
use lasthop_kernel::terminal::stop_group;
use tokio::sync::watch;

use address::{Found, Given};
use feed::{Instance, MESSAGES_MAX, Message};
use keys::Told;
use model::{Action, Event, Model};
use terminal::Screen;
use view::Look;

/// A picture is drawn when something changes, and at least this often, because ages grow.
const REDRAW: Duration = Duration::from_secs(1);

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the instance is, as it was written; none: found out.
    pub admin: Option<String>,
    /// A file with its token.
    pub token_file: Option<PathBuf>,
    /// What [`TOKEN_VARIABLE`] says.
    pub token: Option<String>,
    /// A process whose network namespace is looked at; none: one's own.
    pub netns: Option<u32>,
    /// What the terminal can show.
    pub look: Look,
}

/// Why it did not go on.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// What was asked for makes no sense.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The namespace cannot be entered.
    #[error("the network namespace of process {pid} cannot be looked at")]
    Enter {
        /// Whose it is.
        pid: u32,
        /// Why.
        source: EnterError,
    },
    /// The host gives no thread.
    #[error("the host gives no thread")]
    Thread(#[source] io::Error),
    /// The terminal cannot be used any more.
    #[error("the terminal cannot be used")]
    Terminal(#[source] io::Error),
    /// A defect of ours.
    #[error("its thread {0:?} has failed, which is a defect of lasthop")]
    Broken(&'static str),
}

impl Settings {
    fn find(&self) -> Result<Found, TopError> {
        let found = address::find(&Given {
            admin: self.admin.as_deref(),
            token_file: self.token_file.as_deref(),
            token: self.token.as_deref(),
            config: address::usual_config(),
            is_elsewhere: self.netns.is_some(),
        })?;
        if let Some(pid) = self.netns {
            // Found out before the terminal is taken, so that it is told in plain words.
            namespace::within(pid, || ()).map_err(|source| TopError::Enter { pid, source })?;
        }
        Ok(found)
    }

    fn model(&self, found: &Found) -> Model {
        let address = &found.address;
        let mut model = Model::new(
            host_name(),
            address.label(),
            address.is_loopback(),
            now_ms(),
        );
        if let Some(pid) = self.netns {
            model.host_name = format!("{} · network of process {pid}", model.host_name);
        }
        model
    }
}

/// Shows it until somebody has seen enough.
///
/// # Errors
/// [`TopError`]; the terminal is given back by then.
pub fn run(settings: &Settings) -> Result<(), TopError> {
    let found = settings.find()?;
    let mut model = settings.model(&found);
    let (sender, receiver) = mpsc::sync_channel(MESSAGES_MAX);
    let (window, chosen) = watch::channel(model.window());
    let netns = settings.netns;
    let instance = Instance {
        found,
        window: chosen,
        netns,
    };
    feed::start_signals(sender.clone()).map_err(TopError::Thread)?;
    let mut screen = Screen::take(settings.look).map_err(TopError::Terminal)?;
    start_feeds(&sender, instance, netns).map_err(TopError::Thread)?;
    drop(sender);
    show(&mut model, &mut screen, settings.look, &receiver, &window)
}

fn start_feeds(
    sender: &SyncSender<Message>,
    instance: Instance,
    netns: Option<u32>,
) -> io::Result<()> {
    feed::start("input", sender.clone(), feed::wait_for_input)?;
    feed::start("host", sender.clone(), move |sender| {
        feed::look(sender, netns)
    })?;
    feed::start("instance", sender.clone(), |sender| instance.ask(sender))
}

fn show(
    model: &mut Model,
    screen: &mut Screen,
    look: Look,
    messages: &Receiver<Message>,
    window: &watch::Sender<crate::history::Window>,
) -> Result<(), TopError> {
    let mut due = Instant::now();
    let mut is_changed = true;
    while !model.is_over() {
        if is_changed {
            let drawn = screen.draw(model, look).map_err(TopError::Terminal)?;
            model.drew(drawn.scroll_max);
            window.send_if_modified(|wanted| {
                std::mem::replace(wanted, model.window()) != model.window()
            });
        }
        is_changed = false;
        match messages.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(message) => is_changed |= take(message, model, screen)?,
            Err(RecvTimeoutError::Timeout) => {
                due = Instant::now() + REDRAW;
                is_changed |= model.apply(now_ms(), Event::Second);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        // What came together is drawn together.
        for message in messages.try_iter().take(MESSAGES_MAX) {
            is_changed |= take(message, model, screen)?;
        }
    }
    Ok(())
}

/// Whether something changed that can be seen.
fn take(message: Message, model: &mut Model, screen: &mut Screen) -> Result<bool, TopError> {
    match message {
        Message::Event(event) => return Ok(model.apply(now_ms(), event)),
        Message::Told(Told::Action(action)) => {
            return Ok(model.apply(now_ms(), Event::Action(action)));
        }
        Message::End => {
            model.apply(now_ms(), Event::Action(Action::Quit));
        }
        Message::Told(Told::Redraw) => screen.forget().map_err(TopError::Terminal)?,
        Message::Told(Told::Suspend) => {
            screen.give_back();
            // A host that does not let it stop lets it go on.
            let _ = stop_group();
            screen.enter().map_err(TopError::Terminal)?;
        }
        Message::Continued => screen.enter().map_err(TopError::Terminal)?,
        Message::TerminalGone(error) => return Err(TopError::Terminal(error)),
        Message::Broken(thread) => return Err(TopError::Broken(thread)),
    }
    Ok(true)
}

/// Writes one frame as plain text, `width` columns wide.
///
/// # Errors
/// [`TopError`]; what `out` refuses is [`TopError::Terminal`].
pub fn once(settings: &Settings, width: u16, out: &mut impl Write) -> Result<(), TopError> {
    let found = settings.find()?;
    let mut model = settings.model(&found);
    let look = || {
        let mut watch = feed::Watch::default();
        let first = watch.look(settings.netns);
        (first, feed::fetch_once(found))
    };
    let (sample, answer) = match settings.netns {
        None => look(),
        Some(pid) => {
            namespace::within(pid, look).map_err(|source| TopError::Enter { pid, source })?
        }
    };
    model.apply(now_ms(), Event::Host(Box::new(sample)));
    model.apply(now_ms(), answer.map_err(TopError::Thread)?);
    let frame = view::once(&model, settings.look, width);
    out.write_all(frame.as_bytes())
        .and_then(|()| out.flush())
        .map_err(TopError::Terminal)
}

/// Milliseconds since 1970; 0 where the clock is set before.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "this host".to_owned(), |name| name.trim().to_owned())
}
