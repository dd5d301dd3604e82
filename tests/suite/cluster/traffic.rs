use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

use crate::harness::{Client, Endpoint, eventually};

/// The last word of a room's traffic.
pub const LAST: &str = "the last word";

/// How long a writer rests between two messages, so that many of them leave
/// the machine some time for the servers.
const REST: Duration = Duration::from_millis(5);

/// How long a writer rests before it tries again what was refused.
const RETRY: Duration = Duration::from_millis(50);

/// What a writer was told.
#[derive(Default)]
struct Told {
    acknowledged: AtomicUsize,
    refused: AtomicUsize,
    stopped: AtomicBool,
}

/// A member that writes one message after the other, each with a nonce and as
/// often as it takes.
pub struct Traffic {
    user: String,
    told: Arc<Told>,
    writing: JoinHandle<Written>,
}

/// What was written, and by whom.
pub struct Written {
    pub client: Client,
    pub acknowledged: Vec<String>,
}

impl Traffic {
    pub async fn start(node: &Endpoint, user: &str, room: &str) -> Self {
        let mut client = node.member(user, room).await;
        let told = Arc::<Told>::default();
        let (heard, author, room) = (Arc::clone(&told), user.to_owned(), room.to_owned());
        let writing = tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while !heard.stopped.load(Ordering::Relaxed) {
                let content = format!("{author} {}", acknowledged.len());
                write(&mut client, &room, &content, &heard).await;
                acknowledged.push(content);
                // Its own messages are not looked at.
                client.forget();
                tokio::time::sleep(REST).await;
            }
            Written { client, acknowledged }
        });
        Self { user: user.to_owned(), told, writing }
    }

    /// Waits until so many more were acknowledged.
    pub async fn goes_on(&self, more: usize) {
        self.until(&self.told.acknowledged, more, "acknowledged").await;
    }

    /// Waits until so many more were refused.
    pub async fn is_refused(&self, more: usize) {
        self.until(&self.told.refused, more, "refused").await;
    }

    async fn until(&self, count: &AtomicUsize, more: usize, what: &str) {
        let wanted = count.load(Ordering::Relaxed) + more;
        eventually(&format!("{more} messages of {} to be {what}", self.user), async || {
            assert!(!self.writing.is_finished(), "{} does not write any more", self.user);
            (count.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// Writes what is under way, and no more.
    pub async fn stop(self) -> Written {
        self.told.stopped.store(true, Ordering::Relaxed);
        self.writing.await.expect("every message is acknowledged or refused")
    }
}

async fn write(client: &mut Client, room: &str, content: &str, told: &Told) {
    let message = json!({"type": "chat", "room": room, "content": content, "nonce": content});
    loop {
        let reply = client.request(message.clone()).await;
        if reply["type"] == "ack" {
            assert!(reply["seq"].is_u64() && reply["epoch"].is_string(), "{reply}");
            told.acknowledged.fetch_add(1, Ordering::Relaxed);
            return;
        }
        assert_unavailable(&reply);
        told.refused.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(RETRY).await;
    }
}

/// Asserts the refusal of a broker that cannot be reached.
pub fn assert_unavailable(reply: &Value) {
    assert_eq!(
        (&reply["type"], &reply["code"]),
        (&json!("error"), &json!("unavailable")),
        "{reply}"
    );
    assert!(reply["retry_after_ms"].as_u64().is_some_and(|after| after > 0), "{reply}");
}

/// Says the last word of a room.
pub async fn end(mut writer: Written, room: &str) -> Written {
    write(&mut writer.client, room, LAST, &Told::default()).await;
    writer.acknowledged.push(LAST.to_owned());
    writer
}
