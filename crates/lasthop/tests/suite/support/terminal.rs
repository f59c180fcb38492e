//! A terminal with somebody before it: a program in a pseudo-terminal, keys for it, and the screen as it would be seen.
//!
//! The screen understands what `lasthop top` writes and no more: places, clearing, the other screen, colours as such.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::PATIENCE;

/// A program in a terminal of its own, of whose session it is the leader.
pub(crate) struct Terminal {
    child: Child,
    /// The end of the person.
    keys: File,
    /// The end of the program, kept open so that its settings can be asked for afterwards.
    line: File,
    before: Termios,
    seen: Arc<(Mutex<Screen>, Condvar)>,
}

/// One place on a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) sign: char,
    /// Of the sixteen colours of a terminal; none: its own.
    pub(crate) colour: Option<u8>,
    pub(crate) is_bold: bool,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            sign: ' ',
            colour: None,
            is_bold: false,
        }
    }
}

/// What is to be seen.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    size: (usize, usize),
    cells: Vec<Vec<Cell>>,
    at: (usize, usize),
    pen: Cell,
    /// Whether the other screen is shown, the one without a past.
    pub(crate) is_other: bool,
    /// Whether the cursor is hidden.
    pub(crate) is_cursor_hidden: bool,
    /// Whether any colour was set.
    pub(crate) is_coloured: bool,
    /// Everything that was written so far, screen or not.
    pub(crate) written: String,
    pending: Vec<u8>,
}

