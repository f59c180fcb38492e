//! Entries in, groups out.

use std::time::Duration;

use super::*;

fn ports() -> PortSettings {
    PortSettings {
        range: "32768 60999".parse().unwrap(),
        reserved: "40100-40199".parse().unwrap(),
        tcp_tw_reuse: 2,
        tcp_timestamps: 1,
        tcp_tw_reuse_delay_ms: 1000,
        flat_search: true,
    }
}

fn listener(address: &str) -> Listener {
    Listener {
        address: address.parse().unwrap(),
        v6only: false,
        queue: 0,
        backlog: 128,
        drops: None,
        drops_before: None,
        local_clients: 0,
        remote_clients: 0,
        owners: Vec::new(),
    }
}

fn entry(state: TcpState, local: &str, peer: &str) -> TcpEntry {
    TcpEntry {
        state,
        local: local.parse().unwrap(),
        peer: peer.parse().unwrap(),
        time_wait_left: None,
        receive_queue: 0,
        send_queue: 0,
        uid: 33,
        inode: 7,
        cgroup: Some(1),
    }
}

fn time_wait(local: &str, peer: &str, left_ms: u64) -> TcpEntry {
    TcpEntry {
        time_wait_left: Some(Duration::from_millis(left_ms)),
        inode: 0,
        ..entry(TcpState::TimeWait, local, peer)
    }
}

/// On a host whose addresses are 127/8 and 10.0.0.1.
fn count(listeners: &[&str], entries: &[TcpEntry]) -> Counts {
    let listeners: Vec<Listener> = listeners.iter().map(|text| listener(text)).collect();
    let ports = ports();
    let ends = Ends::new(&listeners, Some(ports.range));
    let mut is_own = |address: IpAddr| address == IpAddr::from([10, 0, 0, 1]);
    let own = OwnAddresses::new(&mut is_own);
    let mut tally = Tally::new(&ends, &listeners, Some(&ports), own);
    entries.iter().for_each(|entry| tally.add(entry));
    tally.finish()
}

fn keys(counts: &Counts) -> Vec<String> {
    let groups = counts.groups.iter();
    groups.map(|(group, _)| group.key.to_string()).collect()
}

const ESTABLISHED: TcpState = TcpState::Established;

#[test]
fn both_ends_of_a_connection_are_one_connection_of_one_group() {
    let (app, client) = ("127.0.0.1:3000", "127.0.0.1:40001");
    for listeners in [
        &["127.0.0.1:3000"][..],
        &["0.0.0.0:3000"],
        &["[::]:3000"],
        // The app is gone, its connections are not.
        &[],
    ] {
        let counts = count(
            listeners,
            &[
                entry(ESTABLISHED, app, client),
                entry(ESTABLISHED, client, app),
            ],
        );
        assert_eq!(keys(&counts), ["127.0.0.1 -> 127.0.0.1:3000"]);
        let (group, sample) = &counts.groups[0];
        assert_eq!((group.used(), group.is_local), (1, true));
        assert_eq!((group.even_ports, group.odd_ports), (0, 1));
        assert_eq!(sample.sockets().len(), 1);
        assert_eq!(counts.sockets.established, 2);
        let clients: Vec<_> = listeners.iter().map(|_| (1, 0)).collect();
        assert_eq!(counts.clients, clients);
    }
}

#[test]
fn without_a_listener_exactly_one_end_began_whatever_its_ports() {
    for (one, other) in [
        ("127.0.0.1:3000", "127.0.0.1:40000"),
        ("127.0.0.1:40000", "127.0.0.1:50000"),
        ("127.0.0.1:3000", "127.0.0.1:3001"),
        ("127.0.0.1:3000", "127.0.0.2:3000"),
    ] {
        let both = [
            entry(ESTABLISHED, one, other),
            entry(ESTABLISHED, other, one),
        ];
        let counts = count(&[], &both);
        assert_eq!(counts.groups.len(), 1, "{one} {other}");
        assert_eq!(counts.groups[0].0.connections(), 1);
    }
}

#[test]
fn connections_to_a_port_of_the_range_on_another_host_all_begin_here() {
    // gRPC's port lies in the middle of the range: our ports are above and below it.
    let to_it = ["10.0.0.1:32768", "10.0.0.1:50050", "10.0.0.1:50052"]
        .map(|local| entry(ESTABLISHED, local, "10.0.0.9:50051"));
    let counts = count(&[], &to_it);
    assert_eq!(keys(&counts), ["10.0.0.1 -> 10.0.0.9:50051"]);
    assert_eq!(counts.groups[0].0.used(), 3);
    // Of those who came to a listener none does, whatever their ports.
    let from_it = entry(ESTABLISHED, "10.0.0.1:50051", "10.0.0.9:40000");
    assert!(count(&["0.0.0.0:50051"], &[from_it]).groups.is_empty());
}

#[test]
fn handshakes_know_their_ends() {
    let (app, client) = ("127.0.0.1:40000", "127.0.0.1:3000");
    let counts = count(
        &[],
        &[
            entry(TcpState::NewSynRecv, app, client),
            entry(TcpState::SynSent, client, app),
        ],
    );
    assert_eq!(keys(&counts), ["127.0.0.1 -> 127.0.0.1:40000"]);
    assert_eq!(counts.groups[0].0.states.syn_sent, 1);
    assert_eq!(counts.sockets.syn_recv, 1);
}

