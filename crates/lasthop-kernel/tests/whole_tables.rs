//! The tables of a network of its own as a diagnosis reads them: every listener with what it dropped, every Unix socket,
//! and the cgroup of whoever made a socket.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share count as tests, which the lint cannot see here"
)]

use lasthop_kernel::namespace::in_private_network;
use lasthop_kernel::sock_diag::{self, Complete, TcpFilter, TcpListening, UnixFile};
use lasthop_kernel::socket::TcpState;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};
use std::path::Path;

fn listening_on(target: SocketAddr) -> TcpListening {
    let (listeners, complete) = sock_diag::every_tcp_listener().unwrap();
    assert_eq!(complete, Complete::Yes);
    let mut found = listeners.into_iter().filter(|one| one.address == target);
    let first = found.next().unwrap();
    assert_eq!(found.next(), None);
    first
}

#[test]
fn a_listener_tells_the_connections_that_its_full_queue_cost() {
    let name = "a_listener_tells_the_connections_that_its_full_queue_cost";
    in_private_network(name, || {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let target = SocketAddr::from(([127, 0, 0, 1], 80));
        listener.bind(&SockAddr::from(target)).unwrap();
        listener.listen(1).unwrap();
        let other = TcpListener::bind("127.0.0.1:81").unwrap();
        // One more than the backlog is taken; those beyond stall, and the kernel counts each of their attempts.
        let held: Vec<_> = (0..2)
            .map(|_| TcpStream::connect(target).unwrap())
            .collect();
        let before = listening_on(target);
        assert_eq!((before.queue, before.backlog, before.drops), (2, 1, 0));
        let stalled: Vec<_> = (0..3)
            .map(|_| {
                let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                client.set_nonblocking(true).unwrap();
                let error = client.connect(&SockAddr::from(target)).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(115), "EINPROGRESS");
                client
            })
            .collect();
        // The first packet of each is dropped before connect(2) returns, on a loopback.
        assert_eq!(listening_on(target).drops, 3);
        assert_eq!(listening_on(other.local_addr().unwrap()).drops, 0);
        assert_eq!(sock_diag::tcp_listeners(80).unwrap()[0].drops, 3);
        drop((held, stalled));
    });
}

#[test]
fn every_listener_of_both_families_is_told_once() {
    in_private_network("every_listener_of_both_families_is_told_once", || {
        assert_eq!(
            sock_diag::every_tcp_listener().unwrap(),
            (vec![], Complete::Yes)
        );
        let mut addresses: Vec<SocketAddr> = (0..100u8)
            .map(|last| SocketAddr::from(([127, 0, 1, last], 80)))
            .collect();
        addresses.push(SocketAddr::from((Ipv6Addr::LOCALHOST, 80)));
        addresses.push(SocketAddr::from(([0, 0, 0, 0], 81)));
        let _held: Vec<_> = addresses
            .iter()
            .map(|address| TcpListener::bind(address).unwrap())
            .collect();
        let (listeners, _) = sock_diag::every_tcp_listener().unwrap();
        let mut told: Vec<_> = listeners.iter().map(|one| one.address).collect();
        told.sort_unstable();
        addresses.sort_unstable();
        assert_eq!(told, addresses);
    });
}

/// The number of this process' cgroup of version 2, where its tree is mounted as most hosts do.
fn own_cgroup() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .find(|root| Path::new(root).join("cgroup.procs").exists())
        .and_then(|root| std::fs::metadata(Path::new(root).join(path)).ok())
        .map(|directory| directory.ino())
}

#[test]
fn a_socket_tells_the_cgroup_of_whoever_made_it() {
    in_private_network("a_socket_tells_the_cgroup_of_whoever_made_it", || {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let target = listener.local_addr().unwrap();
        let _client = TcpStream::connect(target).unwrap();
        let mut told = vec![listening_on(target).cgroup];
        let complete = sock_diag::tcp(&TcpFilter::default(), |entry| {
            if entry.peer == target {
                told.push(entry.cgroup);
            }
        });
        assert_eq!(complete.unwrap(), Complete::Yes);
        assert_eq!(told.len(), 2);
        if let Some(own) = own_cgroup() {
            assert_eq!(told, [Some(own); 2]);
        }
    });
}

