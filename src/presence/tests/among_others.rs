//! A node among others, whose part the tests play.

use std::sync::atomic::Ordering;

use super::{cluster::Call, *};

/// A stage with a cluster.
struct Network {
    stage: Stage,
    cluster: Arc<FakeCluster>,
    calls: mpsc::UnboundedReceiver<Call>,
}

impl Network {
    fn start(settings: &str) -> Self {
        let (cluster, calls) = FakeCluster::new();
        let settings = Settings::from_toml(settings).unwrap();
        Self { stage: Stage::start(&settings, Some(cluster.clone())), cluster, calls }
    }

    /// A network in which ada is in the room and nobody else is anywhere.
    async fn with_ada(settings: &str) -> (Self, LinkId) {
        let mut net = Self::start(settings);
        let ada = net.stage.connect("ada");
        let joining = net.stage.track(ada);
        net.heard_roll("@ada", &[]);
        net.heard_roll("lobby", &[]);
        assert_eq!(net.stage.answer(joining).await, ["ada"]);
        net.called(Call::Follow("lobby".into())).await;
        net.called(told("lobby", &[("ada", Some(1))])).await;
        net.stage.quiet().await;
        (net, ada)
    }

    fn hear(&self, heard: Heard) {
        self.stage.presence.do_send(heard);
    }

    fn heard_roll(&self, name: &str, entries: &[(&str, &str)]) {
        self.hear(Heard::Roll { room: named(name), roll: roll(entries) });
    }

    fn heard(&self, name: &str, life: &str, user: &str, entry: Option<Entry>) {
        let entries = vec![(id(user), entry)];
        self.hear(Heard::Changed { room: named(name), life: LifeId::named(life), entries });
    }

    /// Waits for a call; those before it are read and let go.
    async fn called(&mut self, expected: Call) {
        while self.calls.recv().await.unwrap() != expected {}
    }

    /// The calls up to now.
    async fn calls(&mut self) -> Vec<Call> {
        self.stage.quiet().await;
        std::iter::from_fn(|| self.calls.try_recv().ok()).collect()
    }
}

fn named(name: &str) -> RoomName {
    name.strip_prefix('@')
        .map_or_else(|| RoomName::parse(name).unwrap(), |user| RoomName::inbox(&id(user)))
}

fn entry(user: &str, sessions: usize) -> Entry {
    let name = user.into();
    Entry { name, meta: None, profiled_at: 1, said: None, sessions, since: 1 }
}

/// Of lives and users, one session each.
fn roll(entries: &[(&str, &str)]) -> Roll {
    let named = |(life, user): &(&str, &str)| (LifeId::named(life), id(user), entry(user, 1));
    Roll { entries: entries.iter().map(named).collect(), whole: true }
}

fn told(name: &str, entries: &[(&str, Option<usize>)]) -> Call {
    let entry = |(user, sessions): &(&str, Option<usize>)| {
        ((*user).to_owned(), sessions.map(|sessions| (sessions, Status::Online)))
    };
    Call::Tell(name.into(), entries.iter().map(entry).collect())
}

#[actix::test]
async fn joining_waits_for_the_roll() {
    let mut net = Network::start("");
    let ada = net.stage.connect("ada");
    let joining = net.stage.track(ada);
    net.called(Call::Follow("@ada".into())).await;
    net.called(Call::Follow("lobby".into())).await;
    net.heard_roll("@ada", &[]);
    net.heard("lobby", "b", "cyd", Some(entry("cyd", 1)));
    let early = net.stage.quiet().await;
    assert!(early.iter().all(|it| matches!(it, News::Changed { .. })), "{early:?}");
    net.heard_roll("lobby", &[("b", "bob"), ("b", "cyd")]);
    assert_eq!(net.stage.answer(joining).await, ["bob", "cyd", "ada"]);
    let asked = net.stage.who_is();
    assert_eq!(net.stage.answer(asked).await, ["bob", "cyd", "ada"], "it is known now");
}

#[actix::test]
async fn a_room_that_cannot_be_read_is_what_is_known_of_it() {
    let mut net = Network::start("");
    let ada = net.stage.connect("ada");
    let joining = net.stage.track(ada);
    let asked = net.stage.who_is();
    net.hear(Heard::Unread { room: room() });
    assert_eq!(net.stage.answer(joining).await, ["ada"]);
    assert_eq!(net.stage.answer(asked).await, ["ada"]);
    net.heard_roll("lobby", &[("b", "bob")]);
    let diff = net.stage.change().await;
    assert_eq!((&*diff.joined[0].user.to_string(), diff.count), ("bob", 2));
}

