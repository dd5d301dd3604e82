//! What is served over HTTP: pages, guest login, health.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Directory, Process, Response, TestApp, now_ms, patiently};

#[tokio::test]
async fn the_root_is_an_html_page_with_security_headers() {
    let app = TestApp::spawn("").await;
    let page = app.get("/").await;
    assert_eq!(page.status, 200);
    let kind = page.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/html"), "{kind}");
    assert!(page.body.contains("<html"), "{}", page.body);
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let policy = page.header("content-security-policy").expect("a Content-Security-Policy");
    assert!(policy.contains("default-src") || policy.contains("script-src"), "{policy}");
}

#[tokio::test]
async fn the_browser_module_is_served_as_javascript() {
    let app = TestApp::spawn("").await;
    let module = app.get("/rookery.js").await;
    assert_eq!(module.status, 200);
    let kind = module.header("content-type").unwrap_or_default();
    assert!(kind.contains("javascript"), "{kind}");
}

#[tokio::test]
async fn a_page_that_is_known_is_answered_without_a_body() {
    let app = TestApp::spawn("").await;
    let page = app.get("/chat.js").await;
    let tag = page.header("etag").expect("an ETag");
    let ask = |more: &str| {
        format!("GET /chat.js HTTP/1.1\r\nHost: x\r\nIf-None-Match: {tag}\r\n{more}\r\n")
    };
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", app.port)).await.unwrap();
    let both = ask("") + &ask("Connection: close\r\n");
    stream.write_all(both.as_bytes()).await.unwrap();
    let mut answers = String::new();
    patiently("both answers", stream.read_to_string(&mut answers)).await.unwrap();
    // Each a head, and nothing behind it that could be taken for the next one.
    let heads: Vec<&str> = answers.split("\r\n\r\n").collect();
    assert_eq!(heads.len(), 3, "{answers}");
    assert!(heads[..2].iter().all(|head| head.starts_with("HTTP/1.1 304")), "{answers}");
    assert_eq!(heads[2], "");
}

#[tokio::test]
async fn the_operators_page_is_at_admin_unless_it_is_off() {
    let app = TestApp::spawn("").await;
    let page = app.get("/admin").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("API key"), "{}", page.body);
    let policy = page.header("content-security-policy").expect("a Content-Security-Policy");
    assert!(policy.contains("script-src 'self';"), "{policy}");
    let off = TestApp::spawn("server.admin = false").await;
    for path in ["/admin", "/admin.html"] {
        off.get(path).await.assert_error(404, "not_found");
    }
    assert_eq!(off.get("/").await.status, 200);
}

#[tokio::test]
async fn what_is_not_in_static_is_404() {
    let app = TestApp::spawn("").await;
    for path in [
        "/nothing.html",
        "/../Cargo.toml",
        "/..%2fCargo.toml",
        "/%2e%2e/Cargo.toml",
        "/static/../../Cargo.toml",
        "//etc/passwd",
        "/api/v1/rooms",
    ] {
        let status = app.get(path).await.status;
        assert!(status == 404 || status == 400, "{path} is answered with {status}");
    }
}

#[tokio::test]
async fn pages_come_from_static_dir_where_it_is_set() {
    let directory = Directory::new();
    directory.write("index.html", "<html>my own page</html>");
    directory.write("note.txt", "a note");
    let app = TestApp::spawn(&format!("server.static_dir = {:?}", directory.path())).await;
    assert_eq!(app.get("/").await.body, "<html>my own page</html>");
    assert_eq!(app.get("/note.txt").await.body, "a note");
    for path in ["/..%2f", "/%2e%2e/", "/.."] {
        assert_ne!(app.get(path).await.status, 200, "{path} leaves the directory");
    }
}

fn assert_figures(health: &Value, connections: u64) {
    assert!(health["node"].as_str().is_some_and(|node| !node.is_empty()), "{health}");
    assert_eq!(health["connections"], connections, "{health}");
    let (open, allowed) = (health["fds"]["open"].as_u64(), health["fds"]["allowed"].as_u64());
    assert!(open > Some(0) && open < allowed, "{health}");
    assert!(health["broker"]["kind"].is_string(), "{health}");
    assert_eq!(health["broker"]["ok"], true, "{health}");
}

#[tokio::test]
async fn healthz_and_readyz_show_the_figures_of_the_contract() {
    let app = TestApp::spawn("").await;
    for path in ["/healthz", "/readyz"] {
        let health = app.get(path).await;
        assert_eq!(health.status, 200);
        assert!(health.header("content-type").is_some_and(|t| t.starts_with("application/json")));
        assert_figures(&health.json(), 0);
    }
    let alice = app.client("alice").await;
    let _bob = app.client("bob").await;
    assert_eq!(alice.welcome["node"], app.get("/healthz").await.json()["node"]);
    for path in ["/healthz", "/readyz"] {
        assert_figures(&app.get(path).await.json(), 2);
    }
    alice.leave().await;
    app.until_connections(1).await;
}

async fn log_in(app: &TestApp, name: &str) -> Response {
    app.post("/auth/guest", &json!({"name": name})).await
}

