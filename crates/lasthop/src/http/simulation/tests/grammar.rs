//! Exchanges drawn from a grammar: what clients and apps may say to each other, sound and not.
//!
//! A body tells whose it is, so that bytes of one message in another cannot pass unseen.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Requests on one connection.
const REQUESTS_MAX: usize = 4;

/// A body, as its sender frames it.
#[derive(Clone, Debug)]
pub(super) enum Body {
    None,
    Sized(usize),
    /// Sizes of the chunks, and whether there are extensions and trailers.
    Chunked(Vec<usize>, bool),
    /// An answer's only.
    UntilClose,
}

/// How a client behaves that has announced to wait with its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expects {
    Not,
    /// It waits for the interim answer.
    Waits,
    /// It says so and does not wait.
    Hurries,
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) is_1_0: bool,
    /// What it says about the connection: that it ends (HTTP/1.1), or goes on (HTTP/1.0).
    pub(super) has_connection: bool,
    pub(super) body: Body,
    pub(super) expects: Expects,
    /// It comes only once the request before it is answered.
    pub(super) waits: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Interim answers before it.
    pub(super) hints: usize,
    pub(super) body: Body,
    /// It ends the connection, and says so.
    pub(super) closes: bool,
    pub(super) has_date: bool,
}

/// What client and app are up to once they are past their requests.
#[derive(Clone, Debug)]
pub(super) enum Epilogue {
    /// Nothing.
    Stay,
    /// The client ends its direction right behind its last request.
    HalfClose,
    /// The client leaves once it has all its answers.
    Leave,
    /// A tunnel, with as many bytes said in each of four turns: client (at once), app, client, app.
    Tunnel([usize; 4]),
}

/// An exchange without fault.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) settings: Settings,
    pub(super) pairs: Vec<(Request, Answer)>,
    pub(super) epilogue: Epilogue,
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..40_usize, 2 => 100..3_000_usize, 1 => 15_000..70_000_usize]
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        size().prop_map(Body::Sized),
        (vec(1..30_usize, 0..5), any::<bool>())
            .prop_map(|(chunks, more)| Body::Chunked(chunks, more)),
        (1..40_000_usize, any::<bool>()).prop_map(|(chunk, more)| Body::Chunked(vec![chunk], more)),
    ]
}

pub(super) fn settings() -> impl Strategy<Value = Settings> {
    (
        select(&[0, 64, 64 * 1024][..]),
        select(&[0, 256 * 1024][..]),
        select(&[0, 1 << 24][..]),
    )
        .prop_map(
            |(request_buffer, response_buffer, worker_buffers)| Settings {
                request_buffer,
                response_buffer,
                worker_buffers,
            },
        )
}

fn request() -> impl Strategy<Value = Request> {
    let method = select(&["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH"][..]);
    let expects = select(&[Expects::Not, Expects::Waits, Expects::Hurries][..]);
    let version = prop::bool::weighted(0.1);
    let connection = prop::bool::weighted(0.15);
    (method, version, connection, body(), expects, any::<bool>()).prop_map(
        |(method, is_1_0, has_connection, body, expects, waits)| {
            let takes_body = matches!(method, "POST" | "PUT" | "PATCH");
            let body = match body {
                Body::Chunked(chunks, _) if is_1_0 => Body::Sized(chunks.iter().sum()),
                body if takes_body => body,
                _ => Body::None,
            };
            let body = if takes_body { body } else { Body::None };
            let may_expect = takes_body && !is_1_0;
            Request {
                method,
                is_1_0,
                has_connection,
                body,
                expects: if may_expect { expects } else { Expects::Not },
                waits,
            }
        },
    )
}

fn answer() -> impl Strategy<Value = Answer> {
    let status = select(&[200, 200, 200, 201, 204, 304, 404, 500][..]);
    let body = prop_oneof![4 => body(), 1 => Just(Body::UntilClose)];
    let closes = prop::bool::weighted(0.2);
    (status, 0..3_usize, body, closes, any::<bool>()).prop_map(
        |(status, hints, body, closes, has_date)| Answer {
            status,
            hints,
            closes: closes || matches!(body, Body::UntilClose),
            body,
            has_date,
        },
    )
}

