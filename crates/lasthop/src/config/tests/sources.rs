//! Where connections to applications come from and where they go: `source`, `spill_range`, `close`, ranges of targets.

use super::*;

/// With these targets, below line 5.
fn with_targets(targets: &str, lines: &str) -> String {
    format!("{LISTENER}[[upstream]]\nname = \"app\"\ntargets = {targets}\n{lines}\n")
}

fn source_of(lines: &str) -> Source {
    right(&in_upstream((lines, "")).0)
        .upstreams
        .remove(0)
        .source
}

#[test]
fn sources_are_automatic_or_the_kernels_or_listed() {
    assert_eq!(source_of(""), Source::Auto);
    assert_eq!(source_of("source = \"auto\""), Source::Auto);
    assert_eq!(source_of("source = \"kernel\""), Source::Kernel);
    let listed = source_of("source = [\"127.0.0.2\", \"127.0.1.0/24\", \"::ffff:127.0.2.1\"]");
    assert_eq!(listed.to_string(), "127.0.0.2, 127.0.1.0/24, 127.0.2.1");
}

#[test]
fn a_source_that_no_connection_comes_from_is_refused() {
    refused([
        (
            "source = [\"127.0.0.2\", \"127.0.1.1/24\"]",
            "t:6:24: `source` in [[upstream]]: \"127.0.1.1/24\" has bits behind its prefix; the range is 127.0.1.0/24",
        ),
        (
            "source = [\"0.0.0.0\"]",
            "t:6:11: `source` in [[upstream]]: \"0.0.0.0\" is the unspecified address: no connection comes from there",
        ),
        (
            "source = [\"0.0.0.0/0\"]",
            "t:6:11: `source` in [[upstream]]: \"0.0.0.0/0\" contains the unspecified address: no connection comes from there",
        ),
        (
            "source = [\"224.0.0.1\"]",
            "t:6:11: `source` in [[upstream]]: \"224.0.0.1\" is a multicast address: no connection comes from there",
        ),
        (
            "source = [\"::ffff:255.255.255.255\"]",
            "t:6:11: `source` in [[upstream]]: \"::ffff:255.255.255.255\" is a broadcast address: no connection comes from there",
        ),
        (
            "source = [\"fe80::1\"]",
            "t:6:11: `source` in [[upstream]]: \
             \"fe80::1\" is link-local, and which interface it would belong to cannot be said here",
        ),
        (
            "source = [\"lo\"]",
            "t:6:11: `source` in [[upstream]]: \"lo\" is neither an IP address nor a CIDR range",
        ),
        (
            "source = [\"127.0.0.2:80\"]",
            "t:6:11: `source` in [[upstream]]: \"127.0.0.2:80\" has a port; source ports are chosen for each connection",
        ),
        ("source = [5]", "t:6:11: `source` in [[upstream]]: invalid type: integer `5`, expected a string"),
        (
            "source = 5",
            "t:6:10: `source` in [[upstream]]: invalid type: integer `5`, expected a word, or a list of strings, in brackets",
        ),
        ("source = \"kernle\"", "t:6:10: `source` in [[upstream]]: unknown value \"kernle\"; did you mean \"kernel\"?"),
    ]
    .map(in_upstream));
}

#[test]
fn sources_that_overlap_are_refused_by_both_their_names() {
    refused(
        [
            (
                "source = [\"127.0.0.2\", \"::ffff:127.0.0.2\"]",
                "t:6:24: `source` in [[upstream]]: 127.0.0.2 is listed twice",
            ),
            (
                "source = [\"127.0.0.2\", \"127.0.0.0/24\"]",
                "t:6:24: `source` in [[upstream]]: 127.0.0.0/24 and 127.0.0.2 overlap",
            ),
            (
                "source = [\"127.0.0.0/24\", \"127.0.0.128/25\"]",
                "t:6:27: `source` in [[upstream]]: 127.0.0.128/25 and 127.0.0.0/24 overlap",
            ),
        ]
        .map(in_upstream),
    );
}

#[test]
fn a_list_of_sources_has_one_to_sixty_four() {
    let list = |count: usize| {
        let entries: Vec<String> = (0..count).map(|i| format!("\"127.1.0.{i}\"")).collect();
        format!("source = [{}]", entries.join(","))
    };
    right(&in_upstream((&list(64), "")).0);
    let error = read(&in_upstream((&list(65), "")).0).unwrap_err();
    assert!(
        error.headline().ends_with(": more than 64 sources"),
        "{error}"
    );
    let error = read(&in_upstream(("source = []", "")).0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "t:6:10: `source` in [[upstream]]: the list is empty\n\
         \x20 6 | source = []\n\
         \x20   |          ^^\n\
         \x20 to leave the choice to the kernel alone, write source = \"kernel\""
    );
}

#[test]
fn an_address_without_brackets_around_it_is_shown_with_them() {
    let error = read(&in_upstream(("source = \"127.0.0.2\"", "")).0).unwrap_err();
    assert_eq!(
        error.headline(),
        "t:6:10: `source` in [[upstream]]: addresses are given as a list of strings, in brackets"
    );
    let error = error.to_string();
    assert!(error.ends_with("\n  write [\"127.0.0.2\"]"), "{error}");
}

