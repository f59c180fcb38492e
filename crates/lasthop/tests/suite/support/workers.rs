//! Which worker has which client, as the kernel knows it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::process::{descriptors, watched};
use super::{Client, Lasthop, PATIENCE};

/// The clients among `clients` by the worker that has them.
pub(crate) fn by_worker<'a>(proxy: &Lasthop, clients: &'a [Client]) -> Vec<Vec<&'a Client>> {
    let begun = Instant::now();
    loop {
        let workers = watched(proxy.pid());
        let descriptors = descriptors_of_peers(proxy.pid());
        let worker_of = |client: &Client| {
            let descriptors = descriptors.get(&client.0.local_port())?;
            workers
                .iter()
                .position(|watched| descriptors.iter().any(|one| watched.contains(one)))
        };
        let places: Option<Vec<_>> = clients.iter().map(worker_of).collect();
        if let Some(places) = places {
            let mut found: Vec<Vec<&Client>> = workers.iter().map(|_| Vec::new()).collect();
            for (client, place) in clients.iter().zip(places) {
                found[place].push(client);
            }
            found.retain(|clients| !clients.is_empty());
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "some clients are nobody's");
        std::thread::yield_now();
    }
}

/// The descriptors of a process by the port of their peer, from one look at the kernel's table: it may have a hundred
/// thousand lines of other programs.
fn descriptors_of_peers(pid: u32) -> BTreeMap<u16, Vec<u32>> {
    let of_inodes: BTreeMap<String, u32> = descriptors(pid)
        .into_iter()
        .filter_map(|descriptor| {
            let link = std::fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok()?;
            Some((link.to_string_lossy().into_owned(), descriptor))
        })
        .collect();
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let mut found: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
    // sl local remote st tx:rx tr:when retrnsmt uid timeout inode (proc(5)); addresses end in `:PORT` in hex.
    for line in table.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let port = fields[2].rsplit_once(':');
        let port = port.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        let descriptor = of_inodes.get(&format!("socket:[{}]", fields[9]));
        if let (Some(port), Some(descriptor)) = (port, descriptor) {
            found.entry(port).or_default().push(*descriptor);
        }
    }
    found
}
