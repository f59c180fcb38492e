//! One remedy under the load of the story: what it changes, what came of it, and its form as a line from the inside to
//! the outside.
//!
//! Pure. Both ends of the line are the same program, so its form is nobody else's business and may change.

use std::fmt;
use std::time::Duration;

/// What somebody does about the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing: the host and the proxy of the story.
    Nothing,
    /// `net.ipv4.tcp_tw_reuse = 1`.
    Reuse,
    /// A wider `net.ipv4.ip_local_port_range`.
    WiderRange,
    /// Connections come from many addresses of this host.
    ManyAddresses,
    /// The app listens on a Unix socket.
    UnixSocket,
}

impl Remedy {
    /// All, in the order in which they are tried and shown.
    pub(super) const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Reuse,
        Self::WiderRange,
        Self::ManyAddresses,
        Self::UnixSocket,
    ];

    /// As a row's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "as it was",
            Self::Reuse => "tcp_tw_reuse = 1",
            Self::WiderRange => "a wider port range",
            Self::ManyAddresses => "many addresses",
            Self::UnixSocket => "a Unix socket",
        }
    }

    /// In file names and lines.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Reuse => "reuse",
            Self::WiderRange => "range",
            Self::ManyAddresses => "addresses",
            Self::UnixSocket => "socket",
        }
    }
}

/// One remedy, tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) remedy: Remedy,
    /// Requests that clients sent.
    pub(super) asked: u64,
    /// Those that the app answered.
    pub(super) answered: u64,
    /// Those that the proxy answered itself, with 502 or 503.
    pub(super) refused: u64,
    /// The most connections in TIME_WAIT towards the app that were seen at once.
    pub(super) time_wait_max: u64,
    /// Source ports that there are from one address to the app.
    pub(super) ports: u64,
    /// Addresses that connections to the app came from; none over a Unix socket.
    pub(super) addresses: u64,
    /// The latency that 99 % of the answers did not exceed, from the moment when the request was due: of each second, and
    /// of the seconds the middle one.
    pub(super) p99: Duration,
    /// When the first request was refused, after the first was sent.
    pub(super) wall: Option<Duration>,
    /// What its client was told.
    pub(super) refusal: Option<String>,
}

impl Trial {
    /// Those that got neither an answer nor a refusal.
    pub(super) fn lost(&self) -> u64 {
        self.asked.saturating_sub(self.answered + self.refused)
    }

    /// The rest of a line after its first word.
    pub(super) fn parse(line: &str) -> Option<Self> {
        // The refusal is the last, and may hold anything but a line feed.
        let mut fields = line.splitn(10, '\t');
        let word = fields.next()?;
        let remedy = Remedy::ALL
            .into_iter()
            .find(|remedy| remedy.word() == word)?;
        let mut number = || fields.next()?.parse().ok();
        let [
            asked,
            answered,
            refused,
            time_wait_max,
            ports,
            addresses,
            p99,
        ] = [
            number()?,
            number()?,
            number()?,
            number()?,
            number()?,
            number()?,
            number()?,
        ];
        let wall = match fields.next()? {
            "" => None,
            milliseconds => Some(Duration::from_millis(milliseconds.parse().ok()?)),
        };
        let refusal = fields.next()?;
        Some(Self {
            remedy,
            asked,
            answered,
            refused,
            time_wait_max,
            ports,
            addresses,
            p99: Duration::from_micros(p99),
            wall,
            refusal: (!refusal.is_empty()).then(|| refusal.to_owned()),
        })
    }
}

/// As the rest of a line, without its end.
impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            remedy,
            asked,
            answered,
            refused,
            time_wait_max,
            ports,
            addresses,
            ..
        } = self;
        let p99 = self.p99.as_micros();
        write!(
            f,
            "{}\t{asked}\t{answered}\t{refused}\t{time_wait_max}\t{ports}\t{addresses}\t{p99}\t",
            remedy.word()
        )?;
        if let Some(wall) = self.wall {
            write!(f, "{}", wall.as_millis())?;
        }
        let refusal = self.refusal.as_deref().unwrap_or_default();
        write!(f, "\t{}", refusal.replace('\n', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_read_as_it_is_written() {
        let wall = Trial {
            remedy: Remedy::WiderRange,
            asked: 1500,
            answered: 1371,
            refused: 128,
            time_wait_max: 1370,
            ports: 1369,
            addresses: 1,
            p99: Duration::from_micros(1234),
            wall: Some(Duration::from_millis(4570)),
            refusal: Some("503 for a\treason".to_owned()),
        };
        assert_eq!(wall.lost(), 1);
        let none = Trial {
            remedy: Remedy::UnixSocket,
            wall: None,
            refusal: None,
            ..wall.clone()
        };
        for trial in [wall, none] {
            assert_eq!(Trial::parse(&trial.to_string()), Some(trial));
        }
    }

    #[test]
    fn a_line_that_is_no_trial_is_none() {
        for line in [
            "",
            "nothing\t1\t1\t1\t1\t1\t1\t1",
            "nothing\t1\t1\t1\t1\t1\t1\t1\t",
            "nothing\t1\t1\t1\t1\t1\t1\tx\t\t",
            "nothing\t1\t1\t1\t1\t1\t1\t1\tx\t",
            "other\t1\t1\t1\t1\t1\t1\t1\t\t",
        ] {
            assert_eq!(Trial::parse(line), None, "{line:?}");
        }
    }
}
