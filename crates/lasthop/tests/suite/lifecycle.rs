//! Who may serve an address: refused, shared, stale, not stolen, and left as it was found. How serving ends is in `drain`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::support::misbehave::app_that_answers;
use crate::support::{Address, App, Lasthop, PATIENCE, Place, Setup, TempDir};

/// Starts a second instance on an address that is served; it must be refused with status 1 and a reason.
fn refused(second: Setup, address: &str) -> String {
    let Err((status, said)) = second.on(address).try_start() else {
        panic!("two instances serve {address}");
    };
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

#[test]
fn an_address_that_something_already_serves_is_refused() {
    let app = app_that_answers(Place::Tcp);
    let first = Lasthop::before(&app);
    let address = first.address().to_string();
    for workers in [1, 2] {
        let second = Setup::to(&[&app.target()]).server(&format!("workers = {workers}"));
        let said = refused(second, &address);
        assert!(said.contains(&address), "{said}");
    }
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address").to_string();
    refused(Setup::to(&[&app.target()]), &taken);
    for _ in 0..10 {
        assert_eq!(first.get("/").status(), 200);
    }
}

#[test]
fn an_address_is_shared_only_when_both_say_so() {
    let app = app_that_answers(Place::Tcp);
    let setup = || Setup::to(&[&app.target()]);
    let alone = setup().start();
    refused(setup().server("share = true"), &alone.address().to_string());

    let first = setup().server("share = true").start();
    let address = first.address().to_string();
    refused(setup(), &address);
    let second = setup().server("share = true").on(&address).start();
    for _ in 0..20 {
        assert_eq!(first.get("/").status(), 200);
    }
    drop(first);
    for _ in 0..20 {
        assert_eq!(second.get("/").status(), 200);
    }
}

#[test]
fn the_flag_shares_an_address_too() {
    let app = app_that_answers(Place::Tcp);
    let flags = |address: &str| {
        Lasthop::with_flags(&["--listen", address, "--to", &app.target(), "--share"])
    };
    let first = flags("127.0.0.1:0");
    let second = flags(&first.address().to_string());
    assert_eq!(first.address(), second.address());
    assert_eq!(first.get("/").status(), 200);
}

#[test]
fn an_address_is_free_again_after_its_instance() {
    let app = app_that_answers(Place::Tcp);
    let mut first = Lasthop::before(&app);
    let address = first.address().to_string();
    // Leaves a connection in TIME_WAIT on our side.
    let mut client = first.client();
    client.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.ending();
    first.signal("TERM");
    assert!(first.ends_within(PATIENCE).is_some());
    let second = Setup::to(&[&app.target()]).on(&address).start();
    assert_eq!(second.get("/").status(), 200);
}

fn on_socket(app: &App, path: &Path) -> Setup {
    Setup::to(&[&app.target()]).on(&format!("unix:{}", path.display()))
}

#[test]
fn a_stale_socket_file_is_replaced() {
    let app = app_that_answers(Place::Tcp);
    let dir = TempDir::new();
    let path = dir.join("front.sock");
    drop(UnixListener::bind(&path).expect("a socket file"));
    let proxy = on_socket(&app, &path).start();
    assert_eq!(proxy.get("/").status(), 200);
}

#[test]
fn a_live_socket_is_not_stolen() {
    let app = app_that_answers(Place::Tcp);
    let dir = TempDir::new();
    let path = dir.join("front.sock");
    let first = on_socket(&app, &path).start();
    refused(
        Setup::to(&[&app.target()]),
        &format!("unix:{}", path.display()),
    );
    assert_eq!(first.get("/").status(), 200);
    // One whose queue is full lives too.
    let full = crate::support::misbehave::app_with_full_backlog(Place::Unix);
    refused(Setup::to(&[&app.target()]), &full.target());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let app = app_that_answers(Place::Tcp);
    let dir = TempDir::new();
    let path = dir.join("precious");
    std::fs::write(&path, "data").expect("a file");
    refused(
        Setup::to(&[&app.target()]),
        &format!("unix:{}", path.display()),
    );
    assert_eq!(std::fs::read(&path).expect("the file"), b"data");
}

#[test]
fn our_socket_file_is_removed_at_the_end() {
    let app = app_that_answers(Place::Tcp);
    let dir = TempDir::new();
    let path = dir.join("front.sock");
    let mut proxy = on_socket(&app, &path).start();
    assert!(path.exists());
    proxy.signal("TERM");
    assert!(proxy.ends_within(PATIENCE).is_some());
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .expect("a directory")
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_socket_file_that_is_no_longer_ours_stays() {
    let app = app_that_answers(Place::Tcp);
    let dir = TempDir::new();
    let path = dir.join("front.sock");
    let mut proxy = on_socket(&app, &path).start();
    std::fs::remove_file(&path).expect("the file");
    let _other = UnixListener::bind(&path).expect("a socket file");
    let inode = std::fs::metadata(&path).expect("the file").ino();
    proxy.signal("TERM");
    assert!(proxy.ends_within(PATIENCE).is_some());
    assert_eq!(std::fs::metadata(&path).expect("the file").ino(), inode);
}

#[test]
fn a_socket_file_has_the_mode_that_was_asked_for() {
    let app = app_that_answers(Place::Tcp);
    let dir = TempDir::new();
    let path = dir.join("front.sock");
    for mode in [0o600, 0o666] {
        let proxy = Setup::to(&[&app.target()])
            .on(&format!("unix:{}?mode={mode:04o}", path.display()))
            .start();
        let meta = std::fs::metadata(&path).expect("the socket");
        assert_eq!(meta.permissions().mode() & 0o777, mode);
        assert_eq!(
            crate::support::Client::connect(&Address::Unix(path.clone()))
                .request("/")
                .status(),
            200
        );
        drop(proxy);
    }
}

#[test]
fn the_operator_log_says_what_it_serves_and_when_it_drains() {
    let app = app_that_answers(Place::Tcp);
    let mut proxy = Lasthop::before(&app);
    proxy.signal("TERM");
    assert!(proxy.ends_within(PATIENCE).is_some());
    proxy.logs(&["drain"]);
}
