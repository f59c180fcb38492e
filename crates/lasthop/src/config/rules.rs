//! Second stage: which values make sense, alone and together. What passes here is a [`Config`].
//!
//! A refusal points at the value it is about. Looked at is only what is written: whether an address is free, a socket
//! exists or a user is known is the host's matter and found out where it is used.

use std::fmt;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;

use super::defaults::{
    HEADER_SIZE_CEILING, HEADER_SIZE_MIN, HEADERS_MAX_CEILING, LISTENERS_MAX, NAME_BYTES_MAX,
    TIMEOUT_CEILING, TRUSTED_PROXIES_MAX, WORKERS_MAX, workers_of_this_host,
};
use super::error::Fault;
use super::nearest::nearest;
use super::spelling::{Count, File, ListenerTable, LogTable, ServerTable, Set, Size, Time};
use super::units::{duration_text, size_text};
use super::{
    Config, IpRange, Level, ListenAddress, Listener, Log, Server, Target, TrustedProxies, planned,
    rules_route, rules_upstream,
};

/// All rules.
pub(super) fn config(file: &File) -> Result<Config, Fault> {
    let server = server(&file.server)?;
    let log = log(&file.log)?;
    let listeners = listeners(&file.listener)?;
    let upstreams = rules_upstream::upstreams(&file.upstream)?;
    refuse_loops(file, &listeners)?;
    let routes = rules_route::routes(&file.route, &file.upstream)?;
    Ok(Config {
        server,
        log,
        listeners,
        upstreams,
        routes,
    })
}

fn server(table: &ServerTable) -> Result<Server, Fault> {
    let defaults = Server::default();
    let workers = match count(&table.workers, 0, 0..=WORKERS_MAX)? {
        0 => workers_of_this_host(),
        workers => workers,
    };
    Ok(Server {
        workers,
        share: or(&table.share, defaults.share),
        error_details: or(&table.error_details, defaults.error_details),
        trusted_proxies: match &table.trusted_proxies {
            None => defaults.trusted_proxies,
            Some(list) => trusted_proxies(&list.get_ref().0)?,
        },
        drain_timeout: time_or_zero(&table.drain_timeout, defaults.drain_timeout)?,
    })
}

fn trusted_proxies(list: &[Spanned<String>]) -> Result<TrustedProxies, Fault> {
    at_most(list, TRUSTED_PROXIES_MAX, "trusted proxies")?;
    let mut ranges: Vec<IpRange> = Vec::new();
    let mut unix = false;
    for entry in list {
        match entry.get_ref().as_str() {
            "unix" => unix = true,
            text => ranges.push(text.parse().map_err(|error| {
                Fault::value(entry.span(), format_args!("\"{text}\" {error}"))
                    .advise("write an address, a range such as \"10.0.0.0/8\", or \"unix\" for peers on Unix listeners")
            })?),
        }
    }
    Ok(TrustedProxies::new(ranges, unix))
}

fn log(table: &LogTable) -> Result<Log, Fault> {
    if let Some(access) = &table.access {
        word(access, ("log", "access"), &[("off", ())])?;
    }
    let level = match &table.level {
        None => Level::default(),
        Some(level) => word(level, ("log", "level"), &Level::NAMES)?,
    };
    Ok(Log { level })
}

