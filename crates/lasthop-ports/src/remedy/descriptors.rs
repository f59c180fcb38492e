//! More descriptors for a process: at once, in its own configuration, and where it is started.

use super::paste::{lines, shell, word, words};
use super::sysctl::{self, Setting};
use crate::finding::{Remedy, Step};
use crate::snapshot::{Namespace, Process, Program};

/// `fs.nr_open` by default: no process is given a higher limit.
const NR_OPEN: u64 = 1_048_576;

/// Less than this is not worth a restart: a proxy has two descriptors for each connection that it passes on.
const WORTHWHILE: u64 = 65_536;

/// Processes that a limit is raised for in one remedy, as many as a server has workers.
const PIDS_MAX: usize = 8;

/// Of a limit for HAProxy, in tenths of its half, what can be connections: each takes two, and checks, listeners and
/// log sockets need the rest.
const HAPROXY_TENTHS: u64 = 9;

/// Ways to more descriptors for `process` and its siblings, which are short of them as well.
pub(crate) fn more(
    process: &Process,
    siblings: &[&Process],
    nr_open: Option<u64>,
    namespace: &Namespace,
) -> Vec<Remedy> {
    let ceiling = nr_open.unwrap_or(NR_OPEN);
    let limit = process.descriptors.limit;
    let target = limit
        .saturating_mul(2)
        .checked_next_power_of_two()
        .unwrap_or(ceiling)
        .max(WORTHWHILE)
        .min(ceiling);
    let mut remedies = Vec::new();
    if target > limit {
        let program = process.owner.program;
        // HAProxy counts its descriptors itself, against the limit that it found at its start.
        if program != Program::HaProxy {
            remedies.push(at_once(siblings, target));
        }
        remedies.extend(of_the_program(program, target));
        remedies.push(where_it_is_started(process, target));
    } else {
        remedies.push(higher_ceiling(ceiling, namespace));
    }
    remedies.push(what_they_are(process.owner.pid));
    remedies
}

fn at_once(siblings: &[&Process], target: u64) -> Remedy {
    let (mut steps, mut undo) = (Vec::new(), Vec::new());
    let mut beyond = false;
    for process in siblings.iter().take(PIDS_MAX) {
        let (pid, descriptors) = (process.owner.pid, process.descriptors);
        let (soft, hard) = (descriptors.limit, descriptors.hard_limit);
        // `N:` leaves the hard limit as it is. Raising that one takes CAP_SYS_RESOURCE.
        if target <= hard {
            steps.push(format!("prlimit --pid {pid} --nofile={target}:"));
            undo.push(format!("prlimit --pid {pid} --nofile={soft}:"));
        } else {
            beyond = true;
            steps.push(format!("prlimit --pid {pid} --nofile={target}:{target}"));
            undo.push(format!("prlimit --pid {pid} --nofile={soft}:{hard}"));
        }
    }
    let as_root = if beyond {
        " Beyond the hard limit, as here, only root may go."
    } else {
        ""
    };
    Remedy {
        title: "Raise the limit of what runs, at once".to_owned(),
        steps: vec![shell(steps)],
        undo,
        risk: Some(format!(
            "It is gone when the process ends. A program that has sized its tables at its start, as nginx by \
             worker_connections, uses no more than those.{as_root}"
        )),
    }
}

fn of_the_program(program: Program, target: u64) -> Option<Remedy> {
    match program {
        Program::Nginx => Some(Remedy {
            title: "Raise nginx' own limits".to_owned(),
            steps: vec![
                lines(
                    "nginx.conf, outside of all braces",
                    [format!("worker_rlimit_nofile {target};")],
                ),
                lines(
                    "nginx.conf, in events {}",
                    [format!("worker_connections {};", target / 2)],
                ),
                shell(["nginx -t && nginx -s reload"]),
            ],
            undo: vec![
                "Take both lines out, or put back what was there, and run nginx -s reload.".to_owned(),
            ],
            risk: Some(
                "The limits are those of each worker. nginx sets memory aside for all of worker_connections when it starts, \
                 a few hundred bytes for each."
                    .to_owned(),
            ),
        }),
        Program::HaProxy => Some(Remedy {
            title: "Raise HAProxy's maxconn, from which it computes how many descriptors it needs".to_owned(),
            steps: vec![
                lines(
                    "haproxy.cfg, in global",
                    [format!("maxconn {}", target / 2 * HAPROXY_TENTHS / 10)],
                ),
                words(
                    "Leave ulimit-n out of it. Check the file with haproxy -c -f FILE, and restart HAProxy: its hard limit \
                     (LimitNOFILE=, below) has to be high enough, or it refuses to start.",
                ),
            ],
            undo: vec!["Put the old maxconn back, and restart HAProxy.".to_owned()],
            risk: Some("Each connection takes two buffers as well as two descriptors: mind the memory.".to_owned()),
        }),
        _ => None,
    }
}

