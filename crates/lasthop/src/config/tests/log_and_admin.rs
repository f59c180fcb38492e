//! `[log]` and `[admin]`: where lines go, and who may ask.

use super::*;

fn in_admin<'a>((lines, headline): (&str, &'a str)) -> (String, &'a str) {
    (format!("[admin]\n{lines}\n{LISTENER}{UPSTREAM}"), headline)
}

fn admin(address: &str, more: &str) -> Result<Config, ConfigError> {
    let lines = format!("address = \"{address}\"\n{more}");
    read(&in_admin((&lines, "")).0)
}

#[test]
fn the_access_log_goes_to_one_of_three_places() {
    for (access, expected) in [
        ("off", AccessLog::Off),
        ("stdout", AccessLog::Stdout),
        ("/a", AccessLog::File(PathBuf::from("/a"))),
        ("/dev/null", AccessLog::File(PathBuf::from("/dev/null"))),
    ] {
        let (text, _) = in_log((&format!("access = \"{access}\""), ""));
        assert_eq!(right(&text).log.access, expected);
    }
}

#[test]
fn an_access_log_that_goes_nowhere_is_refused() {
    refused(
        [
            (
                "access = \"access.log\"",
                "t:2:10: `access` in [log]: \"access.log\" is not the path of a file from the root on",
            ),
            (
                "access = \"logs/access\"",
                "t:2:10: `access` in [log]: \"logs/access\" is not the path of a file from the root on",
            ),
            (
                "access = \"/var/log/\"",
                "t:2:10: `access` in [log]: the path names a directory",
            ),
            (
                "access = \"/a\\u0000\"",
                "t:2:10: `access` in [log]: the path contains a control character",
            ),
            (
                "access = \"stderr\"",
                "t:2:10: `access` in [log]: standard error is for the operator log",
            ),
            (
                "access = \"stdut\"",
                "t:2:10: `access` in [log]: unknown value \"stdut\"; did you mean \"stdout\"?",
            ),
            (
                "access = true",
                "t:2:10: `access` in [log]: invalid type: boolean `true`, expected a string",
            ),
            (
                "format = \"combind\"",
                "t:2:10: `format` in [log]: unknown value \"combind\"; did you mean \"combined\"?",
            ),
        ]
        .map(in_log),
    );
    let long = format!("access = \"/{}\"", "x".repeat(4095));
    refused([in_log((
        &long,
        "t:2:10: `access` in [log]: the path is longer than 4095 bytes",
    ))]);
}

#[test]
fn a_refused_access_log_says_what_would_be_right() {
    for (access, advice) in [
        (
            "./logs/access.log",
            "\n  write \"/var/log/lasthop/logs/access.log\"",
        ),
        (
            "none",
            "\n  it takes: off, stdout, or the path of a file, beginning with /",
        ),
    ] {
        let (text, _) = in_log((&format!("access = \"{access}\""), ""));
        let error = read(&text).unwrap_err().to_string();
        assert!(error.ends_with(advice), "{error}");
    }
}

#[test]
fn an_admin_address_has_an_address() {
    refused([(
        format!("[admin]\n{LISTENER}{UPSTREAM}"),
        "t:1:1: [admin] without an `address`",
    )]);
    refused([(
        format!("[[admin]]\n{LISTENER}{UPSTREAM}"),
        "t:1:3: `admin` is written [admin]: there is one",
    )]);
    refused(
        [
            (
                "address = \"127.0.0.1\"",
                "t:2:11: `address` in [admin]: \"127.0.0.1\" is not an address to listen on: \
                 the port is missing, as in 127.0.0.1:8080",
            ),
            (
                "adress = \"127.0.0.1:0\"",
                "t:2:1: unknown key `adress` in [admin]; did you mean `address`?",
            ),
        ]
        .map(in_admin),
    );
}

