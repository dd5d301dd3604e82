use std::{ffi::OsString, time::Duration};

use jsonwebtoken::Algorithm;

use super::*;
use crate::model::{Action, RoomName};

/// The settings of `variables`, without their prefix, over those of `text`.
fn layered(text: &str, variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    layers(text, variables)?.settings()
}

fn layers(text: &str, variables: &[(&str, &str)]) -> Result<Layers, ConfigError> {
    let mut layers = Layers::embedded()?;
    layers.add_toml(text, "config.toml")?;
    layers.add_environment(variables.iter().map(|(name, value)| {
        (OsString::from(format!("ROOKERY__{name}")), OsString::from(value))
    }))?;
    Ok(layers)
}

#[test]
fn the_embedded_defaults_are_those_of_the_contract() {
    let settings = Settings::default();
    assert_eq!(settings.server.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(settings.server.max_connections, 1_000_000);
    assert_eq!(settings.server.drain_timeout, Duration::from_secs(10));
    assert!(settings.server.allowed_origins.is_empty() && !settings.server.echo);
    assert!(settings.server.workers() >= 1 && settings.server.is_loopback_only());
    assert_eq!(settings.auth.secret, None);
    assert_eq!(settings.auth.algorithms, [Algorithm::HS256]);
    assert_eq!(settings.auth.guest, Guest::Auto);
    assert_eq!(settings.auth.leeway, Duration::ZERO);
    assert_eq!(settings.auth.token_bytes, 8192);
    let lobby = RoomName::parse("lobby").unwrap();
    for action in [Action::Join, Action::Publish, Action::Set, Action::Presence, Action::History] {
        assert!(settings.auth.default_grants.allows(action, &lobby));
    }
    assert!(settings.api.keys.is_empty());
    assert_eq!(settings.heartbeat.interval, Duration::from_secs(25));
    assert_eq!(settings.heartbeat.timeout, Duration::from_secs(10));
    assert_eq!(settings.limits.message_bytes, 65_536);
    assert_eq!(settings.limits.rooms_per_session, 100);
    assert_eq!(settings.limits.messages_per_second, 50);
    assert_eq!(settings.limits.connections_per_user, 20);
    assert_eq!(settings.limits.connections_per_ip, 1_000);
    assert_eq!(settings.limits.connects_per_second, 100);
    assert_eq!(settings.outbound.reliable_messages, 1_024);
    assert_eq!(settings.outbound.reliable_bytes, 1 << 20);
    assert_eq!(settings.outbound.coalesce, Duration::from_millis(100));
    assert_eq!(settings.presence.grace, Duration::from_secs(3));
    assert_eq!(settings.presence.lease, Duration::from_secs(10));
    assert_eq!(settings.rooms.history_size, 1_000);
    assert_eq!(settings.rooms.history_ttl, Duration::from_secs(86_400));
    assert_eq!(settings.rooms.presence_limit, 200);
    assert_eq!(settings.inbox.size, 1_000);
}

#[test]
fn the_environment_stands_over_the_file_and_the_file_over_the_defaults() {
    let file = "[heartbeat]\ninterval = \"5s\"\ntimeout = \"4s\"\n";
    let settings = layered(file, &[("HEARTBEAT__INTERVAL", "1s")]).unwrap();
    assert_eq!(settings.heartbeat.interval, Duration::from_secs(1));
    assert_eq!(settings.heartbeat.timeout, Duration::from_secs(4));
    assert_eq!(settings.presence.grace, Duration::from_secs(3));
}

#[test]
fn every_kind_of_value_can_come_from_the_environment() {
    let settings = layered(
        "[server]\nlisten = \"127.0.0.1:1\"\n[limits]\nmessage_bytes = 1024\n",
        &[
            ("SERVER__LISTEN", "127.0.0.1:0, [::1]:0"),
            ("SERVER__ECHO", "true"),
            ("SERVER__STATIC_DIR", "static"),
            ("AUTH__SECRET", "a secret, with a comma"),
            ("AUTH__ALGORITHMS", "HS256,RS256"),
            ("AUTH__JWKS_FILE", "keys.json"),
            ("AUTH__DEFAULT_GRANTS", r#"{"dash:*": ["join"]}"#),
            ("API__KEYS", "first-key,second-key"),
            ("LIMITS__MESSAGE_BYTES", "16 MiB"),
            ("LIMITS__MESSAGES_PER_SECOND", "7"),
            ("ROOMS__NAMESPACE", r#"[{"match": "dash:*", "history_size": 9}]"#),
            ("OUTBOUND__RELIABLE_BYTES", "65536"),
        ],
    )
    .unwrap();
    assert_eq!(settings.server.listen.len(), 2);
    assert!(settings.server.echo);
    assert_eq!(settings.server.static_dir, Some("static".into()));
    assert_eq!(settings.auth.secret, Some(Secret::new("a secret, with a comma")));
    assert_eq!(settings.auth.algorithms, [Algorithm::HS256, Algorithm::RS256]);
    let allows =
        |room| settings.auth.default_grants.allows(Action::Join, &RoomName::parse(room).unwrap());
    assert!(allows("dash:eu") && !allows("lobby"), "the default grants are replaced, not added to");
    assert_eq!(settings.api.keys, [Secret::new("first-key"), Secret::new("second-key")]);
    assert_eq!(settings.limits.message_bytes, 16 << 20);
    assert_eq!(settings.limits.messages_per_second, 7);
    assert_eq!(settings.rooms.for_room("dash:eu").history_size, 9);
    assert_eq!(settings.outbound.reliable_bytes, 65_536);
}

#[test]
fn other_variables_are_left_alone() {
    let mut layers = Layers::embedded().unwrap();
    let variables = [("PATH", "/bin"), ("ROOKERY_PORT", "tcp://10.0.0.1"), ("ROOKERY", "x")];
    layers.add_environment(variables.map(|(a, b)| (a.into(), b.into())).into_iter()).unwrap();
    layers.settings().unwrap();
}

#[test]
fn default_grants_of_a_file_replace_the_default() {
    let settings = Settings::from_toml("[auth.default_grants]\n\"news\" = [\"join\"]").unwrap();
    let allows =
        |room| settings.auth.default_grants.allows(Action::Join, &RoomName::parse(room).unwrap());
    assert!(allows("news") && !allows("lobby"));
}

#[test]
fn the_first_namespace_that_matches_holds_over_the_general_values() {
    let settings = Settings::from_toml(
        r#"
        [rooms]
        history_size = 500
        [[rooms.namespace]]
        match = "dash:eu"
        history_ttl = "1h"
        members = 3
        [[rooms.namespace]]
        match = "dash:*"
        history_size = 10
        history_bytes = "2 KiB"
        "#,
    )
    .unwrap();
    let general = settings.rooms.for_room("lobby");
    assert_eq!((general.history_size, general.members), (500, 0));
    let first = settings.rooms.for_room("dash:eu");
    assert_eq!((first.history_size, first.members), (500, 3));
    assert_eq!(first.history_ttl, Duration::from_secs(3_600));
    let second = settings.rooms.for_room("dash:us");
    assert_eq!((second.history_size, second.history_bytes), (10, 2_048));
    assert_eq!(second.history_ttl, general.history_ttl);
}

#[test]
fn a_bad_file_is_refused_with_the_key_the_value_and_what_was_expected() {
    for (text, error) in [
        (
            "[heartbeat]\ninterval = \"fast\"",
            r#"heartbeat.interval: got "fast", expected a duration such as "25s", from 10ms to ten years"#,
        ),
        (
            "[heartbeat]\ninterval = \"0s\"",
            r#"heartbeat.interval: got "0s", expected a duration such as "25s", from 10ms to ten years"#,
        ),
        (
            "[heartbeat]\ntimeout = 10",
            r#"heartbeat.timeout: got 10, expected a duration such as "25s", from 10ms to ten years"#,
        ),
        (
            "[presence]\ngrace = \"-3s\"",
            r#"presence.grace: got "-3s", expected a duration such as "25s", up to ten years"#,
        ),
        (
            "[heartbeat]\nintervall = \"5s\"",
            "heartbeat.intervall: got an unknown key, expected one of interval, timeout",
        ),
        (
            "[hartbeat]\ninterval = \"5s\"",
            "hartbeat: got an unknown key, expected one of api, ask, auth, broker, heartbeat, inbox, \
             limits, log, metrics, outbound, presence, rooms, server, shedding, tls, webhooks",
        ),
        (
            "[shedding]\nopen_files = \"0%\"",
            "shedding.open_files: got \"0%\", expected a share such as \"95%\", from 1% to 100%",
        ),
        (
            "[shedding]\nmemory = \"lots\"",
            "shedding.memory: got \"lots\", expected \"auto\", \"off\" or a size such as \"2 GiB\", \
             from 1 MiB",
        ),
        ("[log]\nformat = \"xml\"", "log.format: got \"xml\", expected `text` or `json`"),
        (
            "[metrics]\ntop_rooms = 2000",
            "metrics.top_rooms: got 2000, expected a whole number from 0 to 1000",
        ),
        ("server = 5", "server: got a single integer, expected a table [server]"),
        (
            "[limits]\nmessage_bytes = \"64 KB!\"",
            r#"limits.message_bytes: got "64 KB!", expected a size such as "64 KiB", from 128 to 64 MiB"#,
        ),
        (
            "[limits]\nmessage_bytes = 0",
            r#"limits.message_bytes: got 0, expected a size such as "64 KiB", from 128 to 64 MiB"#,
        ),
        (
            "[limits]\nmessages_per_second = -1",
            "limits.messages_per_second: got -1, expected a whole number from 1 to 1000000",
        ),
        (
            "[limits]\nrooms_per_session = 1.5",
            "limits.rooms_per_session: got 1.5, expected a whole number from 1 to 1000000000",
        ),
        (
            "[limits]\nrooms_per_session = \"many\"",
            "limits.rooms_per_session: got \"many\", expected a whole number from 1 to 1000000000",
        ),
        (
            "[server]\nlisten = \"localhost\"",
            r#"server.listen: got "localhost", expected an address such as "127.0.0.1:8080", "https://0.0.0.0:8443" or "unix:/run/rookery.sock", or a list of them"#,
        ),
        (
            "[server]\nlisten = [\"127.0.0.1:80\", \":80\"]",
            r#"server.listen[1]: got ":80", expected an address such as "127.0.0.1:8080", "https://0.0.0.0:8443" or "unix:/run/rookery.sock", or a list of them"#,
        ),
        (
            "[server]\nlisten = []",
            r#"server.listen: got [], expected an address such as "127.0.0.1:8080", "https://0.0.0.0:8443" or "unix:/run/rookery.sock", or a list of them"#,
        ),
        (
            "[server]\nunix_mode = \"0888\"",
            r#"server.unix_mode: got "0888", expected the mode of a file such as "0660""#,
        ),
        (
            "[server]\nlisten = [\"127.0.0.1:0\", \"https://127.0.0.1:0\"]",
            r#"server.listen[1]: got "https://127.0.0.1:0", expected an address without TLS, or tls.cert and tls.key"#,
        ),
        (
            "[tls]\ncert = \"cert.pem\"",
            "tls.key: got nothing, expected a PEM file, as tls.cert is set",
        ),
        (
            "[tls]\nkey = \"key.pem\"",
            "tls.cert: got nothing, expected a PEM file, as tls.key is set",
        ),
        (
            "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[server]\nlisten = \"http://127.0.0.1:0\"",
            r#"tls.cert: got "cert.pem", expected nothing, or an address in server.listen that speaks TLS, such as "https://0.0.0.0:8443""#,
        ),
        ("[server]\necho = \"yes\"", "server.echo: got \"yes\", expected true or false"),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.0/40\"]",
            r#"server.trusted_proxies[0]: got "10.0.0.0/40", expected a list of addresses or networks such as "127.0.0.1" or "10.0.0.0/8""#,
        ),
        (
            "[server]\nallowed_origins = [\"https://a.example/\"]",
            r#"server.allowed_origins[0]: got "https://a.example/", expected a list of origins such as "https://example.com", or "*""#,
        ),
        (
            "[server]\nnode = \"a b\"",
            r#"server.node: got "a b", expected at most 64 characters of `A-Z a-z 0-9 _ - .`"#,
        ),
        (
            "[auth]\nalgorithms = [\"HS256\", \"none\"]",
            "auth.algorithms[1]: got \"none\", expected a list out of HS256, HS384, HS512, RS256, \
             RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
        ),
        (
            "[auth]\nalgorithms = [\"RS256\"]",
            "auth.algorithms: got RS256, expected a key for it in auth.public_key_file or \
             auth.jwks_file",
        ),
        (
            "[auth]\njwks_file = \"keys.json\"",
            "auth.jwks_file: got \"keys.json\", expected an empty value, or an algorithm for its \
             keys in auth.algorithms",
        ),
        (
            "[auth]\nguest = \"on\"\nalgorithms = [\"ES256\"]\npublic_key_file = \"key.pem\"",
            "auth.guest: got \"on\", expected \"auto\" or \"off\": guests' tokens are signed with \
             auth.secret, and auth.algorithms has none of HS256, HS384, HS512",
        ),
        (
            "[auth]\nguest = \"sometimes\"",
            "auth.guest: got \"sometimes\", expected one of `auto`, `on`, `off`",
        ),
        (
            "[auth]\ndefault_grants = { \"*\" = [\"join\", \"fly\"] }",
            "auth.default_grants.*[1]: got \"fly\", expected one of `join`, `publish`, `set`, \
             `presence`, `history`",
        ),
        (
            "[auth]\ndefault_grants = \"all\"",
            "auth.default_grants: got \"all\", expected an object from room pattern to a list of \
             actions, such as {\"dash:*\": [\"join\"]}",
        ),
        (
            "[[rooms.namespace]]\nmatch = \"a room\"",
            "rooms.namespace[0].match: got \"a room\", expected a room pattern: 1 to 256 \
             characters of `A-Z a-z 0-9 _ - . : / @ *`",
        ),
        (
            "[[rooms.namespace]]\nmatch = \"*\"\nhistory_size = 0",
            "rooms.namespace[0].history_size: got 0, expected a whole number from 1 to 1000000000",
        ),
        (
            "[[rooms.namespace]]\nmatch = \"*\"\nsize = 1",
            "rooms.namespace[0].size: got an unknown key, expected one of `match`, \
             `history_size`, `history_bytes`, `history_ttl`, `presence_limit`, `members`, \
             `dedup_window`, `dedup_entries`, `state_keys`, `state_bytes`, `state_ttl`",
        ),
        (
            "[[rooms.namespace]]\nmembers = 1",
            "rooms.namespace[0]: got { members = 1 }, expected the key `match`",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "log.level: got \"loud\", expected off, error, warn, info, debug or trace, or such as \
             \"info,rookery=debug\"",
        ),
        (
            "[broker]\nurl = \"http://user:hunter2@host:6379?x=hunter2\"",
            "broker.url: got \"http://host:6379\", expected nothing, \
             redis://[user:password@]host[:port][/database], the same with rediss:// for TLS, \
             redis+sentinel://host:port,host:port/master, or redis+cluster://host:port,host:port",
        ),
        (
            "[api]\nkeys = [\"hunter2\"]",
            "api.keys[0]: got <hidden>, expected a list of keys of at least 8 printable characters without spaces",
        ),
        (
            "[[api.key]]\nname = \"a\"\nkey = \"hunter2\"\nscopes = [\"set\"]",
            "api.key[0].key: got <hidden>, expected at least 8 printable characters without spaces",
        ),
        (
            "[[api.key]]\nname = \"a\"\nkey = \"hunter2hunter2\"",
            "api.key[0]: got <hidden>, expected the key `scopes`",
        ),
        (
            "[[api.key]]\nname = \"a\"\nkey = \"hunter2hunter2\"\nscopes = [\"sett\"]",
            "api.key[0].scopes[0]: got \"sett\", expected one of `publish`, `set`, `direct`, \
             `history`, `presence`, `rooms`, `disconnect`, `cluster`, `trace`",
        ),
        (
            "[[api.key]]\nname = \"a\"\nkey = \"hunter2hunter2\"\nscopes = []",
            "api.key[0].scopes: got none, expected one scope or more",
        ),
        (
            "[[api.key]]\nname = \"a\"\nkey = \"hunter2hunter2\"\nscopes = [\"set\"]\nrooms = []",
            "api.key[0].rooms: got none, expected one room pattern or more, or no such key for all \
             rooms",
        ),
        (
            "[api]\nkeys = [\"hunter2hunter2\"]\n[[api.key]]\nname = \"a\"\nkey = \"hunter2hunter2\"\n\
             scopes = [\"set\"]",
            "api.key[0].key: got one a second time, expected each key once in api.keys and \
             [[api.key]]",
        ),
        (
            "[webhooks]\nurl = \"https://backend/\"",
            "webhooks.keys: got nothing, expected at least one key that the calls are signed with",
        ),
        (
            "[webhooks]\nurl = \"https://me:hunter2@backend/\"",
            "webhooks.url: got <hidden>, expected an address such as \
             \"https://example.com/hooks\", without user and password",
        ),
        (
            "[webhooks]\nevents = [\"room_painted\"]",
            "webhooks.events[0]: got \"room_painted\", expected one of `room_occupied`, \
             `room_vacated`, `member_joined`, `member_left`, `user_online`, `user_offline`",
        ),
        (
            "[[webhooks.endpoint]]\nname = \"main\"\nurl = \"http://b/\"\nkeys = [\"12345678\"]",
            "webhooks.endpoint[0].name: got \"main\", expected a name that no other endpoint has; \
             webhooks.url is called \"main\"",
        ),
        (
            "[ask]\njoin = [\"*\"]",
            "ask.url: got nothing, expected an address, as ask.connect, ask.join or ask.publish is set",
        ),
        (
            "[ask]\notherwise = \"maybe\"",
            "ask.otherwise: got \"maybe\", expected `allow` or `deny`",
        ),
        ("[auth]\nsecret = 1234", "auth.secret: got <hidden>, expected text"),
        ("[auth]\nsecret = \"hunter2", "config.toml:2: invalid basic string, expected `\"`"),
        ("[server]\necho = true\necho = true", "config.toml:3: duplicate key"),
    ] {
        let got = Settings::from_toml(text).map(|_| ()).unwrap_err().to_string();
        assert!(!got.contains('\n') && !got.contains("hunter2"), "{got}");
        assert_eq!(got, error, "{text}");
    }
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value, error) in [
        (
            "HEARTBEAT__INTERVAL",
            "fast",
            r#"heartbeat.interval: got "fast" (from ROOKERY__HEARTBEAT__INTERVAL), expected a duration such as "25s", from 10ms to ten years"#,
        ),
        (
            "LIMITS__ROOMS_PER_SESSION",
            "many",
            r#"limits.rooms_per_session: got "many" (from ROOKERY__LIMITS__ROOMS_PER_SESSION), expected a whole number"#,
        ),
        (
            "LIMITS__ROOMS_PER_SESSION",
            "0",
            "limits.rooms_per_session: got 0 (from ROOKERY__LIMITS__ROOMS_PER_SESSION), expected a \
             whole number from 1 to 1000000000",
        ),
        (
            "HEARTBEAT__INTERVALL",
            "5s",
            "heartbeat.intervall: got an unknown key (from ROOKERY__HEARTBEAT__INTERVALL), expected one of interval, timeout",
        ),
        (
            "HEARTBEAT",
            "5s",
            "heartbeat: got an unknown key (from ROOKERY__HEARTBEAT), expected one of interval, timeout",
        ),
        (
            "AUTH__DEFAULT_GRANTS",
            "join",
            r#"auth.default_grants: got "join" (from ROOKERY__AUTH__DEFAULT_GRANTS), expected a table as JSON, such as {"*": ["join"]}"#,
        ),
        (
            "API__KEYS",
            "hunter2",
            "api.keys[0]: got <hidden> (from ROOKERY__API__KEYS), expected a list of keys of at \
             least 8 printable characters without spaces",
        ),
    ] {
        let got = layered("", &[(name, value)]).unwrap_err().to_string();
        assert_eq!(got, error);
    }
}

#[test]
fn a_named_file_must_be_there() {
    let error = Settings::load(Some("no/such/file.toml".as_ref())).unwrap_err().to_string();
    assert!(error.starts_with("no/such/file.toml: "), "{error}");
}

#[test]
fn no_secret_is_shown() {
    let secrets = [("AUTH__SECRET", "hunter2-hunter2"), ("API__KEYS", "hunter2-a,hunter2-b")];
    let layers = layers("", &secrets).unwrap();
    let settings = layers.settings().unwrap();
    let toml = layers.to_toml().unwrap();
    for shown in [format!("{settings:?}"), toml.clone()] {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("<hidden>"), "{shown}");
    }
    assert!(toml.contains("interval = \"25s\""), "{toml}");
}

