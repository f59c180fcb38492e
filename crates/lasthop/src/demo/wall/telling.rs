//! From the lines of the inside to what is shown: which part of the story a line belongs to, and what comes before it.
//!
//! Pure: lines in, text out. Lines come in the order in which things happen, so each part begins with the first line of
//! its kind.

use lasthop_ports::Capacity;

use super::diagnosis::Diagnosis;
use super::line::Line;
use super::trial::{Remedy, Trial};
use super::watch::Sample;
use super::{Size, held, report};
use crate::demo::screen::Screen;

/// Samples of one trial that are kept; a picture has sixty.
const SAMPLES_MAX: usize = 256;

/// What has been heard, for what is said next.
#[derive(Debug)]
pub(super) struct Telling {
    screen: Screen,
    size: Size,
    /// Descriptors that a process may have.
    descriptors: u64,
    /// What this host has from two addresses to one target, where that is known.
    host: Option<Capacity>,
    samples: Vec<Sample>,
    trials: Vec<Trial>,
    held: Vec<held::Row>,
}

/// What a line comes to on the screen.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// Text that stays.
    Text(String),
    /// How far it is.
    Progress(String),
    /// The act cannot be played, for this reason; no line follows.
    LeftOut(String),
}

impl Telling {
    pub(super) fn new(
        screen: Screen,
        size: Size,
        descriptors: u64,
        host: Option<Capacity>,
    ) -> Self {
        Self {
            screen,
            size,
            descriptors,
            host,
            samples: Vec::new(),
            trials: Vec::new(),
            held: Vec::new(),
        }
    }

    /// What is to be shown for `line`.
    pub(super) fn hear(&mut self, line: Line) -> Said {
        match line {
            Line::LeftOut(reason) => Said::LeftOut(reason),
            Line::Ready => {
                let colour = self.screen.colour;
                let mut text = report::intro(self.host, colour);
                text.push_str(&report::heading("1. The plateau", colour));
                Said::Text(text)
            }
            Line::Sample(sample) => Said::Progress(self.sample(sample)),
            Line::Trial(trial) => Said::Text(self.trial(trial)),
            Line::Diagnosis(diagnosis) => Said::Text(self.diagnosis(&diagnosis)),
            Line::Held(row) => Said::Text(self.row(row)),
        }
    }

    /// What it all means, when nothing more is said; `None` where something is missing.
    pub(super) fn end(&self) -> Option<String> {
        let whole =
            self.trials.len() == Remedy::ALL.len() && self.held.len() == held::Way::ALL.len();
        whole.then(|| format!("{}\n", held::sentences(&self.held, self.host)))
    }

    fn sample(&mut self, sample: Sample) -> String {
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(sample);
        }
        let remedy = Remedy::ALL.get(self.trials.len());
        let remedy = remedy.copied().unwrap_or(Remedy::Nothing);
        report::progress(remedy, sample, self.screen.glyphs)
    }

    /// The first is the picture; the others are rows, each shown as it comes, and what they mean after the last.
    fn trial(&mut self, trial: Trial) -> String {
        let samples = std::mem::take(&mut self.samples);
        let colour = self.screen.colour;
        let text = match self.trials.first() {
            None => report::plateau(&samples, &trial, self.screen),
            Some(base) => report::row(&trial, base, colour),
        };
        self.trials.push(trial);
        if self.trials.len() == Remedy::ALL.len() {
            return format!("{text}\n{}", report::sentences(&self.trials, self.host));
        }
        text
    }

    /// Comes between the picture and the rows, so the table begins after it.
    fn diagnosis(&self, diagnosis: &Diagnosis) -> String {
        let colour = self.screen.colour;
        let mut text = report::heading("2. What `lasthop doctor` said while it hurt", colour);
        text.push_str(&diagnosis.text(colour));
        text.push_str(&report::heading(
            "3. Each remedy under the same load",
            colour,
        ));
        text.push_str(&report::headings(colour));
        if let Some(base) = self.trials.first() {
            text.push_str(&report::row(base, base, colour));
        }
        text
    }

    fn row(&mut self, row: held::Row) -> String {
        let colour = self.screen.colour;
        let mut text = String::new();
        if self.held.is_empty() {
            text.push_str(&report::heading(
                "4. Connections that stay, as WebSockets do",
                colour,
            ));
            text.push_str(&held::intro(self.size, self.descriptors));
            text.push_str(&held::headings(colour));
        }
        text.push_str(&held::row(&row));
        self.held.push(row);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demo::screen::{Colour, Glyphs, Progress};

    fn telling() -> Telling {
        let screen = Screen {
            colour: Colour::Off,
            glyphs: Glyphs::Ascii,
            progress: Progress::On,
        };
        let size = Size::within(4096).unwrap();
        Telling::new(screen, size, 4096, None)
    }

    fn trial(remedy: Remedy) -> Line {
        Line::Trial(Trial {
            remedy,
            asked: 10,
            answered: 10,
            refused: 0,
            time_wait_max: 0,
            ports: 600,
            addresses: 1,
            p99: Duration::from_millis(1),
            wall: None,
            refusal: None,
        })
    }

    fn text(said: Said) -> String {
        match said {
            Said::Text(text) => text,
            other => panic!("{other:?} is no text"),
        }
    }

    #[test]
    fn the_parts_come_in_their_order_each_with_its_heading_once() {
        let mut telling = telling();
        let mut told = text(telling.hear(Line::Ready));
        for (number, remedy) in (0..).zip(Remedy::ALL) {
            let progress = telling.hear(Line::Sample(Sample::default()));
            let Said::Progress(progress) = progress else {
                panic!("{progress:?} is no progress");
            };
            assert!(progress.starts_with(remedy.name()), "{progress}");
            told.push_str(&text(telling.hear(trial(remedy))));
            if number == 0 {
                told.push_str(&text(telling.hear(Line::Diagnosis(Diagnosis::default()))));
            }
            assert_eq!(telling.end(), None);
        }
        for way in held::Way::ALL {
            let row = held::Row {
                way,
                asked: 10,
                held: 10,
                echoed: 10,
                ports: 10,
                sources: Vec::new(),
                refusal: None,
            };
            told.push_str(&text(telling.hear(Line::Held(row))));
        }
        let headings: Vec<&str> = told
            .lines()
            .filter(|line| line.get(1..3) == Some(". "))
            .collect();
        let begins = headings.iter().map(|heading| &heading[..3]);
        assert_eq!(begins.collect::<Vec<_>>(), ["1. ", "2. ", "3. ", "4. "]);
        for remedy in Remedy::ALL {
            assert!(told.contains(&format!("\n{}", remedy.name())), "{told}");
        }
        assert!(telling.end().is_some_and(|end| end.contains("Unix socket")));
    }

    #[test]
    fn a_namespace_that_cannot_be_made_ready_is_told_as_such() {
        let said = telling().hear(Line::LeftOut("no proc".to_owned()));
        assert_eq!(said, Said::LeftOut("no proc".to_owned()));
    }
}
