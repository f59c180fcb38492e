//! What the configuration files of other proxies say about Unix sockets that they connect to, and about further files.
//!
//! Pure: text in, paths out. Knows a few directives of each program and takes nothing else for a target, least of all
//! what a program listens on. Whatever is put together at run time (variables, placeholders) is left out.

use lasthop_ports::snapshot::Program;

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Spelled {
    /// Absolute paths of sockets that are connected to.
    pub(super) sockets: Vec<String>,
    /// Patterns of files that belong to it.
    pub(super) includes: Vec<String>,
    /// Where relative patterns begin (`ServerRoot` of Apache httpd).
    pub(super) root: Option<String>,
}

/// Reads `text` as a configuration file of `program`; nothing where it is none that is known.
pub(super) fn spelled(program: Program, text: &str) -> Spelled {
    let mut spelled = Spelled::default();
    for words in statements(text, program == Program::Nginx) {
        let Some((first, rest)) = words.split_first() else {
            continue;
        };
        match program {
            Program::Nginx => nginx(first, rest, &mut spelled),
            Program::HaProxy => haproxy(first, rest, &mut spelled),
            Program::Caddy => caddy(first, rest, &mut spelled),
            Program::Apache => apache(first, rest, &mut spelled),
            _ => {}
        }
    }
    spelled.sockets.retain(|path| is_literal_path(path));
    spelled
}

fn is_literal_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['$', '{', '}', '*', '\0', '%'])
}

/// Statements as words: lines, or what ends with a semicolon or a brace. A `#` outside quotes begins a comment.
fn statements(text: &str, by_semicolon: bool) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut in_comment = false;
    for character in text.chars().chain(['\n']) {
        let is_end = if by_semicolon {
            matches!(character, ';' | '{' | '}')
        } else {
            character == '\n'
        };
        match quote {
            _ if in_comment => in_comment = character != '\n',
            Some(open) if character == open => quote = None,
            Some(_) if by_semicolon || character != '\n' => {
                word.push(character);
                continue;
            }
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None if character == '#' && word.is_empty() => in_comment = true,
            _ if !is_end && !character.is_whitespace() => word.push(character),
            _ => quote = None,
        }
        let ends_word = quote.is_none() && (is_end || character.is_whitespace());
        if ends_word && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if ends_word && is_end && !words.is_empty() {
            all.push(std::mem::take(&mut words));
        }
    }
    all
}

/// `proxy_pass http://unix:/run/app.sock:/uri;`, `server unix:/run/app.sock weight=2;`
/// (ngx_http_upstream_module, ngx_http_proxy_module and its siblings).
fn nginx(first: &str, rest: &[String], spelled: &mut Spelled) {
    let Some(argument) = rest.first() else {
        return;
    };
    match first {
        "include" => spelled.includes.push(argument.clone()),
        "server" if rest.iter().any(|word| word == "down") => {}
        "server" | "proxy_pass" | "grpc_pass" | "fastcgi_pass" | "uwsgi_pass" | "scgi_pass"
        | "memcached_pass" => {
            let address = argument
                .split_once("://")
                .map_or(&**argument, |(_, rest)| rest);
            if let Some(path) = address.strip_prefix("unix:") {
                let path = path.split(':').next().unwrap_or(path);
                spelled.sockets.push(path.to_owned());
            }
        }
        _ => {}
    }
}

/// `server NAME ADDRESS …`, where an address that begins with a slash is a socket as well (Configuration Manual, 11.1
/// and 5.2).
fn haproxy(first: &str, rest: &[String], spelled: &mut Spelled) {
    if first != "server" || rest.iter().any(|word| word == "disabled") {
        return;
    }
    if let Some(address) = rest.get(1) {
        let path = address.strip_prefix("unix@").unwrap_or(address);
        spelled.sockets.push(path.to_owned());
    }
}

/// `reverse_proxy unix//run/app.sock` (Caddyfile directives; network addresses).
fn caddy(first: &str, rest: &[String], spelled: &mut Spelled) {
    match first {
        "import" => spelled.includes.extend(rest.first().cloned()),
        "reverse_proxy" | "php_fastcgi" | "forward_auth" | "to" => {
            for word in rest {
                let network = word.split_once('/');
                if let Some(("unix" | "unix+h2c", path)) = network {
                    spelled.sockets.push(path.to_owned());
                }
            }
        }
        _ => {}
    }
}

/// `ProxyPass / unix:/run/app.sock|http://localhost/`, `SetHandler "proxy:unix:/run/php.sock|fcgi://localhost"`
/// (mod_proxy).
fn apache(first: &str, rest: &[String], spelled: &mut Spelled) {
    match first.to_ascii_lowercase().as_str() {
        "include" | "includeoptional" => spelled.includes.extend(rest.first().cloned()),
        "serverroot" => spelled.root = rest.first().cloned(),
        "proxypass" | "proxypassmatch" | "balancermember" | "sethandler" => {
            for word in rest {
                let word = word.strip_prefix("proxy:").unwrap_or(word);
                if let Some(path) = word.strip_prefix("unix:") {
                    let path = path.split('|').next().unwrap_or(path);
                    // At the end of a section's opening: `<Proxy "unix:/a|http://b">`.
                    spelled.sockets.push(path.trim_end_matches('>').to_owned());
                }
            }
        }
        _ => {}
    }
}

