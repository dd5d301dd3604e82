//! The subscriptions of a node while its rooms come and go, commands fail or are dropped
//! halfway, and connections end: once that stops, Redis has exactly what is wanted.

use std::{
    collections::{BTreeSet, HashMap, VecDeque, hash_map::DefaultHasher},
    future::Future,
    hash::BuildHasherDefault,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use shuttle::{
    rand::{Rng, thread_rng},
    sync::Mutex,
    thread,
};

use crate::{
    reconciler::{SubscribingConnection, reconcile},
    subscription_table::{Confirmation, ConnectionId, SubscriptionTable, Verb, Waiter},
};

const CHANNELS: [&str; 3] = ["a", "b", "c"];

/// What a waiter was told, shared with whoever waits.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Told {
    Nothing,
    Subscribed,
    Dropped,
}

struct Answer(Arc<std::sync::Mutex<Told>>);

impl Waiter for Answer {
    fn is_closed(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn answer(self) {
        *self.0.lock().unwrap() = Told::Subscribed;
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut told = self.0.lock().unwrap();
        if *told == Told::Nothing {
            *told = Told::Dropped;
        }
    }
}

type Hasher = BuildHasherDefault<DefaultHasher>;

#[derive(Default)]
struct Table(SubscriptionTable<(), Answer, Hasher>);

impl AsMut<SubscriptionTable<(), Answer, Hasher>> for Table {
    fn as_mut(&mut self) -> &mut SubscriptionTable<(), Answer, Hasher> {
        &mut self.0
    }
}

/// One command in the buffer of a connection.
struct Command {
    verb: Verb,
    channels: Vec<Arc<str>>,
    ticket: u64,
}

/// Redis, with one connection.
#[derive(Default)]
struct Redis {
    connection: ConnectionId,
    is_open: bool,
    buffer: VecDeque<Command>,
    subscribed: BTreeSet<Arc<str>>,
    /// Whether each command that was carried out was carried out as a whole.
    answers: HashMap<u64, bool, Hasher>,
    tickets: u64,
}

struct Node {
    table: Mutex<Table>,
    redis: Mutex<Redis>,
    /// Whether anything may fail.
    faults: Mutex<bool>,
}

impl Node {
    /// Makes a connection, and drops the one before.
    fn connect(&self) {
        let id = {
            let mut redis = self.redis.lock().unwrap();
            let tickets = redis.tickets;
            *redis = Redis {
                connection: redis.connection + 1,
                is_open: true,
                tickets,
                ..Redis::default()
            };
            redis.connection
        };
        self.table.lock().unwrap().0.use_connections(vec![id], |_| Some(id));
    }

    /// Redis carries out one command, and confirms what it did in that order.
    fn carry_out(&self) {
        let faulty = *self.faults.lock().unwrap();
        let mut redis = self.redis.lock().unwrap();
        let Some(Command { verb, channels, ticket }) = redis.buffer.pop_front() else { return };
        let refused = faulty && thread_rng().gen_range(0..8) == 0;
        let count =
            if refused { thread_rng().gen_range(0..channels.len()) } else { channels.len() };
        let mut confirmations = Vec::new();
        for channel in &channels[..count] {
            let before = redis.subscribed.len();
            match verb {
                Verb::Subscribe => redis.subscribed.insert(channel.clone()),
                Verb::Unsubscribe => redis.subscribed.remove(channel),
            };
            confirmations.push((channel.clone(), redis.subscribed.len() > before));
        }
        let by = redis.connection;
        drop(redis);
        for (channel, added) in confirmations {
            let means = self.table.lock().unwrap().0.confirm(by, verb, &channel, added);
            assert_ne!(means, Confirmation::Restored, "nothing is lost behind the node's back");
        }
        let mut redis = self.redis.lock().unwrap();
        if redis.connection == by {
            redis.answers.insert(ticket, !refused);
        }
    }

    /// Runs `reconcile`, and drops it after so many polls.
    fn reconcile(self: &Arc<Self>, polls: usize) -> bool {
        let id = self.redis.lock().unwrap().connection;
        let connection = Connection { node: self.clone(), id };
        let mut running = pin!(reconcile(&self.table, &connection));
        for _ in 0..polls {
            match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(done) => return done.is_ok(),
                Poll::Pending => thread::yield_now(),
            }
        }
        false
    }
}

