//! The process under test: started with a configuration of the test's own, on ports that the kernel chooses, ended with the test.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lines::Lines;
use super::{Address, App, Client, PATIENCE, TempDir};
use super::{logs, process};

/// The binary that cargo has built for this test.
pub(crate) fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_lasthop")
}

/// A configuration in parts: each test names only what it is about.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    targets: Vec<String>,
    server: String,
    listener: String,
    upstream: String,
    route: String,
    more: String,
    address: String,
    words: Vec<String>,
    prepare: fn(&mut Command) -> &mut Command,
}

impl Setup {
    /// One listener on TCP, one worker, one route to one upstream with these targets.
    pub(crate) fn to(targets: &[&str]) -> Self {
        Self {
            targets: targets.iter().map(|t| (*t).to_owned()).collect(),
            server: "workers = 1\nerror_details = true\n".to_owned(),
            listener: String::new(),
            upstream: String::new(),
            route: String::new(),
            more: String::new(),
            address: "127.0.0.1:0".to_owned(),
            words: vec![binary().to_owned(), "run".to_owned()],
            prepare: |command| command,
        }
    }

    /// Keys for `[server]`.
    pub(crate) fn server(mut self, lines: &str) -> Self {
        for line in lines.lines() {
            let key = line.split('=').next().unwrap_or_default().trim();
            self.server = self
                .server
                .lines()
                .filter(|old| old.split('=').next().unwrap_or_default().trim() != key)
                .map(|old| format!("{old}\n"))
                .collect();
            self.server.push_str(line.trim());
            self.server.push('\n');
        }
        self
    }

    /// Keys for the `[[listener]]`.
    pub(crate) fn listener(mut self, lines: &str) -> Self {
        self.listener.push_str(&format!("{lines}\n"));
        self
    }

    /// Keys for the `[[upstream]]`.
    pub(crate) fn upstream(mut self, lines: &str) -> Self {
        self.upstream.push_str(&format!("{lines}\n"));
        self
    }

    /// Keys for the `[[route]]`.
    pub(crate) fn route(mut self, lines: &str) -> Self {
        self.route.push_str(&format!("{lines}\n"));
        self
    }

    /// Further tables.
    pub(crate) fn more(mut self, tables: &str) -> Self {
        self.more.push_str(&format!("{tables}\n"));
        self
    }

    /// The address of the listener instead of `127.0.0.1:0`.
    pub(crate) fn on(mut self, address: &str) -> Self {
        self.address = address.to_owned();
        self
    }

    /// These words instead of `lasthop run`; the path of the configuration follows.
    pub(crate) fn instead_of_binary(mut self, words: &[&str]) -> Self {
        self.words = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Runs the binary from a shell that first does `setting`, such as `ulimit -n 64`.
    pub(crate) fn under(self, setting: &str) -> Self {
        let script = format!("{setting}; exec \"$0\" \"$@\"");
        self.instead_of_binary(&["sh", "-c", &script, binary(), "run"])
    }

    /// Something is done to the command before it starts, such as taking an option of the kernel from it.
    pub(crate) fn prepared(mut self, prepare: fn(&mut Command) -> &mut Command) -> Self {
        self.prepare = prepare;
        self
    }

    /// The configuration file.
    pub(crate) fn toml(&self) -> String {
        let Self {
            targets,
            server,
            listener,
            upstream,
            route,
            more,
            address,
            ..
        } = self;
        format!(
            "[server]\n{server}\n\
             [[listener]]\nname = \"front\"\naddress = \"{address}\"\n{listener}\n\
             [[upstream]]\nname = \"app\"\ntargets = {targets:?}\n{upstream}\n\
             [[route]]\nupstream = \"app\"\n{route}\n{more}\n"
        )
    }

    /// Starts it and waits until it serves.
    pub(crate) fn start(self) -> Lasthop {
        match self.try_start() {
            Ok(lasthop) => lasthop,
            Err((status, stderr)) => panic!("lasthop ended at once: {status}\n{stderr}"),
        }
    }

    /// Starts it; what it said and how it ended if it does not come to serve.
    pub(crate) fn try_start(self) -> Result<Lasthop, (ExitStatus, String)> {
        let dir = TempDir::new();
        let file = dir.join("lasthop.toml");
        std::fs::write(&file, self.toml()).expect("a configuration file");
        let listeners = 1 + self.more.matches("[[listener]]").count();
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).arg(&file);
        (self.prepare)(&mut command);
        Lasthop::spawn(command, listeners, dir)
    }
}

/// One running lasthop, killed when dropped.
pub(crate) struct Lasthop {
    child: Child,
    /// What it listens on, with the names.
    pub(crate) listening: Vec<(Address, String)>,
    stderr: Lines,
    stdout: Lines,
    /// Of the configuration file.
    _dir: TempDir,
}

