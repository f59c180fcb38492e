//! `lasthop doctor`, the command: what it says about a host that is known, in which form, and how it ends.
//!
//! tidy: long because the flags of one command, each a test of its own beside the others.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};

use lasthop_kernel::identity::effective_uid;
use lasthop_kernel::namespace::{deny_sock_diag, isolate};
use lasthop_kernel::process::{Signal, signal};
use serde_json::Value;

use crate::support::lasthop::binary;
use crate::support::lines::Lines;
use crate::support::programs::skip;
use crate::support::{PATIENCE, TempDir, namespace};

/// A hundred source ports.
const HUNDRED_PORTS: &str = "40000 40099";

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("doctor").args(words).stdin(Stdio::null());
    command
}

pub(crate) fn doctor(words: &[&str]) -> Output {
    command(words).output().expect("the binary runs")
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub(crate) fn complained(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "{}", said(output));
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// An app on 127.0.0.1:3000 and so many connections to it, held open.
pub(crate) struct Held {
    _app: TcpListener,
    _connections: Vec<(TcpStream, TcpStream)>,
}

impl Held {
    pub(crate) fn new(connections: usize) -> Self {
        namespace::raise_descriptors();
        let app = TcpListener::bind("127.0.0.1:3000").expect("a free port");
        let connections = (0..connections).map(|_| {
            let held = TcpStream::connect("127.0.0.1:3000").expect("a source port");
            let (accepted, _) = app.accept().expect("a connection");
            (held, accepted)
        });
        Self {
            _connections: connections.collect(),
            _app: app,
        }
    }
}

/// The finding with this code, and the others' codes.
fn finding<'a>(report: &'a Value, code: &str) -> &'a Value {
    let findings = report["namespaces"][0]["findings"].as_array();
    let found = findings.and_then(|all| all.iter().find(|one| one["code"] == code));
    found.unwrap_or_else(|| panic!("no {code} in {report:#}"))
}

#[test]
fn a_healthy_host_is_called_healthy_with_the_fullest_group() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let _held = Held::new(3);
        let output = doctor(&[]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let healthy = "\nhealthy   the fullest: 127.0.0.1 -> 127.0.0.1:3000, 3 of 100 ports\n";
        assert!(said.contains(healthy), "{said}");
        assert!(
            said.contains("ports 40000-40099 (100 on each pair)"),
            "{said}"
        );
        assert!(!said.contains('\x1b'), "colour off a terminal: {said}");
    });
}

#[test]
fn a_wall_is_critical_and_names_whoever_stands_before_it() {
    namespace::with_ports("40000 40009", || {
        // Whoever runs a program gives it its name.
        let name = "evil\x1b[2J";
        std::fs::write("/proc/self/comm", name).expect("a name");
        let _held = Held::new(10);
        let output = doctor(&["--json"]);
        assert_eq!(output.status.code(), Some(4));
        let report = json(&output);
        assert_eq!(report["verdict"], "critical");
        let finding = finding(&report, "ports-exhausted");
        assert_eq!(finding["severity"], "critical");
        assert_eq!(finding["subject"]["kind"], "group");
        assert_eq!(finding["subject"]["target"], "127.0.0.1:3000");
        assert_eq!(finding["processes"][0]["pid"], std::process::id());
        assert_eq!(finding["processes"][0]["name"], name);
        let output = doctor(&["--color", "never"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(4));
        assert!(said.contains("critical"), "{said}");
        assert!(said.contains("evil\\u{1b}[2J"), "{said}");
        assert!(!said.contains('\x1b'), "a name wrote to the terminal");
        let output = doctor(&["--color", "always"]);
        assert!(self::said(&output).contains("\x1b[1;31mcritical"));
    });
}

#[test]
fn json_has_the_fields_that_are_documented() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let _held = Held::new(90);
        let output = doctor(&["--json"]);
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert_eq!(said(&output).lines().count(), 1);
        let report = json(&output);
        let page = include_str!("../../../../docs/doctor.md");
        assert_eq!(report["schema"], "lasthop.doctor/1");
        let namespace = &report["namespaces"][0];
        let group = &namespace["groups"][0];
        for (object, name) in [
            (&report, "the report"),
            (namespace, "a namespace"),
            (&namespace["ports"], "ports"),
            (group, "a group"),
            (&group["states"], "states"),
            (finding(&report, "ports-tight"), "a finding"),
        ] {
            let fields = object.as_object().expect("an object");
            for field in fields.keys() {
                let documented = page.contains(&format!("`{field}`"));
                assert!(documented, "`{field}` of {name} is not in docs/doctor.md");
            }
        }
        assert_eq!((&group["used"], &group["limit"]), (&90.into(), &100.into()));
        assert_eq!(namespace["ports"]["per_pair"], 100);
    });
}

