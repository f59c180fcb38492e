//! The configuration: what an operator decided, as types that cannot be wrong.
//!
//! A [`Config`] comes out of [`Config::from_file`], [`Config::from_toml`] or [`Config::from_flags`] and out of nothing
//! else in the running proxy; it never changes afterwards. Nothing here opens a socket, resolves a user name or looks at
//! the host, with one exception: `workers = 0` asks how many cores there are.
//!
//! Two stages, so that every refusal can point at a line and a column: `spelling` says which keys there are and what
//! kind of value each takes (serde), `rules` says which values make sense together. `docs/configuration.md` is the same
//! list for operators.

pub mod address;
mod defaults;
mod error;
mod flags;
mod host;
mod ip_range;
mod keys;
mod load;
mod nearest;
mod planned;
mod rules;
mod rules_admin;
mod rules_listener;
mod rules_log;
mod rules_route;
mod rules_source;
mod rules_upstream;
mod secret;
mod spelling;
mod target_range;
mod text;
mod trusted;
pub mod units;

use std::path::PathBuf;
use std::time::Duration;

pub use address::{ListenAddress, Target};
pub use defaults::{DEFAULT_PATH, HEADERS_MAX_CEILING};
pub use error::ConfigError;
pub use flags::RunFlags;
pub use host::HostPattern;
pub use ip_range::{IpRange, IpRangeError};
pub(crate) use nearest::nearest;
pub use secret::Secret;
pub use target_range::TargetRange;
pub use trusted::TrustedProxies;

/// The whole configuration of one running proxy.
///
/// Holds at least one listener, one upstream and one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[server]`: what belongs to the process as a whole.
    pub server: Server,
    /// `[log]`: what is written about it.
    pub log: Log,
    /// `[admin]`: where an operator reaches it; `None`: nowhere.
    pub admin: Option<Admin>,
    /// `[[listener]]`: where clients reach it. No two whose addresses overlap, no two of the same name.
    pub listeners: Vec<Listener>,
    /// `[[upstream]]`: the applications. No two of the same name.
    pub upstreams: Vec<Upstream>,
    /// `[[route]]`: which request goes to which upstream, in the order of the file. No two with the same host and path.
    pub routes: Vec<Route>,
}

/// `[server]`: what belongs to the process as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Worker threads, at least 1. The file's `0` (one per core) is already resolved.
    pub workers: usize,
    /// Whether other instances may serve the same addresses. Without it a listen address that something already serves
    /// is refused.
    pub share: bool,
    /// Whether `Proxy-Status` carries `details` to the client. The log has them either way.
    pub error_details: bool,
    /// Whose `X-Forwarded-*` and `Forwarded` are believed.
    pub trusted_proxies: TrustedProxies,
    /// How long a drain may take before what is left is closed; zero stops at once.
    pub drain_timeout: Duration,
    /// Bytes of buffers that each worker may hold before it streams instead. At least a mebibyte.
    pub buffer_memory: usize,
    /// The source addresses that [`Source::Auto`] spills into: IPv4, inside 127.0.0.0/8, without 127.0.0.1.
    pub spill_range: IpRange,
}

/// `[log]`: the operator log, on standard error, and the access log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The least severe message of the operator log that is still written.
    pub level: Level,
    /// Where a line for each request goes.
    pub access: AccessLog,
    /// How such a line is written.
    pub format: AccessFormat,
}

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To standard output.
    #[default]
    Stdout,
    /// To the end of this file; an absolute path.
    File(PathBuf),
}

/// How the access log writes a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// The combined log format of Apache httpd and nginx.
    Combined,
}

/// `[admin]`: the address for operators, apart from those for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens. Overlaps with no listener; reachable from other hosts only where there is a token.
    pub address: ListenAddress,
    /// What a request has to carry; `None`: nothing. 16 to 256 visible ASCII characters.
    pub token: Option<Secret>,
    /// Names by which it may be called besides IP addresses and `localhost`: in lower case, without ports, none twice.
    pub hosts: Vec<String>,
}

/// How much the operator log says, from nothing to everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing at all.
    Off,
    /// What an operator has to act on.
    Error,
    /// What will need attention if it goes on.
    Warn,
    /// Starts, stops, changes of state.
    #[default]
    Info,
    /// Decisions on single connections.
    Debug,
    /// Everything.
    Trace,
}

