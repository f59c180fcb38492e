//! What one way to the app came to, and its form as a line from the inside to the outside.
//!
//! Pure. Both ends of the line are the same program, so its form is nobody else's business and may change.

use std::fmt;
use std::net::Ipv4Addr;

/// How the proxy reaches the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::demo::wall) enum Way {
    /// TCP, source addresses and ports left to the kernel.
    Kernel,
    /// TCP, with nothing said about sources.
    Default,
    /// A Unix socket.
    Unix,
}

impl Way {
    /// All, in the order in which they are tried and shown.
    pub(in crate::demo::wall) const ALL: [Self; 3] = [Self::Kernel, Self::Default, Self::Unix];

    /// As a row's name.
    pub(in crate::demo::wall) fn name(self) -> &'static str {
        match self {
            Self::Kernel => "TCP, source = \"kernel\"",
            Self::Default => "TCP, the default",
            Self::Unix => "a Unix socket",
        }
    }

    /// In file names and lines.
    pub(in crate::demo::wall) fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Default => "default",
            Self::Unix => "unix",
        }
    }
}

/// One way, measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::demo::wall) struct Row {
    pub(in crate::demo::wall) way: Way,
    /// Upgraded connections that clients asked for, all at once.
    pub(in crate::demo::wall) asked: u64,
    /// Those that were upgraded.
    pub(in crate::demo::wall) held: u64,
    /// Those over which, while all were held, what was sent came back.
    pub(in crate::demo::wall) echoed: u64,
    /// Source ports taken towards the app while all were held, as the kernel counts them.
    pub(in crate::demo::wall) ports: u64,
    /// Where the app's TCP connections came from, and how many from each: in the order of the addresses.
    pub(in crate::demo::wall) sources: Vec<(Ipv4Addr, u64)>,
    /// What the first client saw that was not upgraded.
    pub(in crate::demo::wall) refusal: Option<String>,
}

impl Row {
    /// Those that were not upgraded.
    pub(in crate::demo::wall) fn refused(&self) -> u64 {
        self.asked.saturating_sub(self.held)
    }

    pub(in crate::demo::wall) fn parse(line: &str) -> Option<Self> {
        // The refusal is the last, and may hold anything but a line feed.
        let mut fields = line.splitn(7, '\t');
        let word = fields.next()?;
        let way = Way::ALL.into_iter().find(|way| way.word() == word)?;
        let mut number = || fields.next()?.parse().ok();
        let [asked, held, echoed, ports] = [number()?, number()?, number()?, number()?];
        let sources = fields.next()?.split_terminator(' ').map(|source| {
            let (address, count) = source.split_once('=')?;
            Some((address.parse().ok()?, count.parse().ok()?))
        });
        let sources = sources.collect::<Option<_>>()?;
        let refusal = fields.next()?;
        Some(Self {
            way,
            asked,
            held,
            echoed,
            ports,
            sources,
            refusal: (!refusal.is_empty()).then(|| refusal.to_owned()),
        })
    }
}

/// As a line, without its end.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            asked,
            held,
            echoed,
            ports,
            ..
        } = self;
        write!(
            f,
            "{}\t{asked}\t{held}\t{echoed}\t{ports}\t",
            self.way.word()
        )?;
        for (address, count) in &self.sources {
            write!(f, "{address}={count} ")?;
        }
        let refusal = self.refusal.as_deref().unwrap_or_default();
        write!(f, "\t{}", refusal.replace('\n', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_is_written() {
        let spilled = Row {
            way: Way::Default,
            asked: 1000,
            held: 999,
            echoed: 998,
            ports: 997,
            sources: vec![
                (Ipv4Addr::new(127, 0, 0, 1), 600),
                (Ipv4Addr::new(127, 64, 0, 1), 400),
            ],
            refusal: Some("503 for a\treason".to_owned()),
        };
        let portless = Row {
            way: Way::Unix,
            sources: Vec::new(),
            refusal: None,
            ..spilled.clone()
        };
        for row in [spilled, portless] {
            assert_eq!(Row::parse(&row.to_string()), Some(row));
        }
    }

    #[test]
    fn a_line_that_is_no_row_is_none() {
        for line in [
            "",
            "ready",
            "kernel\t1\t1\t1\t1",
            "kernel\t1\t1\tx\t1\t\t",
            "kernel\t1\t1\t1\t1\there\t",
            "other\t1\t1\t1\t1\t\t",
        ] {
            assert_eq!(Row::parse(line), None, "{line:?}");
        }
    }
}
