//! Users and groups: names to numbers and back, and who this process is.
//!
//! Asks the C library (getpwnam_r(3) and its siblings) and not /etc/passwd, because users may live in LDAP or systemd.
//! That can block on a network: call it at start and when explaining a failure, never per request.

use std::ffi::{CStr, CString};
use std::io;

/// Largest record of a user or group that is read, in bytes. Groups list their members, so a large group is a large
/// record; a mebibyte is some hundred thousand members.
const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// A user or group that cannot be resolved: a mistake in the configuration, or a host whose database does not answer.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The name is not known and not a number.
    #[error("there is no {kind} `{name}` on this host")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// The name as given.
        name: String,
    },
    /// The database could not be asked.
    #[error("the {kind} `{name}` could not be looked up")]
    Lookup {
        /// `user` or `group`.
        kind: &'static str,
        /// The name as given.
        name: String,
        /// What the C library said.
        source: io::Error,
    },
}

/// The number of a user, given by name or by number. A name wins over a number that looks the same, as in chown(1).
///
/// # Errors
/// [`IdentityError`].
pub fn resolve_user(name: &str) -> Result<u32, IdentityError> {
    resolve("user", name, |name, buffer| {
        let mut found = std::ptr::null_mut();
        let mut record = std::mem::MaybeUninit::<libc::passwd>::uninit();
        // SAFETY: `name` is NUL-terminated; `record`, `buffer` (with its length) and `found` are writable and live past
        // the call. On success `found` points to `record`, which is then initialised, or is null.
        let (code, found) = unsafe {
            let code = libc::getpwnam_r(
                name.as_ptr(),
                record.as_mut_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut found,
            );
            (code, found.as_ref().map(|record| record.pw_uid))
        };
        (code, found)
    })
}

/// The number of a group, given by name or by number.
///
/// # Errors
/// [`IdentityError`].
pub fn resolve_group(name: &str) -> Result<u32, IdentityError> {
    resolve("group", name, |name, buffer| {
        let mut found = std::ptr::null_mut();
        let mut record = std::mem::MaybeUninit::<libc::group>::uninit();
        // SAFETY: as in `resolve_user`.
        let (code, found) = unsafe {
            let code = libc::getgrnam_r(
                name.as_ptr(),
                record.as_mut_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut found,
            );
            (code, found.as_ref().map(|record| record.gr_gid))
        };
        (code, found)
    })
}

/// The name of a user; the number as text when it has none or the database does not answer.
#[must_use]
pub fn user_name(uid: u32) -> String {
    lookup(|buffer| {
        let mut found = std::ptr::null_mut();
        let mut record = std::mem::MaybeUninit::<libc::passwd>::uninit();
        // SAFETY: as in `resolve_user`; `pw_name` points into `buffer` and is NUL-terminated.
        unsafe {
            let code = libc::getpwuid_r(
                uid,
                record.as_mut_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut found,
            );
            let name = found.as_ref().map(|record| CStr::from_ptr(record.pw_name));
            (code, name.map(|name| name.to_string_lossy().into_owned()))
        }
    })
    .ok()
    .flatten()
    .unwrap_or_else(|| uid.to_string())
}

/// The name of a group; the number as text when it has none or the database does not answer.
#[must_use]
pub fn group_name(gid: u32) -> String {
    lookup(|buffer| {
        let mut found = std::ptr::null_mut();
        let mut record = std::mem::MaybeUninit::<libc::group>::uninit();
        // SAFETY: as in `user_name`, for `gr_name`.
        unsafe {
            let code = libc::getgrgid_r(
                gid,
                record.as_mut_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut found,
            );
            let name = found.as_ref().map(|record| CStr::from_ptr(record.gr_name));
            (code, name.map(|name| name.to_string_lossy().into_owned()))
        }
    })
    .ok()
    .flatten()
    .unwrap_or_else(|| gid.to_string())
}

/// A user for a sentence: "user `www-data`".
#[must_use]
pub fn named_user(uid: u32) -> String {
    format!("user `{}`", user_name(uid))
}

