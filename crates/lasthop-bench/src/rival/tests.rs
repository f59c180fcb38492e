//! What is written into the templates, and what is said about proxies that are not there.

use super::*;
use ::lasthop::demo::scratch::Scratch;

/// The configuration that a start with `fields` writes, as text.
fn configuration(rival: Rival, fields: Fields) -> String {
    let scratch = Scratch::new().unwrap();
    let setup = Setup {
        upstream: &Upstream::Unix("/run/app.sock".into()),
        fields,
        workers: 1,
        room: Room::on_this_host().unwrap(),
        directory: scratch.path(),
    };
    let address = "127.0.0.1:1".parse().unwrap();
    let (command, name): (fn(_, _, &_) -> _, _) = match rival {
        Rival::Lasthop => (lasthop::command, "lasthop.toml"),
        Rival::Nginx => (nginx::command, "nginx.conf"),
        Rival::Haproxy => (haproxy::command, "haproxy.cfg"),
        Rival::Envoy => (envoy::command, "envoy.yaml"),
        Rival::Caddy => (caddy::command, "Caddyfile"),
    };
    command(Path::new("/nonexistent"), address, &setup).unwrap();
    fs::read_to_string(scratch.path().join(name)).unwrap()
}

#[test]
fn no_word_of_a_template_is_left_open() {
    for rival in Rival::ALL {
        let text = configuration(rival, Fields::Fewest);
        let open = text.split('@').skip(1).find(|word| {
            !word.is_empty() && word.chars().all(|letter| letter.is_ascii_uppercase())
        });
        assert_eq!(open, None, "{text}");
        assert!(text.contains("/run/app.sock"), "{text}");
    }
}

#[test]
fn a_rival_sets_the_forwarding_fields_only_when_asked_to() {
    for rival in Rival::ALL.into_iter().skip(1) {
        for (fields, wanted) in [(Fields::Fewest, false), (Fields::Same, true)] {
            let text = configuration(rival, fields);
            let set = text
                .lines()
                .any(|line| line.contains("X-Real-IP") && !line.trim_start().starts_with('#'));
            assert_eq!(set, wanted, "{}: {text}", rival.name());
        }
    }
}

#[test]
fn a_proxy_that_is_not_there_is_named_with_its_path() {
    let missing =
        Found::look_for(Rival::Lasthop, Some(Path::new("/nonexistent/lasthop"))).unwrap_err();
    assert_eq!(missing, "lasthop: no file /nonexistent/lasthop");
}
