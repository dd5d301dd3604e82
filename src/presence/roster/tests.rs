mod node;
mod nodes;
mod others;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::Settings;
use crate::model::Naming;

struct Stage {
    roster: Roster,
    start: Instant,
}

impl Stage {
    fn new(limit: usize) -> Self {
        let Settings { presence, mut rooms, .. } = Settings::default();
        rooms.presence_limit = limit;
        Self { roster: Roster::new(&presence, &rooms), start: Instant::now() }
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }

    fn connect(&mut self, user: &str) -> LinkId {
        let link = LinkId::next();
        let user = UserId::parse(user).unwrap();
        let profile = Arc::new(Profile { user, name: None, meta: None });
        self.roster.connect(link, WorkerId::next(), profile, 0);
        link
    }

    /// The effects as short words: `+ada`, `~ada`, `-ada`, `ada=online`.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        for effect in self.roster.take_effects() {
            match effect {
                Effect::Room(_, changes) => {
                    let diff = changes.to_diff();
                    told.extend(diff.joined.iter().map(|it| format!("+{}", it.user)));
                    let updated = |it: &Member| format!("~{}:{}", it.user, it.sessions);
                    told.extend(diff.updated.iter().map(updated));
                    told.extend(diff.left.iter().map(|user| format!("-{user}")));
                    told.push(format!("#{}", diff.count));
                }
                Effect::Online(user, it) => told.push(format!("{user}={it:?}").to_lowercase()),
                Effect::Own(..)
                | Effect::Occupied(_)
                | Effect::Deserted(_)
                | Effect::Seat { .. } => {}
            }
        }
        told
    }
}

fn room() -> RoomName {
    RoomName::parse("lobby").unwrap()
}

#[test]
fn two_sessions_are_one_member() {
    let mut stage = Stage::new(200);
    let (one, two) = (stage.connect("ada"), stage.connect("ada"));
    stage.roster.track(one, &room(), 5).unwrap();
    stage.roster.track(two, &room(), 9).unwrap();
    stage.roster.track(two, &room(), 9).unwrap();
    assert_eq!(stage.told(), ["ada=online", "+ada", "#1", "~ada:2", "#1"]);
    let (members, count) = stage.roster.members(&room());
    assert_eq!((members[0].sessions, members[0].since, count), (2, 5, 1));
    stage.roster.untrack(one, &room());
    stage.roster.untrack(two, &room());
    assert_eq!(stage.told(), ["~ada:1", "#1", "-ada", "#0"]);
    assert!(stage.roster.places.is_empty());
}

#[test]
fn a_reload_is_no_leave_and_join() {
    let mut stage = Stage::new(200);
    let old = stage.connect("ada");
    stage.roster.track(old, &room(), 5).unwrap();
    stage.told();
    stage.roster.disconnect(old, stage.at(0));
    assert_eq!(stage.roster.expire(stage.at(2999)), Some(stage.at(3000)));
    let new = stage.connect("ada");
    stage.roster.track(new, &room(), 7).unwrap();
    assert_eq!(stage.roster.expire(stage.at(9000)), None);
    assert_eq!(stage.told(), Vec::<String>::new());
    assert_eq!(stage.roster.members(&room()).0[0].since, 5);
}

#[test]
fn who_does_not_come_back_leaves_after_the_grace() {
    let mut stage = Stage::new(200);
    let link = stage.connect("ada");
    stage.roster.track(link, &room(), 5).unwrap();
    stage.told();
    stage.roster.disconnect(link, stage.at(0));
    stage.roster.expire(stage.at(3000));
    assert_eq!(stage.told(), ["-ada", "#0", "ada=offline"]);
    assert!(stage.roster.people.is_empty() && stage.roster.places.is_empty());
}

#[test]
fn coming_back_elsewhere_still_leaves_the_old_room() {
    let mut stage = Stage::new(200);
    let link = stage.connect("ada");
    stage.roster.track(link, &room(), 5).unwrap();
    stage.roster.disconnect(link, stage.at(0));
    stage.connect("ada");
    stage.told();
    stage.roster.expire(stage.at(3000));
    assert_eq!(stage.told(), ["-ada", "#0"]);
}

