//! Refusals of a single value.

use super::*;

#[test]
fn values_of_the_wrong_kind_are_refused_with_the_right_one() {
    refused([
        (
            "workers = \"5\"",
            "t:2:11: `workers` in [server]: invalid type: string \"5\", expected an integer of 0 or more",
        ),
        ("workers = -1", "t:2:11: `workers` in [server]: -1 is negative; expected an integer of 0 or more"),
        ("share = 1", "t:2:9: `share` in [server]: invalid type: integer `1`, expected a boolean"),
        (
            "trusted_proxies = \"::1\"",
            "t:2:19: `trusted_proxies` in [server]: invalid type: string \"::1\", \
             expected a list of strings, in brackets",
        ),
        (
            "drain_timeout = 30",
            "t:2:17: `drain_timeout` in [server]: 30 has no unit; \
             expected a duration such as \"250ms\", \"5s\", \"2m\" or \"1h\"",
        ),
        (
            "drain_timeout = \"30 s\"",
            "t:2:17: `drain_timeout` in [server]: \"30 s\" has the unit ` s`; the units are ms, s, m and h",
        ),
    ]
    .map(in_server));
    refused([
        (
            "header_size_max = \"32kB\"",
            "t:3:19: `header_size_max` in [[listener]]: \"32kB\" has a unit that means 1000 to some and 1024 to \
             others; write \"32KiB\"",
        ),
        (
            "header_size_max = 32768",
            "t:3:19: `header_size_max` in [[listener]]: 32768 has no unit; \
             expected a size such as \"64KiB\" or \"10MiB\"",
        ),
    ]
    .map(in_listener));
}

#[test]
fn a_text_in_place_of_a_list_is_refused_with_the_list() {
    let (text, _) = in_server(("trusted_proxies = \"::1\"", ""));
    let error = read(&text).unwrap_err().to_string();
    assert!(error.ends_with("\n  write [\"::1\"]"), "{error}");
    let (text, _) = in_server(("trusted_proxies = 5", ""));
    let error = read(&text).unwrap_err().to_string();
    assert!(!error.contains("write ["), "{error}");
}

#[test]
fn values_out_of_bounds_are_refused() {
    refused(
        [
            (
                "workers = 1025",
                "t:2:11: `workers` in [server]: 1025 is out of range: 0 to 1024",
            ),
            (
                "drain_timeout = \"169h\"",
                "t:2:17: `drain_timeout` in [server]: 169h is more than the 168h of seven days",
            ),
            (
                "buffer_memory = 0",
                "t:2:17: `buffer_memory` in [server]: 0B is out of range: 1MiB to 1024GiB",
            ),
            (
                "buffer_memory = \"1025GiB\"",
                "t:2:17: `buffer_memory` in [server]: 1025GiB is out of range: 1MiB to 1024GiB",
            ),
        ]
        .map(in_server),
    );
    refused(
        [
            (
                "max_connections = 1000001",
                "t:3:19: `max_connections` in [[listener]]: 1000001 is out of range: 0 to 1000000",
            ),
            (
                "headers_max = 0",
                "t:3:15: `headers_max` in [[listener]]: 0 is out of range: 1 to 128",
            ),
            (
                "headers_max = 129",
                "t:3:15: `headers_max` in [[listener]]: 129 is out of range: 1 to 128",
            ),
            (
                "header_size_max = 0",
                "t:3:19: `header_size_max` in [[listener]]: 0B is out of range: 1KiB to 1MiB",
            ),
        ]
        .map(in_listener),
    );
    refused([
        (
            "max_connections = 16777217",
            "t:6:19: `max_connections` in [[upstream]]: 16777217 is out of range: 0 to 16777216",
        ),
        (
            "queue = { size = 1048577 }",
            "t:6:18: `queue.size` in [[upstream]]: 1048577 is out of range: 0 to 1048576",
        ),
        (
            "keepalive = { idle = 65537 }",
            "t:6:22: `keepalive.idle` in [[upstream]]: 65537 is out of range: 0 to 65536",
        ),
        (
            "buffer = { request = \"2GiB\" }",
            "t:6:22: `buffer.request` in [[upstream]]: 2GiB is out of range: 0B to 1GiB",
        ),
        ("retries = 11", "t:6:11: `retries` in [[upstream]]: 11 is out of range: 0 to 10"),
        (
            "header_size_max = \"2MiB\"",
            "t:6:19: `header_size_max` in [[upstream]]: 2MiB is out of range: 1KiB to 1MiB",
        ),
    ]
    .map(in_upstream));
}

#[test]
fn waits_of_no_length_are_refused_where_they_mean_nothing() {
    for key in ["header_timeout", "idle_timeout", "body_timeout"] {
        let text = in_listener((&format!("{key} = \"0s\""), "")).0;
        let expected = format!(
            "t:3:{}: `{key}` in [[listener]]: zero leaves no time at all",
            key.len() + 4
        );
        assert_eq!(read(&text).unwrap_err().headline(), expected);
    }
    for key in [
        "connect_timeout",
        "response_timeout",
        "body_timeout",
        "tunnel_timeout",
    ] {
        let text = in_upstream((&format!("{key} = 0"), "")).0;
        let expected = format!(
            "t:6:{}: `{key}` in [[upstream]]: zero leaves no time at all",
            key.len() + 4
        );
        assert_eq!(read(&text).unwrap_err().headline(), expected);
    }
    refused([
        (
            "queue = { timeout = \"0s\" }",
            "t:6:21: `queue.timeout` in [[upstream]]: zero leaves no time to wait",
        ),
        (
            "keepalive = { timeout = \"0s\" }",
            "t:6:25: `keepalive.timeout` in [[upstream]]: zero closes each connection before it can be used again",
        ),
    ]
    .map(in_upstream));
    let none = "queue = { size = 0, timeout = 0 }\nkeepalive = { idle = 0, timeout = 0 }";
    right(&in_upstream((none, "")).0);
}

