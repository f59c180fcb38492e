//! What a host allows its source ports: how many there are on each pair, how a free one is searched for, and how soon
//! the port of a closed connection can be used again.
//!
//! Facts only, read by somebody else; the arithmetic on them is here, so that a recorded host can be judged like this
//! one.

use std::time::Duration;

use crate::range::{PortRange, ReservedPorts};

/// How long a connection stays in TIME_WAIT: `TCP_TIMEWAIT_LEN` in include/net/tcp.h, not to be configured.
pub const TIME_WAIT: Duration = Duration::from_secs(60);

/// From where on a search that takes one parity of the ports first becomes expensive: half of them are taken.
const PARITY_PART: u32 = 2;

/// The part of a pair's ports that is left alone while there are other pairs: a search that begins anywhere and takes
/// the next free port finds one after 16 looks on average when a sixteenth is free, and after a thousand near the end.
const SEARCH_PART: u32 = 16;

/// When a new connection may take over the tuple of one in TIME_WAIT (`net.ipv4.tcp_tw_reuse`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeWaitReuse {
    /// Never: the setting is 0, or there are no TCP timestamps.
    Never,
    /// After this time, where one side is a loopback address (2, the default).
    Loopback(Duration),
    /// After this time, on any pair (1).
    Always(Duration),
}

/// The facts about source ports on one host, in one network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPorts {
    /// `net.ipv4.ip_local_port_range`.
    pub range: PortRange,
    /// `net.ipv4.ip_local_reserved_ports`.
    pub reserved: ReservedPorts,
    /// Whether `connect(2)` looks at all ports alike (`IP_LOCAL_PORT_RANGE` from Linux 6.8 on) or first at one parity.
    pub flat_search: bool,
    /// When a port in TIME_WAIT can be used again.
    pub reuse: TimeWaitReuse,
}

impl TimeWaitReuse {
    /// From the two settings and `net.ipv4.tcp_tw_reuse_delay`.
    #[must_use]
    pub const fn of_settings(tcp_tw_reuse: u32, tcp_timestamps: u32, delay: Duration) -> Self {
        match (tcp_tw_reuse, tcp_timestamps) {
            (_, 0) | (0, _) => Self::Never,
            (1, _) => Self::Always(delay),
            _ => Self::Loopback(delay),
        }
    }

    /// How long the tuple of a connection that we closed first is not to be had.
    #[must_use]
    pub const fn cooling(self, is_loopback: bool) -> Duration {
        match (self, is_loopback) {
            (Self::Always(delay), _) | (Self::Loopback(delay), true) => delay,
            (Self::Never, _) | (Self::Loopback(_), false) => TIME_WAIT,
        }
    }
}

impl HostPorts {
    /// Connections that one pair can hold at once: 0 to 65535.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.range.len() - self.reserved.count_within(self.range)
    }

    /// Connections that one pair should hold before another is used: where a search for a free port is still quick.
    #[must_use]
    pub fn mark(&self) -> u32 {
        let limit = self.limit();
        if self.flat_search {
            limit - limit / SEARCH_PART
        } else {
            limit.div_ceil(PARITY_PART)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(range: &str, reserved: &str, flat_search: bool) -> HostPorts {
        HostPorts {
            range: range.parse().unwrap(),
            reserved: reserved.parse().unwrap(),
            flat_search,
            reuse: TimeWaitReuse::of_settings(2, 1, Duration::from_secs(1)),
        }
    }

    #[test]
    fn marks_follow_the_way_the_kernel_searches() {
        for (range, reserved, flat_search, limit, mark) in [
            ("32768 60999", "", true, 28_232, 26_468),
            ("32768 60999", "", false, 28_232, 14_116),
            ("40000 40009", "", true, 10, 10),
            ("40000 40009", "", false, 10, 5),
            ("40000 40009", "40001,40005-40007", true, 6, 6),
            ("40000 40000", "", false, 1, 1),
            ("40000 40009", "1-65535", true, 0, 0),
        ] {
            let host = host(range, reserved, flat_search);
            assert_eq!(
                (host.limit(), host.mark()),
                (limit, mark),
                "{range} {reserved}"
            );
        }
    }

    #[test]
    fn reuse_follows_the_settings() {
        let second = Duration::from_secs(1);
        for (tcp_tw_reuse, timestamps, loopback, elsewhere) in [
            (2, 1, second, TIME_WAIT),
            (1, 1, second, second),
            (0, 1, TIME_WAIT, TIME_WAIT),
            (2, 0, TIME_WAIT, TIME_WAIT),
            (1, 0, TIME_WAIT, TIME_WAIT),
        ] {
            let reuse = TimeWaitReuse::of_settings(tcp_tw_reuse, timestamps, second);
            assert_eq!(reuse.cooling(true), loopback, "{tcp_tw_reuse} {timestamps}");
            assert_eq!(
                reuse.cooling(false),
                elsewhere,
                "{tcp_tw_reuse} {timestamps}"
            );
        }
    }
}