#[actix::test]
async fn watching_waits_for_each_user() {
    let mut net = Network::start("");
    let watching = net.stage.watch(&["ada", "bob"]);
    net.called(Call::Follow("@ada".into())).await;
    net.called(Call::Follow("@bob".into())).await;
    net.heard_roll("@ada", &[("b", "ada")]);
    assert!(net.stage.quiet().await.iter().all(|it| matches!(it, News::Online { .. })));
    net.hear(Heard::Unread { room: named("@bob") });
    assert_eq!(net.stage.answer(watching).await, ["ada=Online", "bob=Offline"]);
    net.heard("@ada", "b", "ada", None);
    let online = net.stage.next().await;
    let News::Online { user, availability: Availability::Offline } = online else {
        panic!("{online:?}");
    };
    assert_eq!(user, id("ada"));
}

#[actix::test]
async fn what_nobody_here_needs_is_followed_no_more() {
    let (mut net, ada) = Network::with_ada("presence.grace = \"1ms\"").await;
    let watching = net.stage.watch(&["ada"]);
    net.heard("lobby", "b", "bob", Some(entry("bob", 1)));
    assert_eq!(net.stage.answer(watching).await, ["ada=Online"]);
    net.stage.say(Request::Disconnect { link: ada });
    net.called(Call::Unfollow("lobby".into())).await;
    net.called(told("@ada", &[("ada", None)])).await;
    assert_eq!(net.calls().await, [], "ada is watched still");
    let worker = net.stage.worker;
    net.stage.say(Request::Unwatch { worker, user: id("ada") });
    net.called(Call::Unfollow("@ada".into())).await;
    net.heard("lobby", "b", "cyd", Some(entry("cyd", 1)));

    let cyd = net.stage.connect("cyd");
    let joining = net.stage.track(cyd);
    net.called(Call::Follow("lobby".into())).await;
    net.hear(Heard::Unread { room: room() });
    assert_eq!(net.stage.answer(joining).await, ["cyd"], "bob was forgotten");
}

#[actix::test]
async fn a_user_that_moves_here_from_another_node_is_never_gone() {
    let (mut net, _) = Network::with_ada("").await;
    net.heard("lobby", "b", "bob", Some(entry("bob", 1)));
    assert_eq!(net.stage.change().await.joined.len(), 1);
    // The connection breaks; what is left there is the grace.
    net.heard("lobby", "b", "bob", Some(entry("bob", 0)));
    let bob = net.stage.connect("bob");
    let joining = net.stage.track(bob);
    net.heard("lobby", "b", "bob", None);
    assert_eq!(net.stage.answer(joining).await, ["bob", "ada"]);
    let mut came = net.stage.quiet().await;
    came.retain(|it| match it {
        News::Changed { changes, .. } => !changes.to_diff().left.is_empty(),
        _ => true,
    });
    assert!(came.is_empty(), "{came:?}");
}

#[actix::test]
async fn the_users_of_a_dead_node_leave() {
    let (mut net, _) = Network::with_ada("").await;
    net.heard_roll("lobby", &[("b", "bob"), ("b", "cyd"), ("c", "cyd")]);
    let entries = vec![(id("bob"), None), (id("cyd"), None)];
    net.stage.change().await;
    net.hear(Heard::Changed { room: room(), life: LifeId::named("b"), entries });
    let diff = net.stage.change().await;
    assert_eq!((diff.naming, diff.left, diff.count), (Naming::Changes, vec![id("bob")], 2));
}

#[actix::test]
async fn what_changes_while_it_is_told_is_told_once() {
    let (mut net, ada) = Network::with_ada("").await;
    net.calls().await;
    net.cluster.tellings.forget_permits(usize::MAX);
    for status in [Status::Away, Status::Busy, Status::Away, Status::Busy] {
        net.stage.say(Request::SetStatus { link: ada, status, meta: None });
    }
    let first = net.calls().await;
    assert_eq!(first.len(), 2, "one for each room: {first:?}");
    net.cluster.tellings.add_permits(2);
    let busy = |room: &str| Call::Tell(room.into(), vec![("ada".into(), Some((1, Status::Busy)))]);
    let (one, other) = (net.calls.recv().await.unwrap(), net.calls.recv().await.unwrap());
    assert!([&one, &other].iter().all(|it| [busy("@ada"), busy("lobby")].contains(it)));
    net.cluster.tellings.add_permits(2);
    assert_eq!(net.calls().await, []);
}

