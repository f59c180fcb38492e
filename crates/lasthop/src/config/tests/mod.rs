//! Whole files in, a [`Config`] or the exact refusal out.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

mod log_and_admin;
mod sources;
mod values;
mod whole;

const LISTENER: &str = "[[listener]]\naddress = \"0.0.0.0:80\"\n";
const UPSTREAM: &str = "[[upstream]]\nname = \"app\"\ntargets = [\"127.0.0.1:3000\"]\n";
const ROUTE: &str = "[[route]]\nupstream = \"app\"\n";

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::from_toml("t", text)
}

fn right(text: &str) -> Config {
    read(text).unwrap_or_else(|error| panic!("{error}\nin\n{text}"))
}

/// Each text is refused with this first line.
#[track_caller]
fn refused<'a>(cases: impl IntoIterator<Item = (String, &'a str)>) {
    for (text, headline) in cases {
        match read(&text) {
            Ok(_) => panic!("taken, although: {headline}\n{text}"),
            Err(error) => assert_eq!(error.headline(), headline, "\n{text}"),
        }
    }
}

fn in_server<'a>((lines, headline): (&str, &'a str)) -> (String, &'a str) {
    (format!("[server]\n{lines}\n{LISTENER}{UPSTREAM}"), headline)
}

fn in_log<'a>((lines, headline): (&str, &'a str)) -> (String, &'a str) {
    (format!("[log]\n{lines}\n{LISTENER}{UPSTREAM}"), headline)
}

/// Below line 2.
fn in_listener<'a>((lines, headline): (&str, &'a str)) -> (String, &'a str) {
    (format!("{LISTENER}{lines}\n{UPSTREAM}"), headline)
}

/// Below line 5.
fn in_upstream<'a>((lines, headline): (&str, &'a str)) -> (String, &'a str) {
    (format!("{LISTENER}{UPSTREAM}{lines}\n"), headline)
}

/// Below line 7.
fn in_route<'a>((lines, headline): (&str, &'a str)) -> (String, &'a str) {
    (format!("{LISTENER}{UPSTREAM}{ROUTE}{lines}\n"), headline)
}

#[test]
fn the_smallest_file_has_every_default() {
    let config = right(&format!("{LISTENER}{UPSTREAM}"));
    assert_eq!(config.server, Server::default());
    assert!(config.server.workers >= 1);
    let log = Log {
        level: Level::Info,
        access: AccessLog::Stdout,
        format: AccessFormat::Json,
    };
    assert_eq!((config.log, config.admin), (log, None));
    let [listener] = config.listeners.as_slice() else {
        panic!()
    };
    assert_eq!(*listener, Listener::new("0.0.0.0:80".parse().unwrap()));
    assert_eq!(listener.name, "0.0.0.0:80");
    let [upstream] = config.upstreams.as_slice() else {
        panic!()
    };
    let target = "127.0.0.1:3000".parse().unwrap();
    assert_eq!(*upstream, Upstream::new("app".to_owned(), vec![target]));
    let [route] = config.routes.as_slice() else {
        panic!()
    };
    assert_eq!((route.name.as_str(), route.path.as_str()), ("/", "/"));
    assert_eq!(
        (&route.host, route.upstream, route.body_size_max),
        (&None, 0, 0)
    );
}

