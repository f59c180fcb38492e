//! Readers of the kernel's settings under /proc/sys: net for the network namespace of the calling thread, fs for the
//! host.
//!
//! Reads only: lasthop never changes a setting of the host. Parsing is `lasthop-ports`' business where a value is more
//! than one number. See Documentation/networking/ip-sysctl.rst, nf_conntrack-sysctl.rst beside it, and
//! Documentation/admin-guide/sysctl/net.rst and fs.rst.

use lasthop_ports::{PortRange, RangeError, ReservedPorts};
use std::io;
use std::time::Duration;

/// A setting could not be read: an unusual host, or a /proc that hides it.
#[derive(Debug, thiserror::Error)]
pub enum SysctlError {
    /// The file could not be read.
    #[error("the setting {name} cannot be read from /proc/sys")]
    Read {
        /// The name as sysctl(8) spells it.
        name: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The text is not a plain number.
    #[error("the setting {name} reads `{found}`, which is not a number")]
    NotANumber {
        /// The name as sysctl(8) spells it.
        name: &'static str,
        /// What was found.
        found: String,
    },
    /// The text is not as many plain numbers as there should be.
    #[error("the setting {name} reads `{found}`, which is not {count} numbers")]
    NotNumbers {
        /// The name as sysctl(8) spells it.
        name: &'static str,
        /// How many there should be.
        count: usize,
        /// What was found.
        found: String,
    },
    /// The text is not a range or list of ports.
    #[error("the setting {name} cannot be understood")]
    Ports {
        /// The name as sysctl(8) spells it.
        name: &'static str,
        /// What is wrong with it.
        source: RangeError,
    },
}

/// `net.ipv4.ip_local_port_range`: where source ports come from, for IPv4 and IPv6.
///
/// # Errors
/// [`SysctlError`].
pub fn local_port_range() -> Result<PortRange, SysctlError> {
    let name = "net.ipv4.ip_local_port_range";
    read(name)?
        .parse()
        .map_err(|source| SysctlError::Ports { name, source })
}

/// `net.ipv4.ip_local_reserved_ports`: ports the kernel never chooses by itself.
///
/// # Errors
/// [`SysctlError`].
pub fn reserved_ports() -> Result<ReservedPorts, SysctlError> {
    let name = "net.ipv4.ip_local_reserved_ports";
    read(name)?
        .parse()
        .map_err(|source| SysctlError::Ports { name, source })
}

/// `net.core.somaxconn`: the longest backlog a listen(2) can get, in connections.
///
/// # Errors
/// [`SysctlError`].
pub fn somaxconn() -> Result<u32, SysctlError> {
    number("net.core.somaxconn")
}

/// `net.ipv4.tcp_tw_reuse`: 0 never, 1 always, 2 on loopback only, whether a connection in TIME_WAIT may give its
/// tuple to a new one.
///
/// # Errors
/// [`SysctlError`].
pub fn tcp_tw_reuse() -> Result<u32, SysctlError> {
    number("net.ipv4.tcp_tw_reuse")
}

/// `net.ipv4.tcp_tw_reuse_delay`: how long a connection must have been in TIME_WAIT before `tcp_tw_reuse` lets a new one
/// have its tuple. `None` where the kernel has no such setting: the delay is then one second
/// (`tcp_twsk_unique` in net/ipv4/tcp_ipv4.c).
///
/// # Errors
/// [`SysctlError`].
pub fn tcp_tw_reuse_delay() -> Result<Option<Duration>, SysctlError> {
    let delay = if_there(number("net.ipv4.tcp_tw_reuse_delay"))?;
    Ok(delay.map(|milliseconds| Duration::from_millis(milliseconds.into())))
}

/// `net.ipv4.tcp_max_tw_buckets`: how many connections may be in TIME_WAIT at once; those beyond leave none.
///
/// # Errors
/// [`SysctlError`].
pub fn tcp_max_tw_buckets() -> Result<u32, SysctlError> {
    number("net.ipv4.tcp_max_tw_buckets")
}

/// `net.ipv4.tcp_timestamps`: 0 off, 1 and 2 on; without them TIME_WAIT is never reused.
///
/// # Errors
/// [`SysctlError`].
pub fn tcp_timestamps() -> Result<u32, SysctlError> {
    number("net.ipv4.tcp_timestamps")
}

/// `net.ipv4.ip_unprivileged_port_start`: the first port that needs no `CAP_NET_BIND_SERVICE`.
///
/// # Errors
/// [`SysctlError`].
pub fn unprivileged_port_start() -> Result<u32, SysctlError> {
    number("net.ipv4.ip_unprivileged_port_start")
}

/// `net.ipv4.tcp_max_orphans`: how many sockets without a descriptor may wait for their end at once; those beyond are
/// reset. Of the whole host, and only seen in its first network namespace: `None` in all others.
///
/// # Errors
/// [`SysctlError`].
pub fn tcp_max_orphans() -> Result<Option<u32>, SysctlError> {
    if_there(number("net.ipv4.tcp_max_orphans"))
}

/// The figures of `net.ipv4.tcp_mem`, in pages: memory for the buffers of all TCP sockets of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpMem {
    /// Below, TCP takes what it likes.
    pub low: u64,
    /// Above, it becomes moderate, until it is below `low` again.
    pub pressure: u64,
    /// More it does not get; connections are then reset.
    pub max: u64,
}

