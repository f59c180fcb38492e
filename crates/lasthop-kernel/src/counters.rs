//! What the kernel counts of TCP: queues that overflowed, memory that ran short, sockets in use.
//!
//! Of the network namespace of the calling thread, except where a field says that it is of the whole host
//! (proc_pid_net(5), Documentation/networking/snmp_counter.rst). Counters only ever rise, until the host starts anew:
//! two readings tell what happens now, one tells what has ever happened.

use crate::wire::counters::{Counter, of_lines, of_pairs_of_lines};
use std::io;
use std::path::Path;

/// The counters that a diagnosis looks at, by the kernel's own names; `None` where this kernel does not have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// `ListenOverflows`: connections that were complete and found the queue of their listener full. Also counted in
    /// [`listen_drops`](Self::listen_drops).
    pub listen_overflows: Option<u64>,
    /// `ListenDrops`: connections that a listener refused or dropped, for whatever reason.
    pub listen_drops: Option<u64>,
    /// `TCPReqQFullDrop`: handshakes dropped because the queue of those under way was full, without SYN cookies.
    pub tcp_req_q_full_drop: Option<u64>,
    /// `TCPTimeWaitOverflow`: connections that left no TIME_WAIT because there were `tcp_max_tw_buckets` already.
    pub tcp_time_wait_overflow: Option<u64>,
    /// `TW`: connections that ended their time in TIME_WAIT.
    pub tw: Option<u64>,
    /// `TWRecycled`: connections in TIME_WAIT whose tuple went to a new one (`tcp_tw_reuse`).
    pub tw_recycled: Option<u64>,
    /// `TCPMemoryPressures`: how often TCP's memory went over the second figure of `tcp_mem`.
    pub tcp_memory_pressures: Option<u64>,
    /// `TCPAbortOnMemory`: connections ended because there were too many orphans, or no memory.
    pub tcp_abort_on_memory: Option<u64>,
    /// `ActiveOpens`: connections begun here, in vain or not.
    pub active_opens: Option<u64>,
    /// `PassiveOpens`: connections that listeners got.
    pub passive_opens: Option<u64>,
    /// `AttemptFails`: connections that ended before they were established.
    pub attempt_fails: Option<u64>,
    /// `CurrEstab`: connections in ESTABLISHED or CLOSE_WAIT now.
    pub curr_estab: Option<u64>,
    /// `sockets: used`: sockets of all kinds that have a descriptor, now.
    pub sockets_used: Option<u64>,
    /// `TCP: inuse`: TCP sockets of IPv4 now, TIME_WAIT not among them.
    pub tcp_inuse: Option<u64>,
    /// `TCP6: inuse`: the same of IPv6.
    pub tcp6_inuse: Option<u64>,
    /// `TCP: orphan`: sockets without a descriptor that are not done yet, now. Of the whole host.
    pub tcp_orphan: Option<u64>,
    /// `TCP: tw`: connections in TIME_WAIT now, of both families.
    pub tcp_tw: Option<u64>,
    /// `TCP: alloc`: TCP sockets that exist now, of both families. Of the whole host.
    pub tcp_alloc: Option<u64>,
    /// `TCP: mem`: memory for the bytes in their buffers now, in pages. Of the whole host.
    pub tcp_mem_pages: Option<u64>,
}

/// Reads the counters.
///
/// # Errors
/// As open(2) and read(2): where `/proc` is not there, or hides them. `sockstat6` alone may be missing, on a host
/// without IPv6.
pub fn read() -> io::Result<Counters> {
    // That of the thread: /proc/net is that of the process' first thread, which may be in another namespace.
    let directory = Path::new("/proc/thread-self/net");
    let file = |name| std::fs::read_to_string(directory.join(name));
    let mut counters = Counters::default();
    for name in ["netstat", "snmp"] {
        of_pairs_of_lines(&file(name)?).for_each(|one| counters.note(one));
    }
    of_lines(&file("sockstat")?).for_each(|one| counters.note(one));
    match file("sockstat6") {
        Ok(text) => of_lines(&text).for_each(|one| counters.note(one)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(counters)
}

impl Counters {
    fn note(&mut self, counter: Counter<'_>) {
        let field = match (counter.group, counter.name) {
            ("TcpExt", "ListenOverflows") => &mut self.listen_overflows,
            ("TcpExt", "ListenDrops") => &mut self.listen_drops,
            ("TcpExt", "TCPReqQFullDrop") => &mut self.tcp_req_q_full_drop,
            ("TcpExt", "TCPTimeWaitOverflow") => &mut self.tcp_time_wait_overflow,
            ("TcpExt", "TW") => &mut self.tw,
            ("TcpExt", "TWRecycled") => &mut self.tw_recycled,
            ("TcpExt", "TCPMemoryPressures") => &mut self.tcp_memory_pressures,
            ("TcpExt", "TCPAbortOnMemory") => &mut self.tcp_abort_on_memory,
            ("Tcp", "ActiveOpens") => &mut self.active_opens,
            ("Tcp", "PassiveOpens") => &mut self.passive_opens,
            ("Tcp", "AttemptFails") => &mut self.attempt_fails,
            ("Tcp", "CurrEstab") => &mut self.curr_estab,
            ("sockets", "used") => &mut self.sockets_used,
            ("TCP", "inuse") => &mut self.tcp_inuse,
            ("TCP6", "inuse") => &mut self.tcp6_inuse,
            ("TCP", "orphan") => &mut self.tcp_orphan,
            ("TCP", "tw") => &mut self.tcp_tw,
            ("TCP", "alloc") => &mut self.tcp_alloc,
            ("TCP", "mem") => &mut self.tcp_mem_pages,
            _ => return,
        };
        *field = Some(counter.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_the_counters_that_every_kernel_has() {
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let counters = read().unwrap();
        for counter in [
            counters.listen_overflows,
            counters.listen_drops,
            counters.tcp_time_wait_overflow,
            counters.tw,
            counters.tw_recycled,
            counters.tcp_memory_pressures,
            counters.tcp_abort_on_memory,
            counters.tcp_orphan,
            counters.tcp_tw,
            counters.tcp_mem_pages,
        ] {
            assert!(counter.is_some(), "{counters:?}");
        }
        assert!(counters.tcp_inuse > Some(0) && counters.tcp_alloc > Some(0));
        assert!(counters.sockets_used > Some(0));
    }

    #[test]
    fn the_same_name_in_another_group_is_another_counter() {
        let mut counters = Counters::default();
        of_lines("UDP: inuse 9 mem 9\nTCP: inuse 1\n").for_each(|one| counters.note(one));
        let expected = Counters {
            tcp_inuse: Some(1),
            ..Counters::default()
        };
        assert_eq!(counters, expected);
    }
}
