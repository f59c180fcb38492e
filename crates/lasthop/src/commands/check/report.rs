//! The report of `lasthop check`: what the configuration would do, for a person to read.
//!
//! Words only. What this host would not let happen is found out in `failing`.

use std::fmt;

use lasthop_kernel::sysctl;
use lasthop_ports::{Capacity, PortRange, ReservedPorts};

use super::failing::failing;
use super::socket_file::SocketFile;
use crate::commands::warnings::Warning;
use crate::config::units::{duration_text, size_text};
use crate::config::{
    AccessLog, Admin, Close, Config, HostPattern, IpRange, Listener, Log, Route, Server, Source,
    Target, Upstream,
};

/// What the report takes from the kernel's settings; left out where the kernel will not say.
pub(super) struct Host {
    pub(super) ports: Option<(PortRange, ReservedPorts)>,
}

impl Host {
    pub(super) fn this() -> Self {
        Self {
            ports: sysctl::local_port_range()
                .ok()
                .zip(sysctl::reserved_ports().ok()),
        }
    }
}

/// The report: printed, it is the whole of it.
pub(super) struct Report<'a, L> {
    pub(super) label: L,
    pub(super) config: &'a Config,
    pub(super) host: &'a Host,
    pub(super) warnings: &'a [Warning],
}

impl<L: fmt::Display> fmt::Display for Report<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config {
            server,
            log,
            admin,
            listeners,
            upstreams,
            routes,
        } = self.config;
        write!(f, "{} is valid. ", self.label)?;
        write_failing(f, &failing(self.config))?;
        writeln!(f, "It would")?;
        let workers = plural(server.workers, "worker");
        let shared = if server.share {
            ", addresses shared with other instances"
        } else {
            ""
        };
        writeln!(f, "\nrun {workers}{shared}")?;
        writeln!(f, "  log level {}, on standard error", log.level)?;
        write_access_log(f, log)?;
        writeln!(
            f,
            "  forwarding fields are believed from {}",
            server.trusted_proxies
        )?;
        let details = if server.error_details {
            "with"
        } else {
            "without"
        };
        writeln!(f, "  Proxy-Status {details} details")?;
        writeln!(
            f,
            "  a drain may take {}",
            duration_text(server.drain_timeout)
        )?;
        write_memory(f, server)?;
        write_admin(f, admin.as_ref())?;
        writeln!(f, "\nlisten on")?;
        listeners
            .iter()
            .try_for_each(|listener| write_listener(f, listener))?;
        writeln!(f, "\nroute, the first match wins")?;
        write_routes(f, routes, upstreams)?;
        writeln!(f, "\npass requests to")?;
        upstreams
            .iter()
            .try_for_each(|upstream| write_upstream(f, upstream, server.spill_range, self.host))?;
        write_warnings(f, self.warnings)
    }
}

fn write_access_log(f: &mut fmt::Formatter<'_>, log: &Log) -> fmt::Result {
    let format = log.format;
    match &log.access {
        AccessLog::Off => writeln!(f, "  no access log"),
        AccessLog::Stdout => writeln!(f, "  access log on standard output, {format}"),
        AccessLog::File(path) => writeln!(f, "  access log in {}, {format}", path.display()),
    }
}

fn write_memory(f: &mut fmt::Formatter<'_>, server: &Server) -> fmt::Result {
    writeln!(
        f,
        "  buffers hold up to {} per worker, then requests stream",
        size_text(server.buffer_memory as u64)
    )
}

fn write_admin(f: &mut fmt::Formatter<'_>, admin: Option<&Admin>) -> fmt::Result {
    let Some(admin) = admin else {
        return writeln!(f, "  no admin address");
    };
    let token = if admin.token.is_some() {
        "with"
    } else {
        "without"
    };
    write!(f, "  admin address {}, {token} a token", admin.address)?;
    match admin.hosts.as_slice() {
        [] => writeln!(f),
        hosts => writeln!(f, ", also called {}", hosts.join(", ")),
    }
}

fn write_failing(f: &mut fmt::Formatter<'_>, failing: &[String]) -> fmt::Result {
    if failing.is_empty() {
        return Ok(());
    }
    let things = plural(failing.len(), "thing");
    writeln!(f, "{things} would fail on this host:")?;
    failing
        .iter()
        .try_for_each(|what| writeln!(f, "  {what}"))?;
    writeln!(f)
}

