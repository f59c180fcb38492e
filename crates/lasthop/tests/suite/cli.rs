//! The command line: what is said, where it is said, and the exit status.

use std::process::{Command, Output, Stdio};

use crate::support::lasthop::binary;
use crate::support::{Setup, TempDir};

fn lasthop(arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `lasthop COMMAND` on this configuration.
fn on(command: &str, toml: &str) -> Output {
    let dir = TempDir::new();
    let file = dir.join("lasthop.toml");
    std::fs::write(&file, toml).expect("a file");
    lasthop(&[command, &file.display().to_string()])
}

/// The line of `toml` that has `word`, from 1, and the column of the word in it.
fn position(toml: &str, word: &str) -> String {
    let (n, line) = toml
        .lines()
        .enumerate()
        .find(|(_, line)| line.contains(word))
        .unwrap_or_else(|| panic!("{word} is not in the file"));
    let column = line.find(word).unwrap_or_default() + 1;
    format!("lasthop.toml:{}:{column}", n + 1)
}

#[test]
fn check_prints_what_it_would_do_and_opens_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let toml = Setup::to(&["127.0.0.1:3000"]).on(&address).toml();
    let output = on("check", &toml);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        said.contains(&address) && said.contains("127.0.0.1:3000"),
        "{said}"
    );
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_right_word() {
    let toml = Setup::to(&["127.0.0.1:3000"])
        .upstream("conect_timeout = \"1s\"")
        .toml();
    for command in ["check", "run"] {
        let output = on(command, &toml);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(&position(&toml, "conect_timeout")), "{said}");
        assert!(said.contains("connect_timeout"), "no suggestion: {said}");
        assert!(output.stdout.is_empty(), "errors go to stderr");
    }
}

#[test]
fn a_wrong_value_is_refused_with_its_place() {
    for (line, value) in [
        ("connect_timeout = \"soon\"", "\"soon\""),
        ("restart_grace = 5", "5"),
        (
            "buffer = { request = \"64 KB\", response = \"1\" }",
            "\"64 KB\"",
        ),
    ] {
        let toml = Setup::to(&["127.0.0.1:3000"]).upstream(line).toml();
        let output = on("check", &toml);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        let place = position(&toml, line);
        let (place, _) = place.rsplit_once(':').unwrap_or_default();
        assert!(said.contains(place), "{value} is at {place}: {said}");
    }
}

#[test]
fn a_planned_key_is_refused_as_not_in_this_version() {
    for tables in [
        "[[listener]]\naddress = \"fd:web\"",
        "[[upstream]]\nname = \"b\"\ntargets = [\"app.internal:3000\"]",
        "[[upstream]]\nname = \"b\"\ntargets = [\"h2c+127.0.0.1:3000\"]",
        "[[upstream]]\nname = \"b\"\ntargets = [\"127.0.0.1:3000\"]\nbalance = \"least_connections\"",
    ] {
        let toml = Setup::to(&["127.0.0.1:3000"]).more(tables).toml();
        let output = on("check", &toml);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{tables}: {said}");
        assert!(said.contains("not in this version"), "{tables}: {said}");
    }
}

#[test]
fn a_planned_command_says_that_it_is_planned() {
    for command in ["reload", "upgrade", "drain", "status", "import"] {
        let output = lasthop(&[command]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        let said = text(&output.stderr);
        assert!(said.contains("not in this version"), "{command}: {said}");
    }
}

#[test]
fn an_admin_address_that_other_hosts_reach_is_refused_without_a_token() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9180"] {
        let listen = ["run", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"];
        let output = lasthop(&[&listen[..], &["--admin", address]].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{address}: {said}");
        assert!(said.contains("there is no token"), "{address}: {said}");
        assert!(
            said.contains("there is no flag for it"),
            "{address}: {said}"
        );
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        &["fly"][..],
        &["run", "--listen", "127.0.0.1:0"],
        &["run", "--to", "127.0.0.1:1"],
        &["run", "--listen", "nowhere", "--to", "127.0.0.1:1"],
        &["run", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:0"],
        &["run", "/does/not/exist/lasthop.toml"],
        &["check", "/does/not/exist/lasthop.toml"],
    ] {
        let output = lasthop(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(!said.trim().is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    for flag in ["--help", "--version"] {
        let output = lasthop(&[flag]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("lasthop"), "{flag}");
    }
    let help = text(&lasthop(&["--help"]).stdout);
    for command in ["run", "check", "plan", "demo", "doctor"] {
        assert!(help.contains(command), "{command} is not in the help");
    }
}
