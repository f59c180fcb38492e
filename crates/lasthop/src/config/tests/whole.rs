//! Refusals of a file as a whole: its tables, what is missing, what does not go together, and how they are shown.

use super::*;

#[test]
fn the_uppermost_of_several_unknown_keys_is_reported() {
    refused([(
        "z = 1\n[server]\na = 1\n[log]\nb = 1\n".to_owned(),
        "t:1:1: unknown key `z`",
    )]);
    refused([(
        "[server]\na = 1\n[log]\nb = 1\n".to_owned(),
        "t:2:1: unknown key `a` in [server]",
    )]);
}

#[test]
fn what_is_missing_altogether_is_said() {
    refused([
        (
            String::new(),
            "t: no [[listener]]: there is nothing for clients to connect to",
        ),
        (
            LISTENER.to_owned(),
            "t: no [[upstream]]: there is no application to pass requests to",
        ),
        (
            format!("{LISTENER}{UPSTREAM}{}", UPSTREAM.replace("app", "b")),
            "t: no [[route]]: with several upstreams it must be said which requests go where",
        ),
        (
            format!("[[listener]]\nname = \"x\"\n{UPSTREAM}"),
            "t:1:1: [[listener]] without an `address`",
        ),
        (
            format!("{LISTENER}[[upstream]]\n"),
            "t:3:1: [[upstream]] without a `name`",
        ),
        (
            format!("{LISTENER}[[upstream]]\nname = \"app\"\n"),
            "t:3:1: the upstream `app` has no `targets`",
        ),
        (
            format!("{LISTENER}{UPSTREAM}[[route]]\n"),
            "t:6:1: [[route]] without an `upstream`",
        ),
    ]);
}

#[test]
fn tables_written_in_another_way_are_refused() {
    refused([
        (
            "[listener]\n".to_owned(),
            "t:1:2: `listener` is written [[listener]]: there may be several",
        ),
        (
            "[[server]]\n".to_owned(),
            "t:1:3: `server` is written [server]: there is one",
        ),
        (
            "server = 5\n".to_owned(),
            "t:1:1: `server` is written [server]: there is one",
        ),
        (
            "route = [5]\n".to_owned(),
            "t:1:1: `route` is written [[route]]: there may be several",
        ),
        (
            "serve.workers = 5\n".to_owned(),
            "t:1:1: unknown key `serve`; did you mean [server]?",
        ),
        (
            "workers = 5\n".to_owned(),
            "t:1:1: unknown key `workers`; it belongs in [server]",
        ),
    ]);
    refused([
        (
            "queue = [5, \"5s\"]",
            "t:6:9: `queue` in [[upstream]]: expected a table such as { size = 4096, timeout = \"5s\" }",
        ),
        ("queue.siez = 5", "t:6:7: unknown key `siez` in `queue` of [[upstream]]; did you mean `size`?"),
        ("body_size_max = 0", "t:6:1: unknown key `body_size_max` in [[upstream]]; it belongs in [[route]]"),
    ]
    .map(in_upstream));
}

#[test]
fn what_is_no_toml_is_said_with_its_place() {
    refused([
        (
            "[[listener]\n".to_owned(),
            "t:1:12: not TOML: unclosed array table, expected `]`",
        ),
        (
            "a = 1\na = 2\n".to_owned(),
            "t:2:1: not TOML: duplicate key",
        ),
    ]);
    let error = read("[[listener]]\naddress = 127.0.0.1:8080\n").unwrap_err();
    assert!(error.headline().starts_with("t:2:"), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("are written in quotes: \"127.0.0.1:8080\", \"5s\""),
        "{error}"
    );
}

#[test]
fn names_and_places_may_not_be_used_twice() {
    refused([
        (
            format!("{LISTENER}{LISTENER}{UPSTREAM}"),
            "t:4:11: `address` in [[listener]]: two listeners on 0.0.0.0:80",
        ),
        (
            format!(
                "{LISTENER}[[listener]]\nname = \"0.0.0.0:80\"\naddress = \"[::]:80\"\n{UPSTREAM}"
            ),
            "t:4:8: `name` in [[listener]]: two listeners are called `0.0.0.0:80`",
        ),
        (
            "[[listener]]\naddress = \"unix:/a\"\n[[listener]]\naddress = \"unix:/a?mode=0600\"\n"
                .to_owned(),
            "t:4:11: `address` in [[listener]]: two listeners on unix:/a",
        ),
        (
            format!("{LISTENER}{UPSTREAM}{ROUTE}{ROUTE}"),
            "t:8:1: two routes for /",
        ),
        (
            format!(
                "{LISTENER}{UPSTREAM}{ROUTE}host = \"A.b\"\npath = \"/c\"\n{ROUTE}path = \"/c\"\nhost = \"a.B\"\n"
            ),
            "t:12:8: two routes for a.b/c",
        ),
        (
            format!(
                "{LISTENER}{UPSTREAM}{ROUTE}name = \"x\"\n{ROUTE}name = \"x\"\npath = \"/b\"\n"
            ),
            "t:11:8: `name` in [[route]]: two routes are called `x`",
        ),
    ]);
    let text =
        format!("{LISTENER}[[upstream]]\nname = \"a\"\ntargets = [\"unix:/a\", \"unix:/a\"]\n");
    refused([(
        text,
        "t:5:23: `targets` in [[upstream]]: unix:/a is listed twice",
    )]);
    let any_port = "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:0\"\n";
    right(&format!(
        "{any_port}{}{UPSTREAM}",
        any_port.replace("\"a\"", "\"b\"")
    ));
}

