use super::*;
use crate::model::Change;

const BOUNDS: Bounds = Bounds { reliable_messages: 3, reliable_bytes: 100, latest_bytes: 50 };

fn room() -> RoomName {
    RoomName::parse("r").unwrap()
}

fn key(name: &str) -> LatestKey {
    LatestKey::State(room(), name.into())
}

fn frame(text: &str) -> LatestValue {
    LatestValue::Frame(Bytes::copy_from_slice(text.as_bytes()))
}

fn drained(lanes: &mut Lanes) -> String {
    let mut all = Vec::new();
    while let Some(chunk) = lanes.next_chunk(Protocol::Json) {
        all.extend_from_slice(&chunk);
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn control_goes_before_reliable_before_latest() {
    let mut lanes = Lanes::default();
    lanes.push_latest(&key("k"), &frame("L"), &BOUNDS).unwrap();
    lanes.push_live(Bytes::from_static(b"R"), 1, &BOUNDS).unwrap();
    lanes.push_reply(Bytes::from_static(b"r"));
    lanes.push_notice(Bytes::from_static(b"C"));
    lanes.push_answer(Bytes::from_static(b"c"));
    assert_eq!(drained(&mut lanes), "CcRrL");
    assert!(lanes.is_empty());
    assert_eq!((lanes.live_messages, lanes.live_bytes, lanes.reply_bytes), (0, 0, 0));
}

#[test]
fn the_reliable_lane_overflows_in_messages_and_in_bytes() {
    let mut lanes = Lanes::default();
    lanes.push_live(Bytes::from_static(b"abc"), 3, &BOUNDS).unwrap();
    assert_eq!(lanes.push_live(Bytes::from_static(b"d"), 1, &BOUNDS), Err(Overflow));
    lanes.clear();
    lanes.push_live(vec![0; 90].into(), 1, &BOUNDS).unwrap();
    assert_eq!(lanes.push_live(vec![0; 11].into(), 1, &BOUNDS), Err(Overflow));
}

#[test]
fn one_batch_over_the_bound_and_replies_are_let_in() {
    let mut lanes = Lanes::default();
    lanes.push_reply(vec![0; 1000].into());
    lanes.push_live(vec![0; 1000].into(), 9, &BOUNDS).unwrap();
    assert_eq!(lanes.reply_bytes(), 1000);
}

#[test]
fn the_latest_lane_keeps_one_value_a_key_and_is_bounded() {
    let mut lanes = Lanes::default();
    for n in 0..1000 {
        lanes.push_latest(&key("a"), &frame(&format!("a{n} ")), &BOUNDS).unwrap();
        lanes.push_latest(&key("b"), &frame(&format!("b{n} ")), &BOUNDS).unwrap();
    }
    assert_eq!(drained(&mut lanes), "a999 b999 ");
    assert_eq!(lanes.latest_bytes, 0);
    lanes.push_latest(&key("a"), &frame(&"x".repeat(49)), &BOUNDS).unwrap();
    assert_eq!(lanes.push_latest(&key("b"), &frame("yy"), &BOUNDS), Err(Overflow));
}

#[test]
fn waiting_presence_merges() {
    let mut lanes = Lanes::default();
    let bounds = Bounds { latest_bytes: 10_000, ..BOUNDS };
    let presence = LatestKey::Presence(room());
    for (user, count) in [("ada", 1), ("bob", 2)] {
        let user = UserId::parse(user).unwrap();
        let changes = PresenceChanges::of(user, Change::Left, count);
        let value = LatestValue::Presence(Rc::new(changes));
        lanes.push_latest(&presence, &value, &bounds).unwrap();
    }
    let text = drained(&mut lanes);
    assert_eq!(text.matches("\"presence\"").count(), 1, "{text}");
    assert!(text.contains("ada") && text.contains("bob") && text.contains("\"count\":2"));
}

#[test]
fn a_forgotten_room_has_no_latest_values() {
    let mut lanes = Lanes::default();
    lanes.push_latest(&key("a"), &frame("gone"), &BOUNDS).unwrap();
    let user = UserId::parse("u").unwrap();
    lanes.push_latest(&LatestKey::Online(user), &frame("kept"), &BOUNDS).unwrap();
    lanes.forget_room(&room());
    assert_eq!(lanes.latest_bytes, 4);
    assert_eq!(drained(&mut lanes), "kept");
}

#[test]
fn notices_past_the_bound_are_left_out_but_no_answer_is() {
    let mut lanes = Lanes::default();
    for _ in 0..10 * CONTROL_FRAMES {
        lanes.push_notice(Bytes::from_static(b"n"));
        lanes.push_answer(Bytes::from_static(b"a"));
    }
    assert_eq!(lanes.reply_bytes(), 10 * CONTROL_FRAMES);
    let text = drained(&mut lanes);
    assert_eq!(text.matches('n').count(), CONTROL_FRAMES);
    assert_eq!(text.matches('a').count(), 10 * CONTROL_FRAMES);
    assert_eq!((lanes.reply_bytes(), lanes.notices), (0, 0));
}
