//! A longer queue for a listener, by the program that listens.

use super::paste::{lines, shell, words};
use super::sysctl::{self, Setting};
use crate::finding::{Remedy, Step};
use crate::snapshot::{Namespace, Owner, Program};

/// The queue that a busy server asks for, and what `somaxconn` allows by default since Linux 5.4.
pub(crate) const COMFORTABLE: u32 = 4_096;

/// A longer queue than this answers nobody in time: at a thousand connections a second the last waits a minute.
const LONGEST: u32 = 65_535;

/// A queue that is too short.
#[derive(Debug)]
pub(crate) struct Queue<'a> {
    /// Where it is: `127.0.0.1:3000`, or `unix:/run/app.sock`, as nginx spells it.
    pub(crate) address: &'a str,
    /// How long it may be now.
    pub(crate) backlog: u32,
    /// `net.core.somaxconn`, as far as known.
    pub(crate) somaxconn: Option<u32>,
    /// Who listens, as far as known.
    pub(crate) owner: Option<&'a Owner>,
    /// Whose network it is.
    pub(crate) namespace: &'a Namespace,
}

impl Queue<'_> {
    /// How long it should be.
    fn wanted(&self) -> u32 {
        if self.backlog < COMFORTABLE {
            COMFORTABLE
        } else {
            self.backlog.saturating_mul(2).min(LONGEST)
        }
    }

    fn is_unix(&self) -> bool {
        self.address.starts_with("unix:")
    }

    /// What can be done, the best first. A queue that is long already wants a faster program rather than more waiting.
    pub(crate) fn remedies(&self) -> Vec<Remedy> {
        let wanted = self.wanted();
        let mut longer = Vec::new();
        if let Some(somaxconn) = self.somaxconn.filter(|&max| max < wanted) {
            longer.push(higher_somaxconn(self.namespace, somaxconn, wanted));
        }
        if wanted > self.backlog {
            longer.extend(self.of_the_program(wanted));
        }
        let faster = faster(self.owner.map(|owner| owner.program));
        if self.backlog < COMFORTABLE {
            longer.push(faster);
            longer
        } else {
            [vec![faster], longer].concat()
        }
    }

    fn of_the_program(&self, wanted: u32) -> Option<Remedy> {
        let address = self.address;
        let name = self.owner.map_or("", |owner| owner.name.as_str());
        let (title, steps) = match self.owner.map(|owner| owner.program) {
            Some(Program::Nginx) => of_nginx(address, self.is_unix(), wanted),
            Some(Program::HaProxy) => of_haproxy(address, self.is_unix(), wanted),
            Some(Program::Node) => of_node(self, wanted),
            Some(Program::Python) => (
                "Give gunicorn or uvicorn a longer queue",
                vec![lines(
                    "the command line of gunicorn or uvicorn, and a restart",
                    [format!("--backlog {wanted}")],
                )],
            ),
            Some(Program::Java) => of_java(wanted),
            Some(Program::Apache) => (
                "Give Apache a longer queue",
                vec![lines(
                    "httpd.conf or apache2.conf, at the top level, and a restart",
                    [format!("ListenBackLog {wanted}")],
                )],
            ),
            Some(Program::Envoy) => (
                "Let Envoy listen again with a longer queue",
                vec![lines(
                    "the listener in Envoy's configuration (without it Envoy takes net.core.somaxconn)",
                    [format!("tcp_backlog_size: {wanted}")],
                )],
            ),
            Some(Program::Go | Program::Caddy | Program::Traefik) => of_go(),
            // Ours is a constant, 4,096.
            Some(Program::Lasthop) => return None,
            Some(Program::Other) if name.starts_with("php-fpm") => (
                "Give PHP-FPM a longer queue",
                vec![lines(
                    "the file of the pool, such as www.conf, and a restart of PHP-FPM",
                    [format!("listen.backlog = {wanted}")],
                )],
            ),
            Some(Program::Other) if name == "redis-server" => (
                "Give Redis a longer queue",
                vec![lines(
                    "redis.conf, and a restart",
                    [format!("tcp-backlog {wanted}")],
                )],
            ),
            Some(Program::Other) | None => (
                "Let the program ask for a longer queue",
                vec![words(format!(
                    "It is the second argument of listen(2): --backlog {wanted} with gunicorn and uvicorn, backlog={wanted} at \
                     nginx' listen, backlog in Node's server.listen({{}}), acceptCount of Tomcat, listen.backlog of PHP-FPM."
                ))],
            ),
        };
        Some(Remedy {
            title: title.to_owned(),
            steps,
            undo: vec![
                "Put the old value back, or take the setting out, and restart it.".to_owned(),
            ],
            risk: Some(
                "A longer queue is a longer wait for those at its end, while the program is slow."
                    .to_owned(),
            ),
        })
    }
}

