//! The kernel's counters as text: /proc/net/netstat and snmp, and /proc/net/sockstat and sockstat6.
//!
//! Total over any text: what is no number or has no name is skipped. Which of them there are changes with every kernel,
//! so that they are read by name and never by place (`netstat_seq_show` and `snmp_seq_show` in net/ipv4/proc.c).

/// A counter: the group that it stands in, its name, its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter<'a> {
    /// Such as `TcpExt`.
    pub group: &'a str,
    /// Such as `ListenDrops`.
    pub name: &'a str,
    /// Negative ones, which mean that there is no limit, are not told.
    pub value: u64,
}

/// The counters of netstat or snmp: a line of names, then one of values, both beginning with the group. Longer ones of
/// the two are read as far as the other goes.
pub fn of_pairs_of_lines(text: &str) -> impl Iterator<Item = Counter<'_>> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let values = lines.clone().skip(1);
    lines
        .zip(values)
        // Between two pairs stand the values of one group and the names of the next.
        .filter(|((group, _), (same, _))| group == same)
        .flat_map(|((group, names), (_, values))| {
            let names = names.split_ascii_whitespace();
            counters(group, names.zip(values.split_ascii_whitespace()))
        })
}

/// The counters of sockstat or sockstat6: each line has a group and then names and values by turns.
pub fn of_lines(text: &str) -> impl Iterator<Item = Counter<'_>> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .flat_map(|(group, rest)| {
            let names = rest.split_ascii_whitespace().step_by(2);
            let values = rest.split_ascii_whitespace().skip(1).step_by(2);
            counters(group, names.zip(values))
        })
}

fn counters<'a>(
    group: &'a str,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = Counter<'a>> {
    pairs.filter_map(move |(name, value)| {
        Some(Counter {
            group,
            name,
            value: value.parse().ok()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::maim;

    const NETSTAT: &str = "\
TcpExt: SyncookiesSent ListenOverflows ListenDrops
TcpExt: 0 12 13
IpExt: InNoRoutes
IpExt: 0
";
    const SNMP: &str = "Tcp: MaxConn ActiveOpens\nTcp: -1 7\n";
    const SOCKSTAT: &str = "sockets: used 10\nTCP: inuse 1 orphan 2 tw 3 alloc 4 mem 5\n";

    fn told<'a>(counters: impl Iterator<Item = Counter<'a>>) -> Vec<String> {
        counters
            .map(|one| format!("{} {} {}", one.group, one.name, one.value))
            .collect()
    }

    #[test]
    fn names_and_values_meet_line_by_line() {
        assert_eq!(
            told(of_pairs_of_lines(NETSTAT)),
            [
                "TcpExt SyncookiesSent 0",
                "TcpExt ListenOverflows 12",
                "TcpExt ListenDrops 13",
                "IpExt InNoRoutes 0"
            ]
        );
        assert_eq!(told(of_pairs_of_lines(SNMP)), ["Tcp ActiveOpens 7"]);
    }

    #[test]
    fn names_and_values_meet_by_turns() {
        assert_eq!(
            told(of_lines(SOCKSTAT)),
            [
                "sockets used 10",
                "TCP inuse 1",
                "TCP orphan 2",
                "TCP tw 3",
                "TCP alloc 4",
                "TCP mem 5"
            ]
        );
    }

    #[test]
    fn text_of_another_shape_has_fewer_counters() {
        for text in ["", "\n\n", "TcpExt:\n", "TcpExt: A\nIpExt: 1\n", ":::\n:::"] {
            assert_eq!(of_pairs_of_lines(text).count(), 0, "{text:?}");
        }
        for text in [NETSTAT, SNMP, SOCKSTAT] {
            maim(text.as_bytes(), |bytes| {
                let text = String::from_utf8_lossy(bytes);
                let words = text.split_ascii_whitespace().count();
                assert!(of_pairs_of_lines(&text).count() <= words);
                assert!(of_lines(&text).count() <= words);
            });
        }
    }
}
