//! Which upstream a request goes to, and which target of it.

use crate::support::{App, Lasthop, Place, Setup};

/// An app that answers with its name.
fn named(name: &'static str) -> App {
    App::on(Place::Unix, move |mut conn| {
        while conn.request().is_some() {
            conn.answer(name);
        }
    })
}

/// Five routes to apps that say which route it was.
fn site() -> (Lasthop, Vec<App>) {
    let mut apps = Vec::new();
    let mut tables = String::new();
    for (name, keys) in [
        ("api", "path = \"/api/\""),
        ("admin", "path = \"/api/admin/\""),
        ("shop", "host = \"shop.test\""),
        ("shop-api", "host = \"shop.test\"\npath = \"/api/\""),
        ("any-shop", "host = \"*.shop.test\""),
    ] {
        let app = named(name);
        tables.push_str(&format!(
            "[[upstream]]\nname = \"{name}\"\ntargets = [\"{}\"]\n[[route]]\nupstream = \"{name}\"\n{keys}\n",
            app.target()
        ));
        apps.push(app);
    }
    let root = named("root");
    let proxy = Setup::to(&[&root.target()])
        .route("host = \"site.test\"")
        .more(&tables)
        .start();
    apps.push(root);
    (proxy, apps)
}

fn goes_to(proxy: &Lasthop, target: &str, host: &str) -> String {
    let answer = proxy
        .client()
        .exchange(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    if answer.status() == 404 {
        assert_eq!(answer.error(), "destination_not_found");
        return "nowhere".to_owned();
    }
    answer.text()
}

#[test]
fn a_request_goes_by_host_and_longest_path() {
    let (proxy, _apps) = site();
    for (host, target, wanted) in [
        ("site.test", "/", "root"),
        ("site.test", "/anything?x=/api/", "root"),
        ("SITE.test", "/", "root"),
        ("site.test:8080", "/", "root"),
        ("shop.test", "/", "shop"),
        ("shop.test", "/api/x", "shop-api"),
        ("a.shop.test", "/", "any-shop"),
        ("other.test", "/api/x", "api"),
        ("other.test", "/api/admin/x", "admin"),
        ("other.test", "/", "nowhere"),
        ("notshop.test", "/", "nowhere"),
    ] {
        assert_eq!(goes_to(&proxy, target, host), wanted, "{host}{target}");
    }
}

#[test]
fn an_absolute_target_is_routed_by_its_own_host() {
    let (proxy, _apps) = site();
    assert_eq!(
        goes_to(&proxy, "http://shop.test/api/x", "site.test"),
        "shop-api"
    );
}

#[test]
fn no_route_is_404_and_the_connection_stays() {
    let (proxy, _apps) = site();
    let mut client = proxy.client();
    let answer = client.exchange("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n");
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.error(), "destination_not_found");
    let answer = client.exchange("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    assert_eq!(answer.text(), "shop");
}

#[test]
fn several_targets_take_turns() {
    let apps = [named("one"), named("two"), named("three")];
    let targets = apps.each_ref().map(App::target);
    let targets: Vec<_> = targets.iter().map(String::as_str).collect();
    let proxy = Setup::to(&targets)
        .upstream("keepalive = { idle = 0, timeout = \"1s\" }")
        .start();
    let mut said: Vec<_> = (0..30).map(|_| proxy.get("/").text()).collect();
    said.sort_unstable();
    for name in ["one", "two", "three"] {
        assert_eq!(
            said.iter().filter(|text| *text == name).count(),
            10,
            "{said:?}"
        );
    }
}

#[test]
fn several_listeners_serve_one_site() {
    let app = named("app");
    let dir = crate::support::TempDir::new();
    let proxy = Setup::to(&[&app.target()])
        .server("workers = 2")
        .more(&format!(
            "[[listener]]\nname = \"six\"\naddress = \"[::1]:0\"\n[[listener]]\nname = \"socket\"\naddress = \"unix:{}\"\n",
            dir.join("front.sock").display()
        ))
        .start();
    let names: Vec<_> = proxy
        .listening
        .iter()
        .map(|(_, name)| name.as_str())
        .collect();
    assert_eq!(names, ["front", "six", "socket"]);
    for (address, name) in &proxy.listening {
        for _ in 0..10 {
            let answer = crate::support::Client::connect(address).request("/");
            assert_eq!(answer.text(), "app", "{name}");
        }
    }
}

#[test]
fn flags_serve_without_a_file() {
    let app = named("app");
    let proxy = Lasthop::with_flags(&[
        "--listen",
        "127.0.0.1:0",
        "--to",
        &app.target(),
        "--workers",
        "2",
    ]);
    assert_eq!(proxy.get("/").text(), "app");
    let other = named("other");
    let proxy = Lasthop::with_flags(&[
        "--listen",
        "127.0.0.1:0",
        "--to",
        &app.target(),
        "--to",
        &other.target(),
        "--workers",
        "1",
    ]);
    let mut said = [proxy.get("/").text(), proxy.get("/").text()];
    said.sort_unstable();
    assert_eq!(said, ["app", "other"]);
}

#[test]
fn what_follows_a_request_without_a_route_is_not_lost() {
    let (proxy, _apps) = site();
    let mut client = proxy.client();
    // The second request and its body come with the first; the body must never be read as a request.
    client.send(
        "GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n\
         POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 39\r\n\r\n\
         GET / HTTP/1.1\r\nHost: a.shop.test\r\n\r\n\r\n\
         GET / HTTP/1.1\r\nHost: site.test\r\n\r\n",
    );
    assert_eq!(client.answer().status(), 404);
    assert_eq!(client.answer().text(), "shop");
    assert_eq!(client.answer().text(), "root");
}

#[test]
fn options_about_the_server_goes_where_its_root_goes() {
    let (proxy, _apps) = site();
    for target in ["*", "http://site.test"] {
        let mut client = proxy.client();
        client.send(format!(
            "OPTIONS {target} HTTP/1.1\r\nHost: site.test\r\n\r\n"
        ));
        assert_eq!(client.answer_to("OPTIONS").text(), "root", "{target}");
    }
}
