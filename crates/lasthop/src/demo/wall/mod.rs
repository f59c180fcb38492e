//! The demo's first act: how TCP to one address hits the wall, how the default passes it, and that a Unix socket has none.
//!
//! It plays in a network namespace of its own, with few source ports, so that it takes seconds, needs no privileges and
//! disturbs nobody. The kernel lets only a process of one thread into a new user namespace, so the program starts
//! itself anew: here is the outside, which starts, listens and shows; [`inside`] measures. Where namespaces are not
//! allowed the act is left out, with the reason.

pub mod inside;

mod clients;
mod report;
mod row;

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use lasthop_kernel::{limits, namespace, process, sysctl};
use lasthop_ports::Capacity;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::DemoError;
use super::report::Colour;
use super::scratch::Scratch;
use row::Row;

/// The argument of `lasthop demo` that runs the inside, followed by a directory for its files. Help does not show it.
const INSIDE_ARGUMENT: &str = "--inside-the-wall";

/// Connections that are asked for: clearly more than there are ports, and few enough for a small host.
const ASKED: u64 = 1000;
/// Below so many connections nothing would be shown.
const ASKED_MIN: u64 = 20;
/// Descriptors that a process needs besides two for each connection: its event loops, listeners and logs, and what the
/// proxy keeps back.
const DESCRIPTORS_APART: u64 = 256;
/// How long the inside may take for one row; it takes about a second.
const ROW_DEADLINE: Duration = Duration::from_secs(60);
/// Bytes that the inside may say altogether; it says less than two thousand.
const SAID_BYTES_MAX: u64 = 64 * 1024;
/// Lines that are read ahead.
const LINES_AHEAD: usize = 4;

/// How large the act is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    /// Connections asked for.
    asked: u64,
    /// Source ports in the namespace: three fifths of that.
    ports: u64,
}

impl Size {
    /// What each process can hold with this hard limit of descriptors: app and clients share one, and need as many as
    /// the proxy. `None`: too few to show anything.
    fn within(descriptors: u64) -> Option<Self> {
        let room = descriptors.saturating_sub(DESCRIPTORS_APART) / 2;
        let asked = room.min(ASKED);
        let ports = asked * 3 / 5;
        (asked >= ASKED_MIN).then_some(Self { asked, ports })
    }
}

/// What the inside says, a line each.
#[derive(Clone, Debug, PartialEq)]
enum Line {
    /// The namespace is as it has to be; rows follow.
    Ready,
    /// It cannot be made so, for this reason; nothing follows.
    LeftOut(String),
    /// One way to the app, measured.
    Row(Row),
}

impl Line {
    const READY: &str = "ready";
    const LEFT_OUT: &str = "left out: ";

    fn parse(text: &str) -> Option<Self> {
        if text == Self::READY {
            return Some(Self::Ready);
        }
        match text.strip_prefix(Self::LEFT_OUT) {
            Some(reason) => Some(Self::LeftOut(reason.to_owned())),
            None => Row::parse(text).map(Self::Row),
        }
    }
}

/// Plays the act and writes it to `out`, or one line that says why it is left out.
///
/// # Errors
/// When it began and did not come to its end; nothing of it runs any more by then.
pub(super) async fn show(
    binary: &Path,
    colour: Colour,
    out: &mut impl Write,
) -> Result<(), DemoError> {
    let writing = |source| DemoError::Host {
        attempt: "write to the standard output",
        source,
    };
    let failed = |what| DemoError::Wall { what };
    let descriptors = limits::nofile()
        .map_err(|error| DemoError::Host {
            attempt: "read its limit of descriptors",
            source: io::Error::other(error),
        })?
        .hard;
    let Some(size) = Size::within(descriptors) else {
        let reason = format!("this host allows a process only {descriptors} descriptors");
        return writeln!(out, "{}", report::left_out(&reason)).map_err(writing);
    };
    let mut inside = match Inside::start(binary)? {
        Started::Running(inside) => inside,
        Started::Refused(error) => {
            let reason = match error.kind() {
                // What the kernel calls a full disk is a full count here (user_namespaces(7), ENOSPC).
                io::ErrorKind::StorageFull => {
                    "this host allows no more user or network namespaces (user.max_user_namespaces, \
                     user.max_net_namespaces)"
                        .to_owned()
                }
                _ => format!("this host allows no user and network namespaces ({error})"),
            };
            return writeln!(out, "{}", report::left_out(&reason)).map_err(writing);
        }
    };
    let mut rows = Vec::new();
    loop {
        let line = timeout(ROW_DEADLINE, inside.lines.recv()).await;
        let line = line.map_err(|_elapsed| failed("hangs"))?;
        let text = match line {
            None => break,
            Some(line) => match Line::parse(&line).ok_or(failed("cannot be understood"))? {
                Line::LeftOut(reason) => {
                    return writeln!(out, "{}", report::left_out(&reason)).map_err(writing);
                }
                Line::Ready => {
                    let intro = report::intro(size, descriptors, host_capacity(), colour);
                    format!("{intro}\n{}", report::headings(colour))
                }
                Line::Row(row) => {
                    let text = report::row(&row);
                    rows.push(row);
                    text
                }
            },
        };
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(writing)?;
    }
    if !inside.has_ended_well() || rows.len() != row::Way::ALL.len() {
        return Err(failed("has ended too early"));
    }
    let sentences = report::sentences(&rows, host_capacity());
    writeln!(out, "\n{sentences}").map_err(writing)
}

