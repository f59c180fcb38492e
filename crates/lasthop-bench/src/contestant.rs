//! Who holds connections against whom: a proxy, the transport to the app, and whether its configuration is its usual one.

use crate::error::BenchError;
use crate::rival::{Found, Rival, fleet};
use crate::upstream::Transport;

/// One row of the tables of `hold`, one curve of `fill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) rival: Rival,
    pub(crate) over: Transport,
    /// Made by hand for this: several source addresses for one app.
    pub(crate) several_sources: bool,
}

/// All, in the order of runs and of rows. One name may stand for two: over TCP and over a Unix socket.
pub(crate) const ALL: [Contestant; 8] = [
    usual("lasthop", Rival::Lasthop, Transport::Tcp),
    usual("nginx", Rival::Nginx, Transport::Tcp),
    by_hand("nginx-sources", Rival::Nginx),
    usual("haproxy", Rival::Haproxy, Transport::Tcp),
    by_hand("haproxy-sources", Rival::Haproxy),
    usual("lasthop", Rival::Lasthop, Transport::Unix),
    usual("nginx", Rival::Nginx, Transport::Unix),
    usual("haproxy", Rival::Haproxy, Transport::Unix),
];

const fn usual(name: &'static str, rival: Rival, over: Transport) -> Contestant {
    Contestant {
        name,
        rival,
        over,
        several_sources: false,
    }
}

const fn by_hand(name: &'static str, rival: Rival) -> Contestant {
    Contestant {
        name,
        rival,
        over: Transport::Tcp,
        several_sources: true,
    }
}

impl Contestant {
    /// What was configured for so many connections, in words.
    pub(crate) fn setting(&self, connections: usize) -> Result<String, BenchError> {
        let processes = fleet::processes_needed(self.rival, connections)?;
        let them = match (self.rival, processes) {
            (Rival::Lasthop, 1) => "1 instance with one worker".to_owned(),
            (Rival::Lasthop, _) => {
                format!("{processes} instances with one worker each, `share = true`")
            }
            (Rival::Nginx, 1) => "1 worker".to_owned(),
            (Rival::Nginx, _) => format!("{processes} workers, `listen … reuseport`"),
            (_, 1) => "1 process with one thread".to_owned(),
            (_, _) => format!("{processes} processes with one thread each on one address"),
        };
        let sources = fleet::sources_needed(connections).len();
        let rest = match (self.several_sources, self.rival, self.over) {
            (true, Rival::Nginx, _) => {
                format!("`split_clients` and `proxy_bind` over {sources} sources")
            }
            (true, _, _) => format!("{sources} `server` lines, each with a `source`"),
            (false, Rival::Lasthop, _) => "defaults".to_owned(),
            (false, _, Transport::Tcp) => "no source address configured".to_owned(),
            (false, _, Transport::Unix) => "one socket file".to_owned(),
        };
        Ok(format!("{them}; {rest}"))
    }
}

/// Contestants with their proxies, and in words who was left out and why.
pub(crate) type Chosen = (Vec<(Contestant, Found)>, Vec<String>);

/// What a run of one of them came to, or why to nothing.
pub(crate) type Run<T> = (Contestant, Result<T, String>);

/// Those over `transports` that `only` names and whose proxy is there, with it; in words those whose proxy is not there.
pub(crate) fn chosen(
    transports: &[Transport],
    only: &[String],
    find: impl Fn(Rival) -> Result<Found, String>,
) -> Result<Chosen, BenchError> {
    let (mut there, mut missing) = (Vec::new(), Vec::<String>::new());
    let wanted = ALL.into_iter().filter(|one| {
        transports.contains(&one.over) && (only.is_empty() || only.iter().any(|n| n == one.name))
    });
    for contestant in wanted {
        match find(contestant.rival) {
            Ok(found) => there.push((contestant, found)),
            Err(reason) if missing.contains(&reason) => {}
            Err(reason) => {
                crate::say(&format!("LEFT OUT: {reason}"));
                missing.push(reason);
            }
        }
    }
    if there.is_empty() {
        return Err(BenchError::Nobody(missing.join("; ")));
    }
    Ok((there, missing))
}

/// For the command line: a name that exists.
pub(crate) fn known(text: &str) -> Result<String, String> {
    if ALL.iter().any(|one| one.name == text) {
        return Ok(text.to_owned());
    }
    let mut names: Vec<&str> = ALL.iter().map(|one| one.name).collect();
    names.sort_unstable();
    names.dedup();
    Err(format!("there are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(rival: Rival) -> Result<Found, String> {
        if rival == Rival::Haproxy {
            return Err("haproxy: not in PATH".to_owned());
        }
        Ok(Found {
            rival,
            binary: "/bin/true".into(),
            version: "1".to_owned(),
        })
    }

    #[test]
    fn who_is_not_there_is_left_out_and_named_once() {
        let both = [Transport::Tcp, Transport::Unix];
        let (there, missing) = chosen(&both, &[], find).unwrap();
        assert_eq!(there.len(), 5);
        assert_eq!(missing, ["haproxy: not in PATH"]);
        let only = ["nginx".to_owned()];
        let (there, _) = chosen(&[Transport::Tcp], &only, find).unwrap();
        assert_eq!(there.len(), 1);
        assert!(chosen(&both, &["haproxy".to_owned()], find).is_err());
    }

    #[test]
    fn each_has_its_configuration_in_words() {
        for contestant in ALL {
            let setting = contestant.setting(100_000).unwrap();
            assert_eq!(
                setting.contains("sources") || setting.contains("`source`"),
                contestant.several_sources,
                "{setting}"
            );
        }
    }
}
