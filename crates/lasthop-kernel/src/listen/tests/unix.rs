//! Socket files: replaced when stale, refused when alive, removed only when ours.

use crate::connect::{Attempt, UnixConnecting, UnixTarget};
use crate::listen::{ListenError, UnixListening, UnixPermissions, unix};
use crate::testing::{TempDir, as_nobody};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Barrier;
use std::thread;

const BACKLOG: u32 = 128;

fn listen(path: &Path) -> Result<UnixListening, ListenError> {
    unix(path, UnixPermissions::default(), BACKLOG)
}

fn names_in(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_socket_appears_under_its_name_alone_and_takes_connections() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    let listening = listen(&path).unwrap();
    assert_eq!(names_in(dir.path()), ["app.sock"]);
    assert!(listening.claim.is_ours());
    UnixStream::connect(&path).unwrap();
    listening.listener.accept().unwrap();
}

#[test]
fn the_listener_does_not_block() {
    let dir = TempDir::new();
    let listening = listen(&dir.join("app.sock")).unwrap();
    assert_eq!(
        listening.listener.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
}

#[test]
fn the_mode_is_as_asked() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    let permissions = UnixPermissions {
        mode: Some(0o660),
        ..UnixPermissions::default()
    };
    let _listening = unix(&path, permissions, BACKLOG).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o660);
}

#[test]
fn the_owner_and_group_are_as_asked_where_we_may() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let permissions = UnixPermissions {
        mode: None,
        owner: Some(4_242_424),
        group: Some(4_242_425),
    };
    let Some(refused) = as_nobody(|| unix(&path, permissions, BACKLOG)) else {
        return;
    };
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("cannot be given the owner 4242424"), "{text}");
    assert!(
        names_in(dir.path()).is_empty(),
        "a refusal leaves nothing behind"
    );

    let _listening = unix(&path, permissions, BACKLOG).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (4_242_424, 4_242_425));
}

#[test]
fn a_stale_socket_is_replaced() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    drop(UnixListener::bind(&path).unwrap());
    let _listening = listen(&path).unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_live_socket_is_never_stolen() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    let live = UnixListener::bind(&path).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let error = listen(&path).unwrap_err();
    let ListenError::AlreadyServed { by: Some(by), .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(by.pid, Some(std::process::id()));
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    drop(live);
}

#[test]
fn a_live_socket_with_a_full_backlog_is_not_stolen_either() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    let live = UnixListener::bind(&path).unwrap();
    socket2::SockRef::from(&live).listen(1).unwrap();
    let target = UnixTarget::path(&path).unwrap();
    let mut held = Vec::new();
    loop {
        let connecting = UnixConnecting::new().unwrap();
        if connecting.attempt(&target).unwrap() == Attempt::Full {
            break;
        }
        held.push(connecting);
    }
    assert!(matches!(
        listen(&path),
        Err(ListenError::AlreadyServed { by: None, .. })
    ));
}

#[test]
fn a_socket_of_another_kind_is_alive_too() {
    let dir = TempDir::new();
    let path = dir.join("log.sock");
    let _live = UnixDatagram::bind(&path).unwrap();
    assert!(matches!(
        listen(&path),
        Err(ListenError::AlreadyServed { .. })
    ));
}

#[test]
fn what_is_not_a_socket_is_refused_and_left_alone() {
    let dir = TempDir::new();
    let file = dir.join("file");
    fs::write(&file, "precious").unwrap();
    let directory = dir.join("directory");
    fs::create_dir(&directory).unwrap();
    let link = dir.join("link");
    symlink(&file, &link).unwrap();
    for (path, kind) in [
        (&file, "a regular file"),
        (&directory, "a directory"),
        (&link, "a symbolic link"),
    ] {
        let error = listen(path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{} is {kind} and not a socket; it is left as it is",
                path.display()
            )
        );
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_socket_that_we_may_not_ask_is_left_alone() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    drop(UnixListener::bind(&path).unwrap());
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let Some(outcome) = as_nobody(|| listen(&path)) else {
        return;
    };
    assert!(matches!(outcome, Err(ListenError::CannotTell { .. })));
    assert!(path.exists());
}

#[test]
fn our_file_goes_with_the_listener() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    drop(listen(&path).unwrap());
    assert!(names_in(dir.path()).is_empty());

    assert!(listen(&path).unwrap().claim.remove().unwrap());
    assert!(!path.exists());
}

#[test]
fn a_successors_file_is_left_alone() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    let ours = listen(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _successor = UnixListener::bind(&path).unwrap();
    assert!(!ours.claim.is_ours());
    drop(ours);
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_file_that_is_handed_over_stays() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    let listening = listen(&path).unwrap();
    listening.claim.leave();
    assert!(path.exists());
    UnixStream::connect(&path).unwrap();
    drop(listening.listener);
}

#[test]
fn of_many_that_find_a_stale_socket_exactly_one_gets_it() {
    let dir = TempDir::new();
    let path = dir.join("app.sock");
    for _ in 0..20 {
        drop(UnixListener::bind(&path).unwrap());
        let barrier = Barrier::new(4);
        let outcomes: Vec<_> = thread::scope(|scope| {
            let starters: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let outcome = listen(&path);
                        // Nobody gives up before everybody has tried.
                        barrier.wait();
                        outcome
                    })
                })
                .collect();
            starters
                .into_iter()
                .map(|starter| starter.join().unwrap())
                .collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        UnixStream::connect(&path).unwrap();
        assert_eq!(names_in(dir.path()), ["app.sock"]);
    }
}

#[test]
fn a_directory_that_stays_locked_is_given_up_on() {
    let dir = TempDir::new();
    let holder = File::open(dir.path()).unwrap();
    holder.lock().unwrap();
    assert!(matches!(
        listen(&dir.join("app.sock")),
        Err(ListenError::Locked { .. })
    ));
}

#[test]
fn a_missing_directory_is_named() {
    let dir = TempDir::new();
    let error = listen(&dir.join("gone/app.sock")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no socket can be made in the directory {}",
            dir.join("gone").display()
        )
    );
}

#[test]
fn a_path_that_just_fits_works_although_the_temporary_name_would_not() {
    let dir = TempDir::new();
    let room = 107 - dir.path().as_os_str().len() - 1;
    let path = dir.join("x".repeat(room));
    let _listening = listen(&path).unwrap();
    UnixStream::connect(&path).unwrap();
    let error = listen(&dir.join("x".repeat(room + 1))).unwrap_err();
    assert!(matches!(error, ListenError::BadPath { .. }), "{error}");
}