fn epilogue() -> impl Strategy<Value = Epilogue> {
    prop_oneof![
        2 => Just(Epilogue::Stay),
        1 => Just(Epilogue::HalfClose),
        1 => Just(Epilogue::Leave),
        1 => [size(), size(), size(), size()].prop_map(Epilogue::Tunnel),
    ]
}

pub(super) fn exchange() -> impl Strategy<Value = Exchange> {
    (
        settings(),
        vec((request(), answer()), 1..=REQUESTS_MAX),
        epilogue(),
    )
        .prop_map(|(settings, pairs, epilogue)| Exchange {
            settings,
            pairs,
            epilogue,
        })
}

/// A schedule in which anything can happen.
pub(super) fn choices() -> impl Strategy<Value = Schedule> {
    vec(any::<u8>(), 0..160).prop_map(Schedule::Choices)
}

/// `length` bytes that say whose they are.
fn payload(whose: &str, length: usize) -> Vec<u8> {
    whose.bytes().cycle().take(length).collect()
}

impl Body {
    /// Bytes of payload.
    fn length(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Sized(length) => *length,
            Self::Chunked(chunks, _) => chunks.iter().sum(),
            Self::UntilClose => 25,
        }
    }

    /// The fields that announce it.
    fn fields(&self) -> String {
        match self {
            Self::None | Self::UntilClose => String::new(),
            Self::Sized(length) => format!("Content-Length: {length}\r\n"),
            Self::Chunked(..) => "Transfer-Encoding: chunked\r\n".to_owned(),
        }
    }

    fn bytes(&self, whose: &str) -> Vec<u8> {
        let all = payload(whose, self.length());
        let Self::Chunked(chunks, more) = self else {
            return all;
        };
        let mut bytes = Vec::new();
        let mut rest = &all[..];
        let extension = if *more { ";a=\"b\"" } else { "" };
        for &size in chunks {
            let (chunk, after) = rest.split_at(size);
            bytes.extend(format!("{size:X}{extension}\r\n").bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
            rest = after;
        }
        let end = if *more {
            "00\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n"
        } else {
            "0\r\n\r\n"
        };
        bytes.extend(end.bytes());
        bytes
    }
}

impl Settings {
    /// Bytes of a body that are kept until the app has said something. Nothing on a crowded worker.
    pub(super) fn kept_max(self) -> usize {
        if self.worker_buffers == 0 {
            return 0;
        }
        self.request_buffer
    }
}

impl Request {
    pub(super) fn is_idempotent(&self) -> bool {
        !matches!(self.method, "POST" | "PATCH")
    }

    /// What its body may weigh on its way to the app, in bytes. Chunks of one byte carry five more, and the
    /// last one its trailers.
    pub(super) fn weight_max(&self) -> usize {
        match &self.body {
            Body::Chunked(..) => 6 * self.body.length() + 40,
            _ => self.body.length(),
        }
    }

    /// Head and body as they are sent.
    pub(super) fn render(&self, number: usize) -> (Vec<u8>, Vec<u8>) {
        let version = if self.is_1_0 { "1.0" } else { "1.1" };
        let mut head = format!(
            "{} /{number} HTTP/{version}\r\nHost: app.test\r\n{}",
            self.method,
            self.body.fields()
        );
        if self.expects != Expects::Not {
            head += "Expect: 100-continue\r\n";
        }
        match (self.has_connection, self.is_1_0) {
            (true, false) => head += "Connection: close\r\n",
            (true, true) => head += "Connection: keep-alive\r\n",
            (false, _) => {}
        }
        head += "\r\n";
        (head.into(), self.body.bytes(&format!("request {number} ")))
    }
}

