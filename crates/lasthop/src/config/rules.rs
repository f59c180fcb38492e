//! Second stage: which values make sense, alone and together. What passes here is a [`Config`].
//!
//! A refusal points at the value it is about. Looked at is only what is written: whether an address is free, a socket
//! exists or a user is known is the host's matter and found out where it is used.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;

use super::defaults::{
    BUFFER_MEMORY_CEILING, BUFFER_MEMORY_MIN, NAME_BYTES_MAX, TIMEOUT_CEILING, TRUSTED_PROXIES_MAX,
    WORKERS_MAX, workers_of_this_host,
};
use super::error::Fault;
use super::nearest::nearest;
use super::spelling::{Count, File, ServerTable, Set, Size, Time};
use super::units::{duration_text, size_text};
use super::{
    Config, IpRange, Server, TrustedProxies, planned, rules_admin, rules_listener, rules_log,
    rules_route, rules_source, rules_upstream,
};

/// All rules.
pub(super) fn config(file: &File) -> Result<Config, Fault> {
    let server = server(&file.server)?;
    let log = rules_log::log(&file.log)?;
    let listeners = rules_listener::listeners(&file.listener)?;
    let upstreams = rules_upstream::upstreams(&file.upstream)?;
    rules_listener::refuse_loops(file, &listeners)?;
    let admin = rules_admin::admin(file, &listeners)?;
    let routes = rules_route::routes(&file.route, &file.upstream)?;
    Ok(Config {
        server,
        log,
        admin,
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
        buffer_memory: size(
            &table.buffer_memory,
            defaults.buffer_memory,
            BUFFER_MEMORY_MIN..=BUFFER_MEMORY_CEILING,
        )?,
        spill_range: rules_source::spill_range(&table.spill_range, defaults.spill_range)?,
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