fn write_warnings(f: &mut fmt::Formatter<'_>, warnings: &[Warning]) -> fmt::Result {
    if warnings.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nworth knowing")?;
    warnings
        .iter()
        .try_for_each(|warning| writeln!(f, "  {warning}"))
}

fn write_listener(f: &mut fmt::Formatter<'_>, listener: &Listener) -> fmt::Result {
    let label = listener.address.label();
    write!(f, "  {}", listener.address)?;
    if listener.name != label {
        write!(f, " ({})", listener.name)?;
    }
    let connections = match listener.max_connections {
        0 => "as many connections as descriptors allow".to_owned(),
        max => format!("at most {}", plural(max, "connection")),
    };
    writeln!(f, "\n      {connections}")?;
    writeln!(
        f,
        "      a head within {}, up to {} and {}; idle for {}; a body may pause for {}",
        duration_text(listener.header_timeout),
        size_text(listener.header_size_max as u64),
        plural(listener.headers_max, "field"),
        duration_text(listener.idle_timeout),
        duration_text(listener.body_timeout),
    )
}

fn write_routes(
    f: &mut fmt::Formatter<'_>,
    routes: &[Route],
    upstreams: &[Upstream],
) -> fmt::Result {
    let rows: Vec<(String, &Route)> = in_matching_order(routes)
        .into_iter()
        .map(|route| match &route.host {
            Some(host) => (format!("{host}{}", route.path), route),
            None => (route.path.clone(), route),
        })
        .collect();
    let width = rows
        .iter()
        .map(|(place, _)| place.chars().count())
        .max()
        .unwrap_or(0)
        .min(60);
    for (place, route) in rows {
        // In range by the rules; a report is no place to fail if not.
        let upstream = upstreams
            .get(route.upstream)
            .map_or("?", |upstream| upstream.name.as_str());
        write!(f, "  {place:width$} -> {upstream}")?;
        if route.name != place {
            write!(f, " ({})", route.name)?;
        }
        if route.body_size_max > 0 {
            write!(f, ", bodies up to {}", size_text(route.body_size_max))?;
        }
        writeln!(f)?;
    }
    Ok(())
}

/// As the route table tries them: exact hosts, wildcards from the longest, any host; for each the longest path first.
fn in_matching_order(routes: &[Route]) -> Vec<&Route> {
    let mut sorted: Vec<&Route> = routes.iter().collect();
    sorted.sort_by_key(|route| {
        let (class, length, host) = match &route.host {
            Some(HostPattern::Exact(host)) => (0, 0, host.as_str()),
            Some(HostPattern::Wildcard(suffix)) => (1, usize::MAX - suffix.len(), suffix.as_str()),
            None => (2, 0, ""),
        };
        (
            class,
            length,
            host,
            usize::MAX - route.path.len(),
            route.path.as_str(),
        )
    });
    sorted
}

fn write_upstream(
    f: &mut fmt::Formatter<'_>,
    upstream: &Upstream,
    spill_range: IpRange,
    host: &Host,
) -> fmt::Result {
    let turns = if upstream.targets.len() > 1 {
        ", in turn"
    } else {
        ""
    };
    writeln!(
        f,
        "  {}: {}{turns}",
        upstream.name,
        plural(upstream.targets.len(), "target")
    )?;
    for target in &upstream.targets {
        match target {
            Target::Unix(path) => writeln!(f, "      {target} ({})", SocketFile::look(path))?,
            Target::Tcp(_) | Target::Spread(_) | Target::Abstract(_) => {
                writeln!(f, "      {target}")?
            }
        }
    }
    write_sources(f, upstream, spill_range, host)?;
    write_limits(f, upstream)
}

