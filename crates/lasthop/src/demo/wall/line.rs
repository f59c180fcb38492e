//! What the inside says to the outside, a line each.
//!
//! Pure. Both ends are the same program, so the form is nobody else's business and may change.

use std::fmt;

use super::diagnosis::Diagnosis;
use super::held;
use super::trial::Trial;
use super::watch::Sample;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    /// The namespace is as it has to be; the rest follows.
    Ready,
    /// It cannot be made so, for this reason; nothing follows.
    LeftOut(String),
    /// What the kernel holds now, in the trial that goes on.
    Sample(Sample),
    /// A trial has ended.
    Trial(Trial),
    /// What the doctor found during the first of them.
    Diagnosis(Diagnosis),
    /// One way to hold connections, measured.
    Held(held::Row),
}

impl Line {
    const READY: &str = "ready";
    const LEFT_OUT: &str = "left out";
    const SAMPLE: &str = "sample";
    const TRIAL: &str = "trial";
    const DIAGNOSIS: &str = "diagnosis";
    const HELD: &str = "held";

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once('\t').unwrap_or((text, ""));
        match word {
            Self::READY => Some(Self::Ready),
            Self::LEFT_OUT => Some(Self::LeftOut(rest.to_owned())),
            Self::SAMPLE => Sample::parse(rest).map(Self::Sample),
            Self::TRIAL => Trial::parse(rest).map(Self::Trial),
            Self::DIAGNOSIS => Diagnosis::parse(rest).map(Self::Diagnosis),
            Self::HELD => held::Row::parse(rest).map(Self::Held),
            _ => None,
        }
    }
}

/// Without its end.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str(Self::READY),
            Self::LeftOut(reason) => write!(f, "{}\t{reason}", Self::LEFT_OUT),
            Self::Sample(sample) => write!(f, "{}\t{sample}", Self::SAMPLE),
            Self::Trial(trial) => write!(f, "{}\t{trial}", Self::TRIAL),
            Self::Diagnosis(diagnosis) => write!(f, "{}\t{diagnosis}", Self::DIAGNOSIS),
            Self::Held(row) => write!(f, "{}\t{row}", Self::HELD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_is_written() {
        for line in [
            Line::Ready,
            Line::LeftOut("no proc".to_owned()),
            Line::Sample(Sample::default()),
            Line::Diagnosis(Diagnosis::default()),
        ] {
            assert_eq!(Line::parse(&line.to_string()), Some(line));
        }
        for text in ["", "hello", "sample", "trial\tx", "held"] {
            assert_eq!(Line::parse(text), None, "{text:?}");
        }
    }
}
