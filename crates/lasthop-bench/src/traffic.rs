//! What is asked of a proxy: sizes of answers and uploads, which connections are kept, and the paths that tell the app.
//!
//! A kind of traffic is a cycle of requests, nearly always of one. Every load repeats the same cycle, and the app reads
//! from the path what to answer ([`crate::endpoint::app`]), so one app serves all of them.

/// An answer of so many bytes is at this path with the number behind it.
pub(crate) const ANSWER_PATH: &str = "/bytes/";
/// The same from an app that closes its connection after the answer, as gunicorn's sync worker does.
pub(crate) const CLOSING_PATH: &str = "/close/";
/// Body bytes of the answer to an upload.
const RECEIPT_BYTES: usize = 2;
/// From so many bytes on a body is long: its cost is told by the gibibyte too.
const LONG_BYTES: usize = 1 << 20;

/// Sizes of answers and how many of a hundred have each: many small ones, few long ones, which are most of the bytes. Made
/// up, not recorded; stated with the figures.
pub(crate) const MIX: [(usize, usize); 5] = [
    (100, 35),
    (1_000, 30),
    (10_000, 20),
    (100_000, 12),
    (1 << 20, 3),
];
/// Requests of the mix until it repeats.
const MIX_CYCLE: usize = 100;
/// Prime to the cycle, so that this step meets each of it once, and sizes alternate.
const MIX_STEP: usize = 37;

/// Requests of a closed loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Connections at once, each with one request at a time.
    pub(crate) clients: usize,
    pub(crate) exchange: Exchange,
}

/// From so many clients on a run takes twice as long, since wrk opens its connections within it.
const MANY_CLIENTS: usize = 4000;

impl Traffic {
    /// How long a measured run of `seconds` takes with this traffic, in seconds.
    pub(crate) fn seconds(self, seconds: u64) -> u64 {
        if self.clients < MANY_CLIENTS {
            seconds
        } else {
            2 * seconds
        }
    }
}

/// What one request and its answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// An answer of so many bytes, all connections kept.
    Answer(usize),
    /// The same, and the app closes its connection after it.
    AppCloses(usize),
    /// The same over a new connection of the client; those to the app are kept.
    ClientCloses(usize),
    /// Answers of many sizes, as in [`MIX`].
    Mixed,
    /// A request with a body of so many bytes.
    Upload(usize),
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Bytes that are sent after the head; 0 for a GET, otherwise it is a POST.
    pub(crate) body_bytes: usize,
    /// What the body of the answer has to have.
    pub(crate) answer_bytes: u64,
}

impl Exchange {
    /// The cycle of requests.
    pub(crate) fn requests(self) -> Vec<Request> {
        let request = |path: &str, answer: usize, body_bytes: usize| Request {
            path: format!("{path}{answer}"),
            body_bytes,
            answer_bytes: answer as u64,
        };
        match self {
            Self::Answer(bytes) | Self::ClientCloses(bytes) => vec![request(ANSWER_PATH, bytes, 0)],
            Self::AppCloses(bytes) => vec![request(CLOSING_PATH, bytes, 0)],
            Self::Upload(bytes) => vec![request(ANSWER_PATH, RECEIPT_BYTES, bytes)],
            Self::Mixed => {
                let sizes = MIX.iter().flat_map(|&(bytes, share)| vec![bytes; share]);
                let sizes: Vec<usize> = sizes.collect();
                let places = (0..MIX_CYCLE).map(|number| number * MIX_STEP % MIX_CYCLE);
                let sizes = places.filter_map(|place| sizes.get(place));
                sizes.map(|&bytes| request(ANSWER_PATH, bytes, 0)).collect()
            }
        }
    }

    /// Whether the client asks that its connection be closed after the answer.
    pub(crate) fn client_closes(self) -> bool {
        matches!(self, Self::ClientCloses(_))
    }

    /// Body bytes of an exchange, if that is what it costs.
    pub(crate) fn long_bytes(self) -> Option<usize> {
        match self {
            Self::Answer(bytes) | Self::Upload(bytes) if bytes >= LONG_BYTES => Some(bytes),
            _ => None,
        }
    }

    /// What goes over which connections, in words.
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::Answer(bytes) => format!("answers of {}, all connections kept", size(bytes)),
            Self::AppCloses(bytes) => {
                format!("answers of {}, an app that closes after each", size(bytes))
            }
            Self::ClientCloses(bytes) => format!(
                "answers of {}, a new connection of the client for each, those to the app kept",
                size(bytes)
            ),
            Self::Mixed => {
                let shares = MIX.map(|(bytes, share)| format!("{share} of {}", size(bytes)));
                format!(
                    "of a hundred answers {}, all connections kept",
                    shares.join(", ")
                )
            }
            Self::Upload(bytes) => format!(
                "requests with bodies of {}, answers of {}, all connections kept",
                size(bytes),
                size(RECEIPT_BYTES)
            ),
        }
    }
}

fn size(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{bytes} bytes"),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_has_its_shares_and_no_long_run_of_one_size() {
        let requests = Exchange::Mixed.requests();
        assert_eq!(requests.len(), MIX_CYCLE);
        for (bytes, share) in MIX {
            let count = requests
                .iter()
                .filter(|one| one.answer_bytes == bytes as u64);
            assert_eq!(count.count(), share, "{bytes}");
        }
        let alike = requests
            .windows(4)
            .filter(|some| some.iter().all(|one| *one == some[0]));
        assert_eq!(alike.count(), 0);
    }

    #[test]
    fn a_request_says_in_its_path_what_it_wants() {
        let [upload] = &Exchange::Upload(1 << 20).requests()[..] else {
            panic!("one request");
        };
        assert_eq!((upload.path.as_str(), upload.answer_bytes), ("/bytes/2", 2));
        assert_eq!(upload.body_bytes, 1 << 20);
        assert_eq!(Exchange::AppCloses(100).requests()[0].path, "/close/100");
    }

    #[test]
    fn what_is_done_is_said_in_words() {
        let words = Exchange::Mixed.in_words();
        assert!(
            words.starts_with("of a hundred answers 35 of 100 bytes, 30 of 1000 bytes"),
            "{words}"
        );
        assert!(words.contains("3 of 1 MiB"), "{words}");
    }
}
