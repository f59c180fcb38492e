//! What the access log promises, tried on real files and pipes: `formats` what a line says,
//! `writing` where it goes, and what happens when it cannot.

mod formats;
mod writing;

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use super::output::Output;
use super::*;
use crate::config::AccessFormat;

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A log that writes into `sink`.
fn into(sink: impl Into<OwnedFd>, format: AccessFormat) -> AccessWriter {
    let sink = File::from(sink.into());
    AccessWriter::spawn(Output::new(sink, None), format).unwrap()
}

/// An ordinary request for `uri`.
fn request<'a>(id: RequestId, uri: &'a str) -> RequestLine<'a> {
    RequestLine {
        id,
        received_id: None,
        client: Some([192, 0, 2, 7].into()),
        method: b"GET",
        target: uri.as_bytes(),
        host: b"example.com",
        version: (1, 1),
        user_agent: b"curl/8.14.1",
        referer: b"",
        listener: "web",
        time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_793_709_296_123_456),
    }
}

/// Its ordinary end.
fn outcome() -> Outcome<'static> {
    Outcome {
        status: Some(200),
        route: Some("site"),
        upstream: Some("app"),
        target: Some(&"127.0.0.1:3000"),
        source: Some(([127, 0, 0, 1], 41_234).into()),
        reused: Some(true),
        attempts: 1,
        connect: Some(Duration::from_micros(3)),
        wait: Some(Duration::from_micros(1_190)),
        total: Duration::from_micros(1_234),
        received_bytes: 152,
        sent_bytes: 4_321,
        ..Outcome::default()
    }
}

/// A directory of this test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("lasthop-access-{}-{serial}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in the temporary directory harms no other test.
        let _ = fs::remove_dir_all(&self.0);
    }
}
