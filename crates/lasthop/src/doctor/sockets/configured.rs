//! Which Unix sockets the proxies that run here are configured to connect to.
//!
//! Reads the file that a running proxy was started with and the files that belong to it, and no others: a file that lies
//! beside them may be of use to nobody. Only files that this process sees as the proxy does: not those of a container.
//! Anybody may call a process `nginx` and write a path behind its name, so nothing but regular files is opened.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lasthop_kernel::process::{self, ProcessIdentity};
use lasthop_kernel::{namespace, regular};
use lasthop_ports::snapshot::Program;

use super::spelling::{fits, spelled};
use crate::config::{Config, DEFAULT_PATH, Target};
use crate::doctor::as_root;
use crate::doctor::owners::program;

/// Files of one proxy that are read.
const FILES_MAX: usize = 256;

/// Bytes of each file that are read; longer ones are left out.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Entries of a directory that a pattern is compared with.
const ENTRIES_MAX: usize = 4096;

/// Processes that are looked at: those that are called like a proxy.
const PROCESSES_MAX: usize = 64;

/// Names of processes that may be a proxy whose configuration can be read here.
const NAMES: [&str; 8] = [
    "nginx",
    "openresty",
    "angie",
    "haproxy",
    "caddy",
    "apache2",
    "httpd",
    "lasthop",
];

/// A user, as far as permission goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

/// A socket that some configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Configured {
    pub(super) path: PathBuf,
    /// The file that names it.
    pub(super) named_by: PathBuf,
    /// Who connects to it, where that runs.
    pub(super) user: Option<User>,
}

/// A proxy that runs here.
struct Running {
    program: Program,
    /// Of its first process, which the others are children of.
    arguments: Vec<String>,
    /// Of a process that does the work, which is not root where there is one.
    user: User,
}

/// All of them; what could not be read is added to `unseen`. `config` is a file of lasthop's own that counts whether it
/// runs or not; without one that of the system, if it can be read.
pub(super) fn sockets(config: Option<&Path>, unseen: &mut Vec<String>) -> Vec<Configured> {
    let running = running();
    let mut all = Vec::new();
    let mut of_lasthop: BTreeSet<PathBuf> = BTreeSet::new();
    of_lasthop.insert(config.unwrap_or(Path::new(DEFAULT_PATH)).to_owned());
    let mut lasthop_user = None;
    for proxy in &running {
        if proxy.program == Program::Lasthop {
            of_lasthop.extend(file_of_lasthop(&proxy.arguments));
            lasthop_user = Some(proxy.user.clone());
            continue;
        }
        let mut files = Files {
            proxy,
            root: None,
            seen: BTreeSet::new(),
            unseen,
        };
        for file in main_files(proxy.program, &proxy.arguments) {
            files.read(&file, &mut all);
        }
    }
    for file in of_lasthop.into_iter().filter(|file| file.is_file()) {
        // A file that is refused is the business of `lasthop check`.
        let Ok(text) = text(&file) else {
            continue;
        };
        let Ok(config) = Config::from_toml(&file.display().to_string(), &text) else {
            continue;
        };
        let targets = config.upstreams.into_iter().flat_map(|one| one.targets);
        all.extend(targets.filter_map(|target| match target {
            Target::Unix(path) => Some(Configured {
                path,
                named_by: file.clone(),
                user: lasthop_user.clone(),
            }),
            _ => None,
        }));
    }
    all
}

/// `lasthop run FILE`.
fn file_of_lasthop(arguments: &[String]) -> Option<PathBuf> {
    let [_, command, file, ..] = arguments else {
        return None;
    };
    let is_file = command == "run" && Path::new(file).is_absolute();
    is_file.then(|| PathBuf::from(file))
}

fn running() -> Vec<Running> {
    let mut all: Vec<Running> = Vec::new();
    for identity in candidates() {
        if !is_of_this_host(&identity) {
            continue;
        }
        let user = User {
            uid: identity.uid,
            gid: identity.gid,
            groups: identity.groups.clone(),
        };
        let program = program(&identity);
        match all.iter_mut().find(|one| one.program == program) {
            Some(known) if known.user.uid == 0 => known.user = user,
            Some(_) => {}
            None => all.push(Running {
                program,
                arguments: identity.arguments,
                user,
            }),
        }
    }
    all
}

/// Processes called like a proxy, the oldest first as far as numbers tell.
fn candidates() -> Vec<ProcessIdentity> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_named = |pid: &u32| {
        let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        NAMES.iter().any(|one| one.as_bytes() == name.trim_ascii())
    };
    let mut pids: Vec<u32> = pids.filter(is_named).collect();
    pids.sort_unstable();
    pids.truncate(PROCESSES_MAX);
    pids.into_iter()
        .filter_map(|pid| process::identity(pid).ok())
        .collect()
}

/// Whether a process is in our network namespace and in no container, so that its paths are paths here. Mount namespaces
/// do not say: a service with `PrivateTmp` has its own and sees the same files all the same. A container that shares the
/// network namespace of the host is given away by its control group.
fn is_of_this_host(identity: &ProcessIdentity) -> bool {
    const CONTAINERS: [&str; 6] = [
        "docker",
        "kubepods",
        "containerd",
        "libpod",
        "lxc",
        "machine.slice",
    ];
    if namespace::is_own(identity.pid) != Some(true) {
        return false;
    }
    let cgroup = identity.cgroup.as_deref().unwrap_or_default();
    !CONTAINERS.iter().any(|name| cgroup.contains(name))
}