#[actix::test]
async fn what_did_not_arrive_is_told_again() {
    let (mut net, ada) = Network::with_ada("").await;
    net.calls().await;
    net.cluster.is_away.store(true, Ordering::Relaxed);
    net.stage.say(Request::Untrack { link: ada, room: room() });
    net.called(told("lobby", &[("ada", None)])).await;
    net.called(told("lobby", &[("ada", None)])).await;
    net.cluster.is_away.store(false, Ordering::Relaxed);
    net.called(told("lobby", &[("ada", None)])).await;
}

#[actix::test]
async fn a_roll_is_the_sign_to_tell_again() {
    let (mut net, ada) = Network::with_ada("").await;
    net.calls().await;
    net.cluster.is_away.store(true, Ordering::Relaxed);
    net.stage.say(Request::SetStatus { link: ada, status: Status::Away, meta: None });
    assert_eq!(net.calls().await.len(), 2);
    net.cluster.is_away.store(false, Ordering::Relaxed);
    net.heard_roll("lobby", &[]);
    let away = Call::Tell("lobby".into(), vec![("ada".into(), Some((1, Status::Away)))]);
    assert!(net.calls().await.contains(&away), "it does not wait for the timer");
}

#[actix::test]
async fn a_new_life_tells_all_it_has() {
    let (mut net, ada) = Network::with_ada("").await;
    let bob = net.stage.connect("bob");
    net.stage.track(bob);
    net.stage.say(Request::Disconnect { link: ada });
    net.calls().await;
    net.hear(Heard::Anew);
    let mut calls: Vec<String> = Vec::new();
    while calls.len() < 3 {
        calls.push(format!("{:?}", net.calls.recv().await.unwrap()));
    }
    calls.sort();
    let mut expected = [
        told("@ada", &[("ada", Some(0))]),
        told("@bob", &[("bob", Some(1))]),
        told("lobby", &[("ada", Some(0)), ("bob", Some(1))]),
    ]
    .map(|call| format!("{call:?}"));
    expected.sort();
    assert_eq!(calls, expected);
}

#[actix::test]
async fn a_room_that_is_not_followed_is_asked_for_once() {
    let mut net = Network::start("rooms.presence_limit = 2");
    let asked = net.stage.who_is();
    assert_eq!(net.stage.answer(asked).await, ["unreachable"]);
    *net.cluster.roll.lock().unwrap() = Ok(roll(&[("b", "bob"), ("c", "bob"), ("c", "ada")]));
    let asked = net.stage.who_is();
    assert_eq!(net.stage.answer(asked).await, ["ada", "bob"]);
    let rolls = [Call::Roll("lobby".into()), Call::Roll("lobby".into())];
    assert_eq!(net.calls().await, rolls, "nothing is followed");
    *net.cluster.roll.lock().unwrap() = Ok(roll(&[("b", "bob"), ("c", "cyd"), ("c", "ada")]));
    net.stage.who_is();
    let News::Members { members, count, .. } = net.stage.next().await else { panic!("no answer") };
    assert_eq!((members.len(), count), (0, 3));
}

#[actix::test]
async fn who_came_too_late_on_another_node_is_put_out_again() {
    let mut net = Network::start("rooms.members = 1");
    let ada = net.stage.connect("ada");
    let joining = net.stage.track(ada);
    net.heard_roll("lobby", &[("b", "bob")]);
    assert_eq!(net.stage.answer(joining).await, ["full"]);
    net.called(Call::Unfollow("lobby".into())).await;
    net.called(told("lobby", &[("ada", None)])).await;
}

#[actix::test]
async fn a_defect_of_the_cluster_is_as_if_it_was_away() {
    let (mut net, ada) = Network::with_ada("").await;
    net.cluster.is_defect.store(true, Ordering::Relaxed);
    net.stage.say(Request::SetStatus { link: ada, status: Status::Away, meta: None });
    let away = || Call::Tell("lobby".into(), vec![("ada".into(), Some((1, Status::Away)))]);
    net.called(away()).await;
    let asked = net.stage.who_is();
    assert_eq!(net.stage.answer(asked).await, ["ada"]);
    net.cluster.is_defect.store(false, Ordering::Relaxed);
    net.called(away()).await;
}
