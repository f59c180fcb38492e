//! Unix sockets that somebody means to connect to and cannot: closed, missing or served by nobody.
//!
//! Those that a configuration names are tried with one connect(2) where the kernel lists no listener, because a listener
//! made in another network namespace is not listed here and answers all the same. Nobody else's sockets are touched.

mod configured;
mod lying;
mod reach;
mod spelling;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use lasthop_kernel::connect::{ConnectFault, UnixConnecting, UnixTarget as Address};
use lasthop_kernel::explain;
use lasthop_kernel::sock_diag::UnixFile;
use lasthop_ports::snapshot::{UnixProblem, UnixTarget};

use super::as_root;
use super::collect::Reading;
use configured::Configured;

/// Sockets that a snapshot tells of at most, of each kind.
const TARGETS_MAX: usize = 256;

/// Where programs put their sockets (file-hierarchy(7)).
const RUN: &str = "/run";

/// Fills in the sockets that cannot be connected to. `config` is a configuration of lasthop to look at as well.
pub(super) fn look(reading: &mut Reading, config: Option<&Path>) {
    let mut unseen = std::mem::take(&mut reading.snapshot.unseen);
    let mut configured = configured::sockets(config, &mut unseen);
    configured.sort_by(|a, b| (&a.path, &a.named_by).cmp(&(&b.path, &b.named_by)));
    configured.dedup_by(|a, b| (&a.path, &a.named_by) == (&b.path, &b.named_by));
    configured.truncate(TARGETS_MAX);
    for one in &configured {
        if let Some((problem, detail)) = problem(one, reading, &mut unseen) {
            reading.snapshot.unix_targets.push(UnixTarget {
                path: one.path.display().to_string(),
                named_by: Some(one.named_by.display().to_string()),
                problem,
                detail,
            });
        }
    }
    let named: HashSet<&Path> = configured.iter().map(|one| one.path.as_path()).collect();
    let lying = lying::lying_below(Path::new(RUN)).into_iter();
    for path in lying
        .filter(|path| !named.contains(path.as_path()))
        .take(TARGETS_MAX)
    {
        reading.snapshot.unix_targets.push(UnixTarget {
            detail: format!("no socket of this host is bound to {}", path.display()),
            path: path.display().to_string(),
            named_by: None,
            problem: UnixProblem::Stale,
        });
    }
    unseen.dedup();
    reading.snapshot.unseen = unseen;
}

fn problem(
    one: &Configured,
    reading: &Reading,
    unseen: &mut Vec<String>,
) -> Option<(UnixProblem, String)> {
    // What no socket can be called is refused by whoever reads the configuration.
    let address = Address::path(&one.path).ok()?;
    let file = match fs::metadata(&one.path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let detail = explain::unix(&address, ConnectFault::Missing);
            return Some((UnixProblem::Missing, detail));
        }
        Err(error) => {
            let path = one.path.display();
            unseen.push(format!(
                "whether somebody listens on {path}: {error}{}",
                as_root()
            ));
            return None;
        }
    };
    let name = one.path.to_string_lossy();
    let listeners = &reading.snapshot.unix_listeners;
    let listener = listeners.iter().find(|listener| listener.name == name);
    let is_used = listener.is_some_and(|listener| listener.connections > 0);
    let closed = one
        .user
        .as_ref()
        .and_then(|user| reach::closed(&one.path, user));
    if let Some(detail) = closed.filter(|_| !is_used) {
        return Some((UnixProblem::Permission, detail));
    }
    let is_listed = UnixFile::of(&file).is_some_and(|file| reading.unix_files.contains(&file));
    if file.file_type().is_socket() && is_listed {
        return None;
    }
    let fault = UnixConnecting::new().ok()?.attempt(&address).err()?.fault();
    (fault == ConnectFault::Refused).then(|| (UnixProblem::Stale, explain::unix(&address, fault)))
}