#[test]
fn an_admin_address_that_other_hosts_reach_takes_a_token() {
    let token = "token = \"0123456789abcdef\"";
    for address in [
        "0.0.0.0:9180",
        "[::]:9180",
        "192.0.2.1:9180",
        "10.0.0.1:0",
        "[2001:db8::1]:9180",
        "[::ffff:192.0.2.1]:9180",
    ] {
        let error = admin(address, "").unwrap_err();
        assert_eq!(
            error.headline(),
            format!(
                "t:2:11: `address` in [admin]: {address} is open to other hosts, and there is no token"
            )
        );
        let error = error.to_string();
        assert!(
            error.contains("\n  without a token: 127.0.0.1:9180, or unix:"),
            "{error}"
        );
        assert!(
            admin(address, token)
                .unwrap()
                .admin
                .unwrap()
                .token
                .is_some()
        );
    }
    for address in [
        "127.0.0.1:0",
        "127.255.0.1:9180",
        "[::1]:9180",
        "unix:/run/lasthop/admin.sock?mode=0666&owner=a&group=b",
    ] {
        assert_eq!(
            admin(address, "")
                .unwrap()
                .admin
                .unwrap()
                .address
                .to_string(),
            address
        );
        admin(address, token).unwrap();
    }
}

#[test]
fn a_token_is_long_enough_not_to_be_guessed_and_fits_into_a_field() {
    for (token, good) in [
        ("x".repeat(15), false),
        ("x".repeat(16), true),
        ("x".repeat(256), true),
        ("x".repeat(257), false),
        ("with a space between".to_owned(), false),
        ("with-\\u0007-a-control-character".to_owned(), false),
        ("caf\u{e9}-caf\u{e9}-caf\u{e9}-caf\u{e9}".to_owned(), false),
        (String::new(), false),
    ] {
        match admin("127.0.0.1:0", &format!("token = \"{token}\"")) {
            Ok(config) => {
                assert!(good, "{token}");
                assert_eq!(config.admin.unwrap().token.unwrap().expose(), token);
            }
            Err(error) => {
                assert!(!good, "{error}");
                assert_eq!(
                    error.headline(),
                    "t:3:9: `token` in [admin]: a token is 16 to 256 visible ASCII characters, without spaces"
                );
            }
        }
    }
}

#[test]
fn no_refusal_shows_a_token() {
    const TOKEN: &str = "31415926535897932384626433832795";
    let short = "3141592653";
    for text in [
        format!("[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"{short}\"\n"),
        format!("[admin]\naddress = \"127.0.0.1:0\"\ntokn = \"{TOKEN}\"\n"),
        format!("[admin]\naddress = \"127.0.0.1:0\"\npassword = \"{TOKEN}\"\n"),
        format!("[admin]\naddress = \"127.0.0.1:0\"\ntoken = {short}\n"),
        format!("[admin]\naddress = \"127.0.0.1:0\"\ntoken = {TOKEN}\n"),
        format!("[admin]\naddress = \"127.0.0.1:0\"\ntoken = {TOKEN}.5\n"),
        format!("[admin]\naddress = \"127.0.0.1:0\"\ntoken = a{TOKEN}\n"),
        format!("[admin]\naddress = \"127.0.0.1:0\"\ntoken = [\"{TOKEN}\"]\n"),
        format!("[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\n"),
        format!("[admin]\naddress = \"127.0.0.1:0\"\ntoken = \"\"\"\n{TOKEN} x\"\"\"\n"),
        format!("[admin]\naddress = \"127.0.0.1:0\" token = \"{TOKEN}\"\n"),
        format!("[admin] token = \"{TOKEN}\"\n"),
        format!("[[admin]]\ntoken = \"{TOKEN}\"\nx\n"),
        format!("[server]\ntoken = \"{TOKEN}\"\n"),
        format!("token = \"{TOKEN}\"\n"),
        format!("admin.token = \"{TOKEN}\"\n"),
        format!("admin = {{ adress = \"\", token = \"{TOKEN}\" }}\n"),
        format!("[admin]\ntoken = \"{TOKEN}\"\ntoken = \"{TOKEN}\"\n"),
        format!("[listener]\nadmin_token = \"{TOKEN}\"\n"),
    ] {
        let error = read(&format!("{text}{LISTENER}{UPSTREAM}"))
            .unwrap_err()
            .to_string();
        assert!(!error.contains(short), "{error}\nin\n{text}");
    }
    let config = admin("127.0.0.1:0", &format!("token = \"{TOKEN}\"")).unwrap();
    assert!(!format!("{config:?}").contains(short));
}