impl Level {
    const NAMES: [(&'static str, Self); 6] = [
        ("off", Self::Off),
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES
            .iter()
            .find(|(_, level)| level == self)
            .map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

fn listeners(tables: &[Spanned<ListenerTable>]) -> Result<Vec<Listener>, Fault> {
    if tables.is_empty() {
        return Err(
            Fault::missing("no [[listener]]: there is nothing for clients to connect to")
                .advise("[[listener]]\naddress = \"127.0.0.1:8080\""),
        );
    }
    at_most(tables, LISTENERS_MAX, "listeners")?;
    let mut listeners: Vec<Listener> = Vec::with_capacity(tables.len());
    for table in tables {
        let new = listener(table)?;
        for (earlier, at) in listeners.iter().zip(tables) {
            if let Some(why) = collision(&new.address, &earlier.address) {
                let span = span_or(&table.get_ref().address, table);
                let other = span_or(&at.get_ref().address, at);
                return Err(Fault::value(span, why).other(other));
            }
            if new.name == earlier.name {
                let span = span_or(&table.get_ref().name, table);
                let other = span_or(&at.get_ref().name, at);
                return Err(duplicate_name("listeners", &new.name, span).other(other));
            }
        }
        listeners.push(new);
    }
    Ok(listeners)
}

fn listener(table: &Spanned<ListenerTable>) -> Result<Listener, Fault> {
    let span = table.span();
    let table = table.get_ref();
    if let Some(protocol) = &table.protocol {
        word(protocol, ("listener", "protocol"), &[("http", ())])?;
    }
    let Some(address) = &table.address else {
        return Err(Fault::at(span, "[[listener]] without an `address`").advise(
            "address = \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/run/lasthop/web.sock\"",
        ));
    };
    let defaults = Listener::new(parsed(address)?);
    let header_size = HEADER_SIZE_MIN..=HEADER_SIZE_CEILING;
    Ok(Listener {
        name: name(&table.name)?.unwrap_or(defaults.name),
        address: defaults.address,
        header_timeout: time(&table.header_timeout, defaults.header_timeout)?,
        idle_timeout: time(&table.idle_timeout, defaults.idle_timeout)?,
        body_timeout: time(&table.body_timeout, defaults.body_timeout)?,
        header_size_max: size(
            &table.header_size_max,
            defaults.header_size_max,
            header_size,
        )?,
        headers_max: count(
            &table.headers_max,
            defaults.headers_max,
            1..=HEADERS_MAX_CEILING,
        )?,
    })
}

/// Why two listeners cannot both be had. Every address of a family takes in each of its addresses, and none of the other
/// family: IPv6 listeners take IPv6 alone (ipv6(7), `IPV6_V6ONLY`). Port 0 is a different port each time.
fn collision(new: &ListenAddress, earlier: &ListenAddress) -> Option<String> {
    if let (ListenAddress::Tcp(a), ListenAddress::Tcp(b)) = (new, earlier) {
        let port = a.port() == b.port() && a.port() != 0;
        let every = a.ip().is_unspecified() || b.ip().is_unspecified();
        if port && a != b && every && a.is_ipv4() == b.is_ipv4() {
            return Some(format!("{a} and the listener on {b} overlap"));
        }
    }
    let same = match (new, earlier) {
        (ListenAddress::Tcp(a), ListenAddress::Tcp(b)) => a == b && a.port() != 0,
        (ListenAddress::Unix { path: a, .. }, ListenAddress::Unix { path: b, .. }) => a == b,
        _ => false,
    };
    same.then(|| format!("two listeners on {}", new.label()))
}

/// A target that is one of our own listeners would be asked by us, which asks us, until the descriptors are gone.
fn refuse_loops(file: &File, listeners: &[Listener]) -> Result<(), Fault> {
    let targets = file
        .upstream
        .iter()
        .filter_map(|table| table.get_ref().targets.as_ref());
    for target in targets.flat_map(|targets| &targets.get_ref().0) {
        let parsed: Target = parsed(target)?;
        if let Some(listener) = listeners.iter().find(|l| reaches(&parsed, &l.address)) {
            let label = listener.address.label();
            return Err(Fault::value(
                target.span(),
                format_args!(
                    "{parsed} is reached by the listener on {label}: requests would go in circles"
                ),
            )
            .advise("give the address of the application"));
        }
    }
    Ok(())
}

/// Whether a connection to the target arrives at the listener. A listener on every address is on the loopback ones;
/// which other addresses the host has is not for this file to know.
fn reaches(target: &Target, listener: &ListenAddress) -> bool {
    match (target, listener) {
        (Target::Tcp(target), ListenAddress::Tcp(listener)) => {
            let every = match listener.ip() {
                IpAddr::V4(ip) => ip.is_unspecified() && target.is_ipv4(),
                IpAddr::V6(ip) => ip.is_unspecified() && target.is_ipv6(),
            };
            let same = target.ip() == listener.ip() || every && target.ip().is_loopback();
            same && target.port() == listener.port()
        }
        (Target::Unix(target), ListenAddress::Unix { path, .. }) => target == path,
        _ => false,
    }
}

/// The value, or the default.
pub(super) fn or<T: Copy>(set: &Set<T>, default: T) -> T {
    set.as_ref().map_or(default, |set| *set.get_ref())
}

/// Where the key's value stands, or else its table.
pub(super) fn span_or<T, U>(set: &Set<T>, table: &Spanned<U>) -> Range<usize> {
    set.as_ref().map_or_else(|| table.span(), Spanned::span)
}

/// An address, a target or a host.
pub(super) fn parsed<T>(text: &Spanned<String>) -> Result<T, Fault>
where
    T: std::str::FromStr<Err = super::address::AddressError>,
{
    text.get_ref().parse().map_err(|error| {
        let fault = Fault::value(text.span(), &error);
        match error {
            super::address::AddressError::Planned(planned) => fault.advise(planned.meanwhile),
            super::address::AddressError::Malformed { .. } => fault,
        }
    })
}

/// One of a few words; others are planned or unknown.
pub(super) fn word<T: Copy>(
    text: &Spanned<String>,
    (section, key): (&str, &str),
    words: &[(&str, T)],
) -> Result<T, Fault> {
    let given = text.get_ref().as_str();
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == given) {
        return Ok(*value);
    }
    if let Some(planned) = planned::word(section, key, given) {
        return Err(Fault::value(text.span(), planned).advise(planned.meanwhile));
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let meant = nearest(given, known.iter().copied())
        .map(|near| format!("; did you mean \"{near}\"?"))
        .unwrap_or_default();
    Err(Fault::value(
        text.span(),
        format_args!("unknown value \"{given}\"{meant}"),
    )
    .advise(format!("it takes: {}", known.join(", "))))
}

/// A label: short, and harmless in metrics, logs and terminals.
pub(super) fn name(text: &Set<String>) -> Result<Option<String>, Fault> {
    let Some(text) = text else {
        return Ok(None);
    };
    let name = text.get_ref();
    let harmless = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(harmless) {
        return Err(Fault::value(
            text.span(),
            format_args!(
                "a name is 1 to {NAME_BYTES_MAX} visible ASCII characters without quotes or backslashes"
            ),
        ));
    }
    Ok(Some(name.clone()))
}

pub(super) fn duplicate_name(what: &str, name: &str, span: Range<usize>) -> Fault {
    Fault::value(span, format_args!("two {what} are called `{name}`"))
}

/// A wait that cannot be zero: with no time at all nothing would ever succeed.
pub(super) fn time(set: &Set<Time>, default: Duration) -> Result<Duration, Fault> {
    let value = time_or_zero(set, default)?;
    match set {
        Some(set) if value.is_zero() => Err(Fault::value(set.span(), "zero leaves no time at all")
            .advise(format!("the default is \"{}\"", duration_text(default)))),
        _ => Ok(value),
    }
}

/// A wait where zero has a meaning.
pub(super) fn time_or_zero(set: &Set<Time>, default: Duration) -> Result<Duration, Fault> {
    let Some(set) = set else {
        return Ok(default);
    };
    let Time(value) = *set.get_ref();
    if value > TIMEOUT_CEILING {
        let (value, ceiling) = (duration_text(value), duration_text(TIMEOUT_CEILING));
        return Err(Fault::value(
            set.span(),
            format_args!("{value} is more than the {ceiling} of seven days"),
        )
        .advise(format!("the default is \"{}\"", duration_text(default))));
    }
    Ok(value)
}

pub(super) fn count(
    set: &Set<Count>,
    default: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, Fault> {
    let Some(set) = set else {
        return Ok(default);
    };
    let Count(value) = *set.get_ref();
    in_range(value, &range).ok_or_else(|| {
        let (low, high) = range.into_inner();
        Fault::value(
            set.span(),
            format_args!("{value} is out of range: {low} to {high}"),
        )
        .advise(format!("the default is {default}"))
    })
}

pub(super) fn size(
    set: &Set<Size>,
    default: usize,
    range: RangeInclusive<usize>,
) -> Result<usize, Fault> {
    let Some(set) = set else {
        return Ok(default);
    };
    let Size(value) = *set.get_ref();
    in_range(value, &range).ok_or_else(|| {
        let [value, low, high, default] = [
            value,
            *range.start() as u64,
            *range.end() as u64,
            default as u64,
        ]
        .map(size_text);
        Fault::value(
            set.span(),
            format_args!("{value} is out of range: {low} to {high}"),
        )
        .advise(format!("the default is \"{default}\""))
    })
}

fn in_range(value: u64, range: &RangeInclusive<usize>) -> Option<usize> {
    usize::try_from(value)
        .ok()
        .filter(|value| range.contains(value))
}

/// The one after the last that is allowed is where the refusal points.
pub(super) fn at_most<T>(list: &[Spanned<T>], max: usize, what: &str) -> Result<(), Fault> {
    match list.get(max) {
        Some(first) => Err(Fault::at(
            first.span(),
            format_args!("more than {max} {what}"),
        )),
        None => Ok(()),
    }
}
