//! The Linux calls that lasthop needs and the standard library lacks: listening, connecting, socket options, pipes
//! between sockets, limits, sysctls, the host's sockets, routes, counters, processes and network namespaces as the kernel
//! tells them, and the words that explain a refused connect. And a setting of the allocator, for which there is no safe
//! interface either.
//!
//! The only crate of the workspace that may say `unsafe`; each use says why it is sound. Knows nothing of HTTP, of
//! configuration or of an async runtime: it takes and returns types of the standard library, non-blocking where they
//! are sockets, so that any runtime can own them. What a kernel cannot do is found out by trying ([`probe`]), never by
//! comparing version numbers: distributions carry features back.

#![expect(
    unsafe_code,
    reason = "this crate is where the workspace keeps its few calls that no safe interface covers"
)]

pub mod allocator;
pub mod clock;
pub mod connect;
pub mod counters;
pub mod explain;
pub mod identity;
pub mod limits;
pub mod listen;
pub mod memory;
pub mod namespace;
pub mod owner;
pub mod probe;
pub mod process;
pub mod regular;
pub mod route;
pub mod sock_diag;
pub mod socket;
pub mod splice;
pub mod sysctl;
pub mod terminal;
pub mod timer;
#[doc(hidden)]
pub mod wire;

mod netlink;
mod option;
mod seccomp;

#[cfg(test)]
mod testing;
