//! Room in the firewall's table of connections: a larger one, or fewer connections in it.

use super::paste::{inside, shell, words};
use super::sysctl::{self, Setting};
use crate::finding::Remedy;
use crate::snapshot::{Namespace, Usage};

/// What an entry takes of the kernel's memory, in bytes: `nf_conn` (256) and its extensions, rounded up.
const ENTRY_BYTES: u64 = 400;

const MIB: u64 = 1024 * 1024;

/// Why connections within the host may have to be followed after all.
const LOOPBACK_RISK: &str = "Rules that see loopback traffic can no longer tell established connections (ct state), and addresses of it \
    are no longer rewritten: not with a service mesh or kube-proxy on this host, nor with a firewall that drops what is not \
    established without accepting lo first.";

/// A table twice as large.
pub(crate) fn larger(usage: Usage, namespace: &Namespace) -> Remedy {
    let value = usage.limit.saturating_mul(2);
    sysctl::set(
        namespace,
        &Setting {
            name: "net.netfilter.nf_conntrack_max",
            value: &value.to_string(),
            before: &usage.limit.to_string(),
        },
        "Make the table twice as large",
        Some(format!(
            "Up to {} MiB more memory of the kernel when it is full. There is one setting for the whole host, and a \
             container cannot change it.",
            usage.limit.saturating_mul(ENTRY_BYTES).div_ceil(MIB)
        )),
    )
}

/// Connections within the host left out of the table: with nftables, and with iptables where that is what a host has.
pub(crate) fn without_loopback(namespace: &Namespace) -> [Remedy; 2] {
    let run = |commands: &[&str]| -> Vec<String> {
        commands
            .iter()
            .map(|command| inside(namespace, command))
            .collect()
    };
    let risk = Some(LOOPBACK_RISK.to_owned());
    let hook = |hook: &str| {
        format!(
            "nft add chain inet lasthop_notrack {hook} '{{ type filter hook {hook} priority raw; policy accept; }}'"
        )
    };
    let nft = Remedy {
        title: "Do not follow connections within the host (nftables)".to_owned(),
        steps: vec![shell(run(&[
            "nft add table inet lasthop_notrack",
            &hook("prerouting"),
            &hook("output"),
            "nft add rule inet lasthop_notrack prerouting iif lo notrack",
            "nft add rule inet lasthop_notrack output oif lo notrack",
        ]))],
        undo: run(&["nft delete table inet lasthop_notrack"]),
        risk: risk.clone(),
    };
    let iptables = |verb: &str| {
        run(&[
            &format!("iptables -t raw {verb} PREROUTING -i lo -j CT --notrack"),
            &format!("iptables -t raw {verb} OUTPUT -o lo -j CT --notrack"),
            &format!("ip6tables -t raw {verb} PREROUTING -i lo -j CT --notrack"),
            &format!("ip6tables -t raw {verb} OUTPUT -o lo -j CT --notrack"),
        ])
    };
    [
        nft,
        Remedy {
            title: "The same with iptables, where the host's firewall is made with that".to_owned(),
            steps: vec![shell(iptables("-I"))],
            undo: iptables("-D"),
            risk,
        },
    ]
}

/// Fewer entries: connections that are kept instead of opened for each request.
pub(crate) fn fewer() -> Remedy {
    Remedy {
        title: "Open fewer connections".to_owned(),
        steps: vec![words(
            "A connection stays in the table for two minutes after its end. Connections that are kept (keepalive to the app, \
             keep-alive to clients), or a Unix socket to the app, leave far fewer.",
        )],
        undo: vec!["Nothing is to be taken back.".to_owned()],
        risk: None,
    }
}
