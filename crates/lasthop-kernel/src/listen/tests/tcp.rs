//! TCP listeners: spread over workers, refused where something serves, shared only on purpose.

use crate::listen::{ListenError, Sharing, TcpListeners, tcp};
use crate::testing::{as_nobody, skip, wait_readable};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Barrier;
use std::thread;

const BACKLOG: u32 = 1024;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn exclusive(address: SocketAddr) -> Result<TcpListeners, ListenError> {
    tcp(address, 2, Sharing::Exclusive, BACKLOG)
}

fn shared(address: SocketAddr) -> Result<TcpListeners, ListenError> {
    tcp(address, 2, Sharing::Shared, BACKLOG)
}

/// A listener of some other program that lets others of its user join.
fn stranger_with_reuseport() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket
        .bind(&SockAddr::from(address("127.0.0.1:0")))
        .unwrap();
    socket.listen(16).unwrap();
    let bound = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, bound)
}

/// Accepts until `total` connections have come, and counts them per listener.
fn accept_all(listeners: &[TcpListener], total: usize) -> Vec<usize> {
    let mut counts = vec![0; listeners.len()];
    while counts.iter().sum::<usize>() < total {
        for (listener, count) in listeners.iter().zip(&mut counts) {
            match listener.accept() {
                Ok(_) => *count += 1,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
    }
    counts
}

#[test]
fn connections_are_spread_over_all_listeners_of_an_address() {
    for sharing in [Sharing::Exclusive, Sharing::Shared] {
        let opened = tcp(address("127.0.0.1:0"), 4, sharing, BACKLOG).unwrap();
        assert_eq!(opened.listeners.len(), 4);
        assert_ne!(opened.address.port(), 0);
        for listener in &opened.listeners {
            assert_eq!(listener.local_addr().unwrap(), opened.address);
        }
        let clients: Vec<_> = (0..200)
            .map(|_| TcpStream::connect(opened.address).unwrap())
            .collect();
        let counts = accept_all(&opened.listeners, clients.len());
        assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    }
}

#[test]
fn an_address_that_a_stranger_serves_is_refused_with_its_name() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = stranger.local_addr().unwrap();
    for sharing in [Sharing::Exclusive, Sharing::Shared] {
        let error = tcp(taken, 1, sharing, BACKLOG).unwrap_err();
        let ListenError::AlreadyServed { by: Some(by), .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(by.pid, Some(std::process::id()));
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("{taken} is already served by ")),
            "{text}"
        );
    }
}

#[test]
fn a_stranger_who_would_let_us_join_is_not_joined() {
    let (_stranger, taken) = stranger_with_reuseport();
    assert!(matches!(
        exclusive(taken),
        Err(ListenError::AlreadyServed { .. })
    ));
}

#[test]
fn a_second_exclusive_instance_is_refused_until_the_first_is_gone() {
    let first = exclusive(address("127.0.0.1:0")).unwrap();
    let taken = first.address;
    assert!(matches!(
        exclusive(taken),
        Err(ListenError::AlreadyServed { by: Some(_), .. })
    ));
    drop(first);
    exclusive(taken).unwrap();
}

#[test]
fn a_shared_instance_keeps_away_from_an_exclusive_one() {
    let first = exclusive(address("127.0.0.1:0")).unwrap();
    let error = shared(first.address).unwrap_err();
    let ListenError::NotShared { by, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(by.pid, Some(std::process::id()));
    // And it took no connection away meanwhile.
    let client = TcpStream::connect(first.address).unwrap();
    assert_eq!(accept_all(&first.listeners, 1).iter().sum::<usize>(), 1);
    drop(client);
}

#[test]
fn two_shared_instances_serve_together_and_no_exclusive_one_joins_them() {
    let first = shared(address("127.0.0.1:0")).unwrap();
    let second = shared(first.address).unwrap();
    assert!(matches!(
        exclusive(first.address),
        Err(ListenError::AlreadyServed { .. })
    ));
    let clients: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(first.address).unwrap())
        .collect();
    let all: Vec<_> = first
        .listeners
        .into_iter()
        .chain(second.listeners)
        .collect();
    let counts = accept_all(&all, clients.len());
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[test]
fn of_many_that_start_at_once_exactly_one_gets_the_address() {
    // An address of 127.0.0.0/8 that no other test uses, so that the port stays free between the two steps.
    let free = {
        let listener = TcpListener::bind("127.9.9.9:0").unwrap();
        listener.local_addr().unwrap()
    };
    for _ in 0..20 {
        let barrier = Barrier::new(4);
        let held: Vec<_> = thread::scope(|scope| {
            let starters: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let outcome = exclusive(free);
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
        assert_eq!(
            held.iter().filter(|outcome| outcome.is_ok()).count(),
            1,
            "{held:?}"
        );
    }
}

#[test]
fn connections_in_time_wait_do_not_keep_a_restart_out() {
    let first = tcp(address("127.0.0.1:0"), 1, Sharing::Exclusive, BACKLOG).unwrap();
    let client = TcpStream::connect(first.address).unwrap();
    wait_readable(&first.listeners[0]);
    // The side that closes first keeps TIME_WAIT; the other closes on seeing it.
    drop(first.listeners[0].accept().unwrap());
    wait_readable(&client);
    drop(client);
    let again = first.address;
    drop(first);
    exclusive(again).unwrap();
}

#[test]
fn a_name_squatted_by_another_user_is_no_obstacle() {
    let name = format!(
        "\0lasthop/listen/127.8.8.8:{}",
        40_000 + std::process::id() % 10_000
    );
    let squatted = address(name.trim_start_matches("\0lasthop/listen/"));
    let squatter = as_nobody(|| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&name).unwrap()).unwrap();
        socket.listen(16).unwrap();
        socket
    });
    if squatter.is_none() {
        return;
    }
    drop(shared(squatted).unwrap());
    drop(exclusive(squatted).unwrap());
}

#[test]
fn a_privileged_port_names_the_capability() {
    let attempt = || exclusive(address("127.0.0.1:81"));
    let start = crate::sysctl::unprivileged_port_start().unwrap();
    let Some(outcome) = as_nobody(attempt) else {
        return;
    };
    if start <= 81 {
        skip("every port is unprivileged here");
        return;
    }
    let text = outcome.unwrap_err().to_string();
    assert!(
        text.starts_with("port 81 needs a privilege: grant CAP_NET_BIND_SERVICE"),
        "{text}"
    );
    assert!(text.ends_with(&format!("(now {start})")), "{text}");
}

#[test]
fn an_address_of_another_host_is_refused_by_name() {
    // 192.0.2.0/24 is for documentation (RFC 5737): no host has it.
    let error = exclusive(address("192.0.2.1:8080")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this host has no address 192.0.2.1, so nothing can listen on 192.0.2.1:8080"
    );
}

#[test]
fn listening_for_no_worker_is_refused() {
    assert!(matches!(
        tcp(address("127.0.0.1:0"), 0, Sharing::Exclusive, BACKLOG),
        Err(ListenError::NoWorker { .. })
    ));
}
