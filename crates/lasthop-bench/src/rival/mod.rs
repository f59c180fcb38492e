//! The proxies that are compared: how each is found, named, started and ended.
//!
//! All listen on one TCP address of 127.0.0.1 and forward to one upstream, with one worker unless two are compared. The configuration of each is
//! a file beside its module, readable as it is. A proxy is measured as its process and the descendants of that process,
//! which covers nginx' master and worker with the same rule as the others. Where one process is not enough, they are a
//! [`fleet`].

mod caddy;
mod envoy;
pub(crate) mod fleet;
mod haproxy;
mod lasthop;
mod nginx;
mod room;
mod server;

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(crate) use room::Room;
pub(crate) use server::Server;

use crate::error::BenchError;
use crate::upstream::Upstream;

/// A proxy that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    Lasthop,
    Nginx,
    Haproxy,
    Envoy,
    Caddy,
}

impl Rival {
    /// Ours first, then by how common they are: the order of rounds and of rows.
    pub(crate) const ALL: [Self; 5] = [
        Self::Lasthop,
        Self::Nginx,
        Self::Haproxy,
        Self::Envoy,
        Self::Caddy,
    ];

    /// The name of its binary, and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lasthop => "lasthop",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Caddy => "caddy",
        }
    }

    /// About how long it takes to start and to end, all processes, where nothing is open any more.
    pub(crate) fn start_duration(self) -> Duration {
        let milliseconds = match self {
            Self::Lasthop | Self::Nginx | Self::Haproxy => 60,
            Self::Envoy => 1200,
            Self::Caddy => 400,
        };
        Duration::from_millis(milliseconds)
    }

    /// The name of its configuration file, beside its module and in a run.
    pub(crate) fn configuration_name(self) -> &'static str {
        match self {
            Self::Lasthop => "lasthop.toml",
            Self::Nginx => "nginx.conf",
            Self::Haproxy => "haproxy.cfg",
            Self::Envoy => "envoy.yaml",
            Self::Caddy => "Caddyfile",
        }
    }

    /// What makes its binary say its version.
    fn version_argument(self) -> &'static str {
        match self {
            Self::Lasthop | Self::Envoy => "--version",
            Self::Nginx | Self::Haproxy => "-v",
            Self::Caddy => "version",
        }
    }
}

/// A proxy that is on this host.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) rival: Rival,
    pub(crate) binary: PathBuf,
    /// The first line of what it says about its version.
    pub(crate) version: String,
}

/// Whether the rivals set the fields that lasthop always sets (Host unchanged, X-Forwarded-*, X-Real-IP, Via).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fields {
    /// The same as lasthop.
    Same,
    /// None that they can leave out, as is cheapest.
    Fewest,
}

/// What a proxy is set up for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) upstream: &'a Upstream,
    pub(crate) fields: Fields,
    /// Threads or processes that serve.
    pub(crate) workers: usize,
    pub(crate) room: Room,
    /// Where its files go.
    pub(crate) directory: &'a Path,
}

impl Found {
    /// Looks for `rival` at `path`; without one, for lasthop beside this program and for the others as in
    /// [`Self::look_for`].
    pub(crate) fn look_for_by_default(
        rival: Rival,
        path: Option<&PathBuf>,
    ) -> Result<Self, String> {
        let path = match (path, rival) {
            (Some(path), _) => Some(path.clone()),
            (None, Rival::Lasthop) => {
                let this = std::env::current_exe()
                    .map_err(|error| format!("lasthop: our own binary is not found: {error}"))?;
                Some(this.with_file_name(rival.name()))
            }
            (None, _) => None,
        };
        Self::look_for(rival, path.as_deref())
    }

    /// Looks for `rival` at `path`, or else in `PATH` and `/usr/sbin`; says in words where it looked in vain.
    pub(crate) fn look_for(rival: Rival, path: Option<&Path>) -> Result<Self, String> {
        let name = rival.name();
        let binary = match path {
            Some(path) if path.is_file() => path.to_owned(),
            Some(path) => return Err(format!("{name}: no file {}", path.display())),
            None => in_path(name).ok_or_else(|| format!("{name}: not in PATH nor in /usr/sbin"))?,
        };
        let version = first_line_of(&binary, rival.version_argument())
            .map_err(|error| format!("{name}: cannot run {}: {error}", binary.display()))?;
        // Envoy begins with the path that it was started with, which is this host's affair.
        let version = match version.strip_prefix(&*binary.to_string_lossy()) {
            Some(rest) => format!("{name} {}", rest.trim_start()),
            None => version,
        };
        Ok(Self {
            rival,
            binary,
            version,
        })
    }

    /// Starts it on a free port of 127.0.0.1 and waits until it accepts connections.
    pub(crate) fn start(&self, setup: &Setup<'_>) -> Result<Server, BenchError> {
        let command = match self.rival {
            Rival::Lasthop => lasthop::command,
            Rival::Nginx => nginx::command,
            Rival::Haproxy => haproxy::command,
            Rival::Envoy => envoy::command,
            Rival::Caddy => caddy::command,
        };
        Server::start_on_a_free_port(self.rival.name(), setup.directory, || {
            let address = free_address()?;
            Ok((address, command(&self.binary, address, setup)?))
        })
    }
}

/// The program called `name` in `PATH`, or in `/usr/sbin`, which an ordinary user's `PATH` often lacks.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// The first line with something in it that `binary argument` prints: nginx does so on its standard error, the others on
/// the output, Envoy after an empty line.
pub(crate) fn first_line_of(binary: &Path, argument: &str) -> io::Result<String> {
    let said = Command::new(binary).arg(argument).output()?;
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    Ok(line.unwrap_or("unknown version").to_owned())
}

/// A port of 127.0.0.1 that was free a moment ago. The rivals cannot say which port they got for port 0; should somebody
/// else take it in between, they fail to start and are started again with another.
fn free_address() -> Result<SocketAddr, BenchError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(BenchError::host("find a free port on 127.0.0.1"))
}

/// Fills in a template and writes it to `name` in the directory of `setup`.
fn write_configuration(
    template: &str,
    words: &[(&str, String)],
    setup: &Setup<'_>,
    name: &str,
) -> Result<PathBuf, BenchError> {
    let mut text = template.to_owned();
    if setup.fields == Fields::Same {
        text = text.replace("#same: ", "");
    }
    let text = fill_in(&text, words);
    let path = setup.directory.join(name);
    fs::write(&path, text).map_err(BenchError::host(format!("write {}", path.display())))?;
    Ok(path)
}

/// A template with its words in their places.
pub(crate) fn fill_in(template: &str, words: &[(&str, String)]) -> String {
    words
        .iter()
        .fold(template.to_owned(), |text, (word, value)| {
            text.replace(word, value)
        })
}

#[cfg(test)]
mod tests;
