//! Processes: who has the connections, and how many descriptors they have left.

use serde::{Deserialize, Serialize};

/// Processes that a snapshot keeps.
pub const PROCESSES_MAX: usize = 64;

/// What kind of program a process is: what decides how its problem is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// This program.
    Lasthop,
    /// nginx, and OpenResty, which is configured alike.
    Nginx,
    /// HAProxy.
    HaProxy,
    /// Envoy.
    Envoy,
    /// Caddy.
    Caddy,
    /// The Apache HTTP server.
    Apache,
    /// Traefik.
    Traefik,
    /// Something written in Go.
    Go,
    /// Something that runs in Node.
    Node,
    /// Something that runs in a Java virtual machine.
    Java,
    /// Something that runs in Python.
    Python,
    /// Anything else.
    Other,
}

/// A process that has sockets of some group or a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// Its number, in the process namespace of the reader.
    pub pid: u32,
    /// The name of its program (`/proc/PID/comm`), at most 15 bytes.
    pub name: String,
    /// What kind of program it is.
    pub program: Program,
    /// The user it runs as.
    pub uid: Option<u32>,
    /// Its control group, which names the service or the container: `/system.slice/nginx.service`.
    pub cgroup: Option<String>,
}

/// A process and its descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Which.
    pub owner: Owner,
    /// How many it has open.
    pub descriptors: DescriptorUse,
}

/// Descriptors of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DescriptorUse {
    /// Open now.
    pub open: u64,
    /// Its soft limit (`RLIMIT_NOFILE`): one more is refused.
    pub limit: u64,
    /// How far it may raise its limit itself.
    pub hard_limit: u64,
}
