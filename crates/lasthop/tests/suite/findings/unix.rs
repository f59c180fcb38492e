//! Unix sockets that a configuration names and that nobody can connect to: closed, missing, or left behind.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use lasthop_ports::finding::Code;
use serde_json::Value;

use crate::support::app::listen;
use crate::support::doctor::{Visit, visit_with};
use crate::support::misbehave::app_that_answers;
use crate::support::programs::without_permission;
use crate::support::{Address, Place, Setup, TempDir, namespace};

const HUNDRED_PORTS: &str = "40000 40099";

/// A configuration of lasthop that names a socket, which is not there yet.
struct Configured {
    socket: PathBuf,
    file: PathBuf,
    _dir: TempDir,
}

fn configured() -> Configured {
    let dir = TempDir::new();
    let socket = dir.join("app.sock");
    let file = dir.join("lasthop.toml");
    let target = format!("unix:{}", socket.display());
    std::fs::write(&file, Setup::to(&[&target]).toml()).expect("a configuration file");
    Configured {
        socket,
        file,
        _dir: dir,
    }
}

impl Configured {
    fn visit(&self) -> Visit {
        visit_with(&["--config", &self.file.display().to_string()])
    }

    /// Listens on the socket as an app does that lets everybody in.
    fn serve(&self) -> socket2::Socket {
        let (listener, _) = listen(&Address::Unix(self.socket.clone()), 128);
        let everybody = Permissions::from_mode(0o777);
        std::fs::set_permissions(&self.socket, everybody).expect("chmod");
        listener
    }
}

/// The findings with this code that are about this socket. Of the host, which has others.
fn about(visit: &Visit, code: Code, path: &std::path::Path) -> Vec<Value> {
    let path = path.display().to_string();
    let told = visit.all(code).into_iter();
    told.filter(|finding| finding["subject"]["path"] == path)
        .cloned()
        .collect()
}

#[test]
fn unix_socket_missing_is_told_of_a_configured_socket_that_nobody_has_made() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let configured = configured();
        let visit = configured.visit();
        let finding = visit.tells(Code::UnixSocketMissing, "warning");
        let path = configured.socket.display().to_string();
        assert_eq!(finding["subject"]["path"], path);
        assert_eq!(visit.exit, Some(3));
    });
}

#[test]
fn unix_socket_missing_is_silent_once_the_app_listens() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let configured = configured();
        let _app = configured.serve();
        configured.visit().is_silent_about(Code::UnixSocketMissing);
    });
}

#[test]
fn unix_socket_stale_is_told_of_what_a_dead_app_has_left_behind() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let configured = configured();
        drop(configured.serve());
        let visit = configured.visit();
        let told = about(&visit, Code::UnixSocketStale, &configured.socket);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert_eq!(told[0]["severity"], "warning");
        assert_eq!(visit.exit, Some(3));
    });
}

#[test]
fn unix_socket_stale_is_silent_while_the_app_lives() {
    namespace::with_ports(HUNDRED_PORTS, || {
        let configured = configured();
        let _app = configured.serve();
        let told = about(
            &configured.visit(),
            Code::UnixSocketStale,
            &configured.socket,
        );
        assert!(told.is_empty(), "{told:#?}");
    });
}

/// What the doctor says of the socket of an app whose proxy runs as a user who may not write to it, or may after all.
/// Not in a namespace, where there is one user only.
fn of_a_closed_socket(opened: bool) -> Option<Vec<Value>> {
    let app = app_that_answers(Place::Unix);
    let Address::Unix(path) = app.address() else {
        panic!("a Unix socket")
    };
    let setup = Setup::to(&[&app.target()]);
    let (_proxy, dir) = without_permission(setup.clone(), &app)?;
    if opened {
        std::fs::set_permissions(path, Permissions::from_mode(0o777)).expect("chmod");
    }
    let file = dir.join("named.toml");
    std::fs::write(&file, setup.toml()).expect("a configuration file");
    let visit = visit_with(&["--config", &file.display().to_string()]);
    Some(about(&visit, Code::UnixSocketPermission, path))
}

#[test]
fn unix_socket_permission_is_told_of_a_proxy_that_may_not_write_to_it() {
    if let Some(told) = of_a_closed_socket(false) {
        assert_eq!(told.len(), 1, "{told:#?}");
        assert_eq!(told[0]["severity"], "warning");
    }
}

#[test]
fn unix_socket_permission_is_silent_once_it_may() {
    if let Some(told) = of_a_closed_socket(true) {
        assert!(told.is_empty(), "{told:#?}");
    }
}
