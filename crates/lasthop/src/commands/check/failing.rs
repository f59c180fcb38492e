//! What this host, as it is now, would not let happen.
//!
//! Looks at directories and permission bits, opens nothing and creates nothing. None of it is a reason to refuse the file:
//! a service manager makes directories, and an application its socket, after this was asked.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use lasthop_kernel::identity::{effective_uid, named_user};

use super::permission::{self, SEARCH, WRITE};
use super::socket_file::SocketFile;
use crate::config::{AccessLog, Config, ListenAddress, Target, Upstream};

/// A sentence each, in the order of the file.
pub(super) fn failing(config: &Config) -> Vec<String> {
    let access = match &config.log.access {
        AccessLog::Off | AccessLog::Stdout => None,
        AccessLog::File(path) => {
            cannot_append(path).map(|why| format!("access log {}: {why}", path.display()))
        }
    };
    let admin = config
        .admin
        .as_ref()
        .and_then(|admin| cannot_listen(&admin.address))
        .map(|why| format!("admin address: {why}"));
    let listeners = config.listeners.iter().filter_map(|listener| {
        cannot_listen(&listener.address).map(|why| format!("listener {}: {why}", listener.name))
    });
    let targets = config.upstreams.iter().flat_map(unusable_targets);
    access
        .into_iter()
        .chain(admin)
        .chain(listeners)
        .chain(targets)
        .collect()
}

fn unusable_targets(upstream: &Upstream) -> impl Iterator<Item = String> {
    upstream.targets.iter().filter_map(|target| {
        let Target::Unix(path) = target else {
            return None;
        };
        let file = SocketFile::look(path);
        file.is_unusable()
            .then(|| format!("upstream {}: {target}: {file}", upstream.name))
    })
}

/// Why no socket file can be made there. Whether a TCP address is free is known only by opening it.
fn cannot_listen(address: &ListenAddress) -> Option<String> {
    match address {
        ListenAddress::Tcp(_) => None,
        ListenAddress::Unix { path, .. } => cannot_create(path, "to listen in"),
    }
}

/// Why nothing can be written to the end of a file, which may not be there yet.
fn cannot_append(path: &Path) -> Option<String> {
    let us = || named_user(effective_uid());
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Some("is a directory".to_owned()),
        Ok(found) if found.file_type().is_socket() => Some("is a socket".to_owned()),
        Ok(found) => {
            (!permission::allows(&found, WRITE)).then(|| format!("{} may not write to it", us()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => cannot_create(path, "for it"),
        Err(error) => Some(format!("{} cannot look at it: {error}", us())),
    }
}

/// Why no file can be made at a path. `purpose` is what its directory is needed for.
fn cannot_create(path: &Path, purpose: &str) -> Option<String> {
    let directory = path.parent()?;
    let shown = directory.display();
    let us = || named_user(effective_uid());
    match fs::metadata(directory) {
        Ok(found) if !found.is_dir() => Some(format!("{shown} is not a directory")),
        Ok(found) => (!permission::allows(&found, WRITE | SEARCH))
            .then(|| format!("{} may not create a file in {shown}", us())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some(format!("there is no directory {shown} {purpose}"))
        }
        Err(error) => Some(format!("{} cannot look at {shown}: {error}", us())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing_with(lines: &str, listener: &str) -> Vec<String> {
        let text = format!(
            "{lines}\n[[listener]]\naddress = \"{listener}\"\n\
             [[upstream]]\nname = \"app\"\ntargets = [\"unix:@app\"]\n"
        );
        failing(&Config::from_toml("test.toml", &text).unwrap())
    }

    #[test]
    fn what_needs_nothing_of_this_host_fails_nowhere() {
        for lines in [
            "",
            "[log]\naccess = \"off\"",
            "[log]\naccess = \"/dev/null\"",
            "[admin]\naddress = \"127.0.0.1:9180\"",
        ] {
            assert_eq!(failing_with(lines, "127.0.0.1:0"), [""; 0], "{lines}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_said_for_each_file_that_needs_it() {
        let lines = "[log]\naccess = \"/nonexistent/access.log\"\n\
                     [admin]\naddress = \"unix:/nonexistent/admin.sock\"";
        assert_eq!(
            failing_with(lines, "unix:/nonexistent/web.sock"),
            [
                "access log /nonexistent/access.log: there is no directory /nonexistent for it",
                "admin address: there is no directory /nonexistent to listen in",
                "listener unix:/nonexistent/web.sock: there is no directory /nonexistent to listen in",
            ]
        );
    }

    #[test]
    fn a_path_that_is_something_else_is_said() {
        assert_eq!(
            failing_with("[log]\naccess = \"/proc/self\"", "127.0.0.1:0"),
            ["access log /proc/self: is a directory"]
        );
        let [said] = failing_with("[log]\naccess = \"/dev/null/log\"", "127.0.0.1:0")
            .try_into()
            .unwrap();
        assert!(
            said.contains("cannot look at it: Not a directory"),
            "{said}"
        );
    }
}