#[test]
fn without_sockets_to_see_health_is_unknown() {
    let output = deny_sock_diag(&mut command(&["--json"]))
        .output()
        .expect("the binary runs");
    let report = json(&output);
    let namespace = &report["namespaces"][0];
    assert_eq!(namespace["sockets"], Value::Null);
    let unseen = namespace["unseen"].as_array().expect("a list");
    let says = |one: &Value| one.as_str().is_some_and(|text| text.contains("sock_diag"));
    assert_eq!(
        unseen.iter().filter(|one| says(one)).count(),
        1,
        "{report:#}"
    );
    // What is wrong all the same, such as too many open files on the machine that runs this, is still told.
    let (verdict, status) = match report["verdict"].as_str() {
        Some("unknown") => ("unknown", 1),
        Some("warning") => ("warning", 3),
        other => panic!("{other:?}: {report:#}"),
    };
    assert_eq!(output.status.code(), Some(status), "{verdict}");
}

#[test]
fn without_privileges_it_tells_what_it_sees_and_how_to_see_more() {
    let dir = TempDir::new();
    let copy = dir.join("lasthop");
    std::fs::copy(binary(), &copy).expect("a program that everybody may run");
    let mut command = Command::new(&copy);
    command.args(["doctor", "--json", "--netns", "all"]);
    if effective_uid() == 0 {
        const NOBODY: u32 = 65_534;
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(matches!(output.status.code(), Some(0 | 3 | 4)));
    let report = json(&output);
    assert_ne!(report["namespaces"][0]["sockets"], Value::Null);
    assert!(
        report["unseen"].to_string().contains("run it as root"),
        "{report:#}"
    );
}

#[test]
fn a_host_that_gives_no_thread_is_looked_at_without() {
    let dir = TempDir::new();
    let copy = dir.join("lasthop");
    std::fs::copy(binary(), &copy).expect("a program that everybody may run");
    let mut command = Command::new("prlimit");
    command.arg("--nproc=1").arg(&copy);
    command.args(["doctor", "--json", "--netns", "all"]);
    if effective_uid() == 0 {
        // Root is not bound by the limit. Nobody else runs anything as this user.
        const STRANGER: u32 = 64_321;
        command.uid(STRANGER).gid(STRANGER);
    }
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(
        matches!(output.status.code(), Some(0 | 3 | 4)),
        "{output:?}"
    );
    let report = json(&output);
    assert_ne!(
        report["namespaces"][0]["sockets"],
        Value::Null,
        "{report:#}"
    );
}

#[test]
fn hidden_processes_are_told_as_unseen() {
    let dir = TempDir::new();
    let copy = dir.join("lasthop");
    std::fs::copy(binary(), &copy).expect("a program that everybody may run");
    // A /proc of its own that hides, with a shell of root's as its first process, and then nobody.
    let script = "mount -t proc -o hidepid=2 proc /proc || exit 99; \
                  setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" doctor --json --netns all; exit $?";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "sh", "-c", script]);
    let output = command.arg(&copy).stdin(Stdio::null()).output();
    let output = output.expect("unshare");
    if matches!(output.status.code(), Some(1 | 99)) && output.stdout.is_empty() {
        return skip("no mount of /proc of one's own");
    }
    let report = json(&output);
    let of_all = report["unseen"].to_string();
    assert!(of_all.contains("/proc hides (hidepid)"), "{report:#}");
    let of_one = report["namespaces"][0]["unseen"].to_string();
    assert!(of_one.contains("/proc hides them (hidepid)"), "{report:#}");
}

/// A process in a network namespace of its own with a port range of its own; ends with its standard input.
fn in_a_namespace_of_its_own(ports: &str) -> std::io::Result<Child> {
    let script = "echo \"$0\" > /proc/sys/net/ipv4/ip_local_port_range; echo ready; read end";
    let mut command = Command::new("sh");
    command.args(["-c", script, ports]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    isolate(&mut command).spawn()
}

#[test]
fn another_network_namespace_is_looked_into_by_process_or_with_all_others() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let mut child = match in_a_namespace_of_its_own("20000 20049") {
            Ok(child) => child,
            Err(error) => return skip(&format!("no second network namespace: {error}")),
        };
        let stdout = Lines::of(child.stdout.take().expect("a pipe"));
        stdout.nth_with("ready", 0, PATIENCE).expect("a namespace");
        let pid = child.id().to_string();
        let output = doctor(&["--netns", &pid]);
        let headline =
            format!("pid {pid} (sh): 0 TCP sockets, ports 20000-20049 (50 on each pair)\n");
        assert!(said(&output).starts_with(&headline), "{}", said(&output));
        assert_eq!(output.status.code(), Some(0));

        let report = json(&doctor(&["--netns", "all", "--json"]));
        let namespaces = report["namespaces"].as_array().expect("a list");
        let mut told: Vec<(u64, bool)> = namespaces
            .iter()
            .map(|one| {
                let limit = one["ports"]["per_pair"].as_u64();
                (limit.unwrap_or(0), one["namespace"]["pid"].is_null())
            })
            .collect();
        told.sort_unstable();
        assert_eq!(told, [(50, false), (100, true)], "{report:#}");
        drop(child.stdin.take());
        child.wait().expect("a child of ours");
    });
}

