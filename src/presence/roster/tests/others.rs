//! What another node tells, step by step.

use super::*;
use crate::cluster::{Entry, Roll};

const LEASE: u64 = 10_000;

fn life(name: &str) -> LifeId {
    LifeId::named(name)
}

fn id(user: &str) -> UserId {
    UserId::parse(user).unwrap()
}

/// Another node's entry; its moments are all `since`.
fn entry(name: &str, sessions: usize, since: Timestamp, said: Option<Said>) -> Entry {
    Entry { name: name.into(), meta: None, profiled_at: since, said, sessions, since }
}

fn said(status: Status, at: Timestamp) -> Option<Said> {
    Some(Said { status, meta: None, at })
}

fn roll(entries: &[(&str, &str, Entry)], whole: bool) -> Roll {
    let named =
        |(life, user, entry): &(&str, &str, Entry)| (LifeId::named(life), id(user), entry.clone());
    Roll { entries: entries.iter().map(named).collect(), whole }
}

impl Stage {
    fn among_others(limit: usize) -> Self {
        let stage = Self::new(limit);
        Self { roster: stage.roster.with_others(), ..stage }
    }

    /// A stage with ada of this node in the room.
    fn with_ada(limit: usize) -> (Self, LinkId) {
        let mut stage = Self::among_others(limit);
        let link = stage.connect("ada");
        stage.roster.track(link, &room(), 5).unwrap();
        stage.told();
        (stage, link)
    }

    fn hear(&mut self, from: &str, user: &str, entry: Option<Entry>) -> Vec<String> {
        self.roster.hear(&room(), &life(from), vec![(id(user), entry)]);
        self.told()
    }

    fn hear_inbox(&mut self, from: &str, user: &str, entry: Option<Entry>) -> Vec<String> {
        let inbox = RoomName::inbox(&id(user));
        self.roster.hear(&inbox, &life(from), vec![(id(user), entry)]);
        self.told()
    }

    fn roll(&mut self, millis: u64, roll: Roll) -> Vec<String> {
        let at = self.at(millis);
        self.roster.roll(&room(), roll, at);
        self.told()
    }

    fn expire(&mut self, millis: u64) -> Vec<String> {
        self.roster.expire(self.at(millis));
        self.told()
    }

    fn members(&self) -> Vec<String> {
        let member =
            |it: &Member| format!("{}:{}:{}@{}", it.name, it.status, it.sessions, it.since);
        self.roster.members(&room()).0.iter().map(member).collect()
    }
}

#[test]
fn parts_are_folded_into_one_member() {
    let (mut stage, _) = Stage::with_ada(200);
    let theirs = entry("Ada L.", 2, 3, said(Status::Away, 4));
    assert_eq!(stage.hear("b", "ada", Some(theirs)), ["ada=away", "~ada:1", "#1", "~ada:3", "#1"]);
    assert_eq!(stage.members(), ["Ada L.:away:3@3"]);
    assert_eq!(stage.hear("b", "bob", Some(entry("bob", 1, 9, None))), ["+bob", "#2"]);
    assert_eq!(stage.hear("b", "bob", None), ["-bob", "#1"]);
    assert_eq!(stage.hear("b", "bob", None), Vec::<String>::new());
}

#[test]
fn what_changes_nothing_is_not_told() {
    let (mut stage, _) = Stage::with_ada(200);
    let bob = || entry("bob", 1, 9, None);
    stage.hear("b", "bob", Some(bob()));
    assert_eq!(stage.hear("b", "bob", Some(bob())), Vec::<String>::new());
    assert_eq!(stage.hear("c", "bob", Some(entry("bob", 0, 9, None))), Vec::<String>::new());
    let grace = entry("bob", 0, 9, None);
    assert_eq!(stage.hear("b", "bob", Some(grace)), Vec::<String>::new(), "shown until it is over");
}

#[test]
fn who_moves_to_another_node_is_never_gone() {
    let (mut stage, _) = Stage::with_ada(200);
    stage.hear("b", "bob", Some(entry("bob", 1, 9, None)));
    // Its connection breaks there, and it comes back on a third node, or here.
    assert_eq!(stage.hear("b", "bob", Some(entry("bob", 0, 9, None))), Vec::<String>::new());
    let bob = stage.connect("bob");
    stage.roster.track(bob, &room(), 12).unwrap();
    assert_eq!(stage.told(), ["bob=online"], "its part there shows it still");
    assert_eq!(stage.hear("b", "bob", None), ["~bob:1", "#2"], "it is here only since later");
    stage.roster.disconnect(bob, stage.at(0));
    assert_eq!(stage.hear("c", "bob", Some(entry("bob", 1, 12, None))), Vec::<String>::new());
    assert_eq!(stage.expire(3000), ["bob=offline"]);
    assert_eq!(stage.members(), ["ada:online:1@5", "bob:online:1@12"]);
}