impl Answer {
    /// The answer to request number `number`, without what comes before it.
    pub(super) fn render(&self, number: usize, request: &Request) -> Vec<u8> {
        let has_no_body = matches!(self.status, 204 | 304);
        let mut head = format!("HTTP/1.1 {} Some Reason\r\n", self.status);
        if self.status != 204 {
            head += &self.body.fields();
        }
        if self.has_date {
            head += "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        }
        if self.closes {
            head += "Connection: close\r\n";
        }
        head += &format!("X-Answer: {number}\r\n\r\n");
        let mut bytes = head.into_bytes();
        if !has_no_body && request.method != "HEAD" {
            bytes.extend(self.body.bytes(&format!("answer {number} ")));
        }
        bytes
    }

    /// What the app does, from the request's head on.
    fn steps(&self, number: usize, request: &Request) -> Vec<Step> {
        let mut steps = Vec::new();
        if request.expects != Expects::Not {
            steps.push(Step::Wait(Until::Body(0)));
            steps.push(send("HTTP/1.1 100 Continue\r\n\r\n"));
        }
        steps.push(Step::Wait(Until::Whole));
        for hint in 0..self.hints {
            let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: </{number}/{hint}>\r\n\r\n");
            steps.push(send(hint));
        }
        steps.push(Step::Send(self.render(number, request)));
        if self.closes {
            steps.push(Step::Finish(Ending::Close));
        }
        steps
    }
}

impl Exchange {
    /// Both scripts.
    pub(super) fn case(&self) -> Case {
        let mut client = Vec::new();
        let mut app = Vec::new();
        for (number, (request, answer)) in self.pairs.iter().enumerate() {
            let (head, body) = request.render(number);
            if request.waits {
                client.push(Step::Wait(Until::Answers(number)));
            }
            client.push(Step::Send(head));
            if request.expects == Expects::Waits {
                client.push(Step::Wait(Until::MayGoOn(number)));
            }
            client.push(Step::Send(body));
            app.push(vec![answer.steps(number, request)]);
        }
        let mut heads: Vec<bool> = self
            .pairs
            .iter()
            .map(|(request, _)| request.method == "HEAD")
            .collect();
        self.epilogue.append(&mut client, &mut app);
        heads.resize(app.len(), false);
        Case {
            settings: self.settings,
            client,
            heads,
            app,
        }
    }

    /// One of its requests on a connection of its own, without waits.
    pub(super) fn alone(&self, number: usize) -> Case {
        let (head, body) = self.pairs[number].0.render(number);
        let case = self.case();
        Case {
            client: vec![Step::Send(head), Step::Send(body)],
            heads: vec![case.heads[number]],
            ..case
        }
    }
}

impl Epilogue {
    fn append(&self, client: &mut Vec<Step>, app: &mut Vec<Vec<Vec<Step>>>) {
        let number = app.len();
        match self {
            Self::Stay => {}
            Self::HalfClose => client.push(Step::Finish(Ending::Half)),
            Self::Leave => client.extend([
                Step::Wait(Until::Answers(number)),
                Step::Finish(Ending::Close),
            ]),
            Self::Tunnel(sizes) => {
                let [early, first, second, last] = *sizes;
                let upgrade = "Connection: Upgrade\r\nUpgrade: x\r\n";
                client.extend([
                    send(format!(
                        "GET /{number}/switch HTTP/1.1\r\nHost: app.test\r\n{upgrade}\r\n"
                    )),
                    Step::Send(payload("early ", early)),
                    Step::Wait(Until::Answers(number + 1)),
                    Step::Send(payload("second ", second)),
                    Step::Wait(Until::Tunnel(first)),
                    Step::Finish(Ending::Half),
                ]);
                app.push(vec![vec![
                    Step::Wait(Until::Whole),
                    send(format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\n")),
                    Step::Send(payload("first ", first)),
                    Step::Wait(Until::Tunnel(early + second)),
                    Step::Wait(Until::End),
                    Step::Send(payload("last ", last)),
                    Step::Finish(Ending::Close),
                ]]);
            }
        }
    }
}
