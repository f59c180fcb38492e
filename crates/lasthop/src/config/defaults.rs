//! What holds where the file says nothing, and how far each setting may go.
//!
//! Every default is here once, used by the file and the flags alike, and each ceiling is there to catch a slip of the
//! hand (a missing unit, a doubled digit) before it becomes an allocation. The reasons are for operators too:
//! `docs/configuration.md` repeats them.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{
    BufferSizes, Close, IpRange, Keepalive, ListenAddress, Listener, Queue, Server, Source, Target,
    TrustedProxies, Upstream,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;

/// The file that `lasthop run` reads when it is given neither a file nor flags.
pub const DEFAULT_PATH: &str = "/etc/lasthop/lasthop.toml";

/// The most fields a head may ever be allowed: the size of the parser's table of fields.
pub const HEADERS_MAX_CEILING: usize = 128;

/// A configuration is written by hand or by a template; a megabyte of it is a mistaken path.
pub(super) const FILE_BYTES_MAX: usize = MIB;
/// A thread each; the largest hosts have fewer cores.
pub(super) const WORKERS_MAX: usize = 1024;
/// Each is a descriptor per worker.
pub(super) const LISTENERS_MAX: usize = 256;
/// Each is a pool per worker.
pub(super) const UPSTREAMS_MAX: usize = 1024;
/// Looked through when a route is chosen.
pub(super) const ROUTES_MAX: usize = 4096;
/// More copies of an application than this are not on one host.
pub(super) const TARGETS_MAX: usize = 256;
/// Entries, each of which may be a whole block: a hand writes no more.
pub(super) const SOURCES_MAX: usize = 64;
/// From all of 127.0.0.0/8, which is refused only for having 127.0.0.1 in it, to a block with two addresses to use.
pub(super) const SPILL_PREFIX: RangeInclusive<u8> = 8..=30;
/// Walked for each connection that brings forwarding fields.
pub(super) const TRUSTED_PROXIES_MAX: usize = 256;
/// A label in every metric and log line.
pub(super) const NAME_BYTES_MAX: usize = 64;
/// The path of a route; requests with longer targets than a head are refused anyway.
pub(super) const PATH_BYTES_MAX: usize = 1024;
/// Below this not even ordinary browsers get a request through.
pub(super) const HEADER_SIZE_MIN: usize = KIB;
/// A head is held whole, for each connection that is sending one.
pub(super) const HEADER_SIZE_CEILING: usize = MIB;
/// Per request, and held in memory.
pub(super) const BUFFER_CEILING: usize = GIB;
/// Four times the ports of one address pair on each of 4096 sources: no host goes there.
pub(super) const CONNECTIONS_CEILING: usize = 16 * MIB;
/// Ten times what a large host holds for its clients; beyond, the kernel's own memory for sockets is the bound.
pub(super) const LISTENER_CONNECTIONS_CEILING: usize = 1_000_000;
/// Less is not enough for a hundred requests that move.
pub(super) const BUFFER_MEMORY_MIN: usize = MIB;
/// Per worker: no host has more for one.
pub(super) const BUFFER_MEMORY_CEILING: usize = GIB.saturating_mul(1024);
/// A token that can be guessed is none: 16 characters of hexadecimal digits are 64 bits.
pub(super) const TOKEN_BYTES_MIN: usize = 16;
/// Sent with each request, in a head of bounded size.
pub(super) const TOKEN_BYTES_MAX: usize = 256;
/// Looked through for each request to the admin address.
pub(super) const ADMIN_HOSTS_MAX: usize = 16;
/// Linux takes no longer path (`PATH_MAX` of limits.h, 4096 with the closing NUL).
pub(super) const FILE_PATH_BYTES_MAX: usize = 4095;
/// Each waiting request holds its client's connection.
pub(super) const QUEUE_SIZE_CEILING: usize = MIB;
/// Per worker and upstream; a descriptor each.
pub(super) const KEEPALIVE_IDLE_CEILING: usize = 64 * KIB;
/// More attempts only add load to an application that is already in trouble.
pub(super) const RETRIES_CEILING: u32 = 10;
/// Seven days: longer waits are a missing unit, and timers stay far from overflow.
pub(super) const TIMEOUT_CEILING: Duration = Duration::from_secs(7 * 24 * 3600);

/// Room for a long session's cookies (nginx stops at 4 times 8 KiB, Node at 16 KiB), still small enough to hold whole.
const HEADER_SIZE_MAX: usize = 32 * KIB;

/// Far from what people give to single services (127.0.0.x, 127.0.1.1, 127.0.0.53), and 65,534 addresses are more than
/// any host has connections for.
const SPILL_RANGE: IpRange = IpRange::v4(Ipv4Addr::new(127, 64, 0, 0), 16);

impl Default for Server {
    /// The server of an empty file: one worker for each core this process may use.
    fn default() -> Self {
        Self {
            workers: workers_of_this_host(),
            share: false,
            error_details: false,
            trusted_proxies: TrustedProxies::default(),
            drain_timeout: Duration::from_secs(30),
            buffer_memory: 128 * MIB,
            spill_range: SPILL_RANGE,
        }
    }
}

/// One worker per core that this process may use (affinity and cgroup quota count), at least 1.
pub(super) fn workers_of_this_host() -> usize {
    // Where the kernel will not say, one worker serves too.
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(WORKERS_MAX))
}

impl Listener {
    /// A listener on this address with every setting as in an empty file.
    pub fn new(address: ListenAddress) -> Self {
        Self {
            name: address.label(),
            address,
            max_connections: 0,
            header_timeout: Duration::from_secs(10),
            // nginx's value (its keepalive_timeout), so that whoever comes from there sees no change.
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            header_size_max: HEADER_SIZE_MAX,
            headers_max: 100,
        }
    }
}

impl Upstream {
    /// An upstream of this name with every setting as in an empty file.
    pub fn new(name: String, targets: Vec<Target>) -> Self {
        Self {
            name,
            targets,
            source: Source::Auto,
            close: Close::Orderly,
            max_connections: 0,
            queue: Queue {
                size: 4096,
                timeout: Duration::from_secs(5),
            },
            keepalive: Keepalive {
                idle: 256,
                // Below the two seconds after which gunicorn closes; a new connection costs microseconds on one host.
                timeout: Duration::from_millis(1500),
            },
            buffer: BufferSizes {
                request: 64 * KIB,
                response: 256 * KIB,
            },
            restart_grace: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            tunnel_timeout: Duration::from_secs(3600),
            retries: 1,
            via: true,
            forwarded: false,
            request_id: false,
            header_size_max: HEADER_SIZE_MAX,
        }
    }
}
