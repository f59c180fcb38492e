//! The kernel's settings about source ports. They help every program, and less than what the program can do itself.

use super::Plight;
use super::paste::{inside, shell, words};
use super::sysctl::{self, Setting};
use crate::finding::Remedy;
use crate::grouped::Grouped;
use crate::host::HostPorts;
use crate::range::{PortRange, ReservedPorts};
use crate::snapshot::{Namespace, PortSettings, Snapshot};

/// The widest range that leaves the ports alone below which only the superuser binds.
const WIDE: (u16, u16) = (1024, 65_535);

/// A wider range is worth its risk from this many more ports on, in percent.
const WIDER_PERCENT_MIN: u32 = 25;

/// Listeners' ports that are written into a line.
const PORTS_MAX: usize = 48;

/// A port that rests for so long after its connection, in milliseconds, rests for all of TIME_WAIT.
const WHOLE_MS: u32 = 60_000;

const RANGE: &str = "net.ipv4.ip_local_port_range";
const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";

/// The range as wide as it can be, where that gives noticeably more; what programs listen on in it is reserved first.
pub(crate) fn wider_range(plight: &Plight<'_>) -> Option<Remedy> {
    wider(plight.snapshot, plight.ports)
}

/// See [`wider_range`].
pub(crate) fn wider(snapshot: &Snapshot, ports: &PortSettings) -> Option<Remedy> {
    let wide = PortRange::new(WIDE.0, WIDE.1).ok()?;
    let listened = listened_ports(snapshot, ports, wide);
    let now = ports.host_ports().limit();
    let then = HostPorts {
        range: wide,
        ..ports.host_ports()
    }
    .limit()
    .saturating_sub(u32::try_from(listened.len()).unwrap_or(u32::MAX));
    let gain = then.saturating_sub(now).saturating_mul(100);
    if gain < now.saturating_mul(WIDER_PERCENT_MIN) {
        return None;
    }
    let more = gain.checked_div(now).map_or_else(String::new, |percent| {
        // Beyond that a factor is easier to read.
        if percent < 1_000 {
            format!(", +{percent} %")
        } else {
            format!(", {} times as many", count(then / now))
        }
    });
    let mut remedy = sysctl::set(
        &snapshot.namespace,
        &Setting {
            name: RANGE,
            value: &spelled(wide),
            before: &spelled(ports.range),
        },
        format!(
            "Widen the range of source ports: {} for each pair instead of {}{more}",
            count(then),
            count(now)
        ),
        Some(
            "a connection can take a port that a program wants to listen on later, which then fails to start; \
             reserve those ports"
                .to_owned(),
        ),
    );
    if let Some(reserve) = reserve(snapshot, ports, &listened) {
        remedy.steps.splice(0..0, reserve.steps);
        remedy.undo.extend(reserve.undo);
    }
    Some(remedy)
}

/// `ports` reserved as well as what is reserved now; none where there is nothing to reserve.
pub(crate) fn reserve(
    snapshot: &Snapshot,
    settings: &PortSettings,
    ports: &[u16],
) -> Option<Remedy> {
    if ports.is_empty() {
        return None;
    }
    let (listed, left) = ports.split_at(ports.len().min(PORTS_MAX));
    let before = settings.reserved.to_string();
    let mut value = before.clone();
    for port in listed {
        if !value.is_empty() {
            value.push(',');
        }
        value.push_str(&port.to_string());
    }
    // Neighbours become ranges, as the kernel prints them.
    let value = value
        .parse::<ReservedPorts>()
        .map_or(value, |all| all.to_string());
    let mut remedy = sysctl::set(
        &snapshot.namespace,
        &Setting {
            name: RESERVED,
            value: &value,
            before: &before,
        },
        "Reserve the ports that programs listen on, so that no connection is given one by chance",
        None,
    );
    if before.is_empty() {
        replace_first(&mut remedy.undo, empty(&snapshot.namespace));
    }
    if !left.is_empty() {
        remedy.steps.push(words(format!(
            "{} more ports are listened on; add those that are always the same",
            count(left.len() as u64)
        )));
    }
    Some(remedy)
}