#[test]
fn names_are_harmless_in_metrics_and_logs() {
    let long = "x".repeat(65);
    for name in ["", "a b", "a\\\"b", "a\\u0000b", "caf\u{e9}", long.as_str()] {
        let error = read(&in_listener((&format!("name = \"{name}\""), "")).0).unwrap_err();
        assert_eq!(
            error.headline(),
            "t:3:8: `name` in [[listener]]: \
             a name is 1 to 64 visible ASCII characters without quotes or backslashes",
        );
    }
}

#[test]
fn words_are_refused_with_the_nearest_known_one() {
    refused(
        [(
            "level = \"inof\"",
            "t:2:9: `level` in [log]: unknown value \"inof\"; did you mean \"info\"?",
        )]
        .map(in_log),
    );
    refused(
        [(
            "balance = \"rr\"",
            "t:6:11: `balance` in [[upstream]]: unknown value \"rr\"",
        )]
        .map(in_upstream),
    );
    refused(
        [(
            "protocol = \"htpt\"",
            "t:3:12: `protocol` in [[listener]]: unknown value \"htpt\"; did you mean \"http\"?",
        )]
        .map(in_listener),
    );
    let text = format!("{LISTENER}{UPSTREAM}[[route]]\nupstream = \"ap\"\n");
    refused([(
        text,
        "t:7:12: `upstream` in [[route]]: there is no upstream \"ap\"; did you mean \"app\"?",
    )]);
}

#[test]
fn routes_are_for_hosts_and_paths_as_requests_carry_them() {
    refused([
        ("path = \"api\"", "t:8:8: `path` in [[route]]: a path begins with /"),
        ("path = \"/a?b\"", "t:8:8: `path` in [[route]]: a route is chosen by the path alone, without query or fragment"),
        ("path = \"/a*\"", "t:8:8: `path` in [[route]]: a path is a prefix already; it takes no `*`"),
        (
            "path = \"/a b\"",
            "t:8:8: `path` in [[route]]: \
             a path has neither spaces, control characters nor bytes beyond ASCII; write them as %XX",
        ),
        ("host = \"a:80\"", "t:8:8: `host` in [[route]]: \"a:80\" is not a host: a host is compared without its port"),
        ("host = \"*\"", "t:8:8: `host` in [[route]]: \"*\" is not a host: leave `host` out for a route that takes any"),
    ]
    .map(in_route));
}

#[test]
fn trusted_proxies_are_ranges_or_unix() {
    refused([
        (
            "trusted_proxies = [\"::1\", \"10.0.0.1/8\"]",
            "t:2:27: `trusted_proxies` in [server]: \"10.0.0.1/8\" has bits behind its prefix; the range is 10.0.0.0/8",
        ),
        (
            "trusted_proxies = [\"all\"]",
            "t:2:20: `trusted_proxies` in [server]: \"all\" is neither an IP address nor a CIDR range",
        ),
    ]
    .map(in_server));
}

#[test]
fn what_is_planned_is_refused_and_never_ignored() {
    refused(
        [(
            "control = \"/c\"",
            "t:2:1: `control` in [server]: the control socket is planned, but not in this version",
        )]
        .map(in_server),
    );
    refused([
        ("tls = {}", "t:3:1: `tls` in [[listener]]: TLS towards clients is planned, but not in this version"),
        (
            "accept_proxy_protocol_from = []",
            "t:3:1: `accept_proxy_protocol_from` in [[listener]]: \
             the PROXY protocol from clients is planned, but not in this version",
        ),
        (
            "protocol = \"tcp\"",
            "t:3:12: `protocol` in [[listener]]: forwarding of plain TCP is planned, but not in this version",
        ),
    ]
    .map(in_listener));
}

#[test]
fn what_is_planned_for_upstreams_is_refused_and_never_ignored() {
    let upstream = [
        "health = {}",
        "send_proxy_protocol = 2",
        "balance = \"least_connections\"",
        "balance = \"p2c_ewma\"",
        "balance = \"hash\"",
    ];
    for line in upstream {
        let error = read(&in_upstream((line, "")).0).unwrap_err();
        assert!(error.headline().starts_with("t:6:"), "{error}");
        assert!(
            error
                .headline()
                .ends_with(" is planned, but not in this version"),
            "{error}"
        );
    }
    for target in ["app.internal:3000", "h2c+127.0.0.1:3000", "tls+unix:/a"] {
        let text = format!(
            "{LISTENER}[[upstream]]\nname = \"a\"\ntargets = [\"127.0.0.1:1\", \"{target}\"]\n"
        );
        let error = read(&text).unwrap_err();
        assert!(
            error
                .headline()
                .starts_with("t:5:27: `targets` in [[upstream]]: "),
            "{error}"
        );
        assert!(
            error
                .headline()
                .ends_with(" is planned, but not in this version"),
            "{error}"
        );
    }
}

#[test]
fn socket_activation_is_refused_as_planned() {
    let text = format!("[[listener]]\naddress = \"fd:web\"\n{UPSTREAM}");
    refused([(
        text,
        "t:2:11: `address` in [[listener]]: socket activation (`fd:`) is planned, but not in this version",
    )]);
}
