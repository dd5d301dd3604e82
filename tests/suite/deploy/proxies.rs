//! Two nodes behind a proxy, as clients see them.

use serde_json::json;

use super::fronts::{Front, Kind};
use crate::harness::{
    Connect, Listener, Process, RedisServer, eventually, node_process, since, went,
};

/// A proxy in front of two nodes in front of a Redis.
struct Site {
    front: Front,
    nodes: [Process; 2],
    _redis: RedisServer,
}

impl Site {
    async fn start(kind: Kind, settings: &[(&str, &str)]) -> Self {
        let redis = RedisServer::start().await;
        let url = redis.url();
        let settings = [&[("ROOKERY__SERVER__TRUSTED_PROXIES", "127.0.0.1")], settings].concat();
        let nodes =
            [node_process(&url, "n1", &settings).await, node_process(&url, "n2", &settings).await];
        let front = Front::before(kind, &nodes).await;
        Self { front, nodes, _redis: redis }
    }

    /// The number of the node with this client's `welcome`.
    fn number(node: &serde_json::Value) -> usize {
        usize::from(node == "n2")
    }

    /// From an address of this machine to the proxy.
    fn from(&self, host: u8, path: &str) -> Connect {
        Connect::new(*self.front.proxy, path).source([127, 0, 0, host])
    }
}

async fn a_client_resumes_on_the_other_node_when_its_own_dies(kind: Kind) {
    let site = Site::start(kind, &[]).await;
    let proxy = &site.front.proxy;
    let mut alice = proxy.member("alice", "lobby").await;
    let own = Site::number(&alice.welcome["node"]);
    let (dies, stays) = (&site.nodes[own], &site.nodes[1 - own]);
    let mut bob = stays.member("bob", "lobby").await;
    // As large as messages may be, both ways.
    let seen = alice.chat("lobby", &"x".repeat(60_000)).await;
    assert_eq!(bob.expect("chat").await["seq"], seen["seq"]);

    dies.signal("KILL");
    assert_eq!(alice.closed().await.code, None);
    bob.chat("lobby", "missed").await;
    // At once: the proxy finds out that the node is gone by asking it.
    let mut alice = proxy.client("alice").await;
    assert_eq!(Site::number(&alice.welcome["node"]), 1 - own);
    let joined = alice.resume("lobby", &since(&seen)).await;
    assert_eq!(joined["recovered"], true);
    assert_eq!(joined["messages"][0]["content"], "missed", "{joined}");
    bob.chat("lobby", "live").await;
    alice.until(|message| message["content"] == "live").await;
}

async fn a_node_that_drains_gets_nobody_and_nobody_is_refused(kind: Kind) {
    let site = Site::start(kind, &[("ROOKERY__SERVER__DRAIN_TIMEOUT", "30s")]).await;
    // It never answers the Close, so that the drain goes on.
    let mut silent = site.nodes[0].client("silent").await;
    site.nodes[0].signal("TERM");
    silent.expect("closing").await;
    for number in 0..8 {
        let client = site.front.proxy.client(&format!("user-{number}")).await;
        assert_eq!(client.welcome["node"], "n2");
    }
}

async fn clients_are_told_when_no_node_takes_them(kind: Kind) {
    let site = Site::start(kind, &[("ROOKERY__SERVER__MAX_CONNECTIONS", "1")]).await;
    let _full = [site.nodes[0].client("alice").await, site.nodes[1].client("bob").await];
    let refused = async || {
        let response = site.front.proxy.connect("carol").refused().await;
        response.assert_error(503, "unavailable");
        response.assert_retry_after();
    };
    refused().await;
    if kind == Kind::Haproxy {
        // It asks the nodes whether they are ready, and then answers itself.
        eventually("a proxy that knows", async || {
            site.front.proxy.log().contains("no server available").then_some(())
        })
        .await;
        refused().await;
    }
}

async fn limits_see_the_addresses_of_clients(kind: Kind) {
    let site = Site::start(kind, &[("ROOKERY__LIMITS__CONNECTIONS_PER_IP", "1")]).await;
    let token = site.front.proxy.token("alice");
    let from = |host| site.from(host, "/ws").bearer(&token);
    // One on each node, and then no more.
    let mut held = Vec::new();
    let refused = eventually("a refusal", async || {
        match from(5).attempt().await.expect("the proxy takes connections") {
            Ok(wire) => {
                held.push(wire);
                None
            }
            Err(response) => Some(response),
        }
    })
    .await;
    refused.assert_error(429, "rate_limited");
    assert!(held.len() <= 2, "{} connections of one address", held.len());
    // Others have their own, and nobody gets another's by saying so.
    let _other = from(6).wire().await;
    for _ in 0..2 {
        let lying = from(5).header("x-forwarded-for", "203.0.113.7");
        if let Ok(wire) = lying.attempt().await.expect("the proxy takes connections") {
            held.push(wire);
            assert!(held.len() <= 2, "an address was believed that a client made up");
        }
    }
}