/// The list of reserved ports shortened to nothing, where nothing of it is meant.
pub(crate) fn reserve_less(snapshot: &Snapshot, settings: &PortSettings) -> Remedy {
    let before = settings.reserved.to_string();
    let range = settings.range;
    let outside: Vec<PortRange> = settings
        .reserved
        .ranges()
        .iter()
        .copied()
        .filter(|reserved| reserved.intersection(range).is_none())
        .collect();
    let kept: Vec<u16> = listened_in_reserved(snapshot, settings);
    let mut words_of_value: Vec<String> = outside.iter().map(PortRange::to_string).collect();
    words_of_value.extend(kept.iter().take(PORTS_MAX).map(u16::to_string));
    let value = words_of_value
        .join(",")
        .parse::<ReservedPorts>()
        .map_or_else(|_| words_of_value.join(","), |all| all.to_string());
    let mut remedy = sysctl::set(
        &snapshot.namespace,
        &Setting {
            name: RESERVED,
            value: &value,
            before: &before,
        },
        "Reserve only what programs listen on",
        Some(
            "whoever reserved the others may count on them: a program that is not running now, or that chooses its \
             ports itself; look first who set it (grep -r ip_local_reserved_ports /etc/sysctl.conf /etc/sysctl.d)"
                .to_owned(),
        ),
    );
    if value.is_empty() {
        remedy.steps = vec![
            shell([empty(&snapshot.namespace)]),
            words(
                "Then take the line out that sets it at each boot (in /etc/sysctl.conf or /etc/sysctl.d).",
            ),
        ];
        remedy.undo.truncate(1);
    }
    remedy
}

/// TIME_WAIT used again after a second, where it now lasts a minute and has a part of the ports that matters.
pub(crate) fn reuse_time_wait(plight: &Plight<'_>) -> Option<Remedy> {
    if !plight.waits_long || !plight.churns() {
        return None;
    }
    Some(reuse(plight))
}

/// The settings that are in the way of it.
pub(crate) fn reuse(plight: &Plight<'_>) -> Remedy {
    let ports = plight.ports;
    let namespace = &plight.snapshot.namespace;
    let key = &plight.group.key;
    let is_loopback = [key.source, key.destination.ip()]
        .into_iter()
        .any(|address| address.to_canonical().is_loopback());
    // 2 is the kernel's default and enough on loopback.
    let value = if is_loopback { "2" } else { "1" };
    let reuse_is_off = ports.tcp_tw_reuse == 0 || (ports.tcp_tw_reuse == 2 && !is_loopback);
    let title = "Let new connections use ports in TIME_WAIT after a second instead of a minute";
    let risk = "a server that has not seen the last segment of the old connection answers the new one with it, and \
                that connect takes a second longer; it needs TCP timestamps at both ends, and concerns only \
                connections that this host begins"
        .to_owned();
    let before = ports.tcp_tw_reuse.to_string();
    let mut remedy = if reuse_is_off {
        sysctl::set(
            namespace,
            &Setting {
                name: "net.ipv4.tcp_tw_reuse",
                value,
                before: &before,
            },
            title,
            Some(risk.clone()),
        )
    } else {
        Remedy {
            title: title.to_owned(),
            steps: Vec::new(),
            undo: Vec::new(),
            risk: Some(risk),
        }
    };
    if ports.tcp_tw_reuse_delay_ms >= WHOLE_MS {
        let delay = sysctl::set(
            namespace,
            &Setting {
                name: "net.ipv4.tcp_tw_reuse_delay",
                value: "1000",
                before: &ports.tcp_tw_reuse_delay_ms.to_string(),
            },
            title,
            None,
        );
        remedy.steps.extend(delay.steps);
        remedy.undo.extend(delay.undo);
    }
    if ports.tcp_timestamps == 0 {
        let timestamps = sysctl::set(
            namespace,
            &Setting {
                name: "net.ipv4.tcp_timestamps",
                value: "1",
                before: "0",
            },
            title,
            None,
        );
        remedy.steps.extend(timestamps.steps);
        remedy.steps.push(words(
            "Connections that are open now go on without timestamps; those made from now on have them.",
        ));
        remedy.undo.extend(timestamps.undo);
    }
    remedy
}

/// Ports of `range` that programs listen on and that are not reserved, each once, in order.
pub(crate) fn listened_ports(
    snapshot: &Snapshot,
    settings: &PortSettings,
    range: PortRange,
) -> Vec<u16> {
    let mut ports: Vec<u16> = snapshot
        .listeners
        .iter()
        .map(|listener| listener.address.port())
        .filter(|port| range.contains(*port) && !settings.reserved.contains(*port))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn listened_in_reserved(snapshot: &Snapshot, settings: &PortSettings) -> Vec<u16> {
    let mut ports: Vec<u16> = snapshot
        .listeners
        .iter()
        .map(|listener| listener.address.port())
        .filter(|port| settings.range.contains(*port) && settings.reserved.contains(*port))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn count(number: impl Into<u64>) -> Grouped {
    Grouped(number.into())
}

/// As the kernel reads it: `32768 60999`.
fn spelled(range: PortRange) -> String {
    format!("{} {}", range.first(), range.last())
}

/// An empty list: sysctl(8) of procps before 4.0 refuses a setting without a value.
fn empty(namespace: &Namespace) -> String {
    let file = "/proc/sys/net/ipv4/ip_local_reserved_ports";
    if namespace.pid.is_some() {
        inside(namespace, &format!("sh -c 'echo > {file}'"))
    } else {
        format!("echo > {file}")
    }
}

fn replace_first(lines: &mut [String], line: String) {
    if let Some(first) = lines.first_mut() {
        *first = line;
    }
}
