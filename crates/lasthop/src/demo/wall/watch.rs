//! What the kernel holds towards the app of a trial, looked at ten times a second.
//!
//! On a thread beside the clients, whose pace would suffer from a long table. It counts and keeps; what it means is told
//! elsewhere.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::pace::Tally;
use crate::demo::ports;

/// Between two looks.
pub(super) const PERIOD: Duration = Duration::from_millis(100);

/// One look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// After the first request was sent.
    pub(super) at: Duration,
    /// Source ports in use towards the app.
    pub(super) held: u64,
    /// Connections in TIME_WAIT towards it.
    pub(super) time_wait: u64,
    /// Requests refused since the begin.
    pub(super) refused: u64,
}

impl Sample {
    /// The rest of a line after its first word.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t').map(|field| field.parse().ok());
        let sample = Self {
            at: Duration::from_millis(fields.next()??),
            held: fields.next()??,
            time_wait: fields.next()??,
            refused: fields.next()??,
        };
        fields.next().is_none().then_some(sample)
    }
}

/// As the rest of a line, without its end.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.as_millis();
        write!(
            f,
            "{at}\t{}\t{}\t{}",
            self.held, self.time_wait, self.refused
        )
    }
}

/// Looks at `app` every [`PERIOD`] until `span` is over, and gives each sample to `seen`. A look that takes longer than
/// the period leaves out the next.
///
/// # Errors
/// Where the kernel's table cannot be read, or where `seen` fails.
pub(super) async fn watch(
    app: SocketAddrV4,
    span: Duration,
    tally: &Rc<RefCell<Tally>>,
    mut seen: impl FnMut(Sample) -> io::Result<()>,
) -> io::Result<()> {
    let begun = Instant::now();
    let mut looks = interval_at(begun + PERIOD, PERIOD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        looks.tick().await;
        let towards = spawn_blocking(move || ports::towards(app));
        let ports = towards.await.map_err(io::Error::other).flatten()?;
        // Afterwards: on a busy host the look itself may take a while.
        let at = begun.elapsed();
        let refused = tally.borrow().refused;
        seen(Sample {
            at,
            held: ports.held,
            time_wait: ports.time_wait,
            refused,
        })?;
        if at >= span {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_read_as_it_is_written() {
        let sample = Sample {
            at: Duration::from_millis(1200),
            held: 600,
            time_wait: 599,
            refused: 7,
        };
        assert_eq!(Sample::parse(&sample.to_string()), Some(sample));
        for line in ["", "1\t2\t3", "1\t2\t3\t4\t5", "1\t2\t3\tx"] {
            assert_eq!(Sample::parse(line), None, "{line:?}");
        }
    }
}
