//! What the screen looks like: whole frames, and what holds at every size.
//!
//! Frames stand in `frames/`, one file for each state. After a change that is meant,
//! `LASTHOP_WRITE_FRAMES=1 cargo test -p lasthop top::view` writes them anew; the difference is then for the eyes.

mod scene;

use std::fmt::Write as _;
use std::path::PathBuf;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::*;
use crate::top::model::{Action, Event};
use scene::{NOW_MS, Scene};

const LOOK: Look = Look {
    colour: true,
    unicode: true,
};

fn frame(model: &Model, look: Look, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let drawn = terminal.draw(|frame| {
        draw(model, look, frame.buffer_mut());
    });
    drawn.unwrap().buffer.clone()
}

fn text(model: &Model, size: (u16, u16)) -> String {
    frame_as_text(&frame(model, LOOK, size))
}

/// Compares the frames of a state with those that were looked at.
fn check(name: &str, model: &Model, sizes: &[(u16, u16)]) {
    let mut frames = String::new();
    for &size in sizes {
        // Writing to a String cannot fail.
        let _ = writeln!(frames, "== {} x {}", size.0, size.1);
        frames.push_str(&text(model, size));
    }
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/top/view/tests/frames");
    let path = directory.join(format!("{name}.txt"));
    if std::env::var_os("LASTHOP_WRITE_FRAMES").is_some() {
        std::fs::write(&path, &frames).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        frames == expected,
        "{} is another picture now:\n{frames}",
        path.display()
    );
}

const SIZES: [(u16, u16); 4] = [(100, 30), (80, 24), (40, 12), (20, 5)];

#[test]
fn before_anything_is_known_it_says_what_it_waits_for() {
    check("nothing", &Scene::new().model(), &SIZES);
}

#[test]
fn a_healthy_host_is_told_so_with_its_fullest_group() {
    check("healthy", &Scene::healthy().model(), &SIZES);
}

#[test]
fn a_plateau_is_a_plateau_and_the_wall_is_named() {
    let mut model = Scene::plateau().model();
    check(
        "plateau",
        &model,
        &[(200, 60), (100, 30), (80, 24), (40, 12)],
    );
    model.apply(NOW_MS, Event::Action(Action::Open));
    check("plateau_group", &model, &[(100, 30), (40, 12)]);
    model.apply(NOW_MS, Event::Action(Action::Pane(Pane::Findings)));
    model.apply(NOW_MS, Event::Action(Action::Open));
    check("plateau_finding", &model, &[(100, 30), (40, 12)]);
}

#[test]
fn a_host_without_sock_diag_is_not_called_healthy() {
    let model = Scene::blind().model();
    check("blind", &model, &SIZES);
    let frame = text(&model, (100, 30));
    assert!(
        frame.contains("cannot be listed") && frame.contains("sockets were not seen"),
        "{frame}"
    );
    assert!(!frame.contains("nothing is short"), "{frame}");
}

#[test]
fn an_instance_has_a_pane_of_its_own_and_its_past_is_shown_at_once() {
    let mut model = Scene::healthy().with_instance().model();
    check("instance", &model, &[(200, 60), (100, 30), (80, 24)]);
    model.apply(NOW_MS, Event::Action(Action::Pane(Pane::Instance)));
    model.apply(NOW_MS, Event::Action(Action::Open));
    check("instance_detail", &model, &[(100, 30), (40, 12)]);
}

#[test]
fn an_instance_that_answers_nonsense_is_told_in_the_first_line() {
    let mut model = Scene::healthy().model();
    let why = "its /history is broken: too many points";
    model.apply(NOW_MS, Event::Lost(why.to_owned()));
    let frame = text(&model, (140, 30));
    assert!(frame.lines().next().unwrap().contains(why), "{frame}");
}

#[test]
fn of_many_groups_the_selected_one_is_always_seen() {
    let mut model = Scene::many_groups(40).model();
    check("many_groups", &model, &[(100, 30), (40, 12)]);
    for _ in 0..60 {
        let rows = model.groups();
        let selected = &rows[model.selected_group(&rows)];
        let name = format!("▸ {} → {}", selected.key.source, selected.key.destination);
        for size in [(100, 30), (80, 24), (60, 12), (40, 12)] {
            assert!(text(&model, size).contains(&name), "{name} at {size:?}");
        }
        model.apply(NOW_MS, Event::Action(Action::Down));
    }
}