#[test]
fn a_process_that_is_not_there_is_an_error() {
    let output = doctor(&["--netns", "4194304"]);
    assert_eq!(output.status.code(), Some(1));
    let said = complained(&output);
    assert!(said.contains("no process 4194304"), "{said}");
}

#[test]
fn a_watch_ends_on_sigint_with_the_last_verdict() {
    namespace::with_ports("40000 40009", || {
        let _held = Held::new(10);
        let mut child = command(&["--watch", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stdout = Lines::of(child.stdout.take().expect("a pipe"));
        let line = stdout.nth_with("", 1, PATIENCE).expect("a second visit");
        let report: Value = serde_json::from_str(&line).expect("JSON");
        finding(&report, "ports-exhausted");
        signal(child.id(), Signal::Interrupt).expect("a signal");
        assert!(stdout.ends_within(PATIENCE), "it goes on watching");
        assert_eq!(child.wait().expect("a child").code(), Some(4));
    });
}

#[test]
fn a_watch_that_nobody_reads_any_more_ends() {
    let mut child = command(&["--watch", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    stdout.read_line(&mut String::new()).expect("a first visit");
    drop(stdout);
    // Which ends with the process.
    let stderr = Lines::of(child.stderr.take().expect("a pipe"));
    let ended = stderr.ends_within(PATIENCE);
    if !ended {
        child.kill().expect("a child of ours");
    }
    let status = child.wait().expect("a child");
    assert!(ended, "it goes on for nobody");
    assert!(matches!(status.code(), Some(0 | 3 | 4)), "{status}");
}

#[test]
fn unix_targets_of_a_configuration_are_looked_at() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    let config = dir.join("lasthop.toml");
    let toml = crate::support::Setup::to(&[&format!("unix:{}", path.display())]).toml();
    std::fs::write(&config, toml).expect("a file");
    let config = config.display().to_string();
    let look = || json(&doctor(&["--json", "--config", &config]));
    let problem = |report: &Value| {
        let findings = report["namespaces"][0]["findings"]
            .as_array()
            .expect("a list");
        let path = path.display().to_string();
        findings
            .iter()
            .find(|one| one["subject"]["path"] == path)
            .cloned()
    };
    let missing = problem(&look()).expect("a finding");
    assert_eq!(missing["code"], "unix-socket-missing");
    let app = UnixListener::bind(&path).expect("a socket");
    assert_eq!(problem(&look()), None);
    drop(app);
    let stale = problem(&look()).expect("a finding");
    assert_eq!(stale["code"], "unix-socket-stale");
    assert!(stale.to_string().contains(&config), "{stale}");
}

#[test]
fn a_process_that_names_a_fifo_as_its_configuration_does_not_stop_the_doctor() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let dir = TempDir::new();
        let fifo = dir.join("fifo");
        let made = Command::new("mkfifo").arg(&fifo).status();
        assert!(made.expect("mkfifo").success());
        // Both are a shell that runs the script `run` and waits there for the end of its input.
        std::fs::write(dir.join("run"), "echo ready; read end\n").expect("a file");
        let mut impostors = Vec::new();
        for (name, words) in [("nginx", &["run", "-c"][..]), ("lasthop", &["run"])] {
            std::fs::copy("/bin/sh", dir.join(name)).expect("a program");
            let mut command = Command::new(dir.join(name));
            command.args(words).arg(&fifo).current_dir(dir.path());
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("a shell");
            let stdout = Lines::of(child.stdout.take().expect("a pipe"));
            stdout.nth_with("ready", 0, PATIENCE).expect("a process");
            impostors.push(child);
        }
        let mut doctor = command(&["--json"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stdout = Lines::of(doctor.stdout.take().expect("a pipe"));
        let ended = stdout.ends_within(PATIENCE);
        if !ended {
            doctor.kill().expect("a child of ours");
        }
        doctor.wait().expect("a child");
        assert!(ended, "it waits for a writer that never comes");
        let told = stdout.find(|line| line.contains("not a regular file"), PATIENCE);
        told.expect("what was not read is told");
        for mut impostor in impostors {
            drop(impostor.stdin.take());
            impostor.wait().expect("a child of ours");
        }
    });
}

#[test]
fn a_configuration_that_is_refused_is_wrong_usage() {
    let dir = TempDir::new();
    let config = dir.join("lasthop.toml");
    std::fs::write(&config, "[[listener]]\n").expect("a file");
    let output = doctor(&["--config", &config.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complained(&output).contains("lasthop.toml"));
}

#[test]
fn explain_prints_the_page_of_a_finding() {
    let output = doctor(&["--explain", "ports-exhausted"]);
    assert_eq!(output.status.code(), Some(0));
    let page = include_str!("../../../../docs/findings/ports-exhausted.md");
    assert_eq!(said(&output), page);
    let output = doctor(&["--explain", "ports-exhaustd"]);
    assert_eq!(output.status.code(), Some(2));
    let said = complained(&output);
    assert!(said.contains("did you mean `ports-exhausted`?"), "{said}");
}
