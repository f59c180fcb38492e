//! `lasthop top` with somebody before it: a real terminal, real keys, real signals; and one frame for a pipe.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::lasthop::binary;
use crate::support::terminal::{Screen, Terminal, processor_time};
use crate::support::{App, Lasthop, PATIENCE, Setup, TempDir, namespace};

/// `lasthop top` that looks for an instance where there is none, whatever else runs on the host.
fn top(words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .arg("top")
        .args(words)
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("NO_COLOR")
        .env_remove("COLUMNS")
        .env_remove("LASTHOP_ADMIN_TOKEN");
    if !words.contains(&"--admin") {
        command.args(["--admin", "unix:/nonexistent/admin.sock"]);
    }
    command
}

fn once(words: &[&str]) -> Output {
    let mut words = words.to_vec();
    words.push("--once");
    let output = top(&words).stdin(Stdio::null()).output();
    output.expect("the binary")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Whether the terminal is as it was, for whoever comes next.
fn is_given_back(screen: &Screen) -> bool {
    !screen.is_other && !screen.is_cursor_hidden
}

fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(status.expect("kill(1)").success());
}

#[test]
fn it_draws_reacts_to_keys_and_gives_the_terminal_back() {
    let mut terminal = Terminal::start(&top(&[]), (100, 30));
    for part in [
        "1 Sockets by state",
        "2 Source ports",
        "3 Findings",
        "q quit",
    ] {
        terminal.shows(part);
    }
    terminal.until("other screen", |screen| {
        screen.is_other && screen.is_cursor_hidden
    });
    assert!(!terminal.is_as_before());
    terminal.press("?");
    terminal.shows("Shift-Tab");
    // Escape alone, and not the beginning of another key: nothing follows it.
    terminal.press("\x1b");
    terminal.shows("2 Source ports");
    terminal.press("w");
    terminal.shows("last 3 h");
    terminal.press("p");
    terminal.shows("PAUSED");
    terminal.press("\t");
    terminal.shows("┏ 3 Findings");
    terminal.press("q");
    assert!(terminal.ended().success());
    terminal.until("screen given back", is_given_back);
    assert!(terminal.is_as_before());
}

#[test]
fn it_follows_the_size_of_the_window() {
    let mut terminal = Terminal::start(&top(&[]), (120, 40));
    terminal.shows("3 Findings");
    terminal.resize(60, 16);
    terminal.shows("[2 Ports]");
    terminal.resize(20, 5);
    terminal.shows("too small");
    terminal.resize(200, 60);
    terminal.until("frame as wide as that", |screen| {
        let text = screen.text();
        let line = text.lines().nth(1).unwrap_or_default();
        line.contains("1 Sockets by state") && line.chars().count() == 200
    });
    terminal.press("\x03");
    assert!(terminal.ended().success());
    assert!(terminal.is_as_before());
}

#[test]
fn signals_end_it_as_keys_do() {
    for name in ["TERM", "INT", "HUP"] {
        let mut terminal = Terminal::start(&top(&[]), (80, 24));
        terminal.shows("2 Source ports");
        signal(terminal.pid(), name);
        assert!(terminal.ended().success(), "{name}");
        terminal.until("screen given back", is_given_back);
        assert!(terminal.is_as_before(), "{name}");
    }
}

