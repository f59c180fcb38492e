//! What kind of program a process is: what decides which remedy is printed.

use std::path::Path;

use lasthop_kernel::process::ProcessIdentity;
use lasthop_ports::snapshot::{Owner, Program};

/// The process as a snapshot names it.
pub(super) fn owner(identity: &ProcessIdentity) -> Owner {
    Owner {
        pid: identity.pid,
        name: identity.name.clone(),
        program: program(identity),
        uid: Some(identity.uid),
        cgroup: identity.cgroup.clone().filter(|path| !path.is_empty()),
    }
}

/// By its executable first, which it cannot change, then by the name and the command line, which everybody may read.
pub(in crate::doctor) fn program(identity: &ProcessIdentity) -> Program {
    let executable = identity.executable.as_deref().and_then(file_name);
    // One file with hundreds of names, `httpd` among them.
    if executable == Some("busybox") {
        return Program::Other;
    }
    let command = identity.arguments.first();
    // A title that a program wrote over its command line: `nginx: worker process`, `gunicorn: worker [app]`.
    let command = command.map(|word| word.split([':', ' ']).next().unwrap_or(word));
    let names = [
        executable,
        Some(identity.name.as_str()),
        command.and_then(|word| file_name(Path::new(word))),
    ];
    let known = names.into_iter().flatten().find_map(by_name);
    known.unwrap_or(if identity.written_in_go {
        Program::Go
    } else {
        Program::Other
    })
}

fn by_name(name: &str) -> Option<Program> {
    // `(deleted)` follows after an upgrade, a version before it, a thread's role after the name.
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    Some(match stem {
        "nginx" | "nginx-debug" | "openresty" | "angie" => Program::Nginx,
        "haproxy" => Program::HaProxy,
        "envoy" => Program::Envoy,
        "caddy" => Program::Caddy,
        "httpd" | "apache" | "apache2" => Program::Apache,
        "traefik" => Program::Traefik,
        "lasthop" => Program::Lasthop,
        "node" | "nodejs" => Program::Node,
        "java" => Program::Java,
        "python" | "pypy" | "gunicorn" | "uvicorn" | "hypercorn" | "daphne" | "waitress-serve" => {
            Program::Python
        }
        _ => return None,
    })
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(executable: Option<&str>, name: &str, command: &str) -> ProcessIdentity {
        ProcessIdentity {
            pid: 1,
            name: name.to_owned(),
            executable: executable.map(Into::into),
            arguments: vec![command.to_owned()],
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            cgroup: Some(String::new()),
            written_in_go: false,
            network_namespace: None,
        }
    }

    #[test]
    fn programs_are_known_by_what_they_run_or_are_called() {
        for (executable, name, command, expected) in [
            (
                Some("/usr/sbin/nginx"),
                "nginx",
                "nginx: worker process",
                Program::Nginx,
            ),
            (Some("/usr/sbin/nginx (deleted)"), "x", "x", Program::Nginx),
            (None, "nginx", "nginx: worker process", Program::Nginx),
            (None, "openresty", "", Program::Nginx),
            (Some("/usr/sbin/haproxy"), "haproxy", "", Program::HaProxy),
            (Some("/usr/sbin/apache2"), "apache2", "", Program::Apache),
            (Some("/usr/sbin/httpd"), "httpd", "", Program::Apache),
            (Some("/bin/busybox"), "httpd", "httpd", Program::Other),
            (Some("/opt/envoy-1.30.2"), "envoy", "", Program::Envoy),
            // Node names its main thread.
            (Some("/usr/bin/node"), "MainThread", "node", Program::Node),
            (None, "MainThread", "/usr/bin/node", Program::Node),
            (
                Some("/usr/bin/python3.11"),
                "gunicorn",
                "gunicorn: master [app]",
                Program::Python,
            ),
            (None, "gunicorn", "", Program::Python),
            (Some("/usr/bin/java"), "java", "", Program::Java),
            (Some("/srv/app"), "app", "./app", Program::Other),
        ] {
            let told = program(&process(executable, name, command));
            assert_eq!(told, expected, "{executable:?} {name} {command}");
        }
    }

    #[test]
    fn what_is_written_in_go_is_go_unless_it_is_known_better() {
        let go = |path| ProcessIdentity {
            written_in_go: true,
            ..process(Some(path), "x", "x")
        };
        assert_eq!(program(&go("/srv/app")), Program::Go);
        assert_eq!(program(&go("/usr/bin/caddy")), Program::Caddy);
        assert_eq!(program(&go("/usr/local/bin/traefik")), Program::Traefik);
    }
}
