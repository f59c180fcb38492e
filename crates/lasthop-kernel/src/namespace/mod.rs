//! Network namespaces: those that the processes of this host are in, a look into one of them, and private ones for tests.
//!
//! Each has source ports, listeners, settings and counters of its own: what is short in a container does not show on its
//! host. Whoever looks into one is a thread, which the kernel lets change over by itself (setns(2)); the functions of
//! this crate that say "of the calling thread" then tell of that namespace.

mod enter;
mod every;
mod private;

pub use enter::{EnterError, within};
pub use every::{NAMESPACES_MAX, NetworkNamespace, every, is_own};
pub use private::{
    add_local_network, add_loopback_address, bring_up_loopback, deny_port_range_option,
    deny_sock_diag, deny_splice, in_private_network, isolate, skip,
};