/// Every key with a value that is not its default.
const EVERY_KEY: &str = r#"
[server]
workers = 3
share = true
error_details = true
trusted_proxies = ["10.0.0.0/8", "::1", "unix"]
drain_timeout = "0s"
buffer_memory = "64MiB"
spill_range = "127.80.0.0/20"
[log]
access = "/var/log/lasthop/access.log"
format = "combined"
level = "debug"
[admin]
address = "0.0.0.0:9180"
token = "0123456789abcdef"
hosts = ["Admin.Internal", "proxy"]
[[listener]]
name = "web"
address = "unix:/run/web.sock?mode=0660&owner=www&group=web"
protocol = "http"
max_connections = 1000000
header_timeout = "1s"
idle_timeout = "2s"
body_timeout = "3s"
header_size_max = "4KiB"
headers_max = 128
[[upstream]]
name = "other"
targets = ["127.0.0.1:1"]
[[upstream]]
name = "app"
targets = ["unix:/run/app.sock", "unix:@app", "[::1]:3000"]
source = ["::1", "fd00:1::/64"]
close = "reset"
balance = "round_robin"
max_connections = 5
queue = { size = 6, timeout = "7s" }
keepalive = { idle = 8, timeout = "9ms" }
buffer = { request = 0, response = "10KiB" }
restart_grace = 0
connect_timeout = "11s"
response_timeout = "12s"
body_timeout = "13s"
tunnel_timeout = "14h"
retries = 0
via = false
forwarded = true
request_id = true
header_size_max = "15KiB"
[[route]]
name = "site"
host = "*.Example.com"
path = "/api"
upstream = "app"
body_size_max = "16MiB"
[[route]]
upstream = "other"
host = "EXAMPLE.com"
"#;

#[test]
fn every_key_of_the_server_and_its_log_reaches_its_setting() {
    let config = right(EVERY_KEY);
    let server = &config.server;
    assert!(server.share && server.error_details);
    assert_eq!((server.workers, server.drain_timeout), (3, Duration::ZERO));
    assert_eq!(server.trusted_proxies.to_string(), "10.0.0.0/8, ::1, unix");
    assert_eq!(server.buffer_memory, 64 << 20);
    assert_eq!(server.spill_range.to_string(), "127.80.0.0/20");
    let log = Log {
        level: Level::Debug,
        access: AccessLog::File(PathBuf::from("/var/log/lasthop/access.log")),
        format: AccessFormat::Combined,
    };
    assert_eq!(config.log, log);
}

#[test]
fn every_key_of_the_admin_address_reaches_its_setting() {
    let admin = Admin {
        address: "0.0.0.0:9180".parse().unwrap(),
        token: Some(Secret::from("0123456789abcdef".to_owned())),
        hosts: vec!["admin.internal".to_owned(), "proxy".to_owned()],
    };
    assert_eq!(right(EVERY_KEY).admin, Some(admin));
}

#[test]
fn every_key_of_a_listener_reaches_its_setting() {
    let config = right(EVERY_KEY);
    let seconds = Duration::from_secs;
    assert_eq!(
        config.listeners,
        [Listener {
            name: "web".to_owned(),
            address: ListenAddress::Unix {
                path: PathBuf::from("/run/web.sock"),
                mode: Some(0o660),
                owner: Some("www".to_owned()),
                group: Some("web".to_owned()),
            },
            max_connections: 1_000_000,
            header_timeout: seconds(1),
            idle_timeout: seconds(2),
            body_timeout: seconds(3),
            header_size_max: 4096,
            headers_max: 128,
        }]
    );
}

#[test]
fn every_key_of_an_upstream_reaches_its_setting() {
    let config = right(EVERY_KEY);
    let seconds = Duration::from_secs;
    assert_eq!(
        config.upstreams[1],
        Upstream {
            name: "app".to_owned(),
            targets: vec![
                Target::Unix(PathBuf::from("/run/app.sock")),
                Target::Abstract(b"app".to_vec()),
                Target::Tcp("[::1]:3000".parse().unwrap()),
            ],
            source: Source::Listed(vec!["::1".parse().unwrap(), "fd00:1::/64".parse().unwrap(),]),
            close: Close::Reset,
            max_connections: 5,
            queue: Queue {
                size: 6,
                timeout: seconds(7)
            },
            keepalive: Keepalive {
                idle: 8,
                timeout: Duration::from_millis(9)
            },
            buffer: BufferSizes {
                request: 0,
                response: 10_240
            },
            restart_grace: Duration::ZERO,
            connect_timeout: seconds(11),
            response_timeout: seconds(12),
            body_timeout: seconds(13),
            tunnel_timeout: seconds(14 * 3600),
            retries: 0,
            via: false,
            forwarded: true,
            request_id: true,
            header_size_max: 15_360,
        }
    );
}