impl Terminal {
    /// Starts a command in a terminal of so many columns and rows. Its standard streams are this function's.
    pub(crate) fn start(command: &Command, (columns, rows): (u16, u16)) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&keys).expect("grantpt(3)");
        unlockpt(&keys).expect("unlockpt(3)");
        let name = ptsname(&keys, Vec::new()).expect("ptsname(3)");
        let line = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(name.to_str().expect("a path"))
            .expect("the other end");
        let keys = File::from(keys);
        tcsetwinsize(&keys, size(columns, rows)).expect("a size");
        let before = tcgetattr(&line).expect("settings");
        // setsid(1) makes the terminal that of the program, and then is the program.
        let mut session = Command::new("setsid");
        session
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        let end = || line.try_clone().expect("a descriptor");
        let child = session.stdin(end()).stdout(end()).stderr(end()).spawn();
        let child = child.expect("setsid(1) of util-linux");
        let seen = Arc::new((Mutex::new(Screen::new(columns, rows)), Condvar::new()));
        watch(keys.try_clone().expect("a descriptor"), Arc::clone(&seen));
        Self {
            child,
            keys,
            line,
            before,
            seen,
        }
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys
            .write_all(keys.as_bytes())
            .expect("a terminal that takes keys");
    }

    /// Pulls at the corner of the window.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.seen
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .resize(columns, rows);
        tcsetwinsize(&self.keys, size(columns, rows)).expect("a size");
    }

    /// Waits until the screen is so; what it shows then.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Screen) -> bool) -> String {
        let (screen, changed) = &*self.seen;
        let screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(screen, PATIENCE, |screen| !is_so(screen));
        let (screen, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(
            !timeout.timed_out(),
            "no {what} on the screen:\n{}",
            screen.text()
        );
        screen.text()
    }

    /// Waits until this text is on the screen; the screen.
    pub(crate) fn shows(&self, text: &str) -> String {
        self.until(&format!("{text:?}"), |screen| screen.text().contains(text))
    }

    /// The number of the program.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program has ended, and for what it wrote until then.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            thread::yield_now();
        }
    }

    /// Whether the terminal has the settings that it had before the program came.
    pub(crate) fn is_as_before(&self) -> bool {
        let now = tcgetattr(&self.line).expect("settings");
        let modes = |of: &Termios| {
            (
                of.input_modes,
                of.output_modes,
                of.local_modes,
                of.control_modes,
            )
        };
        modes(&now) == modes(&self.before)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended by itself in a test that passes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const fn size(columns: u16, rows: u16) -> Winsize {
    Winsize {
        ws_col: columns,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Reads until the terminal is gone, which is when the test is over.
fn watch(mut from: File, seen: Arc<(Mutex<Screen>, Condvar)>) {
    thread::spawn(move || {
        let mut bytes = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let (screen, changed) = &*seen;
            let mut screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
            screen.take(&bytes[..count]);
            changed.notify_all();
        }
    });
}

impl Screen {
    fn new(columns: u16, rows: u16) -> Self {
        let mut screen = Self::default();
        screen.resize(columns, rows);
        screen
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns.into(), rows.into());
        self.clear();
    }

    fn clear(&mut self) {
        self.cells = vec![vec![Cell::default(); self.size.0]; self.size.1];
    }

    /// The lines, without spaces at their ends.
    pub(crate) fn text(&self) -> String {
        let lines = self
            .cells
            .iter()
            .map(|line| line.iter().map(|cell| cell.sign).collect::<String>());
        lines.map(|line| format!("{}\n", line.trim_end())).collect()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        // A sign or a sequence may be cut anywhere; what is not whole waits for the rest.
        let whole = match std::str::from_utf8(&pending) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let text = String::from_utf8_lossy(&pending[..whole]).into_owned();
        let used = self.interpret(&text);
        self.written.push_str(&text[..used]);
        self.pending = pending[used..].to_vec();
    }

    /// Draws a text; how many of its bytes were used.
    fn interpret(&mut self, text: &str) -> usize {
        let mut rest = text;
        while let Some(sign) = rest.chars().next() {
            if sign != '\x1b' {
                self.put(sign);
                rest = &rest[sign.len_utf8()..];
                continue;
            }
            let Some(sequence) = rest.strip_prefix("\x1b[") else {
                // Half a sequence, or one that is none of ours.
                if rest.len() < 2 {
                    break;
                }
                rest = &rest[1..];
                continue;
            };
            let Some(end) = sequence.find(|letter: char| letter.is_ascii_alphabetic()) else {
                break;
            };
            self.control(&sequence[..end], &sequence[end..=end]);
            rest = &sequence[end + 1..];
        }
        text.len() - rest.len()
    }

    fn control(&mut self, parameters: &str, letter: &str) {
        match (parameters, letter) {
            ("?1049", "h") => {
                self.is_other = true;
                self.clear();
            }
            ("?1049", "l") => {
                self.is_other = false;
                self.clear();
            }
            ("?25", "l") => self.is_cursor_hidden = true,
            ("?25", "h") => self.is_cursor_hidden = false,
            (_, "J") => self.clear(),
            (place, "H") => {
                let mut numbers = place.split(';').map(|number| number.parse().unwrap_or(1));
                let (row, column): (usize, usize) =
                    (numbers.next().unwrap_or(1), numbers.next().unwrap_or(1));
                self.at = (column.saturating_sub(1), row.saturating_sub(1));
            }
            (looks, "m") => self.look(looks),
            _ => {}
        }
    }

    /// Select Graphic Rendition (ECMA-48), as far as it is used: bold, and the colours 0 to 15.
    fn look(&mut self, looks: &str) {
        let mut numbers = looks.split(';').map(|part| part.parse::<u8>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => self.pen = Cell::default(),
                1 => self.pen.is_bold = true,
                22 => self.pen.is_bold = false,
                38 => {
                    let _indexed = numbers.next();
                    self.pen.colour = numbers.next();
                    self.is_coloured = true;
                }
                39 => self.pen.colour = None,
                30..=37 | 40..=48 | 90..=107 => self.is_coloured = true,
                _ => {}
            }
        }
    }

    /// The cells, row by row.
    #[allow(dead_code, reason = "only who draws a picture of it asks")]
    pub(crate) fn cells(&self) -> &[Vec<Cell>] {
        &self.cells
    }

    fn put(&mut self, sign: char) {
        match sign {
            '\r' => self.at.0 = 0,
            '\n' => self.at.1 += 1,
            sign => {
                let (column, row) = self.at;
                if let Some(cell) = self
                    .cells
                    .get_mut(row)
                    .and_then(|line| line.get_mut(column))
                {
                    *cell = Cell { sign, ..self.pen };
                }
                self.at.0 += 1;
            }
        }
    }
}

/// How much time of the processor a process has used so far.
pub(crate) fn processor_time(pid: u32) -> Duration {
    lasthop_kernel::process::cpu_time(pid)
        .expect("a running process")
        .total()
}
