//! What the sampler of an idle instance with an admin address costs, over whole periods.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lasthop::demo::scratch::Scratch;

use super::Sampler;
use crate::error::BenchError;
use crate::interrupt::Interrupt;
use crate::rival::{Found, Server};
use crate::{accounting, ports, say};

/// Between two looks at when the host was read.
const SAMPLE_LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// A reading of the host that costs a second is followed by one after 150.
const READING_PERIOD_MAX: Duration = Duration::from_secs(300);
/// A page of the admin address takes milliseconds.
const PAGE_MAX: Duration = Duration::from_secs(10);

/// What an idle instance costs for `window` after it has read the host once.
pub(super) fn sampler(
    lasthop: &Found,
    target: SocketAddr,
    window: Duration,
    interrupt: &Interrupt,
) -> Result<Sampler, BenchError> {
    let scratch = Scratch::new().map_err(BenchError::host("make a directory for files"))?;
    let admin = scratch.path().join("admin.sock");
    let server = Server::start_on_a_free_port("lasthop", scratch.path(), || {
        let address = ports::free_address().map_err(BenchError::host("find a free port"))?;
        let mut command = Command::new(&lasthop.binary);
        command
            .args(["run", "--workers", "1", "--listen"])
            .arg(address.to_string())
            .args(["--to", &target.to_string(), "--admin"])
            .arg(format!("unix:{}", admin.display()));
        Ok((address, command))
    })?;
    let mut sampled = next_sample(&admin, None, interrupt)?;
    let pids = [server.pid()];
    let (begun, before) = (Instant::now(), accounting::run_time(&pids)?);
    let mut sampler = Sampler {
        window: Duration::ZERO,
        cpu: Duration::ZERO,
        readings: 0,
    };
    while sampler.window < window {
        sampled = next_sample(&admin, Some(&sampled), interrupt)?;
        sampler.window = begun.elapsed();
        sampler.cpu = accounting::run_time(&pids)?.saturating_sub(before);
        sampler.readings += 1;
    }
    say(&format!(
        "the sampler: {:.2} % of a core, {} readings in {:.0} s",
        100.0 * sampler.part(),
        sampler.readings,
        sampler.window.as_secs_f64()
    ));
    Ok(sampler)
}

/// Waits until the instance has read the host another time than at `last`; when that was, as it says it.
fn next_sample(
    admin: &Path,
    last: Option<&str>,
    interrupt: &Interrupt,
) -> Result<String, BenchError> {
    let deadline = Instant::now() + READING_PERIOD_MAX;
    loop {
        interrupt.check()?;
        if let Some(now) = sampled_at(admin)
            && last != Some(now.as_str())
        {
            return Ok(now);
        }
        if Instant::now() > deadline {
            return Err(BenchError::Failed(
                "the instance has not read the host in time".to_owned(),
            ));
        }
        // Each look is a page that it renders; a few of them in a second do not show in the figure.
        thread::sleep(SAMPLE_LOOK_INTERVAL);
    }
}

/// When the host was read last, by `/metrics` of the admin address; none until it has been.
fn sampled_at(admin: &Path) -> Option<String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(admin)?;
        stream.set_read_timeout(Some(PAGE_MAX))?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    };
    let page = ask().ok()?;
    let mut lines = page.lines();
    let time = lines.find_map(|line| line.strip_prefix("lasthop_host_sampled_timestamp_seconds "));
    time.map(str::to_owned)
}
