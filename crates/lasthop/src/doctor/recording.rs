//! Recordings: snapshots in a file, one JSON object on each line, written as they are and judged later or elsewhere.
//!
//! What is read may come from anybody: file, lines and lists have bounds, unknown fields are refused, and an error says
//! which line. A recording has names of processes and paths of the host in it, so it is made readable to its owner only.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lasthop_kernel::owner::OWNERS_MAX;
use lasthop_ports::snapshot::{
    GROUPS_MAX, LISTENERS_MAX, PROCESSES_MAX, SAMPLES_MAX, SCHEMA, Snapshot,
};
use serde::Deserialize;

use super::collect::continue_from;
use super::{Examination, Report};

/// A recording that is larger is not read and not continued: a day of `--watch` on a busy host.
const RECORDING_BYTES_MAX: u64 = 1 << 30;

/// The longest snapshot: every list full, with the longest names there are.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Namespaces that one recording may be of, as many as a host is asked for.
const NAMESPACES_MAX: usize = 1024;

/// Entries of lists without a bound of their own.
const OTHER_LISTS_MAX: usize = 4096;

/// Why a recording cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It cannot be opened or read.
    #[error("the recording {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It cannot be opened or written.
    #[error("the recording {} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What is to be recorded would go into a file that is something else.
    #[error("{} is there and is no recording: nothing is written over it, name another file", .0.display())]
    NotOurs(PathBuf),
    /// What is to be recorded would go behind half a line.
    #[error("the last line of {} is cut: remove it, or name another file", .0.display())]
    CutBefore(PathBuf),
    /// It is as large as a recording may be.
    #[error("the recording {} has reached {RECORDING_BYTES_MAX} bytes, which is as long as one may be", .0.display())]
    Full(PathBuf),
    /// There is nothing in it.
    #[error("the recording {} is empty", .0.display())]
    Empty(PathBuf),
    /// A line is not what a recording has.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl RecordingError {
    /// Whether the file that was named is the wrong one, and not the host in the way.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        !matches!(self, Self::Read { .. } | Self::Write { .. } | Self::Full(_))
    }
}

/// A file that snapshots are added to.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Recorder {
    /// Makes the file, or goes on with one that is a recording already.
    ///
    /// # Errors
    /// [`RecordingError`]; nothing was written then.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let fails = |source| RecordingError::Write {
            path: path.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(fails)?;
        let metadata = file.metadata().map_err(fails)?;
        let bytes = metadata.len();
        if metadata.is_file() && bytes > 0 {
            check_continuable(path, &mut file, bytes)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
        })
    }

    /// Adds one snapshot, in one write.
    ///
    /// # Errors
    /// [`RecordingError::Write`] or [`RecordingError::Full`].
    pub fn add(&mut self, snapshot: &Snapshot) -> Result<(), RecordingError> {
        let fails = |source| RecordingError::Write {
            path: self.path.clone(),
            source,
        };
        let mut line = serde_json::to_vec(snapshot).map_err(|error| fails(error.into()))?;
        line.push(b'\n');
        let bytes = self.bytes.saturating_add(line.len() as u64);
        if bytes > RECORDING_BYTES_MAX {
            return Err(RecordingError::Full(self.path.clone()));
        }
        self.file.write_all(&line).map_err(fails)?;
        self.bytes = bytes;
        Ok(())
    }
}

/// Its first line is a snapshot, and its last one is whole.
fn check_continuable(path: &Path, file: &mut File, bytes: u64) -> Result<(), RecordingError> {
    use std::io::{Seek as _, SeekFrom};
    let fails = |source| RecordingError::Read {
        path: path.to_owned(),
        source,
    };
    let mut last = [0];
    file.seek(SeekFrom::End(-1)).map_err(fails)?;
    file.read_exact(&mut last).map_err(fails)?;
    file.seek(SeekFrom::Start(0)).map_err(fails)?;
    let mut lines = Lines::new(path, &*file);
    match lines.next_line() {
        Ok(Some(line)) if snapshot(&line.bytes).is_ok() => {}
        Ok(_) | Err(RecordingError::Line { .. }) => {
            return Err(RecordingError::NotOurs(path.to_owned()));
        }
        Err(error) => return Err(error),
    }
    if last != *b"\n" {
        return Err(RecordingError::CutBefore(path.to_owned()));
    }
    if bytes >= RECORDING_BYTES_MAX {
        return Err(RecordingError::Full(path.to_owned()));
    }
    Ok(())
}

