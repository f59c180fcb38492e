//! The rules for `[log]`.

use std::fmt;
use std::path::PathBuf;

use toml::Spanned;

use super::defaults::FILE_PATH_BYTES_MAX;
use super::error::Fault;
use super::rules::word;
use super::spelling::{LogTable, Set};
use super::{AccessFormat, AccessLog, Level, Log};

const ACCESS_TAKES: &str = "it takes: off, stdout, or the path of a file, beginning with /";

pub(super) fn log(table: &LogTable) -> Result<Log, Fault> {
    Ok(Log {
        level: chosen(&table.level, "level", &Level::NAMES)?,
        access: access(&table.access)?,
        format: chosen(&table.format, "format", &AccessFormat::NAMES)?,
    })
}

fn chosen<T: Copy + Default>(
    set: &Set<String>,
    key: &str,
    words: &[(&str, T)],
) -> Result<T, Fault> {
    set.as_ref()
        .map_or(Ok(T::default()), |text| word(text, ("log", key), words))
}

fn access(set: &Set<String>) -> Result<AccessLog, Fault> {
    let Some(text) = set else {
        return Ok(AccessLog::default());
    };
    match text.get_ref().as_str() {
        "off" => Ok(AccessLog::Off),
        "stdout" => Ok(AccessLog::Stdout),
        "stderr" => Err(
            Fault::value(text.span(), "standard error is for the operator log")
                .advise(ACCESS_TAKES),
        ),
        path if path.starts_with('/') => match file_path_fault(path) {
            None => Ok(AccessLog::File(PathBuf::from(path))),
            Some(why) => Err(Fault::value(text.span(), why)),
        },
        path if path.contains(['/', '.']) => Err(relative(text, path)),
        _ => word(text, ("log", "access"), &[("off", ()), ("stdout", ())])
            .map(|()| AccessLog::Off)
            .map_err(|fault| fault.advise(ACCESS_TAKES)),
    }
}

/// Where it would be depends on where the program was started, and a service manager starts it in `/`.
fn relative(text: &Spanned<String>, path: &str) -> Fault {
    let name = path.trim_start_matches(['.', '/']);
    let message = format_args!("\"{path}\" is not the path of a file from the root on");
    Fault::value(text.span(), message).advise(format!("write \"/var/log/lasthop/{name}\""))
}

/// Why a path that begins with `/` cannot be that of a file.
fn file_path_fault(path: &str) -> Option<String> {
    if path.ends_with('/') {
        return Some("the path names a directory".to_owned());
    }
    if path.chars().any(char::is_control) {
        return Some("the path contains a control character".to_owned());
    }
    (path.len() > FILE_PATH_BYTES_MAX)
        .then(|| format!("the path is longer than {FILE_PATH_BYTES_MAX} bytes"))
}

impl AccessFormat {
    const NAMES: [(&'static str, Self); 2] = [("json", Self::Json), ("combined", Self::Combined)];
}

impl fmt::Display for AccessFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Combined => "combined",
        })
    }
}

impl Level {
    const NAMES: [(&'static str, Self); 6] = [
        ("off", Self::Off),
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES
            .iter()
            .find(|(_, level)| level == self)
            .map_or("", |(name, _)| name);
        f.write_str(name)
    }
}