#[test]
fn the_configuration_in_effect_can_be_read_again() {
    let text = "[[rooms.namespace]]\nmatch = \"dash:*\"\nhistory_size = 3\n[limits]\nrooms_per_session = 7";
    let printed = layers(text, &[]).unwrap().to_toml().unwrap();
    let settings = Settings::from_toml(&printed).unwrap();
    assert_eq!(settings.limits.rooms_per_session, 7);
    assert_eq!(settings.rooms.for_room("dash:a").history_size, 3);
}

#[test]
fn an_address_says_what_is_spoken_there() {
    let listen = |text: &str| text.parse::<Listen>();
    for (text, certified, uncertified) in [
        ("127.0.0.1:80", true, false),
        ("http://127.0.0.1:80", false, false),
        ("https://[::1]:443", true, true),
        ("unix:/run/rookery.sock", false, false),
    ] {
        let parsed = listen(text).unwrap();
        assert_eq!((parsed.is_tls(true), parsed.is_tls(false)), (certified, uncertified), "{text}");
        assert_eq!(parsed.to_string(), text);
    }
    for odd in ["", "unix:", "https://", "wss://127.0.0.1:1", "http://127.0.0.1:80/", "/run/x"] {
        assert_eq!(listen(odd), Err(NoAddress), "{odd}");
    }
}

