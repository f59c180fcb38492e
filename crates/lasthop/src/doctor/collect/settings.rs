//! Settings, counters and limits of the host, each missing where it cannot be read.

use std::time::Duration;

use lasthop_kernel::{counters, probe, sysctl};
use lasthop_ports::snapshot::{Counters, PortSettings, Settings, Snapshot, TcpMemory, Usage};

/// How soon TIME_WAIT can be reused where the kernel has no setting for it (`tcp_twsk_unique`: more than a second).
const REUSE_DELAY: Duration = Duration::from_secs(1);

/// What cannot be read, in words, each told once.
pub(super) struct Unseen<'a>(pub(super) &'a mut Vec<String>);

impl Unseen<'_> {
    /// The value, or a note that there is none.
    pub(super) fn take<T, E: std::error::Error>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let source = error
                    .source()
                    .map(|source| format!(": {source}"))
                    .unwrap_or_default();
                self.note(format!("{error}{source}"));
                None
            }
        }
    }

    pub(super) fn note(&mut self, text: String) {
        if !self.0.contains(&text) {
            self.0.push(text);
        }
    }
}

/// Fills in all that is read from /proc.
pub(super) fn read_into(snapshot: &mut Snapshot) {
    let mut noted = std::mem::take(&mut snapshot.unseen);
    let mut unseen = Unseen(&mut noted);
    snapshot.kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default();
    snapshot.ports = ports(&mut unseen);
    snapshot.settings = Settings {
        somaxconn: unseen.take(sysctl::somaxconn()),
        tcp_max_orphans: unseen.take(sysctl::tcp_max_orphans()).flatten(),
        nr_open: unseen.take(sysctl::nr_open()),
    };
    snapshot.conntrack = conntrack(&mut unseen);
    snapshot.files = unseen.take(sysctl::file_nr()).map(|files| Usage {
        used: files.allocated,
        limit: files.max,
    });
    if let Some(counted) = unseen.take(counters::read()) {
        read_counted(snapshot, &counted, &mut unseen);
    }
    snapshot.unseen = noted;
}

fn read_counted(snapshot: &mut Snapshot, counted: &counters::Counters, unseen: &mut Unseen<'_>) {
    snapshot.counters = of_kernel(counted);
    let buckets = unseen.take(sysctl::tcp_max_tw_buckets());
    snapshot.time_wait_buckets = counted.tcp_tw.zip(buckets).map(|(used, limit)| Usage {
        used,
        limit: limit.into(),
    });
    let memory = unseen.take(sysctl::tcp_mem()).flatten();
    snapshot.tcp_memory = counted
        .tcp_mem_pages
        .zip(memory)
        .map(|(pages, memory)| TcpMemory {
            pages,
            low_pages: memory.low,
            pressure_pages: memory.pressure,
            limit_pages: memory.max,
        });
}

/// The counters alone: some are read twice, to see which rise.
pub(super) fn counters() -> Option<Counters> {
    counters::read().ok().as_ref().map(of_kernel)
}

const fn of_kernel(counted: &counters::Counters) -> Counters {
    Counters {
        listen_overflows: counted.listen_overflows,
        listen_drops: counted.listen_drops,
        time_wait_overflow: counted.tcp_time_wait_overflow,
        memory_pressures: counted.tcp_memory_pressures,
        aborts_on_memory: counted.tcp_abort_on_memory,
        active_opens: counted.active_opens,
        attempt_fails: counted.attempt_fails,
        orphans: counted.tcp_orphan,
    }
}

fn ports(unseen: &mut Unseen<'_>) -> Option<PortSettings> {
    let delay = unseen.take(sysctl::tcp_tw_reuse_delay()).flatten();
    let delay = delay.unwrap_or(REUSE_DELAY).as_millis();
    Some(PortSettings {
        range: unseen.take(sysctl::local_port_range())?,
        reserved: unseen.take(sysctl::reserved_ports())?,
        tcp_tw_reuse: unseen.take(sysctl::tcp_tw_reuse())?,
        tcp_timestamps: unseen.take(sysctl::tcp_timestamps())?,
        tcp_tw_reuse_delay_ms: u32::try_from(delay).unwrap_or(u32::MAX),
        flat_search: probe::flat_port_search(),
    })
}

fn conntrack(unseen: &mut Unseen<'_>) -> Option<Usage> {
    let count = unseen.take(sysctl::conntrack_count()).flatten()?;
    let max = unseen.take(sysctl::conntrack_max()).flatten()?;
    Some(Usage {
        used: count.into(),
        limit: max.into(),
    })
}
