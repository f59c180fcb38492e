//! `lasthop top`: a host in the terminal, live, or one frame of it as text.
//!
//! Finds out what the terminal can show and refuses where there is none; everything else is the business of the room
//! [`top`].

use std::env;
use std::io::{self, IsTerminal as _, Write};

use crate::cli::{ColourWhen, TopOptions};
use crate::exit::Exit;
use crate::top::view::Look;
use crate::top::{self, Settings, TOKEN_VARIABLE};

/// Columns of a frame as text where `COLUMNS` says nothing.
const COLUMNS: u16 = 80;

/// The narrowest and the widest frame as text.
const COLUMNS_MIN: u16 = 40;
const COLUMNS_MAX: u16 = 400;

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// Standard input or output leads elsewhere, or the terminal is a plain one.
    #[error("{0}; `lasthop top --once` prints one frame as text")]
    NoTerminal(&'static str),
    /// It has ended by itself.
    #[error(transparent)]
    Top(#[from] top::TopError),
}

impl TopError {
    /// The exit status that goes with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::NoTerminal(_) | Self::Top(top::TopError::Find(_)) => Exit::Usage,
            Self::Top(_) => Exit::Failed,
        }
    }
}

/// Shows the host until the user ends it, or writes one frame to `out`.
///
/// # Errors
/// [`TopError`].
pub fn run(options: &TopOptions, out: &mut impl Write) -> Result<(), TopError> {
    let settings = Settings {
        admin: options.admin.clone(),
        token_file: options.token_file.clone(),
        token: env::var(TOKEN_VARIABLE)
            .ok()
            .filter(|token| !token.is_empty()),
        netns: options.netns,
        look: Look {
            colour: !options.once && is_coloured(options.colour),
            unicode: is_unicode(|name| env::var(name).ok()),
        },
    };
    if options.once {
        top::once(&settings, columns(env::var("COLUMNS").ok().as_deref()), out)?;
        return Ok(());
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(TopError::NoTerminal(
            "standard input and output have to be a terminal",
        ));
    }
    if is_dumb() {
        return Err(TopError::NoTerminal(
            "a terminal with TERM=dumb cannot show it",
        ));
    }
    top::run(&settings)?;
    Ok(())
}

fn is_dumb() -> bool {
    env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// `NO_COLOR` counts unless it is empty (no-color.org).
fn is_coloured(when: ColourWhen) -> bool {
    match when {
        ColourWhen::Always => true,
        ColourWhen::Never => false,
        ColourWhen::Auto => env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// Whether the locale's character set has more than ASCII: the first of these that is set decides (locale(7)).
fn is_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let mut set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable);
    let locale = set.find(|value| !value.is_empty()).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

fn columns(said: Option<&str>) -> u16 {
    let said = said.and_then(|columns| columns.parse::<u16>().ok());
    said.map_or(COLUMNS, |columns| columns.clamp(COLUMNS_MIN, COLUMNS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_that_is_set_says_whether_there_is_more_than_ascii() {
        let set = |pairs: &'static [(&str, &str)]| {
            is_unicode(move |name| {
                let pair = pairs.iter().find(|pair| pair.0 == name);
                pair.map(|pair| pair.1.to_owned())
            })
        };
        assert!(!set(&[]));
        assert!(set(&[("LANG", "de_DE.UTF-8")]));
        assert!(set(&[("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(!set(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
        assert!(set(&[("LC_ALL", ""), ("LANG", "de_DE.UTF-8")]));
    }

    #[test]
    fn a_frame_as_text_has_a_width_that_fits() {
        for (said, expected) in [
            (None, 80),
            (Some("120"), 120),
            (Some("3"), 40),
            (Some("9999"), 400),
            (Some("wide"), 80),
        ] {
            assert_eq!(columns(said), expected, "{said:?}");
        }
    }
}
