//! The rules for where connections to applications come from and how we end them: `source`, `close`, `spill_range`.
//!
//! Which of the addresses this host has, and which of them an application is reached from, is found out where they are
//! used.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use toml::Spanned;

use super::defaults::{SOURCES_MAX, SPILL_PREFIX};
use super::error::Fault;
use super::rules::{at_most, word};
use super::spelling::{List, Set, WordOrList};
use super::{Close, IpRange, IpRangeError, Source, Target};

/// What to write where nothing is to be said about sources.
const LEAVE_TO_KERNEL: &str = "to leave the choice to the kernel alone, write source = \"kernel\"";

/// `source` of an upstream with these targets.
pub(super) fn source(set: &Set<WordOrList>, targets: &[Target]) -> Result<Source, Fault> {
    let Some(set) = set else {
        return Ok(Source::default());
    };
    match set.get_ref() {
        WordOrList::Word(text) => source_word(&Spanned::new(set.span(), text.clone())),
        WordOrList::List(List(texts)) => {
            let list = Spanned::new(set.span(), texts.as_slice());
            listed(&list, targets).map(Source::Listed)
        }
    }
}

fn source_word(text: &Spanned<String>) -> Result<Source, Fault> {
    let given = text.get_ref();
    if let Ok(_) | Err(IpRangeError::HostBits(_) | IpRangeError::Prefix(_)) =
        given.parse::<IpRange>()
    {
        let message = "addresses are given as a list of strings, in brackets";
        return Err(Fault::value(text.span(), message).advise(format!("write [\"{given}\"]")));
    }
    let words = [("auto", false), ("kernel", true)];
    Ok(match word(text, ("upstream", "source"), &words)? {
        false => Source::Auto,
        true => Source::Kernel,
    })
}

fn listed(list: &Spanned<&[Spanned<String>]>, targets: &[Target]) -> Result<Vec<IpRange>, Fault> {
    let texts = *list.get_ref();
    if texts.is_empty() {
        return Err(Fault::value(list.span(), "the list is empty").advise(LEAVE_TO_KERNEL));
    }
    if !targets.iter().any(|target| target.tcp().is_some()) {
        return Err(
            Fault::value(list.span(), "Unix sockets have no source address").advise("leave it out"),
        );
    }
    at_most(texts, SOURCES_MAX, "sources")?;
    let mut ranges: Vec<IpRange> = Vec::with_capacity(texts.len());
    for text in texts {
        let range = source_range(text)?;
        if let Some(at) = ranges.iter().position(|earlier| earlier.overlaps(&range)) {
            let earlier = ranges[at];
            let why = if earlier == range {
                format!("{range} is listed twice")
            } else {
                format!("{range} and {earlier} overlap")
            };
            return Err(Fault::value(text.span(), why).other(texts[at].span()));
        }
        ranges.push(range);
    }
    refuse_unserved(list, &ranges, targets)?;
    refuse_unused(texts, &ranges, targets)?;
    Ok(ranges)
}

fn source_range(text: &Spanned<String>) -> Result<IpRange, Fault> {
    let written = text.get_ref().as_str();
    let fault = |why: &dyn fmt::Display| {
        Fault::value(
            text.span(),
            format_args!("\"{}\" {why}", written.escape_debug()),
        )
    };
    let range: IpRange = written.parse().map_err(|error| match error {
        IpRangeError::Address if written.parse::<std::net::SocketAddr>().is_ok() => {
            fault(&"has a port; source ports are chosen for each connection")
                .advise("give the address alone")
        }
        IpRangeError::Address => fault(&error)
            .advise("write an address such as \"127.0.0.2\", or a range such as \"127.0.1.0/24\""),
        IpRangeError::Prefix(_) | IpRangeError::HostBits(_) => fault(&error),
    })?;
    let range = range.to_canonical();
    if let Some(what) = range.unfit() {
        let verb = if range.is_single() { "is" } else { "contains" };
        return Err(fault(&format_args!(
            "{verb} {what}: no connection comes from there"
        )));
    }
    if range.is_link_local_v6() {
        let why = "is link-local, and which interface it would belong to cannot be said here";
        return Err(fault(&why));
    }
    Ok(range)
}

