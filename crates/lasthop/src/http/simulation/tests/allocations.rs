//! What a request costs in allocations, once its connections are there.
//!
//! Nothing: its state lies on a desk of the worker, its bytes in the worker's buffers.

use allocation_counter::measure;

use super::*;
use crate::http::simulation::world::World;

const GET: &str = "GET / HTTP/1.1\r\nHost: app.test\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n";

/// Requests before the measured ones, until every queue and table has its size.
const WARM_UP: u32 = 20;

/// Of these, requests that may be repeated.
const PROVING: u32 = 2;

/// Measured requests. The average is compared, so that a table which grows now and then does not count.
const MEASURED: u32 = 50;

/// Allocations for one request and its answer on connections that are kept alive, rounded up.
fn allocations_per_request(request: &str, answer: &str) -> u64 {
    let case = Case {
        settings: PLENTY,
        client: vec![],
        heads: vec![],
        app: vec![],
    };
    let mut world = World::new(&case, &Schedule::Whole);
    let mut count = 0;
    let client = world.client();
    for number in 0..WARM_UP + MEASURED {
        let mut run = |world: &mut World<'_>| {
            let allocated = measure(|| world.run_worker()).count_total;
            count += if number < WARM_UP { 0 } else { allocated };
        };
        // A POST is only sent on a connection that the app is known to keep.
        let request = if number < PROVING { GET } else { request };
        client.deliver(request.as_bytes());
        run(&mut world);
        let apps = world.apps();
        assert_eq!(apps.len(), 1, "the connection is used again");
        if apps[0].is_connecting() {
            apps[0].accept();
            run(&mut world);
        }
        let sent = apps[0].take_sent();
        assert!(
            sent.ends_with(b"body") || sent.ends_with(b"\r\n\r\n"),
            "the request is whole"
        );
        apps[0].deliver(answer.as_bytes());
        run(&mut world);
        assert!(
            client.take_sent().starts_with(b"HTTP/1.1 200 "),
            "and answered"
        );
    }
    count.div_ceil(MEASURED.into())
}

#[test]
fn a_request_on_kept_connections_allocates_nothing() {
    let post = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nbody";
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for (request, answer, allocations_max) in [(GET, sized, 0), (post, sized, 0), (GET, chunked, 0)]
    {
        let allocations = allocations_per_request(request, answer);
        assert!(
            allocations <= allocations_max,
            "{allocations} allocations, at most {allocations_max}:\n{request}\n{answer}"
        );
    }
}
