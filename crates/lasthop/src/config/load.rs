//! From a file or a text to a [`Config`]: read, parse, check the keys, spell, apply the rules.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use toml::de::DeTable;

use super::defaults::{DEFAULT_PATH, FILE_BYTES_MAX};
use super::error::{ConfigError, Fault};
use super::spelling::{File, LIST_EXPECTED};
use super::text::Text;
use super::units::size_text;
use super::{Config, ListenAddress, keys, rules};

/// A longer value is not written out a second time in what would be right.
const ADVICE_BYTES_MAX: usize = 160;

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`] where the file cannot be read, is larger than a mebibyte, is not UTF-8, or is refused as by
    /// [`Config::from_toml`].
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        Self::from_file_for(path, |_| Ok(()))
    }

    /// Like [`Config::from_file`], and asks `host` about every address to listen on: what it answers refuses the file,
    /// with the place of that address.
    ///
    /// # Errors
    /// As [`Config::from_file`], and where `host` has an objection.
    pub fn from_file_for(
        path: &Path,
        host: impl Fn(&ListenAddress) -> Result<(), String>,
    ) -> Result<Self, ConfigError> {
        let label = path.display().to_string();
        let text = read(path).map_err(|fault| ConfigError::without_place(&label, &fault))?;
        parse(&label, &text, host)
    }

    /// Checks a text. `path_label` is what refusals call it.
    ///
    /// # Errors
    /// [`ConfigError`] where the text is not TOML, has a key that is unknown or not in this version, a value of the
    /// wrong kind, or values that make no sense, alone or together.
    pub fn from_toml(path_label: &str, text: &str) -> Result<Self, ConfigError> {
        parse(path_label, text, |_| Ok(()))
    }
}

fn parse(
    label: &str,
    text: &str,
    host: impl Fn(&ListenAddress) -> Result<(), String>,
) -> Result<Config, ConfigError> {
    let source = Text::new(label, text);
    let root = DeTable::parse(text)
        .map_err(|error| ConfigError::in_text(&source, &not_toml(&error, text)))?;
    let source = source.parsed(root.get_ref());
    let judged = || {
        keys::check(root.get_ref())?;
        let file = File::deserialize(toml::Deserializer::from(root.clone()))
            .map_err(|error| wrong_kind(&error, text))?;
        let config = rules::config(&file)?;
        for (listener, table) in config.listeners.iter().zip(&file.listener) {
            let span = rules::span_or(&table.get_ref().address, table);
            host(&listener.address).map_err(|why| Fault::value(span, why))?;
        }
        if let (Some(admin), Some(table)) = (&config.admin, &file.admin) {
            let span = rules::span_or(&table.get_ref().address, table);
            host(&admin.address).map_err(|why| Fault::value(span, why))?;
        }
        Ok(config)
    };
    judged().map_err(|fault| ConfigError::in_text(&source, &fault))
}

/// Reads a file, but no more of it than a configuration can be: a pipe or a device may have no end.
fn read(path: &Path) -> Result<String, Fault> {
    let unreadable =
        |error: std::io::Error| Fault::missing(format_args!("cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(|error| {
        let nobody_named_it = path == Path::new(DEFAULT_PATH);
        if nobody_named_it && error.kind() == std::io::ErrorKind::NotFound {
            unreadable(error)
                .advise("write it, name another file, or give `lasthop run` --listen and --to")
        } else {
            unreadable(error)
        }
    })?;
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

/// A value is not of the kind that its key takes. The most frequent one is a text where a list of texts belongs.
fn wrong_kind(error: &toml::de::Error, text: &str) -> Fault {
    let Some(span) = error.span() else {
        return Fault::missing(error.message());
    };
    let value = text.get(span.clone()).unwrap_or("");
    let fault = Fault::value(span, error.message());
    let short = value.len() <= ADVICE_BYTES_MAX && !value.contains('\n');
    if short && value.starts_with(['"', '\'']) && error.message().contains(LIST_EXPECTED) {
        fault.advise(format!("write [{value}]"))
    } else {
        fault
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
