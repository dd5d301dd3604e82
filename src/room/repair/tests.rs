//! Answers that come late, twice, to a room that is another by now, or never.

mod model;

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use futures_util::future::FutureExt;
use tokio::sync::oneshot;

use super::*;
use crate::{
    broker::{
        Answer, Broker, Health, Inbox, Page, PageRequest, PublishError, Receipt, Rooms,
        RoomsRequest, StatePage, StateRequest, Subscriber, Unavailable, memory::MemoryBroker,
    },
    config::Settings,
    metrics::Metrics,
    model::{Author, Body, Draft, Epoch, Payload, Position, Seq, Transient, UserId, WorkerId},
    presence::PresenceSupervisor,
    room::{Links, Room},
    trace::Traces,
};

/// For so many milliseconds, at least, a test waits for what must come.
const PATIENCE_MS: u32 = 20_000;

/// What becomes of a read of the log.
type Read = oneshot::Sender<Result<(), Unavailable>>;

/// The embedded broker, which reads a log at once and answers when the test says so.
struct SlowBroker {
    memory: MemoryBroker,
    reads: Mutex<VecDeque<Read>>,
}

impl SlowBroker {
    /// The oldest read that was not answered, once there is one.
    async fn read(&self) -> Read {
        let oldest = || self.reads.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        for _ in 0..PATIENCE_MS {
            if let Some(read) = oldest() {
                return read;
            }
            actix::clock::sleep(Duration::from_millis(1)).await;
        }
        panic!("the log was not read");
    }
}

impl Broker for SlowBroker {
    fn delivered_end(&self, _: &RoomName) -> Option<Position> {
        None
    }

    fn snapshot(&self, room: &RoomName, start: Start) -> Answer<'_, Snapshot> {
        let read = self.memory.snapshot(room, start).now_or_never().unwrap();
        let (answer, answered) = oneshot::channel();
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).push_back(answer);
        async move {
            match answered.await {
                Ok(answer) => answer.and(read),
                // Dropped by the test: never answered.
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn publish(&self, room: &RoomName, draft: Draft) -> Answer<'_, Receipt, PublishError> {
        self.memory.publish(room, draft)
    }

    fn subscribe(&self, room: &RoomName, subscriber: &Subscriber) -> Answer<'_, Position> {
        self.memory.subscribe(room, subscriber)
    }

    fn unsubscribe(&self, room: &RoomName, worker: WorkerId) {
        self.memory.unsubscribe(room, worker);
    }

    fn relay(&self, room: &RoomName, transient: Transient) -> Answer<'_, ()> {
        self.memory.relay(room, transient)
    }

    fn page(&self, room: &RoomName, request: PageRequest) -> Answer<'_, Page> {
        self.memory.page(room, request)
    }

    fn state(&self, room: &RoomName, request: StateRequest) -> Answer<'_, StatePage> {
        self.memory.state(room, request)
    }

    fn rooms(&self, request: RoomsRequest) -> Answer<'_, Option<Rooms>> {
        self.memory.rooms(request)
    }

    fn inbox(&self, user: &UserId) -> Answer<'_, Inbox> {
        self.memory.inbox(user)
    }

    fn seen(&self, user: &UserId, epoch: Option<Epoch>, seq: Seq) -> Answer<'_, ()> {
        self.memory.seen(user, epoch, seq)
    }

    fn health(&self) -> Health {
        self.memory.health()
    }
}

/// Does something with the supervisor, on its own thread and in its turn.
struct Do<T>(Act<T>);

type Act<T> = Box<dyn FnOnce(&mut RoomSupervisor, &mut Context<RoomSupervisor>) -> T + Send>;

impl<T: Send + 'static> Message for Do<T> {
    type Result = Result<T, ()>;
}

impl<T: Send + 'static> Handler<Do<T>> for RoomSupervisor {
    type Result = Result<T, ()>;

    fn handle(&mut self, Do(act): Do<T>, ctx: &mut Self::Context) -> Self::Result {
        Ok(act(self, ctx))
    }
}

