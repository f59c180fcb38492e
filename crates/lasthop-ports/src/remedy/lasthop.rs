//! What to write into a lasthop.toml. Source: docs/configuration.md and docs/ports.md.

use super::generic::{NEW_PEERS, SOCKET, let_app_listen};
use super::paste::{lines, shell, words};
use super::{Plight, Ways};
use crate::finding::{Remedy, Step};

/// This version reads its configuration once.
const AS_BEFORE: &str = "put back the lines as they were and restart lasthop";

pub(super) const WAYS: Ways = Ways {
    unix,
    addresses,
    fewer,
};

fn unix(plight: &Plight<'_>) -> Option<Remedy> {
    plight.is_local().then(|| Remedy {
        title: "lasthop: connect over a Unix socket, which has no ports to run out of".to_owned(),
        steps: vec![
            let_app_listen(plight),
            lines(
                format!("lasthop.toml, in the [[upstream]] with {}", plight.target()),
                [format!("targets = [\"unix:{SOCKET}\"]")],
            ),
            check(),
            restart(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: Some(
            "the user that lasthop runs as needs permission to write to the socket".to_owned(),
        ),
    })
}

fn addresses(plight: &Plight<'_>) -> Option<Remedy> {
    plight.is_local().then(|| Remedy {
        title: "lasthop: let it spread over more addresses by itself".to_owned(),
        steps: vec![
            lines(
                format!("lasthop.toml, in the [[upstream]] with {}", plight.target()),
                ["source = \"auto\""],
            ),
            check(),
            restart(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: plight
            .sources()
            .is_some()
            .then(|| NEW_PEERS.replace("127.0.0.2", "127.64.0.1")),
    })
}

fn fewer(plight: &Plight<'_>) -> Option<Remedy> {
    plight.churns().then(|| Remedy {
        title: "lasthop: keep connections to the app and use them again".to_owned(),
        steps: vec![
            lines(
                format!("lasthop.toml, in the [[upstream]] with {}", plight.target()),
                ["keepalive = { idle = 256, timeout = \"1500ms\" }"],
            ),
            check(),
            restart(),
        ],
        undo: vec![AS_BEFORE.to_owned()],
        risk: None,
    })
}

fn check() -> Step {
    shell(["lasthop check /etc/lasthop/lasthop.toml"])
}

fn restart() -> Step {
    words(
        "Then restart lasthop: SIGTERM lets it finish what is under way, and the configuration is read at the start.",
    )
}
