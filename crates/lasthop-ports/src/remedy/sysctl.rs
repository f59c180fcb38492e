//! A setting of the kernel: at once, over the next boot, and back.

use super::paste::{inside, lines, shell, words};
use crate::finding::Remedy;
use crate::snapshot::Namespace;

/// A setting, what it should be and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Setting<'a> {
    /// Its name as sysctl(8) spells it.
    pub(crate) name: &'static str,
    /// What it should be.
    pub(crate) value: &'a str,
    /// What it is, for the way back.
    pub(crate) before: &'a str,
}

/// Settings below `net.` that there is one of for the whole host, whatever namespace asks.
const HOST_WIDE: &[&str] = &["net.netfilter.nf_conntrack_max", "net.ipv4.tcp_mem"];

/// Sets it. `title` begins with a verb; `risk` is what the change may break.
pub(crate) fn set(
    namespace: &Namespace,
    setting: &Setting<'_>,
    title: impl Into<String>,
    risk: Option<String>,
) -> Remedy {
    let Setting {
        name,
        value,
        before,
    } = *setting;
    let of_a_container = namespace.pid.is_some() && is_per_namespace(name);
    let write = |value: &str| {
        let command = if value.contains(char::is_whitespace) {
            format!("sysctl -w {name}=\"{value}\"")
        } else {
            format!("sysctl -w {name}={value}")
        };
        if of_a_container {
            inside(namespace, &command)
        } else {
            command
        }
    };
    if of_a_container {
        return Remedy {
            title: title.into(),
            steps: vec![
                shell([write(value)]),
                words(format!(
                    "For good: where the container is started, --sysctl \"{name}={value}\" of docker run and podman run, \
                     or sysctls: of a compose file."
                )),
            ],
            undo: vec![write(before)],
            risk,
        };
    }
    let file = format!(
        "/etc/sysctl.d/90-{}.conf",
        name.rsplit('.').next().unwrap_or(name)
    );
    Remedy {
        title: title.into(),
        steps: vec![
            shell([write(value)]),
            lines(
                format!("{file}, so that it outlives a boot"),
                [format!("{name} = {value}")],
            ),
        ],
        undo: vec![write(before), format!("rm {file}")],
        risk,
    }
}

fn is_per_namespace(name: &str) -> bool {
    name.starts_with("net.") && !HOST_WIDE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(pid: Option<u32>, name: &'static str, value: &str) -> String {
        let namespace = Namespace {
            pid,
            ..Namespace::default()
        };
        let setting = Setting {
            name,
            value,
            before: "128",
        };
        format!("{:?}", set(&namespace, &setting, "Raise it", None))
    }

    #[test]
    fn a_setting_comes_with_its_file_and_the_way_back() {
        let text = remedy(None, "net.core.somaxconn", "4096");
        for part in [
            "\"sysctl -w net.core.somaxconn=4096\"",
            "/etc/sysctl.d/90-somaxconn.conf",
            "net.core.somaxconn = 4096",
            "undo: [\"sysctl -w net.core.somaxconn=128\", \"rm /etc/sysctl.d/90-somaxconn.conf\"]",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_container_has_settings_of_its_own_but_for_those_of_the_host() {
        let own = remedy(Some(7), "net.core.somaxconn", "4096");
        assert!(own.contains("nsenter --target 7 --net sysctl -w net.core.somaxconn=4096"));
        assert!(!own.contains("/etc/sysctl.d"));
        let hosts = remedy(Some(7), "fs.file-max", "4096");
        assert!(!hosts.contains("nsenter"), "{hosts}");
    }

    #[test]
    fn several_numbers_are_one_value() {
        let text = remedy(None, "net.ipv4.tcp_mem", "1 2 3");
        assert!(
            text.contains(r#"sysctl -w net.ipv4.tcp_mem=\"1 2 3\""#),
            "{text}"
        );
    }
}
