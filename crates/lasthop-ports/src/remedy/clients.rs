//! What to write in a program that connects itself: to a database, to the next service. Its pool is what counts.
//!
//! Sources: Go's net/http (`Transport`), Node's http (`Agent`), java.net.http and the system properties of its module,
//! Apache HttpClient 5, requests (`HTTPAdapter`), aiohttp (`TCPConnector`).

use super::generic;
use super::paste::{lines, words};
use super::{Plight, Ways};
use crate::finding::{Remedy, Step};

/// Connections of a pool: more than most services answer at once.
const POOL: u32 = 256;

pub(super) const GO: Ways = Ways {
    unix: generic::unix,
    addresses: generic::addresses,
    fewer: |plight| Some(pool(plight, "Go", "Transport", go())),
};

pub(super) const NODE: Ways = Ways {
    unix: generic::unix,
    addresses: generic::addresses,
    fewer: |plight| Some(pool(plight, "Node", "Agent", node())),
};

pub(super) const JAVA: Ways = Ways {
    unix: generic::unix,
    addresses: generic::addresses,
    fewer: |plight| Some(pool(plight, "Java", "client", java())),
};

pub(super) const PYTHON: Ways = Ways {
    unix: generic::unix,
    addresses: generic::addresses,
    fewer: |plight| Some(pool(plight, "Python", "session", python())),
};

/// One pool for all requests, with a bound: it helps whether connections come and go, or are too many at once.
fn pool(plight: &Plight<'_>, language: &str, of: &str, steps: Vec<Step>) -> Remedy {
    let title = if plight.churns() {
        format!("{language}: use connections again, with one {of} for all requests")
    } else {
        format!("{language}: bound the connections, with one {of} for all requests")
    };
    Remedy {
        title,
        steps,
        undo: vec!["take the lines out again".to_owned()],
        risk: Some(
            "requests beyond the bound wait for a connection; connections that are tunnels (WebSockets) are held, \
             and not helped by it"
                .to_owned(),
        ),
    }
}

fn go() -> Vec<Step> {
    vec![
        lines(
            "where the http.Client is made, once for the program (the default keeps two idle connections to a host)",
            [
                "transport := http.DefaultTransport.(*http.Transport).Clone()".to_owned(),
                format!("transport.MaxIdleConns = {POOL}"),
                format!("transport.MaxIdleConnsPerHost = {POOL}"),
                format!("transport.MaxConnsPerHost = {POOL}"),
                "client := &http.Client{Transport: transport}".to_owned(),
            ],
        ),
        lines(
            "after each request: a connection is used again once its answer is read to the end and closed",
            ["io.Copy(io.Discard, resp.Body)", "resp.Body.Close()"],
        ),
        words(
            "database/sql: db.SetMaxOpenConns and db.SetMaxIdleConns, the second as high as the first.",
        ),
    ]
}

fn node() -> Vec<Step> {
    vec![
        lines(
            "once for the program",
            [
                "const http = require('node:http');".to_owned(),
                format!("const agent = new http.Agent({{ keepAlive: true, maxSockets: {POOL} }});"),
            ],
        ),
        words(
            "Give it to every request (http.request({ agent, … })). For https: https.Agent with the same options. \
             A database client has a pool size of its own.",
        ),
    ]
}

fn java() -> Vec<Step> {
    vec![
        words(
            "java.net.http: one HttpClient for the program. Each one that is made has a pool of its own, which no \
             other uses.",
        ),
        lines(
            "Apache HttpClient 5, where the client is made",
            [
                "var connections = PoolingHttpClientConnectionManagerBuilder.create()".to_owned(),
                format!("    .setMaxConnPerRoute({POOL}).setMaxConnTotal({POOL}).build();"),
                "var client = HttpClients.custom().setConnectionManager(connections).build();"
                    .to_owned(),
            ],
        ),
        words("A JDBC pool has a size of its own (HikariCP: maximumPoolSize)."),
    ]
}

fn python() -> Vec<Step> {
    vec![
        lines(
            "requests, once for the process: requests.get() connects anew each time",
            [
                "session = requests.Session()".to_owned(),
                format!(
                    "session.mount(\"http://\", requests.adapters.HTTPAdapter(pool_maxsize={POOL}, pool_block=True))"
                ),
            ],
        ),
        lines(
            "aiohttp, one session for the process",
            [format!(
                "session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit={POOL}))"
            )],
        ),
        words("A database driver has a pool of its own (SQLAlchemy: pool_size and max_overflow)."),
    ]
}