#[test]
fn every_key_of_a_route_reaches_its_setting() {
    let config = right(EVERY_KEY);
    assert_eq!(
        config.routes[0],
        Route {
            name: "site".to_owned(),
            host: Some(HostPattern::Wildcard(".example.com".to_owned())),
            path: "/api".to_owned(),
            upstream: 1,
            body_size_max: 16 << 20,
        }
    );
    assert_eq!(
        (config.routes[1].name.as_str(), config.routes[1].upstream),
        ("example.com/", 0)
    );
}

#[test]
fn flags_stand_for_the_file_that_says_the_same() {
    let flags = RunFlags {
        listen: vec!["0.0.0.0:80".to_owned(), "unix:/l?mode=0600".to_owned()],
        to: vec!["127.0.0.1:3000".to_owned(), "unix:/a".to_owned()],
        admin: Some("[::1]:9180".to_owned()),
        access_log: Some("/log/access.log".to_owned()),
        workers: Some(2),
        share: true,
    };
    let file = "[server]\nworkers = 2\nshare = true\n[log]\naccess = \"/log/access.log\"\n[admin]\naddress = \"[::1]:9180\"\n[[listener]]\naddress = \"0.0.0.0:80\"\n\
                [[listener]]\naddress = \"unix:/l?mode=0600\"\n\
                [[upstream]]\nname = \"app\"\ntargets = [\"127.0.0.1:3000\", \"unix:/a\"]\n";
    assert_eq!(Config::from_flags(&flags).unwrap(), right(file));
}

#[test]
fn a_flag_is_refused_as_in_a_file_and_shown_among_the_others() {
    let flags = RunFlags {
        listen: vec!["127.0.0.1:80".to_owned()],
        to: vec!["127.0.0.1:3000".to_owned(), "127.0.0.1".to_owned()],
        ..RunFlags::default()
    };
    assert_eq!(
        Config::from_flags(&flags).unwrap_err().to_string(),
        "command line: \"127.0.0.1\" is not a target: the port is missing, as in 127.0.0.1:8080\n\
         \x20 1 | --listen 127.0.0.1:80 --to 127.0.0.1:3000 --to 127.0.0.1\n\
         \x20   |                                                ^^^^^^^^^"
    );
    let loops = RunFlags {
        to: vec!["127.0.0.1:80".to_owned()],
        ..flags.clone()
    };
    assert!(
        Config::from_flags(&loops)
            .unwrap_err()
            .headline()
            .ends_with("in circles")
    );
    let public = RunFlags {
        to: vec!["127.0.0.1:3000".to_owned()],
        admin: Some("0.0.0.0:9180".to_owned()),
        ..flags.clone()
    };
    assert_eq!(
        Config::from_flags(&public).unwrap_err().to_string(),
        "command line: 0.0.0.0:9180 is open to other hosts, and there is no token\n\
         \x20 1 | --listen 127.0.0.1:80 --to 127.0.0.1:3000 --admin 0.0.0.0:9180\n\
         \x20   |                                                   ^^^^^^^^^^^^\n\
         \x20 without a token: 127.0.0.1:9180, or unix:/run/lasthop/admin.sock\n\
         \x20 a token is written in a file, as token = \"\u{2026}\" in [admin]; there is no flag for it"
    );
    let many = RunFlags {
        workers: Some(5000),
        ..flags
    };
    assert_eq!(
        Config::from_flags(&many).unwrap_err().headline(),
        "command line: 5000 is out of range: 0 to 1024"
    );
    assert!(Config::from_flags(&RunFlags::default()).is_err());
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let error = Config::from_file(Path::new("/nonexistent/lasthop.toml")).unwrap_err();
    assert!(
        error
            .headline()
            .starts_with("/nonexistent/lasthop.toml: cannot be read: No such file"),
        "{error}"
    );
    let error = error.to_string();
    assert!(!error.contains("--listen"), "{error}");
    let error = Config::from_file(Path::new("/dev/zero")).unwrap_err();
    assert_eq!(
        error.headline(),
        "/dev/zero: larger than 1MiB: not a configuration"
    );
    let error = Config::from_file(Path::new("/proc/self/exe")).unwrap_err();
    assert!(error.headline().starts_with("/proc/self/exe: "), "{error}");
}

