//! Under which conditions the commands that hold many connections measured, as each form of a report says it.
//!
//! Not those of `compare`, which has more to say about its rounds and its load.

use std::fmt::Write as _;

use super::json::{array, number, object, string};
use crate::stage::Conditions;

/// For the terminal: the proxies with their binaries, and who was left out.
pub(crate) fn write_text(text: &mut String, conditions: &Conditions) {
    for proxy in &conditions.proxies {
        let (name, binary) = (proxy.rival.name(), proxy.binary.display());
        let _ = writeln!(text, "  {name}: {} ({binary})", proxy.version); // cannot fail, as below
    }
    for missing in &conditions.missing {
        let _ = writeln!(text, "  LEFT OUT: {missing}");
    }
}

/// The end of a section of the document: host, versions, and the command that repeats it.
pub(crate) fn write_markdown(text: &mut String, conditions: &Conditions) {
    let _ = writeln!(
        text,
        "\n- Host: {}; {}.",
        conditions.machine.in_words(),
        conditions.cores
    );
    for proxy in &conditions.proxies {
        let _ = writeln!(text, "- {}: `{}`", proxy.rival.name(), proxy.version);
    }
    for missing in &conditions.missing {
        let _ = writeln!(text, "- Left out: {missing}");
    }
    let _ = writeln!(
        text,
        "\nTo repeat:\n\n```sh\ncargo build --release\ncargo run --release -p lasthop-bench -- {}\n```",
        conditions.arguments
    );
}

/// The first members of the JSON object of `experiment`, as in [`super::json`].
pub(crate) fn members(experiment: &str, conditions: &Conditions) -> Vec<(&'static str, String)> {
    let proxies = conditions.proxies.iter().map(|proxy| {
        object([
            ("name", string(proxy.rival.name())),
            ("version", string(&proxy.version)),
            ("binary", string(&proxy.binary.display().to_string())),
        ])
    });
    let missing = conditions.missing.iter().map(|missing| string(missing));
    vec![
        ("experiment", string(experiment)),
        ("kernel", string(&conditions.machine.kernel)),
        ("processor", string(&conditions.machine.processor)),
        ("cores", conditions.machine.cores.to_string()),
        (
            "congestion_control",
            string(&conditions.machine.congestion_control),
        ),
        ("load_average", number(conditions.machine.load_average)),
        ("pinning", string(&conditions.cores)),
        ("proxies", array(proxies)),
        ("missing", array(missing)),
    ]
}
