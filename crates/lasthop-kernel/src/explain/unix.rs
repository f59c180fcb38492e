//! Why an app on a Unix socket cannot be connected to: permissions, missing files, files that nobody serves.
//!
//! The permission rules are those of path_resolution(7) and unix(7): search permission on every directory of the path,
//! write permission on the socket; owner, group and others are tried in this order and the first that fits decides.

use super::{backlog_limit, common};
use crate::connect::{ConnectFault, UnixTarget};
use crate::identity::{effective_uid, in_group, named_group, named_user};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Permission to write, for the owner; shifted right by 3 and 6 for group and others.
const WRITE: u32 = 0o200;

/// One sentence or two on why connecting to `target` failed with `fault`, and what would help. Stats the path and its
/// directories and asks the user database.
#[must_use]
pub fn unix(target: &UnixTarget, fault: ConnectFault) -> String {
    if let Some(text) = common(fault) {
        return text;
    }
    match (fault, target.as_path()) {
        (ConnectFault::Permission, Some(path)) => permission(path),
        (ConnectFault::Missing, Some(path)) => missing(path),
        (ConnectFault::Refused | ConnectFault::Other, Some(path)) => unserved(path, fault),
        (ConnectFault::Refused, None) => format!(
            "nothing listens on {target}: the app is not running, or runs in another network namespace"
        ),
        (ConnectFault::Backlog, _) => format!(
            "the app accepts more slowly than connections come, and the backlog of {target} is full: give it more \
             workers or a longer backlog{}",
            backlog_limit()
        ),
        _ => format!("connecting to {target} failed for a reason of its own"),
    }
}

/// Finds the first place on the way to the socket that does not let us pass.
fn permission(path: &Path) -> String {
    let mut directory = Path::new(if path.is_absolute() { "/" } else { "." });
    for component in ancestors_downwards(path) {
        match fs::metadata(component) {
            Ok(_) => directory = component,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return closed_directory(path, directory);
            }
            Err(_) => return missing(path),
        }
    }
    let Ok(metadata) = fs::metadata(path) else {
        // All directories exist; that the last one may not be searched shows only here.
        return closed_directory(path, directory);
    };
    closed_socket(path, &metadata)
}

fn closed_directory(path: &Path, directory: &Path) -> String {
    let us = named_user(effective_uid());
    let subject = match fs::metadata(directory) {
        Ok(metadata) => format!(
            "the directory {} belongs to {}",
            directory.display(),
            ownership(&metadata)
        ),
        Err(_) => format!("the directory {} is closed", directory.display()),
    };
    format!(
        "{subject}; lasthop runs as {us} and needs search permission (x) on it to reach {}",
        path.display()
    )
}

fn closed_socket(path: &Path, metadata: &Metadata) -> String {
    let us = named_user(effective_uid());
    let head = format!(
        "the socket {} belongs to {}; lasthop runs as {us}",
        path.display(),
        ownership(metadata)
    );
    if may_write(metadata) {
        return format!(
            "{head}, which its mode allows: a security module (AppArmor, SELinux) forbids the connection"
        );
    }
    let mode = if metadata.mode() & (WRITE >> 3) == 0 {
        "let the app create it with mode 0660 or 0770 (gunicorn: --umask 007; systemd: SocketMode=0660)"
    } else {
        ""
    };
    let group = if metadata.uid() == effective_uid() {
        "its owner is not allowed to write to it: chmod u+w".to_owned()
    } else if in_group(metadata.gid()) {
        mode.to_owned()
    } else if metadata.gid() == 0 {
        format!(
            "let the app create it in a group that {us} is in, with mode 0660 or 0770 (systemd: SocketGroup=, SocketMode=)"
        )
    } else {
        let group = named_group(metadata.gid());
        let and = if mode.is_empty() { "" } else { " and " };
        format!("add {us} to {group}{and}{mode}, then restart lasthop")
    };
    format!("{head} and needs write permission: {group}")
}