/// The files that a proxy was started with, or those that it takes where none is named.
fn main_files(program: Program, arguments: &[String]) -> Vec<PathBuf> {
    let (flags, usual): (&[&str], &[&str]) = match program {
        Program::Nginx => (
            &["-c"],
            &[
                "/etc/nginx/nginx.conf",
                "/usr/local/nginx/conf/nginx.conf",
                "/usr/local/openresty/nginx/conf/nginx.conf",
            ],
        ),
        Program::HaProxy => (&["-f"], &["/etc/haproxy/haproxy.cfg"]),
        Program::Caddy => (&["--config", "-c"], &["/etc/caddy/Caddyfile"]),
        Program::Apache => (
            &["-f"],
            &["/etc/apache2/apache2.conf", "/etc/httpd/conf/httpd.conf"],
        ),
        _ => return Vec::new(),
    };
    // nginx writes its title over its arguments, all in one: `nginx: master process nginx -c /etc/nginx.conf`.
    let words: Vec<&str> = arguments.iter().flat_map(|one| one.split(' ')).collect();
    let mut named: Vec<PathBuf> = Vec::new();
    for (position, word) in words.iter().enumerate() {
        let (flag, value) = word.split_once('=').unwrap_or((word, ""));
        let value = if value.is_empty() {
            words.get(position + 1).copied().unwrap_or_default()
        } else {
            value
        };
        if flags.contains(&flag) {
            named.push(value.into());
        }
    }
    if named.is_empty() {
        let usual = usual.iter().map(PathBuf::from);
        named.extend(usual.filter(|file| file.exists()).take(1));
    }
    // One that is relative is so to a directory that is not known here.
    named.retain(|file| file.is_absolute());
    named
}

/// The reading of one proxy's files.
struct Files<'a> {
    proxy: &'a Running,
    root: Option<PathBuf>,
    seen: BTreeSet<PathBuf>,
    unseen: &'a mut Vec<String>,
}

impl Files<'_> {
    /// Reads a file and those that belong to it, in no depth that `FILES_MAX` would not bound.
    fn read(&mut self, main: &Path, all: &mut Vec<Configured>) {
        let mut waiting = vec![main.to_owned()];
        self.root = main.parent().map(Path::to_owned);
        while let Some(file) = waiting.pop() {
            if self.seen.len() >= FILES_MAX || !self.seen.insert(file.clone()) {
                continue;
            }
            let text = match text(&file) {
                Ok(text) => text,
                Err(error) => {
                    self.note(&file, &error);
                    continue;
                }
            };
            let spelled = spelled(self.proxy.program, &text);
            if let Some(root) = spelled.root {
                self.root = Some(root.into());
            }
            for path in spelled.sockets {
                all.push(Configured {
                    path: path.into(),
                    named_by: file.clone(),
                    user: Some(self.proxy.user.clone()),
                });
            }
            for pattern in spelled.includes {
                waiting.extend(self.included(&file, &pattern));
            }
        }
    }

    fn note(&mut self, file: &Path, error: &io::Error) {
        let file = file.display();
        self.unseen
            .push(format!("what {file} connects to: {error}{}", as_root()));
    }

    fn included(&self, by: &Path, pattern: &str) -> Vec<PathBuf> {
        // Caddy's are relative to the file, those of the others to the first one.
        let base = match self.proxy.program {
            Program::Caddy => by.parent(),
            _ => self.root.as_deref(),
        };
        let path = base.unwrap_or(Path::new("/")).join(pattern);
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Vec::new();
        };
        let name = name.to_string_lossy();
        if !name.contains(['*', '?']) {
            return if path.is_file() {
                vec![path]
            } else {
                Vec::new()
            };
        }
        let Ok(entries) = std::fs::read_dir(directory) else {
            return Vec::new();
        };
        entries
            .take(ENTRIES_MAX)
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| {
                let fits = |one: &std::ffi::OsStr| fits(&name, &one.to_string_lossy());
                path.file_name().is_some_and(fits) && path.is_file()
            })
            .collect()
    }
}

/// Nothing but a file: whoever calls his process nginx may name a pipe, which would be waited on for ever.
fn text(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut reader = regular::open(file)?.take(FILE_BYTES_MAX + 1);
    reader.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_says_with_which_file_it_was_started() {
        let of = |program, line: &str| {
            let arguments: Vec<String> = line.split('|').map(str::to_owned).collect();
            main_files(program, &arguments)
        };
        for (program, line, file) in [
            (
                Program::Nginx,
                "nginx: master process /usr/sbin/nginx -c /tmp/n.conf -g daemon off;",
                "/tmp/n.conf",
            ),
            (Program::HaProxy, "haproxy|-W|-f|/tmp/h.cfg", "/tmp/h.cfg"),
            (Program::Caddy, "caddy|run|--config=/tmp/C", "/tmp/C"),
            (Program::Caddy, "caddy|run|--config|/tmp/C", "/tmp/C"),
            (Program::Apache, "httpd|-f|/tmp/a.conf", "/tmp/a.conf"),
        ] {
            assert_eq!(of(program, line), [PathBuf::from(file)], "{line}");
        }
        assert!(of(Program::Nginx, "nginx|-c|relative.conf").is_empty());
        assert!(of(Program::Java, "java").is_empty());
    }

    #[test]
    fn what_is_no_file_is_not_read_and_so_not_waited_for() {
        for (path, kind) in [
            ("/dev/zero", io::ErrorKind::InvalidInput),
            ("/", io::ErrorKind::IsADirectory),
        ] {
            assert_eq!(text(Path::new(path)).unwrap_err().kind(), kind, "{path}");
        }
    }

    #[test]
    fn lasthop_names_its_file() {
        let of = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            file_of_lasthop(&words)
        };
        assert_eq!(of("lasthop run /a.toml"), Some("/a.toml".into()));
        assert_eq!(of("lasthop run --listen a"), None);
        assert_eq!(of("lasthop doctor /a"), None);
    }
}