#[test]
fn it_steps_behind_the_shell_and_comes_back() {
    let binary = binary();
    let script = format!(
        "set -m; {binary} top --admin unix:/nonexistent; echo STEPPED BACK; read key; fg >/dev/null; echo ENDED $?"
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8");
    let mut terminal = Terminal::start(&shell, (80, 24));
    terminal.shows("2 Source ports");
    terminal.press("\x1a");
    terminal.until("shell", |screen| {
        is_given_back(screen) && screen.written.contains("STEPPED BACK")
    });
    terminal.press("\n");
    terminal.until("frame after fg", |screen| {
        screen.is_other && screen.is_cursor_hidden && screen.text().contains("2 Source ports")
    });
    terminal.press("q");
    terminal.until("end", |screen| screen.written.contains("ENDED 0"));
    assert!(terminal.ended().success());
    assert!(terminal.is_as_before());
}

#[test]
fn colours_are_there_only_where_they_are_wanted() {
    for (words, no_color, is_coloured) in [
        (&[][..], None, true),
        (&[], Some("1"), false),
        (&[], Some(""), true),
        (&["--color", "never"], None, false),
        (&["--color", "always"], Some("1"), true),
    ] {
        let mut command = top(words);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let mut terminal = Terminal::start(&command, (80, 24));
        terminal.shows("2 Source ports");
        terminal.press("q");
        assert!(terminal.ended().success());
        terminal.until("colours as wanted", |screen| {
            is_given_back(screen) && screen.is_coloured == is_coloured
        });
    }
}

#[test]
fn without_a_utf_8_locale_every_sign_is_ascii() {
    let mut terminal = Terminal::start(top(&[]).env("LC_ALL", "C"), (80, 24));
    let frame = terminal.shows("+ 1 Sockets by state");
    assert!(frame.is_ascii(), "{frame}");
    terminal.press("q");
    assert!(terminal.ended().success());
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let output = top(&[]).stdin(Stdio::null()).output().expect("the binary");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("have to be a terminal") && said.contains("--once"),
        "{said}"
    );
    let mut terminal = Terminal::start(top(&[]).env("TERM", "dumb"), (80, 24));
    assert_eq!(terminal.ended().code(), Some(2));
    terminal.until("refusal", |screen| screen.written.contains("TERM=dumb"));
}

#[test]
fn what_makes_no_sense_is_refused_before_the_terminal_is_taken() {
    let dir = TempDir::new();
    let token = dir.join("token");
    std::fs::write(&token, "short").expect("a file");
    for (words, code, part) in [
        (&["--admin", "here"][..], 2, "--admin: "),
        (&["--admin", "127.0.0.1:0"], 2, "port 0"),
        (&["--token-file", "/nonexistent"], 2, "/nonexistent"),
        (
            &["--token-file", token.to_str().expect("a path")],
            2,
            "holds no token",
        ),
        (&["--netns", "4194305"], 1, "4194305"),
    ] {
        let output = once(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part) && !said.contains("short\n"), "{said}");
    }
}

#[test]
fn an_idle_screen_costs_less_than_a_hundredth_of_a_core() {
    let mut terminal = Terminal::start(&top(&[]), (120, 40));
    let first = |screen: &Screen| screen.text().lines().next().unwrap_or_default().to_owned();
    // Past the first readings, which follow each other quickly, and come with a search for owners.
    terminal.until("first age", |screen| first(screen).contains("read 1 s ago"));
    let (from, used) = (Instant::now(), processor_time(terminal.pid()));
    // Time is what is measured here, by the frames that it brings.
    let mut last = String::new();
    while from.elapsed() < Duration::from_secs(6) {
        let frame = terminal.until("next frame", |screen| first(screen) != last);
        last = frame.lines().next().unwrap_or_default().to_owned();
    }
    let part = (processor_time(terminal.pid()) - used).as_secs_f64() / from.elapsed().as_secs_f64();
    // Ten times what is promised of a release build: this one is not optimised.
    assert!(part < 0.1, "{:.1} % of a core", part * 100.0);
    terminal.press("q");
    assert!(terminal.ended().success());
}

#[test]
fn one_frame_in_a_namespace_without_ports_names_the_group() {
    namespace::with_ports("40000 40009", || {
        let app = TcpListener::bind("127.0.0.1:3000").expect("a listener");
        let address = app.local_addr().expect("its address");
        let mut held: Vec<TcpStream> = Vec::new();
        while let Ok(stream) = TcpStream::connect(address) {
            held.push(stream);
        }
        assert_eq!(held.len(), 10);
        let frame = text(&once(&[]));
        for part in [
            "127.0.0.1 → 127.0.0.1:3000",
            "10/10",
            "100.0 %",
            "none left",
            "ports-exhausted",
        ] {
            assert!(frame.contains(part), "{part}:\n{frame}");
        }
        assert!(
            frame.lines().all(|line| line.chars().count() <= 80),
            "{frame}"
        );
        // Somebody else's namespace, seen from here: the same one, by the number of a process in it.
        let own = std::process::id().to_string();
        let entered = once(&["--netns", &own]);
        let said = String::from_utf8_lossy(&entered.stderr);
        if entered.status.success() {
            assert!(text(&entered).contains("10/10"), "{entered:?}");
        } else {
            assert!(said.contains("cannot be looked at"), "{said}");
        }
    });
}

