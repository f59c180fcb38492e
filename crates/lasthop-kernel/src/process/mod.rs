//! Questions to and orders for a process by its number: who it is, its descriptors, processor time, memory, a core to
//! stay on, a signal.
//!
//! For a diagnosis, and for the demo, the benchmarks and tests, which measure other programs from outside; the proxy
//! itself needs none of it. Everything is read from /proc (proc_pid_stat(5), proc_pid_smaps(5)); parsing is apart from
//! reading.

mod descriptors;
mod identity;

pub use descriptors::{Descriptors, descriptors};
pub use identity::{ProcessIdentity, identity};

pub(crate) use identity::status;

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Processor time that a process has used, all its threads together, its children not included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In its own code.
    pub user: Duration,
    /// In the kernel on its behalf.
    pub system: Duration,
}

impl CpuTime {
    /// User and system time together.
    #[must_use]
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used since an `earlier` reading; zero where the readings are the wrong way round.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// A process that cannot be asked or told: gone, not ours, or a /proc of another shape.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A file of /proc could not be read.
    #[error("{file} of process {pid} cannot be read")]
    Read {
        /// The process.
        pid: u32,
        /// The file below /proc/PID.
        file: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of /proc has another shape than documented.
    #[error("{file} of process {pid} cannot be understood")]
    Shape {
        /// The process.
        pid: u32,
        /// The file below /proc/PID.
        file: &'static str,
    },
    /// None of the cores exists, or none is for us.
    #[error("process {pid} cannot be pinned to the cores {cores:?}")]
    Pin {
        /// The process; 0 is the calling thread.
        pid: u32,
        /// The cores asked for, from 0.
        cores: Vec<usize>,
        /// What the kernel said.
        source: io::Error,
    },
    /// The signal could not be sent.
    #[error("process {pid} cannot be signalled")]
    Signal {
        /// The process.
        pid: u32,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Processor time of process `pid` so far, in steps of a clock tick (10 ms on nearly every host).
///
/// # Errors
/// [`ProcessError`].
pub fn cpu_time(pid: u32) -> Result<CpuTime, ProcessError> {
    let file = "stat";
    let (user, system) = parse_stat(&read(pid, file)?).ok_or(ProcessError::Shape { pid, file })?;
    let tick = clock_tick();
    Ok(CpuTime {
        user: tick * user,
        system: tick * system,
    })
}

/// Memory of process `pid` in bytes, pages shared with others counted in proportion (`Pss`).
///
/// # Errors
/// [`ProcessError`]; needs the rights of ptrace(2) over the process, so its user or root.
pub fn proportional_memory_bytes(pid: u32) -> Result<u64, ProcessError> {
    let file = "smaps_rollup";
    parse_pss_bytes(&read(pid, file)?).ok_or(ProcessError::Shape { pid, file })
}

/// Keeps all of a process' later threads and the thread `pid` itself on `cores`, counted from 0
/// (sched_setaffinity(2)); `None` is the calling thread. Call it before a program starts its threads.
///
/// # Errors
/// [`ProcessError::Pin`].
pub fn pin(pid: Option<u32>, cores: &[usize]) -> Result<(), ProcessError> {
    let pid = pid.unwrap_or(0);
    let failed = |source| ProcessError::Pin {
        pid,
        cores: cores.to_vec(),
        source,
    };
    // Beyond the set, CPU_SET would write out of bounds.
    let beyond = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    if cores.iter().any(|core| *core >= beyond) {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    }
    let number = pid_number(pid).map_err(failed)?;
    // SAFETY: `cpu_set_t` is an array of integers, for which zero is a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for core in cores {
        // SAFETY: each core has been checked to lie within the set.
        unsafe { libc::CPU_SET(*core, &mut set) };
    }
    // SAFETY: pointer and length describe `set`, which lives past the call; the kernel only reads it.
    let result =
        unsafe { libc::sched_setaffinity(number, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 {
        Ok(())
    } else {
        Err(failed(io::Error::last_os_error()))
    }
}

/// The signals that a harness sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: end in good order.
    Terminate,
    /// SIGINT: as from the keyboard.
    Interrupt,
    /// SIGHUP: reload.
    Hangup,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGSTOP: pause, to see what others do meanwhile.
    Stop,
    /// SIGCONT: go on after a pause.
    Continue,
    /// SIGKILL: end at once.
    Kill,
}

/// Whether processes of others are hidden from this one: /proc is mounted with `hidepid=2` or is not there at all (proc(5)).
/// The first process of a process namespace is always there, so where it does not show, others do not either.
#[must_use]
pub fn are_hidden() -> bool {
    !std::path::Path::new("/proc/1").exists()
}

/// Makes the calling thread, and no other, stand back behind those that share a core with it: its nice value becomes
/// `niceness`, 1 to 19 (setpriority(2); Linux keeps it by thread).
///
/// # Errors
/// As setpriority(2).
pub fn stand_back(niceness: i32) -> io::Result<()> {
    // SAFETY: takes and returns integers only; 0 stands for the calling thread.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sends a signal to one process (kill(2)).
///
/// # Errors
/// [`ProcessError::Signal`], also for 0 and numbers that kill(2) would take for a group of processes.
pub fn signal(pid: u32, signal: Signal) -> Result<(), ProcessError> {
    let failed = |source| ProcessError::Signal { pid, source };
    let number = pid_number(pid).map_err(failed)?;
    if number == 0 {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    }
    let signal = match signal {
        Signal::Terminate => libc::SIGTERM,
        Signal::Interrupt => libc::SIGINT,
        Signal::Hangup => libc::SIGHUP,
        Signal::User1 => libc::SIGUSR1,
        Signal::User2 => libc::SIGUSR2,
        Signal::Stop => libc::SIGSTOP,
        Signal::Continue => libc::SIGCONT,
        Signal::Kill => libc::SIGKILL,
    };
    // SAFETY: kill(2) takes two numbers and touches no memory of ours; the pid is positive, so it means one process.
    if unsafe { libc::kill(number, signal) } == 0 {
        Ok(())
    } else {
        Err(failed(io::Error::last_os_error()))
    }
}

/// Has the child killed when the *thread* that spawns it ends (prctl(2), `PR_SET_PDEATHSIG`), so that a harness that is
/// killed leaves nothing running. Spawn from a thread that lives as long as the child shall.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only prctl(2) is called, which is a bare system call and so async-signal-safe;
    // nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
                Ok(())
            } else {
                Err(io::Error::last_os_error())
            }
        })
    }
}

