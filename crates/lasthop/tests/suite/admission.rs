//! `max_connections`: few connections to the app, shared by many clients and several workers, fairly and safely.

use std::collections::HashSet;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::support::misbehave::app_that_answers;
use crate::support::{App, Client, Place, Setup};

/// How long clients ask again and again where a test is about fairness.
const LOAD: Duration = Duration::from_millis(750);

#[test]
fn posts_to_an_app_that_closes_unannounced_are_all_answered_and_never_sent_twice() {
    for workers in [1, 2] {
        let (tell, told) = channel();
        let app = App::on(Place::Unix, move |mut conn| {
            if let Some(request) = conn.request() {
                // The test may be over.
                let _ = tell.send(request.head.target().to_owned());
                conn.answer("ok");
            }
        });
        let proxy = Setup::to(&[&app.target()])
            .server(&format!("workers = {workers}"))
            .upstream("max_connections = 2\nqueue = { size = 100, timeout = \"20s\" }")
            .start();
        std::thread::scope(|scope| {
            for client in 0..8 {
                let address = proxy.address();
                scope.spawn(move || {
                    let mut connection = Client::connect(address);
                    for n in 0..20 {
                        let answer = connection.exchange(format!(
                            "POST /{client}-{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                        ));
                        assert_eq!(answer.status(), 200, "/{client}-{n}: {}", answer.text());
                    }
                });
            }
        });
        let seen: Vec<_> = told.try_iter().collect();
        let different: HashSet<_> = seen.iter().collect();
        assert_eq!(seen.len(), 160);
        assert_eq!(different.len(), 160, "a POST came twice");
    }
}

/// Asks again and again until the load ends; gives how often it was answered.
fn answers_under_load(mut client: Client, ends: Instant) -> u32 {
    let mut answers = 0;
    while Instant::now() < ends {
        let answer = client.request("/");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answers += 1;
    }
    answers
}

#[test]
fn one_connection_is_shared_fairly_by_all_clients_of_all_workers() {
    for place in [Place::Tcp, Place::Unix] {
        let app = app_that_answers(place);
        // On a TCP listener, whose connections are spread unevenly: the worker with more clients is always busy.
        let proxy = Setup::to(&[&app.target()])
            .server("workers = 2")
            .upstream("max_connections = 1")
            .start();
        let clients: Vec<_> = (0..24).map(|_| proxy.client()).collect();
        let ends = Instant::now() + LOAD;
        let mut answers: Vec<u32> = std::thread::scope(|scope| {
            let asking: Vec<_> = clients
                .into_iter()
                .map(|client| scope.spawn(move || answers_under_load(client, ends)))
                .collect();
            let answers = asking.into_iter().map(|thread| thread.join());
            answers.map(|n| n.expect("only 200s")).collect()
        });
        answers.sort_unstable();
        let (least, most) = (answers[0], answers[23]);
        // A worker that keeps the connection to itself leaves the clients of the other with one answer or none.
        assert!(least > 0 && least * 10 >= most, "unfair: {answers:?}");
    }
}