#[test]
fn the_name_of_a_process_writes_nothing_to_the_terminal() {
    namespace::with_ports("40000 40009", || {
        std::fs::write("/proc/self/comm", "\x1b[2J\x1b]0;x\x07").expect("a name of our own");
        let app = TcpListener::bind("127.0.0.1:3000").expect("a listener");
        let address = app.local_addr().expect("its address");
        let held: Vec<TcpStream> = (0..10)
            .map(|_| TcpStream::connect(address).expect("a port"))
            .collect();
        let frame = text(&once(&[]));
        // Where other processes have very many descriptors, there is no time to find this one.
        let is_named = frame.contains("[2J") || frame.contains("not seen: whose");
        assert!(is_named, "{frame}");
        let hostile = |sign: char| sign.is_control() && sign != '\n';
        assert!(!frame.contains(hostile), "{frame:?}");
        drop(held);
    });
}

/// Answers every request in the same way until the test is over; its address.
fn answers(head: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address").to_string();
    let length = body.len();
    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), answer) = (stream, answer.clone()) else {
                return;
            };
            thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let mut request = Vec::new();
                let mut bytes = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    request.extend_from_slice(&bytes[..count]);
                    if request.ends_with(b"\r\n\r\n") {
                        request.clear();
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

#[test]
fn whatever_answers_at_the_address_it_is_told_and_the_host_is_shown() {
    let long = format!("[{}]", "1,".repeat(5 << 20));
    for (head, body, part) in [
        ("200 OK", "<html>hello</html>", "not what lasthop writes"),
        (
            "200 OK",
            "{\"schema\":\"lasthop.history/9\",\"window\":\"10m\",\"step_seconds\":2,\"at_ms\":[]}",
            "history/9",
        ),
        ("200 OK", long.as_str(), "more than 8 MiB"),
        ("401 Unauthorized", "no", "LASTHOP_ADMIN_TOKEN"),
        ("404 Not Found", "no", "it answers 404"),
        ("999 \x1b[2J", "no", "does not speak HTTP"),
        ("nonsense", "", "does not speak HTTP"),
    ] {
        let address = answers(head, body);
        let frame = text(&once(&["--admin", &address]));
        let joined = frame.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(joined.contains(part), "{part}:\n{frame}");
        assert!(
            frame.contains("Source ports") && !frame.contains('\x1b'),
            "{frame}"
        );
    }
}

#[test]
fn an_instance_shows_its_rate_and_its_past() {
    let app = App::scripted(|mut conn| while conn.request().is_some() && conn.answer("hello") {});
    let dir = TempDir::new();
    let admin = dir.join("admin.sock");
    let address = format!("unix:{}", admin.display());
    let table =
        format!("[admin]\naddress = \"{address}\"\ntoken = \"0123456789abcdef0123456789abcdef\"");
    let proxy: Lasthop = Setup::to(&[&app.target()]).more(&table).start();
    proxy.get("/");
    let denied = text(&once(&["--admin", &address]));
    assert!(denied.contains("it wants a token"), "{denied}");
    let mut command = top(&["--admin", &address]);
    command.env("LASTHOP_ADMIN_TOKEN", "0123456789abcdef0123456789abcdef");
    let mut terminal = Terminal::start(&command, (120, 34));
    terminal.shows("4 lasthop at unix:");
    let frame = terminal.until("requests", |screen| {
        let text = screen.text();
        text.contains("requests  ") && text.contains("/s new")
    });
    for part in [
        "latency", "connects", "failures", "queue", "clients", "active",
    ] {
        assert!(frame.contains(part), "{part}:\n{frame}");
    }
    drop(proxy);
    terminal.shows("no instance at unix:");
    terminal.press("q");
    assert!(terminal.ended().success());
}