#[test]
fn each_target_has_a_source_and_each_source_a_target_of_its_family() {
    let both = "[\"127.0.0.1:1\", \"[::1]:1\"]";
    right(&with_targets(both, "source = [\"127.0.0.2\", \"::1\"]"));
    right(&with_targets(
        "[\"unix:/a\", \"127.0.0.0/8:1\"]",
        "source = [\"127.0.0.2\"]",
    ));
    right(&with_targets(
        "[\"[::ffff:127.0.0.1]:1\"]",
        "source = [\"127.0.0.2\"]",
    ));
    refused([
        (
            with_targets(both, "source = [\"127.0.0.2\"]"),
            "t:6:10: `source` in [[upstream]]: no source is IPv6, and the target [::1]:1 is",
        ),
        (
            with_targets("[\"[fd00::/64]:1\"]", "source = [\"127.0.0.2\"]"),
            "t:6:10: `source` in [[upstream]]: no source is IPv6, and the target [fd00::/64]:1 is",
        ),
        (
            with_targets("[\"127.0.0.1:1\"]", "source = [\"127.0.0.2\", \"::1\"]"),
            "t:6:24: `source` in [[upstream]]: ::1 would never be used: no target is IPv6",
        ),
        (
            with_targets("[\"unix:/a\", \"unix:@a\"]", "source = [\"127.0.0.2\"]"),
            "t:6:10: `source` in [[upstream]]: Unix sockets have no source address",
        ),
    ]);
    for word in ["auto", "kernel"] {
        right(&with_targets(
            "[\"unix:/a\"]",
            &format!("source = \"{word}\""),
        ));
    }
}

#[test]
fn spilling_stays_within_the_loopback_addresses_and_off_the_first() {
    for taken in ["127.64.0.0/16", "127.128.0.0/9", "127.1.2.4/30"] {
        let text = in_server((&format!("spill_range = \"{taken}\""), "")).0;
        assert_eq!(right(&text).server.spill_range.to_string(), taken);
    }
    refused([
        (
            "spill_range = \"127.64.0.1/16\"",
            "t:2:15: `spill_range` in [server]: \"127.64.0.1/16\" has bits behind its prefix; the range is 127.64.0.0/16",
        ),
        (
            "spill_range = \"127.0.0.0/8\"",
            "t:2:15: `spill_range` in [server]: \
             \"127.0.0.0/8\" contains 127.0.0.1, which is where connections come from before they spill",
        ),
        (
            "spill_range = \"127.64.0.0/31\"",
            "t:2:15: `spill_range` in [server]: \"127.64.0.0/31\" is too small to spread over: the prefix is 8 to 30",
        ),
        (
            "spill_range = \"127.64.0.9\"",
            "t:2:15: `spill_range` in [server]: \"127.64.0.9\" is too small to spread over: the prefix is 8 to 30",
        ),
        (
            "spill_range = \"10.0.0.0/8\"",
            "t:2:15: `spill_range` in [server]: \
             \"10.0.0.0/8\" is not inside 127.0.0.0/8, the loopback addresses of IPv4",
        ),
        (
            "spill_range = \"126.0.0.0/7\"",
            "t:2:15: `spill_range` in [server]: \
             \"126.0.0.0/7\" is not inside 127.0.0.0/8, the loopback addresses of IPv4",
        ),
        (
            "spill_range = \"fd00::/64\"",
            "t:2:15: `spill_range` in [server]: \"fd00::/64\" is not inside 127.0.0.0/8, the loopback addresses of IPv4",
        ),
        (
            "spill_range = \"auto\"",
            "t:2:15: `spill_range` in [server]: \"auto\" is neither an IP address nor a CIDR range",
        ),
    ]
    .map(in_server));
    let error = read(&in_server(("spill_range = \"\"", "")).0).unwrap_err();
    let error = error.to_string();
    assert!(
        error.ends_with("\n  the default is \"127.64.0.0/16\""),
        "{error}"
    );
}

#[test]
fn connections_are_closed_orderly_or_with_a_reset() {
    let close_of = |lines| right(&in_upstream((lines, "")).0).upstreams[0].close;
    assert_eq!(close_of(""), Close::Orderly);
    assert_eq!(close_of("close = \"orderly\""), Close::Orderly);
    assert_eq!(close_of("close = \"reset\""), Close::Reset);
    refused(
        [(
            "close = \"rst\"",
            "t:6:9: `close` in [[upstream]]: unknown value \"rst\"",
        )]
        .map(in_upstream),
    );
    refused([(
        with_targets("[\"unix:/a\"]", "close = \"reset\""),
        "t:6:9: `close` in [[upstream]]: Unix sockets have no TIME_WAIT to leave out",
    )]);
    right(&with_targets(
        "[\"unix:/a\", \"127.0.0.1:1\"]",
        "close = \"reset\"",
    ));
}

#[test]
fn targets_that_overlap_are_refused_by_both_their_names() {
    refused([
        (
            with_targets("[\"127.0.0.1:1\", \"127.0.0.0/8:1\"]", ""),
            "t:5:27: `targets` in [[upstream]]: 127.0.0.0/8:1 and 127.0.0.1:1 overlap",
        ),
        (
            with_targets("[\"127.0.0.1:1\", \"[::ffff:127.0.0.1]:1\"]", ""),
            "t:5:27: `targets` in [[upstream]]: [::ffff:127.0.0.1]:1 and 127.0.0.1:1 overlap",
        ),
        (
            with_targets("[\"127.0.0.0/8:1\", \"127.0.0.0/8:1\"]", ""),
            "t:5:29: `targets` in [[upstream]]: 127.0.0.0/8:1 is listed twice",
        ),
        (
            with_targets("[\"127.0.0.1/8:1\"]", ""),
            "t:5:12: `targets` in [[upstream]]: \"127.0.0.1/8:1\" is not a target: \
             the range is 127.0.0.0/8:1, and the one address is 127.0.0.1:1",
        ),
    ]);
    right(&with_targets("[\"127.0.0.0/8:1\", \"127.0.0.0/8:2\"]", ""));
    right(&with_targets("[\"[fe80::1%1]:1\", \"[fe80::1%2]:1\"]", ""));
}