#[test]
fn a_target_that_is_one_of_our_listeners_is_refused() {
    for (address, target, loops) in [
        ("0.0.0.0:80", "127.0.0.1:80", true),
        ("0.0.0.0:80", "127.5.5.5:80", true),
        ("0.0.0.0:80", "192.0.2.1:80", false),
        ("0.0.0.0:80", "127.0.0.1:81", false),
        ("192.0.2.1:80", "192.0.2.1:80", true),
        ("[::]:80", "[::1]:80", true),
        ("[::]:80", "127.0.0.1:80", false),
        ("0.0.0.0:80", "127.5.0.0/16:80", true),
        ("0.0.0.0:80", "127.5.0.0/16:81", false),
        ("127.5.0.1:80", "127.5.0.0/16:80", true),
        ("127.6.0.1:80", "127.5.0.0/16:80", false),
        ("unix:/a?mode=0600", "unix:/a", true),
        ("unix:/a", "unix:@/a", false),
        ("unix:/a", "unix:/b", false),
    ] {
        let text = format!(
            "[[listener]]\naddress = \"{address}\"\n[[upstream]]\nname = \"a\"\ntargets = [\"{target}\"]\n"
        );
        match (read(&text), loops) {
            (Ok(_), false) => {}
            (Err(error), true) => {
                assert!(
                    error
                        .headline()
                        .starts_with("t:5:12: `targets` in [[upstream]]: "),
                    "{error}"
                );
                assert!(
                    error.headline().ends_with("requests would go in circles"),
                    "{error}"
                );
            }
            (outcome, _) => panic!("{address} {target}: {outcome:?}"),
        }
    }
}

#[test]
fn two_listeners_of_which_one_takes_in_the_other_are_refused() {
    for (first, second, overlap) in [
        ("0.0.0.0:80", "127.0.0.1:80", true),
        ("127.0.0.1:80", "0.0.0.0:80", true),
        ("[::]:80", "[::1]:80", true),
        ("[::1]:80", "[::]:80", true),
        ("0.0.0.0:80", "[::]:80", false),
        ("[::]:80", "127.0.0.1:80", false),
        ("0.0.0.0:80", "[::1]:80", false),
        ("0.0.0.0:80", "127.0.0.1:81", false),
        ("127.0.0.1:80", "127.0.0.2:80", false),
        ("0.0.0.0:0", "127.0.0.1:0", false),
    ] {
        let text = format!(
            "[[listener]]\naddress = \"{first}\"\n[[listener]]\naddress = \"{second}\"\n{UPSTREAM}"
        );
        match (read(&text), overlap) {
            (Ok(_), false) => {}
            (Err(error), true) => {
                assert_eq!(
                    error.headline(),
                    format!(
                        "t:4:11: `address` in [[listener]]: {second} and the listener on {first} overlap"
                    )
                );
                assert!(error.to_string().contains("the other one is on line 2"));
            }
            (outcome, _) => panic!("{first} {second}: {outcome:?}"),
        }
    }
}

#[test]
fn too_many_of_anything_is_refused_at_the_first_that_is_too_many() {
    let targets: String = (0..257).map(|i| format!("\"unix:/{i}\",\n")).collect();
    let text = format!("{LISTENER}[[upstream]]\nname = \"a\"\ntargets = [\n{targets}]\n");
    refused([(text, "t:262:1: more than 256 targets")]);
    let listeners: String = (0..257)
        .map(|i| format!("[[listener]]\naddress = \"unix:/{i}\"\n"))
        .collect();
    refused([(listeners + UPSTREAM, "t:513:1: more than 256 listeners")]);
}

#[test]
fn a_refusal_shows_the_line_and_what_would_be_right() {
    let error = Config::from_toml(
        "lasthop.toml",
        "# web\n[[listener]]\nadress = \"0.0.0.0:80\"\n",
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "lasthop.toml:3:1: unknown key `adress` in [[listener]]; did you mean `address`?\n\
         \x20 3 | adress = \"0.0.0.0:80\"\n\
         \x20   | ^^^^^^\n\
         \x20 [[listener]] takes: name, address, protocol, max_connections, header_timeout, idle_timeout, body_timeout, \
         header_size_max, headers_max"
    );
    let text = format!("{LISTENER}{UPSTREAM}{UPSTREAM}");
    assert_eq!(
        read(&text).unwrap_err().to_string(),
        "t:7:8: `name` in [[upstream]]: two upstreams are called `app`\n\
         \x20 7 | name = \"app\"\n\
         \x20   |        ^^^^^\n\
         \x20 the other one is on line 4"
    );
    assert_eq!(
        read("").unwrap_err().to_string(),
        "t: no [[listener]]: there is nothing for clients to connect to\n\
         \x20 [[listener]]\n\
         \x20 address = \"127.0.0.1:8080\""
    );
}

#[test]
fn a_refusal_is_readable_whatever_the_file_holds() {
    let long = "9".repeat(100_000);
    let error = read(&format!("[server]\ndrain_timeout = \"{long}s\"\n"))
        .unwrap_err()
        .to_string();
    assert!(
        error.lines().all(|line| line.chars().count() < 500),
        "{error}"
    );
    let error = read("[server]\n\"a\\u001b[31m\\nb\" = 1\n")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("t:2:1: unknown key `a\\u{1b}[31m\\nb` in [server]\n"),
        "{error}"
    );
    let padded = format!("[server]\n{}workers = -1\n", " ".repeat(1000));
    let error = read(&padded).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    let caret = lines[2].find('^').unwrap();
    assert_eq!(lines[1].get(caret..caret + 2), Some("-1"), "{error}");
}