/// `[[listener]]`: one address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The label in metrics and logs; the address where the file gives none.
    pub name: String,
    /// Where it listens.
    pub address: ListenAddress,
    /// Client connections over all workers; `0`: what the descriptors allow.
    pub max_connections: usize,
    /// From the accept, or the first byte of a later request, to the whole head. Never zero.
    pub header_timeout: Duration,
    /// Between two requests on one connection. Never zero.
    pub idle_timeout: Duration,
    /// Between two reads or writes of a body, also towards a client that does not read. Never zero.
    pub body_timeout: Duration,
    /// Bytes of a request's head, from the request line to the empty line.
    pub header_size_max: usize,
    /// Fields in a request's head, 1 to [`HEADERS_MAX_CEILING`].
    pub headers_max: usize,
}

/// `[[upstream]]`: one application, reached at one or several targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The name that routes use, and the label in metrics and logs.
    pub name: String,
    /// Where the application listens; at least one, no two that overlap. Taken in turn (round robin).
    pub targets: Vec<Target>,
    /// Which source addresses connections to TCP targets come from.
    pub source: Source,
    /// How a connection to the application ends that we are the one to close.
    pub close: Close,
    /// Connections to the application over all workers; `0`: no bound of our own.
    pub max_connections: usize,
    /// Requests that wait for a connection.
    pub queue: Queue,
    /// Connections kept open between requests.
    pub keepalive: Keepalive,
    /// What is held for slow clients.
    pub buffer: BufferSizes,
    /// How long a refused, missing or stale target may be retried before the client sees 502; zero: not at all.
    pub restart_grace: Duration,
    /// To an established connection. Never zero.
    pub connect_timeout: Duration,
    /// From the whole request sent to the head of the answer. Never zero.
    pub response_timeout: Duration,
    /// Between two reads or writes of a body. Never zero.
    pub body_timeout: Duration,
    /// Silence in an upgraded connection. Never zero.
    pub tunnel_timeout: Duration,
    /// Fresh attempts for what the application cannot have seen.
    pub retries: u32,
    /// Whether `Via` is added to requests.
    pub via: bool,
    /// Whether `Forwarded` (RFC 7239) is sent besides `X-Forwarded-*`.
    pub forwarded: bool,
    /// Whether `X-Request-ID` is sent to the application: what a trusted proxy sent if it is valid, or else a new one.
    pub request_id: bool,
    /// Bytes of an answer's head, from the status line to the empty line.
    pub header_size_max: usize,
}

/// `source`: which source addresses connections to TCP targets come from. The source port is never fixed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Source {
    /// What the kernel would choose, and others only when its ports run out: those of [`Server::spill_range`] for IPv4.
    #[default]
    Auto,
    /// What the kernel chooses, and nothing else.
    Kernel,
    /// Any of these, and nothing else. 1 to 64 entries, canonical, no two that overlap, without unspecified, multicast,
    /// broadcast and link-local IPv6 addresses; for each TCP target at least one of its family.
    Listed(Vec<IpRange>),
}

/// `close`: how we end a connection to the application whose last answer is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Close {
    /// With a FIN, as TCP means it: whoever sends it first holds TIME_WAIT.
    #[default]
    Orderly,
    /// With a reset, which leaves no TIME_WAIT on either side.
    Reset,
}

/// `queue`: requests that wait for a connection to one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Waiting requests over all workers; `0`: nobody waits.
    pub size: usize,
    /// How long one of them waits. Never zero while `size` is not.
    pub timeout: Duration,
}

/// `keepalive`: idle connections to one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Idle connections per worker; `0`: never reuse one.
    pub idle: usize,
    /// How long one may be idle and still be used. Never zero while `idle` is not.
    pub timeout: Duration,
}

/// `buffer`: what one request may hold so that a slow client does not hold the application. Bytes; `0`: stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSizes {
    /// Of the request's body before the application is asked.
    pub request: usize,
    /// Of the answer's body that the client has not taken yet.
    pub response: usize,
}

/// `[[route]]`: requests for this host and below this path go to that upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The label in metrics and logs; host and path where the file gives none.
    pub name: String,
    /// The host it is for; `None`: any.
    pub host: Option<HostPattern>,
    /// The prefix of the path it is for; begins with `/`. The longest one wins.
    pub path: String,
    /// Index into [`Config::upstreams`], always in range.
    pub upstream: usize,
    /// Bytes of a request's body; `0`: no limit.
    pub body_size_max: u64,
}

#[cfg(test)]
mod tests;