async fn pages_are_served_and_what_is_not_for_strangers_is_not(kind: Kind) {
    let site = Site::start(kind, &[("ROOKERY__API__KEYS", "a-key-of-a-backend")]).await;
    let page = site.front.proxy.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.ends_with("</html>\n"), "{page:?}");
    let module = site.front.proxy.get("/rookery.js").await;
    assert_eq!((module.status, Some(module.body.len())), (200, module.content_length()));
    assert_eq!(site.front.proxy.get("/nothing-here").await.status, 404);

    for path in ["/healthz", "/readyz", "/metrics", "/%6detrics"] {
        let response = site.front.proxy.get(path).await;
        assert_eq!(response.status, 404, "{path}: {response:?}");
        assert!(!response.body.contains("rookery_") && !response.body.contains("\"node\""));
    }
    for path in [
        "/api/v1/users/alice/disconnect",
        "/%61pi/v1/users/alice/disconnect",
        "/api/v1/trace",
        "/admin",
        "/%61dmin",
        "/admin.html",
    ] {
        assert_eq!(site.from(5, path).refused().await.status, 403, "{path}");
    }
    assert_eq!(site.front.proxy.get("/admin").await.status, 200);
    let disconnect = "/api/v1/users/alice/disconnect";
    let call = site.front.proxy.backend("a-key-of-a-backend", "POST", disconnect, "{}").await;
    assert_eq!(call.status, 200, "{call:?}");
}

async fn streams_of_events_flow_and_what_is_said_beside_them_arrives(kind: Kind) {
    let site = Site::start(kind, &[]).await;
    let token = site.front.proxy.token("alice");
    let listen = site.from(5, "/events").bearer(&token).query("room", "lobby");
    let mut alice = Listener::open(listen).await;
    alice.expect("joined").await;
    let mut bob = site.front.proxy.member("bob", "lobby").await;
    // Each as it comes, and on whichever node what is said arrives.
    for number in 0..3 {
        let chat = json!({"type": "chat", "room": "lobby", "content": number.to_string()});
        let said = site.front.proxy.say("alice", alice.session(), &chat).await;
        assert_eq!(said.status, 202, "{said:?}");
        assert_eq!(bob.expect("chat").await["content"], number.to_string());
        assert_eq!(alice.expect("chat").await.data["content"], number.to_string());
    }
    // From anywhere: it is the node that answers.
    let asked = site.from(5, "/api/v1/client/x").refused().await;
    assert!([404, 405].contains(&asked.status), "{asked:?}");
    alice.cut();
    bob.until(|message| went(message, "alice")).await;
}

async fn large_heads_are_taken(kind: Kind) {
    let site = Site::start(kind, &[]).await;
    let proxy = &site.front.proxy;
    // Nearly as long as tokens may be.
    let token = proxy.token_with("alice", json!({"pad": "x".repeat(5_900)}));
    assert!((8_000..8_192).contains(&token.len()), "{}", token.len());
    let cookies = format!("others={}", "y".repeat(12_000));
    let _header = proxy.upgrade().bearer(&token).header("cookie", &cookies).client().await;
    let _cookie = proxy
        .upgrade()
        .header("cookie", format!("rookery_token={token}; {cookies}"))
        .client()
        .await;
    let _protocol = proxy.upgrade().protocols(format!("rookery.v1, bearer.{token}")).client().await;
}

async fn no_token_is_in_a_log(kind: Kind) {
    let site = Site::start(kind, &[]).await;
    let token = site.front.proxy.token("alice");
    site.front.proxy.upgrade().query("token", &token).client().await.leave().await;
    site.nodes[0].signal("KILL");
    // One that goes to the other node because the first is gone, or at once.
    for _ in 0..3 {
        site.front.proxy.upgrade().query("token", &token).client().await.leave().await;
    }
    if kind != Kind::NginxOfTwoNodes {
        eventually("lines in the log", async || {
            (site.front.proxy.log().matches("/ws").count() >= 4).then_some(())
        })
        .await;
    }
    let log = site.front.proxy.log();
    assert!(!log.contains(&token[..20]), "{log}");
}

/// Each of these for each configuration.
macro_rules! with_each {
    ($($kind:ident as $module:ident,)* => $tests:tt) => {
        $(with_each!(@ $kind $module $tests);)*
    };
    (@ $kind:ident $module:ident { $($test:ident,)* }) => {
        mod $module {
            use super::Kind;
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(Kind::$kind).await;
                }
            )*
        }
    };
}

with_each!(
    Nginx as nginx,
    NginxOfCompose as nginx_of_compose,
    NginxOfTwoNodes as nginx_of_two_nodes,
    Haproxy as haproxy,
    => {
        a_client_resumes_on_the_other_node_when_its_own_dies,
        a_node_that_drains_gets_nobody_and_nobody_is_refused,
        clients_are_told_when_no_node_takes_them,
        limits_see_the_addresses_of_clients,
        pages_are_served_and_what_is_not_for_strangers_is_not,
        streams_of_events_flow_and_what_is_said_beside_them_arrives,
        large_heads_are_taken,
        no_token_is_in_a_log,
    }
);
