//! A real browser, without a window, driven over its DevTools protocol on a pipe.
//!
//! Messages are JSON, each ended by a zero byte, on descriptors 3 and 4 of the browser (`--remote-debugging-pipe`), so there
//! is no port and no WebSocket. One page at a time. Ends when dropped.
//!
//! Source: chromedevtools.github.io/devtools-protocol; chromium's `content/browser/devtools/devtools_pipe_handler.cc`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lines::Lines;
use super::{PATIENCE, TempDir};

/// The pipe of the protocol is the standard one here.
const START: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null";

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<Value>,
    stderr: Lines,
    session: String,
    /// How long an answer may take: longer than whatever the page itself waits for.
    patience: Duration,
    next: u64,
    events: Vec<Value>,
    _profile: TempDir,
}

impl Browser {
    /// `program` is what `programs::chromium` found.
    pub(crate) fn start(program: &str) -> Self {
        let profile = TempDir::new();
        let mut child = Command::new("sh")
            .args(["-c", START, program])
            // Root, as in a namespace of a test, has no sandbox; and only our own pages are opened.
            .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
            .args([
                "--no-first-run",
                "--hide-scrollbars",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .arg(format!(
                "--user-data-dir={}",
                profile.join("profile").display()
            ))
            .args(["--remote-debugging-pipe", "about:blank"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh");
        let (sender, answers) = channel();
        let mut pipe = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while matches!(pipe.read_until(0, &mut message), Ok(1..)) {
                let json = serde_json::from_slice(message.strip_suffix(b"\0").unwrap_or(&message));
                if sender.send(json.expect("JSON of the protocol")).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            commands: child.stdin.take().expect("a pipe"),
            stderr: Lines::of(child.stderr.take().expect("a pipe")),
            child,
            answers,
            session: String::new(),
            patience: 2 * PATIENCE,
            next: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", attached);
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// The result of one command.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut command = json!({"id": self.next, "method": method, "params": parameters});
        if !self.session.is_empty() {
            command["sessionId"] = Value::from(&*self.session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands
            .write_all(&bytes)
            .expect("a browser that runs");
        let begun = Instant::now();
        loop {
            let message = self.message(begun, method);
            if message["id"] == self.next {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn message(&self, begun: Instant, waiting_for: &str) -> Value {
        let left = self.patience.saturating_sub(begun.elapsed());
        match self.answers.recv_timeout(left) {
            Ok(message) => message,
            Err(why) => panic!("{waiting_for}: {why}: {:#?}", self.stderr.so_far()),
        }
    }

    /// Opens an address and waits until it has loaded.
    pub(crate) fn open(&mut self, url: &str) {
        self.events
            .retain(|event| event["method"] != "Page.loadEventFired");
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert!(opened.get("errorText").is_none(), "{url}: {opened}");
        self.wait_for_load();
    }

    /// Loads the page again.
    pub(crate) fn reload(&mut self) {
        self.events
            .retain(|event| event["method"] != "Page.loadEventFired");
        self.call("Page.reload", json!({}));
        self.wait_for_load();
    }

    /// Waits for a page that something else than [`Browser::open`] has asked for.
    pub(crate) fn wait_for_load(&mut self) {
        let begun = Instant::now();
        loop {
            let loaded = |event: &Value| event["method"] == "Page.loadEventFired";
            if let Some(at) = self.events.iter().position(loaded) {
                self.events.remove(at);
                return;
            }
            let message = self.message(begun, "the page to load");
            self.events.push(message);
        }
    }

    /// What an expression gives, in the page; a promise is waited for.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", parameters);
        assert!(
            result.get("exceptionDetails").is_none(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    /// Waits until an expression holds, which is looked at whenever the page changes.
    pub(crate) fn wait_until(&mut self, expression: &str, at_most: Duration) {
        let script = format!(
            "new Promise((done) => {{
                const holds = () => Boolean({expression});
                if (holds()) return done(true);
                const watch = new MutationObserver(() => {{ if (holds()) {{ watch.disconnect(); done(true); }} }});
                watch.observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }});
                setTimeout(() => done(false), {});
            }})",
            at_most.as_millis()
        );
        self.patience = at_most + PATIENCE;
        let held = self.evaluate(&script);
        self.patience = 2 * PATIENCE;
        if held != true {
            let text = self.evaluate("document.body.innerText");
            panic!(
                "{expression} never held: {}",
                text.as_str().unwrap_or("no text")
            );
        }
    }

    /// The size of the window, in CSS pixels.
    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// A picture as PNG in base64 of the first element that a selector finds.
    pub(crate) fn picture(&mut self, selector: &str) -> String {
        self.picture_of(&format!(
            "(() => {{ const it = document.querySelector({selector:?}).getBoundingClientRect();
                return {{ x: it.x + scrollX, y: it.y + scrollY, width: it.width, height: it.height, scale: 1 }}; }})()"
        ))
    }

    /// The same of the page from its top to the end of that element.
    pub(crate) fn picture_down_to(&mut self, selector: &str) -> String {
        self.picture_of(&format!(
            "(() => {{ const end = document.querySelector({selector:?}).getBoundingClientRect().bottom;
                return {{ x: 0, y: 0, width: innerWidth, height: end + scrollY + 16, scale: 1 }}; }})()"
        ))
    }

