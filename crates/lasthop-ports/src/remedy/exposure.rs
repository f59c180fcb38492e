//! An app that listens for this host alone, by the program that it is.

use std::net::{IpAddr, SocketAddr};

use super::paste::{inside, lines, shell, words};
use crate::finding::{Remedy, Step};
use crate::snapshot::{Namespace, Owner, Program};

/// Ways to keep `address` from the network.
pub(crate) fn local_only(
    address: SocketAddr,
    owner: Option<&Owner>,
    namespace: &Namespace,
) -> Vec<Remedy> {
    let published = owner.is_some_and(|owner| owner.name == "docker-proxy");
    let mut remedies = vec![Remedy {
        title: "Let it listen on a loopback address, or on a Unix socket".to_owned(),
        steps: of_the_program(address, owner),
        undo: vec!["Put the old address back, and restart it.".to_owned()],
        risk: Some(
            "Whoever uses it from another host or from a container, now and then and not at the moment of this reading, \
             is refused."
                .to_owned(),
        ),
    }];
    // What a container engine publishes is forwarded before any rule for what comes in is asked.
    if !published {
        remedies.push(close_the_port(address.port(), namespace));
    }
    remedies
}

fn of_the_program(address: SocketAddr, owner: Option<&Owner>) -> Vec<Step> {
    let port = address.port();
    let loopback = match address.ip() {
        IpAddr::V4(_) => "127.0.0.1",
        // `[::]` takes IPv4 as well, and a proxy as a rule uses that.
        IpAddr::V6(ip) if ip.is_unspecified() => "127.0.0.1",
        IpAddr::V6(_) => "[::1]",
    };
    let name = owner.map_or("", |owner| owner.name.as_str());
    match (owner.map(|owner| owner.program), name) {
        (_, "docker-proxy") => vec![lines(
            "where the container is started; PORT is the one inside, as before",
            [format!("-p {loopback}:{port}:PORT")],
        )],
        (_, "postgres") => vec![lines(
            "postgresql.conf, and a restart",
            ["listen_addresses = 'localhost'"],
        )],
        (_, "redis-server") => vec![lines("redis.conf, and a restart", ["bind 127.0.0.1"])],
        (_, "mysqld" | "mariadbd") => vec![lines(
            "my.cnf, below [mysqld], and a restart",
            ["bind-address = 127.0.0.1"],
        )],
        (_, name) if name.starts_with("php-fpm") => vec![lines(
            "the file of the pool, such as www.conf, and a restart of PHP-FPM",
            [format!("listen = {loopback}:{port}")],
        )],
        (Some(Program::Python), _) => vec![
            lines(
                "the command line of gunicorn",
                [format!("--bind {loopback}:{port}")],
            ),
            words(format!(
                "A Unix socket with --bind unix:/run/APP/app.sock. With uvicorn: --host {loopback} --port {port}, or --uds. \
                 Django's runserver takes {loopback}:{port}."
            )),
        ],
        (Some(Program::Node), _) => vec![lines(
            "where the server is told to listen",
            [format!(
                "server.listen({port}, '{}')",
                loopback.trim_matches(['[', ']'])
            )],
        )],
        (Some(Program::Go), _) => vec![lines(
            "where the server is told to listen",
            [format!(
                "http.ListenAndServe(\"{loopback}:{port}\", handler)"
            )],
        )],
        (Some(Program::Java), _) => vec![
            lines(
                "application.properties of Spring Boot, and a restart",
                [format!(
                    "server.address={}",
                    loopback.trim_matches(['[', ']'])
                )],
            ),
            words("Tomcat alone: address of its Connector."),
        ],
        _ => vec![words(format!(
            "Its own setting for the address (host, bind, listen or address, as a rule), with {loopback}:{port} in place of \
             {address}."
        ))],
    }
}

/// A table of its own, so that it neither depends on the host's rules nor stays behind when it is taken back.
fn close_the_port(port: u16, namespace: &Namespace) -> Remedy {
    let table = format!("lasthop_local_{port}");
    let commands = [
        format!("nft add table inet {table}"),
        format!(
            "nft add chain inet {table} input '{{ type filter hook input priority filter; policy accept; }}'"
        ),
        format!("nft add rule inet {table} input iif != lo tcp dport {port} drop"),
    ];
    Remedy {
        title: "Close the port for everybody but this host, until then".to_owned(),
        steps: vec![shell(
            commands.iter().map(|command| inside(namespace, command)),
        )],
        undo: vec![inside(namespace, &format!("nft delete table inet {table}"))],
        risk: Some(
            "Gone at the next boot. It closes the port for containers on this host, too."
                .to_owned(),
        ),
    }
}
