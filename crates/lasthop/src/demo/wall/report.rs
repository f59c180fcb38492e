//! The story as text: what is going to happen, the picture with its caption, the table of the remedies, and what it means.
//!
//! Pure: samples and trials in, text out. Every figure and every word that compares comes from them, so that a host on
//! which something else happens reads that.

use std::fmt::Write as _;
use std::time::Duration;

use lasthop_ports::Capacity;

use super::chart::chart;
use super::trial::{Remedy, Trial};
use super::watch::Sample;
use super::{LOAD, PORTS, RATE};
use crate::demo::report::{duration, grouped_count};
use crate::demo::screen::{Colour, Glyphs, Screen};

/// How long a closed connection keeps its port (`TCP_TIMEWAIT_LEN`, include/net/tcp.h).
const TIME_WAIT_SECONDS: u64 = 60;

/// Width of a row's name, and of each figure with the gap before it.
const NAME_WIDTH: usize = 29;
const FIGURE_WIDTH: usize = 11;
const HEADINGS: [[&str; 6]; 2] = [
    ["requests", "", "", "most in", "source", "latency"],
    ["asked", "answered", "refused", "TIME_WAIT", "ports", "p99"],
];

/// Cells of the bar in a line of progress.
const BAR_WIDTH: u64 = 30;

/// One line for where the act cannot be played.
pub(super) fn left_out(reason: &str) -> String {
    format!("The wall is left out: {reason}.\n")
}

/// What is going to happen, ending with a line feed.
pub(super) fn intro(host: Option<Capacity>, colour: Colour) -> String {
    let mut text = colour.bold("The wall, and the ways around it");
    let _ = write!(
        text,
        "\n{RATE} short requests a second for {} s. The proxy opens a connection to the app for each and closes it first, so\n\
         that each keeps its source port in TIME_WAIT for {TIME_WAIT_SECONDS} s: no keep-alive, and net.ipv4.tcp_tw_reuse = 0, the default\n\
         before Linux 4.19. All this is in a network namespace with {} source ports",
        LOAD.as_secs(),
        grouped_count(PORTS),
    );
    // Writing to a String cannot fail.
    let _ = match host {
        Some(host) => writeln!(
            text,
            ", because the {} of\nthis host take longer to fill.",
            grouped_count(host.per_pair().into())
        ),
        None => writeln!(text, ", because more take\nlonger to fill."),
    };
    text
}

/// A heading of the story, ending with a line feed, with a blank line before it.
pub(super) fn heading(text: &str, colour: Colour) -> String {
    format!("\n{}\n", colour.bold(text))
}

/// How far a trial is, on one line.
pub(super) fn progress(remedy: Remedy, sample: Sample, glyphs: Glyphs) -> String {
    let [full, empty] = match glyphs {
        Glyphs::Unicode => ["█", "░"],
        Glyphs::Ascii => ["#", "."],
    };
    let span = LOAD.as_millis();
    let done = u128::from(BAR_WIDTH) * sample.at.min(LOAD).as_millis() / span;
    let done = usize::try_from(done).unwrap_or_default();
    let rest = usize::try_from(BAR_WIDTH).map_or(0, |width| width.saturating_sub(done));
    format!(
        "{} {}{} {} in TIME_WAIT, {} refused",
        remedy.name(),
        full.repeat(done),
        empty.repeat(rest),
        grouped_count(sample.time_wait),
        grouped_count(sample.refused),
    )
}

/// The picture and its caption, ending with a line feed.
pub(super) fn plateau(samples: &[Sample], trial: &Trial, screen: Screen) -> String {
    let mut text = chart(samples, trial.ports, screen);
    text.push_str(&match (trial.wall, trial.refused) {
        (Some(wall), 1..) => format!(
            "The first request was refused after {}, and {} of {} in all. It was told:\n    {}\n",
            seconds(wall),
            grouped_count(trial.refused),
            grouped_count(trial.asked),
            trial.refusal.as_deref().unwrap_or("nothing"),
        ),
        _ => "No request was refused here: this host did not hit the wall.\n".to_owned(),
    });
    let rested = samples.iter().rfind(|sample| sample.at > LOAD);
    if let Some(last) = rested
        && last.time_wait > 0
    {
        let _ = writeln!(
            text,
            "The clients left after {} s; {} connections were in TIME_WAIT at {} still, and are for a minute.",
            LOAD.as_secs(),
            grouped_count(last.time_wait),
            seconds(last.at),
        );
    }
    text
}

