//! A network namespace of a test's own, with as few source ports as it likes: exhaustion becomes real, fast, and nobody else's.
//!
//! The test program runs itself again with nothing but the one test, in a user namespace where it is root, so that no
//! privilege is needed. Machines that forbid user namespaces skip the test, loudly.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lasthop_kernel::limits;
use lasthop_kernel::namespace::isolate;

use super::PATIENCE;
use super::lines::Lines;
use super::programs::skip;

/// Set in the process that runs inside.
const INSIDE: &str = "LASTHOP_TEST_INSIDE_NAMESPACE";

/// Runs `test` in a network namespace whose `ip_local_port_range` is `ports`, such as `40000 40009`.
pub(crate) fn with_ports<F: FnOnce()>(ports: &str, test: F) {
    with_ports_for(ports, Duration::ZERO, test);
}

/// The same for a test that takes so much longer than others.
pub(crate) fn with_ports_for<F: FnOnce()>(ports: &str, longer: Duration, test: F) {
    if std::env::var_os(INSIDE).is_some() {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", ports).expect("the port range");
        test();
        return;
    }
    // `suite::theme::name::{{closure}}`: the harness knows the test as `theme::name`.
    let full = std::any::type_name::<F>();
    let name = full
        .split_once("::")
        .and_then(|(_, name)| name.strip_suffix("::{{closure}}"))
        .unwrap_or_else(|| panic!("{full} is not a closure in a test"));
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match isolate(&mut command).spawn() {
        Ok(child) => child,
        Err(error) => return skip(&format!("no network namespace to be had: {error}")),
    };
    let stdout = Lines::of(child.stdout.take().expect("a pipe"));
    let stderr = Lines::of(child.stderr.take().expect("a pipe"));
    let begun = Instant::now();
    if !stdout.ends_within(3 * PATIENCE + longer) {
        // It has ended by itself in this moment, or it hangs.
        let _ = child.kill();
    }
    let status = child.wait().expect("a child of ours");
    let said = stdout.so_far().join("\n");
    assert!(
        status.success() && said.contains("1 passed"),
        "inside the namespace, after {:?}: {status}\n{said}\n{}",
        begun.elapsed(),
        stderr.so_far().join("\n")
    );
    // What the test has measured, with `--nocapture`.
    println!("{said}");
}

/// Sets a sysctl of the namespace, by its path below `/proc/sys`.
pub(crate) fn set(path: &str, value: &str) {
    let path = format!("/proc/sys/{path}");
    std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Runs ip(8), nft(8) and the like in the namespace.
pub(crate) fn run(words: &str) {
    let mut words = words.split_whitespace();
    let output = Command::new(words.next().expect("a program"))
        .args(words)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("a program that programs::… has found");
    assert!(output.status.success(), "{output:?}");
}

/// Descriptors for crowds: as many as the host allows this process.
pub(crate) fn raise_descriptors() {
    limits::raise_nofile().expect("setrlimit(2)");
}
