//! How many clients a proxy is given room for: what its configuration says, and what the descriptor limit allows.

use lasthop_kernel::limits;

use crate::error::BenchError;

/// Enough for the clients of any scenario here, with what proxies need besides within a hard limit of 20,000.
const CLIENTS_MAX: usize = 9500;
/// Descriptors of a proxy that are no client's and no connection's to the app: listeners, logs, event loops, pipes.
const DESCRIPTORS_APART: usize = 768;

/// The room, the same for every proxy: what some of them reserve in advance is by the size of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    clients: usize,
}

impl Room {
    /// What this host has; raises the descriptor limit of this process and, by inheritance, of all it starts.
    pub(crate) fn on_this_host() -> Result<Self, BenchError> {
        let limit = limits::raise_nofile()?;
        let hard = usize::try_from(limit.hard).unwrap_or(usize::MAX);
        Ok(Self::within(hard))
    }

    fn within(descriptors: usize) -> Self {
        // Each client may need a connection to the app.
        let clients = descriptors.saturating_sub(DESCRIPTORS_APART) / 2;
        Self {
            clients: clients.min(CLIENTS_MAX),
        }
    }

    /// Client connections at once.
    pub(crate) fn clients(self) -> usize {
        self.clients
    }

    /// Descriptors that serve them.
    pub(crate) fn descriptors(self) -> usize {
        2 * self.clients + DESCRIPTORS_APART
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_never_exceeds_what_the_host_allows() {
        for descriptors in [0, 300, 1024, 20_000, usize::MAX] {
            let room = Room::within(descriptors);
            assert!(room.clients() <= CLIENTS_MAX);
            assert!(room.clients() == 0 || room.descriptors() <= descriptors);
        }
        assert_eq!(Room::within(20_000).clients(), CLIENTS_MAX);
        assert_eq!(Room::within(1_000_000).clients(), CLIENTS_MAX);
    }
}