/// The headings of the table, ending with a line feed.
pub(super) fn headings(colour: Colour) -> String {
    let lines = HEADINGS.map(|line| colour.bold(&columns("", line.map(str::to_owned))));
    format!("{}\n{}\n", lines[0], lines[1])
}

/// A row of the table, ending with a line feed. `base` is the trial without a remedy.
pub(super) fn row(trial: &Trial, base: &Trial, colour: Colour) -> String {
    let mut name = trial.remedy.name().to_owned();
    if let (Remedy::WiderRange, Some(percent)) = (trial.remedy, wider_by(trial, base)) {
        let _ = write!(name, " (+{percent} %)");
    }
    let ports = match trial.addresses {
        0 => "none".to_owned(),
        1 => grouped_count(trial.ports),
        addresses => format!("{addresses} x {}", grouped_count(trial.ports)),
    };
    let p99 = match trial.answered {
        0 => "-".to_owned(),
        _ => duration(trial.p99),
    };
    let figures = [
        grouped_count(trial.asked),
        grouped_count(trial.answered),
        grouped_count(trial.refused),
        grouped_count(trial.time_wait_max),
        ports,
        p99,
    ];
    let text = columns(&name, figures);
    match trial.refused {
        0 => format!("{text}\n"),
        _ => format!("{}\n", colour.red(&text)),
    }
}

fn columns(name: &str, figures: [String; 6]) -> String {
    let mut text = format!("{name:<NAME_WIDTH$}");
    for figure in figures {
        let _ = write!(text, "{figure:>FIGURE_WIDTH$}");
    }
    text
}

/// How much wider its range is, in percent; `None` where it is not.
fn wider_by(trial: &Trial, base: &Trial) -> Option<u64> {
    let more = trial.ports.checked_sub(base.ports)?;
    (more * 100)
        .checked_div(base.ports)
        .filter(|percent| *percent > 0)
}

/// What it means, ending with a line feed; nothing without the trial that all others are compared with.
pub(super) fn sentences(trials: &[Trial], host: Option<Capacity>) -> String {
    let Some(base) = trials.iter().find(|trial| trial.remedy == Remedy::Nothing) else {
        return String::new();
    };
    let mut text = String::new();
    for trial in trials {
        text.push_str(&match trial.remedy {
            Remedy::Nothing => as_it_was(trial, host),
            Remedy::Reuse => reuse(trial),
            Remedy::WiderRange => wider_range(trial, base),
            Remedy::ManyAddresses => many_addresses(trial),
            Remedy::UnixSocket => unix_socket(trial),
        });
        if trial.lost() > 0 {
            let lost = grouped_count(trial.lost());
            let _ = write!(
                text,
                " {lost} of its requests got no answer in time: the host is busy."
            );
        }
        text.push('\n');
    }
    // It is no trial, because every proxy of today has it, and would hide what the others do.
    text.push_str(
        "Keep-alive was off here and is on by default: one connection then serves many requests, as the last table counts. An\n\
         app that closes after each answer is beyond it, and so are connections that stay.\n\
         Each was run once. The p99 is that of the middle one of its seconds, and varies with whatever else the host does.\n",
    );
    text
}

fn as_it_was(trial: &Trial, host: Option<Capacity>) -> String {
    let mut text = format!(
        "{}: {} ports that rest for {TIME_WAIT_SECONDS} s each are {} requests a second in the long run",
        title(trial.remedy),
        grouped_count(trial.ports),
        per_second(trial.ports),
    );
    match host {
        Some(host) => {
            let ports = u64::from(host.per_pair());
            let _ = write!(
                text,
                "; the {} of this host are {}.",
                grouped_count(ports),
                per_second(ports)
            );
        }
        None => text.push('.'),
    }
    text
}

