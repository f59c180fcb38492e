//! This process at a point: what the workers have counted since the point before, as rates, and what is open now.

use std::time::{Duration, Instant};

use super::Sources;
use crate::config::Config;
use crate::history::{ConnectRates, Level, OwnPoint, UPSTREAMS_MAX, UpstreamPoint};
use crate::observe::Descriptors;
use crate::observe::metrics::{
    ConnectResult, Durations, FAILURE_KINDS, Histogram, ListenerMetrics, UpstreamMetrics,
    WorkerMetrics,
};

/// The name under which the upstreams are summed up that have no series of their own.
const OTHERS: &str = "others";

/// Two points closer than this have no rate between them.
const APART_MIN: Duration = Duration::from_millis(1);

/// The names of the series, in their order.
pub(super) fn upstream_names(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = config.upstreams.iter().map(|it| it.name.clone()).collect();
    if names.len() > UPSTREAMS_MAX {
        names.truncate(UPSTREAMS_MAX - 1);
        names.push(OTHERS.to_owned());
    }
    names
}

/// Reads the counters, and remembers what they said.
#[derive(Debug)]
pub(super) struct Own {
    sources: Sources,
    last: Option<(Instant, Counted)>,
}

impl Own {
    pub(super) const fn new(sources: Sources) -> Self {
        Self {
            sources,
            last: None,
        }
    }

    /// What happened since the last call, and what is open at `now`; none at the first.
    pub(super) fn since_last(&mut self, now: Instant) -> Option<OwnPoint> {
        let counted = Counted::read(&self.sources);
        let last = self.last.replace((now, counted));
        let ((_, counted), (then, before)) = (self.last.as_ref()?, last?);
        let elapsed = now.saturating_duration_since(then);
        (elapsed >= APART_MIN).then(|| {
            let mut point = counted.since(&before, elapsed);
            open_now(&self.sources, &mut point);
            point
        })
    }
}

/// What only grows, over all workers.
#[derive(Clone, Debug)]
struct Counted {
    requests: Option<Durations>,
    failures: [u64; FAILURE_KINDS.len()],
    connects: [u64; ConnectResult::ALL.len()],
    connect_durations: Option<Durations>,
    reused: u64,
    clients_refused: u64,
}

impl Counted {
    fn read(sources: &Sources) -> Self {
        let workers = &sources.workers;
        let mut failures = [0; FAILURE_KINDS.len()];
        for worker in workers.iter() {
            for (sum, count) in failures.iter_mut().zip(worker.failures.counts()) {
                *sum += count;
            }
        }
        let upstream = |number: &dyn Fn(&UpstreamMetrics) -> u64| -> u64 {
            let upstreams = workers.iter().flat_map(|worker| &worker.upstreams);
            upstreams.map(|upstream| number(upstream)).sum()
        };
        let durations = |of: fn(&UpstreamMetrics) -> &Histogram| {
            let upstreams = workers.iter().flat_map(|worker| &worker.upstreams);
            Durations::of(upstreams.map(|upstream| of(upstream)))
        };
        Self {
            requests: Durations::of(workers.iter().map(|worker| &worker.request_duration)),
            failures,
            connects: ConnectResult::ALL
                .map(|result| upstream(&|upstream| upstream.connects(result).value())),
            connect_durations: durations(|upstream| &upstream.connect_duration),
            reused: upstream(&|upstream| upstream.reused.value()),
            clients_refused: listeners(workers, |listener| {
                listener.refused_connections.value() + listener.refused_descriptors.value()
            }),
        }
    }

    fn since(&self, before: &Self, elapsed: Duration) -> OwnPoint {
        let rate = |now: u64, then: u64| per_second(now.saturating_sub(then), elapsed);
        let came = |now: &Option<Durations>, then: &Option<Durations>| {
            Some(now.as_ref()?.since(then.as_ref()?))
        };
        let requests = came(&self.requests, &before.requests);
        let connected = came(&self.connect_durations, &before.connect_durations);
        let failures = self.failures.iter().zip(&before.failures);
        let connects: ConnectRates =
            std::array::from_fn(|result| rate(self.connects[result], before.connects[result]));
        OwnPoint {
            requests: per_second(requests.as_ref().map_or(0, Durations::count), elapsed),
            failures: failures.map(|(now, then)| rate(*now, *then)).collect(),
            duration_p50: quantile(requests.as_ref(), 0.5),
            duration_p99: quantile(requests.as_ref(), 0.99).map(Level::at),
            connects,
            connect_p99: quantile(connected.as_ref(), 0.99).map(Level::at),
            reuse: rate(self.reused, before.reused),
            clients_refused: rate(self.clients_refused, before.clients_refused),
            ..OwnPoint::default()
        }
    }
}

fn quantile(durations: Option<&Durations>, part: f64) -> Option<f32> {
    let duration = durations?.quantile(part)?;
    Some(duration.as_secs_f32())
}

#[expect(clippy::cast_possible_truncation, reason = "seven digits of a rate")]
fn per_second(count: u64, elapsed: Duration) -> f32 {
    (count as f64 / elapsed.as_secs_f64()) as f32
}

fn listeners(
    workers: &[std::sync::Arc<WorkerMetrics>],
    number: fn(&ListenerMetrics) -> u64,
) -> u64 {
    let listeners = workers.iter().flat_map(|worker| &worker.listeners);
    listeners.map(number).sum()
}

