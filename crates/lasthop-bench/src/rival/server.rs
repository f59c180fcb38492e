//! A proxy's process as a guard: started on a free port, awaited until it accepts, ended on drop.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lasthop_kernel::process::{self, Signal};
use lasthop_kernel::sock_diag;

use crate::error::BenchError;

/// Attempts with another port each, in case somebody takes the free one first.
const START_ATTEMPTS_MAX: u32 = 3;
/// How long it may take until it accepts, and to end once told to.
const DEADLINE: Duration = Duration::from_secs(10);
/// And for each of many that start at once: a hundred times what its own work takes.
const DEADLINE_EACH: Duration = Duration::from_secs(1);
/// Between two looks at a process that starts or ends.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// Lines of its standard error that an error shows.
const COMPLAINT_LINES_MAX: usize = 10;

/// What starts a server: its address and the command.
pub(crate) type Start = (SocketAddr, Command);

/// A running server; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    /// Where its standard error goes.
    complaints: PathBuf,
}

impl Server {
    /// Starts what `prepare` makes, each time with another address, until it accepts connections. Its standard error
    /// goes to a file in `directory`.
    pub(crate) fn start_on_a_free_port(
        name: &'static str,
        directory: &Path,
        mut prepare: impl FnMut() -> Result<Start, BenchError>,
    ) -> Result<Self, BenchError> {
        let complaints = directory.join(format!("{name}.stderr"));
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::start(name, prepare()?, complaints.clone()) {
                Err(BenchError::Rival { .. }) if attempts < START_ATTEMPTS_MAX => {}
                done => return done,
            }
        }
    }

    /// Starts one more on an address that others of them serve, and does not wait for it: see [`await_beside`].
    pub(super) fn launch(
        name: &'static str,
        start: Start,
        complaints: PathBuf,
    ) -> Result<Self, BenchError> {
        let (address, mut command) = start;
        let stderr = File::create(&complaints)
            .map_err(BenchError::host(format!("write {}", complaints.display())))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        // The guard ends it; this is for a harness that is killed and drops no guard.
        let child = process::die_with_parent(&mut command)
            .spawn()
            .map_err(BenchError::host(format!("start {name}")))?;
        Ok(Self {
            child,
            address,
            complaints,
        })
    }

    fn start(name: &'static str, start: Start, complaints: PathBuf) -> Result<Self, BenchError> {
        let address = start.0;
        let mut server = Self::launch(name, start, complaints)?;
        let deadline = Instant::now() + DEADLINE;
        let failed = |server: &Self, what| BenchError::Rival {
            name,
            what,
            complaints: server.complaints(),
        };
        // They announce nothing that all have in common, so the only way to know is to try.
        while TcpStream::connect(address).is_err() {
            if server.has_ended() {
                return Err(failed(&server, "ended before it served"));
            }
            if Instant::now() > deadline {
                return Err(failed(&server, "does not accept connections"));
            }
            thread::sleep(LOOK_INTERVAL);
        }
        // The address may have been taken by somebody else, who answered in its place.
        if server.has_ended() {
            return Err(failed(&server, "ended before it served"));
        }
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process that was started; it may have children.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it said on its standard error, each line on a line of its own, indented; empty if nothing.
    pub(crate) fn complaints(&self) -> String {
        last_lines(&self.complaints)
    }

    /// All that it said on its standard error.
    pub(crate) fn said(&self) -> String {
        // It explains a result; without it there is still the result.
        let bytes = fs::read(&self.complaints).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Tells it to end, and does not wait for it.
    pub(super) fn tell_to_end(&self) {
        // The error would be that it has ended already.
        let _ = process::signal(self.child.id(), Signal::Terminate);
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first: nginx' worker lives on when its master is killed, and ends when its master is told to.
        self.tell_to_end();
        let deadline = Instant::now() + DEADLINE;
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(LOOK_INTERVAL);
        }
        // Both fail only if it has been waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until as many sockets listen on the address of `servers` as there are of them: that connections are accepted there
/// would say nothing about the newcomers.
pub(super) fn await_beside(name: &'static str, servers: &mut [Server]) -> Result<(), BenchError> {
    let count = servers.len();
    let each = u32::try_from(count).unwrap_or(u32::MAX);
    let deadline = Instant::now() + DEADLINE + DEADLINE_EACH * each;
    while listeners_on(servers[0].address)? < count {
        let late = Instant::now() > deadline;
        let failed = |server: &Server, what| BenchError::Rival {
            name,
            what,
            complaints: server.complaints(),
        };
        if let Some(ended) = servers
            .iter_mut()
            .find_map(|one| one.has_ended().then_some(&*one))
        {
            return Err(failed(ended, "ended before it served"));
        }
        if late {
            return Err(failed(
                &servers[count - 1],
                "does not listen beside the others",
            ));
        }
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

/// Sockets that listen on exactly this address.
fn listeners_on(address: SocketAddr) -> Result<usize, BenchError> {
    // Not from /proc/net/tcp, which tells every connection of the host as well.
    let listeners = sock_diag::tcp_listeners(address.port())
        .map_err(|error| BenchError::Failed(format!("{address} is not seen: {error}")))?;
    Ok(listeners
        .iter()
        .filter(|one| one.address == address)
        .count())
}

/// The end of a file, each line on a line of its own, indented; empty if there is nothing.
fn last_lines(path: &Path) -> String {
    // The file is there to explain another failure; without it that failure is still reported.
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(COMPLAINT_LINES_MAX);
    lines[first..]
        .iter()
        .map(|line| format!("\n    {line}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lasthop::demo::scratch::Scratch;

    #[test]
    fn a_listener_is_counted_on_its_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(listeners_on(address).unwrap(), 1);
        drop(listener);
        assert_eq!(listeners_on(address).unwrap(), 0);
    }

    #[test]
    fn a_server_that_ends_at_once_is_an_error_with_its_words() {
        let scratch = Scratch::new().unwrap();
        let error = Server::start_on_a_free_port("broken", scratch.path(), || {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "echo unknown directive >&2; exit 1"]);
            Ok((super::super::free_address()?, command))
        })
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "broken ended before it served\n    unknown directive"
        );
    }
}
