use std::time::Duration;

use super::*;
use crate::model::{Epoch, Said, Seq};

/// Whoever follows a trace; it takes nothing before the test awaits.
#[derive(Default)]
struct Follower(Vec<Traced>);

impl Actor for Follower {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4);
    }
}

impl Handler<Traced> for Follower {
    type Result = ();

    fn handle(&mut self, traced: Traced, _: &mut Self::Context) {
        self.0.push(traced);
    }
}

#[derive(Message)]
#[rtype(result = "Vec<(Option<Seq>, u64)>")]
struct Told;

impl Handler<Told> for Follower {
    type Result = MessageResult<Told>;

    fn handle(&mut self, Told: Told, _: &mut Self::Context) -> Self::Result {
        let told = self.0.drain(..).map(|it| (it.happening.and_then(|it| seq(&it)), it.dropped));
        MessageResult(told.collect())
    }
}

fn seq(happening: &Happening) -> Option<Seq> {
    match &happening.what {
        What::Published { seq, .. } => Some(*seq),
        _ => None,
    }
}

fn room(name: &str) -> RoomName {
    RoomName::named(name)
}

fn write(traces: &Traces, to: &str, seq: Seq) {
    let said = Said { kind: "chat".into(), name: None, bytes: 1, content: Some("x".into()) };
    let epoch = Epoch::random();
    traces.note(None, None, Some(&room(to)), || What::Published {
        said,
        epoch,
        seq,
        duplicate: false,
    });
}

fn wish(trace: u64, name: &str, content: bool) -> Wish {
    Wish { trace, subject: Subject::Room(room(name)), content }
}

fn traces() -> Arc<Traces> {
    Arc::new(Traces::new("n1".into()))
}

#[actix::test]
async fn nothing_is_made_while_nobody_traces() {
    let traces = traces();
    traces.note(None, None, None, || panic!("this is not to be asked for"));
    let follower = Follower::default().start();
    let running = traces.begin(Subject::Room(room("a")), false, follower.recipient());
    assert!(traces.is_on());
    drop(running);
    assert!(!traces.is_on());
}

#[actix::test]
async fn what_does_not_fit_is_counted_and_told() {
    let traces = traces();
    let follower = Follower::default().start();
    assert!(follower.send(Told).await.unwrap().is_empty());
    let recipient = follower.clone().recipient();
    let _running = traces.begin(Subject::Room(room("a")), false, recipient).ok().unwrap();
    for seq in 1..=20 {
        write(&traces, "a", seq);
        write(&traces, "b", seq);
    }
    let told = follower.send(Told).await.unwrap();
    let fit = told.len() as u64;
    assert!((1..20).contains(&fit), "{told:?}");
    assert!(told.iter().zip(1..).all(|(it, seq)| *it == (Some(seq), 0)), "{told:?}");
    write(&traces, "a", 21);
    assert_eq!(follower.send(Told).await.unwrap(), [(Some(21), 20 - fit)]);
}

#[test]
fn another_node_is_told_what_it_wishes_until_it_is_not_heard_any_more() {
    let (traces, start) = (traces(), Instant::now());
    let wishes = || vec![wish(1, "a", true), wish(2, "a", false)];
    traces.hear(Whisper::Wishes { origin: 7, wishes: wishes() }, start);
    write(&traces, "a", 1);
    write(&traces, "b", 2);
    let take = |now| traces.lock().elsewhere.take(10, now);
    let told: Vec<_> = take(start)
        .into_iter()
        .map(|whisper| match whisper {
            Whisper::Happened { origin, trace, happenings, dropped } => {
                let content = happenings.iter().all(|it| match &it.what {
                    What::Published { said, .. } => said.content.is_some(),
                    _ => false,
                });
                (origin, trace, happenings.len(), content, dropped)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [(7, 1, 1, true, 0), (7, 2, 1, false, 0)]);
    // Said again it holds on; another node's wishes change nothing of it.
    traces.hear(Whisper::Wishes { origin: 7, wishes: wishes() }, start + Duration::from_secs(4));
    traces.hear(Whisper::Wishes { origin: 8, wishes: Vec::new() }, start);
    write(&traces, "a", 3);
    assert_eq!(take(start + Duration::from_secs(8)).len(), 2);
    write(&traces, "a", 4);
    assert!(take(start + Duration::from_secs(10)).is_empty());
    traces.hear(Whisper::Wishes { origin: 9, wishes: wishes() }, start);
    assert!(traces.is_on());
    traces.hear(Whisper::Wishes { origin: 9, wishes: Vec::new() }, start);
    assert!(!traces.is_on());
}

#[test]
fn what_waits_for_another_node_is_bounded() {
    let (traces, now) = (traces(), Instant::now());
    let wishes = vec![wish(1, "a", false)];
    traces.hear(Whisper::Wishes { origin: 7, wishes }, now);
    for seq in 0..600 {
        write(&traces, "a", seq);
    }
    let mut told = (0, 0);
    for whisper in (0..10).flat_map(|_| traces.lock().elsewhere.take(100, now)) {
        let Whisper::Happened { happenings, dropped, .. } = whisper else { panic!() };
        assert!(happenings.len() <= 100);
        told = (told.0 + happenings.len(), told.1 + dropped);
    }
    assert_eq!(told, (512, 88));
}

#[test]
fn what_happened_goes_to_other_nodes_and_back_as_it_was() {
    let direct = What::Direct {
        to: UserId::parse("bob").unwrap(),
        said: Said { kind: "chat".into(), name: None, bytes: 3, content: None },
        seq: 1,
    };
    let ended = What::Ended { reason: "lost".into(), seconds: 0.5 };
    for what in [direct, ended, What::Left, What::Present { sessions: 2 }] {
        let (node, user) = ("n1".into(), UserId::parse("alice").ok());
        let happening = Happening { at: 1, node, user, session: None, room: None, what };
        let happenings = vec![happening.clone()];
        let whisper = Whisper::Happened { origin: u64::MAX, trace: 1, happenings, dropped: 0 };
        let written = serde_json::to_string(&whisper).unwrap();
        let Ok(Whisper::Happened { happenings, .. }) = serde_json::from_str(&written) else {
            panic!("{written}")
        };
        assert_eq!(happenings[0].what, happening.what, "{written}");
    }
}
