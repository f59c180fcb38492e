//! `lasthop plan`: the sum of what fits, on a host with a known port range.

use std::process::{Command, Output, Stdio};

use lasthop_kernel::namespace::deny_sock_diag;

use crate::support::lasthop::binary;
use crate::support::{Address, App, Setup, TempDir, namespace};

/// A hundred source ports.
const HUNDRED_PORTS: &str = "40000 40099";

fn plan(toml: &str) -> Output {
    let dir = TempDir::new();
    let file = dir.join("lasthop.toml");
    std::fs::write(&file, toml).expect("a file");
    Command::new(binary())
        .arg("plan")
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn said(toml: &str) -> String {
    let output = plan(toml);
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(output.stderr.is_empty(), "nothing went wrong");
    said
}

fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word} is not in\n{said}");
    }
}

#[test]
fn plan_adds_up_the_ports_of_this_host_and_sees_who_holds_some() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let app = App::at(&Address::parse("127.0.0.1:3000"), |mut conn| {
            while conn.request().is_some() {
                conn.answer("ok");
            }
        });
        let _held: Vec<_> = (0..3)
            .map(|_| std::net::TcpStream::connect("127.0.0.1:3000").expect("the app listens"))
            .collect();
        app.wait_for_accepted(3);
        let before = app.accepted();
        let said = said(&Setup::to(&["127.0.0.1:3000"]).toml());
        assert_says(
            &said,
            &[
                "    100 ports (40000-40099) - 0 reserved = 100 for each pair of addresses\n",
                "1 x 100 =           100\n",
                "not used: the app does not listen on every address\n",
                "8,192 x 100 =       819,200",
                "in all       819,300  on 8,193 pairs\n",
                "- taken now             3  by whatever program\n",
                "= free now       819,297\n",
                "for 1 s: 100 a second on the first pair, 819,300 on all\n",
                "0 do (listen ",
                "--forwarded-allow-ips",
            ],
        );
        assert_eq!(app.accepted(), before, "plan connects to nobody");
    });
}

#[test]
fn plan_finds_an_app_that_listens_on_every_address() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let _app = std::net::TcpListener::bind("0.0.0.0:3000").expect("a free port");
        let said = said(&Setup::to(&["127.0.0.1:3000"]).toml());
        assert_says(
            &said,
            &[
                "the app listens on every address",
                "in all     1,638,500  on 16,385 pairs\n",
            ],
        );
        assert!(!said.contains("--forwarded-allow-ips"), "{said}");
    });
}

#[test]
fn plan_says_that_nobody_listens_on_a_unix_socket_and_who_does() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    let toml = Setup::to(&[&format!("unix:{}", path.display())]).toml();
    assert_says(
        &said(&toml),
        &[
            "no ports: a Unix socket needs none",
            "nobody listens there now",
        ],
    );
    let _app = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    assert_says(
        &said(&toml),
        &["connections can wait for the app to accept them, 0 do"],
    );
}

#[test]
fn plan_says_what_a_sandbox_keeps_it_from_seeing() {
    let dir = TempDir::new();
    let file = dir.join("lasthop.toml");
    std::fs::write(&file, Setup::to(&["127.0.0.1:3000"]).toml()).expect("a file");
    let mut command = Command::new(binary());
    command.arg("plan").arg(&file).stdin(Stdio::null());
    let output = deny_sock_diag(&mut command)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_says(
        &said,
        &[
            "listens on every address, which cannot be seen: this host does not let sockets be listed",
            "what is taken now cannot be seen: this host",
            "backlog: cannot be seen: this host",
            "first to bind: ",
        ],
    );
}

#[test]
fn plan_refuses_a_wrong_file_as_run_does() {
    let output = plan("[[listener]]\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}
