//! The app dies and comes back under load: nobody gets half an answer for a whole one, and service is back at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::support::{Address, App, Lasthop, PATIENCE, Setup, TempDir, pattern};

/// Large enough that a kill hits answers half-way.
const BODY: usize = 400_000;

/// How long the app is away each time.
const DOWN: Duration = Duration::from_millis(200);

/// "At once", as the promise goes: from the app's listen() to the end of the next whole answer.
const AT_ONCE: Duration = Duration::from_millis(100);

/// What became of one request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    /// Our own answer, with `Proxy-Status`.
    Clean(u16),
    /// A head with a length, and then less than that.
    Cut,
    Wrong(String),
}

/// Serves large bodies, with a length or in chunks.
fn app_at(address: &Address) -> App {
    App::at(address, |mut conn| {
        let body = pattern(BODY);
        while let Some(request) = conn.request() {
            if request.head.target() == "/sized" {
                conn.answer(&body);
                continue;
            }
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for part in body.chunks(50_000) {
                conn.send(format!("{:x}\r\n", part.len()));
                conn.send(part);
                conn.send("\r\n");
            }
            conn.send("0\r\n\r\n");
        }
    })
}

/// Asks again and again until it is told to stop; says what became of each request, and when.
fn ask(address: &Address, target: &str, stop: &AtomicBool, tell: &Sender<(Instant, Outcome)>) {
    let body = pattern(BODY);
    let mut client = crate::support::Client::connect(address);
    // Relaxed: a late look costs one request.
    while !stop.load(Ordering::Relaxed) {
        let sent = client.try_send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let outcome = match client.try_answer_to("GET") {
            Ok(answer) if answer.status() == 200 && answer.body == body => Outcome::Whole,
            Ok(answer) if [502, 504].contains(&answer.status()) => {
                assert!(!answer.error().is_empty());
                Outcome::Clean(answer.status())
            }
            Err(cut) if cut.head.is_some() => {
                client = crate::support::Client::connect(address);
                Outcome::Cut
            }
            other => {
                client = crate::support::Client::connect(address);
                Outcome::Wrong(format!("{sent:?}, {:?}", other.map(|answer| answer.head)))
            }
        };
        // The test may be over.
        let _ = tell.send((Instant::now(), outcome));
    }
}

/// Waits for the first whole answer that came after `since`.
fn next_whole(
    told: &Receiver<(Instant, Outcome)>,
    since: Instant,
    seen: &mut Vec<Outcome>,
) -> Instant {
    loop {
        let (when, outcome) = told.recv_timeout(PATIENCE).expect("requests go on");
        let whole = outcome == Outcome::Whole;
        seen.push(outcome);
        if whole && when > since {
            return when;
        }
    }
}

/// Kills and restarts the app at `address` under the load of four clients; gives what became of every request.
fn killed_and_restarted(address: &Address, app: App, grace: &str) -> Vec<Outcome> {
    let proxy: Lasthop = Setup::to(&[&address.to_string()])
        .server("workers = 2")
        .upstream(&format!("restart_grace = \"{grace}\""))
        .start();
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, told) = channel();
    let mut seen = Vec::new();
    let mut returns = Vec::new();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (stop, tell, to) = (Arc::clone(&stop), tell.clone(), proxy.address());
            let target = ["/sized", "/chunked"][n % 2];
            scope.spawn(move || ask(to, target, &stop, &tell));
        }
        let mut app = Some(app);
        for _ in 0..5 {
            next_whole(&told, Instant::now(), &mut seen);
            let _dir = app.take().map(App::kill);
            std::thread::sleep(DOWN); // tidy: the time without an app is what is tested
            let back = Instant::now();
            app = Some(app_at(address));
            returns.push(next_whole(&told, back, &mut seen) - back);
        }
        stop.store(true, Ordering::Relaxed);
        drop(tell);
        // Relaxed above: the clients end after their present request, and with them the channel.
        seen.extend(told.iter().map(|(_, outcome)| outcome));
    });
    for outcome in &seen {
        assert!(!matches!(outcome, Outcome::Wrong(_)), "{outcome:?}");
    }
    returns.sort_unstable();
    // The middle one: a single delay on a busy machine is the machine's.
    assert!(returns[2] < AT_ONCE, "served again after {returns:?}");
    seen
}

#[test]
fn an_app_that_restarts_under_load_fails_requests_cleanly_and_is_back_at_once_over_tcp() {
    // Keeps the port ours while nobody listens on it.
    let any = Address::parse("127.0.0.1:0");
    let held = any.socket();
    held.set_reuse_address(true).expect("SO_REUSEADDR");
    held.bind(&any.sock_addr()).expect("a port");
    let address = held.local_addr().expect("an address").as_socket();
    let address = Address::Tcp(address.expect("an IP address"));
    killed_and_restarted(&address, app_at(&address), "2s");
    let seen = killed_and_restarted(&address, app_at(&address), "20ms");
    assert!(
        seen.contains(&Outcome::Clean(502)),
        "the app was away longer than the grace"
    );
}

#[test]
fn an_app_that_restarts_under_load_fails_requests_cleanly_and_is_back_at_once_over_a_unix_socket() {
    let dir = TempDir::new();
    let address = Address::Unix(dir.join("app.sock"));
    killed_and_restarted(&address, app_at(&address), "2s");
    let seen = killed_and_restarted(&address, app_at(&address), "20ms");
    assert!(
        seen.contains(&Outcome::Clean(502)),
        "the app was away longer than the grace"
    );
}