#[test]
fn guests_are_let_in_by_themselves_only_where_nobody_else_can_come() {
    let allowed = |toml: &str| Settings::from_toml(toml).unwrap().guests_allowed();
    assert!(allowed(""));
    assert!(allowed("[server]\nlisten = [\"[::1]:0\", \"127.0.0.2:0\"]"));
    assert!(!allowed("[server]\nlisten = [\"127.0.0.1:0\", \"0.0.0.0:0\"]"));
    assert!(allowed("[server]\nlisten = [\"http://127.0.0.1:0\", \"unix:rookery.sock\"]"));
    assert!(!allowed("[auth]\nguest = \"off\""));
    assert!(allowed("[auth]\nguest = \"on\"\n[server]\nlisten = \"[::]:0\""));
}

#[test]
fn an_address_of_redis_names_servers_and_how_to_get_in() {
    let parse = |url: &str| {
        let text = format!("[broker]\nurl = {url:?}");
        Settings::from_toml(&text).map(|settings| settings.broker.url)
    };
    let shown = |url: &str| parse(url).unwrap().unwrap().to_string();
    assert_eq!(parse("").unwrap(), None);
    assert_eq!(shown("redis://localhost"), "redis://localhost:6379");
    assert_eq!(shown("rediss://[::1]:7000/2"), "rediss://[::1]:7000");
    assert_eq!(shown("redis+sentinel://a,b:7/main"), "redis+sentinel://a:26379,b:7/main");
    assert_eq!(shown("rediss+cluster://u:p@a:1,b:2"), "rediss+cluster://a:1,b:2");
    let address = parse("redis://own%40er:p%3Aw@h:1/3").unwrap().unwrap();
    assert_eq!(address.username.as_deref(), Some("own@er"));
    assert_eq!(address.password.unwrap().expose(), "p:w");
    assert_eq!(address.database, 3);
    let address = parse("redis+sentinel://:p@h/main?sentinel_password=q").unwrap().unwrap();
    assert_eq!((address.username, address.password.unwrap().expose()), (None, "p"));
    assert_eq!(address.sentinel_password.unwrap().expose(), "q");
    for bad in [
        "localhost",
        "redis://",
        "redis://a:0",
        "redis://a:port",
        "redis://a,b",
        "redis://a/x",
        "redis+sentinel://a",
        "redis+cluster://a/0",
        "redis+other://a",
        "redis://a?x=1",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