/// Whether `name` fits a pattern of `*` and `?`. Takes time that grows with the product of their lengths.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // As the shell: what begins with a dot is named with its dot.
    if name.first() == Some(&'.') && pattern.first() != Some(&'.') {
        return false;
    }
    // Which lengths of the pattern fit the name so far.
    let mut reached = vec![false; pattern.len() + 1];
    reached[0] = true;
    let skip_stars = |reached: &mut Vec<bool>| {
        for (at, character) in pattern.iter().enumerate() {
            reached[at + 1] |= *character == '*' && reached[at];
        }
    };
    skip_stars(&mut reached);
    for character in name {
        let mut next = vec![false; pattern.len() + 1];
        for (at, wanted) in pattern.iter().enumerate().filter(|(at, _)| reached[*at]) {
            if *wanted == '*' {
                next[at] = true;
            } else if *wanted == '?' || *wanted == character {
                next[at + 1] = true;
            }
        }
        skip_stars(&mut next);
        reached = next;
    }
    reached[pattern.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(program: Program, text: &str) -> Vec<String> {
        spelled(program, text).sockets
    }

    #[test]
    fn nginx_connects_and_listens_and_only_the_first_counts() {
        let text = "
            # server unix:/run/comment.sock;
            upstream app { server unix:/run/app.sock weight=2; server unix:/run/down.sock down; }
            upstream tcp { server 127.0.0.1:3000; # unix:/run/no.sock
            }
            server {
                listen unix:/run/listen.sock; server_name unix:/run/name.sock;
                access_log syslog:server=unix:/dev/log;
                location / { proxy_pass http://unix:/run/pass.sock:/uri/; }
                location /php { fastcgi_pass 'unix:/run/php \"x.sock'; }
                location /v { proxy_pass http://unix:$path; }
                include snippets/*.conf;
            }";
        let spelled = spelled(Program::Nginx, text);
        assert_eq!(
            spelled.sockets,
            ["/run/app.sock", "/run/pass.sock", "/run/php \"x.sock"]
        );
        assert_eq!(spelled.includes, ["snippets/*.conf"]);
    }

    #[test]
    fn haproxy_takes_a_path_for_a_socket() {
        let text = "
global
    stats socket /run/haproxy/admin.sock mode 660
frontend f
    bind unix@/run/front.sock
backend b
    server a unix@/run/a.sock check
    server b /run/b.sock
    server c 127.0.0.1:80 # unix@/run/no.sock
    server d unix@/run/off.sock disabled
    server e unix@$SOCKET
    server f abns@name";
        assert_eq!(
            sockets(Program::HaProxy, text),
            ["/run/a.sock", "/run/b.sock"]
        );
    }

    #[test]
    fn caddy_has_two_slashes() {
        let text = "
example.com {
    bind unix//run/front.sock
    reverse_proxy /api unix//run/api.sock unix+h2c//run/grpc.sock
    php_fastcgi unix//run/php/php-fpm.sock
    reverse_proxy unix/{env.SOCKET} localhost:80
    import sites/*
}";
        let spelled = spelled(Program::Caddy, text);
        assert_eq!(
            spelled.sockets,
            ["/run/api.sock", "/run/grpc.sock", "/run/php/php-fpm.sock"]
        );
        assert_eq!(spelled.includes, ["sites/*"]);
    }

    #[test]
    fn apache_has_a_bar_behind_the_path() {
        let text = "
ServerRoot \"/etc/httpd\"
Include conf.d/*.conf
ProxyPass / unix:/run/app.sock|http://localhost/
# ProxyPass / unix:/run/no.sock|http://localhost/
SetHandler \"proxy:unix:/run/php.sock|fcgi://localhost\"
BalancerMember unix:/run/b.sock|http://b
ProxyPass /x unix:relative.sock|http://x";
        let spelled = spelled(Program::Apache, text);
        assert_eq!(
            spelled.sockets,
            ["/run/app.sock", "/run/php.sock", "/run/b.sock"]
        );
        assert_eq!(spelled.root.as_deref(), Some("/etc/httpd"));
        assert_eq!(spelled.includes, ["conf.d/*.conf"]);
    }

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("*.conf", ".a.conf", false),
            ("*", "a", true),
            ("a?c*", "abc", true),
            ("a?c*", "ac", false),
            ("nginx.conf", "nginx.conf", true),
            ("", "", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_much(text in "[ -~\n]{0,200}|\\PC{0,100}") {
            for program in [Program::Nginx, Program::HaProxy, Program::Caddy, Program::Apache] {
                for path in spelled(program, &text).sockets {
                    proptest::prop_assert!(path.starts_with('/'));
                }
            }
        }
    }
}