struct Connection {
    node: Arc<Node>,
    id: ConnectionId,
}

/// Lets other threads go first.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl SubscribingConnection for Connection {
    type Error = ();

    fn id(&self) -> ConnectionId {
        self.id
    }

    fn owns(&self, _: &str) -> bool {
        true
    }

    async fn command(&self, verb: Verb, channels: &[Arc<str>]) -> Result<(), ()> {
        // Dropped here, the command is never sent.
        pause().await;
        let ticket = {
            let mut redis = self.node.redis.lock().unwrap();
            if !redis.is_open || redis.connection != self.id {
                return Err(());
            }
            redis.tickets += 1;
            let ticket = redis.tickets;
            redis.buffer.push_back(Command { verb, channels: channels.to_vec(), ticket });
            ticket
        };
        // Dropped here, it is carried out all the same.
        loop {
            pause().await;
            let mut redis = self.node.redis.lock().unwrap();
            if redis.connection != self.id || !redis.is_open {
                return Err(());
            }
            if let Some(whole) = redis.answers.remove(&ticket) {
                return whole.then_some(()).ok_or(());
            }
        }
    }
}

/// Rooms come and go, each with somebody who waits for it. Gives those who still wait.
fn use_channels(node: &Node) -> Vec<Arc<std::sync::Mutex<Told>>> {
    let mut waiting = Vec::new();
    for _ in 0..6 {
        let channel: Arc<str> = CHANNELS[thread_rng().gen_range(0..CHANNELS.len())].into();
        let mut table = node.table.lock().unwrap();
        if thread_rng().gen_range(0..3) > 0 {
            table.0.want(&channel, || ());
            let told = Arc::new(std::sync::Mutex::new(Told::Nothing));
            table.0.wait(&channel, Answer(told.clone()));
            if thread_rng().gen_range(0..2) == 0 {
                waiting.push(told);
            }
        } else {
            table.0.unwant(&channel);
        }
        drop(table);
        thread::yield_now();
    }
    waiting
}

/// What the bridge does: keeps `reconcile` running, drops it at times, and makes new
/// connections in place of those that failed or were lost.
fn keep_connected(node: &Arc<Node>) {
    for _ in 0..6 {
        let done = node.reconcile(thread_rng().gen_range(1..12));
        match thread_rng().gen_range(0..4) {
            0 => node.connect(),
            1 if !done => node.redis.lock().unwrap().is_open = false,
            _ => {}
        }
    }
}

/// Once nothing fails any more, one call brings everything to its end.
fn settle(node: &Arc<Node>) {
    if !node.redis.lock().unwrap().is_open {
        node.connect();
    }
    *node.faults.lock().unwrap() = false;
    let id = node.redis.lock().unwrap().connection;
    let connection = Connection { node: node.clone(), id };
    let mut running = pin!(reconcile(&node.table, &connection));
    for _ in 0..1000 {
        match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => return done.expect("nothing fails any more"),
            Poll::Pending => node.carry_out(),
        }
    }
    panic!("it never comes to an end");
}

#[test]
fn redis_holds_what_is_wanted_once_nothing_fails() {
    let check = || {
        let node = Arc::new(Node {
            table: Mutex::default(),
            redis: Mutex::default(),
            faults: Mutex::new(true),
        });
        node.connect();
        let users: Vec<_> = (0..2)
            .map(|_| {
                let node = node.clone();
                thread::spawn(move || use_channels(&node))
            })
            .collect();
        let server = {
            let node = node.clone();
            thread::spawn(move || {
                for _ in 0..20 {
                    node.carry_out();
                    thread::yield_now();
                }
            })
        };
        keep_connected(&node);
        let waiting: Vec<_> = users.into_iter().flat_map(|it| it.join().unwrap()).collect();
        server.join().unwrap();
        settle(&node);
        let mut table = node.table.lock().unwrap();
        let wanted: BTreeSet<_> = table.0.wanted().map(|(channel, _, _)| channel.clone()).collect();
        assert_eq!(node.redis.lock().unwrap().subscribed, wanted);
        for channel in CHANNELS {
            assert_eq!(table.0.knows(channel), wanted.contains(channel), "{channel} stays behind");
        }
        for told in waiting {
            assert_ne!(*told.lock().unwrap(), Told::Nothing, "somebody waits for ever");
        }
    };
    shuttle::check_random(check, 3000);
}