/// Where connections to TCP targets come from, how they end, and how many there can be.
fn write_sources(
    f: &mut fmt::Formatter<'_>,
    upstream: &Upstream,
    spill_range: IpRange,
    host: &Host,
) -> fmt::Result {
    let networks: Vec<IpRange> = upstream
        .targets
        .iter()
        .filter_map(Target::tcp)
        .map(|(network, _)| network)
        .collect();
    if networks.is_empty() {
        return Ok(());
    }
    let is_auto = upstream.source == Source::Auto;
    if let Some((range, reserved)) = &host.ports {
        write!(f, "      source ports: ")?;
        match u32::try_from(pairs(&upstream.source, &networks)) {
            Ok(pairs) => write!(f, "{}", Capacity::new(*range, reserved, pairs))?,
            Err(_) => write!(f, "more than any host has descriptors for")?,
        }
        writeln!(f, "{}", if is_auto { " before it spills" } else { "" })?;
    }
    write!(f, "      source addresses: ")?;
    match &upstream.source {
        Source::Auto => {
            let spill = spill_range.to_string();
            let spills = [
                (true, spill.as_str()),
                (false, "the other addresses of the loopback interface"),
            ];
            let spills: Vec<&str> = spills
                .iter()
                .filter(|(is_ipv4, _)| networks.iter().any(|n| n.is_ipv4() == *is_ipv4))
                .map(|(_, name)| *name)
                .collect();
            let spills = spills.join(" and ");
            // Which other addresses this host has is asked where they are used.
            let is_loopback = |network: &IpRange| network.first().is_loopback();
            let limits = if networks.iter().all(is_loopback) {
                ""
            } else {
                ", for targets on this host"
            };
            write!(
                f,
                "the kernel's choice; where its ports run out, {spills} too{limits}"
            )?;
        }
        Source::Kernel => write!(f, "the kernel's choice alone")?,
        listed @ Source::Listed(_) => write!(f, "{listed}")?,
    }
    writeln!(
        f,
        "; closed {}",
        match upstream.close {
            Close::Orderly => "orderly",
            Close::Reset => "with a reset",
        }
    )
}

/// How many pairs of source and target address there are; one source each where the kernel chooses.
fn pairs(source: &Source, networks: &[IpRange]) -> u128 {
    let pairs = networks.iter().map(|network| {
        let sources = match source {
            Source::Auto | Source::Kernel => 1,
            Source::Listed(ranges) => ranges
                .iter()
                .filter(|range| range.is_ipv4() == network.is_ipv4())
                .fold(0u128, |sum, range| sum.saturating_add(range.hosts())),
        };
        network.hosts().saturating_mul(sources)
    });
    pairs.fold(0, u128::saturating_add)
}

fn write_limits(f: &mut fmt::Formatter<'_>, upstream: &Upstream) -> fmt::Result {
    let Upstream {
        queue,
        keepalive,
        buffer,
        ..
    } = upstream;
    let bound = match upstream.max_connections {
        0 => "as many as ports and descriptors allow".to_owned(),
        max => format!("at most {max}"),
    };
    let kept = match keepalive.idle {
        0 => "none kept".to_owned(),
        idle => format!(
            "{idle} kept idle per worker for {}",
            duration_text(keepalive.timeout)
        ),
    };
    let waiting = match queue.size {
        0 => "nobody waits for one".to_owned(),
        size => format!("{size} may wait for one, {}", duration_text(queue.timeout)),
    };
    writeln!(f, "      connections: {bound}; {kept}; {waiting}")?;
    writeln!(
        f,
        "      time: connect {}, answer {}, pause in a body {}, silence in a tunnel {}, restart of the app {}",
        duration_text(upstream.connect_timeout),
        duration_text(upstream.response_timeout),
        duration_text(upstream.body_timeout),
        duration_text(upstream.tunnel_timeout),
        duration_text(upstream.restart_grace),
    )?;
    let part = |bytes: usize, what: &str| match bytes {
        0 => format!("{what} streamed"),
        bytes => format!("{} of {what}", size_text(bytes as u64)),
    };
    let (request, response) = (
        part(buffer.request, "the body"),
        part(buffer.response, "the answer"),
    );
    writeln!(
        f,
        "      held for a slow client, per request: {request}, {response}"
    )?;
    let [via, forwarded, request_id] = [upstream.via, upstream.forwarded, upstream.request_id]
        .map(|is_sent| if is_sent { "sent" } else { "not sent" });
    writeln!(
        f,
        "      {} for what the app cannot have seen; answer heads up to {}; Via {via}, Forwarded {forwarded}, X-Request-ID {request_id}",
        plural(upstream.retries as usize, "retry"),
        size_text(upstream.header_size_max as u64),
    )
}

