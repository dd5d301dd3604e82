//! A disk without room: nothing is acknowledged, nothing shown, nothing lost, and
//! it goes on when there is room. The limit of a process on the size of its files
//! stands for the disk: the system refuses writes in just the same way.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::harness::{Client, Directory, Process, Response, eventually, seqs, since};

const KEY: &str = "a-key-of-the-tests";

/// A node over this directory that is told of its files' limit by an error.
async fn start(path: &Path) -> Process {
    let path = path.display().to_string();
    let environment = [
        ("ROOKERY__BROKER__PATH", path.as_str()),
        ("ROOKERY__LIMITS__MESSAGES_PER_SECOND", "100000"),
        ("ROOKERY__ROOMS__HISTORY_SIZE", "100000"),
        ("ROOKERY__API__KEYS", KEY),
    ];
    Process::spawn_after("trap '' XFSZ", &environment).await
}

/// No file of the process may grow beyond this, or any may.
fn limit(process: &Process, bytes: Option<u64>) {
    let bytes = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let status = Command::new("prlimit")
        .args(["--pid", &process.id().to_string(), &format!("--fsize={bytes}:")])
        .status()
        .expect("prlimit runs");
    assert!(status.success(), "prlimit: {status}");
}

/// Writes until it is refused; gives the nonce of the write that was.
async fn fill(client: &mut Client, acknowledged: &mut Vec<String>) -> String {
    for n in 0..10_000 {
        let text = format!("{n}/{}", "x".repeat(8_000));
        let answer = client.request(say(&text)).await;
        match answer["type"].as_str() {
            Some("ack") => acknowledged.push(text),
            _ => {
                assert_eq!(answer["code"], "unavailable", "{answer}");
                assert!(answer["retry_after_ms"].is_u64(), "{answer}");
                return text;
            }
        }
    }
    panic!("the disk is never full");
}

fn say(text: &str) -> Value {
    let nonce = text.split('/').next();
    json!({"type": "chat", "room": "lobby", "content": text, "nonce": nonce})
}

