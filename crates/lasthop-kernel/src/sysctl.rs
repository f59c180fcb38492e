//! Readers of the kernel's settings under /proc/sys/net, for the network namespace of the calling thread.
//!
//! Reads only: lasthop never changes a setting of the host. Parsing is `lasthop-ports`' business where a value is more
//! than one number. See Documentation/networking/ip-sysctl.rst and Documentation/admin-guide/sysctl/net.rst.

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
    match number("net.ipv4.tcp_tw_reuse_delay") {
        Ok(milliseconds) => Ok(Some(Duration::from_millis(milliseconds.into()))),
        Err(SysctlError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
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
