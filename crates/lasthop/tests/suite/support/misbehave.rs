//! Apps named by their misbehaviour, and two that behave.

use std::sync::mpsc::{Receiver, channel};

use socket2::Socket;

use super::app::{Request, listen};
use super::{Address, App, Conn, Gate, Place, TempDir};

/// Behaves: answers every request with 200 and `ok`, and keeps the connection.
pub(crate) fn app_that_answers(place: Place) -> App {
    App::on(place, |mut conn| {
        while conn.request().is_some() {
            conn.answer("ok");
        }
    })
}

/// Behaves: answers with the bytes of the head that it received, so that a test sees what crossed.
pub(crate) fn app_that_echoes_the_head(place: Place) -> App {
    App::on(place, |mut conn| {
        while let Some(request) = conn.request() {
            conn.answer(&request.head.raw);
        }
    })
}

/// Behaves: answers `ok`, and hands every request to the test.
pub(crate) fn app_that_tells(place: Place) -> (App, Receiver<Request>) {
    let (tell, told) = channel();
    let app = App::on(place, move |mut conn| {
        while let Some(request) = conn.request() {
            // The test may have seen enough.
            let _ = tell.send(request);
            conn.answer("ok");
        }
    });
    (app, told)
}

/// Answers every request with these bytes, and keeps the connection.
pub(crate) fn app_that_says(answer: impl Into<Vec<u8>>) -> App {
    let answer = answer.into();
    App::scripted(move |mut conn| {
        while conn.request().is_some() {
            conn.send(&answer);
        }
    })
}

/// Answers with these bytes and closes: gunicorn's sync worker does so, with a whole answer.
pub(crate) fn app_that_says_and_closes(answer: impl Into<Vec<u8>>) -> App {
    let answer = answer.into();
    App::scripted(move |mut conn| {
        if conn.request().is_some() {
            conn.send(&answer);
        }
    })
}

/// Answers with these bytes, then resets.
pub(crate) fn app_that_says_and_resets(answer: impl Into<Vec<u8>>) -> App {
    let answer = answer.into();
    App::scripted(move |mut conn| {
        if conn.request().is_some() {
            conn.send(&answer);
            conn.reset();
        }
    })
}

/// Reads the request and closes without an answer.
pub(crate) fn app_that_closes_early() -> App {
    App::scripted(|mut conn| {
        conn.request();
    })
}

/// Closes after each answer without having said `Connection: close`.
pub(crate) fn app_that_closes_after_each_answer(place: Place) -> App {
    App::on(place, |mut conn| {
        if conn.request().is_some() {
            conn.answer("ok");
        }
    })
}

/// Reads the request and never answers. The gate opens when the proxy gives the connection up.
pub(crate) fn app_that_never_answers() -> (App, Gate) {
    let given_up = Gate::closed();
    let gate = given_up.clone();
    let app = App::scripted(move |mut conn| {
        conn.request();
        conn.until_closed();
        gate.open();
    });
    (app, given_up)
}

/// Answers as soon as it has the head, and then reads on to the end.
pub(crate) fn app_that_answers_before_the_upload_ends() -> App {
    App::scripted(|mut conn| {
        if conn.head().is_some() {
            conn.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 6\r\nConnection: close\r\n\r\nenough");
            conn.until_closed();
        }
    })
}

/// Keeps each answer back until the gate opens.
pub(crate) fn app_behind(gate: &Gate, place: Place) -> App {
    let gate = gate.clone();
    App::on(place, move |mut conn| {
        while conn.request().is_some() {
            gate.wait();
            conn.answer("ok");
        }
    })
}

/// A port on which nobody listens and which nobody else can take: it is bound and no more.
pub(crate) fn held_port() -> (Socket, Address) {
    let any = Address::parse("127.0.0.1:0");
    let socket = any.socket();
    // So that an app may listen there later, beside us.
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    socket.bind(&any.sock_addr()).expect("a port");
    let address = socket.local_addr().expect("an address").as_socket();
    (socket, Address::Tcp(address.expect("an IP address")))
}

/// Listens, and its queue of connections is full: nobody accepts until it is released.
pub(crate) struct FullBacklog {
    address: Address,
    listener: Socket,
    filling: Vec<Socket>,
    _dir: TempDir,
}

/// An app that hangs: connections queue up and nobody accepts them.
pub(crate) fn app_with_full_backlog(place: Place) -> FullBacklog {
    let dir = TempDir::new();
    let wanted = match place {
        Place::Tcp => Address::parse("127.0.0.1:0"),
        Place::Unix => Address::Unix(dir.join("app.sock")),
        Place::Abstract => Address::Abstract(dir.path().display().to_string()),
    };
    let (listener, address) = listen(&wanted, 1);
    // A backlog of N admits N + 1, on both kinds.
    let filling = (0..2)
        .map(|_| {
            let socket = address.socket();
            socket.connect(&address.sock_addr()).expect("room for two");
            socket
        })
        .collect();
    FullBacklog {
        address,
        listener,
        filling,
        _dir: dir,
    }
}

impl FullBacklog {
    pub(crate) fn target(&self) -> String {
        self.address.to_string()
    }

    /// Accepts what fills the queue and answers whoever comes next, once.
    pub(crate) fn release(&mut self) {
        for _ in self.filling.drain(..) {
            self.listener.accept().expect("one that filled the queue");
        }
        let (socket, _) = self.listener.accept().expect("the proxy");
        let mut conn = Conn {
            wire: super::wire::Wire::new(socket),
            number: 0,
        };
        if conn.request().is_some() {
            conn.answer("ok");
        }
    }
}