    fn picture_of(&mut self, place: &str) -> String {
        let parameters = json!({"clip": self.evaluate(place), "captureBeyondViewport": true});
        let picture = self.call("Page.captureScreenshot", parameters);
        picture["data"].as_str().expect("a picture").to_owned()
    }

    /// For each row of a picture, how many of its pixels have about each of these colours.
    pub(crate) fn rows(&mut self, picture: &str, colours: &[[u8; 3]]) -> Vec<Vec<u64>> {
        // The browser decodes its own picture, on a page that allows it.
        self.open("about:blank");
        let rows = self.evaluate(&format!(
            "(async () => {{
                const image = new Image();
                image.src = 'data:image/png;base64,{picture}';
                await image.decode();
                const canvas = new OffscreenCanvas(image.width, image.height);
                const drawing = canvas.getContext('2d');
                drawing.drawImage(image, 0, 0);
                const {{ data }} = drawing.getImageData(0, 0, image.width, image.height);
                const colours = {colours:?};
                const rows = [];
                for (let y = 0; y < image.height; y++) {{
                    const row = colours.map(() => 0);
                    for (let x = 0; x < image.width; x++) {{
                        const at = (y * image.width + x) * 4;
                        colours.forEach((colour, index) => {{
                            const far = colour.reduce((sum, part, i) => sum + Math.abs(part - data[at + i]), 0);
                            if (far < 60) row[index]++;
                        }});
                    }}
                    rows.push(row);
                }}
                return rows;
            }})()"
        ));
        serde_json::from_value(rows).expect("numbers")
    }

    /// Everything that was asked of the network so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        let sent = self
            .events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent");
        let urls = sent.filter_map(|event| event["params"]["request"]["url"].as_str());
        urls.map(ToOwned::to_owned).collect()
    }

    /// What the browser complains of: exceptions, refused resources, what was written to its console.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let complains = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] != "verbose",
            _ => false,
        };
        self.events
            .iter()
            .filter(complains)
            .map(Value::to_string)
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session.clear();
        let close = format!("{}\0", json!({"id": 0, "method": "Browser.close"}));
        // It may have ended already.
        let _ = self.commands.write_all(close.as_bytes());
        let begun = Instant::now();
        // Its end closes the pipe.
        while begun.elapsed() < PATIENCE {
            match self.answers.recv_timeout(PATIENCE) {
                Err(RecvTimeoutError::Disconnected) => break,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes of base64 (RFC 4648) as the protocol writes it.
pub(crate) fn decoded(base64: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |byte: u8| {
        let place = ALPHABET.iter().position(|it| *it == byte);
        u32::try_from(place.expect("base64")).expect("below 64")
    };
    let mut bytes = Vec::new();
    for group in base64.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().fold(0, |bits, byte| bits << 6 | value(*byte));
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