impl Lasthop {
    /// In front of one app, with one worker and the defaults.
    pub(crate) fn before(app: &App) -> Self {
        Setup::to(&[&app.target()]).start()
    }

    /// `lasthop run` with flags.
    pub(crate) fn with_flags(flags: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.arg("run").args(flags);
        let listeners = flags.iter().filter(|flag| **flag == "--listen").count();
        Self::spawn(command, listeners, TempDir::new())
            .unwrap_or_else(|(status, stderr)| panic!("{flags:?}: {status}\n{stderr}"))
    }

    fn spawn(
        mut command: Command,
        listeners: usize,
        dir: TempDir,
    ) -> Result<Self, (ExitStatus, String)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = Lines::of(child.stdout.take().expect("a pipe"));
        let stderr = Lines::of(child.stderr.take().expect("a pipe"));
        let mut lasthop = Self {
            child,
            listening: Vec::new(),
            stderr,
            stdout,
            _dir: dir,
        };
        for n in 0..listeners {
            let Some(line) = lasthop.stderr.nth_with("listening on ", n, PATIENCE) else {
                // Ended, or hangs: either way it does not serve.
                let _ = lasthop.child.kill();
                let status = lasthop.child.wait().expect("a child of ours");
                return Err((status, lasthop.stderr.to_end(PATIENCE)));
            };
            let line = line
                .strip_prefix("listening on ")
                .map(|line| match line.strip_suffix(')') {
                    Some(line) => line.rsplit_once(" (").expect("ADDRESS (NAME)"),
                    None => (line, line),
                })
                .unwrap_or_else(|| panic!("the line on stderr: {line:?}"));
            lasthop
                .listening
                .push((Address::parse(line.0), line.1.to_owned()));
        }
        Ok(lasthop)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where the first listener is.
    pub(crate) fn address(&self) -> &Address {
        &self.listening[0].0
    }

    /// Where the admin address is, as the log tells.
    pub(crate) fn admin(&self) -> Address {
        let line = self.logs(&["admin address open"]);
        let (_, address) = line.split_once("address=\"").expect("the field `address`");
        Address::parse(address.split('"').next().unwrap_or_default())
    }

    /// A new connection to the first listener.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> super::Answer {
        self.client().request(target)
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .expect("kill(1)");
        assert!(status.success(), "kill -{name}: {status}");
    }

    /// Waits for a line of the log with all of these words.
    pub(crate) fn logs(&self, words: &[&str]) -> String {
        self.stderr
            .find(
                |line| words.iter().all(|word| line.contains(word)),
                PATIENCE,
            )
            .unwrap_or_else(|| panic!("no line with {words:?} in {:#?}", self.stderr.so_far()))
    }

    /// What the log says so far.
    pub(crate) fn log_so_far(&self) -> Vec<String> {
        self.stderr.so_far()
    }

    /// Waits for a line of the access log with all of these words.
    pub(crate) fn access_log(&self, words: &[&str]) -> String {
        self.stdout
            .find(
                |line| words.iter().all(|word| line.contains(word)),
                PATIENCE,
            )
            .unwrap_or_else(|| panic!("no line with {words:?} in {:#?}", self.stdout.so_far()))
    }

    /// Waits until the access log has so many lines, each of them JSON.
    pub(crate) fn access_lines(&self, count: usize) -> Vec<Value> {
        let lines = self.stdout.at_least(count, PATIENCE);
        let lines: Vec<_> = lines.iter().map(|line| logs::access(line)).collect();
        assert!(lines.len() >= count, "of {count} lines came {lines:#?}");
        lines
    }

    /// Waits for the end of standard output and returns all of it.
    pub(crate) fn stdout_to_end(&self) -> String {
        self.stdout.to_end(PATIENCE)
    }

    /// Waits for the end of standard error and returns all of it.
    pub(crate) fn stderr_to_end(&self) -> String {
        self.stderr.to_end(PATIENCE)
    }

    /// Reads neither standard output nor standard error any more, and fills both, with empty lines.
    pub(crate) fn stop_reading(&self) {
        for (output, descriptor) in [(&self.stdout, 1), (&self.stderr, 2)] {
            output.pause();
            process::fill_pipe(self.pid(), descriptor, || output.wait_for_pause(PATIENCE));
        }
    }

    /// Reads on after that.
    pub(crate) fn read_on(&self) {
        self.stdout.go_on();
        self.stderr.go_on();
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits for the end of the process, at most so long.
    pub(crate) fn ends_within(&mut self, time: Duration) -> Option<ExitStatus> {
        // Its standard output ends with it: an event to wait for instead of polling.
        let begun = Instant::now();
        self.stdout.ends_within(time);
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return Some(status);
            }
            if begun.elapsed() > time {
                return None;
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Lasthop {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for line in self.stderr.so_far() {
                // Shown with the failed test only.
                println!("lasthop: {line}");
            }
        }
    }
}
