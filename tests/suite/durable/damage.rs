//! A file that something else wrote to, or that lost a part: an error, or all of
//! what was there, and nothing between.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rookery::{
    broker::{RevocationStore as _, memory::StoreError},
    cluster::{Revocation, Tokens},
    model::{Position, RoomName},
};

use super::{Seen, chat, direct, open, room, seen, set, user, waiting};
use crate::harness::{Directory, Random};

const ROOMS: [&str; 3] = ["a", "b", "c"];

type Contents = (Vec<Seen>, (Position, u64, Vec<String>), Vec<Revocation>);

/// All that is in a directory; an error where it does not open.
async fn contents(path: &Path) -> Result<Contents, StoreError> {
    use rookery::broker::Broker as _;
    let broker = open(path, "")?;
    let mut all = Vec::new();
    for name in ROOMS {
        all.push(seen(&broker, &room(name)).await.unwrap());
        let again = broker.publish(&room(name), chat("again", Some("nonce"))).await.unwrap();
        assert!(again.duplicate, "a nonce is forgotten");
    }
    Ok((all, waiting(&broker, "bob").await, broker.load()))
}

/// Two stores with the same contents: one that was closed, and one as a process
/// leaves it that is killed.
async fn stores() -> (Directory, [PathBuf; 2], Contents) {
    use rookery::broker::Broker as _;
    let directory = Directory::new();
    let (closed, killed) = (directory.path().join("closed"), directory.path().join("killed"));
    let broker = open(&closed, "").unwrap();
    for name in ROOMS {
        let name = room(name);
        broker.publish(&name, chat("first", Some("nonce"))).await.unwrap();
        for n in 0..40 {
            broker.publish(&name, chat(&"x".repeat(n * 20), None)).await.unwrap();
            broker.publish(&name, set(&format!("k{}", n % 7), Some("[1]"))).await.unwrap();
        }
    }
    for _ in 0..5 {
        broker.publish(&RoomName::inbox(&user("bob")), direct("bob", "psst")).await.unwrap();
    }
    for name in ["t-1", "t-2"] {
        let revocation = Revocation { tokens: Tokens::Named(name.into()), until: 1 };
        broker.update(Some(revocation), Vec::new()).await.unwrap();
    }
    copy(&closed, &killed);
    drop(broker);
    let right = contents(&copied(&directory, &closed)).await.unwrap();
    assert_eq!(contents(&copied(&directory, &killed)).await.unwrap(), right);
    (directory, [closed, killed], right)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// A copy, to be damaged.
fn copied(directory: &Directory, from: &Path) -> PathBuf {
    let to = directory.path().join("copy");
    let _ = fs::remove_dir_all(&to);
    copy(from, &to);
    to
}

#[actix::test]
async fn a_flipped_byte_is_an_error_or_changes_nothing() {
    let seed = Random::seed("ROOKERY_TEST_SEED");
    println!("ROOKERY_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    let (directory, stores, right) = stores().await;
    for store in stores {
        let whole = fs::read(store.join("rookery.redb")).unwrap();
        // Most of the file is not in use.
        let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
        // The head, which has the least copies, place by place.
        let head = (random.within(0..8) as usize..320).step_by(8);
        let anywhere = (0..12).map(|_| random.within(0..whole.len() as u64) as usize);
        let places: Vec<usize> = head.chain(anywhere).collect();
        let within: Vec<usize> =
            (0..40).map(|_| used[random.within(0..used.len() as u64) as usize]).collect();
        let (mut refused, mut right_all_the_same) = (0, 0);
        for at in places.into_iter().chain(within) {
            let copy = copied(&directory, &store);
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << random.within(0..8);
            fs::write(copy.join("rookery.redb"), bytes).unwrap();
            match contents(&copy).await {
                Ok(contents) => {
                    assert!(contents == right, "byte {at}: wrong data");
                    right_all_the_same += 1;
                }
                Err(StoreError::Damaged { .. } | StoreError::Behind { .. }) => refused += 1,
                Err(other) => panic!("byte {at}: {other}"),
            }
        }
        println!("{refused} refused, {right_all_the_same} right");
        assert!(refused > 20 && right_all_the_same > 0, "nothing was tested");
    }
}

#[actix::test]
async fn a_shortened_file_is_an_error_or_has_all() {
    let seed = Random::seed("ROOKERY_TEST_SEED");
    println!("ROOKERY_TEST_SEED={seed}");
    let mut random = Random::new(seed);
    let (directory, stores, right) = stores().await;
    for store in stores {
        let whole = fs::read(store.join("rookery.redb")).unwrap();
        let pages = whole.len() as u64 / 4096;
        let by_page = (0..20).map(|_| random.within(0..pages) * 4096).collect::<Vec<_>>();
        let anywhere = (0..20).map(|_| random.within(0..whole.len() as u64)).collect::<Vec<_>>();
        let mut refused = 0;
        for length in by_page.into_iter().chain(anywhere).chain([0, 1, 4096]) {
            let copy = copied(&directory, &store);
            fs::write(copy.join("rookery.redb"), &whole[..length as usize]).unwrap();
            match contents(&copy).await {
                Ok(contents) => assert!(contents == right, "{length} bytes: wrong data"),
                Err(StoreError::Damaged { .. } | StoreError::Behind { .. }) => refused += 1,
                Err(other) => panic!("{length} bytes: {other}"),
            }
        }
        assert!(refused > 10, "nothing was tested");
    }
}

/// An older file, as a disk that lies about what it wrote leaves it, is whole.
#[actix::test]
async fn a_file_that_lost_its_last_commits_is_found_out() {
    use rookery::broker::Broker as _;
    let directory = Directory::new();
    let path = directory.path().join("store");
    drop(open(&path, "").unwrap());
    let old = fs::read(path.join("rookery.redb")).unwrap();
    let broker = open(&path, "").unwrap();
    broker.publish(&room("a"), chat("x", None)).await.unwrap();
    drop(broker);
    fs::write(path.join("rookery.redb"), old).unwrap();
    let error = open(&path, "").err().expect("the last writes are missing");
    assert!(matches!(error, StoreError::Behind { .. }), "{error}");
    let tally = path.join("rookery.commits");
    assert!(error.to_string().contains(&tally.display().to_string()), "{error}");
    // As it says.
    fs::remove_file(&tally).unwrap();
    drop(open(&path, "").unwrap());
    // One that is gone altogether is no reason to begin anew.
    fs::remove_file(path.join("rookery.redb")).unwrap();
    let error = open(&path, "").err().expect("the file is gone");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

/// The number of commits is a second opinion. Without it all is there, and clients
/// are told that places they know may be given anew.
#[actix::test]
async fn without_the_count_of_commits_rooms_go_on_under_new_epochs() {
    let (directory, stores, right) = stores().await;
    let texts = ["", "x", "00000000000000000009 00000000000000000008\n"];
    for (text, store) in texts.into_iter().flat_map(|text| stores.each_ref().map(|it| (text, it))) {
        let copy = copied(&directory, store);
        fs::write(copy.join("rookery.commits"), text).unwrap();
        let renewed = contents(&copy).await.unwrap();
        let mut expected = right.clone();
        for (before, after) in expected.0.iter_mut().zip(&renewed.0) {
            renew(&mut before.log, before.position, after.position);
            before.position = Position { epoch: after.position.epoch, ..before.position };
        }
        renew(&mut expected.1.2, right.1.0, renewed.1.0);
        expected.1.0 = Position { epoch: renewed.1.0.epoch, ..right.1.0 };
        assert_eq!(renewed, expected);
        assert_eq!(contents(&copy).await.unwrap(), renewed, "once, and not with each start");
    }
}

/// Expects the entries under another epoch.
fn renew(log: &mut [String], before: Position, after: Position) {
    assert_ne!(before.epoch, after.epoch);
    for entry in log {
        *entry = entry.replace(&format!("{:?}", before.epoch), &format!("{:?}", after.epoch));
    }
}
