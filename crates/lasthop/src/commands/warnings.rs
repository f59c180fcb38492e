//! What an operator should know beforehand about the addresses that connections come from and go to: said by `check`
//! and by `plan`.
//!
//! None of it is a reason to refuse a file. Looks at the configuration and asks for routes; who listens where is not
//! looked at here.

use std::fmt;
use std::net::IpAddr;

use crate::config::{Config, IpRange, Source, Target, Upstream};
use crate::ports::survey::Way;

/// Targets of one upstream that a warning names; more are counted.
const NAMED_MAX: usize = 3;

/// A range that is nobody's (RFC 4193), for the commands that we suggest.
pub(super) const ANY_IP: &str = "fd00:1::/64";

/// One thing to know about an upstream. Printed, it is a sentence or two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Warning {
    /// The name of the upstream.
    upstream: String,
    /// The targets that it is about.
    targets: Vec<Target>,
    /// What it is.
    pub(super) what: What,
}

/// What there is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// `auto` may come from other addresses than 127.0.0.1, which an app may have to be told.
    MaySpill(IpRange),
    /// `auto` has no address to go on from.
    NothingToSpillOver,
    /// `auto` has no address to go on from towards another host.
    OtherHost,
    /// A listed source is no address of this host.
    ForeignSource(IpRange),
    /// A loopback source towards another host.
    LoopbackSource(IpRange),
    /// A TCP target on this host, which could be a Unix socket.
    CouldBeUnix,
}

/// What there is to know about `config`, on a host with these ways to its addresses.
pub(super) fn warnings(config: &Config, way: &dyn Fn(IpAddr) -> Way) -> Vec<Warning> {
    let mut told = Vec::new();
    for upstream in &config.upstreams {
        of_upstream(upstream, config.server.spill_range, way, &mut told);
    }
    told
}

/// Asks the kernel.
pub(super) fn way_of_this_host(destination: IpAddr) -> Way {
    Way::to(destination)
}

fn of_upstream(
    upstream: &Upstream,
    spill_range: IpRange,
    way: &dyn Fn(IpAddr) -> Way,
    told: &mut Vec<Warning>,
) {
    let ways: Vec<(&Target, IpAddr, Way)> = upstream
        .targets
        .iter()
        .filter_map(|target| Some((target, target.tcp()?.0.first())))
        .map(|(target, first)| (target, first, way(first)))
        .collect();
    let mut tell = |what: What, holds: &dyn Fn(IpAddr, &Way) -> bool| {
        let targets: Vec<Target> = ways
            .iter()
            .filter(|(_, first, way)| holds(*first, way))
            .map(|(target, _, _)| (*target).clone())
            .collect();
        if !targets.is_empty() {
            told.push(Warning {
                upstream: upstream.name.clone(),
                targets,
                what,
            });
        }
    };
    let is_elsewhere = |_: IpAddr, way: &Way| !way.is_local && way.source.is_some();
    match &upstream.source {
        Source::Auto => {
            tell(What::MaySpill(spill_range), &|first, way| {
                first.is_ipv4() && (way.is_local || first.is_loopback())
            });
            tell(What::NothingToSpillOver, &|first, way| {
                first.is_ipv6() && way.is_local && way.loopback.is_empty()
            });
            tell(What::OtherHost, &is_elsewhere);
        }
        Source::Kernel => {}
        Source::Listed(ranges) => {
            for range in ranges {
                if is_foreign(range, way) {
                    tell(What::ForeignSource(*range), &|first, _| {
                        first.is_ipv4() == range.is_ipv4()
                    });
                } else if range.first().is_loopback() {
                    tell(What::LoopbackSource(*range), &|first, way| {
                        first.is_ipv4() == range.is_ipv4() && is_elsewhere(first, way)
                    });
                }
            }
        }
    }
    tell(What::CouldBeUnix, &|first, way| {
        way.is_local || first.is_loopback()
    });
}

/// Whether the first or the last address of a range is known to be none of this host.
fn is_foreign(range: &IpRange, way: &dyn Fn(IpAddr) -> Way) -> bool {
    let last = range
        .hosts()
        .checked_sub(1)
        .and_then(|number| range.host(number));
    [Some(range.first()), last]
        .into_iter()
        .flatten()
        .any(|address| {
            let way = way(address);
            !way.is_local && (way.source.is_some() || way.is_unreachable)
        })
}

impl Warning {
    /// The name of the upstream that it is about.
    pub(super) fn upstream(&self) -> &str {
        &self.upstream
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upstream {}: ", self.upstream)?;
        let targets = Targets(&self.targets);
        match &self.what {
            What::MaySpill(range) => write!(
                f,
                "connections to {targets} come from {range} too when ports run short, unless the app listens on every \
                 address. An app that believes forwarding fields of 127.0.0.1 only has to be told: gunicorn and \
                 uvicorn with --forwarded-allow-ips 127.0.0.0/8; docs/ports.md has others"
            ),
            What::NothingToSpillOver => write!(
                f,
                "for {targets} there is one source address, and no other to go on from. For more: \
                 `ip -6 route add local {ANY_IP} dev lo` (undone by `ip -6 route del local {ANY_IP} dev lo`)"
            ),
            What::OtherHost => write!(
                f,
                "not this host, so that connections come from one address: {targets}. For more, list addresses of \
                 this host: source = [\"…\", \"…\"]"
            ),
            What::ForeignSource(range) => write!(
                f,
                "source {range} is not an address of this host, and connections to {targets} from there will fail"
            ),
            What::LoopbackSource(range) => write!(
                f,
                "source {range} is a loopback address, and connections from there to another host will fail: {targets}"
            ),
            What::CouldBeUnix => write!(
                f,
                "on this host: {targets}. Over a Unix socket (unix:/path) there are no ports to run out of, and each \
                 request costs less"
            ),
        }
    }
}