#[test]
fn the_example_in_the_repository_is_right_and_lists_every_key_with_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib/lasthop.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let example = right(&text);
    let [upstream] = example.upstreams.as_slice() else {
        panic!()
    };
    assert_eq!(
        *upstream,
        Upstream::new(upstream.name.clone(), upstream.targets.clone())
    );
    let [listener] = example.listeners.as_slice() else {
        panic!()
    };
    let defaults = Listener::new(listener.address.clone());
    assert_eq!(
        *listener,
        Listener {
            name: listener.name.clone(),
            ..defaults
        }
    );
    assert_eq!(example.server, Server::default());
    assert_eq!(example.log, Log::default());
    for key in super::keys::all() {
        assert!(
            text.contains(&format!("{key} =")),
            "{key} is not in the example"
        );
    }
}

#[test]
fn the_documentation_names_every_key_and_all_that_is_planned() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    for key in super::keys::all() {
        let documented = [format!("`{key}`"), format!(".{key}`")]
            .iter()
            .any(|form| text.contains(form));
        assert!(documented, "{key} is not in docs/configuration.md");
    }
    let (_, planned) = text.split_once("## Planned").unwrap();
    for written in super::planned::all() {
        assert!(
            planned.contains(&written),
            "{written} is not in docs/configuration.md"
        );
    }
}

#[test]
fn the_sum_of_memory_in_the_documentation_adds_up_from_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let config = right(&format!("{LISTENER}{UPSTREAM}"));
    let (listener, upstream) = (&config.listeners[0], &config.upstreams[0]);
    // A head as it is written anew takes three buffers at most, as any way does.
    assert!(listener.header_size_max <= 32 << 10 && upstream.header_size_max <= 32 << 10);
    let heads = (listener.header_size_max >> 10) + (upstream.header_size_max >> 10);
    let floor = heads + 2 * 48 + 8 + 32;
    let mebibytes = |kibibytes: usize| (kibibytes + 512) / 1024;
    let buffers = 2 * ((config.server.buffer_memory >> 20) + 4);
    let connections = mebibytes(10_000 * floor);
    let idle = mebibytes(2 * upstream.keepalive.idle);
    let (access_log, program) = (4, 12);
    let sum = buffers + connections + idle + access_log + program;
    let eighth = (sum + 4) / 8;
    for expected in [
        format!("48 + 8 + 32 = {floor} KiB,"),
        format!("| {buffers} |\n"),
        format!("10,000 × {floor} KiB | {connections} |\n"),
        format!("2 × 1 × {} × 1 KiB | {idle} |\n", upstream.keepalive.idle),
        format!("| access log | | {access_log} |\n"),
        format!("| program | | {program} |\n"),
        format!("an eighth of {sum} | {eighth} |\n"),
        format!("**{}** |\n", sum + eighth),
    ] {
        assert!(
            text.contains(&expected),
            "{expected} is not in docs/configuration.md"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reading_panic(text in "\\PC{0,200}|[\\[\\]a-z=\" {}\n,.0-9#]{0,200}") {
        let _ = read(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_damage_to_a_right_file_makes_the_reading_panic(
        at in 0usize..400,
        cut in 0usize..20,
        put in "[\\[\\]\"={}\n\u{e9}a0-]{0,3}",
    ) {
        let text = format!("[server]\nworkers = 1\n{LISTENER}header_timeout = \"5s\"\n{UPSTREAM}queue = {{ size = 5 }}\n{ROUTE}");
        let mut chars: Vec<char> = text.chars().collect();
        let from = at.min(chars.len());
        let to = (from + cut).min(chars.len());
        chars.splice(from..to, put.chars());
        let text: String = chars.into_iter().collect();
        let _ = read(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn any_value_in_any_place_is_taken_or_refused(
        key in proptest::sample::select(vec!["address", "protocol", "header_timeout", "headers_max", "name", "header_size_max"]),
        value in "\\PC{0,40}|[0-9]{0,30}[a-zA-Z:/@.]{0,30}",
    ) {
        for value in [format!("{value:?}"), value] {
            let _ = read(&format!("[[listener]]\n{key} = {value}\n{UPSTREAM}")).map_err(|error| error.to_string());
        }
    }
}
