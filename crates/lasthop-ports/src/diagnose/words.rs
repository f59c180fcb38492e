//! How findings about ports put times, slopes and processes into words.

use crate::grouped::Grouped;
use crate::snapshot::Owner;

/// Names that a line lists before it says how many more there are.
const NAMES_MAX: usize = 4;

/// `about 6 minutes`; of less than a minute and a half in seconds, by tens.
pub(super) fn about(seconds: f64) -> String {
    if seconds < 10.0 {
        return "less than 10 seconds".to_owned();
    }
    if seconds < 90.0 {
        return format!("about {:.0} seconds", (seconds / 10.0).round() * 10.0);
    }
    let minutes = seconds / 60.0;
    if minutes < 90.0 {
        format!("about {minutes:.0} minutes")
    } else {
        format!("about {:.0} hours", minutes / 60.0)
    }
}

/// `12 seconds`, `2 minutes`: a time that has passed, rounded down.
pub(super) fn for_time(seconds: f64) -> String {
    if seconds < 120.0 {
        return format!("{:.0} seconds", seconds.floor());
    }
    format!("{:.0} minutes", (seconds / 60.0).floor())
}

/// `+1,130 a minute`. Floats become integers at the nearest end of the range.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and a slope of a forecast is above 0"
)]
pub(super) fn slope(per_minute: f64) -> String {
    format!("+{} a minute", Grouped(per_minute.round() as u64))
}

/// `nginx (pids 812, 813), node (pid 900)`; empty for nobody. Of each name as many as there is room for.
pub(super) fn processes(owners: &[Owner]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for owner in owners {
        if !names.contains(&owner.name.as_str()) {
            names.push(&owner.name);
        }
    }
    let listed = names.iter().take(NAMES_MAX).map(|name| {
        let pids: Vec<u32> = owners
            .iter()
            .filter(|owner| owner.name == **name)
            .map(|owner| owner.pid)
            .collect();
        format!("{name} ({})", pid_list(&pids))
    });
    let mut words: Vec<String> = listed.collect();
    if names.len() > NAMES_MAX {
        words.push(format!("{} more", names.len() - NAMES_MAX));
    }
    words.join(", ")
}

/// `pid 812`, `pids 812, 813 and 3 more`.
fn pid_list(pids: &[u32]) -> String {
    let listed: Vec<String> = pids.iter().take(NAMES_MAX).map(u32::to_string).collect();
    let more = match pids.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let plural = if pids.len() == 1 { "pid" } else { "pids" };
    format!("{plural} {}{more}", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Program;

    #[test]
    fn times_are_told_as_people_tell_them() {
        for (seconds, words) in [
            (0.4, "less than 10 seconds"),
            (38.0, "about 40 seconds"),
            (89.0, "about 90 seconds"),
            (92.0, "about 2 minutes"),
            (360.0, "about 6 minutes"),
            (3600.0, "about 60 minutes"),
            (7300.0, "about 2 hours"),
        ] {
            assert_eq!(about(seconds), words);
        }
    }

    #[test]
    fn processes_of_one_name_are_listed_together_and_not_for_ever() {
        let owner = |pid, name: &str| Owner {
            pid,
            name: name.to_owned(),
            program: Program::Other,
            uid: None,
            cgroup: None,
        };
        let mut owners: Vec<Owner> = (812..818).map(|pid| owner(pid, "nginx")).collect();
        owners.insert(1, owner(900, "node"));
        assert_eq!(
            processes(&owners),
            "nginx (pids 812, 813, 814, 815 and 2 more), node (pid 900)"
        );
        assert_eq!(processes(&[]), "");
    }
}
