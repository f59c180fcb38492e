//! What holds for every program, where it is not known which one it is, or it has no line of its own for it.

use super::paste::words;
use super::{Plight, Ways};
use crate::finding::{Remedy, Step};
use crate::snapshot::Program;

/// A path for the lines of others; said to be an example wherever it stands.
pub(super) const SOCKET: &str = "/run/app/app.sock";

/// What an app may notice of connections from other addresses.
pub(super) const NEW_PEERS: &str = "the app sees 127.0.0.2 and so on as its peers; where it believes X-Forwarded-For \
                                    from 127.0.0.1 only, tell it 127.0.0.0/8";

/// What taking lines back comes to.
pub(super) const AS_BEFORE: &str = "put back the lines as they were and reload";

pub(super) const WAYS: Ways = Ways {
    unix,
    addresses,
    fewer,
};

pub(super) fn unix(plight: &Plight<'_>) -> Option<Remedy> {
    plight.is_local().then(|| Remedy {
        title: "Connect over a Unix socket, which has no ports to run out of".to_owned(),
        steps: vec![
            let_app_listen(plight),
            words(
                "Then name the socket instead of the address in the program that connects. Databases have one as a \
                 rule: PostgreSQL in /run/postgresql, MySQL and Redis where their configuration says (socket, \
                 unixsocket).",
            ),
        ],
        undo: vec!["name the address again".to_owned()],
        risk: Some(
            "the socket needs permission to write for the user of the program that connects".to_owned(),
        ),
    })
}

pub(super) fn addresses(plight: &Plight<'_>) -> Option<Remedy> {
    let text = if let Some(targets) = plight.targets() {
        let list: Vec<String> = targets.iter().map(ToString::to_string).collect();
        format!(
            "The app listens on every address. Spread the connections over {}: each has all ports again.",
            list.join(", ")
        )
    } else if plight.sources().is_some() {
        "Bind connections to 127.0.0.2, 127.0.0.3 and so on before connecting, in turn, and set \
         IP_BIND_ADDRESS_NO_PORT (24) on the socket before bind(2): without it each takes its port from the whole \
         host."
            .to_owned()
    } else {
        "Let the app listen on several ports or addresses, or give this host more addresses to connect from (with \
         IP_BIND_ADDRESS_NO_PORT set before bind(2)): each has all ports again."
            .to_owned()
    };
    Some(Remedy {
        title: "Spread the connections over more addresses".to_owned(),
        steps: vec![words(text)],
        undo: vec!["use the one address again".to_owned()],
        risk: None,
    })
}

pub(super) fn fewer(plight: &Plight<'_>) -> Option<Remedy> {
    plight.churns().then(|| Remedy {
        title: "Keep connections and use them again, instead of one for each request".to_owned(),
        steps: vec![words(
            "The program closes its connections itself, and so keeps their ports. Give it a pool, with HTTP/1.1 and \
             keep-alive, and read each answer to its end: a connection with unread bytes cannot be used again.",
        )],
        undo: vec!["take the pool away again".to_owned()],
        risk: None,
    })
}

/// How the app comes to listen on a socket, by what kind of program it is.
pub(super) fn let_app_listen(plight: &Plight<'_>) -> Step {
    let how = match plight.app() {
        Program::Python => {
            "gunicorn: --bind unix:/run/app/app.sock; uvicorn: --uds /run/app/app.sock"
        }
        Program::Node => "Node: server.listen(\"/run/app/app.sock\")",
        Program::Go => "Go: net.Listen(\"unix\", \"/run/app/app.sock\"), then http.Serve",
        Program::Nginx => "nginx: listen unix:/run/app/app.sock;",
        _ => "most servers take a path where they take an address",
    };
    words(format!(
        "Let the app listen on a Unix socket, {SOCKET} in these lines ({how})."
    ))
}
