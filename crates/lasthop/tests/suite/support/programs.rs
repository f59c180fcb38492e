//! The real programs that some tests stand on: where they are, and what happens when one is missing.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::lasthop::binary;
use super::lines::Lines;
use super::{Address, App, Lasthop, PATIENCE, Setup, TempDir};

/// Says that a test is skipped, past the capture of the test harness; with `LASTHOP_REQUIRE_PEERS=1` it fails instead.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(
        std::env::var_os("LASTHOP_REQUIRE_PEERS").is_none_or(|v| v != "1"),
        "{test}: {reason}, and LASTHOP_REQUIRE_PEERS=1 asks for it"
    );
    // In one piece, because other tests write too; a lost line is no failure.
    let line = format!("SKIPPED: {test}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A file of `tests/peers/`.
pub(crate) fn peer(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/peers")
        .join(name)
}

/// A Python that has gunicorn, uvicorn and websockets: `LASTHOP_PEERS_PYTHON`, else `python3`.
pub(crate) fn python() -> Result<String, String> {
    let python = std::env::var("LASTHOP_PEERS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    works(&python, &["-c", "import gunicorn, uvicorn, websockets"])
        .map_err(|why| format!("no Python with gunicorn, uvicorn and websockets ({why})"))?;
    Ok(python)
}

pub(crate) fn node() -> Result<String, String> {
    works("node", &["--version"]).map(|()| "node".to_owned())
}

pub(crate) fn curl() -> Result<String, String> {
    works("curl", &["--version"]).map(|()| "curl".to_owned())
}

/// Prometheus and its tool that judges pages.
pub(crate) fn prometheus() -> Result<(String, String), String> {
    works("prometheus", &["--version"])?;
    works("promtool", &["--version"])?;
    Ok(("prometheus".to_owned(), "promtool".to_owned()))
}

pub(crate) fn nginx() -> Result<&'static str, String> {
    works("nginx", &["-v"]).map(|()| "nginx")
}

pub(crate) fn haproxy() -> Result<&'static str, String> {
    works("haproxy", &["-v"]).map(|()| "haproxy")
}

/// A browser that speaks the DevTools protocol.
pub(crate) fn chromium() -> Result<String, String> {
    works("chromium", &["--version"])?;
    Ok("chromium".to_owned())
}

/// ip(8), which gives a namespace addresses.
pub(crate) fn ip() -> Result<(), String> {
    works("ip", &["-Version"])
}

/// nft(8), which gives it rules.
pub(crate) fn nft() -> Result<(), String> {
    works("nft", &["--version"])
}

fn works(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    Err(format!("{program}: {last}"))
}

/// The real apps that stand behind lasthop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// gunicorn with four sync workers: each serves one connection at a time and closes it after the answer.
    Gunicorn,
    Uvicorn,
    Node,
}

/// A running real app; its whole process group ends when it is dropped.
pub(crate) struct RealApp {
    child: Child,
    address: Address,
    output: Lines,
    /// Of the socket, unless the test has its own.
    dir: Option<TempDir>,
}

impl RealApp {
    /// Starts an app over TCP or on a Unix socket and waits until it listens; `Err` when its program is missing.
    pub(crate) fn start(kind: Kind, unix: bool) -> Result<Self, String> {
        let dir = TempDir::new();
        let path = dir.join("app.sock");
        let mut app = Self::spawn(kind, unix.then_some(path.as_path()))?;
        app.dir = Some(dir);
        Ok(app)
    }

    /// Starts an app on this Unix socket.
    pub(crate) fn start_at(kind: Kind, path: &Path) -> Result<Self, String> {
        Self::spawn(kind, Some(path))
    }

    fn spawn(kind: Kind, path: Option<&Path>) -> Result<Self, String> {
        let (mut command, ready) = command(kind, path)?;
        let mut child = command
            .current_dir(peer(""))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Lines::of(child.stderr.take().expect("a pipe"));
        let line = output.find(|line| line.contains(ready), PATIENCE);
        let line =
            line.unwrap_or_else(|| panic!("{kind:?} does not listen: {:?}", output.so_far()));
        let address = match path {
            Some(path) => Address::Unix(path.to_owned()),
            None => {
                let (_, rest) = line.split_once("http://").expect("the address of the app");
                Address::parse(rest.split([' ', '/']).next().unwrap_or_default())
            }
        };
        Ok(Self {
            child,
            address,
            output,
            dir: None,
        })
    }

    pub(crate) fn target(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for RealApp {
    fn drop(&mut self) {
        // SIGTERM lets gunicorn take its workers along; it and Node and uvicorn end at once then.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        if !self.output.ends_within(Duration::from_secs(3)) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        drop(self.dir.take());
        if std::thread::panicking() {
            for line in self.output.so_far() {
                println!("app: {line}");
            }
        }
    }
}

/// How an app is started, and what its log says once it listens; with the address if that is the kernel's choice.
fn command(kind: Kind, path: Option<&Path>) -> Result<(Command, &'static str), String> {
    let path = path.map(|path| path.display().to_string());
    Ok(match kind {
        Kind::Gunicorn => {
            let mut command = Command::new(python()?);
            let bind = path.map_or("127.0.0.1:0".to_owned(), |path| format!("unix:{path}"));
            command.args(["-m", "gunicorn", "--workers", "4", "--timeout", "60"]);
            command.args(["--graceful-timeout", "1", "--bind", &bind, "app_wsgi:app"]);
            (command, "Listening at: ")
        }
        Kind::Uvicorn => {
            let mut command = Command::new(python()?);
            command.args(["-m", "uvicorn", "--no-access-log"]);
            command.args(["--timeout-graceful-shutdown", "1"]);
            match &path {
                Some(path) => command.args(["--uds", path]),
                None => command.args(["--port", "0"]),
            };
            command.arg("app_asgi:app");
            (command, "Uvicorn running on ")
        }
        Kind::Node => {
            let mut command = Command::new(node()?);
            command.arg("app.mjs").args(path);
            (command, "listening at ")
        }
    })
}

/// Starts a proxy that may not use the app's socket file, and the directory that has to outlive it; none, said
/// loudly, where that cannot be had.
pub(crate) fn without_permission(setup: Setup, app: &App) -> Option<(Lasthop, TempDir)> {
    let Address::Unix(path) = app.address() else {
        panic!("a Unix socket")
    };
    let chmod = |bits| {
        let mode = std::fs::Permissions::from_mode(bits);
        std::fs::set_permissions(path, mode).expect("chmod");
    };
    let dir = TempDir::new();
    if std::fs::metadata("/proc/self").expect("/proc").uid() != 0 {
        chmod(0o000);
        return Some((setup.start(), dir));
    }
    // Root may do everything, so the proxy runs as nobody, from a place where nobody may execute it.
    let copy = dir.join("lasthop");
    std::fs::copy(binary(), &copy).expect("a copy");
    chmod(0o755);
    let copy = copy.display().to_string();
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        &copy,
        "run",
    ];
    match setup.instead_of_binary(&nobody).try_start() {
        Ok(proxy) => Some((proxy, dir)),
        Err((_, said)) if !said.contains("lasthop") => {
            skip(&format!("setpriv(1): {said}"));
            None
        }
        Err((status, said)) => panic!("{status}: {said}"),
    }
}
