//! Processes asked and told from outside. Apart from the unit tests, because these start processes.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share count as tests, which the lint cannot see here"
)]

use lasthop_kernel::process::{Signal, cpu_time, die_with_parent, pin, signal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// A child that waits for the end of its input, which it gets when this is dropped.
fn idle_child() -> Child {
    Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_process_that_is_gone_is_an_error_with_its_number() {
    let mut child = idle_child();
    let pid = child.id();
    drop(child.stdin.take());
    child.wait().unwrap();
    let error = cpu_time(pid).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("stat of process {pid} cannot be read")
    );
}

#[test]
fn a_pinned_process_may_run_on_its_core_only() {
    let mut child = idle_child();
    pin(Some(child.id()), &[0]).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_core_that_does_not_exist_is_refused() {
    assert!(pin(None, &[0, usize::MAX]).is_err());
    let cores = std::thread::available_parallelism().unwrap().get();
    if cores < 1024 {
        assert!(pin(None, &[1023]).is_err());
    }
}

#[test]
fn a_signal_reaches_one_process() {
    let mut child = idle_child();
    signal(child.id(), Signal::Terminate).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(SIGTERM));
}

#[test]
fn numbers_that_mean_groups_of_processes_are_refused() {
    for pid in [0, u32::MAX, 1 << 31] {
        assert!(signal(pid, Signal::Continue).is_err(), "{pid}");
    }
}

#[test]
fn a_child_dies_with_the_thread_that_spawned_it() {
    let mut child = std::thread::spawn(|| {
        die_with_parent(Command::new("cat").stdin(Stdio::piped()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    })
    .join()
    .unwrap();
    // Its input stays open, so nothing else would end it.
    let stdin = child.stdin.take();
    assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL));
    drop(stdin);
}
