//! What this user may do with a file, by its permission bits.
//!
//! As the kernel judges first (path_resolution(7), "Permissions"); access control lists, security modules and read-only
//! file systems may allow less, lists also more.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use lasthop_kernel::identity::{effective_uid, in_group};

/// To write to a file; in a directory, to create files, together with [`SEARCH`].
pub(super) const WRITE: u32 = 0o2;
/// To reach what is in a directory.
pub(super) const SEARCH: u32 = 0o1;

/// In which of the three classes of permission bits a user is towards a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Superuser,
    Owner,
    Group,
    Other,
}

/// Whether the bits allow us all of `wanted`.
pub(super) fn allows(file: &Metadata, wanted: u32) -> bool {
    may(file.mode(), class(file.uid(), file.gid()), wanted)
}

/// The class of whoever runs this program.
pub(super) fn class(owner: u32, group: u32) -> Class {
    match effective_uid() {
        0 => Class::Superuser,
        user if user == owner => Class::Owner,
        _ if in_group(group) => Class::Group,
        _ => Class::Other,
    }
}

/// The first class that fits decides, not the kindest.
pub(super) fn may(mode: u32, class: Class, wanted: u32) -> bool {
    let bits = match class {
        // Passes every check of write and search permission (capabilities(7), CAP_DAC_OVERRIDE).
        Class::Superuser => return true,
        Class::Owner => mode >> 6,
        Class::Group => mode >> 3,
        Class::Other => mode,
    };
    bits & wanted == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_fits_decides() {
        for (mode, class, allowed) in [
            (0o600, Class::Owner, true),
            (0o066, Class::Owner, false),
            (0o660, Class::Group, true),
            (0o606, Class::Group, false),
            (0o666, Class::Other, true),
            (0o755, Class::Other, false),
            (0o000, Class::Superuser, true),
        ] {
            assert_eq!(may(mode, class, WRITE), allowed, "{mode:o} {class:?}");
        }
    }

    #[test]
    fn to_create_a_file_takes_both_bits_of_its_directory() {
        for (mode, allowed) in [
            (0o300, true),
            (0o200, false),
            (0o100, false),
            (0o077, false),
        ] {
            assert_eq!(may(mode, Class::Owner, WRITE | SEARCH), allowed, "{mode:o}");
        }
    }
}