/// What starts a process, as its control group says.
#[derive(Debug, PartialEq, Eq)]
enum Starter<'a> {
    /// A unit of the host's service manager.
    System(&'a str),
    /// A unit of a user's service manager.
    User(&'a str),
    /// A container engine.
    Container,
    /// A cluster's agent.
    Kubernetes,
    /// Nobody that could be recognised.
    Unknown,
}

impl<'a> Starter<'a> {
    fn of(cgroup: Option<&'a str>) -> Self {
        let Some(path) = cgroup else {
            return Self::Unknown;
        };
        let parts = || path.split('/').filter(|part| !part.is_empty());
        let engine = |part: &str| {
            part.starts_with("docker-") || part.starts_with("libpod-") || part == "docker"
        };
        if parts().any(|part| part.starts_with("kubepods")) {
            Self::Kubernetes
        } else if parts().any(engine) {
            Self::Container
        } else {
            let of_a_user = parts().any(|part| part.starts_with("user@"));
            match parts().rfind(|part| part.ends_with(".service")) {
                Some(unit) if unit.starts_with("user@") => Self::Unknown,
                Some(unit) if of_a_user => Self::User(unit),
                Some(unit) => Self::System(unit),
                None => Self::Unknown,
            }
        }
    }
}

fn where_it_is_started(process: &Process, target: u64) -> Remedy {
    let title = "Raise the limit where it is started".to_owned();
    let in_words = |text: String| Remedy {
        title: title.clone(),
        steps: vec![words(text)],
        undo: vec!["Put the old limit back, and restart it.".to_owned()],
        risk: Some("The restart ends its connections.".to_owned()),
    };
    match Starter::of(process.owner.cgroup.as_deref()) {
        Starter::System(unit) => drop_in(unit, target).unwrap_or_else(|| {
            in_words(format!("LimitNOFILE={target} below [Service] in its unit (systemctl edit), then restart the unit."))
        }),
        Starter::User(_) => in_words(format!(
            "LimitNOFILE={target} below [Service] in its unit (systemctl --user edit), then restart the unit. No more than \
             the hard limit of the user's own service manager, which has it from LimitNOFILE= of user@.service."
        )),
        Starter::Container => in_words(format!(
            "Start the container with --ulimit nofile={target}:{target} (docker run, podman run), or with ulimits: of a \
             compose file."
        )),
        Starter::Kubernetes => in_words(format!(
            "A pod has no setting for it: containers inherit the limit of the container runtime, so LimitNOFILE={target} \
             in the unit of the runtime (containerd.service, crio.service), and new containers."
        )),
        Starter::Unknown => in_words(format!(
            "ulimit -n {target} in the script that starts it, LimitNOFILE={target} in its unit, or a nofile line in \
             /etc/security/limits.conf for what a login starts."
        )),
    }
}

/// A file of its own beside what `systemctl edit` writes, so that the undo takes nothing else away. Named to be read last.
fn drop_in(unit: &str, target: u64) -> Option<Remedy> {
    let directory = word(&format!("/etc/systemd/system/{unit}.d"))?;
    let file = word(&format!("/etc/systemd/system/{unit}.d/zz-descriptors.conf"))?;
    let unit = word(unit)?;
    let restart = [
        "systemctl daemon-reload".to_owned(),
        format!("systemctl restart {unit}"),
    ];
    let write = [
        format!("mkdir -p {directory}"),
        format!("printf '[Service]\\nLimitNOFILE={target}\\n' > {file}"),
    ];
    Some(Remedy {
        title: format!("Raise the limit of the unit {unit}"),
        steps: vec![shell(write.into_iter().chain(restart.clone()))],
        undo: [format!("rm {file}")].into_iter().chain(restart).collect(),
        risk: Some("The restart ends its connections.".to_owned()),
    })
}

fn higher_ceiling(ceiling: u64, namespace: &Namespace) -> Remedy {
    let (value, before) = (ceiling.saturating_mul(2).to_string(), ceiling.to_string());
    sysctl::set(
        namespace,
        &Setting {
            name: "fs.nr_open",
            value: &value,
            before: &before,
        },
        "Raise what a limit may be at most, and then the limit; or share the load between more processes",
        Some("The table of a process' descriptors takes memory of the kernel, 8 bytes for each that it has had open at once.".to_owned()),
    )
}

fn what_they_are(pid: u32) -> Remedy {
    Remedy {
        title: "See what they are, in case the program leaks them".to_owned(),
        steps: vec![Step::Shell {
            lines: vec![format!(
                "ls -l /proc/{pid}/fd | awk '{{ sub(/:.*/, \"\", $NF); print $NF }}' | sort | uniq -c | sort -rn | head"
            )],
        }],
        undo: vec!["It changes nothing.".to_owned()],
        risk: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_group_tells_who_starts_a_process() {
        for (cgroup, starter) in [
            (
                Some("/system.slice/nginx.service"),
                Starter::System("nginx.service"),
            ),
            (
                Some("/system.slice/system-app.slice/app@web.service/worker"),
                Starter::System("app@web.service"),
            ),
            (
                Some("/user.slice/user-1000.slice/user@1000.service/app.slice/web.service"),
                Starter::User("web.service"),
            ),
            (
                Some("/user.slice/user-1000.slice/user@1000.service/init.scope"),
                Starter::Unknown,
            ),
            (
                Some("/system.slice/docker-0123abcd.scope"),
                Starter::Container,
            ),
            (
                Some("/machine.slice/libpod-0123abcd.scope"),
                Starter::Container,
            ),
            (
                Some("/kubepods.slice/kubepods-burstable.slice/cri-containerd-01.scope"),
                Starter::Kubernetes,
            ),
            (
                Some("/user.slice/user-0.slice/session-1.scope"),
                Starter::Unknown,
            ),
            (Some("/"), Starter::Unknown),
            (None, Starter::Unknown),
        ] {
            assert_eq!(Starter::of(cgroup), starter, "{cgroup:?}");
        }
    }

    #[test]
    fn a_unit_with_a_hostile_name_gets_words_and_no_commands() {
        assert_eq!(drop_in("a'; reboot; '.service", 65_536), None);
        let quoted = drop_in("$(reboot).service", 65_536).unwrap();
        let Step::Shell { lines } = &quoted.steps[0] else {
            panic!("{quoted:?}")
        };
        assert_eq!(lines[3], "systemctl restart '$(reboot).service'");
    }
}