/// Names the first component that is not there.
fn missing(path: &Path) -> String {
    for component in ancestors_downwards(path) {
        match fs::metadata(component) {
            Ok(metadata) if !metadata.is_dir() => {
                return format!(
                    "{} does not exist: {} is not a directory",
                    path.display(),
                    component.display()
                );
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return format!(
                    "{} does not exist: already the directory {} is missing (systemd: RuntimeDirectory= of the app)",
                    path.display(),
                    component.display()
                );
            }
            Ok(_) | Err(_) => {}
        }
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_symlink() => format!(
            "{} is a symbolic link to something that does not exist",
            path.display()
        ),
        Ok(_) => format!("{} was missing and is there now", path.display()),
        Err(_) => format!(
            "the socket {} does not exist: the app is not running, or listens on another path",
            path.display()
        ),
    }
}

/// A file is there and no stream server behind it.
fn unserved(path: &Path, fault: ConnectFault) -> String {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            format!("{} is not a socket", path.display())
        }
        Ok(_) if fault == ConnectFault::Refused => format!(
            "the socket {} is there but nobody listens on it: the app ended without removing it, or has not come up yet",
            path.display()
        ),
        Ok(_) => format!(
            "the socket {} is not a stream socket, or refused for a reason of its own",
            path.display()
        ),
        Err(_) => missing(path),
    }
}

/// The directories of a path from the outermost to the innermost, without the path itself and without the empty one.
fn ancestors_downwards(path: &Path) -> Vec<&Path> {
    let mut ancestors: Vec<_> = path
        .ancestors()
        .skip(1)
        .filter(|ancestor| !ancestor.as_os_str().is_empty())
        .collect();
    ancestors.reverse();
    ancestors
}

/// Whether the mode lets us write. Root may do anything.
fn may_write(metadata: &Metadata) -> bool {
    let us = effective_uid();
    let bit = if us == metadata.uid() {
        WRITE
    } else if in_group(metadata.gid()) {
        WRITE >> 3
    } else {
        WRITE >> 6
    };
    us == 0 || metadata.mode() & bit != 0
}