async fn log(client: &mut Client) -> Vec<String> {
    let (mut log, mut after) = (Vec::new(), json!(0));
    loop {
        let page = client.history("lobby", json!({"after": after, "limit": 1_000})).await;
        for message in page["messages"].as_array().expect("messages") {
            assert_eq!(message["seq"], log.len() as u64 + 1);
            log.push(message["content"].as_str().expect("content is text").to_owned());
        }
        if page["more"] == false {
            return log;
        }
        after = json!(log.len());
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_overcome() {
    let directory = Directory::new();
    let process = start(directory.path()).await;
    let mut ada = process.client("ada").await;
    let mut bob = process.client("bob").await;
    let epoch = ada.join("lobby").await["epoch"].clone();
    bob.join("lobby").await;
    limit(&process, Some(fs::metadata(directory.path().join("rookery.redb")).unwrap().len()));
    let mut acknowledged = Vec::new();
    let refused = fill(&mut ada, &mut acknowledged).await;

    // Nobody was shown more than what was acknowledged, and nothing is taken.
    let ready = process.get("/readyz").await;
    assert_eq!(ready.status, 503);
    let broker = &ready.json()["broker"];
    assert_eq!((&broker["kind"], &broker["ok"]), (&json!("embedded"), &json!(false)));
    assert!(broker["problem"].as_str().expect("a problem").contains("full"), "{broker}");
    for message in [
        say("other"),
        json!({"type": "set", "room": "lobby", "key": "k", "value": 1}),
        json!({"type": "direct", "to": "bob", "content": "x"}),
        json!({"type": "join", "room": "new"}),
        json!({"type": "history", "room": "lobby"}),
    ] {
        ada.refused(message, "unavailable").await;
    }
    let path = directory.path().display().to_string();
    assert!(process.log().contains(&path), "{}", process.log());

    // What was refused is in the log after all, once, or was never.
    limit(&process, None);
    eventually("the node to be ready", async || {
        (process.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    ada.write(say(&refused)).await;
    acknowledged.push(refused);
    let last = ada.write(say("last")).await;
    acknowledged.push("last".to_owned());
    assert_eq!(last["epoch"], epoch);
    assert_eq!(log(&mut ada).await, acknowledged);
    for (at, text) in acknowledged.iter().enumerate() {
        let shown = bob.expect("chat").await;
        assert_eq!((&shown["seq"], &shown["content"]), (&json!(at + 1), &json!(text)));
    }

    // And so it is after a crash.
    let mut process = process;
    process.signal("KILL");
    process.exited().await;
    let process = start(directory.path()).await;
    let mut ada = process.client("ada").await;
    let joined = ada.resume("lobby", &json!({"epoch": epoch, "seq": 0})).await;
    assert_eq!(joined["recovered"], true);
    assert_eq!(seqs(&joined["messages"]).len(), acknowledged.len());
    assert_eq!(since(&joined), json!({"epoch": epoch, "seq": acknowledged.len()}));
    assert_eq!(log(&mut ada).await, acknowledged);
}

/// Whether a token of this `jti` is refused.
async fn is_revoked(process: &Process, jti: &str) -> bool {
    let token = process.token_with("eve", json!({"jti": jti}));
    let refused: Option<Response> =
        process.upgrade().bearer(&token).attempt().await.expect("it takes connections").err();
    refused.is_some_and(|refused| refused.status == 401 && refused.body.contains("revoked"))
}

/// It holds at once, and is answered when it is on disk.
#[tokio::test]
async fn a_revocation_waits_for_the_disk_too() {
    let directory = Directory::new();
    let mut process = start(directory.path()).await;
    let mut ada = process.client("ada").await;
    ada.join("lobby").await;
    limit(&process, Some(fs::metadata(directory.path().join("rookery.redb")).unwrap().len()));
    fill(&mut ada, &mut Vec::new()).await;
    let revoke = "/api/v1/tokens/t-1/revoke";
    let refused = process.backend(KEY, "POST", revoke, "").await;
    refused.assert_error(503, "unavailable");
    refused.assert_retry_after();
    let of_user = r#"{"revoke": true}"#;
    let disconnect = "/api/v1/users/bob/disconnect";
    process.backend(KEY, "POST", disconnect, of_user).await.assert_error(503, "unavailable");
    assert!(is_revoked(&process, "t-1").await);

    limit(&process, None);
    eventually("the revocation to be taken", async || {
        (process.backend(KEY, "POST", revoke, "").await.status == 200).then_some(())
    })
    .await;
    process.signal("KILL");
    process.exited().await;
    let process = start(directory.path()).await;
    assert!(is_revoked(&process, "t-1").await);
    assert!(!is_revoked(&process, "t-2").await);
}

/// A store that fails for another reason is not trusted before a restart.
#[tokio::test]
async fn a_store_that_fails_takes_nothing_more() {
    let directory = Directory::new();
    let file = directory.path().join("rookery.redb");
    let process = start(directory.path()).await;
    let mut ada = process.client("ada").await;
    ada.join("lobby").await;
    limit(&process, Some(fs::metadata(&file).unwrap().len()));
    fill(&mut ada, &mut Vec::new()).await;
    // While it waits for room, something writes over its head.
    let mut bytes = fs::read(&file).unwrap();
    bytes[..9].fill(0);
    fs::write(&file, bytes).unwrap();
    limit(&process, None);
    eventually("the store to be given up", async || {
        let ready = process.get("/readyz").await;
        let problem = ready.json()["broker"]["problem"].as_str().unwrap_or_default().to_owned();
        (ready.status == 503 && problem.contains("failed")).then_some(())
    })
    .await;
    ada.refused(say("other"), "unavailable").await;
    // It holds while the process runs, and is not said to be stored.
    let revoke = process.backend(KEY, "POST", "/api/v1/tokens/t-1/revoke", "").await;
    revoke.assert_error(503, "unavailable");
    assert!(is_revoked(&process, "t-1").await);
    assert!(process.log().contains("restart this process"), "{}", process.log());
}