struct Setup {
    broker: Arc<SlowBroker>,
    supervisor: Addr<RoomSupervisor>,
    name: RoomName,
}

impl Setup {
    /// A room of which the log has so many entries and the fan-out none.
    async fn with_log(entries: usize) -> Self {
        let settings = Settings::from_toml("").unwrap();
        let memory = MemoryBroker::new(&settings.broker, &settings.rooms, &settings.inbox);
        let broker = Arc::new(SlowBroker { memory, reads: Mutex::default() });
        let presence = PresenceSupervisor::new(&settings, None).start();
        let supervisor = RoomSupervisor::new(
            broker.clone(),
            Arc::default(),
            presence::Line::new(presence),
            Links::default(),
            &settings,
            Arc::new(Metrics::default()),
            Arc::new(Traces::new("test".into())),
            Arc::default(),
        );
        let setup = Self { broker, supervisor: supervisor.start(), name: RoomName::named("lobby") };
        for _ in 0..entries {
            setup.publish().await;
        }
        let epoch = setup.end().epoch;
        setup.come(Position { epoch, seq: 0 }).await;
        setup
    }

    async fn publish(&self) {
        let author = Author { user: None, session: None, echo: true };
        let body = Body::Message(Payload::Text("hello".into()));
        let draft = Draft { author, body, nonce: None, if_version: None };
        self.broker.publish(&self.name, draft).await.unwrap();
    }

    /// The end of the log.
    fn end(&self) -> Position {
        let read = self.broker.memory.snapshot(&self.name, Start::End);
        read.now_or_never().unwrap().unwrap().position
    }

    async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut RoomSupervisor, &mut Context<RoomSupervisor>) -> T + Send + 'static,
    ) -> T {
        self.supervisor.send(Do(Box::new(act))).await.unwrap().unwrap()
    }

    /// The room is there, fanned out up to this place.
    async fn come(&self, position: Position) {
        let name = self.name.clone();
        self.act(move |act, _| {
            let mut room = Room::new(name.clone(), act.counts.clone());
            room.begin(position);
            act.rooms.insert(name, Box::new(room));
        })
        .await;
    }

    /// The room is left by all.
    async fn go(&self) {
        let name = self.name.clone();
        self.act(move |act, _| act.rooms.remove(&name).is_some()).await;
    }

    async fn repair(&self) {
        let name = self.name.clone();
        self.act(move |act, ctx| act.repair(&name, RepairCause::Gap, ctx)).await;
    }

    async fn position(&self) -> Position {
        let name = self.name.clone();
        self.act(move |act, _| act.rooms[&name].position().unwrap()).await
    }

    /// Which repair of the room is under way.
    async fn current(&self) -> Option<RepairId> {
        let name = self.name.clone();
        self.act(move |act, _| act.rooms[&name].current_repair()).await
    }

    async fn until_idle(&self) {
        for _ in 0..PATIENCE_MS {
            if self.current().await.is_none() {
                return;
            }
            actix::clock::sleep(Duration::from_millis(1)).await;
        }
        panic!("the repair did not end");
    }
}

#[actix::test]
async fn what_is_missing_is_read_from_the_log() {
    let setup = Setup::with_log(2).await;
    setup.repair().await;
    setup.broker.read().await.send(Ok(())).unwrap();
    setup.until_idle().await;
    assert_eq!(setup.position().await, setup.end());
}

#[actix::test]
async fn an_answer_to_a_room_that_was_left_is_not_taken_for_that_of_its_successor() {
    let setup = Setup::with_log(2).await;
    setup.repair().await;
    let old = setup.broker.read().await;
    setup.go().await;
    setup.publish().await;
    setup.come(setup.end()).await;
    old.send(Ok(())).unwrap();
    // The successor is repaired too, with the old answer before its own.
    setup.repair().await;
    let own = setup.broker.read().await;
    assert_eq!(setup.position().await, setup.end(), "went back to what the old answer has");
    assert!(setup.current().await.is_some(), "ended by an answer that is not its own");
    own.send(Ok(())).unwrap();
    setup.until_idle().await;
    assert_eq!(setup.position().await, setup.end());
}