#[tokio::test]
async fn a_guest_gets_a_short_lived_token_and_the_cookie() {
    let app = TestApp::spawn("auth.guest_ttl = \"90s\"").await;
    let response = log_in(&app, "Ann ☃").await;
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.json();
    let (token, user) = (body["token"].as_str().unwrap(), body["user"].as_str().unwrap());
    let expires_at = body["expires_at"].as_u64().expect("integer milliseconds");
    assert!(expires_at.abs_diff(now_ms() + 90_000) < 10_000, "{body}");

    let cookie = response.header("set-cookie").expect("a cookie");
    let (value, attributes) = cookie.split_once(';').expect("a cookie has attributes");
    assert_eq!(value, format!("rookery_token={token}"));
    let attributes: Vec<_> = attributes.split(';').map(|a| a.trim().to_lowercase()).collect();
    for wanted in ["httponly", "samesite=lax", "path=/"] {
        assert!(attributes.iter().any(|a| a == wanted), "no {wanted} in {cookie}");
    }

    for connect in [app.upgrade().header("cookie", value), app.upgrade().bearer(token)] {
        let mut guest = connect.client().await;
        assert_eq!(guest.welcome["user"], user);
        assert_eq!(guest.welcome["expires_at"], expires_at);
        let joined = guest.join("lobby").await;
        assert_eq!(joined["members"][0]["name"], "Ann ☃");
    }
}

#[tokio::test]
async fn the_guest_s_cookie_is_secure_where_a_trusted_proxy_says_so() {
    for (trusted, says, secure) in
        [("127.0.0.1", "https", true), ("127.0.0.1", "http", false), ("127.0.0.9", "https", false)]
    {
        let app = TestApp::spawn(&format!("server.trusted_proxies = {trusted:?}")).await;
        let head = [("x-forwarded-proto", says.to_owned())];
        let response = app.post_with("/auth/guest", &head, &json!({"name": "Ann"})).await;
        let cookie = response.header("set-cookie").expect("a cookie");
        assert_eq!(cookie.contains("Secure"), secure, "{trusted} {says}: {cookie}");
    }
}

#[tokio::test]
async fn guests_of_one_name_are_different_users() {
    let app = TestApp::spawn("").await;
    let users: Vec<_> = [log_in(&app, "Ann").await, log_in(&app, "Ann").await]
        .map(|r| r.json()["user"].clone())
        .into();
    assert_ne!(users[0], users[1]);
}

#[tokio::test]
async fn a_guest_whose_token_holds_gets_another_for_the_same_user() {
    let app = TestApp::spawn("").await;
    let first = app.post("/auth/guest", &json!({"name": "Ada"})).await.json();
    let renew = async |token: &str| {
        let head = [("authorization", format!("Bearer {token}"))];
        app.post_with("/auth/guest", &head, &json!({"name": "Ada"})).await.json()
    };
    let second = renew(first["token"].as_str().unwrap()).await;
    assert_eq!(second["user"], first["user"]);
    // The new token refreshes the session of the old one.
    let mut ada = app.upgrade().bearer(first["token"].as_str().unwrap()).client().await;
    ada.ask(json!({"type": "refresh", "token": second["token"]}), "refreshed").await;
    // A token that is no guest's is not renewed: its grants may be narrower.
    let other = renew(&app.token("bob")).await;
    assert_ne!(other["user"], "bob");
}

#[tokio::test]
async fn a_guest_without_a_name_is_refused() {
    let app = TestApp::spawn("").await;
    for body in [json!({}), json!({"name": ""}), json!({"name": 7}), json!([])] {
        let response = app.post("/auth/guest", &body).await;
        assert_eq!(response.status, 400, "{body}: {response:?}");
        assert_eq!(response.json()["error"]["code"], "bad_message");
    }
}

#[tokio::test]
async fn guest_login_is_off_where_it_is_set_off() {
    let app = TestApp::spawn("auth.guest = \"off\"").await;
    let response = log_in(&app, "Ann").await;
    assert!(matches!(response.status, 403 | 404), "{response:?}");
    assert!(response.header("set-cookie").is_none(), "{response:?}");
}

#[tokio::test]
async fn guest_login_is_off_by_itself_where_an_address_is_not_loopback() {
    let app = TestApp::spawn("server.listen = \"0.0.0.0:0\"").await;
    let response = log_in(&app, "Ann").await;
    assert!(matches!(response.status, 403 | 404), "{response:?}");
}

#[tokio::test]
async fn guest_login_may_be_set_on_anywhere_and_a_warning_says_so() {
    let app = TestApp::spawn("server.listen = \"0.0.0.0:0\"\nauth.guest = \"on\"").await;
    assert_eq!(log_in(&app, "Ann").await.status, 200);

    let environment = [("ROOKERY__SERVER__LISTEN", "0.0.0.0:0"), ("ROOKERY__AUTH__GUEST", "on")];
    let log = Process::spawn(&environment).await.log();
    let warned = log.lines().any(|line| line.contains("WARN") && line.contains("guest"));
    assert!(warned, "{log}");
}
