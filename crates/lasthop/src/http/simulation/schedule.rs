//! In which pieces and in which order things happen: a whole run, decided beforehand.

use std::slice::Iter;

/// Bytes that arrive at once, or that a write is given room for.
const SIZES: [usize; 12] = [1, 2, 3, 5, 8, 13, 21, 34, 100, 1_000, 17_000, usize::MAX];

/// A run's decisions.
#[derive(Clone, Debug)]
pub(super) enum Schedule {
    /// Everything at once, as soon as it is said, and every write takes all.
    Whole,
    /// As `Whole`, but the bytes of each side pause at these places, counted over all that it says (the
    /// app over all connections), and a write takes at most so many bytes.
    Cuts {
        client: Vec<usize>,
        app: Vec<usize>,
        write_max: usize,
    },
    /// Everything that could be otherwise, two bytes for each decision; `Whole` when they are used up.
    Choices(Vec<u8>),
}

/// Which side something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    /// By the index of its connection.
    App(usize),
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A connection to the app is accepted.
    Accept(usize),
    /// There is room for the writes towards this side.
    Room(Side),
    /// Bytes of this side arrive, or its end.
    Arrive(Side),
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision {
    pub(super) event: Event,
    /// For at most so many bytes.
    pub(super) bytes: usize,
    /// Whether the proxy runs before the next event, or finds both done at once.
    pub(super) runs: bool,
}

/// A schedule being followed.
#[derive(Debug)]
pub(super) struct Pace<'s> {
    schedule: &'s Schedule,
    choices: Iter<'s, u8>,
    from_client: usize,
    from_app: usize,
}

impl<'s> Pace<'s> {
    pub(super) fn new(schedule: &'s Schedule) -> Self {
        let choices = match schedule {
            Schedule::Choices(choices) => &choices[..],
            Schedule::Whole | Schedule::Cuts { .. } => &[],
        };
        Self {
            schedule,
            choices: choices.iter(),
            from_client: 0,
            from_app: 0,
        }
    }

    /// Bytes that one write takes at most.
    pub(super) fn write_max(&self) -> usize {
        match self.schedule {
            Schedule::Cuts { write_max, .. } => *write_max,
            Schedule::Whole | Schedule::Choices(_) => usize::MAX,
        }
    }

    /// Room for the first writes towards a new connection.
    pub(super) fn first_room(&mut self) -> usize {
        match self.choices.next() {
            Some(choice) if choice % 2 == 1 => 0,
            _ => usize::MAX,
        }
    }

    /// What of `events` happens next.
    pub(super) fn decide(&mut self, events: &[Event]) -> Decision {
        if let (Some(&which), Some(&how)) = (self.choices.next(), self.choices.next()) {
            return Decision {
                event: events[usize::from(which) % events.len()],
                bytes: SIZES[usize::from(how) % SIZES.len()],
                runs: how < 192,
            };
        }
        Decision {
            event: events[0],
            bytes: self.until_cut(events[0]),
            runs: true,
        }
    }

    fn until_cut(&self, event: Event) -> usize {
        let (cuts, at) = match (self.schedule, event) {
            (Schedule::Cuts { client, .. }, Event::Arrive(Side::Client)) => {
                (client, self.from_client)
            }
            (Schedule::Cuts { app, .. }, Event::Arrive(Side::App(_))) => (app, self.from_app),
            _ => return usize::MAX,
        };
        let next = cuts.iter().find(|&&cut| cut > at);
        next.map_or(usize::MAX, |cut| cut - at)
    }

    /// Notes that bytes have arrived.
    pub(super) fn count(&mut self, side: Side, bytes: usize) {
        match side {
            Side::Client => self.from_client += bytes,
            Side::App(_) => self.from_app += bytes,
        }
    }
}
