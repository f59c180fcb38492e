//! A proxy whose source ports are watched: on a Unix socket, so that its clients need none, and its admin address too.

use super::namespace::raise_descriptors;
use super::{Address, Client, Lasthop, Setup, TempDir};

/// The proxy and what it tells of its ports.
pub(crate) struct Watched {
    pub(crate) proxy: Lasthop,
    admin: Address,
    _dir: TempDir,
}

impl Watched {
    /// With one target and these keys of the upstream.
    pub(crate) fn to(target: &str, upstream: &str) -> Self {
        Self::start(Setup::to(&[target]).upstream(upstream))
    }

    /// Anything else; the listener and the admin address are this function's.
    pub(crate) fn start(setup: Setup) -> Self {
        raise_descriptors();
        let dir = TempDir::new();
        let front = format!("unix:{}", dir.join("front.sock").display());
        let admin = dir.join("admin.sock");
        let address = format!("[admin]\naddress = \"unix:{}\"", admin.display());
        let proxy = setup.on(&front).more(&address).start();
        Self {
            proxy,
            admin: Address::Unix(admin),
            _dir: dir,
        }
    }

    /// The samples of `/metrics` whose line begins so, added up.
    pub(crate) fn metric(&self, begin: &str) -> u64 {
        let page = self.page("/metrics");
        let samples = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(begin)?;
            let (_, value) = rest.rsplit_once(' ')?;
            value.parse::<u64>().ok()
        });
        samples.sum()
    }

    /// `/status`.
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.page("/status")).expect("JSON")
    }

    fn page(&self, path: &str) -> String {
        let answer = Client::connect(&self.admin).request_as("127.0.0.1", path);
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.text()
    }
}
