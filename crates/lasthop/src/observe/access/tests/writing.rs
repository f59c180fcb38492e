//! Where lines go, and what happens when they cannot.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;

use super::*;
use crate::config::AccessLog;

/// Lines that fill the queue many times over, whatever a pipe holds: an end to a loop that should end earlier.
const LINES_MAX: u64 = 100_000;

fn log_one(worker: &WorkerLog, ids: &RequestIds, uri: &str) {
    worker.write(worker.begin(&request(ids.next(), uri)), &outcome());
}

fn to_file(path: &Path) -> io::Result<Option<AccessWriter>> {
    AccessWriter::start(&AccessLog::File(path.to_owned()), AccessFormat::Json)
}

/// The URIs in a file, one a line.
fn uris(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let uri = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["uri"].as_str().unwrap().to_owned()
    };
    text.lines().map(uri).collect()
}

/// Writes until lines are dropped; how many were written.
fn write_until_dropped(writer: &AccessWriter, worker: &WorkerLog) -> u64 {
    let ids = RequestIds::new(1);
    for written in 1..=LINES_MAX {
        log_one(worker, &ids, "/");
        if writer.dropped() > 0 {
            return written;
        }
    }
    panic!("{LINES_MAX} lines fit a queue that should be bounded");
}

#[test]
fn a_reader_that_stalls_costs_lines_that_are_counted_and_the_rest_arrives_when_it_resumes() {
    let (reader, sink) = io::pipe().unwrap();
    let writer = into(sink, AccessFormat::Json);
    let worker = writer.for_worker();
    let mut written = write_until_dropped(&writer, &worker);
    let ids = RequestIds::new(2);
    loop {
        log_one(&worker, &ids, "/kept-by-the-worker");
        written += 1;
        // Until the pipe is full as well, the writer makes room now and then.
        if worker.flush() {
            break;
        }
        assert!(
            written < LINES_MAX,
            "the worker's own chunk has no place to wait"
        );
    }
    let reading = std::thread::spawn(move || BufReader::new(reader).lines().collect());
    // The reader makes room; the worker offers again at its next ticks.
    let begun = std::time::Instant::now();
    while worker.flush() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    drop(worker);
    let drops = writer.drops();
    assert!(writer.finish(PATIENCE));
    let lines: io::Result<Vec<String>> = reading.join().unwrap();
    let lines = lines.unwrap();
    assert_eq!(lines.len() as u64 + drops.lines(), written);
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("{\"time\":") && line.ends_with('}'))
    );
    assert!(lines.last().unwrap().contains("/kept-by-the-worker"));
}

