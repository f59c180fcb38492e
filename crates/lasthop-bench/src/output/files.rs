//! Where a report goes: the terminal, and the files that the command line names.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use super::document;
use crate::cli::Outputs;
use crate::error::BenchError;

/// A command and the section of the document that belongs to it.
type Section<'a> = (&'static str, &'a dyn Fn() -> String);

/// Prints `text` and writes the files of `wanted`, each made only where it is.
pub(crate) fn write_all(
    wanted: &Outputs,
    text: &str,
    json: impl Fn() -> String,
    svg: impl Fn() -> String,
    (command, section): Section<'_>,
) -> Result<(), BenchError> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(BenchError::host("write to the standard output"))?;
    if let Some(path) = &wanted.json {
        write(path, &json())?;
    }
    if let Some(path) = &wanted.svg {
        write(path, &svg())?;
    }
    if let Some(path) = &wanted.markdown {
        let document = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(BenchError::host(format!("read {}", path.display())))?,
        };
        write(path, &document::update(&document, command, &section()))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    fs::write(path, text).map_err(BenchError::host(format!("write {}", path.display())))
}
