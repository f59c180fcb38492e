//! The demo's first act: connections in TIME_WAIT rise to a flat line, requests are refused, what the doctor says of it, and
//! what each remedy does about it; then connections that stay, which no setting helps.
//!
//! It plays in a network namespace of its own, with few source ports, so that it takes seconds, needs no privileges and
//! disturbs nobody. The kernel lets only a process of one thread into a new user namespace, so the program starts
//! itself anew: here is the outside, which starts, listens and shows; [`inside`] measures. Where namespaces are not
//! allowed the act is left out, with the reason.

pub mod inside;

mod chart;
mod config;
mod diagnosis;
mod held;
mod line;
mod pace;
mod refusal;
mod report;
mod telling;
mod trial;
mod watch;

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use lasthop_kernel::{namespace, process, sysctl};
use lasthop_ports::Capacity;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::DemoError;
use super::scratch::Scratch;
use super::screen::Screen;
use line::Line;
use telling::{Said, Telling};

/// The argument of `lasthop demo` that runs the inside, followed by a directory for its files. Help does not show it.
const INSIDE_ARGUMENT: &str = "--inside-the-wall";

/// Source ports from one address to the app: few, so that they are used up in two seconds.
const PORTS: u64 = 600;
/// With a wider range: by as much as 1024-65535 is wider than the default, 32768-60999.
const WIDER_PORTS: u64 = PORTS * 64_512 / 28_232;
/// Requests a second: far fewer than a debug build serves, far more than so few ports bear with a minute of TIME_WAIT, and
/// half of what they bear where they serve again after a second.
const RATE: u32 = 300;
/// How long they come: long enough for the wider range to be used up as well.
const LOAD: Duration = Duration::from_secs(5);
/// How long the picture goes on without any.
const AFTERMATH: Duration = Duration::from_secs(1);

/// Connections that are held: clearly more than there are ports, and few enough for a small host.
const ASKED: u64 = 1000;
/// Below so many connections nothing would be shown.
const ASKED_MIN: u64 = 20;
/// Descriptors that a process needs besides two for each connection: its event loops, listeners and logs, and what the
/// proxy keeps back.
const DESCRIPTORS_APART: u64 = 256;
/// How long the inside may be silent; it says something ten times a second, or takes a second or two for a row.
const SILENCE_DEADLINE: Duration = Duration::from_secs(60);
/// Bytes that the inside may say altogether; it says less than twenty thousand.
const SAID_BYTES_MAX: u64 = 64 * 1024;
/// Lines that are read ahead.
const LINES_AHEAD: usize = 4;

/// How many connections are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    /// Connections asked for.
    asked: u64,
    /// Source ports meanwhile: three fifths of that.
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

/// Plays the act and writes it to `out`, or one line that says why it is left out. `descriptors` is how many each process
/// may have.
///
/// # Errors
/// When it began and did not come to its end; nothing of it runs any more by then.
pub(super) async fn show(
    binary: &Path,
    descriptors: u64,
    screen: Screen,
    out: &mut impl Write,
) -> Result<(), DemoError> {
    let failed = |what| DemoError::Wall { what };
    let Some(size) = Size::within(descriptors) else {
        let reason = format!("this host allows a process only {descriptors} descriptors");
        return leave_out(&reason, screen, out);
    };
    let mut inside = match Inside::start(binary)? {
        Started::Running(inside) => inside,
        Started::Refused(error) => return leave_out(&refusal(&error), screen, out),
    };
    let mut telling = Telling::new(screen, size, descriptors, host_capacity());
    loop {
        let line = timeout(SILENCE_DEADLINE, inside.lines.recv()).await;
        let line = line.map_err(|_elapsed| failed("hangs"))?;
        let Some(line) = line else { break };
        let line = Line::parse(&line).ok_or(failed("cannot be understood"))?;
        match telling.hear(line) {
            Said::Text(text) => screen.show(out, &text)?,
            Said::Progress(line) => screen.progress(out, &line)?,
            Said::LeftOut(reason) => return leave_out(&reason, screen, out),
        }
    }
    let end = telling.end().filter(|_| inside.has_ended_well());
    let end = end.ok_or(failed("has ended too early"))?;
    screen.show(out, &format!("\n{end}"))
}

fn leave_out(reason: &str, screen: Screen, out: &mut impl Write) -> Result<(), DemoError> {
    screen.show(out, &format!("{}\n", report::left_out(reason)))
}

/// Why the host did not let the inside start.
fn refusal(error: &io::Error) -> String {
    match error.kind() {
        // What the kernel calls a full disk is a full count here (user_namespaces(7), ENOSPC).
        io::ErrorKind::StorageFull => "this host allows no more user or network namespaces \
             (user.max_user_namespaces, user.max_net_namespaces)"
            .to_owned(),
        _ => format!("this host allows no user and network namespaces ({error})"),
    }
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
}