/// Fills in what goes up and down.
fn open_now(sources: &Sources, point: &mut OwnPoint) {
    let workers = &sources.workers;
    let clients = listeners(workers, |listener| listener.connections.value());
    point.clients = Level::count(clients);
    let descriptors = Descriptors::read();
    point.descriptors = descriptors.in_use.map(Level::count);
    point.descriptors_limit = descriptors.limit.map(|limit| limit as f32);
    for (index, admission) in sources.admissions.iter().enumerate() {
        let sum = |number: fn(&UpstreamMetrics) -> u64| -> u64 {
            let of = |worker: &std::sync::Arc<WorkerMetrics>| number(&worker.upstreams[index]);
            workers.iter().map(of).sum()
        };
        let (open, idle) = (sum(|it| it.open.value()), sum(|it| it.idle.value()));
        let one = UpstreamPoint {
            // Read one after the other, while the workers went on.
            active: Level::count(open.saturating_sub(idle)),
            idle: idle as f32,
            connecting: sum(|it| it.connecting.value()) as f32,
            queue: Level::count(admission.queue_length() as u64),
        };
        if sources.admissions.len() > UPSTREAMS_MAX && index >= UPSTREAMS_MAX {
            add(&mut point.upstreams[UPSTREAMS_MAX - 1], &one);
        } else {
            point.upstreams.push(one);
        }
    }
}

fn add(sum: &mut UpstreamPoint, one: &UpstreamPoint) {
    sum.active = Level::at(sum.active.mean + one.active.mean);
    sum.idle += one.idle;
    sum.connecting += one.connecting;
    sum.queue = Level::at(sum.queue.mean + one.queue.mean);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn sources(upstreams: usize) -> Sources {
        let mut toml = String::from("[[listener]]\naddress = \"127.0.0.1:8080\"\n");
        for index in 0..upstreams {
            toml +=
                &format!("[[upstream]]\nname = \"app{index}\"\ntargets = [\"unix:@{index}\"]\n");
        }
        toml += "[[route]]\nupstream = \"app0\"\n";
        let worker = || Arc::new(WorkerMetrics::new(1, upstreams, 1));
        Sources {
            config: Arc::new(Config::from_toml("test.toml", &toml).unwrap()),
            workers: [worker(), worker()].into(),
            admissions: (0..upstreams)
                .map(|_| Arc::new(crate::upstream::Admission::new(0, 8, 2)))
                .collect(),
        }
    }

    #[test]
    fn what_the_workers_counted_between_two_points_becomes_rates() {
        let sources = sources(1);
        let [one, other] = [0, 1].map(|worker| Arc::clone(&sources.workers[worker]));
        one.request_duration.observe(Duration::from_secs(9));
        let mut own = Own::new(sources);
        let begin = Instant::now();
        // Since when is not known.
        assert_eq!(own.since_last(begin), None);
        for worker in [&one, &other] {
            for _ in 0..50 {
                worker.request_duration.observe(Duration::from_micros(900));
            }
            worker.failures.count("backlog");
            worker.listeners[0].connections.set(3);
            worker.listeners[0].refused_descriptors.add(1);
            worker.upstreams[0].connects(ConnectResult::Refused).add(4);
            worker.upstreams[0].reused.add(20);
            worker.upstreams[0].open.set(5);
            worker.upstreams[0].idle.set(2);
        }
        let point = own.since_last(begin + Duration::from_secs(2)).unwrap();
        assert_eq!(point.requests, 50.0);
        // In the bucket from 0.5 to 1 ms; the slow one was before.
        assert_eq!(point.duration_p50, Some(0.000_75));
        assert!(point.duration_p99.unwrap().max <= 0.001);
        assert_eq!(point.failures.iter().sum::<f32>(), 1.0);
        assert_eq!(point.connects[ConnectResult::Refused as usize], 4.0);
        assert_eq!(point.connect_p99, None);
        assert_eq!((point.reuse, point.clients_refused), (20.0, 1.0));
        assert_eq!(point.clients, Level::at(6.0));
        assert!(point.descriptors.unwrap().mean <= point.descriptors_limit.unwrap());
        let upstream = point.upstreams[0];
        assert_eq!((upstream.active.mean, upstream.idle), (6.0, 4.0));
        let quiet = own.since_last(begin + Duration::from_secs(4)).unwrap();
        assert_eq!((quiet.requests, quiet.duration_p50), (0.0, None));
    }

    #[test]
    fn upstreams_without_a_series_of_their_own_are_summed_up() {
        let sources = sources(UPSTREAMS_MAX + 3);
        let names = upstream_names(&sources.config);
        assert_eq!(names.len(), UPSTREAMS_MAX);
        assert_eq!(names.last().unwrap(), "others");
        for upstream in &sources.workers[0].upstreams {
            upstream.idle.set(1);
            upstream.open.set(1);
        }
        let mut own = Own::new(sources);
        let begin = Instant::now();
        own.since_last(begin);
        let point = own.since_last(begin + Duration::from_secs(2)).unwrap();
        let idle: Vec<f32> = point.upstreams.iter().map(|it| it.idle).collect();
        assert_eq!(idle.len(), UPSTREAMS_MAX);
        assert_eq!((idle[0], idle[UPSTREAMS_MAX - 1]), (1.0, 4.0));
    }

    #[test]
    fn two_points_at_the_same_time_have_no_rate() {
        let mut own = Own::new(sources(1));
        let now = Instant::now();
        own.since_last(now);
        assert_eq!(own.since_last(now), None);
    }
}