fn reuse(trial: &Trial) -> String {
    format!(
        "{}: {}. A port in TIME_WAIT serves again after a second, which makes {} requests a\nsecond of {} ports, where both \
         ends have TCP timestamps. On loopback that is the default since Linux 4.19 (2).",
        title(trial.remedy),
        outcome(trial),
        grouped_count(trial.ports),
        grouped_count(trial.ports),
    )
}

fn wider_range(trial: &Trial, base: &Trial) -> String {
    let begin = format!(
        "{}, by as much as 1024-65535 is wider than the default: {}.",
        title(trial.remedy),
        outcome(trial)
    );
    let long_run = format!(
        "{} ports are {} requests a second in the long run.",
        grouped_count(trial.ports),
        per_second(trial.ports)
    );
    match (base.wall, trial.wall) {
        (Some(before), Some(wall)) if wall > before => format!(
            "{begin} It only moves\nthe wall, here from {} to {}: {long_run}",
            seconds(before),
            seconds(wall)
        ),
        (_, None) => format!("{begin} The wall is\nfurther away than this load went: {long_run}"),
        _ => format!("{begin} It did not move\nthe wall: {long_run}"),
    }
}

fn many_addresses(trial: &Trial) -> String {
    let begin = format!("{} (the default): {}", title(trial.remedy), outcome(trial));
    match trial.addresses {
        0 | 1 => format!("{begin}, and no second address was needed."),
        addresses => format!(
            "{begin}, from {addresses} addresses with {} ports each, and there are more. The app\nsees them: one that \
             believes X-Forwarded-* from 127.0.0.1 alone has to believe 127.0.0.0/8 (docs/ports.md).",
            grouped_count(trial.ports)
        ),
    }
}

fn unix_socket(trial: &Trial) -> String {
    let begin = format!("{}: {}", title(trial.remedy), outcome(trial));
    match (trial.addresses, trial.time_wait_max) {
        (0, 0) => format!(
            "{begin}, without a source port and without TIME_WAIT. None of this concerns it."
        ),
        (addresses, time_wait) => format!(
            "{begin}; connections came over TCP all the same, from {addresses} addresses, with {} in TIME_WAIT.",
            grouped_count(time_wait)
        ),
    }
}

