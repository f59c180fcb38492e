//! The codes of all findings, in the order of docs/findings.

use std::fmt;

use serde::{Serialize, Serializer};

/// What a finding is. The text is stable: programs compare it, pages are named after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// No port of a pair is left.
    PortsExhausted,
    /// Few ports of a pair are left.
    PortsTight,
    /// At this slope the ports of a pair will be used up.
    PortsForecast,
    /// The ports in use have stopped to rise where they end: the flat top.
    PortsPlateau,
    /// Over half of a pair, and connect(2) searches one parity of the ports first.
    PortParitySlope,
    /// Connections in TIME_WAIT hold a great part of a pair.
    TimeWaitHeld,
    /// TIME_WAIT cannot be reused where it would help.
    TimeWaitReuseUseless,
    /// The range of ports is narrower than it has to be.
    PortRangeNarrow,
    /// Programs listen on ports of the range.
    PortRangeOverlapsListeners,
    /// Ports of the range are reserved.
    PortsReserved,
    /// Ports are bound in a way that takes them from everybody.
    PortsBoundPlainly,
    /// A process has few descriptors left.
    DescriptorsTight,
    /// The host has few files left.
    FileMaxTight,
    /// Connections are refused because a TCP listener's queue is full.
    ListenBacklogOverflow,
    /// The queue of a Unix listener is full.
    UnixBacklogFull,
    /// A listener's backlog was cut to `somaxconn`.
    BacklogClipped,
    /// The firewall's table of connections is nearly full.
    ConntrackTight,
    /// Connections find no place in TIME_WAIT.
    TimeWaitBucketOverflow,
    /// TCP is short of memory.
    TcpMemoryTight,
    /// A Unix socket may not be connected to.
    UnixSocketPermission,
    /// A Unix socket is not there.
    UnixSocketMissing,
    /// Nobody listens on a Unix socket.
    UnixSocketStale,
    /// An app can be reached from the network although only a local proxy uses it.
    AppExposed,
}

/// Every code.
pub const ALL: &[Code] = &[
    Code::PortsExhausted,
    Code::PortsTight,
    Code::PortsForecast,
    Code::PortsPlateau,
    Code::PortParitySlope,
    Code::TimeWaitHeld,
    Code::TimeWaitReuseUseless,
    Code::PortRangeNarrow,
    Code::PortRangeOverlapsListeners,
    Code::PortsReserved,
    Code::PortsBoundPlainly,
    Code::DescriptorsTight,
    Code::FileMaxTight,
    Code::ListenBacklogOverflow,
    Code::UnixBacklogFull,
    Code::BacklogClipped,
    Code::ConntrackTight,
    Code::TimeWaitBucketOverflow,
    Code::TcpMemoryTight,
    Code::UnixSocketPermission,
    Code::UnixSocketMissing,
    Code::UnixSocketStale,
    Code::AppExposed,
];

impl Code {
    /// As programs and pages spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PortsExhausted => "ports-exhausted",
            Self::PortsTight => "ports-tight",
            Self::PortsForecast => "ports-forecast",
            Self::PortsPlateau => "ports-plateau",
            Self::PortParitySlope => "port-parity-slope",
            Self::TimeWaitHeld => "time-wait-held",
            Self::TimeWaitReuseUseless => "time-wait-reuse-useless",
            Self::PortRangeNarrow => "port-range-narrow",
            Self::PortRangeOverlapsListeners => "port-range-overlaps-listeners",
            Self::PortsReserved => "ports-reserved",
            Self::PortsBoundPlainly => "ports-bound-plainly",
            Self::DescriptorsTight => "descriptors-tight",
            Self::FileMaxTight => "file-max-tight",
            Self::ListenBacklogOverflow => "listen-backlog-overflow",
            Self::UnixBacklogFull => "unix-backlog-full",
            Self::BacklogClipped => "backlog-clipped",
            Self::ConntrackTight => "conntrack-tight",
            Self::TimeWaitBucketOverflow => "time-wait-bucket-overflow",
            Self::TcpMemoryTight => "tcp-memory-tight",
            Self::UnixSocketPermission => "unix-socket-permission",
            Self::UnixSocketMissing => "unix-socket-missing",
            Self::UnixSocketStale => "unix-socket-stale",
            Self::AppExposed => "app-exposed",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_a_name_of_its_own_and_a_place_in_the_list() {
        let names: HashSet<&str> = ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), ALL.len());
        // The last variant is the last of the list, so that none was forgotten at the end.
        assert_eq!(ALL.len(), Code::AppExposed as usize + 1);
    }
}