fn of_nginx(address: &str, is_unix: bool, wanted: u32) -> (&'static str, Vec<Step>) {
    // `nginx -s reload` listens again on TCP; a Unix listener keeps its old queue until nginx is started anew.
    let begin = if is_unix {
        "nginx -t && systemctl restart nginx"
    } else {
        "nginx -t && nginx -s reload"
    };
    (
        "Give nginx a longer queue",
        vec![
            lines(
                "nginx.conf, the listen line of this address, once where several servers share it",
                [format!("listen {address} backlog={wanted};")],
            ),
            shell([begin]),
        ],
    )
}

fn of_haproxy(address: &str, is_unix: bool, wanted: u32) -> (&'static str, Vec<Step>) {
    // HAProxy binds a Unix socket by another name (`PATH.PID.tmp`) and renames the file. The kernel knows the first.
    let (place, line) = if is_unix {
        (
            "haproxy.cfg, at the end of the socket's bind line",
            format!("backlog {wanted}"),
        )
    } else {
        (
            "haproxy.cfg, the bind line of this address",
            format!("bind {address} backlog {wanted}"),
        )
    };
    (
        "Give HAProxy a longer queue",
        vec![
            lines(place, [line]),
            words(
                "Keep what else stands on the line; check with haproxy -c -f FILE, and restart HAProxy.",
            ),
        ],
    )
}

fn of_java(wanted: u32) -> (&'static str, Vec<Step>) {
    (
        "Give the Java server a longer queue",
        vec![
            lines(
                "application.properties of Spring Boot with Tomcat, and a restart",
                [format!("server.tomcat.accept-count={wanted}")],
            ),
            words("Tomcat alone: acceptCount of its Connector. Netty: ChannelOption.SO_BACKLOG."),
        ],
    )
}

/// They ask for somaxconn, once, when they first listen.
fn of_go() -> (&'static str, Vec<Step>) {
    (
        "Restart it after net.core.somaxconn was raised",
        vec![words(
            "A program in Go asks for net.core.somaxconn, which it reads when it first listens, and has no setting for it.",
        )],
    )
}

fn of_node(queue: &Queue<'_>, wanted: u32) -> (&'static str, Vec<Step>) {
    let place = "where the server is told to listen";
    let line = if queue.is_unix() {
        format!("server.listen({{ path, backlog: {wanted} }})")
    } else {
        format!("server.listen({{ host, port, backlog: {wanted} }})")
    };
    (
        "Give Node's server a longer queue",
        vec![lines(place, [line])],
    )
}

/// A higher `net.core.somaxconn`, which listeners made before do not notice.
pub(crate) fn higher_somaxconn(namespace: &Namespace, now: u32, wanted: u32) -> Remedy {
    sysctl::set(
        namespace,
        &Setting {
            name: "net.core.somaxconn",
            value: &wanted.to_string(),
            before: &now.to_string(),
        },
        "Let queues be longer, and restart who listens",
        Some("Only listeners that call listen(2) after it have longer queues.".to_owned()),
    )
}

fn faster(program: Option<Program>) -> Remedy {
    let how = match program {
        Some(Program::Python) => {
            "gunicorn and uvicorn: --workers, two for each core to begin with; for gunicorn's sync worker \
             as many as requests at once, or --threads."
        }
        Some(Program::Node) => {
            "Node accepts in one thread, and not while that computes: the cluster module or several instances, one for each core."
        }
        Some(Program::Nginx) => {
            "nginx: worker_processes auto; and reuseport at the listen line of a busy TCP address."
        }
        Some(Program::HaProxy) => {
            "HAProxy stops accepting at maxconn: raise it where show info says that it is reached; nbthread is one for each core by itself."
        }
        Some(Program::Lasthop) => "lasthop: server.workers = 0 is one for each core.",
        Some(Program::Apache) => "Apache: MaxRequestWorkers, and event as its MPM.",
        Some(Program::Java) => {
            "Tomcat stops accepting at maxConnections (server.tomcat.max-connections); more threads than that are of no use."
        }
        _ => {
            "More workers or instances; what keeps the accepting thread busy, such as a garbage collection or a blocking call, out of it."
        }
    };
    Remedy {
        title: "Let it accept faster".to_owned(),
        steps: vec![words(how)],
        undo: vec!["Put the old number back, and restart it.".to_owned()],
        risk: Some("More workers need more memory, and more connections to a database.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(backlog: u32, somaxconn: u32) -> Vec<String> {
        let queue = Queue {
            address: "127.0.0.1:3000",
            backlog,
            somaxconn: Some(somaxconn),
            owner: None,
            namespace: &Namespace::default(),
        };
        queue.remedies().into_iter().map(|r| r.title).collect()
    }

    #[test]
    fn a_short_queue_is_made_longer_and_a_long_one_emptied_faster() {
        let (higher, ask, faster) = (
            "Let queues be longer, and restart who listens",
            "Let the program ask for a longer queue",
            "Let it accept faster",
        );
        assert_eq!(titles(128, 4_096), [ask, faster]);
        assert_eq!(titles(128, 128), [higher, ask, faster]);
        assert_eq!(titles(4_096, 4_096), [faster, higher, ask]);
        assert_eq!(titles(LONGEST, LONGEST), [faster]);
    }
}
