//! The inside of the wall: in its namespace, it makes ports few, and measures each way to the app.
//!
//! What it finds it says to the outside in lines, on the standard output; it knows nothing of tables. App and clients
//! are in this process, the proxy is another one. It refuses to work where it would change a network that is not its
//! own.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use lasthop_kernel::limits;
use tokio::runtime::{Builder, LocalOptions};

use super::clients::Clients;
use super::row::{Row, Way};
use super::{Line, Size};
use crate::demo::DemoError;
use crate::demo::app::App;
use crate::demo::load::Destination;
use crate::demo::ports;
use crate::demo::proxy::Proxy;

/// The first of the few source ports.
const FIRST_PORT: u64 = 40_000;
/// The app's port for the first way, outside of the range; each way has the next one, so that what one has closed is
/// not in the way of another.
const APP_PORT: u16 = 3000;
/// How long a request waits for a source port: a tenth of the default, so that nobody waits long for the refusals.
pub(super) const QUEUE_MILLISECONDS: u32 = 500;

/// In the directory for its files: which network is the outside's.
pub(super) const OUTSIDE_FILE: &str = "outside";
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Plays inside: `directory` is for its files, `out` is what the outside reads.
///
/// # Errors
/// Where this is no namespace of the demo's own, or where a measurement cannot be made. Whoever started it is told of a
/// namespace whose settings cannot be changed in a line, and that is no error.
pub fn run(directory: &Path, out: &mut impl Write) -> Result<(), DemoError> {
    let host = |attempt| move |source| DemoError::Host { attempt, source };
    let writing = host("tell what it found");
    if !is_our_own(directory).map_err(host("see which network it is in"))? {
        return Err(DemoError::Wall {
            what: "works only where `lasthop demo` itself starts it",
        });
    }
    let limit = limits::raise_nofile().map_err(|error| DemoError::Host {
        attempt: "raise its limit of descriptors",
        source: io::Error::other(error),
    })?;
    let size = Size::within(limit.hard).ok_or(DemoError::Wall {
        what: "has too few descriptors",
    })?;
    let range = format!("{FIRST_PORT} {}", FIRST_PORT + size.ports - 1);
    if let Err(error) = std::fs::write(PORT_RANGE, range) {
        let left_out = Line::LEFT_OUT;
        return writeln!(out, "{left_out}{PORT_RANGE} cannot be written ({error})")
            .map_err(writing);
    }
    writeln!(out, "{}", Line::READY).map_err(writing)?;
    let binary = std::env::current_exe().map_err(host("find its own binary"))?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(host("make a runtime"))?;
    for (way, port) in Way::ALL.into_iter().zip(APP_PORT..) {
        let app = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let row = runtime.block_on(measure(way, app, size.asked, directory, &binary))?;
        writeln!(out, "{row}")
            .and_then(|()| out.flush())
            .map_err(writing)?;
    }
    Ok(())
}

/// The namespace of the calling process, under a name that no two share: `net:[4026531840]` (namespaces(7)).
pub(super) fn network() -> io::Result<String> {
    let name = std::fs::read_link("/proc/self/ns/net")?;
    Ok(name.to_string_lossy().into_owned())
}

/// Whether the outside has noted its network, and this is another one. For root of the host, nothing else would be in
/// the way of changing the host's range.
fn is_our_own(directory: &Path) -> io::Result<bool> {
    let outside = match std::fs::read_to_string(directory.join(OUTSIDE_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        read => read?,
    };
    Ok(outside != network()?)
}

/// One way, with an app and a proxy of its own.
async fn measure(
    way: Way,
    app: SocketAddrV4,
    asked: u64,
    directory: &Path,
    binary: &Path,
) -> Result<Row, DemoError> {
    let host = |attempt| move |source| DemoError::Host { attempt, source };
    let app = App::start_at(app, 0, directory).map_err(host("start its app"))?;
    let front = directory.join(format!("{}.sock", way.word()));
    let file = directory.join(format!("{}.toml", way.word()));
    let config = config(way, &front, &app).ok_or(DemoError::Host {
        attempt: "write down the path of its sockets",
        source: io::ErrorKind::InvalidFilename.into(),
    })?;
    std::fs::write(&file, config).map_err(host("write a configuration"))?;
    let proxy = Proxy::start_with(binary, &file)?;
    let Destination::Unix(address) = proxy.destination() else {
        return Err(DemoError::Wall {
            what: "has a proxy at another address than it was told",
        });
    };
    let mut clients = Clients::ask(address, asked).await;
    let echoed = clients.echo().await;
    let counting = "read /proc/net/tcp";
    let ports = ports::towards(app.tcp_address()).map_err(host(counting))?;
    let sources = ports::peers(app.tcp_address()).map_err(host(counting))?;
    Ok(Row {
        way,
        asked,
        held: clients.held(),
        echoed,
        ports: ports.held,
        sources: sources.into_iter().collect(),
        refusal: clients.refusal.take(),
    })
}

/// The whole configuration of the proxy: what is not said is as it is by default. The client is told why it is refused,
/// since it is shown. `None` where a path is no text.
fn config(way: Way, front: &Path, app: &App) -> Option<String> {
    let front = quoted(&format!("unix:{}", front.to_str()?));
    let target = match way {
        Way::Kernel | Way::Default => app.tcp_address().to_string(),
        Way::Unix => format!("unix:{}", app.unix_path().to_str()?),
    };
    let target = quoted(&target);
    let source = match way {
        Way::Kernel => "source = \"kernel\"\n",
        Way::Default | Way::Unix => "",
    };
    Some(format!(
        "[server]\nworkers = 1\nerror_details = true\n[log]\naccess = \"off\"\n[[listener]]\naddress = {front}\n\
         [[upstream]]\nname = \"app\"\ntargets = [{target}]\nqueue = {{ timeout = \"{QUEUE_MILLISECONDS}ms\" }}\n{source}"
    ))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::scratch::Scratch;

    #[test]
    fn it_does_not_work_in_a_network_that_is_not_its_own() {
        let scratch = Scratch::new().unwrap();
        assert!(!is_our_own(scratch.path()).unwrap(), "nobody started it");
        let outside = scratch.path().join(OUTSIDE_FILE);
        std::fs::write(&outside, network().unwrap()).unwrap();
        assert!(!is_our_own(scratch.path()).unwrap());
        std::fs::write(&outside, "net:[1]").unwrap();
        assert!(is_our_own(scratch.path()).unwrap());
    }

    #[test]
    fn a_path_is_the_same_after_a_reader_of_toml() {
        assert_eq!(quoted("unix:/tmp/a b"), "\"unix:/tmp/a b\"");
        assert_eq!(quoted("\"\\\u{1b}ü"), "\"\\\"\\\\\\u001Bü\"");
    }

    #[test]
    fn only_the_first_way_says_something_about_sources() {
        let scratch = Scratch::new().unwrap();
        let app = App::start(0, scratch.path()).unwrap();
        let front = scratch.path().join("front.sock");
        let [kernel, default, unix] = Way::ALL.map(|way| config(way, &front, &app).unwrap());
        assert_eq!(kernel, format!("{default}source = \"kernel\"\n"));
        assert!(
            !unix.contains("source") && unix.contains("app.sock"),
            "{unix}"
        );
    }
}