#[test]
fn of_many_findings_the_selected_one_is_always_seen() {
    let mut model = Scene::many_findings(30).model();
    model.apply(NOW_MS, Event::Action(Action::Pane(Pane::Findings)));
    for at in 0..30 {
        let headline = format!("finding number {at} of the host");
        for size in [(100, 30), (80, 24), (40, 12)] {
            assert!(
                text(&model, size).contains(&headline),
                "{headline} at {size:?}"
            );
        }
        model.apply(NOW_MS, Event::Action(Action::Down));
    }
}

#[test]
fn long_names_and_wide_numbers_stay_in_their_places() {
    check("long", &Scene::long_names().model(), &SIZES[..3]);
}

#[test]
fn no_name_of_a_process_writes_to_the_terminal() {
    let model = Scene::hostile().model();
    for size in SIZES {
        let buffer = frame(&model, LOOK, size);
        for cell in buffer.content() {
            assert!(
                !cell.symbol().chars().any(char::is_control),
                "{:?}",
                cell.symbol()
            );
        }
        let text = frame_as_text(&buffer);
        assert!(!text.contains('\u{202e}'), "{text}");
    }
    assert!(
        !once(&model, LOOK, 80)
            .chars()
            .any(|sign| sign.is_control() && sign != '\n')
    );
}

#[test]
fn every_state_fits_every_screen() {
    let scenes = [
        Scene::new(),
        Scene::healthy(),
        Scene::plateau().with_instance(),
        Scene::blind(),
        Scene::many_groups(200),
        Scene::many_findings(60),
        Scene::long_names().with_instance(),
        Scene::hostile(),
    ];
    for scene in &scenes {
        for pane in Pane::ALL {
            for action in [Action::Sort, Action::Open, Action::Help] {
                let mut model = scene.model();
                model.apply(NOW_MS, Event::Action(Action::Pane(pane)));
                model.apply(NOW_MS, Event::Action(action));
                for (width, height) in (0..210).step_by(13).zip((0..70).cycle().step_by(3)) {
                    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                    draw(&model, LOOK, &mut buffer);
                    draw(&model, ASCII, &mut buffer);
                }
            }
        }
    }
}

const ASCII: Look = Look {
    colour: false,
    unicode: false,
};

#[test]
fn without_colour_there_is_none_and_nothing_is_lost() {
    let model = Scene::plateau().model();
    let look = Look {
        colour: false,
        unicode: true,
    };
    let buffer = frame(&model, look, (100, 30));
    for cell in buffer.content() {
        assert_eq!(
            (cell.fg, cell.bg),
            (ratatui::style::Color::Reset, ratatui::style::Color::Reset)
        );
    }
    // The words and the signs are the same: colour only repeats them.
    assert_eq!(frame_as_text(&buffer), text(&model, (100, 30)));
}

#[test]
fn without_unicode_everything_is_ascii() {
    for model in [
        Scene::plateau().with_instance().model(),
        Scene::long_names().model(),
    ] {
        let text = frame_as_text(&frame(&model, ASCII, (100, 30)));
        assert!(text.is_ascii(), "{text}");
        assert!(text.contains("TTT") && text.contains("www"), "{text}");
    }
    let mut buffer = Buffer::empty(Rect::new(0, 0, 100, 30));
    draw(&Scene::plateau().model(), ASCII, &mut buffer);
    assert!(frame_as_text(&buffer).contains("CRITICAL"));
}

#[test]
fn one_frame_as_text_has_all_panes_and_no_wider_lines() {
    for width in [40, 80, 200] {
        let text = once(&Scene::plateau().with_instance().model(), LOOK, width);
        for part in [
            "Sockets by state",
            "Source ports",
            "ports-exhausted",
            "requests",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for line in text.lines() {
            assert!(pen::columns(line) <= width, "{line}");
            assert_eq!(line.trim_end(), line);
        }
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"));
    }
}

#[test]
fn a_detail_scrolls_as_far_as_it_has_lines() {
    let mut model = Scene::plateau().model();
    model.apply(NOW_MS, Event::Action(Action::Pane(Pane::Findings)));
    model.apply(NOW_MS, Event::Action(Action::Open));
    for _ in 0..30 {
        model.apply(NOW_MS, Event::Action(Action::PageDown));
        let mut buffer = Buffer::empty(Rect::new(0, 0, 60, 14));
        let drawn = draw(&model, LOOK, &mut buffer);
        model.drew(drawn.scroll_max);
    }
    let last = text(&model, (60, 14));
    assert!(
        last.contains("lasthop doctor --explain ports-exhausted"),
        "{last}"
    );
    model.apply(NOW_MS, Event::Action(Action::Up));
    assert_ne!(text(&model, (60, 14)), last);
}
