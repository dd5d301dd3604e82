//! The laws of `rookery::broker`, held against every implementation: each is
//! listed at the end, with how it is made.

use std::{any::Any, sync::Arc, thread::JoinHandle, time::Duration};

use actix::prelude::*;
use rookery::{
    broker::{
        Broker, DeliveriesReady, Delivery, PageRequest, PublishError, Receipt, RoomsRequest, Start,
        StateRequest, Subscriber,
        memory::{DurableBroker, MemoryBroker},
        redis::RedisBroker,
    },
    config::Settings,
    model::{
        Author, Body, Draft, Epoch, Pattern, Payload, Position, Publication, RoomName, Seq,
        SessionId, Transient, UserId, WorkerId,
    },
};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::harness::{Directory, RedisServer};

/// A worker that keeps what it is handed.
struct Worker {
    subscriber: Subscriber,
    kept: mpsc::UnboundedSender<Delivery>,
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Handler<DeliveriesReady> for Worker {
    type Result = ();

    fn handle(&mut self, DeliveriesReady: DeliveriesReady, _: &mut Self::Context) {
        let mut handed = Vec::new();
        self.subscriber.drain_into(&mut handed);
        for delivery in handed {
            let _ = self.kept.send(delivery);
        }
    }
}

struct Subscribed {
    subscriber: Subscriber,
    handed: mpsc::UnboundedReceiver<Delivery>,
}

impl Subscribed {
    /// Behind a queue of so many places.
    fn new(places: usize) -> Self {
        let (kept, handed) = mpsc::unbounded_channel();
        let mut subscriber = None;
        Worker::create(|ctx| {
            let tell = ctx.address().recipient();
            let made = Subscriber::new(WorkerId::next(), places, tell, Arc::default());
            subscriber = Some(made.clone());
            Worker { subscriber: made, kept }
        });
        Self { subscriber: subscriber.expect("the worker was made"), handed }
    }

    async fn next(&mut self) -> Delivery {
        let next = tokio::time::timeout(Duration::from_secs(20), self.handed.recv()).await;
        next.expect("something is handed on").expect("the worker lives")
    }