/// A group for a sentence: "group `www-data`".
#[must_use]
pub fn named_group(gid: u32) -> String {
    format!("group `{}`", group_name(gid))
}

/// The effective user of this process.
#[must_use]
pub fn effective_uid() -> u32 {
    // SAFETY: geteuid(2) takes nothing, touches no memory and cannot fail.
    unsafe { libc::geteuid() }
}

/// The effective group of this process.
#[must_use]
pub fn effective_gid() -> u32 {
    // SAFETY: getegid(2) takes nothing, touches no memory and cannot fail.
    unsafe { libc::getegid() }
}

/// Whether this process acts as a member of `gid`: its effective group or one of its supplementary groups. What counts
/// is what the process was started with, not what the database says now.
#[must_use]
pub fn in_group(gid: u32) -> bool {
    if effective_gid() == gid {
        return true;
    }
    // SAFETY: a count of zero asks how many groups there are and writes nothing (getgroups(2)).
    let count = unsafe { libc::getgroups(0, std::ptr::null_mut()) };
    let Ok(length) = usize::try_from(count) else {
        return false;
    };
    let mut groups = vec![0; length];
    // SAFETY: `groups` has room for `count` entries, which is what the kernel is told.
    let written = unsafe { libc::getgroups(count, groups.as_mut_ptr()) };
    usize::try_from(written).is_ok_and(|written| groups.iter().take(written).any(|&g| g == gid))
}

/// Name first, number second.
fn resolve(
    kind: &'static str,
    name: &str,
    ask: impl Fn(&CStr, &mut [u8]) -> (libc::c_int, Option<u32>),
) -> Result<u32, IdentityError> {
    let unknown = || IdentityError::Unknown {
        kind,
        name: name.to_owned(),
    };
    let c_name = CString::new(name).map_err(|_| unknown())?;
    let found = lookup(|buffer| ask(&c_name, buffer)).map_err(|source| IdentityError::Lookup {
        kind,
        name: name.to_owned(),
        source,
    })?;
    // The number -1 means "leave as it is" to chown(2) and is nobody's.
    found
        .or_else(|| name.parse().ok().filter(|id| *id != u32::MAX))
        .ok_or_else(unknown)
}

/// Calls `ask` with growing buffers until the record fits; `Ok(None)` when there is no such record.
fn lookup<T>(ask: impl Fn(&mut [u8]) -> (libc::c_int, Option<T>)) -> io::Result<Option<T>> {
    let mut buffer = vec![0; 1024];
    loop {
        match ask(&mut buffer) {
            (0, found) => return Ok(found),
            // Several ways to say "not there" besides a null result: see the notes of getpwnam(3).
            (libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM, _) => return Ok(None),
            (libc::ERANGE, _) if buffer.len() < RECORD_BYTES_MAX => {
                let length = buffer.len() * 4;
                buffer.resize(length, 0);
            }
            (libc::EINTR, _) => {}
            (code, _) => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_number_zero_both_ways() {
        assert_eq!(resolve_user("root").unwrap(), 0);
        assert_eq!(resolve_group("root").unwrap(), 0);
        assert_eq!(user_name(0), "root");
        assert_eq!(group_name(0), "root");
    }

    #[test]
    fn a_number_is_taken_as_it_is() {
        assert_eq!(resolve_user("4242424").unwrap(), 4_242_424);
        assert_eq!(resolve_group("4242424").unwrap(), 4_242_424);
        assert_eq!(user_name(4_242_424), "4242424");
        assert_eq!(group_name(4_242_424), "4242424");
    }

    #[test]
    fn a_name_that_is_not_there_is_refused_by_name() {
        for name in ["no such user", "", "nul\0byte", "-1", "4294967295"] {
            let error = resolve_user(name).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("there is no user `{name}` on this host")
            );
        }
        let error = resolve_group("no such group").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no group `no such group` on this host"
        );
    }

    #[test]
    fn this_process_is_in_its_own_group_and_not_in_any_other() {
        assert!(in_group(effective_gid()));
        assert!(!in_group(4_242_424));
    }
}
