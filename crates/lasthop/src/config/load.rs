//! From a file or a text to a [`Config`]: read, parse, check the keys, spell, apply the rules.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use toml::de::DeTable;

use super::defaults::FILE_BYTES_MAX;
use super::error::{ConfigError, Fault};
use super::source::Source;
use super::spelling::File;
use super::units::size_text;
use super::{Config, keys, rules};

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`] where the file cannot be read, is larger than a mebibyte, is not UTF-8, or is refused as by
    /// [`Config::from_toml`].
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let label = path.display().to_string();
        let text = read(path).map_err(|fault| ConfigError::without_place(&label, &fault))?;
        Self::from_toml(&label, &text)
    }

    /// Checks a text. `path_label` is what refusals call it.
    ///
    /// # Errors
    /// [`ConfigError`] where the text is not TOML, has a key that is unknown or not in this version, a value of the
    /// wrong kind, or values that make no sense, alone or together.
    pub fn from_toml(path_label: &str, text: &str) -> Result<Self, ConfigError> {
        let source = Source::new(path_label, text);
        let root = DeTable::parse(text)
            .map_err(|error| ConfigError::in_text(&source, &not_toml(&error, text)))?;
        let source = source.parsed(root.get_ref());
        keys::check(root.get_ref())
            .and_then(|()| {
                File::deserialize(toml::Deserializer::from(root.clone()))
                    .map_err(|error| wrong_kind(&error))
            })
            .and_then(|file| rules::config(&file))
            .map_err(|fault| ConfigError::in_text(&source, &fault))
    }
}

/// Reads a file, but no more of it than a configuration can be: a pipe or a device may have no end.
fn read(path: &Path) -> Result<String, Fault> {
    let unreadable =
        |error: std::io::Error| Fault::missing(format_args!("cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX as u64;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > FILE_BYTES_MAX {
        let limit = size_text(limit);
        return Err(Fault::missing(format_args!(
            "larger than {limit}: not a configuration"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        Fault::missing(format_args!("line {line} is not UTF-8"))
    })
}

/// A value is not of the kind that its key takes.
fn wrong_kind(error: &toml::de::Error) -> Fault {
    match error.span() {
        Some(span) => Fault::value(span, error.message()),
        None => Fault::missing(error.message()),
    }
}

/// The most frequent slip is an address or a duration without quotes, which TOML takes for a broken number.
fn not_toml(error: &toml::de::Error, text: &str) -> Fault {
    let span = error.span().unwrap_or(text.len()..text.len());
    let line = text
        .get(..span.end)
        .and_then(|before| before.lines().last())
        .unwrap_or("");
    let bare = line
        .split_once('=')
        .is_some_and(|(_, value)| !value.trim_start().starts_with(['"', '\'', '[', '{']));
    let fault = Fault::at(span, format_args!("not TOML: {}", error.message()));
    if bare {
        fault.advise("words, addresses, durations and sizes are written in quotes: \"127.0.0.1:8080\", \"5s\"")
    } else {
        fault
    }
}