/// Process numbers are positive and fit an `i32`; anything above would turn negative and mean a group of processes.
fn pid_number(pid: u32) -> io::Result<libc::pid_t> {
    libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// The numbers of all processes that /proc lists, ascending: at most as many as `kernel.pid_max` allows, four million.
pub(crate) fn numbers() -> io::Result<Vec<u32>> {
    let mut numbers: Vec<u32> = std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The name of a program, at most 15 bytes (`/proc/PID/comm`); empty where the process is gone.
pub(crate) fn name(pid: u32) -> String {
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(name.trim_ascii()).into_owned()
}

/// Whether an error of a file of /proc/PID says that the process has ended: `ENOENT` before it was opened, `ESRCH` since.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// An error that says so is `NotFound` to the caller, whenever it ended.
fn gone(error: io::Error) -> io::Error {
    if is_gone(&error) {
        return io::Error::new(io::ErrorKind::NotFound, error);
    }
    error
}

fn read(pid: u32, file: &'static str) -> Result<String, ProcessError> {
    // The program's own name stands in `stat` and may be any bytes.
    std::fs::read(format!("/proc/{pid}/{file}"))
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|source| ProcessError::Read { pid, file, source })
}

/// `utime` and `stime`, the 14th and 15th field, in clock ticks. The second field is the program's name in parentheses
/// and may itself hold blanks and parentheses, so counting begins after the last one.
fn parse_stat(text: &str) -> Option<(u32, u32)> {
    const FIELDS_FROM_STATE_TO_UTIME: usize = 11;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields
        .split_ascii_whitespace()
        .skip(FIELDS_FROM_STATE_TO_UTIME);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The line `Pss:   123 kB`.
fn parse_pss_bytes(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The length of one tick of `utime` and `stime`.
fn clock_tick() -> Duration {
    const USUAL_HZ: u32 = 100;
    // SAFETY: sysconf(3) takes a number and touches no memory of ours.
    let hertz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let hertz = u32::try_from(hertz).ok().filter(|hertz| *hertz > 0);
    Duration::from_secs(1) / hertz.unwrap_or(USUAL_HZ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_does_not_confuse_the_fields() {
        let line = "77 (a) b (c)) S 1 77 77 0 -1 4194304 100 0 0 0 250 31 9 9 20 0 1 0 5 1 1";
        assert_eq!(parse_stat(line), Some((250, 31)));
        assert_eq!(parse_stat("77 (cut) S 1 77"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn pss_is_read_in_bytes() {
        let text = "5581-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  900 kB\nPss:   123 kB\nPss_Anon: 5 kB\n";
        assert_eq!(parse_pss_bytes(text), Some(123 * 1024));
        assert_eq!(parse_pss_bytes("Pss: many kB\n"), None);
        assert_eq!(parse_pss_bytes("Rss: 1 kB\n"), None);
    }

    #[test]
    fn work_shows_in_the_processor_time() {
        let us = std::process::id();
        let before = cpu_time(us).unwrap();
        let mut number = 0u64;
        // Ends with the first tick that is counted; a tick is a hundredth of a second.
        while cpu_time(us).unwrap().since(before).total().is_zero() {
            number = std::hint::black_box(number.wrapping_add(1));
        }
        assert!(number > 0);
    }

    #[test]
    fn this_process_uses_some_memory() {
        assert!(proportional_memory_bytes(std::process::id()).unwrap() > 4096);
    }
}