#[test]
fn a_refused_token_is_pointed_at_and_hidden() {
    let error = admin("127.0.0.1:0", "token = \"correct horse\"").unwrap_err();
    assert_eq!(
        error.to_string(),
        "t:3:9: `token` in [admin]: a token is 16 to 256 visible ASCII characters, without spaces\n\
         \x20 3 | token = \u{2026}\n\
         \x20   |         ^\n\
         \x20 `openssl rand -hex 32` makes one"
    );
}

#[test]
fn an_admin_address_is_called_by_whole_names() {
    refused([
        (
            "address = \"127.0.0.1:0\"\nhosts = [\"*.example.com\"]",
            "t:3:10: `hosts` in [admin]: write each name out, without `*`",
        ),
        (
            "address = \"127.0.0.1:0\"\nhosts = [\"a:80\"]",
            "t:3:10: `hosts` in [admin]: \"a:80\" is not a host: a host is compared without its port",
        ),
        (
            "address = \"127.0.0.1:0\"\nhosts = [\"a.b\", \"A.b\"]",
            "t:3:17: `hosts` in [admin]: a.b is listed twice",
        ),
        (
            "address = \"127.0.0.1:0\"\nhosts = \"a.b\"",
            "t:3:9: `hosts` in [admin]: invalid type: string \"a.b\", expected a list of strings, in brackets",
        ),
    ]
    .map(in_admin));
    let hosts: Vec<String> = (0..17).map(|i| format!("\"h{i}\"")).collect();
    let error = admin("127.0.0.1:0", &format!("hosts = [{}]", hosts.join(", "))).unwrap_err();
    assert!(
        error.headline().ends_with(": more than 16 hosts"),
        "{error}"
    );
}

#[test]
fn an_admin_address_is_no_listeners() {
    let text = |admin: &str, listener: &str| {
        format!(
            "[admin]\naddress = \"{admin}\"\n[[listener]]\naddress = \"{listener}\"\n{UPSTREAM}"
        )
    };
    for (admin, listener, why) in [
        (
            "127.0.0.1:80",
            "127.0.0.1:80",
            "127.0.0.1:80 is the address of a listener",
        ),
        (
            "127.0.0.1:80",
            "0.0.0.0:80",
            "127.0.0.1:80 and the listener on 0.0.0.0:80 overlap",
        ),
        (
            "[::1]:80",
            "[::]:80",
            "[::1]:80 and the listener on [::]:80 overlap",
        ),
        (
            "unix:/a",
            "unix:/a?mode=0600",
            "unix:/a is the address of a listener",
        ),
    ] {
        let error = read(&text(admin, listener)).unwrap_err();
        assert_eq!(
            error.headline(),
            format!("t:2:11: `address` in [admin]: {why}")
        );
        assert!(
            error.to_string().contains("the other one is on line 4"),
            "{error}"
        );
    }
    for (admin, listener) in [
        ("127.0.0.1:80", "[::]:80"),
        ("127.0.0.1:81", "0.0.0.0:80"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("unix:/a", "unix:/b"),
    ] {
        right(&text(admin, listener));
    }
}

#[test]
fn no_route_leads_to_an_admin_address_without_a_token() {
    let error = admin("127.0.0.1:3000", "").unwrap_err();
    assert_eq!(
        error.headline(),
        "t:8:12: `targets` in [[upstream]]: \
         127.0.0.1:3000 is the admin address: clients would reach it, and there is no token"
    );
    admin("127.0.0.1:3000", "token = \"0123456789abcdef\"").unwrap();
}