/// Targets by name, as many as fit into a line.
struct Targets<'a>(&'a [Target]);

impl fmt::Display for Targets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, target) in self.0.iter().take(NAMED_MAX).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{target}")?;
        }
        match self.0.len().saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use lasthop_kernel::route::LoopbackNetwork;

    use super::*;

    /// A host with 10.0.0.1, the loopback addresses, and perhaps a range on `lo`, and without a route to 203.0.113.0/24.
    fn way(has_any_ip: bool) -> impl Fn(IpAddr) -> Way {
        move |destination| {
            let is_local = destination.is_loopback()
                || destination == IpAddr::from([10, 0, 0, 1])
                || (has_any_ip && destination.to_string().starts_with("fd00:1::"));
            let network = LoopbackNetwork {
                network: "fd00:1::".parse().unwrap(),
                prefix: 64,
                any_ip: true,
            };
            let is_unreachable = destination.to_string().starts_with("203.0.113.");
            Way {
                is_local,
                is_unreachable,
                source: (!is_unreachable).then(|| IpAddr::from([10, 0, 0, 1])),
                loopback: has_any_ip
                    .then_some(network)
                    .filter(|_| destination.is_ipv6())
                    .into_iter()
                    .collect(),
            }
        }
    }

    fn told(lines: &str, has_any_ip: bool) -> Vec<String> {
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[upstream]]\nname = \"app\"\n{lines}\n"
        );
        let config = Config::from_toml("test.toml", &text).unwrap();
        let all = warnings(&config, &way(has_any_ip));
        all.iter().map(Warning::to_string).collect()
    }

    fn begin_with(lines: &str, has_any_ip: bool, expected: &[&str]) {
        let told = told(lines, has_any_ip);
        assert_eq!(told.len(), expected.len(), "{lines}: {told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            let expected = format!("upstream app: {expected}");
            assert!(told.starts_with(&expected), "{told}");
        }
    }

    #[test]
    fn nothing_is_said_of_unix_sockets() {
        begin_with("targets = [\"unix:/run/a.sock\", \"unix:@b\"]", false, &[]);
    }

    #[test]
    fn an_app_that_may_see_other_peers_is_named_with_what_it_has_to_be_told() {
        begin_with(
            "targets = [\"127.0.0.1:1\", \"10.0.0.1:2\"]",
            false,
            &[
                "connections to 127.0.0.1:1, 10.0.0.1:2 come from 127.64.0.0/16 too",
                "on this host: 127.0.0.1:1, 10.0.0.1:2. Over a Unix socket",
            ],
        );
        let kernel = "targets = [\"127.0.0.1:1\"]\nsource = \"kernel\"";
        begin_with(kernel, false, &["on this host: 127.0.0.1:1."]);
        let many = "targets = [\"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\", \"127.0.0.1:4\", \"127.0.0.1:5\"]\n\
                    source = \"kernel\"";
        begin_with(
            many,
            false,
            &["on this host: 127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3 and 2 more."],
        );
    }

    #[test]
    fn ipv6_without_addresses_to_spill_over_is_told_what_to_set_up() {
        let lines = "targets = [\"[::1]:1\"]";
        begin_with(
            lines,
            false,
            &[
                "for [::1]:1 there is one source address",
                "on this host: [::1]:1.",
            ],
        );
        begin_with(lines, true, &["on this host: [::1]:1."]);
        assert!(told(lines, false)[0].contains(
            "`ip -6 route add local fd00:1::/64 dev lo` (undone by `ip -6 route del local fd00:1::/64 dev lo`)"
        ));
    }

    #[test]
    fn a_source_that_cannot_work_is_said() {
        begin_with(
            "targets = [\"192.0.2.9:1\"]\nsource = [\"192.0.2.1\", \"127.0.0.2\", \"10.0.0.1\"]",
            false,
            &[
                "source 192.0.2.1 is not an address of this host, and connections to 192.0.2.9:1",
                "source 127.0.0.2 is a loopback address",
            ],
        );
        begin_with(
            "targets = [\"192.0.2.9:1\"]\nsource = [\"203.0.113.7\"]",
            false,
            &["source 203.0.113.7 is not an address of this host, and connections to 192.0.2.9:1"],
        );
        begin_with(
            "targets = [\"[::1]:1\"]\nsource = [\"fd00:1::/64\"]",
            true,
            &["on this host: [::1]:1."],
        );
    }

    #[test]
    fn another_host_has_one_pair() {
        begin_with(
            "targets = [\"192.0.2.9:1\"]",
            false,
            &["not this host, so that connections come from one address: 192.0.2.9:1"],
        );
    }
}