#[test]
fn a_roll_replaces_what_was_known() {
    let (mut stage, _) = Stage::with_ada(200);
    stage.hear("b", "bob", Some(entry("bob", 1, 9, None)));
    stage.hear("b", "cyd", Some(entry("cyd", 1, 9, None)));
    let now = [("c", "bob", entry("bob", 1, 9, None)), ("c", "dan", entry("dan", 1, 9, None))];
    assert_eq!(stage.roll(0, roll(&now, true)), ["+dan", "#4", "-cyd", "#3"]);
    assert_eq!(stage.roll(0, roll(&now, true)), Vec::<String>::new());
}

#[test]
fn who_is_missing_in_a_part_of_a_roll_has_one_more_lease() {
    let (mut stage, _) = Stage::with_ada(200);
    for user in ["bob", "cyd"] {
        stage.hear("b", user, Some(entry(user, 1, 9, None)));
    }
    assert_eq!(stage.roll(0, roll(&[], false)), Vec::<String>::new());
    assert_eq!(stage.roll(4000, roll(&[], false)), Vec::<String>::new());
    assert_eq!(stage.hear("b", "cyd", Some(entry("cyd", 1, 9, None))), Vec::<String>::new());
    assert_eq!(stage.roster.expire(stage.at(0)), Some(stage.at(LEASE)));
    assert_eq!(stage.expire(LEASE - 1), Vec::<String>::new());
    assert_eq!(stage.expire(LEASE), ["-bob", "#2"], "cyd is confirmed; none has more time");
    assert_eq!(stage.roll(LEASE, roll(&[], true)), ["-cyd", "#1"]);
}

#[test]
fn a_doubted_user_is_online_for_one_more_lease() {
    let mut stage = Stage::among_others(200);
    let inbox = RoomName::inbox(&id("bob"));
    assert_eq!(stage.hear_inbox("b", "bob", Some(entry("bob", 1, 9, None))), ["bob=online"]);
    stage.roster.roll(&inbox, roll(&[], false), stage.at(0));
    assert_eq!(stage.expire(LEASE - 1), Vec::<String>::new());
    assert_eq!(stage.expire(LEASE), ["bob=offline"]);
    assert!(stage.roster.connected_elsewhere.is_empty());
}

#[test]
fn nothing_is_told_of_a_user_that_is_not_listened_to_any_more() {
    let mut stage = Stage::among_others(200);
    let inbox = RoomName::inbox(&id("ada"));
    stage.hear_inbox("b", "ada", Some(entry("ada", 1, 9, None)));
    let link = stage.connect("ada");
    stage.roster.roll(&inbox, roll(&[], false), stage.at(0));
    stage.roster.disconnect(link, stage.at(0));
    stage.told();
    // The grace is over, and the others' word as well.
    stage.roster.expire(stage.at(LEASE));
    let effects = stage.roster.take_effects();
    assert!(matches!(effects.last(), Some(Effect::Deserted(room)) if *room == inbox));
    let told = effects.iter().filter(|it| matches!(it, Effect::Online(_, Availability::Offline)));
    assert_eq!(told.count(), 1);
}

#[test]
fn availability_is_that_of_all_nodes() {
    let mut stage = Stage::among_others(200);
    assert_eq!(stage.hear_inbox("b", "ada", Some(entry("ada", 1, 9, None))), ["ada=online"]);
    let link = stage.connect("ada");
    assert_eq!(stage.told(), Vec::<String>::new(), "it was there already");
    assert_eq!(stage.hear_inbox("b", "ada", None), Vec::<String>::new());
    stage.roster.disconnect(link, stage.at(0));
    stage.hear_inbox("b", "ada", Some(entry("ada", 1, 9, None)));
    assert_eq!(stage.expire(3000), Vec::<String>::new());
    assert_eq!(stage.hear_inbox("b", "ada", None), ["ada=offline"]);
}

#[test]
fn a_status_outlives_the_session_that_set_it() {
    let (mut stage, link) = Stage::with_ada(200);
    let theirs = entry("ada", 1, 9, said(Status::Busy, 500));
    assert_eq!(stage.hear_inbox("b", "ada", Some(theirs)), ["ada=busy", "~ada:1", "#1"]);
    assert_eq!(stage.hear_inbox("b", "ada", None), Vec::<String>::new());
    let own = stage.roster.entry(&room(), &id("ada")).unwrap().said.unwrap();
    assert_eq!((own.status, own.at), (Status::Busy, 500), "it is told as it was said");
    let older = entry("ada", 1, 9, said(Status::Away, 499));
    assert_eq!(stage.hear_inbox("b", "ada", Some(older)), Vec::<String>::new());
    // By a clock that is behind, and still the last word.
    stage.roster.set_status(link, Status::Away, None, 20);
    assert_eq!(stage.told(), ["ada=away", "~ada:1", "#1"]);
    let inbox = RoomName::inbox(&id("ada"));
    assert_eq!(stage.roster.entry(&inbox, &id("ada")).unwrap().said.unwrap().at, 501);
}

