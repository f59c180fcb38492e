//! What a line says, in both formats, whatever a client sends.

use std::io::Read as _;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The lines of some requests, written and read back.
fn lines(format: AccessFormat, write: impl FnOnce(&WorkerLog)) -> Vec<String> {
    let (mut reader, sink) = std::io::pipe().unwrap();
    let writer = into(sink, format);
    let worker = writer.for_worker();
    write(&worker);
    drop(worker);
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    assert!(writer.finish(PATIENCE));
    let text = reading.join().unwrap().unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

fn line(format: AccessFormat, request: &RequestLine<'_>, outcome: &Outcome<'_>) -> String {
    let mut lines = lines(format, |log| log.write(log.begin(request), outcome));
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

fn id() -> RequestId {
    RequestIds::new(1).next()
}

#[test]
fn a_json_line_has_its_keys_in_the_documented_order() {
    let id = id();
    let mut request = request(id, "/shop?item=7");
    request.referer = b"https://example.com/";
    assert_eq!(
        line(AccessFormat::Json, &request, &outcome()),
        format!(
            "{{\"time\":\"2026-11-03T12:34:56.123456Z\",\"request_id\":\"{id}\",\"listener\":\"web\",\
             \"client\":\"192.0.2.7\",\"method\":\"GET\",\"host\":\"example.com\",\"uri\":\"/shop?item=7\",\
             \"protocol\":\"HTTP/1.1\",\"user_agent\":\"curl/8.14.1\",\"referer\":\"https://example.com/\",\
             \"status\":200,\"route\":\"site\",\"upstream\":\"app\",\"target\":\"127.0.0.1:3000\",\
             \"source\":\"127.0.0.1:41234\",\"reused\":true,\"attempts\":1,\"connect\":0.000003,\
             \"wait\":0.001190,\"total\":0.001234,\"received_bytes\":152,\"sent_bytes\":4321}}"
        )
    );
}

#[test]
fn a_failed_request_says_what_happened_and_who_ended_it() {
    let failed = Outcome {
        status: Some(502),
        error: Some("http_response_incomplete"),
        details: Some("the application said \"bye\""),
        ended_by: Some(EndedBy::Upstream),
        ..outcome()
    };
    let line = line(AccessFormat::Json, &request(id(), "/"), &failed);
    assert!(
        line.contains(
            "\"status\":502,\"error\":\"http_response_incomplete\",\
             \"details\":\"the application said \\\"bye\\\"\",\"ended_by\":\"upstream\",\"route\""
        ),
        "{line}"
    );
}

#[test]
fn an_id_that_a_trusted_proxy_gave_stands_instead_of_ours() {
    let mut request = request(id(), "/");
    request.received_id = Some("edge-\"7\"");
    let line = line(AccessFormat::Json, &request, &outcome());
    assert!(
        line.contains("\"request_id\":\"edge-\\\"7\\\"\",\"listener\""),
        "{line}"
    );
}

#[test]
fn what_is_not_known_has_no_key() {
    let id = id();
    let refused = RequestLine::unread(id, "web", SystemTime::UNIX_EPOCH);
    assert_eq!(
        line(AccessFormat::Json, &refused, &Outcome::default()),
        format!(
            "{{\"time\":\"1970-01-01T00:00:00.000000Z\",\"request_id\":\"{id}\",\"listener\":\"web\",\
             \"total\":0.000000,\"received_bytes\":0,\"sent_bytes\":0}}"
        )
    );
}

#[test]
fn a_combined_line_is_apaches_and_nginxs() {
    let mut request = request(id(), "/shop?item=7");
    assert_eq!(
        line(AccessFormat::Combined, &request, &outcome()),
        "192.0.2.7 - - [03/Nov/2026:12:34:56 +0000] \"GET /shop?item=7 HTTP/1.1\" 200 4321 \"-\" \"curl/8.14.1\""
    );
    request.client = Some("2001:db8::7".parse().unwrap());
    request.version = (1, 0);
    request.referer = b"https://example.com/";
    request.user_agent = b"";
    assert_eq!(
        line(AccessFormat::Combined, &request, &outcome()),
        "2001:db8::7 - - [03/Nov/2026:12:34:56 +0000] \"GET /shop?item=7 HTTP/1.0\" 200 4321 \"https://example.com/\" \"-\""
    );
}

#[test]
fn combined_has_a_status_also_where_nothing_was_sent() {
    let refused = RequestLine::unread(id(), "web", SystemTime::UNIX_EPOCH);
    for (ended_by, status) in [
        (Some(EndedBy::Client), 499),
        (Some(EndedBy::Proxy), 444),
        (None, 444),
    ] {
        let outcome = Outcome {
            ended_by,
            ..Outcome::default()
        };
        assert_eq!(
            line(AccessFormat::Combined, &refused, &outcome),
            format!("- - - [01/Jan/1970:00:00:00 +0000] \"-\" {status} 0 \"-\" \"-\"")
        );
    }
}

#[test]
fn requests_that_overlap_keep_their_own_halves() {
    let ids = RequestIds::new(1);
    let written = lines(AccessFormat::Combined, |log| {
        let slow = log.begin(&request(ids.next(), "/slow"));
        let fast = log.begin(&request(ids.next(), "/fast"));
        log.write(
            fast,
            &Outcome {
                sent_bytes: 1,
                ..outcome()
            },
        );
        log.write(
            slow,
            &Outcome {
                sent_bytes: 2,
                ..outcome()
            },
        );
        let left_behind = log.begin(&request(ids.next(), "/left"));
        drop(left_behind);
    });
    assert_eq!(written.len(), 2, "{written:?}");
    assert!(written[0].contains("\"GET /fast HTTP/1.1\" 200 1 "));
    assert!(written[1].contains("\"GET /slow HTTP/1.1\" 200 2 "));
}

#[test]
fn a_giant_request_makes_a_line_of_a_bounded_length_and_its_memory_is_not_kept() {
    let giant = "\u{1}".repeat(100_000);
    let mut request = request(id(), &giant);
    request.method = giant.as_bytes();
    request.host = giant.as_bytes();
    request.user_agent = giant.as_bytes();
    request.referer = giant.as_bytes();
    request.listener = &giant;
    request.received_id = Some(&giant);
    let outcome = Outcome {
        error: Some(&giant),
        details: Some(&giant),
        ended_by: Some(EndedBy::Upstream),
        route: Some(&giant),
        upstream: Some(&giant),
        target: Some(&giant),
        source: Some(
            "[2001:db8:1111:2222:3333:4444:5555:6666]:65535"
                .parse()
                .unwrap(),
        ),
        attempts: u32::MAX,
        connect: Some(Duration::MAX),
        wait: Some(Duration::MAX),
        total: Duration::MAX,
        received_bytes: u64::MAX,
        sent_bytes: u64::MAX,
        ..outcome()
    };
    for format in [AccessFormat::Json, AccessFormat::Combined] {
        let line = line(format, &request, &outcome);
        assert!(line.len() < LINE_BYTES_MAX, "{}", line.len());
        assert!(line.contains("...\""));
        if format == AccessFormat::Json {
            let _: Value = serde_json::from_str(&line).unwrap();
        }
    }
}

/// What a JSON line keeps of bytes: UTF-8 as it is, every other byte as `\xff`.
fn kept(bytes: &[u8]) -> String {
    let chunks = bytes.utf8_chunks().map(|chunk| {
        let other = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
        chunk.valid().to_owned() + &other.collect::<String>()
    });
    chunks.collect()
}

/// The fields of a combined line, unescaped: client, time, request, status, bytes, referer, user agent.
fn parse_combined(line: &str) -> Option<[Vec<u8>; 7]> {
    let (client, rest) = line.split_once(" - - [")?;
    let (time, rest) = rest.split_once("] \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let (status, rest) = rest.split_once(' ')?;
    let (bytes, rest) = rest.split_once(" \"")?;
    let (referer, rest) = rest.split_once("\" \"")?;
    let agent = rest.strip_suffix('"')?;
    if agent.contains('"') {
        return None;
    }
    Some([client, time, request, status, bytes, referer, agent].map(unescape))
}

fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, plain) = part.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).unwrap());
        bytes.extend_from_slice(plain.as_bytes());
    }
    bytes
}

