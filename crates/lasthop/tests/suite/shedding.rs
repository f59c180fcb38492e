//! What happens when there is no room for one more: somebody idle goes, or the newcomer is told. Nobody waits, and nobody
//! with a request in hand is disturbed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::misbehave::{app_behind, app_that_answers};
use crate::support::process::{
    descriptors, limit_descriptors, settled_descriptors, wait_for_descriptors,
};
use crate::support::workers::by_worker;
use crate::support::{
    Answer, App, Client, Ending, Gate, Lasthop, PATIENCE, Place, QUIET, Setup, TempDir,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Where a proxy listens.
enum Kind {
    Tcp,
    Unix(TempDir),
}

impl Kind {
    fn all() -> [Self; 2] {
        [Self::Tcp, Self::Unix(TempDir::new())]
    }

    /// A proxy before `app` with at most so many clients.
    fn start(&self, app: &App, max_connections: usize) -> Lasthop {
        let setup =
            Setup::to(&[&app.target()]).listener(&format!("max_connections = {max_connections}"));
        match self {
            Self::Tcp => setup.start(),
            Self::Unix(dir) => {
                let path = dir.join("front.sock");
                setup.on(&format!("unix:{}", path.display())).start()
            }
        }
    }
}

/// Clients that have had an answer each and keep their connection, in this order.
fn idle(proxy: &Lasthop, count: usize) -> Vec<Client> {
    let served = |_| {
        let mut client = proxy.client();
        assert_eq!(client.request("/").status(), 200);
        client
    };
    (0..count).map(served).collect()
}

/// Clients with a request that the app has and does not answer.
fn busy(proxy: &Lasthop, app: &App, count: usize) -> Vec<Client> {
    let before = app.accepted();
    let asking = |_| {
        let mut client = proxy.client();
        client.send(GET);
        client
    };
    let clients = (0..count).map(asking).collect();
    app.wait_for_accepted(before + count);
    clients
}

fn assert_refused(answer: &Answer, error: &str, details: &str) {
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert_eq!(answer.error(), error);
    assert_eq!(answer.field("Retry-After"), Some("1"));
    assert_eq!(answer.field("Connection"), Some("close"));
    assert!(
        answer.details().contains(details),
        "{details:?} is missing in {:?}",
        answer.details()
    );
}

#[test]
fn the_client_idle_longest_makes_room_for_one_more() {
    let app = app_that_answers(Place::Unix);
    for kind in Kind::all() {
        let proxy = kind.start(&app, 10);
        let mut clients = idle(&proxy, 10);
        // The first one has been idle for less than the second by now.
        assert_eq!(clients[0].request("/").status(), 200);
        let mut eleventh = proxy.client();
        assert_eq!(eleventh.request("/").status(), 200);
        assert_eq!(clients[1].ending(), Ending::Closed);
        clients.remove(1);
        for client in clients.iter_mut().chain([&mut eleventh]) {
            assert_eq!(client.request("/").status(), 200, "one too many has gone");
        }
        proxy.logs(&[
            "idle client closed to make room",
            "max_connections",
            "raise",
        ]);
    }
}

#[test]
fn a_burst_of_newcomers_sends_away_as_many_as_it_brings_and_all_of_it_is_served() {
    const BURST: usize = 20;
    let app = app_that_answers(Place::Unix);
    for kind in Kind::all() {
        let address = match &kind {
            Kind::Tcp => "127.0.0.1:0".to_owned(),
            Kind::Unix(dir) => format!("unix:{}", dir.join("front.sock").display()),
        };
        let proxy = Setup::to(&[&app.target()])
            .on(&address)
            .listener(&format!("max_connections = {}", 2 * BURST))
            .more("[admin]\naddress = \"127.0.0.1:0\"")
            .start();
        let _idle = idle(&proxy, 2 * BURST);
        // All of them wait when it looks.
        proxy.signal("STOP");
        let mut burst: Vec<_> = (0..BURST).map(|_| proxy.client()).collect();
        proxy.signal("CONT");
        for newcomer in &mut burst {
            assert_eq!(newcomer.request("/").status(), 200);
        }
        let mut admin = Client::connect(&proxy.admin());
        let page = admin.exchange("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        let evicted =
            format!("lasthop_client_connections_evicted_total{{listener=\"front\"}} {BURST}\n");
        assert!(page.text().contains(&evicted), "{}", page.text());
    }
}

#[test]
fn a_newcomer_is_told_to_come_back_while_all_are_busy() {
    for kind in Kind::all() {
        let gate = Gate::closed();
        let app = app_behind(&gate, Place::Unix);
        let proxy = kind.start(&app, 10);
        let mut busy = busy(&proxy, &app, 10);
        let mut eleventh = proxy.client();
        let answer = eleventh.request("/");
        let (error, details) = ("connection_limit_reached", "max_connections: all 10 in use");
        assert_refused(&answer, error, details);
        assert_eq!(eleventh.ending(), Ending::Closed);
        proxy.logs(&["client refused, no room", "max_connections", "raise"]);
        gate.open();
        for client in &mut busy {
            assert_eq!(client.answer().text(), "ok");
        }
        assert_eq!(proxy.get("/").status(), 200);
    }
}

#[test]
fn refusals_of_any_listener_are_summed_up_under_its_own_name() {
    let gate = Gate::closed();
    let app = app_behind(&gate, Place::Unix);
    let mut proxy = Setup::to(&[&app.target()])
        .more("[[listener]]\nname = \"side\"\naddress = \"127.0.0.1:0\"\nmax_connections = 1")
        .start();
    let (side, _) = &proxy.listening[1];
    let mut busy = Client::connect(side);
    busy.send(GET);
    app.wait_for_accepted(1);
    for _ in 0..3 {
        assert_eq!(Client::connect(side).request("/").status(), 503);
    }
    proxy.signal("TERM");
    gate.open();
    assert_eq!(busy.answer().status(), 200);
    proxy.logs(&["clients refused again, no room", "side", "repeated=2"]);
    let status = proxy.ends_within(PATIENCE);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

#[test]
fn silent_clients_go_before_those_who_are_at_their_head() {
    let app = app_that_answers(Place::Unix);
    for kind in Kind::all() {
        let proxy = kind.start(&app, 4);
        let mut reading: Vec<_> = (0..2)
            .map(|n| {
                let mut client = proxy.client();
                client.send("GET / HTTP/1.1\r\nHo");
                assert!(client.is_quiet_for(QUIET / 3), "client {n}");
                client
            })
            .collect();
        let mut silent: Vec<_> = (0..2).map(|_| proxy.client()).collect();
        // Each newcomer stays at work: it has a head of its own to finish.
        for gone in &mut silent {
            reading.push(proxy.client());
            let newcomer = reading.last_mut().unwrap();
            newcomer.send("GET / HTTP/1.1\r\nHo");
            assert_eq!(gone.answer().status(), 503, "it may be about to ask");
            assert_eq!(gone.ending(), Ending::Closed);
            // By then it is known to be at its head, and not idle.
            assert!(newcomer.is_quiet_for(QUIET / 3));
        }
        let mut last = proxy.client();
        assert_eq!(last.request("/").status(), 200);
        let answer = reading.remove(0).answer();
        assert_eq!(answer.status(), 408, "{}", answer.text());
        for client in &mut reading {
            client.send("st: a\r\n\r\n");
            assert_eq!(client.answer().status(), 200);
        }
    }
}

#[test]
fn the_bound_of_one_listener_is_no_matter_to_another() {
    let app = app_that_answers(Place::Unix);
    let proxy = Setup::to(&[&app.target()])
        .listener("max_connections = 2")
        .more("[[listener]]\nname = \"side\"\naddress = \"127.0.0.1:0\"")
        .start();
    let side = &proxy.listening[1].0;
    let mut beside: Vec<_> = (0..5).map(|_| Client::connect(side)).collect();
    for client in &mut beside {
        assert_eq!(client.request("/").status(), 200);
    }
    let mut front = idle(&proxy, 2);
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(front[0].ending(), Ending::Closed);
    for client in &mut beside {
        assert_eq!(client.request("/").status(), 200);
    }
}

#[test]
fn with_64_descriptors_each_of_300_clients_hears_something_and_a_tunnel_lives_on() {
    let gate = Gate::closed();
    let app = App::on(Place::Unix, {
        let gate = gate.clone();
        move |mut conn| {
            while let Some(request) = conn.request() {
                if request.head.has("Upgrade") {
                    conn.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
                    while let Ok(bytes) = conn.wire.some() {
                        conn.send(bytes);
                    }
                    return;
                }
                gate.wait();
                conn.answer("ok");
            }
        }
    });
    let proxy = Setup::to(&[&app.target()])
        .upstream("queue = { size = 1000, timeout = \"500ms\" }\nkeepalive = { idle = 0 }")
        .under("ulimit -n 64")
        .start();
    let before = settled_descriptors(proxy.pid());
    let mut tunnel = proxy.client();
    tunnel.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(tunnel.head().status(), 101);
    let mut echoes = || {
        tunnel.send("ping");
        assert_eq!(tunnel.0.exactly(4).expect("an echo"), b"ping");
    };
    let mut clients: Vec<_> = (0..300)
        .map(|n| {
            let mut client = proxy.client();
            // Refused clients may be closed before they have said it all.
            let _ = client.try_send(GET);
            if n % 50 == 0 {
                echoes();
            }
            client
        })
        .collect();
    proxy.logs(&["client refused, no room", "file descriptors", "LimitNOFILE"]);
    gate.open();
    let (mut served, mut refused) = (0, 0);
    for client in &mut clients {
        match client.answer() {
            answer if answer.status() == 200 => served += 1,
            answer => {
                assert_refused_or_queued(&answer);
                refused += 1;
            }
        }
    }
    assert!(
        served > 0 && refused > 0,
        "{served} served, {refused} refused"
    );
    echoes();
    drop((clients, tunnel));
    wait_for_descriptors(proxy.pid(), before);
    assert_eq!(proxy.get("/").status(), 200);
}

/// A newcomer that was refused, or a client whose request found no descriptor for a connection to the app in time.
fn assert_refused_or_queued(answer: &Answer) {
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert_eq!(answer.error(), "proxy_internal_error");
    assert!(
        answer.details().contains("file descriptors"),
        "{}",
        answer.details()
    );
}

#[test]
fn a_request_takes_the_descriptor_of_an_idle_client_for_its_connection_to_the_app() {
    let gate = Gate::closed();
    let app = app_behind(&gate, Place::Unix);
    let proxy = Setup::to(&[&app.target()]).under("ulimit -n 64").start();
    let mut first = proxy.client();
    let mut silent: Vec<_> = std::iter::repeat_with(|| proxy.client())
        .take_while(|_| first.is_quiet_for(Duration::from_millis(5)))
        .collect();
    // Now there is no room any more. More requests than the apps' eighth come from those who are there.
    let mut asking = silent.split_off(silent.len() / 2);
    for client in &mut asking {
        client.send(GET);
    }
    app.wait_for_accepted(asking.len());
    assert_eq!(silent[0].answer().status(), 503);
    gate.open();
    for client in &mut asking {
        assert_eq!(client.answer().text(), "ok");
    }
}

#[test]
fn a_spare_descriptor_is_kept_to_refuse_with_when_the_kernel_has_no_more() {
    let gate = Gate::closed();
    let app = app_behind(&gate, Place::Unix);
    let mut proxy = Setup::to(&[&app.target()]).start();
    let mut busy = busy(&proxy, &app, 3);
    let open = descriptors(proxy.pid());
    // The lowest that is free is what the kernel would give next.
    let next = (0..).find(|number| !open.contains(number)).unwrap();
    limit_descriptors(proxy.pid(), next);
    for n in 0..20 {
        let answer = proxy.get("/");
        assert_refused(&answer, "proxy_internal_error", "file descriptors");
        assert!(proxy.runs(), "client {n}");
    }
    limit_descriptors(proxy.pid(), 1000);
    gate.open();
    for client in &mut busy {
        assert_eq!(client.answer().text(), "ok");
    }
    let mut client = proxy.client();
    assert_eq!(client.request("/").status(), 200);
    // Now that somebody is idle, nobody has to be refused.
    limit_descriptors(
        proxy.pid(),
        u32::try_from(descriptors(proxy.pid()).len()).unwrap(),
    );
    assert_eq!(proxy.get("/").status(), 200);
}

#[test]
fn those_who_are_refused_hold_few_descriptors_and_not_for_long() {
    for kind in Kind::all() {
        let gate = Gate::closed();
        let app = app_behind(&gate, Place::Unix);
        let proxy = kind.start(&app, 1);
        let _busy = busy(&proxy, &app, 1);
        let before = settled_descriptors(proxy.pid());
        let mut refused: Vec<_> = (0..200)
            .map(|_| {
                let mut client = proxy.client();
                let _ = client.try_send(GET);
                client
            })
            .collect();
        for client in &mut refused {
            assert_eq!(client.answer().status(), 503);
        }
        // Sixteen goodbyes, and those between being told and being closed at this moment.
        let most = before + 16 + 4;
        let open = descriptors(proxy.pid()).len();
        assert!(
            open <= most,
            "{open} descriptors for those who were refused"
        );
        // They stay, and yet they are closed.
        wait_for_descriptors(proxy.pid(), before);
        drop(refused);
        gate.open();
    }
}

#[test]
fn few_connections_are_spread_over_the_workers_better_than_a_hash_does() {
    let app = app_that_answers(Place::Unix);
    let proxy = Setup::to(&[&app.target()]).server("workers = 2").start();
    let mut clients = idle(&proxy, 60);
    let on_first: Vec<u16> = {
        let workers = by_worker(&proxy, &clients);
        assert_eq!(workers.len(), 2, "one worker has them all");
        workers[0]
            .iter()
            .map(|client| client.0.local_port())
            .collect()
    };
    // The other worker loses all of its own; the hash does not know.
    let before = settled_descriptors(proxy.pid());
    clients.retain(|client| on_first.contains(&client.0.local_port()));
    let first_had = clients.len();
    wait_for_descriptors(proxy.pid(), before - (60 - first_had));
    let mut later = idle(&proxy, 40);
    clients.append(&mut later);
    let mut counts: Vec<usize> = by_worker(&proxy, &clients).iter().map(Vec::len).collect();
    counts.sort_unstable();
    assert!(
        counts.len() == 2 && counts[1] <= 2 * counts[0],
        "{counts:?}; one worker had {first_had} already"
    );
    for client in &mut clients {
        assert_eq!(client.request("/").status(), 200);
    }
}

#[test]
fn no_connection_is_lost_on_its_way_to_another_worker_when_a_drain_begins() {
    let app = app_that_answers(Place::Unix);
    for _ in 0..5 {
        let mut proxy = Setup::to(&[&app.target()]).server("workers = 4").start();
        let mut clients: Vec<_> = (0..200)
            .map(|_| {
                let mut client = proxy.client();
                client.send(GET);
                client
            })
            .collect();
        proxy.signal("TERM");
        for (n, client) in clients.iter_mut().enumerate() {
            let answer = client.try_answer_to("GET");
            let answer = answer.unwrap_or_else(|cut| panic!("client {n}: {cut:?}"));
            assert_eq!(answer.text(), "ok");
        }
        assert!(proxy.ends_within(PATIENCE).is_some_and(|s| s.success()));
    }
}

#[test]
fn a_worker_with_nobody_idle_has_another_let_somebody_go() {
    let gate = Gate::closed();
    let app = App::on(Place::Unix, {
        let gate = gate.clone();
        move |mut conn| {
            while let Some(request) = conn.request() {
                if request.head.target() == "/later" {
                    gate.wait();
                }
                conn.answer("ok");
            }
        }
    });
    let proxy = Setup::to(&[&app.target()])
        .server("workers = 2")
        .listener("max_connections = 40")
        .start();
    let mut clients = idle(&proxy, 40);
    let busy_ports: BTreeSet<u16> = {
        let workers = by_worker(&proxy, &clients);
        workers[0]
            .iter()
            .map(|client| client.0.local_port())
            .collect()
    };
    let (mut busy, mut others): (Vec<_>, Vec<_>) = clients
        .drain(..)
        .partition(|client| busy_ports.contains(&client.0.local_port()));
    for client in &mut busy {
        client.send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut busy {
        assert!(client.is_quiet_for(Duration::from_millis(1)));
    }
    // The hash sends half of the newcomers to the worker where all are busy.
    let newcomers = others.len().min(15);
    let mut new = idle(&proxy, newcomers);
    for gone in others.iter_mut().take(newcomers) {
        assert_eq!(gone.ending(), Ending::Closed);
    }
    gate.open();
    for client in &mut busy {
        assert_eq!(client.answer().text(), "ok");
    }
    for client in &mut new {
        assert_eq!(client.request("/").status(), 200);
    }
}