#[test]
fn the_end_does_not_wait_for_a_reader_that_has_stalled() {
    let (reader, sink) = io::pipe().unwrap();
    let writer = into(sink, AccessFormat::Json);
    let worker = writer.for_worker();
    let written = write_until_dropped(&writer, &worker);
    drop(worker);
    let drops = writer.drops();
    assert!(!writer.finish(Duration::from_millis(1)));
    // What the pipe has taken before it was full was written, and all else is counted.
    assert!(
        drops.lines() > written / 2,
        "{} of {written}",
        drops.lines()
    );
    drop(reader);
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let writer = to_file(Path::new("/dev/full")).unwrap().unwrap();
    let (worker, ids) = (writer.for_worker(), RequestIds::new(1));
    for _ in 0..3 {
        log_one(&worker, &ids, "/");
    }
    drop(worker);
    let drops = writer.drops();
    assert!(writer.finish(PATIENCE));
    assert_eq!(drops.lines(), 3);
    let error = drops.take_error().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_reader_that_has_left_costs_lines_and_nothing_else() {
    let (reader, sink) = io::pipe().unwrap();
    drop(reader);
    let writer = into(sink, AccessFormat::Combined);
    let (worker, ids) = (writer.for_worker(), RequestIds::new(1));
    log_one(&worker, &ids, "/");
    assert!(!worker.flush());
    drop(worker);
    let drops = writer.drops();
    assert!(writer.finish(PATIENCE));
    assert_eq!(drops.lines(), 1);
    let error = drops.take_error().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_descriptor_that_somebody_made_nonblocking_is_waited_for() {
    let (mut reader, sink) = UnixStream::pair().unwrap();
    sink.set_nonblocking(true).unwrap();
    let writer = into(sink, AccessFormat::Json);
    let (worker, ids) = (writer.for_worker(), RequestIds::new(1));
    // More than a socket holds, less than the queue does.
    for _ in 0..4_000 {
        log_one(&worker, &ids, "/");
    }
    drop(worker);
    let drops = writer.drops();
    let ending = std::thread::spawn(move || writer.finish(PATIENCE));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(ending.join().unwrap());
    assert_eq!((text.lines().count(), drops.lines()), (4_000, 0));
}

#[test]
fn lines_of_a_worker_stay_in_order_and_none_is_lost_without_need() {
    let scratch = Scratch::new();
    let path = scratch.join("access.log");
    let writer = to_file(&path).unwrap().unwrap();
    let workers: Vec<_> = (0..3)
        .map(|number| {
            let worker = writer.for_worker();
            std::thread::spawn(move || {
                let ids = RequestIds::new(number);
                for line in 0..1_000 {
                    log_one(&worker, &ids, &format!("/{number}/{line:04}"));
                    if line % 100 == 0 {
                        worker.flush();
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert_eq!(writer.dropped(), 0);
    assert!(writer.finish(PATIENCE));
    let uris = uris(&path);
    assert_eq!(uris.len(), 3_000);
    for number in 0..3 {
        let prefix = format!("/{number}/");
        let own: Vec<_> = uris.iter().filter(|uri| uri.starts_with(&prefix)).collect();
        assert_eq!(own.len(), 1_000);
        assert!(own.is_sorted());
    }
}

#[test]
fn the_memory_of_a_line_is_used_again() {
    let (_reader, sink) = io::pipe().unwrap();
    let writer = into(sink, AccessFormat::Json);
    let worker = writer.for_worker();
    let first = worker.begin(&request(RequestIds::new(1).next(), "/"));
    let memory = first.memory();
    worker.write(first, &outcome());
    let second = worker.begin(&request(RequestIds::new(2).next(), "/"));
    assert_eq!(second.memory(), memory);
    worker.write(second, &outcome());
}

#[test]
fn after_a_rotation_lines_go_to_a_new_file() {
    let scratch = Scratch::new();
    let (path, old) = (scratch.join("access.log"), scratch.join("access.log.1"));
    let writer = to_file(&path).unwrap().unwrap();
    let (worker, ids) = (writer.for_worker(), RequestIds::new(1));
    log_one(&worker, &ids, "/before");
    assert!(!worker.flush());
    fs::rename(&path, &old).unwrap();
    writer.reopen();
    log_one(&worker, &ids, "/after");
    drop(worker);
    assert!(writer.finish(PATIENCE));
    assert_eq!(uris(&old), ["/before"]);
    assert_eq!(uris(&path), ["/after"]);
}

#[test]
fn a_file_that_cannot_be_opened_again_keeps_the_old_one() {
    let scratch = Scratch::new();
    let (path, old) = (scratch.join("access.log"), scratch.join("access.log.1"));
    let writer = to_file(&path).unwrap().unwrap();
    let (worker, ids) = (writer.for_worker(), RequestIds::new(1));
    log_one(&worker, &ids, "/before");
    assert!(!worker.flush());
    fs::rename(&path, &old).unwrap();
    fs::create_dir(&path).unwrap();
    writer.reopen();
    log_one(&worker, &ids, "/after");
    drop(worker);
    assert!(writer.finish(PATIENCE));
    assert_eq!(uris(&old), ["/before", "/after"]);
}

#[test]
fn a_file_is_appended_to_and_a_new_one_is_for_owner_and_group_alone() {
    let scratch = Scratch::new();
    let path = scratch.join("access.log");
    for uri in ["/first", "/second"] {
        let writer = to_file(&path).unwrap().unwrap();
        let worker = writer.for_worker();
        log_one(&worker, &RequestIds::new(1), uri);
        drop(worker);
        assert!(writer.finish(PATIENCE));
    }
    assert_eq!(uris(&path), ["/first", "/second"]);
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let scratch = Scratch::new();
    let path = scratch.join("missing").join("access.log");
    let error = to_file(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(
        error
            .to_string()
            .starts_with(&format!("{}: ", path.display()))
    );
}

#[test]
fn a_named_pipe_without_a_reader_does_not_stop_the_start() {
    let scratch = Scratch::new();
    let path = scratch.join("pipe");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let writer = to_file(&path).unwrap().unwrap();
    let (worker, ids) = (writer.for_worker(), RequestIds::new(1));
    log_one(&worker, &ids, "/");
    let mut reader = BufReader::new(File::open(&path).unwrap());
    assert!(!worker.flush());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.contains("\"uri\":\"/\""), "{line}");
}

#[test]
fn off_is_no_log_at_all() {
    let off = AccessWriter::start(&AccessLog::Off, AccessFormat::Json).unwrap();
    assert!(off.is_none());
}
