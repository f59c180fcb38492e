//! What every test file uses: the process under test, a strict client, scripted apps, temporary directories.
//!
//! Nothing is shared between two tests and nothing sleeps: whoever waits, waits for an event, at most [`PATIENCE`] long.

pub(crate) mod address;
pub(crate) mod app;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod crowd;
pub(crate) mod doctor;
pub(crate) mod gate;
pub(crate) mod held;
pub(crate) mod lasthop;
pub(crate) mod lines;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod message;
pub(crate) mod misbehave;
pub(crate) mod namespace;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod prometheus;
pub(crate) mod rivals;
pub(crate) mod tempdir;
pub(crate) mod terminal;
pub(crate) mod wire;
pub(crate) mod workers;

use std::time::Duration;

pub(crate) use address::Address;
pub(crate) use app::{App, Conn, Place};
pub(crate) use client::{Answer, Client};
pub(crate) use crowd::{After, Crowd, CrowdApp};
pub(crate) use gate::Gate;
pub(crate) use lasthop::{Lasthop, Setup};
pub(crate) use message::{Framing, Head};
pub(crate) use ports::Watched;
pub(crate) use tempdir::TempDir;
pub(crate) use wire::Ending;

/// The longest that anything in this suite waits for anything. Far above what a slow machine needs: reaching it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a test looks on to be convinced that something does *not* happen.
pub(crate) const QUIET: Duration = Duration::from_millis(150);

/// `n` bytes that repeat only every 65,521 (a prime, so that a block that is lost, doubled or shifted shows).
/// `peers/pattern.py` and `peers/pattern.mjs` make the same bytes.
pub(crate) fn pattern(n: usize) -> Vec<u8> {
    let block: Vec<u8> = (0..65_521u64)
        .map(|i| ((i * i * 31 + i * 7 + (i >> 3)) & 255) as u8)
        .collect();
    let mut bytes = Vec::with_capacity(n + block.len());
    while bytes.len() < n {
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(n);
    bytes
}

/// Bytes as text for a failure message, shortened.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.len() <= 600 {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(600).collect();
    format!("{start:?}… ({} bytes)", bytes.len())
}