/// A Unix socket as it was listed, with its name copied.
#[derive(Debug)]
struct Told {
    state: TcpState,
    name: Option<Vec<u8>>,
    file: Option<UnixFile>,
    inode: u64,
    peer: Option<u64>,
    queue: u32,
    backlog: Option<u32>,
    uid: Option<u32>,
}

fn unix_sockets() -> Vec<Told> {
    let mut told = Vec::new();
    let complete = sock_diag::unix_sockets(|socket| {
        told.push(Told {
            state: socket.state,
            name: socket.name.map(<[u8]>::to_vec),
            file: socket.file,
            inode: socket.inode,
            peer: socket.peer,
            queue: socket.queue,
            backlog: socket.backlog,
            uid: socket.uid,
        });
    });
    assert_eq!(complete.unwrap(), Complete::Yes);
    told
}

#[test]
fn unix_sockets_are_listed_with_their_files_queues_and_other_ends() {
    let name = "unix_sockets_are_listed_with_their_files_queues_and_other_ends";
    in_private_network(name, || {
        let directory = std::env::temp_dir().join(format!("lasthop-unix-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("app.sock");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(1).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        let (server, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut &client, b"four").unwrap();
        let _waiting = [(); 2].map(|()| UnixStream::connect(&path).unwrap());
        let full = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        full.set_nonblocking(true).unwrap();
        let refused = full.connect(&SockAddr::unix(&path).unwrap()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldBlock);
        let address = UnixAddress::from_abstract_name("lasthop tables").unwrap();
        let _abstract = UnixListener::bind_addr(&address).unwrap();

        let told = unix_sockets();
        let listening: Vec<_> = told
            .iter()
            .filter(|one| one.state == TcpState::Listen)
            .collect();
        assert_eq!(listening.len(), 2, "{told:?}");
        let file = listening.iter().find(|one| one.file.is_some()).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(
            file.name.as_deref(),
            Some(path.as_os_str().as_encoded_bytes())
        );
        assert_eq!(
            file.file.unwrap().inode,
            UnixFile::of(&metadata).unwrap().inode
        );
        assert_eq!((file.queue, file.backlog), (2, Some(1)));
        assert_eq!((file.uid, file.peer), (Some(0), None));
        let by_name = listening.iter().find(|one| one.file.is_none()).unwrap();
        assert_eq!(by_name.name.as_deref(), Some(&b"\0lasthop tables"[..]));

        let inode = |socket: &Socket| inode_of(std::os::fd::AsRawFd::as_raw_fd(socket));
        let accepted = told.iter().find(|one| one.inode == inode(&server)).unwrap();
        assert_eq!(accepted.state, TcpState::Established);
        assert_eq!((accepted.queue, accepted.backlog), (4, None));
        assert_eq!(accepted.name, file.name);
        let end = inode_of(std::os::fd::AsRawFd::as_raw_fd(&client));
        assert_eq!(accepted.peer, Some(end));
        let other = told.iter().find(|one| one.inode == end).unwrap();
        assert_eq!((&other.name, other.peer), (&None, Some(accepted.inode)));
        std::fs::remove_dir_all(&directory).unwrap();
    });
}

#[test]
fn an_end_that_nobody_accepted_yet_is_not_listed_and_the_other_end_says_so() {
    let name = "an_end_that_nobody_accepted_yet_is_not_listed_and_the_other_end_says_so";
    in_private_network(name, || {
        let address = UnixAddress::from_abstract_name("lasthop waiting").unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        let _client = UnixStream::connect_addr(&address).unwrap();
        let told = unix_sockets();
        assert_eq!(told.len(), 2, "{told:?}");
        for one in told {
            let expected = match one.state {
                TcpState::Listen => (None, 1),
                _ => (Some(0), 0),
            };
            assert_eq!((one.peer, one.queue), expected);
        }
    });
}

fn inode_of(descriptor: i32) -> u64 {
    std::fs::metadata(format!("/proc/self/fd/{descriptor}"))
        .unwrap()
        .ino()
}
