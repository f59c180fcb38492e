//! Files of /proc/PID as text: limits, status, cgroup, cmdline.
//!
//! Total over any text; a line of another shape is as if it were not there (proc_pid_limits(5), proc_pid_status(5),
//! cgroups(7), proc_pid_cmdline(5)).

/// Arguments that [`arguments`] tells at most: enough to say which program it is and with which settings, little enough
/// for a line of a report.
pub const ARGUMENTS_MAX: usize = 64;

/// Groups that [`status`] tells at most. The kernel allows 65,536; whoever is in more than these has other worries.
pub const GROUPS_MAX: usize = 1024;

/// The soft and the hard limit of `Max open files` in the text of /proc/PID/limits; one that is unlimited is
/// [`u64::MAX`].
#[must_use]
pub fn open_files(text: &str) -> Option<(u64, u64)> {
    let limit = |word: &str| match word {
        "unlimited" => Some(u64::MAX),
        word => word.parse().ok(),
    };
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let mut words = line.split_ascii_whitespace();
    Some((limit(words.next()?)?, limit(words.next()?)?))
}

/// A process and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The name of its program, with line ends and backslashes escaped.
    pub name: String,
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
    /// The other groups, at most [`GROUPS_MAX`].
    pub groups: Vec<u32>,
}

/// What counts in the text of /proc/PID/status.
#[must_use]
pub fn status(text: &str) -> Option<Status> {
    // The program's name comes first and is escaped, so that it makes no lines.
    let line = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::split_ascii_whitespace)
    };
    // Real, effective, saved, of the file system.
    let effective = |name| line(name)?.nth(1)?.parse().ok();
    let name = text.lines().find_map(|line| line.strip_prefix("Name:\t"));
    Some(Status {
        name: name?.to_owned(),
        uid: effective("Uid:")?,
        gid: effective("Gid:")?,
        groups: line("Groups:")
            .into_iter()
            .flatten()
            .filter_map(|word| word.parse().ok())
            .take(GROUPS_MAX)
            .collect(),
    })
}

/// The cgroup of version 2 in the text of /proc/PID/cgroup: its path, from the root that the reader sees.
#[must_use]
pub fn cgroup(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The arguments in /proc/PID/cmdline, at most [`ARGUMENTS_MAX`]; bytes that are no UTF-8 are replaced. What follows the
/// last zero byte is an argument too, because a program may have written over it, or the reader may have cut it.
#[must_use]
pub fn arguments(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes
        .split(|byte| *byte == 0)
        .take(ARGUMENTS_MAX)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::maim;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max processes             96365                96365                processes 
Max open files            1024                 524288               files     
";
    const STATUS: &str = "\
Name:\tnginx
Umask:\t0022
Uid:\t0\t33\t33\t33
Gid:\t0\t34\t34\t34
FDSize:\t64
Groups:\t4 24 33 
";

    #[test]
    fn limits_may_be_unlimited() {
        assert_eq!(open_files(LIMITS), Some((1024, 524_288)));
        let unlimited = "Max open files            unlimited            unlimited            files";
        assert_eq!(open_files(unlimited), Some((u64::MAX, u64::MAX)));
        for text in [
            "",
            "Max open files",
            "Max open files 1",
            "Max open files a b",
        ] {
            assert_eq!(open_files(text), None);
        }
    }

    #[test]
    fn credentials_are_the_effective_ones() {
        let credentials = status(STATUS).unwrap();
        assert_eq!(credentials.name, "nginx");
        assert_eq!((credentials.uid, credentials.gid), (33, 34));
        assert_eq!(credentials.groups, [4, 24, 33]);
        let alone = status("Name:\t\nUid:\t1\t1\t1\t1\nGid:\t1\t1\t1\t1\nGroups:\t \n").unwrap();
        assert_eq!(alone.groups, []);
        assert_eq!(status("Name:\ta\nUid:\t1\t1\nGid:\t1\n"), None);
        let many =
            format!("{STATUS}\nGroups:{}", " 1".repeat(9)).replace("4 24", &"7 ".repeat(9999));
        assert_eq!(status(&many).unwrap().groups.len(), GROUPS_MAX);
    }

    #[test]
    fn the_cgroup_is_the_one_of_version_2() {
        let hybrid = "9:name=systemd:/user.slice\n0::/system.slice/nginx.service\n";
        assert_eq!(cgroup(hybrid), Some("/system.slice/nginx.service"));
        assert_eq!(cgroup("8:pids:/\n"), None);
    }

    #[test]
    fn arguments_end_with_their_zero_bytes() {
        assert_eq!(
            arguments(b"nginx\0-g\0daemon off;\0"),
            ["nginx", "-g", "daemon off;"]
        );
        assert_eq!(
            arguments(b"nginx: worker process"),
            ["nginx: worker process"]
        );
        assert_eq!(arguments(b"a\0\0"), ["a", ""]);
        assert_eq!(arguments(b"\xff\0"), ["\u{fffd}"]);
        assert_eq!(arguments(b""), [""; 0]);
        assert_eq!(arguments(&[0; 4096]).len(), ARGUMENTS_MAX);
    }

    #[test]
    fn text_that_is_cut_or_maimed_is_none_or_something_else() {
        maim(LIMITS.as_bytes(), |bytes| {
            let _ = open_files(&String::from_utf8_lossy(bytes));
        });
        maim(STATUS.as_bytes(), |bytes| {
            let told = status(&String::from_utf8_lossy(bytes));
            assert!(told.is_none_or(|told| told.groups.len() <= 3));
        });
    }
}
