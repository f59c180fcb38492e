//! The picture in docs/top.md: what `lasthop top` shows while the ports of an nginx run out, as an SVG.
//!
//! `cargo build --release && cargo run --release -p lasthop --example top_screenshot -- docs/images/top.svg`
//!
//! Nothing of it is made up. In a network namespace of its own an app, an nginx that opens a connection for each request, and
//! an instance of lasthop before another app are kept busy for a minute and a half; then the screen of the real
//! program, in a real pseudo-terminal, is drawn sign by sign. Needs nginx, setsid(1), unshare(1) and user namespaces; no
//! root.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool for the authors of the documents: what it cannot do it says by ending"
)]

mod scene;
mod svg;
#[path = "../../tests/suite/support/terminal.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod terminal;

use std::cell::RefCell;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use lasthop_kernel::namespace::isolate;
use terminal::{Cell, Screen, Terminal};

/// The longest wait for anything on the screen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Columns and rows of the picture.
const SIZE: (u16, u16) = (124, 33);

/// The first of the minute in which the ports run out, from when on a forecast is worth a look.
const RISES: Duration = Duration::from_secs(30);

/// The part of the ports that is in use in the picture, at least, in percent.
const USED_PERCENT: f64 = 66.0;

/// Set in the process that plays inside the namespace.
const INSIDE: &str = "TOP_SCREENSHOT_INSIDE";

fn main() {
    let path = env::args()
        .nth(1)
        .map_or_else(|| PathBuf::from("top.svg"), PathBuf::from);
    if env::var_os(INSIDE).is_some() {
        std::fs::write(&path, svg::of(&picture())).expect("the picture is written");
        println!("{}", path.display());
        return;
    }
    let mut inside = Command::new(env::current_exe().expect("our own path"));
    inside.arg(&path).env(INSIDE, "1");
    let status = isolate(&mut inside).status().expect("a network namespace");
    assert!(status.success(), "{status}");
}

/// The program that the picture is of, built beside this one.
fn binary() -> PathBuf {
    let own = env::current_exe().expect("our own path");
    let directory = own
        .parent()
        .and_then(Path::parent)
        .expect("target/PROFILE/examples");
    let binary = directory.join("lasthop");
    assert!(
        binary.exists(),
        "{} is not there: cargo build first",
        binary.display()
    );
    binary
}

fn picture() -> Vec<Vec<Cell>> {
    let binary = binary();
    let scene = scene::Scene::start(&binary);
    // On a host with a name that tells nothing about the one who takes the picture.
    let named = "echo web-1 > /proc/sys/kernel/hostname && exec \"$0\" \"$@\"";
    let mut top = Command::new("unshare");
    top.args(["--uts", "sh", "-c", named])
        .arg(&binary)
        .args(["top", "--admin", scene::ADMIN])
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("NO_COLOR");
    let mut terminal = Terminal::start(&top, SIZE);
    thread::sleep(scene::QUIET + RISES);
    let cells = RefCell::new(Vec::new());
    let is_worth_it = |screen: &Screen| {
        let text = screen.text();
        *cells.borrow_mut() = screen.cells().to_vec();
        let is_whole = ["in about", "q quit", "reused"]
            .iter()
            .all(|part| text.contains(part));
        // Behind the wall of the first bar.
        let used = text.split('▌').nth(1).and_then(|rest| {
            let (percent, _) = rest.split_once('%')?;
            percent.trim().parse::<f64>().ok()
        });
        is_whole && used.is_some_and(|used| used >= USED_PERCENT)
    };
    println!("{}", terminal.until("whole picture", is_worth_it));
    terminal.press("q");
    assert!(terminal.ended().success());
    drop(scene);
    cells.into_inner()
}