/// `net.ipv4.tcp_mem`, which is only seen in the first network namespace of the host: `None` in all others.
///
/// # Errors
/// [`SysctlError`].
pub fn tcp_mem() -> Result<Option<TcpMem>, SysctlError> {
    let figures = if_there(numbers("net.ipv4.tcp_mem"))?;
    Ok(figures.map(|[low, pressure, max]| TcpMem { low, pressure, max }))
}

/// `net.netfilter.nf_conntrack_count`: connections that connection tracking remembers now. `None` where its module is not
/// loaded.
///
/// # Errors
/// [`SysctlError`].
pub fn conntrack_count() -> Result<Option<u32>, SysctlError> {
    if_there(number("net.netfilter.nf_conntrack_count"))
}

/// `net.netfilter.nf_conntrack_max`: how many connection tracking remembers at most; packets of those beyond are
/// dropped. `None` where its module is not loaded.
///
/// # Errors
/// [`SysctlError`].
pub fn conntrack_max() -> Result<Option<u32>, SysctlError> {
    if_there(number("net.netfilter.nf_conntrack_max"))
}

/// Open files of the whole host: `fs.file-nr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileNr {
    /// Open now; a file that several descriptors share is one.
    pub allocated: u64,
    /// How many there may be (`fs.file-max`); root may have more.
    pub max: u64,
}

/// `fs.file-nr`.
///
/// # Errors
/// [`SysctlError`].
pub fn file_nr() -> Result<FileNr, SysctlError> {
    // The one in the middle has been zero since Linux 2.6.
    let [allocated, _, max] = numbers("fs.file-nr")?;
    Ok(FileNr { allocated, max })
}

/// `fs.nr_open`: the most that the limit on open files of a process can be raised to.
///
/// # Errors
/// [`SysctlError`].
pub fn nr_open() -> Result<u64, SysctlError> {
    let [max] = numbers("fs.nr_open")?;
    Ok(max)
}

/// A setting that not every kernel has.
fn if_there<T>(setting: Result<T, SysctlError>) -> Result<Option<T>, SysctlError> {
    match setting {
        Ok(value) => Ok(Some(value)),
        Err(SysctlError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn numbers<const N: usize>(name: &'static str) -> Result<[u64; N], SysctlError> {
    let text = read(name)?;
    let mut found = text.split_ascii_whitespace().map(|word| word.parse().ok());
    let mut values = [0; N];
    let all = values.iter_mut().all(|value| {
        let number = found.next().flatten();
        *value = number.unwrap_or(0);
        number.is_some()
    });
    if all && found.next().is_none() {
        return Ok(values);
    }
    Err(SysctlError::NotNumbers {
        name,
        count: N,
        found: text.trim_ascii().escape_debug().to_string(),
    })
}

fn number(name: &'static str) -> Result<u32, SysctlError> {
    let text = read(name)?;
    let text = text.trim_ascii();
    text.parse().map_err(|_| SysctlError::NotANumber {
        name,
        found: text.escape_debug().to_string(),
    })
}

/// No name used here has a dot inside a component (interface names can), so dots are slashes.
fn read(name: &'static str) -> Result<String, SysctlError> {
    std::fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/")))
        .map_err(|source| SysctlError::Read { name, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_this_host_can_be_read() {
        assert!(local_port_range().unwrap().len() > 0);
        assert!(reserved_ports().unwrap().ranges().len() <= 32_768);
        assert!(somaxconn().unwrap() > 0);
        assert!(tcp_tw_reuse().unwrap() <= 2);
        assert!(tcp_timestamps().unwrap() <= 2);
        // The kernel keeps it at most as long as TIME_WAIT itself.
        let delay = tcp_tw_reuse_delay().unwrap();
        assert!(delay.is_none_or(|delay| delay <= Duration::from_secs(60)));
        assert!(unprivileged_port_start().unwrap() <= 65_536);
        assert!(tcp_max_orphans().unwrap().is_none_or(|orphans| orphans > 0));
        let memory = tcp_mem().unwrap();
        assert!(memory.is_none_or(|TcpMem { low, pressure, max }| {
            0 < low && low <= pressure && pressure <= max
        }));
        let FileNr { allocated, max } = file_nr().unwrap();
        assert!(0 < allocated && allocated <= max);
        assert!(nr_open().unwrap() >= 1024);
        // Both or neither.
        let (count, max) = (conntrack_count().unwrap(), conntrack_max().unwrap());
        assert_eq!(count.is_some(), max.is_some());
    }

    #[test]
    fn as_many_numbers_as_expected_and_no_more() {
        assert!(numbers::<3>("net.ipv4.tcp_rmem").is_ok());
        for error in [
            numbers::<2>("net.ipv4.tcp_rmem").map(|_| ()).unwrap_err(),
            numbers::<4>("net.ipv4.tcp_rmem").map(|_| ()).unwrap_err(),
            numbers::<1>("net.ipv4.tcp_congestion_control")
                .map(|_| ())
                .unwrap_err(),
        ] {
            assert!(matches!(error, SysctlError::NotNumbers { .. }), "{error:?}");
        }
        let nowhere = numbers::<1>("net.ipv4.there_is_no_such_setting");
        assert!(if_there(nowhere).unwrap().is_none());
    }

    #[test]
    fn a_setting_that_is_not_there_is_an_error_with_its_name() {
        let error = number("net.ipv4.there_is_no_such_setting").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the setting net.ipv4.there_is_no_such_setting cannot be read from /proc/sys"
        );
    }
}
