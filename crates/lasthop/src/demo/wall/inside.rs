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

const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Plays inside: `directory` is for its files, `out` is what the outside reads.
///
/// # Errors
/// Where this is no namespace of the demo's own, or where a measurement cannot be made. Whoever started it is told of a
/// namespace whose settings cannot be changed in a line, and that is no error.
pub fn run(directory: &Path, out: &mut impl Write) -> Result<(), DemoError> {
    let host = |attempt| move |source| DemoError::Host { attempt, source };
    let writing = host("tell what it found");
    if !is_our_own().map_err(host("see which network it is in"))? {
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

/// Whether this is a namespace as [`lasthop_kernel::namespace::isolate`] makes it: one user, and no interface but `lo`.
/// As root of the host, nothing else would keep us from changing the host's range.
fn is_our_own() -> io::Result<bool> {
    let users = std::fs::read_to_string("/proc/self/uid_map")?;
    let interfaces = std::fs::read_to_string("/proc/self/net/dev")?;
    Ok(is_one_user(&users) && is_loopback_alone(&interfaces))
}

/// `INSIDE OUTSIDE COUNT`, a line for each range of users (user_namespaces(7)).
fn is_one_user(map: &str) -> bool {
    map.lines().count() == 1 && map.split_ascii_whitespace().nth(2) == Some("1")
}

/// Two lines of headings, then `NAME: figures` (proc_pid_net(5)).
fn is_loopback_alone(table: &str) -> bool {
    let mut names = table
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'));
    names.next().is_some_and(|(name, _)| name.trim() == "lo") && names.next().is_none()
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
    use crate::config::Config;
    use crate::demo::scratch::Scratch;

    #[test]
    fn it_does_not_work_in_a_network_that_is_not_its_own() {
        assert!(is_one_user("         0       1000          1\n"));
        assert!(!is_one_user("         0          0 4294967295\n"));
        assert!(!is_one_user("0 1000 1\n1 100000 65536\n"));
        assert!(!is_one_user(""));
        let headings = "Inter-|   Receive\n face |bytes\n";
        assert!(is_loopback_alone(&format!("{headings}    lo: 0 0\n")));
        assert!(!is_loopback_alone(&format!(
            "{headings}    lo: 0\n  eth0: 0\n"
        )));
        assert!(!is_loopback_alone(&format!("{headings}  eth0: 0\n")));
        assert!(!is_loopback_alone(headings));
    }

    #[test]
    fn its_configurations_are_sound_wherever_its_files_are() {
        let scratch = Scratch::new().unwrap();
        let directory = scratch.path().join("a \"quoted\" \\ one");
        std::fs::create_dir(&directory).unwrap();
        let app = App::start(0, &directory).unwrap();
        for way in Way::ALL {
            let text = config(way, &directory.join("front.sock"), &app).unwrap();
            let file = directory.join("lasthop.toml");
            std::fs::write(&file, &text).unwrap();
            if let Err(error) = Config::from_file(&file) {
                panic!("{error}\n{text}");
            }
        }
    }
}