/// "user `app`, group `app`, mode 0755".
fn ownership(metadata: &Metadata) -> String {
    const PERMISSION_BITS: u32 = 0o7777;
    format!(
        "{}, {}, mode {:04o}",
        named_user(metadata.uid()),
        named_group(metadata.gid()),
        metadata.mode() & PERMISSION_BITS
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::UnixConnecting;
    use crate::testing::{NOBODY, TempDir, as_nobody};
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::os::unix::net::{UnixDatagram, UnixListener};

    /// Connects, fails, and explains.
    fn explained(path: &Path) -> String {
        let target = UnixTarget::path(path).unwrap();
        let error = UnixConnecting::new().unwrap().attempt(&target).unwrap_err();
        unix(&target, error.fault())
    }

    fn mode(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_socket_of_another_user_is_explained_with_owner_mode_and_fix() {
        let dir = TempDir::new();
        let path = dir.join("app.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        mode(dir.path(), 0o755);
        mode(&path, 0o755);
        as_nobody(|| {
            let us = named_user(NOBODY);
            let text = explained(&path);
            let head = format!(
                "the socket {} belongs to user `root`, group `root`, mode 0755; lasthop runs as {us} and needs write permission: ",
                path.display()
            );
            assert!(text.starts_with(&head), "{text}");
            assert!(text.contains(&format!("a group that {us} is in")), "{text}");
        });
    }

    #[test]
    fn a_socket_of_another_group_is_explained_with_the_group_to_join() {
        let dir = TempDir::new();
        let path = dir.join("app.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        mode(dir.path(), 0o755);
        let root = as_nobody(|| ()).is_some();
        if !root {
            return;
        }
        chown(&path, Some(4_242_424), Some(4_242_425)).unwrap();
        for (bits, with_mode) in [(0o755, true), (0o770, false)] {
            mode(&path, bits);
            as_nobody(|| {
                let text = explained(&path);
                let us = named_user(NOBODY);
                assert!(
                    text.contains("belongs to user `4242424`, group `4242425`"),
                    "{text}"
                );
                assert!(
                    text.contains(&format!("add {us} to group `4242425`")),
                    "{text}"
                );
                assert_eq!(text.contains("--umask 007"), with_mode, "{text}");
            });
        }
    }

    #[test]
    fn a_directory_that_may_not_be_searched_is_named() {
        let dir = TempDir::new();
        mode(dir.path(), 0o755);
        let inner = dir.join("private");
        fs::create_dir(&inner).unwrap();
        let path = inner.join("app.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        mode(&inner, 0o700);
        as_nobody(|| {
            let text = explained(&path);
            let head = format!(
                "the directory {} belongs to user `root`, group `root`, mode 0700; lasthop runs as",
                inner.display()
            );
            assert!(text.starts_with(&head), "{text}");
            assert!(text.contains("search permission"), "{text}");
        });
    }

    #[test]
    fn a_permission_that_the_mode_would_give_points_at_a_security_module() {
        let dir = TempDir::new();
        let path = dir.join("app.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let target = UnixTarget::path(&path).unwrap();
        let text = unix(&target, ConnectFault::Permission);
        assert!(text.contains("security module"), "{text}");
    }

    #[test]
    fn the_component_that_is_missing_is_named() {
        let dir = TempDir::new();
        let path = dir.join("run/app/app.sock");
        let directory = format!("the directory {} is missing", dir.join("run").display());
        let text = explained(&path);
        assert!(text.contains(&directory), "{text}");
        fs::create_dir_all(dir.join("run/app")).unwrap();
        assert_eq!(
            explained(&path),
            format!(
                "the socket {} does not exist: the app is not running, or listens on another path",
                path.display()
            )
        );
    }

    #[test]
    fn a_file_in_place_of_a_directory_is_named() {
        let dir = TempDir::new();
        fs::write(dir.join("app"), "").unwrap();
        let text = explained(&dir.join("app/app.sock"));
        assert!(
            text.ends_with(&format!("{} is not a directory", dir.join("app").display())),
            "{text}"
        );
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named() {
        let dir = TempDir::new();
        let path = dir.join("app.sock");
        symlink(dir.join("gone.sock"), &path).unwrap();
        assert!(explained(&path).contains("symbolic link to something that does not exist"));
    }

    #[test]
    fn a_socket_that_nobody_serves_is_told_from_a_file_that_is_none() {
        let dir = TempDir::new();
        let stale = dir.join("stale.sock");
        drop(UnixListener::bind(&stale).unwrap());
        let text = explained(&stale);
        assert!(text.contains("is there but nobody listens on it"), "{text}");

        let file = dir.join("file.sock");
        fs::write(&file, "").unwrap();
        assert_eq!(
            explained(&file),
            format!("{} is not a socket", file.display())
        );

        let datagram = dir.join("datagram.sock");
        let _socket = UnixDatagram::bind(&datagram).unwrap();
        let text = explained(&datagram);
        assert!(text.contains("is not a stream socket"), "{text}");
    }

    #[test]
    fn an_abstract_name_without_a_listener_is_explained() {
        let target =
            UnixTarget::abstract_name(format!("lasthop-nobody-{}", std::process::id())).unwrap();
        let error = UnixConnecting::new().unwrap().attempt(&target).unwrap_err();
        let text = unix(&target, error.fault());
        assert!(
            text.starts_with(&format!("nothing listens on {target}")),
            "{text}"
        );
    }

    #[test]
    fn a_full_backlog_is_explained_with_the_limit_of_this_host() {
        let target = UnixTarget::path("/run/app.sock").unwrap();
        let text = unix(&target, ConnectFault::Backlog);
        assert!(
            text.contains("backlog of unix:/run/app.sock is full"),
            "{text}"
        );
        let limit = crate::sysctl::somaxconn().unwrap();
        assert!(text.contains(&format!("at most {limit} here")), "{text}");
    }
}