/// A target that no connection could be made to.
fn refuse_unserved(
    list: &Spanned<&[Spanned<String>]>,
    ranges: &[IpRange],
    targets: &[Target],
) -> Result<(), Fault> {
    for target in targets {
        let Some((network, _)) = target.tcp() else {
            continue;
        };
        if !ranges.iter().any(|range| same_family(range, &network)) {
            let family = family(&network);
            let message = format_args!("no source is {family}, and the target {target} is");
            return Err(Fault::value(list.span(), message).advise(format!(
                "add an {family} address, or give {target} an upstream of its own"
            )));
        }
    }
    Ok(())
}

/// A source that no target would ever see.
fn refuse_unused(
    texts: &[Spanned<String>],
    ranges: &[IpRange],
    targets: &[Target],
) -> Result<(), Fault> {
    let networks: Vec<IpRange> = targets
        .iter()
        .filter_map(Target::tcp)
        .map(|(network, _)| network)
        .collect();
    for (range, text) in ranges.iter().zip(texts) {
        if !networks.iter().any(|network| same_family(range, network)) {
            let family = family(range);
            let message = format_args!("{range} would never be used: no target is {family}");
            return Err(Fault::value(text.span(), message).advise("leave it out"));
        }
    }
    Ok(())
}

fn same_family(a: &IpRange, b: &IpRange) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

fn family(range: &IpRange) -> &'static str {
    if range.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// `close` of an upstream with these targets.
pub(super) fn close(set: &Set<String>, targets: &[Target]) -> Result<Close, Fault> {
    let Some(text) = set else {
        return Ok(Close::default());
    };
    let close = word(text, ("upstream", "close"), &Close::NAMES)?;
    if close == Close::Reset && !targets.iter().any(|target| target.tcp().is_some()) {
        return Err(
            Fault::value(text.span(), "Unix sockets have no TIME_WAIT to leave out")
                .advise("leave it out"),
        );
    }
    Ok(close)
}

impl Close {
    const NAMES: [(&'static str, Self); 2] = [("orderly", Self::Orderly), ("reset", Self::Reset)];
}

/// `spill_range` of the server: the program gives its own addresses to connections, so they must be ones that every Linux
/// has and nobody else is given.
pub(super) fn spill_range(set: &Set<String>, default: IpRange) -> Result<IpRange, Fault> {
    let Some(text) = set else {
        return Ok(default);
    };
    let written = text.get_ref().as_str();
    let fault = |why: &dyn fmt::Display| {
        Fault::value(
            text.span(),
            format_args!("\"{}\" {why}", written.escape_debug()),
        )
        .advise(format!("the default is \"{default}\""))
    };
    let range: IpRange = written.parse().map_err(|error| fault(&error))?;
    if !range.is_ipv4() || !IpRange::LOOPBACK_V4.contains(range.network()) || range.prefix() < 8 {
        return Err(fault(
            &"is not inside 127.0.0.0/8, the loopback addresses of IPv4",
        ));
    }
    if range.contains(IpAddr::V4(Ipv4Addr::LOCALHOST)) {
        return Err(fault(
            &"contains 127.0.0.1, which is where connections come from before they spill",
        ));
    }
    if !SPILL_PREFIX.contains(&range.prefix()) {
        let (low, high) = (SPILL_PREFIX.start(), SPILL_PREFIX.end());
        return Err(fault(&format_args!(
            "is too small to spread over: the prefix is {low} to {high}"
        )));
    }
    Ok(range)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = match self {
            Self::Auto => return f.write_str("auto"),
            Self::Kernel => return f.write_str("kernel"),
            Self::Listed(ranges) => ranges,
        };
        let mut separator = "";
        for range in ranges {
            write!(f, "{separator}{range}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orderly => "orderly",
            Self::Reset => "reset",
        })
    }
}