    async fn next_entry(&mut self) -> Arc<Publication> {
        match self.next().await {
            Delivery::Published(entry) => entry,
            other => panic!("no entry: {other:?}"),
        }
    }
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn author(name: &str) -> Author {
    Author { user: Some(user(name)), session: Some(SessionId::random(name)), echo: true }
}

fn chat(name: &str, text: &str) -> Draft {
    let body = Body::Message(Payload::Text(text.into()));
    Draft { author: author(name), body, nonce: None, if_version: None }
}

fn with_nonce(name: &str, text: &str, nonce: &str) -> Draft {
    Draft { nonce: Some(nonce.into()), ..chat(name, text) }
}

fn set(key: &str, value: Option<&str>, if_version: Option<Seq>) -> Draft {
    let value = value.map(|it| Arc::from(RawValue::from_string(it.to_owned()).unwrap()));
    let body = Body::Set { key: key.into(), value };
    Draft { author: author("ada"), body, nonce: None, if_version }
}

fn text(entry: &Publication) -> &str {
    match &entry.body {
        Body::Message(Payload::Text(text)) | Body::Direct { payload: Payload::Text(text), .. } => {
            text
        }
        other => panic!("no text: {other:?}"),
    }
}

async fn log(broker: &dyn Broker, room: &RoomName) -> Vec<Arc<Publication>> {
    let request = PageRequest { before: None, after: None, limit: 100_000 };
    broker.page(room, request).await.unwrap().messages
}

/// Publishes from a thread of its own: brokers are shared between workers.
fn publisher(
    broker: &Arc<dyn Broker>,
    room: &RoomName,
    drafts: Vec<Draft>,
) -> JoinHandle<Vec<Receipt>> {
    let (broker, room) = (broker.clone(), room.clone());
    std::thread::spawn(move || {
        actix::System::new().block_on(async move {
            let mut receipts = Vec::new();
            for draft in drafts {
                receipts.push(broker.publish(&room, draft).await.unwrap());
            }
            receipts
        })
    })
}

/// Publishes from so many threads at once.
async fn publish_at_once(
    broker: &Arc<dyn Broker>,
    room: &RoomName,
    drafts: Vec<Vec<Draft>>,
) -> Vec<Receipt> {
    let threads: Vec<_> =
        drafts.into_iter().map(|drafts| publisher(broker, room, drafts)).collect();
    tokio::task::spawn_blocking(move || {
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
    .await
    .unwrap()
}

async fn seq_rises_by_one_whoever_writes(broker: Arc<dyn Broker>) {
    let room = room("law-1");
    let drafts = |writer: usize| (0..100).map(move |n| chat(&format!("u{writer}"), &n.to_string()));
    let receipts = publish_at_once(&broker, &room, (0..4).map(|w| drafts(w).collect()).collect());
    let mut seqs: Vec<Seq> = receipts.await.iter().map(|it| it.position.seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=400).collect::<Vec<_>>());
    let log = log(&*broker, &room).await;
    assert_eq!(log.iter().map(|it| it.seq).collect::<Vec<_>>(), seqs);
    // Law 5: what one session wrote keeps its order.
    for writer in 0..4 {
        let own = user(&format!("u{writer}"));
        let texts: Vec<&str> = log
            .iter()
            .filter(|it| it.author.user.as_ref() == Some(&own))
            .map(|it| text(it))
            .collect();
        assert_eq!(texts, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

async fn a_nonce_is_appended_once_however_many_try(broker: Arc<dyn Broker>) {
    let room = room("law-2");
    let tries = (0..4).map(|_| (0..50).map(|n| with_nonce("ada", "x", &n.to_string())).collect());
    let receipts = publish_at_once(&broker, &room, tries.collect()).await;
    assert_eq!(log(&*broker, &room).await.len(), 50);
    assert_eq!(receipts.iter().filter(|it| !it.duplicate).count(), 50);
    // All tries name the one place.
    for n in 0..50 {
        let places: Vec<Seq> =
            receipts.iter().skip(n).step_by(50).map(|it| it.position.seq).collect();
        assert_eq!(places.len(), 4);
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    }
    // Another user's nonce is another nonce.
    let other = broker.publish(&room, with_nonce("bob", "x", "0")).await.unwrap();
    assert!(!other.duplicate);
    // What nobody wrote is told from it too, and from the same by nobody.
    let nobody = Author { user: None, session: None, echo: true };
    let draft = || Draft { author: nobody.clone(), ..with_nonce("ada", "x", "0") };
    let first = broker.publish(&room, draft()).await.unwrap();
    let again = broker.publish(&room, draft()).await.unwrap();
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert_eq!(first.position, again.position);
}

async fn nothing_is_missed_after_subscribe(broker: Arc<dyn Broker>) {
    let room = room("law-3");
    let writing = {
        let (broker, room) = (broker.clone(), room.clone());
        let drafts = (0..500).map(|n| chat("ada", &n.to_string())).collect();
        actix::spawn(async move { publish_at_once(&broker, &room, vec![drafts]).await })
    };
    let mut subscribed = Subscribed::new(10_000);
    let from = broker.subscribe(&room, &subscribed.subscriber).await.unwrap();
    for seq in from.seq + 1..=500 {
        let mut entry = subscribed.next_entry().await;
        // What came before the answer may be handed on too.
        while entry.seq <= from.seq {
            entry = subscribed.next_entry().await;
        }
        assert_eq!((entry.seq, entry.epoch), (seq, from.epoch));
    }
    writing.await.unwrap();
    // Subscribing twice is as subscribing once, and unsubscribing ends it.
    broker.subscribe(&room, &subscribed.subscriber).await.unwrap();
    broker.publish(&room, chat("ada", "once")).await.unwrap();
    assert_eq!(text(&*subscribed.next_entry().await), "once");
    broker.unsubscribe(&room, subscribed.subscriber.worker());
    broker.publish(&room, chat("ada", "unheard")).await.unwrap();
    let from = broker.subscribe(&room, &subscribed.subscriber).await.unwrap();
    broker.publish(&room, chat("ada", "heard")).await.unwrap();
    let mut entry = subscribed.next_entry().await;
    while entry.seq <= from.seq {
        entry = subscribed.next_entry().await;
    }
    assert_eq!(text(&entry), "heard");
}

async fn a_worker_that_cannot_follow_is_told_that_it_lags(broker: Arc<dyn Broker>) {
    let room = room("law-3-lag");
    let mut subscribed = Subscribed::new(4);
    broker.subscribe(&room, &subscribed.subscriber).await.unwrap();
    // The worker lives on this thread, which waits for the other: it cannot
    // run, and its four places are soon taken.
    let texts: Vec<Draft> = (0..2_000).map(|n| chat("ada", &n.to_string())).collect();
    publisher(&broker, &room, texts).join().unwrap();
    let (mut last, mut handed) = (0, 0);
    while let Ok(Some(Delivery::Published(entry))) =
        tokio::time::timeout(Duration::from_millis(200), subscribed.handed.recv()).await
    {
        assert!(entry.seq > last, "in order, though with gaps");
        last = entry.seq;
        handed += 1;
    }
    assert!(handed < 2_000, "nothing was refused, so nothing was tested");
    assert!(subscribed.subscriber.take_overflowed(), "silence without a word");
    assert!(!subscribed.subscriber.take_overflowed(), "told once");
}

async fn what_is_acknowledged_is_in_the_log(broker: Arc<dyn Broker>) {
    let room = room("law-6");
    for n in 1..=20 {
        let receipt = broker.publish(&room, chat("ada", &n.to_string())).await.unwrap();
        let snapshot = broker.snapshot(&room, Start::Newest(1)).await.unwrap();
        assert_eq!(snapshot.position, receipt.position);
        assert_eq!(text(&snapshot.messages[0]), n.to_string());
    }
}

async fn a_known_place_is_continued_and_no_other(broker: Arc<dyn Broker>) {
    let room = room("resume");
    for n in 1..=10 {
        broker.publish(&room, chat("ada", &n.to_string())).await.unwrap();
    }
    let end = broker.snapshot(&room, Start::End).await.unwrap();
    assert!(end.messages.is_empty() && !end.recovered);
    let read = async |epoch, seq| {
        let known = Some(Position { epoch, seq });
        let read = broker.snapshot(&room, Start::After { known, otherwise: 2 }).await.unwrap();
        (read.recovered, read.messages.iter().map(|it| it.seq).collect::<Vec<_>>())
    };
    let epoch = end.position.epoch;
    assert_eq!(read(epoch, 7).await, (true, vec![8, 9, 10]));
    assert_eq!(read(epoch, 10).await, (true, vec![]));
    assert_eq!(read(epoch, 11).await, (false, vec![9, 10]));
    assert_eq!(read(rookery::model::Epoch::random(), 7).await, (false, vec![9, 10]));
}

async fn pages_go_both_ways(broker: Arc<dyn Broker>) {
    let room = room("small:pages");
    for n in 1..=10 {
        broker.publish(&room, chat("ada", &n.to_string())).await.unwrap();
    }
    let page = async |before, after, limit| {
        let page = broker.page(&room, PageRequest { before, after, limit }).await.unwrap();
        (page.messages.iter().map(|it| it.seq).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(page(None, None, 3).await, (vec![8, 9, 10], true));
    assert_eq!(page(Some(8), None, 3).await, (vec![5, 6, 7], true));
    assert_eq!(page(Some(5), None, 3).await, (vec![3, 4], false));
    assert_eq!(page(None, Some(0), 3).await, (vec![3, 4, 5], true));
    assert_eq!(page(None, Some(7), 3).await, (vec![8, 9, 10], false));
    assert_eq!(page(Some(7), Some(4), 50).await, (vec![5, 6], false));
    assert_eq!(page(None, Some(10), 3).await, (vec![], false));
    assert_eq!(page(Some(1), None, 3).await, (vec![], false));
    assert_eq!(page(None, Some(Seq::MAX), 3).await, (vec![], false));
}

async fn a_log_keeps_its_newest(broker: Arc<dyn Broker>) {
    // By number, past the point at which a log is cut.
    let few = room("small:log");
    for n in 1..=100 {
        broker.publish(&few, chat("ada", &n.to_string())).await.unwrap();
    }
    let kept = log(&*broker, &few).await;
    assert_eq!(kept.iter().map(|it| it.seq).collect::<Vec<_>>(), (93..=100).collect::<Vec<_>>());
    let start = |seq| {
        let known = Some(Position { epoch: kept[0].epoch, seq });
        Start::After { known, otherwise: 50 }
    };
    assert!(broker.snapshot(&few, start(92)).await.unwrap().recovered);
    assert!(!broker.snapshot(&few, start(91)).await.unwrap().recovered);
    // By bytes.
    let narrow = room("narrow:log");
    for n in 1..=40 {
        broker.publish(&narrow, chat("ada", &format!("{n:0>100}"))).await.unwrap();
    }
    let kept = log(&*broker, &narrow).await;
    assert!((2..=10).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().unwrap().seq, 40);
}

async fn state_is_bounded(broker: Arc<dyn Broker>) {
    let room = room("small:state");
    broker.publish(&room, set("a", Some("123"), None)).await.unwrap();
    broker.publish(&room, set("b", Some("123"), None)).await.unwrap();
    for (key, value) in [("c", "1"), ("a", "123456789")] {
        let refused = broker.publish(&room, set(key, Some(value), None)).await;
        assert!(matches!(refused, Err(PublishError::StateFull(_))), "{refused:?}");
    }
    broker.publish(&room, set("a", None, None)).await.unwrap();
    let written = broker.publish(&room, set("c", Some("12345"), None)).await.unwrap();
    assert_eq!(written.position.seq, 4);
    let state = broker.snapshot(&room, Start::End).await.unwrap().state;
    assert_eq!(state.len(), 2);
}

async fn state_is_compared_and_set_in_one_step(broker: Arc<dyn Broker>) {
    let room = room("state");
    let first = broker.publish(&room, set("k", Some("1"), Some(0))).await.unwrap();
    let refused = broker.publish(&room, set("k", Some("2"), Some(0))).await;
    let Err(PublishError::Conflict(current)) = refused else { panic!("{refused:?}") };
    assert_eq!(current.version, first.position.seq);
    assert_eq!(current.value.unwrap().get(), "1");
    // A refused write takes no place.
    let deleted = broker.publish(&room, set("k", None, Some(current.version))).await.unwrap();
    assert_eq!(deleted.position.seq, 2);
    broker.publish(&room, set("k", Some("3"), Some(0))).await.unwrap();
    // One of many who compare with the same version succeeds.
    let retry = Draft { nonce: Some("n".into()), ..set("k", Some("4"), Some(3)) };
    assert!(!broker.publish(&room, retry.clone()).await.unwrap().duplicate);
    assert!(broker.publish(&room, retry).await.unwrap().duplicate, "a retry is no conflict");
    let snapshot = broker.snapshot(&room, Start::End).await.unwrap();
    assert_eq!(snapshot.position.seq, 4);
    let [entry] = &snapshot.state[..] else { panic!("{:?}", snapshot.state) };
    assert_eq!((entry.value.get(), entry.version), ("4", 4));
}

async fn state_is_read_in_parts(broker: Arc<dyn Broker>) {
    let room = room("state-parts");
    let read = async |after: Option<&str>, limit| {
        let request = StateRequest { after: after.map(Into::into), limit };
        let page = broker.state(&room, request).await.unwrap();
        let keys: Vec<String> = page.entries.iter().map(|it| it.key.to_string()).collect();
        (keys.join(" "), page.more, page.position.seq)
    };
    assert_eq!(read(None, 10).await, (String::new(), false, 0), "nothing was written");
    for key in ["b", "a", "d", "c", "\u{e9}", "B"] {
        broker.publish(&room, set(key, Some("1"), None)).await.unwrap();
    }
    broker.publish(&room, set("c", None, None)).await.unwrap();
    assert_eq!(read(None, 2).await, ("B a".to_owned(), true, 7), "in the order of bytes");
    assert_eq!(read(Some("a"), 2).await, ("b d".to_owned(), true, 7));
    assert_eq!(read(Some("d"), 2).await, ("\u{e9}".to_owned(), false, 7));
    assert_eq!(read(Some("bb"), 1).await, ("d".to_owned(), true, 7), "a key that is not there");
    let request = StateRequest { after: Some("a".into()), limit: 1 };
    let page = broker.state(&room, request).await.unwrap();
    assert_eq!((page.entries[0].value.get(), page.entries[0].version), ("1", 1));
    let end = broker.snapshot(&room, Start::End).await.unwrap().position;
    assert_eq!(page.position, end);
}

/// All rooms of a form, page by page.
async fn listed(
    broker: &dyn Broker,
    pattern: Option<&str>,
    limit: usize,
) -> Vec<(String, Position)> {
    let pattern = pattern.map(|it| Pattern::parse(it).unwrap());
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let request = RoomsRequest { pattern: pattern.clone(), cursor, limit };
        let page = broker.rooms(request).await.unwrap().expect("its own cursor");
        assert!(page.rooms.len() <= limit, "{page:?}");
        found.extend(page.rooms.into_iter().map(|it| (it.room.to_string(), it.position)));
        cursor = page.next;
        if cursor.is_none() {
            found.sort_by(|a, b| a.0.cmp(&b.0));
            return found;
        }
    }
}

async fn rooms_are_listed_page_by_page(broker: Arc<dyn Broker>) {
    assert!(listed(&*broker, None, 10).await.is_empty());
    let mut places = Vec::new();
    for n in 0..250 {
        let name = format!("{}:{n:03}", if n % 10 == 0 { "few" } else { "many" });
        places.push((name.clone(), broker.publish(&room(&name), chat("ada", "x")).await.unwrap()));
    }
    // An inbox is not among them, reading makes no room, being subscribed does.
    let bob = user("bob");
    let body = Body::Direct { to: bob.clone(), payload: Payload::Text("x".into()) };
    let draft = Draft { author: author("ada"), body, nonce: None, if_version: None };
    broker.publish(&RoomName::inbox(&bob), draft).await.unwrap();
    log(&*broker, &room("read")).await;
    broker.state(&room("read"), StateRequest { after: None, limit: 1 }).await.unwrap();
    let subscribed = Subscribed::new(10);
    let end = broker.subscribe(&room("joined"), &subscribed.subscriber).await.unwrap();

    let mut expected: Vec<(String, Position)> =
        places.into_iter().map(|(name, receipt)| (name, receipt.position)).collect();
    expected.push(("joined".to_owned(), end));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    for limit in [1, 7, 100, 1000] {
        assert_eq!(listed(&*broker, None, limit).await, expected, "{limit}");
    }
    let few = listed(&*broker, Some("few:*"), 7).await;
    assert_eq!(few.len(), 25);
    assert!(few.iter().all(|(name, _)| name.starts_with("few:")), "{few:?}");
    assert_eq!(listed(&*broker, Some("few:010"), 7).await.len(), 1);
    assert!(listed(&*broker, Some("@*"), 7).await.is_empty());
    let bad = RoomsRequest { pattern: None, cursor: Some("x".to_owned()), limit: 1 };
    assert!(broker.rooms(bad).await.unwrap().is_none());
}

async fn transients_are_handed_on_and_kept_nowhere(broker: Arc<dyn Broker>) {
    let room = room("transient");
    let mut subscribed = Subscribed::new(100);
    broker.subscribe(&room, &subscribed.subscriber).await.unwrap();
    let typing = Transient::Typing { user: user("ada"), active: true };
    broker.relay(&room, typing).await.unwrap();
    let Delivery::Transient(to, transient) = subscribed.next().await else { panic!() };
    assert_eq!(to, room);
    assert!(matches!(&*transient, Transient::Typing { active: true, .. }));
    let snapshot = broker.snapshot(&room, Start::Newest(10)).await.unwrap();
    assert_eq!((snapshot.position.seq, snapshot.messages.len()), (0, 0));
}

async fn an_inbox_keeps_what_is_not_seen(broker: Arc<dyn Broker>) {
    let (bob, inbox) = (user("bob"), RoomName::inbox(&user("bob")));
    for n in 1..=3 {
        let payload = Payload::Text(n.to_string().into());
        let body = Body::Direct { to: bob.clone(), payload };
        let draft = Draft { author: author("ada"), body, nonce: None, if_version: None };
        assert_eq!(broker.publish(&inbox, draft).await.unwrap().position.seq, n);
    }
    let waiting = async || {
        let inbox = broker.inbox(&bob).await.unwrap();
        (inbox.seen.seq, inbox.end, inbox.unseen.iter().map(|it| it.seq).collect::<Vec<_>>())
    };
    assert_eq!(waiting().await, (0, 3, vec![1, 2, 3]));
    let epoch = broker.inbox(&bob).await.unwrap().seen.epoch;
    broker.seen(&bob, Some(Epoch::random()), 2).await.unwrap();
    assert_eq!(waiting().await, (0, 3, vec![1, 2, 3]), "it is a place of another log");
    broker.seen(&bob, Some(epoch), 2).await.unwrap();
    assert_eq!(waiting().await, (2, 3, vec![3]));
    broker.seen(&bob, None, 1).await.unwrap();
    assert_eq!(waiting().await, (2, 3, vec![3]), "what was seen stays seen");
    broker.seen(&bob, Some(epoch), 100).await.unwrap();
    assert_eq!(waiting().await, (3, 3, vec![]), "beyond the end is the end");
}

async fn a_forgotten_log_comes_back_under_a_new_epoch(broker: Arc<dyn Broker>) {
    let room = room("short:epoch");
    let before = broker.publish(&room, chat("ada", "x")).await.unwrap().position;
    let after = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let now = broker.snapshot(&room, Start::End).await.unwrap().position;
            if now.epoch != before.epoch {
                return now;
            }
            // Only time makes a log old.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the log is forgotten");
    assert_eq!(after.seq, 0);
    let start = Start::After { known: Some(before), otherwise: 5 };
    assert!(!broker.snapshot(&room, start).await.unwrap().recovered);
}

/// State outlives the log it was written by, versions and epoch with it, for as
/// long as it is to be kept.
async fn state_outlives_its_log(broker: Arc<dyn Broker>) {
    let kept = room("short:stateful");
    let forgotten = room("short:and-state");
    let eventually = async |room: &RoomName, seq| {
        tokio::time::timeout(Duration::from_secs(20), async {
            // Only time makes a log old.
            while !log(&*broker, room).await.is_empty()
                || broker.snapshot(room, Start::End).await.unwrap().position.seq != seq
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("what is over its time is gone");
        broker.snapshot(room, Start::End).await.unwrap()
    };
    for room in [&kept, &forgotten] {
        broker.publish(room, set("k", Some("1"), None)).await.unwrap();
    }
    let before = broker.publish(&kept, chat("ada", "x")).await.unwrap().position;
    assert!(eventually(&forgotten, 0).await.state.is_empty());
    let after = eventually(&kept, 2).await;
    assert_eq!((after.position, after.state[0].version), (before, 1));
    let next = broker.publish(&kept, set("k", Some("2"), Some(1))).await.unwrap();
    assert_eq!(next.position, Position { seq: 3, ..before });
}

/// What every broker of these tests is set up with: rooms `short:*` are
/// forgotten quickly, `small:*` and `narrow:*` keep little.
fn settings(url: &str) -> Settings {
    Settings::from_toml(&format!(
        "[broker]\nurl = {url:?}\n[rooms]\nhistory_size = 100000\n\
         [[rooms.namespace]]\nmatch = \"short:stateful\"\nhistory_ttl = \"50ms\"\n\
         [[rooms.namespace]]\nmatch = \"short:*\"\nhistory_ttl = \"50ms\"\n\
         state_ttl = \"100ms\"\n\
         [[rooms.namespace]]\nmatch = \"small:*\"\nhistory_size = 8\nstate_keys = 2\n\
         state_bytes = 10\n\
         [[rooms.namespace]]\nmatch = \"narrow:*\"\nhistory_bytes = 1024"
    ))
    .unwrap()
}

/// What has to live as long as a broker.
type Beside = Option<Box<dyn Any>>;

fn memory() -> MemoryBroker {
    let settings = settings("");
    MemoryBroker::new(&settings.broker, &settings.rooms, &settings.inbox)
}

/// As the application does it, but more often.
fn swept<T: Broker + 'static>(broker: T, sweep: impl Fn(&T) + 'static) -> Arc<dyn Broker> {
    let broker = Arc::new(broker);
    let weak = Arc::downgrade(&broker);
    actix::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while let Some(broker) = weak.upgrade() {
            sweep(&broker);
            drop(broker);
            tick.tick().await;
        }
    });
    broker
}

async fn embedded() -> (Arc<dyn Broker>, Beside) {
    (swept(memory(), MemoryBroker::sweep), None)
}

async fn durable() -> (Arc<dyn Broker>, Beside) {
    let directory = Directory::new();
    let broker = DurableBroker::open(memory(), directory.path()).unwrap();
    (swept(broker, DurableBroker::sweep), Some(Box::new(directory)))
}

async fn redis() -> (Arc<dyn Broker>, Beside) {
    let server = RedisServer::start().await;
    let settings = settings(&server.url());
    let broker =
        RedisBroker::connect(&settings, "node".into(), None).await.expect("Redis is there");
    (Arc::new(broker), Some(Box::new(server)))
}

macro_rules! laws {
    ($implementation:ident, $($law:ident),* $(,)?) => {
        mod $implementation {
            $(#[actix::test]
            async fn $law() {
                let (broker, _beside) = super::$implementation().await;
                super::$law(broker).await;
            })*
        }
    };
}

macro_rules! all_laws {
    ($($implementation:ident),*) => {
        $(laws!(
            $implementation,
            seq_rises_by_one_whoever_writes,
            a_nonce_is_appended_once_however_many_try,
            nothing_is_missed_after_subscribe,
            a_worker_that_cannot_follow_is_told_that_it_lags,
            what_is_acknowledged_is_in_the_log,
            a_known_place_is_continued_and_no_other,
            pages_go_both_ways,
            a_log_keeps_its_newest,
            state_is_compared_and_set_in_one_step,
            state_is_bounded,
            state_is_read_in_parts,
            rooms_are_listed_page_by_page,
            transients_are_handed_on_and_kept_nowhere,
            an_inbox_keeps_what_is_not_seen,
            a_forgotten_log_comes_back_under_a_new_epoch,
            state_outlives_its_log,
        );)*
    };
}

all_laws!(embedded, durable, redis);