#[test]
fn time_wait_holds_a_port_at_the_beginning_end_and_none_at_the_apps() {
    let app = "127.0.0.1:3000";
    let counts = count(
        &[app],
        &[
            time_wait("127.0.0.1:40000", app, 59_500),
            time_wait("127.0.0.1:40001", app, 30_000),
            time_wait(app, "127.0.0.1:40002", 59_500),
            time_wait(app, "192.0.2.1:40002", 59_500),
        ],
    );
    assert_eq!(keys(&counts), ["127.0.0.1 -> 127.0.0.1:3000"]);
    let (group, sample) = &counts.groups[0];
    let time_wait = (
        group.time_wait,
        group.time_wait_held,
        group.time_wait_at_app,
    );
    assert_eq!(time_wait, (2, 1, 1));
    assert_eq!((group.used(), group.connections()), (1, 0));
    assert_eq!((group.even_ports, group.odd_ports), (1, 0));
    assert!(sample.sockets().is_empty());
    assert_eq!(counts.sockets.time_wait, 4);
}

#[test]
fn ports_that_connect_gives_to_nobody_take_none_of_the_supply() {
    let app = "127.0.0.1:3000";
    let locals = ["127.0.0.1:40001", "127.0.0.1:2000", "127.0.0.1:40150"];
    let entries = locals.map(|local| entry(ESTABLISHED, local, app));
    let counts = count(&[app], &entries);
    let (group, _) = &counts.groups[0];
    assert_eq!(
        (group.connections(), group.outside_range, group.used()),
        (3, 2, 1)
    );
    assert_eq!((group.even_ports, group.odd_ports), (0, 1));
}

#[test]
fn time_wait_between_addresses_that_are_not_loopback_holds_its_port_to_the_end() {
    let counts = count(&[], &[time_wait("10.0.0.1:40000", "10.0.0.2:3000", 1)]);
    assert_eq!(counts.groups[0].0.time_wait_held, 1);
}

#[test]
fn clients_of_a_listener_are_of_this_host_or_of_others() {
    let counts = count(
        &["0.0.0.0:80", "10.0.0.1:80"],
        &[
            entry(ESTABLISHED, "10.0.0.1:80", "192.0.2.1:50000"),
            entry(ESTABLISHED, "10.0.0.1:80", "10.0.0.1:50000"),
            entry(ESTABLISHED, "127.0.0.1:80", "10.0.0.1:50001"),
            entry(TcpState::CloseWait, "127.0.0.1:80", "127.0.0.9:50001"),
        ],
    );
    assert_eq!(counts.clients, [(2, 0), (1, 1)]);
    assert!(counts.groups.is_empty());
}

#[test]
fn states_are_counted_as_what_they_mean_for_the_beginner() {
    let app = "192.0.2.1:443";
    let states = [
        TcpState::SynSent,
        TcpState::CloseWait,
        TcpState::FinWait1,
        TcpState::FinWait2,
        TcpState::Closing,
        TcpState::LastAck,
        TcpState::Other(30),
    ];
    let entries = states.map(|state| entry(state, "10.0.0.1:40000", app));
    let counts = count(&["0.0.0.0:443"], &entries);
    let (group, _) = &counts.groups[0];
    assert!(!group.is_local, "the wildcard listener is not there");
    let expected = StateCounts {
        syn_sent: 1,
        established: 0,
        close_wait: 1,
        fin_wait: 3,
        last_ack: 1,
        other: 1,
    };
    assert_eq!(group.states, expected);
}

#[test]
fn mapped_addresses_belong_to_the_group_of_their_ipv4_selves() {
    let counts = count(
        &["127.0.0.1:3000"],
        &[
            entry(ESTABLISHED, "127.0.0.1:40000", "127.0.0.1:3000"),
            entry(ESTABLISHED, "[::ffff:127.0.0.1]:40001", "127.0.0.1:3000"),
        ],
    );
    assert_eq!(counts.groups.len(), 1);
    assert_eq!(counts.groups[0].0.used(), 2);
}

#[test]
fn the_fullest_groups_are_kept_and_the_others_counted() {
    let mut entries = Vec::new();
    for n in 0..u16::try_from(GROUPS_MAX).unwrap() + 2 {
        let peer = format!("192.0.2.1:{}", 1000 + n);
        entries.push(entry(ESTABLISHED, "10.0.0.1:40000", &peer));
        if n == 200 {
            entries.push(entry(ESTABLISHED, "10.0.0.1:40001", &peer));
        }
    }
    entries.push(time_wait("10.0.0.1:40002", "192.0.2.2:9", 1));
    let counts = count(&[], &entries);
    assert_eq!(counts.groups.len(), GROUPS_MAX);
    assert_eq!(counts.groups[0].0.key.destination.port(), 1200);
    let omitted = OmittedGroups {
        groups: 3,
        connections: 3,
    };
    assert_eq!(counts.omitted, omitted);
}

#[test]
fn groups_beyond_the_bound_are_counted_as_omitted() {
    let listeners: Vec<Listener> = Vec::new();
    let ends = Ends::new(&listeners, None);
    let mut is_own = |_: IpAddr| false;
    let own = OwnAddresses::new(&mut is_own);
    let mut tally = Tally::new(&ends, &listeners, None, own);
    let mut one = entry(TcpState::SynSent, "10.0.0.1:40000", "192.0.2.1:1");
    for n in 0..u32::try_from(GROUPS_COUNTED_MAX).unwrap() + 5 {
        one.peer.set_ip(std::net::Ipv4Addr::from_bits(n).into());
        tally.add(&one);
    }
    let counts = tally.finish();
    let omitted = u64::try_from(GROUPS_COUNTED_MAX - GROUPS_MAX).unwrap();
    assert_eq!(counts.omitted.connections, omitted + 5);
    assert_eq!(counts.omitted.groups, omitted + 1);
}
