//! Whether a user may connect to a socket file: the rules of path_resolution(7) and unix(7), by owner, group and mode.
//!
//! By what stat(2) tells. Access control lists and security modules may allow less, and lists of a directory also more,
//! so that what is concluded here is told only of sockets that nobody is connected through.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use lasthop_kernel::identity::{named_group, named_user};

use super::configured::User;

const SEARCH: u32 = 0o1;
const WRITE: u32 = 0o2;

/// The first place on the way to `path` that does not let `user` pass, in words; none where all do, or where it cannot
/// be told.
pub(super) fn closed(path: &Path, user: &User) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let mut ancestors: Vec<&Path> = path.ancestors().skip(1).collect();
    ancestors.reverse();
    let who = named_user(user.uid);
    for directory in ancestors {
        let metadata = fs::metadata(directory).ok()?;
        if !may(&metadata, user, SEARCH) {
            return Some(format!(
                "the directory {} belongs to {}; {who} may not search it (x)",
                directory.display(),
                ownership(&metadata)
            ));
        }
    }
    let metadata = fs::metadata(&path).ok()?;
    (!may(&metadata, user, WRITE)).then(|| {
        format!(
            "the socket {} belongs to {}; {who} may not write to it (w)",
            path.display(),
            ownership(&metadata)
        )
    })
}

/// Owner, group and others are tried in this order, and the first that fits decides. Root may do anything.
fn may(file: &Metadata, user: &User, bit: u32) -> bool {
    let shift = if user.uid == file.uid() {
        6
    } else if user.gid == file.gid() || user.groups.contains(&file.gid()) {
        3
    } else {
        0
    };
    user.uid == 0 || file.mode() >> shift & bit != 0
}

fn ownership(file: &Metadata) -> String {
    const PERMISSION_BITS: u32 = 0o7777;
    format!(
        "{}, {}, mode {:04o}",
        named_user(file.uid()),
        named_group(file.gid()),
        file.mode() & PERMISSION_BITS
    )
}
