//! A command of lasthop run to its end, several times: how long it took, and how long it was on a core.
//!
//! Its own time on a core is read while it is a zombie, which the kernel still tells of: a reading before would miss the
//! end, and one of all children of the harness would have those in it that hold the sockets.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use lasthop_kernel::process;

use super::{Cost, Visit, number_after};
use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::rival::Found;
use crate::say;

/// How often each visit is made. Each is a new process that knows nothing of the one before.
const ROUNDS: usize = 3;
/// A visit is given up after this; the promise is two seconds.
const VISIT_MAX: Duration = Duration::from_secs(60);
/// Between two looks at a process that is about to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Runs a command of lasthop [`ROUNDS`] times; of JSON that it prints, `established` has to be nearly all of `sockets`.
pub(super) fn visit(
    lasthop: &Found,
    what: &'static str,
    words: &[&str],
    sockets: u64,
    interrupt: &Interrupt,
) -> Result<Visit, BenchError> {
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        interrupt.check()?;
        let (cost, said) = timed(&lasthop.binary, words)?;
        let seen = number_after(&said, "\"established\":").unwrap_or(0);
        // Some may come and go.
        if seen < sockets - sockets / 100 {
            return Err(BenchError::Failed(format!(
                "{what} saw {seen} of {sockets} sockets"
            )));
        }
        say(&format!(
            "{what}: {:.2} s, {:.2} s on a core",
            cost.wall.as_secs_f64(),
            cost.cpu.as_secs_f64()
        ));
        costs.push(cost);
    }
    Ok(Visit { what, costs })
}

/// One run to its end, and what it printed.
fn timed(binary: &Path, words: &[&str]) -> Result<(Cost, String), BenchError> {
    let name = words.join(" ");
    let attempt = || BenchError::host(format!("run lasthop {name}"));
    let begun = Instant::now();
    let mut command = Command::new(binary);
    command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = process::die_with_parent(&mut command)
        .spawn()
        .map_err(attempt())?;
    let output = child.stdout.take();
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut said = Vec::new();
        let read = output.map_or(Ok(0), |mut output| output.read_to_end(&mut said));
        // Nobody waits any more where it took too long.
        let _ = send.send(read.map(|_| said));
    });
    let said = receive.recv_timeout(VISIT_MAX);
    // Not waited for yet: while it is a zombie the kernel still tells what it has used.
    while said.is_ok() && !is_zombie(child.id()) && begun.elapsed() < VISIT_MAX {
        thread::sleep(LOOK_INTERVAL);
    }
    let wall = begun.elapsed();
    let cpu = process::cpu_time(child.id())?.total();
    // Where it has ended this changes nothing.
    let _ = child.kill();
    let status = child.wait().map_err(attempt())?;
    let said = said
        .map_err(|_| BenchError::Failed(format!("lasthop {name} took too long")))?
        .map_err(attempt())?;
    // Findings are no failure; to be unable to tell, or to know no such command, is.
    if !matches!(status.code(), Some(0 | 3 | 4)) {
        return Err(BenchError::Failed(format!("lasthop {name}: {status}")));
    }
    Ok((
        Cost { wall, cpu },
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// Whether a process has ended and was not waited for: the letter after its name in /proc/PID/stat (proc_pid_stat(5)).
fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_none_or(|state| state.starts_with('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_has_used_is_read_before_it_is_buried() {
        let (cost, said) = timed(Path::new("/bin/echo"), &["hello"]).unwrap();
        assert_eq!(said, "hello\n");
        assert!(cost.wall > Duration::ZERO && cost.wall < VISIT_MAX);
        assert!(timed(Path::new("/bin/false"), &[]).is_err());
    }
}
