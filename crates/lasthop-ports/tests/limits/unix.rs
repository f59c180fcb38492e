//! `unix-socket-permission`, `unix-socket-missing` and `unix-socket-stale`.

use lasthop_ports::Severity::{Note, Warning};
use lasthop_ports::finding::{Code, Subject};
use lasthop_ports::snapshot::UnixProblem;

use crate::support::{of, one, pasted, severity, snapshot, titles, unix_target};

const KINDS: [(UnixProblem, Code, &str, &str); 3] = [
    (
        UnixProblem::Permission,
        Code::UnixSocketPermission,
        "/run/app.sock: the proxy may not connect to it",
        "nginx writes (13: Permission denied)",
    ),
    (
        UnixProblem::Missing,
        Code::UnixSocketMissing,
        "/run/app.sock: there is no such socket",
        "nginx writes (2: No such file or directory)",
    ),
    (
        UnixProblem::Stale,
        Code::UnixSocketStale,
        "/run/app.sock: nobody listens on it",
        "nginx writes (111: Connection refused)",
    ),
];

#[test]
fn a_socket_that_a_configuration_names_is_a_warning_with_the_file_and_the_words_of_the_error() {
    for (problem, code, headline, error) in KINDS {
        let mut host = snapshot();
        host.unix_targets = vec![
            unix_target("/run/app.sock", Some("/etc/nginx/b.conf"), problem),
            unix_target("/run/app.sock", Some("/etc/nginx/a.conf"), problem),
            unix_target("/run/app.sock", None, problem),
        ];
        let finding = one(&host, code);
        assert_eq!(
            (finding.severity, finding.headline.as_str()),
            (Warning, headline)
        );
        assert_eq!(
            finding.subject,
            Subject::UnixSocket {
                path: "/run/app.sock".to_owned()
            }
        );
        assert_eq!(
            finding.evidence,
            [
                "/run/app.sock is not as it should be",
                "named by /etc/nginx/a.conf, /etc/nginx/b.conf",
                error
            ]
        );
        for (_, other, ..) in KINDS.iter().filter(|kind| kind.1 != code) {
            assert_eq!(severity(&host, *other), None, "{code} is not {other}");
        }
    }
}

#[test]
fn files_that_were_come_across_are_one_note() {
    let mut host = snapshot();
    let found = |path| unix_target(path, None, UnixProblem::Stale);
    host.unix_targets = vec![found("/run/b.sock")];
    let finding = one(&host, Code::UnixSocketStale);
    assert_eq!(
        (finding.severity, finding.headline.as_str()),
        (Note, "/run/b.sock: nobody listens on it")
    );
    host.unix_targets.push(found("/run/a.sock"));
    let finding = one(&host, Code::UnixSocketStale);
    assert_eq!(
        (finding.severity, finding.headline.as_str()),
        (Note, "2 socket files, each: nobody listens on it")
    );
    assert_eq!(finding.evidence[0], "/run/a.sock, /run/b.sock");
    host.unix_targets.push(unix_target(
        "/run/c.sock",
        Some("/etc/nginx/c.conf"),
        UnixProblem::Stale,
    ));
    let severities: Vec<_> = of(&host, Code::UnixSocketStale)
        .into_iter()
        .map(|finding| finding.severity)
        .collect();
    assert_eq!(severities, [Warning, Note]);
}

#[test]
fn a_missing_socket_in_tmp_may_be_in_another_tmp() {
    let first = |path: &str| {
        let mut host = snapshot();
        host.unix_targets = vec![unix_target(
            path,
            Some("/etc/nginx/a.conf"),
            UnixProblem::Missing,
        )];
        titles(&one(&host, Code::UnixSocketMissing))[0].to_owned()
    };
    assert!(first("/tmp/app.sock").contains("PrivateTmp"));
    assert!(!first("/run/app.sock").contains("PrivateTmp"));
}

#[test]
fn a_path_that_would_be_a_command_is_in_no_line_for_a_shell() {
    for problem in [UnixProblem::Permission, UnixProblem::Stale] {
        let mut host = snapshot();
        host.unix_targets = vec![unix_target(
            "/run/a'; reboot; '",
            Some("/etc/nginx/a.conf"),
            problem,
        )];
        for finding in lasthop_ports::diagnose(&host) {
            for line in finding.remedies.iter().flat_map(pasted) {
                assert!(!line.contains("reboot"), "{line}");
            }
        }
    }
}