/// Bytes of which many mean something to one format or the other.
fn hostile(max: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        any::<u8>(),
        proptest::sample::select(&b"\"\\\n\r\t\0 {}[],:x\x1b\xc3\xa4\xe2\x82\xac"[..]),
    ];
    proptest::collection::vec(byte, 0..max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_json_line_parses_and_keeps_what_the_client_sent(
        target in hostile(200), host in hostile(60), agent in hostile(60),
        referer in hostile(60), method in hostile(20), details in ".{0,40}", upstream in ".{1,40}",
    ) {
        let request = RequestLine {
            method: &method,
            target: &target,
            host: &host,
            user_agent: &agent,
            referer: &referer,
            ..RequestLine::unread(id(), "web", SystemTime::UNIX_EPOCH)
        };
        let outcome = Outcome {
            details: Some(&details),
            target: Some(&upstream),
            ..outcome()
        };
        let line = line(AccessFormat::Json, &request, &outcome);
        let parsed: Value = serde_json::from_str(&line).unwrap();
        prop_assert!(!line.chars().any(char::is_control));
        for (key, expected) in [
            ("method", kept(&method)),
            ("uri", kept(&target)),
            ("host", kept(&host)),
            ("user_agent", kept(&agent)),
            ("referer", kept(&referer)),
            ("details", details.clone()),
            ("target", upstream.clone()),
        ] {
            let written = parsed.get(key).and_then(Value::as_str).unwrap_or_default();
            prop_assert_eq!(written, expected, "{}", key);
        }
    }

    #[test]
    fn every_combined_line_parses_and_gives_back_what_the_client_sent(
        target in hostile(200), agent in hostile(60), referer in hostile(60), method in hostile(20),
    ) {
        let request = RequestLine {
            method: &method,
            target: &target,
            user_agent: &agent,
            referer: &referer,
            ..RequestLine::unread(id(), "web", SystemTime::UNIX_EPOCH)
        };
        let line = line(AccessFormat::Combined, &request, &outcome());
        prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let fields = parse_combined(&line).unwrap();
        let or_dash = |bytes: &[u8]| if bytes.is_empty() { b"-".to_vec() } else { bytes.to_vec() };
        let whole = [&method[..], b" ", &target, b" HTTP/1.1"].concat();
        let expected = [
            b"-".to_vec(),
            b"01/Jan/1970:00:00:00 +0000".to_vec(),
            if method.is_empty() { b"-".to_vec() } else { whole },
            b"200".to_vec(),
            b"4321".to_vec(),
            or_dash(&referer),
            or_dash(&agent),
        ];
        prop_assert_eq!(fields, expected);
    }

    #[test]
    fn what_is_cut_still_parses_and_is_marked(target in hostile(200), agent in hostile(40)) {
        let (target, agent) = (target.repeat(60), agent.repeat(60));
        let request = RequestLine {
            target: &target,
            user_agent: &agent,
            ..request(id(), "")
        };
        let line = line(AccessFormat::Json, &request, &outcome());
        let parsed: Value = serde_json::from_str(&line).unwrap();
        for (key, whole, max) in [("uri", target, URI_BYTES_MAX), ("user_agent", agent, USER_AGENT_BYTES_MAX)] {
            let written = parsed.get(key).and_then(Value::as_str).unwrap_or_default();
            if whole.len() <= max {
                prop_assert_eq!(written, kept(&whole));
            } else {
                let begins = written.strip_suffix("...");
                prop_assert!(begins.is_some_and(|begins| kept(&whole).starts_with(begins)), "{}", written);
            }
        }
    }
}
