//! The proxies that are compared: how each is found, named, started and ended.
//!
//! All listen on one TCP address of 127.0.0.1 and forward to one upstream with one worker. The configuration of a rival
//! is a file beside its module, readable as it is; what is right for lasthop is its default. A proxy is measured as its
//! process and the children of that process, which covers nginx' master and worker with the same rule as the others.

mod haproxy;
mod lasthop;
mod nginx;
mod process;

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::BenchError;
use crate::upstream::Upstream;

/// A proxy that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    Lasthop,
    Nginx,
    Haproxy,
}

impl Rival {
    /// Ours first, then by how common they are: the order of rounds and of rows.
    pub(crate) const ALL: [Self; 3] = [Self::Lasthop, Self::Nginx, Self::Haproxy];

    /// The name of its binary, and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lasthop => "lasthop",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
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
    /// As cheap as they can be.
    None,
    /// The same as lasthop.
    Same,
}

/// A running proxy; dropping it ends its processes.
#[derive(Debug)]
pub(crate) enum Running {
    Lasthop(::lasthop::demo::proxy::Proxy),
    Rival(process::Server),
}

impl Running {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Lasthop(proxy) => proxy.address(),
            Self::Rival(server) => server.address(),
        }
    }

    /// The process that was started; it may have children.
    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Lasthop(proxy) => proxy.pid(),
            Self::Rival(server) => server.pid(),
        }
    }
}

impl Found {
    /// Looks for `rival` at `path`, or else in `PATH` and `/usr/sbin`; says in words where it looked in vain.
    pub(crate) fn look_for(rival: Rival, path: Option<&Path>) -> Result<Self, String> {
        let name = rival.name();
        let binary = match path {
            Some(path) if path.is_file() => path.to_owned(),
            Some(path) => return Err(format!("{name}: no file {}", path.display())),
            None => in_path(name).ok_or_else(|| format!("{name}: not in PATH nor in /usr/sbin"))?,
        };
        let argument = match rival {
            Rival::Lasthop => "--version",
            Rival::Nginx | Rival::Haproxy => "-v",
        };
        let version = first_line_of(&binary, argument)
            .map_err(|error| format!("{name}: cannot run {}: {error}", binary.display()))?;
        Ok(Self {
            rival,
            binary,
            version,
        })
    }

    /// Starts it in front of `upstream`, its files in `directory`, and waits until it accepts connections.
    pub(crate) fn start(
        &self,
        upstream: &Upstream,
        fields: Fields,
        directory: &Path,
    ) -> Result<Running, BenchError> {
        match self.rival {
            Rival::Lasthop => lasthop::start(&self.binary, upstream),
            Rival::Nginx => nginx::start(&self.binary, upstream, fields, directory),
            Rival::Haproxy => haproxy::start(&self.binary, upstream, fields, directory),
        }
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

/// The first line that `binary argument` prints: nginx does so on its standard error, the others on the output.
pub(crate) fn first_line_of(binary: &Path, argument: &str) -> io::Result<String> {
    let said = Command::new(binary).arg(argument).output()?;
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// A port of 127.0.0.1 that was free a moment ago. These rivals cannot say which port they got for port 0; should
/// somebody else take it in between, they fail to start and are started again with another.
fn free_address() -> Result<SocketAddr, BenchError> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map_err(BenchError::host("find a free port on 127.0.0.1"))
}

/// Fills in a template and writes it to `directory/name`.
fn write_configuration(
    template: &str,
    words: [(&str, &str); 3],
    fields: Fields,
    directory: &Path,
    name: &str,
) -> Result<PathBuf, BenchError> {
    let mut text = template.to_owned();
    if fields == Fields::Same {
        text = text.replace("#same: ", "");
    }
    for (word, value) in words {
        text = text.replace(word, value);
    }
    let path = directory.join(name);
    fs::write(&path, text).map_err(BenchError::host(format!("write {}", path.display())))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::lasthop::demo::scratch::Scratch;

    const WORDS: [(&str, &str); 3] = [
        ("@LISTEN@", "127.0.0.1:1"),
        ("@UPSTREAM@", "127.0.0.1:2"),
        ("@DIRECTORY@", "/d"),
    ];

    #[test]
    fn no_word_of_a_template_is_left_open() {
        let scratch = Scratch::new().unwrap();
        for template in [nginx::TEMPLATE, haproxy::TEMPLATE] {
            for fields in [Fields::None, Fields::Same] {
                let path =
                    write_configuration(template, WORDS, fields, scratch.path(), "x").unwrap();
                let text = fs::read_to_string(path).unwrap();
                assert!(!text.contains('@'), "{text}");
                let sets_fields = text
                    .lines()
                    .any(|line| line.contains("X-Real-IP") && !line.trim_start().starts_with('#'));
                assert_eq!(sets_fields, fields == Fields::Same);
            }
        }
    }

    #[test]
    fn a_proxy_that_is_not_there_is_named_with_its_path() {
        let missing =
            Found::look_for(Rival::Lasthop, Some(Path::new("/nonexistent/lasthop"))).unwrap_err();
        assert_eq!(missing, "lasthop: no file /nonexistent/lasthop");
    }
}
