//! The configuration files of the proxies in the namespace.
//!
//! Pure. What is not said is as it is by default. A client is told why it is refused, since that is shown.

use std::path::Path;

use crate::demo::app::App;

/// How the proxy reaches the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// TCP, source addresses and ports left to the kernel.
    TcpKernel,
    /// TCP, with nothing said about sources.
    Tcp,
    /// A Unix socket.
    Unix,
}

/// Which connections to the app are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// As by default.
    Default,
    /// None: each request has a connection of its own, and the proxy closes it.
    None,
}

/// The whole of a file. A request waits `queue_milliseconds` for a port. `None` where a path is no text.
pub(super) fn config(
    front: &Path,
    app: &App,
    target: Target,
    keeping: Keeping,
    queue_milliseconds: u32,
) -> Option<String> {
    let front = quoted(&format!("unix:{}", front.to_str()?));
    let to = match target {
        Target::TcpKernel | Target::Tcp => app.tcp_address().to_string(),
        Target::Unix => format!("unix:{}", app.unix_path().to_str()?),
    };
    let to = quoted(&to);
    let source = match target {
        Target::TcpKernel => "source = \"kernel\"\n",
        Target::Tcp | Target::Unix => "",
    };
    let keepalive = match keeping {
        Keeping::Default => "",
        Keeping::None => "keepalive = { idle = 0 }\n",
    };
    Some(format!(
        "[server]\nworkers = 1\nerror_details = true\n[log]\naccess = \"off\"\n[[listener]]\naddress = {front}\n\
         [[upstream]]\nname = \"app\"\ntargets = [{to}]\nqueue = {{ timeout = \"{queue_milliseconds}ms\" }}\n\
         {source}{keepalive}"
    ))
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::scratch::Scratch;

    #[test]
    fn a_path_is_the_same_after_a_reader_of_toml() {
        assert_eq!(quoted("unix:/tmp/a b"), "\"unix:/tmp/a b\"");
        assert_eq!(quoted("\"\\\u{1b}ü"), "\"\\\"\\\\\\u001Bü\"");
    }

    #[test]
    fn only_what_differs_from_the_default_is_said() {
        let scratch = Scratch::new().unwrap();
        let app = App::start(0, scratch.path()).unwrap();
        let front = scratch.path().join("front.sock");
        let file = |target, keeping| config(&front, &app, target, keeping, 500).unwrap();
        let default = file(Target::Tcp, Keeping::Default);
        let kernel = file(Target::TcpKernel, Keeping::Default);
        assert_eq!(kernel, format!("{default}source = \"kernel\"\n"));
        let closing = file(Target::Tcp, Keeping::None);
        assert_eq!(closing, format!("{default}keepalive = {{ idle = 0 }}\n"));
        let unix = file(Target::Unix, Keeping::Default);
        assert!(
            !unix.contains("source") && unix.contains("app.sock"),
            "{unix}"
        );
    }
}