#[test]
fn large_rooms_tell_numbers_alone() {
    let mut stage = Stage::new(1);
    let (ada, bob) = (stage.connect("ada"), stage.connect("bob"));
    stage.roster.track(ada, &room(), 5).unwrap();
    stage.told();
    stage.roster.track(bob, &room(), 5).unwrap();
    assert_eq!(stage.told(), ["#2"]);
    assert_eq!(stage.roster.members(&room()).0.len(), 0);
    stage.roster.set_status(ada, Status::Busy, None, 6);
    assert_eq!(stage.told(), ["ada=busy"]);
    stage.roster.untrack(bob, &room());
    assert_eq!(stage.told(), ["+ada", "#1"]);
}

#[test]
fn a_status_outlives_a_reload() {
    let mut stage = Stage::new(200);
    let link = stage.connect("ada");
    stage.roster.track(link, &room(), 5).unwrap();
    stage.roster.set_status(link, Status::Away, None, 6);
    stage.roster.disconnect(link, stage.at(0));
    stage.connect("ada");
    let ada = UserId::parse("ada").unwrap();
    assert_eq!(stage.roster.availability(&ada), Availability::Away);
}

#[test]
fn a_new_token_shows_its_name() {
    let mut stage = Stage::new(200);
    let link = stage.connect("ada");
    stage.roster.track(link, &room(), 5).unwrap();
    stage.told();
    let user = UserId::parse("ada").unwrap();
    let profile = Profile { user, name: Some("Ada L.".into()), meta: None };
    stage.roster.connect(link, WorkerId::next(), Arc::new(profile), 6);
    assert_eq!(stage.told(), ["~ada:1", "#1"]);
    assert_eq!(&*stage.roster.members(&room()).0[0].name, "Ada L.");
    stage.roster.disconnect(link, stage.at(0));
    stage.roster.expire(stage.at(3000));
    assert!(stage.roster.people.is_empty(), "a connection counts once");
}

#[test]
fn a_full_room_takes_no_more_sessions() {
    let mut stage = Stage::new(200);
    stage.roster.rooms_settings.members = 1;
    let (ada, bob) = (stage.connect("ada"), stage.connect("bob"));
    assert_eq!(stage.roster.track(ada, &room(), 5), Ok(()));
    assert_eq!(stage.roster.track(bob, &room(), 5), Err(RoomFull));
    assert_eq!(stage.roster.track(ada, &room(), 5), Ok(()), "who is in, is in");
}

proptest! {
    /// A reader who applies every change has the list that a snapshot gives.
    #[test]
    fn changes_and_snapshot_agree(
        limit in 1usize..5,
        steps in prop::collection::vec((0u8..6, 0usize..12, 0u64..2000), 0..120),
    ) {
        let mut stage = Stage::new(limit);
        let mut links: Vec<LinkId> = Vec::new();
        let mut list: BTreeMap<UserId, usize> = BTreeMap::new();
        let mut count = 0;
        let mut now = 0;
        for (step, pick, later) in steps {
            now += later;
            let link = links.get(pick % links.len().max(1)).copied();
            match (step, link) {
                (0 | 1, _) => links.push(stage.connect(&format!("u{}", pick % 5))),
                (2 | 3, Some(link)) => { stage.roster.track(link, &room(), now).unwrap(); }
                (4, Some(link)) => stage.roster.untrack(link, &room()),
                (5, Some(link)) => stage.roster.disconnect(link, stage.at(now)),
                _ => {}
            }
            stage.roster.expire(stage.at(now));
            for effect in stage.roster.take_effects() {
                let Effect::Room(_, changes) = effect else { continue };
                let diff = changes.to_diff();
                if diff.naming != Naming::Changes {
                    list.clear();
                }
                for member in diff.joined.iter().chain(&diff.updated) {
                    list.insert(member.user.clone(), member.sessions);
                }
                for user in &diff.left { list.remove(user); }
                count = diff.count;
            }
            let (members, truth) = stage.roster.members(&room());
            prop_assert_eq!(count, truth);
            if truth <= limit {
                let shown: BTreeMap<UserId, usize> =
                    members.into_iter().map(|it| (it.user, it.sessions)).collect();
                prop_assert_eq!(&list, &shown);
            } else {
                prop_assert!(list.is_empty());
            }
        }
    }
}
