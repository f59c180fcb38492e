//! Real proxies of others, Debian's nginx and HAProxy, as somebody has them who has read no manual about source ports:
//! one app at one address. Their clients come over a Unix socket, so that only the way to the app takes ports.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::lines::Lines;
use super::programs::{haproxy, nginx};
use super::{Address, PATIENCE, TempDir};

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    Nginx,
    HaProxy,
}

/// A running one; ends with its workers when dropped.
pub(crate) struct RivalProxy {
    child: Child,
    path: PathBuf,
    stderr: Lines,
    _dir: TempDir,
}

impl Rival {
    /// As the kernel names its processes.
    pub(crate) const fn process_name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaProxy => "haproxy",
        }
    }

    /// Starts it in front of the app at `target` and waits until it serves; `Err` where it is not on this machine.
    pub(crate) fn start(self, target: &str) -> Result<RivalProxy, String> {
        let program = match self {
            Self::Nginx => nginx()?,
            Self::HaProxy => haproxy()?,
        };
        let dir = TempDir::new();
        let path = dir.join("front.sock");
        let configuration = dir.join("proxy.conf");
        let text = match self {
            Self::Nginx => nginx_conf(dir.path(), &path, target),
            Self::HaProxy => haproxy_cfg(&path, target),
        };
        std::fs::write(&configuration, text).expect("a configuration file");
        let mut command = Command::new(program);
        match self {
            // Before it has read the file it would write to its packager's log.
            Self::Nginx => command
                .args(["-e", "stderr", "-p"])
                .arg(dir.path())
                .arg("-c"),
            Self::HaProxy => command.args(["-db", "-f"]),
        };
        let mut child = command
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = Lines::of(child.stderr.take().expect("a pipe"));
        let mut proxy = RivalProxy {
            child,
            path,
            stderr,
            _dir: dir,
        };
        proxy.wait_until_it_serves();
        Ok(proxy)
    }
}

fn nginx_conf(dir: &Path, path: &Path, target: &str) -> String {
    let (dir, path) = (dir.display(), path.display());
    // `user root`: the namespace has no other.
    format!(
        "daemon off;\nuser root;\nworker_processes 1;\npid {dir}/pid;\nerror_log stderr;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {dir}/body;\n  proxy_temp_path {dir}/proxy;\n  \
         fastcgi_temp_path {dir}/fastcgi;\n  uwsgi_temp_path {dir}/uwsgi;\n  scgi_temp_path {dir}/scgi;\n  \
         upstream app {{ server {target}; }}\n  \
         server {{\n    listen unix:{path} backlog=4096;\n    location / {{\n      proxy_pass http://app;\n      \
         proxy_http_version 1.1;\n      proxy_set_header Upgrade $http_upgrade;\n      \
         proxy_set_header Connection upgrade;\n      proxy_read_timeout 1h;\n    }}\n  }}\n}}\n"
    )
}

fn haproxy_cfg(path: &Path, target: &str) -> String {
    let path = path.display();
    format!(
        "global\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n  timeout tunnel 1h\n  \
         retries 0\n\
         frontend web\n  bind unix@{path} backlog 4096\n  default_backend app\n\
         backend app\n  server app {target}\n"
    )
}

impl RivalProxy {
    /// Where its clients connect.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The processes that hold connections: workers, or itself where it has none.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let id = self.child.id();
        let file = format!("/proc/{id}/task/{id}/children");
        let children = std::fs::read_to_string(file).expect("a running process");
        let children: Vec<u32> = children
            .split_whitespace()
            .map(|pid| pid.parse().expect("a number"))
            .collect();
        if children.is_empty() {
            vec![id]
        } else {
            children
        }
    }

    fn wait_until_it_serves(&mut self) {
        let begun = Instant::now();
        let address = Address::Unix(self.path.clone());
        while address.socket().connect(&address.sock_addr()).is_err() {
            let ended = self.child.try_wait().expect("a child of ours");
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "it does not serve ({ended:?}): {:?}",
                self.stderr.so_far()
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for RivalProxy {
    fn drop(&mut self) {
        // SIGTERM takes nginx' workers along.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        if !self.stderr.ends_within(Duration::from_secs(3)) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            for line in self.stderr.so_far() {
                println!("proxy: {line}");
            }
        }
    }
}
