//! A Unix socket that can be connected to: by permission, by being there, by having somebody who listens.

use super::paste::{lines, shell, word, words};
use crate::finding::{Remedy, Step};

/// Directories that a unit with `PrivateTmp=yes` has of its own, whatever the path says.
const PRIVATE: [&str; 2] = ["/tmp/", "/var/tmp/"];

/// The sockets of a service below `/run`, made and removed with it.
fn runtime_directory() -> Step {
    lines(
        "the app's unit (systemctl edit), below [Service], for sockets in /run/APP",
        ["RuntimeDirectory=APP", "RuntimeDirectoryMode=0755"],
    )
}

/// Where nobody but one unit sees what is there.
fn is_private(path: &str) -> bool {
    PRIVATE.iter().any(|directory| path.starts_with(directory))
}

fn out_of_tmp() -> Remedy {
    Remedy {
        title: "Move the socket out of /tmp: units with PrivateTmp=yes have a /tmp of their own"
            .to_owned(),
        steps: vec![
            runtime_directory(),
            words("Then the new path in the app and in the proxy, and a restart of both."),
        ],
        undo: vec!["Put the old path back in both, and take the lines out of the unit.".to_owned()],
        risk: Some("Whoever else knows the old path has to learn the new one.".to_owned()),
    }
}

/// Ways to let the proxy connect to `path`.
pub(crate) fn permitted(path: &str) -> Vec<Remedy> {
    let mut see = vec![words(
        "connect(2) needs leave to write to the socket and to search each directory on the way.",
    )];
    if let Some(path) = word(path) {
        see.insert(0, shell([format!("namei -l {path}")]));
    }
    vec![
        Remedy {
            title: "See who may, on the whole way".to_owned(),
            steps: see,
            undo: vec!["It changes nothing.".to_owned()],
            risk: None,
        },
        Remedy {
            title: "Give the proxy's group the socket, where the app makes it".to_owned(),
            steps: vec![
                lines(
                    "the command line of gunicorn, as root or in that group; www-data or nginx is the proxy's group",
                    ["--umask 007 --group www-data"],
                ),
                lines(
                    "a socket unit of systemd, below [Socket]",
                    ["SocketGroup=www-data", "SocketMode=0660"],
                ),
                lines(
                    "the pool of PHP-FPM",
                    ["listen.group = www-data", "listen.mode = 0660"],
                ),
                words(
                    "uvicorn lets everybody write to its socket, so that with it a directory is in the way.",
                ),
            ],
            undo: vec!["Take the setting out, and restart the app.".to_owned()],
            risk: Some("Whoever is in that group may talk to the app past the proxy.".to_owned()),
        },
        Remedy {
            title: "Or open the directory: one that others may search".to_owned(),
            steps: vec![runtime_directory()],
            undo: vec!["Take the lines out, and restart the app.".to_owned()],
            risk: Some(
                "A home directory is better left closed: move the socket to /run.".to_owned(),
            ),
        },
    ]
}

/// Ways to have a socket at `path`.
pub(crate) fn present(path: &str) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    if is_private(path) {
        remedies.push(out_of_tmp());
    }
    remedies.push(Remedy {
        title: "Start the app, and compare the two paths".to_owned(),
        steps: vec![
            shell(["ss -xl", "systemctl --failed"]),
            words("ss lists every Unix socket that somebody listens on: is it there under another path?"),
        ],
        undo: vec!["It changes nothing.".to_owned()],
        risk: None,
    });
    remedies.push(Remedy {
        title: "Let the unit make the directory, so that it is there after a boot".to_owned(),
        steps: vec![runtime_directory()],
        undo: vec!["Take the lines out, and restart the app.".to_owned()],
        risk: Some("The directory goes when the service stops, with all that is in it.".to_owned()),
    });
    remedies
}

/// Ways to have somebody listen at `path`, where a file is left of one who did.
pub(crate) fn served(path: &str) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    let again = "gunicorn, uvicorn and PHP-FPM take the old file away themselves.";
    remedies.push(Remedy {
        title: "Start the app again".to_owned(),
        steps: vec![words(again)],
        undo: vec!["Stop it.".to_owned()],
        risk: None,
    });
    if let Some(path) = word(path) {
        remedies.push(Remedy {
            title: "Where it refuses with \"Address already in use\" (98), take the file away first".to_owned(),
            // By its name `ss` would not find every listener: HAProxy and lasthop bind another one and rename it.
            steps: vec![
                shell([format!(
                    "curl -sv --unix-socket {path} http://localhost/ 2>&1 | grep -i refused"
                )]),
                words("Only if that has printed \"Connection refused\":"),
                shell([format!("rm {path}")]),
            ],
            undo: vec!["The app makes the file when it starts.".to_owned()],
            risk: Some(
                "An app whose file is taken away while it listens is out of reach until it is restarted.".to_owned(),
            ),
        });
    }
    remedies.push(Remedy {
        title: "Let the unit keep the directory, so that no file outlives the app".to_owned(),
        steps: vec![runtime_directory()],
        undo: vec!["Take the lines out, and restart the app.".to_owned()],
        risk: Some("The directory goes when the service stops, with all that is in it.".to_owned()),
    });
    remedies
}
