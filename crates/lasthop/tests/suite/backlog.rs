//! Apps on Unix sockets whose listen queue is short, or whose socket file is made anew: requests wait, and none fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::load::{SmallBacklogApp, ask};
use crate::support::{Address, App, Setup, TempDir, Watched};

/// For how long; ten seconds are what is promised, and three show it.
fn time() -> Duration {
    let seconds = std::env::var("LASTHOP_BACKLOG_SECONDS");
    Duration::from_secs(seconds.map_or(3, |seconds| seconds.parse().expect("seconds")))
}

#[test]
fn two_thousand_clients_of_an_app_with_room_for_eight_are_all_served() {
    let app = SmallBacklogApp::start(8, 4);
    // One worker for each core, as by default.
    let watched = Watched::start(Setup::to(&[&app.target]).server("workers = 0"));
    let tally = ask(&watched.proxy, 2000, time(), Duration::ZERO);
    println!("{tally:?}");
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(tally.served > 2000, "{tally:?}");
}

#[test]
fn a_socket_file_that_is_made_anew_under_load_costs_no_request() {
    let dir = TempDir::new();
    let address = Address::Unix(dir.join("app.sock"));
    let answers = |mut conn: crate::support::Conn| {
        if conn.request().is_some() {
            conn.answer("ok");
        }
    };
    let first = App::at(&address, answers);
    let watched = Watched::start(Setup::to(&[&address.to_string()]).server("workers = 0"));
    let over = AtomicBool::new(false);
    let tally = std::thread::scope(|scope| {
        let restarts = scope.spawn(|| {
            let mut apps = vec![first];
            while !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(200)); // tidy: the load in between is what is tested
                // The old one goes on with what has come to it already.
                let path = dir.join("app.sock");
                std::fs::remove_file(&path).expect("the socket file");
                // Nothing is there for a while.
                std::thread::sleep(Duration::from_millis(100)); // tidy: the time without an app is what is tested
                apps.push(App::at(&address, answers));
            }
            apps.len() - 1
        });
        let tally = ask(&watched.proxy, 50, time(), Duration::from_millis(20));
        over.store(true, Ordering::Relaxed);
        let count = restarts.join().expect("the restarts");
        println!("{tally:?}, {count} restarts");
        tally
    });
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(tally.served > 200, "{tally:?}");
}