#[test]
fn large_rooms_tell_numbers_of_all_nodes() {
    let (mut stage, _) = Stage::with_ada(1);
    assert_eq!(stage.hear("b", "bob", Some(entry("bob", 1, 9, None))), ["#2"]);
    assert_eq!(stage.hear("b", "bob", Some(entry("bob", 2, 9, None))), Vec::<String>::new());
    assert_eq!(stage.hear("b", "ada", Some(entry("ada", 1, 9, None))), Vec::<String>::new());
    assert_eq!(stage.hear("b", "bob", None), ["+ada", "#1"]);
}

#[test]
fn the_sessions_of_all_nodes_fill_a_room() {
    let mut stage = Stage::among_others(200);
    stage.roster.rooms_settings.members = 3;
    let (ada, bob) = (stage.connect("ada"), stage.connect("bob"));
    assert_eq!(stage.roster.track(ada, &room(), 5), Ok(()));
    stage.hear("b", "cyd", Some(entry("cyd", 2, 9, None)));
    assert_eq!(stage.roster.track(bob, &room(), 5), Err(RoomFull));
    stage.hear("b", "cyd", Some(entry("cyd", 1, 9, None)));
    assert_eq!(stage.roster.track(bob, &room(), 5), Ok(()));
    assert!(!stage.roster.is_over(&room()));
    stage.hear("b", "cyd", Some(entry("cyd", 2, 9, None)));
    assert!(stage.roster.is_over(&room()), "it let one in at the same time");
    stage.hear("b", "cyd", None);
    assert!(!stage.roster.is_over(&room()));
}

#[test]
fn a_room_that_nobody_here_is_in_is_read_once() {
    let mut stage = Stage::among_others(2);
    let read = [
        ("b", "bob", entry("bob", 1, 9, None)),
        ("c", "bob", entry("Bob", 1, 10, None)),
        ("c", "ada", entry("ada", 0, 8, None)),
    ];
    let (members, count) = stage.roster.rolled(&room(), roll(&read, true));
    assert_eq!((&*members[0].name, members[0].sessions), ("ada", 1));
    assert_eq!((&*members[1].name, members[1].sessions, count), ("Bob", 2, 2));
    stage.roster.rooms_settings.presence_limit = 1;
    assert_eq!(stage.roster.rolled(&room(), roll(&read, true)).0.len(), 0);
    assert_eq!(stage.roster.rolled(&room(), roll(&read, true)).1, 2);
    assert!(stage.roster.places.is_empty());
}

#[test]
fn the_others_are_told_of_each_change_here() {
    let mut stage = Stage::among_others(200);
    let noted = |stage: &mut Stage| {
        let mut noted = Vec::new();
        for effect in stage.roster.take_effects() {
            match effect {
                Effect::Own(room, user) => {
                    let entry = stage.roster.entry(&room, &user);
                    noted.push(format!("{room} {user} {:?}", entry.map(|it| it.sessions)));
                }
                Effect::Occupied(room) => noted.push(format!("+{room}")),
                Effect::Deserted(room) => noted.push(format!("-{room}")),
                Effect::Room(..) | Effect::Online(..) | Effect::Seat { .. } => {}
            }
        }
        noted.dedup();
        noted
    };
    let link = stage.connect("ada");
    assert_eq!(noted(&mut stage), ["+@ada", "@ada ada Some(1)"]);
    stage.roster.track(link, &room(), 5).unwrap();
    assert_eq!(noted(&mut stage), ["+lobby", "lobby ada Some(1)"]);
    stage.roster.set_status(link, Status::Away, None, 6);
    assert_eq!(noted(&mut stage), ["lobby ada Some(1)", "@ada ada Some(1)"]);
    stage.roster.disconnect(link, stage.at(0));
    assert_eq!(noted(&mut stage), ["lobby ada Some(0)", "@ada ada Some(0)"]);
    stage.roster.expire(stage.at(3000));
    assert_eq!(noted(&mut stage), ["lobby ada None", "-lobby", "@ada ada None", "-@ada"]);
    assert!(stage.roster.own().is_empty());
}

#[test]
fn what_was_said_in_the_same_millisecond_is_shown_alike_everywhere() {
    let away = || Some(entry("Ada", 1, 3, said(Status::Away, 4)));
    let busy = || Some(entry("Ada L.", 1, 3, said(Status::Busy, 4)));
    let shown = |first, second| {
        let (mut stage, _) = Stage::with_ada(200);
        stage.hear("b", "ada", first);
        stage.hear("c", "ada", second);
        stage.members()
    };
    assert_eq!(shown(away(), busy()), shown(busy(), away()));
    assert_eq!(shown(away(), busy()), ["Ada L.:busy:3@3"]);
}
