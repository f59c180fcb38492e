//! `lasthop demo`: runs [`crate::demo`] in the terminal.
//!
//! Finds out what the terminal can show and makes the runtime; what is measured, and how, is the demo's own affair.

use std::env;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use tokio::runtime::{Builder, LocalOptions};

use crate::demo::screen::{Colour, Glyphs, Progress, Screen};
use crate::demo::{self, DemoError, DemoSettings, wall};

/// Runs the demo to its end, `seconds` of load for each scene, writing to the standard output.
///
/// # Errors
/// What stopped it; no child and no file of it is left by then.
pub fn run(seconds: u16) -> Result<(), DemoError> {
    let settings = DemoSettings {
        seconds_per_scene: seconds.into(),
        ..DemoSettings::default()
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(|source| DemoError::Host {
            attempt: "make a runtime",
            source,
        })?;
    let mut out = io::stdout();
    runtime.block_on(demo::run(&settings, screen(), &mut out))
}

/// Runs the part that plays in a namespace of its own, which only the demo itself starts; its files go to `directory`.
///
/// # Errors
/// What stopped it, or that this is no such namespace.
pub fn inside(directory: &Path) -> Result<(), DemoError> {
    wall::inside::run(directory, &mut io::stdout())
}

/// Colour on a terminal, unless `NO_COLOR` is set to anything but the empty string (no-color.org).
fn screen() -> Screen {
    let is_terminal = io::stdout().is_terminal();
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    Screen {
        colour: match set("NO_COLOR") {
            None if is_terminal => Colour::On,
            _ => Colour::Off,
        },
        glyphs: Glyphs::of_locale(locale.as_deref().and_then(|locale| locale.to_str())),
        progress: match is_terminal {
            true => Progress::On,
            false => Progress::Off,
        },
    }
}