#[actix::test]
async fn a_retry_of_a_room_that_was_left_does_not_end_the_repair_of_its_successor() {
    let setup = Setup::with_log(2).await;
    setup.repair().await;
    let old = setup.current().await.unwrap();
    setup.go().await;
    setup.come(setup.end()).await;
    setup.repair().await;
    let own = setup.current().await;
    let name = setup.name.clone();
    // As the timer of the earlier repair does.
    setup.act(move |act, ctx| act.repair_anew(&name, (old, RepairCause::Gap), ctx)).await;
    assert_eq!(setup.current().await, own);
}

#[actix::test]
async fn a_read_that_fails_is_tried_again() {
    let setup = Setup::with_log(2).await;
    setup.repair().await;
    setup.broker.read().await.send(Err(Unavailable::Unreachable)).unwrap();
    setup.broker.read().await.send(Ok(())).unwrap();
    setup.until_idle().await;
    assert_eq!(setup.position().await, setup.end());
}

#[actix::test]
async fn a_read_that_never_ends_is_begun_anew() {
    let setup = Setup::with_log(2).await;
    setup.repair().await;
    drop(setup.broker.read().await);
    setup.broker.read().await.send(Ok(())).unwrap();
    setup.until_idle().await;
    assert_eq!(setup.position().await, setup.end());
}

#[actix::test]
async fn what_is_lost_after_the_log_was_read_is_read_by_another_repair() {
    let setup = Setup::with_log(2).await;
    setup.repair().await;
    let first = setup.broker.read().await;
    // The queue overflows: of this one the room hears nothing.
    setup.publish().await;
    setup.repair().await;
    first.send(Ok(())).unwrap();
    setup.broker.read().await.send(Ok(())).unwrap();
    setup.until_idle().await;
    assert_eq!(setup.position().await, setup.end());
}

#[actix::test]
async fn an_answer_of_presence_that_never_comes_is_not_waited_for() {
    let setup = Setup::with_log(2).await;
    // Of a log that is gone.
    setup.come(Position { epoch: Epoch::random(), seq: 7 }).await;
    let alive = setup.act(|act, _| act.presence.actor().clone()).await;
    let settings = Settings::from_toml("").unwrap();
    let ended = PresenceSupervisor::create(|ctx| {
        ctx.stop();
        PresenceSupervisor::new(&settings, None)
    });
    setup.act(move |act, _| act.presence = presence::Line::new(ended)).await;
    setup.repair().await;
    let first = setup.current().await;
    setup.broker.read().await.send(Ok(())).unwrap();
    // It is asked for again, by a repair that is another one.
    let anew = setup.broker.read().await;
    assert!(setup.current().await.is_some_and(|repair| Some(repair) != first));
    setup.act(|act, _| assert!(act.questions.is_empty(), "the question is still kept")).await;
    setup.act(move |act, _| act.presence = presence::Line::new(alive)).await;
    anew.send(Ok(())).unwrap();
    setup.until_idle().await;
    assert_eq!(setup.position().await, setup.end());
}

#[actix::test]
async fn an_answer_of_presence_to_a_room_that_was_left_changes_nothing() {
    let setup = Setup::with_log(2).await;
    setup.come(Position { epoch: Epoch::random(), seq: 7 }).await;
    setup.repair().await;
    let old = setup.current().await.unwrap();
    setup.go().await;
    setup.publish().await;
    setup.come(setup.end()).await;
    let (name, epoch) = (setup.name.clone(), setup.end().epoch);
    let snapshot = Snapshot {
        position: Position { epoch, seq: 2 },
        recovered: false,
        messages: Vec::new(),
        state: Vec::new(),
    };
    setup.act(move |act, ctx| act.restarted(&name, old, &snapshot, &[], 0, ctx)).await;
    assert_eq!(setup.position().await, setup.end());
}