/// What this host has from two addresses to one target, `None` where that cannot be read: a remark, not what is measured.
fn host_capacity() -> Option<Capacity> {
    let range = sysctl::local_port_range().ok()?;
    let reserved = sysctl::reserved_ports().ok()?;
    Some(Capacity::new(range, &reserved, 2))
}

/// The program, run anew in a namespace of its own; dropping it ends it, and by that its proxies.
struct Inside {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// Removed after the child has ended; that one's own end may be too sudden for it.
    _scratch: Scratch,
}

/// What came of an attempt to start the inside.
enum Started {
    Running(Inside),
    /// The host does not allow it.
    Refused(io::Error),
}

impl Inside {
    fn start(binary: &Path) -> Result<Started, DemoError> {
        let host = |attempt| move |source| DemoError::Host { attempt, source };
        let scratch = Scratch::new().map_err(host("make a directory for its sockets"))?;
        inside::network()
            .and_then(|network| std::fs::write(scratch.path().join(inside::OUTSIDE_FILE), network))
            .map_err(host("note which network it is in"))?;
        let mut command = Command::new(binary);
        command
            .args(["demo", INSIDE_ARGUMENT])
            .arg(scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // An interrupt from the keyboard is the outside's to handle: it ends the inside.
            .process_group(0);
        namespace::isolate(&mut command);
        // The guard ends it; this is for an outside that is killed and drops no guard.
        process::die_with_parent(&mut command);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Ok(Started::Refused(error)),
        };
        let (said, lines) = mpsc::channel(LINES_AHEAD);
        if let Some(stdout) = child.stdout.take() {
            // It ends with the pipe, that is with the child, or with its listener.
            std::thread::spawn(move || pass_on(stdout, &said));
        }
        Ok(Started::Running(Self {
            child,
            lines,
            _scratch: scratch,
        }))
    }

    /// To be asked when nothing more is said.
    fn has_ended_well(&mut self) -> bool {
        self.child.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // Both fail only where it has ended already. Its proxies are killed with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pass_on(stdout: ChildStdout, said: &mpsc::Sender<String>) {
    for line in BufReader::new(stdout.take(SAID_BYTES_MAX)).lines() {
        // A failing read is the child's end or not text, which a missing row shows.
        let Ok(line) = line else { return };
        if said.blocking_send(line).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_thousand_descriptors_are_enough_for_the_whole_act() {
        let whole = Size {
            asked: 1000,
            ports: 600,
        };
        assert_eq!(Size::within(4096), Some(whole));
        assert_eq!(Size::within(u64::MAX), Some(whole));
    }

    #[test]
    fn fewer_descriptors_make_it_smaller_and_none_leave_it_out() {
        let size = Size::within(1024).unwrap();
        assert_eq!((size.asked, size.ports), (384, 230));
        assert!(2 * size.asked + DESCRIPTORS_APART <= 1024);
        assert_eq!(Size::within(256), None);
        assert_eq!(Size::within(0), None);
    }

    #[test]
    fn what_the_inside_says_is_read() {
        assert_eq!(Line::parse("ready"), Some(Line::Ready));
        assert_eq!(
            Line::parse("left out: no proc"),
            Some(Line::LeftOut("no proc".to_owned()))
        );
        assert_eq!(Line::parse("hello"), None);
    }
}