/// A remedy's name at the begin of a sentence. That of a setting stays as it is written.
fn title(remedy: Remedy) -> String {
    let name = remedy.name();
    if remedy == Remedy::Reuse {
        return name.to_owned();
    }
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn outcome(trial: &Trial) -> String {
    match trial.refused {
        0 => format!("none of {} refused", grouped_count(trial.asked)),
        refused => format!(
            "{} of {} refused",
            grouped_count(refused),
            grouped_count(trial.asked)
        ),
    }
}

/// How many connections a second so many ports bear, each resting for the whole of TIME_WAIT.
fn per_second(ports: u64) -> String {
    grouped_count(ports / TIME_WAIT_SECONDS)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::screen::Progress;

    const SCREEN: Screen = Screen {
        colour: Colour::Off,
        glyphs: Glyphs::Unicode,
        progress: Progress::Off,
    };

    fn trial(remedy: Remedy, refused: u64, ports: u64, addresses: u64) -> Trial {
        Trial {
            remedy,
            asked: 1500,
            answered: 1500 - refused,
            refused,
            time_wait_max: ports.min(1500) * addresses.min(1),
            ports,
            addresses,
            p99: Duration::from_micros(1500),
            wall: (refused > 0).then(|| Duration::from_millis(5000 - 10 * refused / 3)),
            refusal: (refused > 0).then(|| "503 Service Unavailable: source ports".to_owned()),
        }
    }

    /// As it goes where all goes as it should.
    fn story() -> [Trial; 5] {
        [
            trial(Remedy::Nothing, 900, 600, 1),
            trial(Remedy::Reuse, 0, 600, 1),
            trial(Remedy::WiderRange, 129, 1371, 1),
            trial(Remedy::ManyAddresses, 0, 600, 3),
            trial(Remedy::UnixSocket, 0, 600, 0),
        ]
    }

    fn host() -> Option<Capacity> {
        let range = "32768 60999".parse().unwrap();
        Some(Capacity::new(range, &"".parse().unwrap(), 2))
    }

    #[test]
    fn the_columns_line_up_and_each_remedy_has_its_row() {
        let story = story();
        let mut table = headings(Colour::Off);
        for trial in &story {
            table.push_str(&row(trial, &story[0], Colour::Off));
        }
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 7);
        for line in &lines {
            assert_eq!(
                line.chars().count(),
                NAME_WIDTH + 6 * FIGURE_WIDTH,
                "{line}"
            );
        }
        let figures: Vec<_> = lines[2].split_whitespace().skip(3).collect();
        assert_eq!(figures, ["1,500", "600", "900", "600", "600", "1.50", "ms"]);
        for (line, part) in [(4, "range (+128 %)"), (5, "3 x 600"), (6, " none ")] {
            assert!(lines[line].contains(part), "{part}: {table}");
        }
    }

    #[test]
    fn a_row_with_refusals_is_red_and_another_is_not() {
        let story = story();
        assert!(row(&story[0], &story[0], Colour::On).starts_with("\x1b[31m"));
        assert!(!row(&story[1], &story[0], Colour::On).contains('\x1b'));
    }

    #[test]
    fn the_sentences_say_what_each_remedy_came_to() {
        let text = sentences(&story(), host());
        for part in [
            "600 ports that rest for 60 s each are 10 requests a second",
            "the 28,232 of this host are 470.",
            "tcp_tw_reuse = 1: none of 1,500 refused.",
            "where both ends have TCP timestamps",
            "129 of 1,500 refused. It only moves",
            "from 2.0 s to 4.6 s: 1,371 ports are 22 requests a second",
            "from 3 addresses with 600 ports each",
            "has to believe 127.0.0.0/8",
            "A Unix socket: none of 1,500 refused, without a source port and without TIME_WAIT.",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.lines().count(), 11, "{text}");
    }

    #[test]
    fn a_host_on_which_it_goes_otherwise_reads_that() {
        let mut lost = trial(Remedy::UnixSocket, 0, 600, 1);
        lost.answered -= 2;
        let trials = [
            trial(Remedy::Nothing, 0, 600, 1),
            trial(Remedy::Reuse, 300, 600, 1),
            trial(Remedy::WiderRange, 0, 1371, 1),
            trial(Remedy::ManyAddresses, 0, 600, 1),
            lost,
        ];
        let text = sentences(&trials, None);
        for part in [
            "tcp_tw_reuse = 1: 300 of 1,500 refused",
            "further away than this load went",
            "no second address was needed",
            "over TCP all the same, from 1 addresses, with 600 in TIME_WAIT",
            "2 of its requests got no answer in time",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("this host"), "{text}");
        let caption = plateau(&[], &trials[0], SCREEN);
        assert!(caption.contains("did not hit the wall"), "{caption}");
        let unmoved = trial(Remedy::WiderRange, 900, 1371, 1);
        let text = sentences(&[trial(Remedy::Nothing, 900, 600, 1), unmoved], None);
        assert!(text.contains("did not move"), "{text}");
    }

    #[test]
    fn the_caption_says_when_it_hurt_and_that_it_lasts() {
        let last = Sample {
            at: LOAD + Duration::from_millis(900),
            held: 600,
            time_wait: 600,
            refused: 900,
        };
        let text = plateau(&[last], &story()[0], SCREEN);
        for part in [
            "The first request was refused after 2.0 s, and 900 of 1,500 in all.",
            "\n    503 Service",
            "600 connections were in TIME_WAIT at 5.9 s still",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn progress_is_one_line_of_a_width_that_any_terminal_has() {
        let sample = Sample {
            at: LOAD / 2,
            held: 600,
            time_wait: 600,
            refused: 90,
        };
        for glyphs in [Glyphs::Unicode, Glyphs::Ascii] {
            let line = progress(Remedy::WiderRange, sample, glyphs);
            assert!(line.chars().count() < 80, "{line}");
            assert!(line.ends_with(" 600 in TIME_WAIT, 90 refused"), "{line}");
        }
        assert!(progress(Remedy::Nothing, sample, Glyphs::Ascii).contains("###."));
    }

    #[test]
    fn the_intro_names_the_ports_of_this_host() {
        assert!(intro(host(), Colour::Off).contains("28,232"));
        assert!(!intro(None, Colour::Off).contains("this host"));
    }
}
