//! The terminal: taken, drawn on, and given back as it was, whatever happens.
//!
//! Given back at the end, on an error, before the process stops behind the shell, and by whichever thread panics, before
//! it says why.

use std::io::{self, BufWriter, Stdout, Write as _};
use std::panic;
use std::sync::Once;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};

use super::model::Model;
use super::view::{self, Drawn, Look};

/// A frame of a large screen goes out in one write.
const FRAME_BYTES: usize = 64 << 10;

/// The terminal, for as long as this is kept.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}

impl Screen {
    /// Takes the terminal: no echo, no lines, no scrolled-back text lost.
    ///
    /// # Errors
    /// Where it refuses.
    pub(super) fn take(look: Look) -> io::Result<Self> {
        // Whether there are colours was decided already, by more than NO_COLOR.
        force_color_output(look.colour);
        static HOOK: Once = Once::new();
        HOOK.call_once(give_back_before_a_panic_is_told);
        let out = BufWriter::with_capacity(FRAME_BYTES, io::stdout());
        let mut screen = Self {
            terminal: Terminal::new(CrosstermBackend::new(out))?,
        };
        screen.enter()?;
        Ok(screen)
    }

    /// Takes it again after [`Screen::give_back`], or after somebody else had it.
    ///
    /// # Errors
    /// Where it refuses.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        // From the settings it has now: another program may have changed them, and then raw mode is not what it was.
        disable_raw_mode()?;
        enable_raw_mode()?;
        execute!(self.terminal.backend_mut(), EnterAlternateScreen)?;
        self.terminal.hide_cursor()?;
        self.forget()
    }

    /// Draws a state.
    ///
    /// # Errors
    /// Where the terminal takes no more.
    pub(super) fn draw(&mut self, model: &Model, look: Look) -> io::Result<Drawn> {
        let mut drawn = Drawn::default();
        self.terminal
            .draw(|frame| drawn = view::draw(model, look, frame.buffer_mut()))?;
        Ok(drawn)
    }

    /// Draws all of it anew at the next picture.
    ///
    /// # Errors
    /// Where the terminal takes no more.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        // Not `clear`: that asks the terminal where its cursor is, and one that does not answer is none to wait for.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Gives it back.
    pub(super) fn give_back(&mut self) {
        // Each of them is tried; a terminal that is gone needs none.
        let _ = self.terminal.backend_mut().flush();
        give_back();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn give_back() {
    let mut out = io::stdout();
    let _ = queue!(out, LeaveAlternateScreen, Show);
    let _ = out.flush();
    let _ = disable_raw_mode();
}

fn give_back_before_a_panic_is_told() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        give_back();
        tell(panic);
    }));
}
