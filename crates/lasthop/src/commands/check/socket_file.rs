//! What stands at the path of a Unix target, and whether this user may connect to it.
//!
//! Looks and never connects: an application notices a connection.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use lasthop_kernel::identity::{effective_uid, named_group, named_user};

use super::permission::{self, WRITE};

/// What stands at a path. Printed, it is a phrase that can follow the path.
#[derive(Debug)]
pub(super) enum SocketFile {
    /// Nothing.
    Missing,
    /// A directory on the way is not to be searched, or something else keeps us from looking.
    Hidden(io::Error),
    /// A file of another kind.
    NotASocket,
    /// A socket.
    Socket {
        /// The user it belongs to.
        owner: u32,
        /// The group it belongs to.
        group: u32,
        /// Its permission bits.
        mode: u32,
    },
}

impl SocketFile {
    pub(super) fn look(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(found) if found.file_type().is_socket() => Self::Socket {
                owner: found.uid(),
                group: found.gid(),
                mode: found.mode() & 0o777,
            },
            Ok(_) => Self::NotASocket,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Missing,
            Err(error) => Self::Hidden(error),
        }
    }
}

impl SocketFile {
    /// Whether connecting would fail for as long as things stay as they are. Nothing at the path does not count: the
    /// application makes the socket when it starts.
    pub(super) fn is_unusable(&self) -> bool {
        match self {
            Self::Missing => false,
            Self::Hidden(_) | Self::NotASocket => true,
            Self::Socket { owner, group, mode } => !may_write(*mode, *owner, *group),
        }
    }
}

impl fmt::Display for SocketFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = || named_user(effective_uid());
        match self {
            Self::Missing => f.write_str("no such file yet"),
            Self::Hidden(error) => write!(f, "{} cannot look at it: {error}", us()),
            Self::NotASocket => f.write_str("exists, but is not a socket"),
            Self::Socket { owner, group, mode } => {
                write!(
                    f,
                    "a socket of {}, {}, mode {mode:04o}; ",
                    named_user(*owner),
                    named_group(*group)
                )?;
                if may_write(*mode, *owner, *group) {
                    write!(f, "{} may connect", us())
                } else {
                    write!(f, "{} may NOT connect and needs write permission", us())
                }
            }
        }
    }
}

/// To connect takes write permission on the socket (unix(7)).
fn may_write(mode: u32, owner: u32, group: u32) -> bool {
    permission::may(mode, permission::class(owner, group), WRITE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_socket_is_said() {
        assert!(matches!(
            SocketFile::look(Path::new("/")),
            SocketFile::NotASocket
        ));
        assert!(matches!(
            SocketFile::look(Path::new("/nonexistent/a")),
            SocketFile::Missing
        ));
    }

    #[test]
    fn a_socket_is_described_with_the_names_of_its_owner_and_of_us() {
        let text = SocketFile::Socket {
            owner: 0,
            group: 0,
            mode: 0o777,
        }
        .to_string();
        let us = named_user(effective_uid());
        assert_eq!(
            text,
            format!("a socket of user `root`, group `root`, mode 0777; {us} may connect")
        );
    }
}
