//! The app of the benchmark: [`lasthop::demo::app`] in a process of its own, so that it can be pinned and is not counted.
//!
//! Both ends are here: `lasthop-bench app`, the hidden command that serves until its standard input ends (so it never
//! outlives the harness, however that ends), and [`AppProcess`], the guard that starts it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lasthop::demo::app::App;

use crate::error::BenchError;

/// Serves until the standard input ends. Prints its TCP address first.
pub(crate) fn serve(body_bytes: usize, directory: &Path) -> Result<(), BenchError> {
    let app = App::start(body_bytes, directory).map_err(BenchError::host("start the app"))?;
    let mut out = io::stdout();
    writeln!(out, "{}", app.tcp_address())
        .and_then(|()| out.flush())
        .map_err(BenchError::host("say where the app listens"))?;
    let mut until_the_end = [0; 1];
    // Nothing is ever sent; an error is an end too.
    let _ = io::stdin().read(&mut until_the_end);
    Ok(())
}

/// A running app; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct AppProcess {
    child: Child,
    tcp: SocketAddr,
    unix: PathBuf,
}

impl AppProcess {
    /// Starts the app with its socket in `directory`.
    pub(crate) fn start(body_bytes: usize, directory: &Path) -> Result<Self, BenchError> {
        let attempt = || BenchError::host("start the app");
        let binary = std::env::current_exe().map_err(attempt())?;
        let mut child = Command::new(binary)
            .arg("app")
            .arg("--bytes")
            .arg(body_bytes.to_string())
            .arg("--directory")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(attempt())?;
        let mut line = String::new();
        let stdout = child.stdout.take();
        let mut app = Self {
            child,
            tcp: SocketAddr::from(([127, 0, 0, 1], 0)),
            unix: directory.join("app.sock"),
        };
        if let Some(stdout) = stdout {
            // It prints one line and then nothing; where it ends instead, the line is empty.
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(attempt())?;
        }
        app.tcp = line
            .trim()
            .parse()
            .map_err(|_| attempt()(io::Error::other("it ended before it served")))?;
        Ok(app)
    }

    pub(crate) fn tcp_address(&self) -> SocketAddr {
        self.tcp
    }

    pub(crate) fn unix_path(&self) -> &Path {
        &self.unix
    }
}

impl Drop for AppProcess {
    fn drop(&mut self) {
        // Closing its input lets it remove its socket; killing is for an app that hangs, which the wait would show.
        drop(self.child.stdin.take());
        let _ = self.child.wait(); // fails only if it was waited for already
    }
}
