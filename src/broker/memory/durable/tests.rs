//! A disk that does not answer: requests end, the node says why, and goes on by itself.

use super::{error::Failure, *};
use crate::{
    config::Settings,
    model::{Author, Body, Payload},
};

/// A store whose commits wait until each is let through.
struct SlowStore(mpsc::Receiver<()>);

impl BatchStore for SlowStore {
    fn path(&self) -> &Path {
        Path::new("/slow")
    }

    fn commit(&mut self, _: &[Staged]) -> Result<(), Failure> {
        self.0.recv().map_err(|_| Failure::new("it is gone"))
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

fn chat(nonce: &str) -> Draft {
    let author = Author { user: None, session: None, echo: true };
    let body = Body::Message(Payload::Text("hello".into()));
    Draft { author, body, nonce: Some(nonce.into()), if_version: None }
}

#[actix::test]
async fn a_disk_that_does_not_answer_ends_no_wait_but_by_its_limit() {
    let settings = Settings::from_toml("").unwrap();
    let memory = MemoryBroker::new(&settings.broker, &settings.rooms, &settings.inbox);
    let limits = (Duration::from_millis(20), Duration::from_millis(50));
    let (let_through, commits) = mpsc::channel();
    let broker = DurableBroker::start(memory, SlowStore(commits), Vec::new(), limits).unwrap();
    let room = RoomName::named("lobby");
    assert!(broker.health().ok);

    let refused = broker.publish(&room, chat("one")).await.unwrap_err();
    assert!(matches!(refused, PublishError::Unavailable(Unavailable::Unstored)), "{refused}");
    assert!(broker.snapshot(&room, Start::End).await.is_err(), "it would show what may be lost");
    assert_eq!(broker.delivered_end(&room), None);
    assert_eq!(broker.health().problem, Some("the disk of broker.path does not answer"));

    for _ in 0..3 {
        let_through.send(()).unwrap();
    }
    let again = broker.publish(&room, chat("one")).await.unwrap();
    assert!(again.duplicate, "what was given to the writer is written once");
    assert!(broker.health().ok);
    assert_eq!(broker.delivered_end(&room), Some(again.position));
}