/// Judges a recording: the last snapshot of each namespace, with the trend of those before it.
///
/// # Errors
/// [`RecordingError`], with the line.
pub fn replay(path: &Path) -> Result<Report, RecordingError> {
    let file = File::open(path).map_err(|source| RecordingError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut lines = Lines::new(path, file);
    let mut last: Vec<Snapshot> = Vec::new();
    let mut report = Report::default();
    while let Some(line) = lines.next_line()? {
        if line.bytes.trim_ascii().is_empty() {
            continue;
        }
        match snapshot(&line.bytes) {
            Ok(snapshot) => keep(&mut last, snapshot).map_err(|what| lines.error(what))?,
            // A writer that was killed, or a disk that was full: what came before is whole.
            Err(_) if line.is_cut && !last.is_empty() => report.unseen.push(format!(
                "line {} of the recording, which is cut",
                lines.line
            )),
            Err(what) => return Err(lines.error(what)),
        }
    }
    if last.is_empty() {
        return Err(RecordingError::Empty(path.to_owned()));
    }
    report.namespaces = last.into_iter().map(Examination::of).collect();
    Ok(report)
}

fn keep(last: &mut Vec<Snapshot>, mut snapshot: Snapshot) -> Result<(), String> {
    // The process that stands for a namespace may have ended in between.
    let same = |one: &&mut Snapshot| match (one.namespace.inode, snapshot.namespace.inode) {
        (Some(one), Some(other)) => one == other,
        _ => one.namespace == snapshot.namespace,
    };
    if let Some(place) = last.iter_mut().find(same) {
        continue_from(&mut snapshot, place);
        *place = snapshot;
    } else if last.len() < NAMESPACES_MAX {
        last.push(snapshot);
    } else {
        return Err(format!("more than {NAMESPACES_MAX} network namespaces"));
    }
    Ok(())
}

/// What every version of the format begins with.
#[derive(Deserialize)]
struct Head {
    schema: String,
}

/// The snapshot on a line, or what is wrong with it.
fn snapshot(line: &[u8]) -> Result<Snapshot, String> {
    match serde_json::from_slice::<Head>(line) {
        Ok(head) if head.schema == SCHEMA => {}
        Ok(head) if head.schema.starts_with("lasthop.snapshot/") => {
            return Err(format!(
                "written by another version of lasthop ({}); this one reads {SCHEMA}",
                head.schema.escape_debug()
            ));
        }
        Ok(head) => {
            return Err(format!(
                "`{}` is no recording: `lasthop doctor --record FILE` writes one",
                head.schema.escape_debug()
            ));
        }
        Err(error) if error.is_data() => {
            return Err("no snapshot: `lasthop doctor --record FILE` writes some".to_owned());
        }
        Err(error) => return Err(told(&error)),
    }
    let snapshot: Snapshot = serde_json::from_slice(line).map_err(|error| told(&error))?;
    check_bounds(&snapshot)?;
    Ok(snapshot)
}

/// serde_json counts lines within the line, which says nothing.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("column {}: {}", error.column(), what.escape_debug())
}

/// Judging takes time that grows with the lists, with some of them by the square.
fn check_bounds(snapshot: &Snapshot) -> Result<(), String> {
    let holders = snapshot.plain_holders.as_ref();
    let lists = [
        ("groups", snapshot.groups.len(), GROUPS_MAX),
        ("listeners", snapshot.listeners.len(), LISTENERS_MAX),
        (
            "unix_listeners",
            snapshot.unix_listeners.len(),
            LISTENERS_MAX,
        ),
        ("unix_targets", snapshot.unix_targets.len(), OTHER_LISTS_MAX),
        ("processes", snapshot.processes.len(), PROCESSES_MAX),
        ("unseen", snapshot.unseen.len(), OTHER_LISTS_MAX),
        (
            "plain_holders.sample",
            holders.map_or(0, |holders| holders.sample.len()),
            OTHER_LISTS_MAX,
        ),
    ];
    let of_groups = snapshot.groups.iter().flat_map(|one| {
        [
            ("groups.recent", one.recent.len(), SAMPLES_MAX),
            ("groups.owners", one.owners.len(), OWNERS_MAX),
        ]
    });
    let tcp = snapshot.listeners.iter();
    let of_tcp = tcp.map(|one| ("listeners.owners", one.owners.len(), OWNERS_MAX));
    let unix = snapshot.unix_listeners.iter();
    let of_unix = unix.map(|one| ("unix_listeners.owners", one.owners.len(), OWNERS_MAX));
    match lists
        .into_iter()
        .chain(of_groups)
        .chain(of_tcp)
        .chain(of_unix)
        .find(|(_, length, max)| length > max)
    {
        Some((name, length, max)) => Err(format!("`{name}` has {length} entries, {max} at most")),
        None => Ok(()),
    }
}

struct Line {
    bytes: Vec<u8>,
    /// Without a line end: the last one, and perhaps not all of it.
    is_cut: bool,
}

struct Lines<'a, R> {
    path: &'a Path,
    reader: BufReader<io::Take<R>>,
    line: u64,
}

impl<'a, R: Read> Lines<'a, R> {
    fn new(path: &'a Path, reader: R) -> Self {
        Self {
            path,
            // One more byte than there may be shows that there are more.
            reader: BufReader::new(reader.take(RECORDING_BYTES_MAX + 1)),
            line: 0,
        }
    }

    fn error(&self, what: impl Into<String>) -> RecordingError {
        RecordingError::Line {
            path: self.path.to_owned(),
            line: self.line,
            what: what.into(),
        }
    }

    fn next_line(&mut self) -> Result<Option<Line>, RecordingError> {
        let mut bytes = Vec::new();
        let mut part = (&mut self.reader).take(LINE_BYTES_MAX + 1);
        part.read_until(b'\n', &mut bytes)
            .map_err(|source| RecordingError::Read {
                path: self.path.to_owned(),
                source,
            })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        let is_cut = bytes.last() != Some(&b'\n');
        if self.reader.get_ref().limit() == 0 {
            return Err(RecordingError::Full(self.path.to_owned()));
        }
        if bytes.len() as u64 > LINE_BYTES_MAX {
            return Err(self.error(format!("longer than {LINE_BYTES_MAX} bytes")));
        }
        Ok(Some(Line { bytes, is_cut }))
    }
}

#[cfg(test)]
mod tests;
