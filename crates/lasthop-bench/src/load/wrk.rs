//! The load that `wrk` sends: how it is called for a kind of traffic, and what it reports.
//!
//! One kind of request needs nothing but its command line. A body, or requests that differ, need a script in Lua, which is
//! written to a file for the run; requests are formatted once, so that what the script costs for each is a step to the next.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lasthop::demo::scratch::Scratch;
use lasthop_kernel::process;

use super::{Outcome, Work};
use crate::error::BenchError;
use crate::traffic::Request;

/// Sends `work` with the wrk at `binary` and waits for its end.
pub(super) fn run(binary: &Path, work: &Work) -> Result<Outcome, BenchError> {
    let requests = work.traffic.exchange.requests();
    let scratch = Scratch::new().map_err(BenchError::host("make a directory for a script"))?;
    let mut command = Command::new(binary);
    command
        .args(["-t1", "--latency", "--timeout", "5s"])
        .args(["-c", &work.traffic.clients.to_string()])
        .args(["-d", &format!("{}s", work.seconds)])
        .stdin(Stdio::null());
    if work.traffic.exchange.client_closes() {
        command.args(["-H", "Connection: close"]);
    }
    if let Some(script) = script(&requests) {
        let path = scratch.path().join("load.lua");
        fs::write(&path, script).map_err(BenchError::host(format!("write {}", path.display())))?;
        command.arg("-s").arg(path);
    }
    let path = requests.first().map_or("/", |one| &one.path);
    command.arg(format!("http://{}{path}", work.address));
    let said = process::die_with_parent(&mut command)
        .output()
        .map_err(BenchError::host("run wrk"))?;
    outcome(&String::from_utf8_lossy(&said.stdout))
}

/// The script for a cycle of requests; `None` where the command line says it all.
fn script(requests: &[Request]) -> Option<String> {
    let plain = requests.iter().all(|one| one.body_bytes == 0);
    if plain && requests.len() <= 1 {
        return None;
    }
    let mut table = String::new();
    for request in requests {
        let body = match request.body_bytes {
            0 => "nil".to_owned(),
            bytes => format!("string.rep('x', {bytes})"),
        };
        let method = method(request);
        // Writing to a String cannot fail.
        let _ = writeln!(table, "  {{'{method}', '{}', {body}}},", request.path);
    }
    Some(format!(
        "local cycle = {{\n{table}}}\n\
         local ready, at = {{}}, 0\n\
         function init(args)\n  \
           for i, one in ipairs(cycle) do ready[i] = wrk.format(one[1], one[2], nil, one[3]) end\n\
         end\n\
         function request()\n  \
           at = at % #ready + 1\n  \
           return ready[at]\n\
         end\n"
    ))
}

/// GET, or POST with a body.
pub(super) fn method(request: &Request) -> &'static str {
    if request.body_bytes == 0 {
        "GET"
    } else {
        "POST"
    }
}

/// Reads the report that wrk prints. Its lines of errors are there only if there were some; all others must be there.
fn outcome(said: &str) -> Result<Outcome, BenchError> {
    let missing = |figure| {
        move || BenchError::Wrk {
            figure,
            said: said.to_owned(),
        }
    };
    let after = |mark: &str| {
        said.lines()
            .find_map(|line| line.trim().strip_prefix(mark).map(str::trim))
    };
    let latency = |mark, figure| after(mark).and_then(duration).ok_or_else(missing(figure));
    let requests = said
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())
        .ok_or_else(missing("requests"))?;
    // "Socket errors: connect 0, read 3, write 0, timeout 1"
    let socket_errors: u64 = after("Socket errors:").map_or(0, |line| {
        line.split(|c: char| !c.is_ascii_digit())
            .filter_map(|word| word.parse::<u64>().ok())
            .sum()
    });
    let refusals: u64 = match after("Non-2xx or 3xx responses:") {
        None => 0,
        Some(count) => count.parse().map_err(|_| missing("refused answers")())?,
    };
    Ok(Outcome {
        requests,
        errors: socket_errors + refusals,
        requests_per_second: after("Requests/sec:")
            .and_then(|figure| figure.parse().ok())
            .ok_or_else(missing("requests per second"))?,
        p50: latency("50%", "p50")?,
        p99: latency("99%", "p99")?,
    })
}

/// `905.00us`, `1.20ms`, `2.00s`, `1.50m`.
fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (figure, unit) = text.split_at(at);
    let seconds_per_unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(figure.parse::<f64>().ok()? * seconds_per_unit).ok()
}

#[cfg(test)]
mod tests {
    use super::outcome as outcome_of_said;
    use super::*;
    use crate::traffic::Exchange;

    const CLEAN: &str = "Running 4s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.06ms  213.45us   4.64ms   86.11%
    Req/Sec    60.00k     1.50k   62.00k    75.00%
  Latency Distribution
     50%    1.02ms
     75%    1.10ms
     90%    1.25ms
     99%  905.00us
  240123 requests in 4.00s, 58.00MB read
Requests/sec:  60030.75
Transfer/sec:     14.50MB
";

    #[test]
    fn a_clean_report_is_read() {
        let outcome = outcome_of_said(CLEAN).unwrap();
        assert_eq!((outcome.requests, outcome.errors), (240_123, 0));
        assert_eq!(outcome.p50, Duration::from_micros(1020));
        assert_eq!(outcome.p99, Duration::from_micros(905));
        assert!((outcome.requests_per_second - 60_030.75).abs() < 1e-6);
    }

    #[test]
    fn socket_errors_and_refusals_are_errors() {
        let said = format!(
            "{CLEAN}  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\n"
        );
        assert_eq!(outcome_of_said(&said).unwrap().errors, 54_321);
    }

    #[test]
    fn a_report_without_its_figures_is_an_error_that_names_the_first() {
        let error =
            outcome_of_said("unable to connect to 127.0.0.1:1 Connection refused").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("wrk printed no figure for requests"),
            "{error}"
        );
    }

    #[test]
    fn one_kind_of_request_needs_no_script_and_others_say_what_they_send() {
        assert_eq!(script(&Exchange::Answer(100).requests()), None);
        let upload = script(&Exchange::Upload(5).requests()).unwrap();
        assert!(
            upload.contains("{'POST', '/bytes/2', string.rep('x', 5)},"),
            "{upload}"
        );
        let mixed = script(&Exchange::Mixed.requests()).unwrap();
        assert_eq!(mixed.matches("{'GET', '/bytes/100', nil},").count(), 35);
    }
}
