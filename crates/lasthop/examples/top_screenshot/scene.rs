//! An app, an nginx that opens a connection for each request, an instance of lasthop, and clients of both.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lasthop_kernel::process::die_with_parent;

/// Where the instance tells about itself.
pub(crate) const ADMIN: &str = "127.0.0.1:9180";

const NGINX: &str = "127.0.0.1:8080";
const LASTHOP: &str = "127.0.0.1:8081";
const APPS: [&str; 2] = ["127.0.0.1:3000", "127.0.0.1:3001"];

/// Requests each second, at first and then: more than 28,232 ports can bear when each is held for a minute.
const NGINX_RATES: [u32; 2] = [96, 540];
const LASTHOP_RATES: [u32; 2] = [240, 300];

/// How long it is quiet.
pub(crate) const QUIET: Duration = Duration::from_secs(50);

const CLIENTS: u32 = 12;

/// All of it, until it is dropped.
pub(crate) struct Scene {
    children: Vec<Child>,
    directory: PathBuf,
    is_over: Arc<AtomicBool>,
}

impl Scene {
    pub(crate) fn start(binary: &Path) -> Self {
        // As on a host whose app is not on loopback: a port in TIME_WAIT is not used again.
        fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "0").expect("a setting of the namespace");
        let directory = std::env::temp_dir().join(format!("top-screenshot-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        for app in APPS {
            serve(TcpListener::bind(app).expect("the app's address"));
        }
        let children = vec![nginx(&directory), lasthop(binary)];
        for proxy in [NGINX, LASTHOP] {
            wait_for(proxy);
        }
        let is_over = Arc::new(AtomicBool::new(false));
        for (proxy, rates) in [(NGINX, NGINX_RATES), (LASTHOP, LASTHOP_RATES)] {
            for _ in 0..CLIENTS {
                let is_over = Arc::clone(&is_over);
                thread::spawn(move || ask(proxy, rates, &is_over));
            }
        }
        Self {
            children,
            directory,
            is_over,
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// nginx as many a tutorial has it: HTTP/1.1 towards the app, and no `keepalive`.
fn nginx(directory: &Path) -> Child {
    let directory = directory.display();
    let config = format!(
        "user root root; daemon off; master_process off; pid {directory}/pid; error_log /dev/null crit;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; client_body_temp_path {directory}/a; proxy_temp_path {directory}/b;\n\
         fastcgi_temp_path {directory}/c; uwsgi_temp_path {directory}/d; scgi_temp_path {directory}/e;\n\
         server {{ listen {NGINX}; keepalive_requests 1000000; location / {{ proxy_pass http://{};\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n",
        APPS[0]
    );
    let path = format!("{directory}/nginx.conf");
    fs::write(&path, config).expect("a file");
    let mut nginx = Command::new("nginx");
    nginx.args(["-e", "stderr", "-c", &path, "-p", &directory.to_string()]);
    die_with_parent(&mut nginx).spawn().expect("nginx")
}

fn lasthop(binary: &Path) -> Child {
    let mut lasthop = Command::new(binary);
    lasthop
        .args([
            "run", "--listen", LASTHOP, "--to", APPS[1], "--admin", ADMIN,
        ])
        .args(["--access-log", "off", "--workers", "1"])
        .stderr(Stdio::null());
    die_with_parent(&mut lasthop).spawn().expect("lasthop")
}

fn wait_for(address: &str) {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "nobody listens at {address}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// An app that keeps connections open: whoever closes is the proxy.
fn serve(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
}

fn answer(mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut bytes = [0; 2048];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        request.extend_from_slice(&bytes[..count]);
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            // What takes an app its time.
            thread::sleep(Duration::from_millis(2));
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    }
}

/// Asks at these rates, together with the other clients, over connections that are kept.
fn ask(proxy: &str, rates: [u32; 2], is_over: &AtomicBool) {
    let mut connection: Option<BufReader<TcpStream>> = None;
    let begun = Instant::now();
    let mut due = begun;
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let rate = rates[usize::from(begun.elapsed() > QUIET)];
        due += Duration::from_secs(1) * CLIENTS / rate;
        let mut kept = match connection.take() {
            Some(kept) => kept,
            None => match TcpStream::connect(proxy) {
                Ok(stream) => BufReader::new(stream),
                Err(_) => continue,
            },
        };
        if exchange(&mut kept).is_some() {
            connection = Some(kept);
        }
    }
}

/// One request and its answer; none where the connection is of no use any more.
fn exchange(connection: &mut BufReader<TcpStream>) -> Option<()> {
    let request = b"GET / HTTP/1.1\r\nhost: example.com\r\n\r\n";
    connection.get_mut().write_all(request).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).ok()
}