fn plural(count: usize, what: &str) -> String {
    match (count, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::RouteTable;

    fn report(text: &str) -> String {
        let host = Host {
            ports: Some((
                PortRange::new(32768, 60999).unwrap(),
                ReservedPorts::default(),
            )),
        };
        let config = Config::from_toml("test.toml", text).unwrap();
        Report {
            label: "test.toml",
            config: &config,
            host: &host,
            warnings: &[],
        }
        .to_string()
    }

    #[test]
    fn the_report_of_a_small_file_is_complete() {
        let text = "[server]\nworkers = 2\n[[listener]]\naddress = \"127.0.0.1:8080\"\n\
                    [[upstream]]\nname = \"app\"\ntargets = [\"127.0.0.1:3000\", \"127.0.0.1:3001\"]\n";
        let expected = "\
test.toml is valid. It would

run 2 workers
  log level info, on standard error
  access log on standard output, json
  forwarding fields are believed from nobody
  Proxy-Status without details
  a drain may take 30s
  buffers hold up to 128MiB per worker, then requests stream
  no admin address

listen on
  127.0.0.1:8080
      as many connections as descriptors allow
      a head within 10s, up to 32KiB and 100 fields; idle for 75s; a body may pause for 1m

route, the first match wins
  / -> app

pass requests to
  app: 2 targets, in turn
      127.0.0.1:3000
      127.0.0.1:3001
      source ports: 28,232 ports (32768-60999) - 0 reserved = 28,232 per pair; x 2 pairs = 56,464 connections before it spills
      source addresses: the kernel's choice; where its ports run out, 127.64.0.0/16 too; closed orderly
      connections: as many as ports and descriptors allow; 256 kept idle per worker for 1500ms; 4096 may wait for one, 5s
      time: connect 5s, answer 1m, pause in a body 1m, silence in a tunnel 1h, restart of the app 2s
      held for a slow client, per request: 64KiB of the body, 256KiB of the answer
      1 retry for what the app cannot have seen; answer heads up to 32KiB; Via sent, Forwarded not sent, X-Request-ID not sent
";
        assert_eq!(report(text), expected);
    }

    #[test]
    fn logs_and_addresses_and_bounds_are_reported_and_a_token_is_not() {
        let text = "[server]\nbuffer_memory = \"64MiB\"\n\
                    [log]\naccess = \"/dev/null\"\nformat = \"combined\"\n\
                    [admin]\naddress = \"0.0.0.0:9180\"\ntoken = \"0123456789abcdef\"\nhosts = [\"a.b\", \"c\"]\n\
                    [[listener]]\naddress = \"127.0.0.1:0\"\nmax_connections = 1\n\
                    [[upstream]]\nname = \"app\"\ntargets = [\"unix:@app\"]\nrequest_id = true\n";
        let report = report(text);
        for line in [
            "  access log in /dev/null, combined\n",
            "  buffers hold up to 64MiB per worker, then requests stream\n",
            "  admin address 0.0.0.0:9180, with a token, also called a.b, c\n",
            "      at most 1 connection\n",
            ", X-Request-ID sent\n",
        ] {
            assert!(report.contains(line), "{line} is not in\n{report}");
        }
        assert!(!report.contains("0123456789abcdef"), "{report}");
    }

    #[test]
    fn what_there_is_none_of_is_said() {
        let text = "[log]\naccess = \"off\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
                    [[listener]]\naddress = \"127.0.0.1:0\"\n\
                    [[upstream]]\nname = \"app\"\ntargets = [\"unix:@app\"]\n";
        let report = report(text);
        assert!(report.contains("  no access log\n"), "{report}");
        assert!(
            report.contains("  admin address 127.0.0.1:0, without a token\n"),
            "{report}"
        );
    }

    #[test]
    fn where_connections_come_from_and_go_to_is_reported() {
        let with = |server: &str, lines: &str| {
            report(&format!(
                "[server]\n{server}\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[upstream]]\nname = \"app\"\n{lines}\n"
            ))
        };
        let both = "targets = [\"127.0.0.1:1\", \"[::1]:1\"]";
        for (server, lines, line) in [
            (
                "spill_range = \"127.80.0.0/24\"",
                both.to_owned(),
                "      source addresses: the kernel's choice; where its ports run out, \
                 127.80.0.0/24 and the other addresses of the loopback interface too; closed orderly\n",
            ),
            (
                "",
                "targets = [\"192.0.2.1:1\"]".to_owned(),
                "where its ports run out, 127.64.0.0/16 too, for targets on this host; closed orderly\n",
            ),
            (
                "",
                format!("{both}\nsource = \"kernel\"\nclose = \"reset\""),
                "      source addresses: the kernel's choice alone; closed with a reset\n",
            ),
            (
                "",
                format!("{both}\nsource = [\"127.0.0.2\", \"127.0.1.0/29\", \"::1\"]"),
                "x 8 pairs = 225,856 connections\n      source addresses: 127.0.0.2, 127.0.1.0/29, ::1; closed orderly\n",
            ),
            (
                "",
                "targets = [\"127.0.0.0/24:3000\"]".to_owned(),
                "      127.0.0.0/24:3000\n      source ports: 28,232 ports (32768-60999) - 0 reserved = 28,232 per pair; \
                 x 254 pairs = 7,170,928 connections before it spills\n",
            ),
            (
                "",
                "targets = [\"[fd00::/64]:3000\"]\nsource = [\"fd00::/64\"]".to_owned(),
                "      source ports: more than any host has descriptors for\n",
            ),
        ] {
            let report = with(server, &lines);
            assert!(report.contains(line), "{line} is not in\n{report}");
        }
    }

    #[test]
    fn a_socket_that_is_not_there_yet_is_said_and_no_failure() {
        let text = "[[listener]]\naddress = \"unix:/web.sock?mode=0660&owner=root\"\nname = \"web\"\n\
                    [[upstream]]\nname = \"app\"\ntargets = [\"unix:/nonexistent/app.sock\", \"unix:@app\"]\n";
        let report = report(text);
        assert!(
            report.contains("unix:/web.sock?mode=0660&owner=root (web)\n"),
            "{report}"
        );
        assert!(
            report.starts_with("test.toml is valid. It would\n"),
            "{report}"
        );
        assert!(
            report.contains("unix:/nonexistent/app.sock (no such file yet)\n"),
            "{report}"
        );
        assert!(report.contains("unix:@app\n"), "{report}");
        assert!(!report.contains("source ports"), "{report}");
    }

    #[test]
    fn what_this_host_would_not_let_happen_is_said_first() {
        let text = "[[listener]]\naddress = \"unix:/nonexistent/web.sock\"\nname = \"web\"\n\
                    [[upstream]]\nname = \"app\"\ntargets = [\"unix:/proc/self/stat\"]\n";
        let report = report(text);
        let head = "\
test.toml is valid. 2 things would fail on this host:
  listener web: there is no directory /nonexistent to listen in
  upstream app: unix:/proc/self/stat: exists, but is not a socket

It would

run ";
        assert!(report.starts_with(head), "{report}");
    }

    fn host() -> impl Strategy<Value = Option<HostPattern>> {
        prop_oneof![
            Just(None),
            "[ab](\\.[ab]){0,2}".prop_map(|name| Some(HostPattern::Exact(name))),
            "(\\.[ab]){1,2}".prop_map(|suffix| Some(HostPattern::Wildcard(suffix))),
        ]
    }

    fn matches(route: &Route, host: &str, path: &str) -> bool {
        let host = match &route.host {
            None => true,
            Some(HostPattern::Exact(name)) => name == host,
            Some(HostPattern::Wildcard(suffix)) => {
                host.ends_with(suffix) && host.len() > suffix.len()
            }
        };
        host && path.starts_with(&route.path)
    }

    proptest! {
        #[test]
        fn the_order_shown_is_the_order_in_which_the_route_table_decides(
            places in proptest::collection::btree_set((host(), "/[ab]{0,2}"), 1..8),
            asked in "[ab](\\.[ab]){0,2}",
            path in "/[ab]{0,3}",
        ) {
            let routes: Vec<Route> = places
                .into_iter()
                .map(|(host, path)| Route { name: String::new(), host, path, upstream: 0, body_size_max: 0 })
                .collect();
            let shown = in_matching_order(&routes).into_iter().find(|route| matches(route, &asked, &path));
            let decided = RouteTable::new(&routes).find(Some(&asked), path.as_bytes());
            prop_assert_eq!(shown, decided.map(|index| &routes[index]));
        }
    }
}
