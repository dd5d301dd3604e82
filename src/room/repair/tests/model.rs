//! Any order of what happens to a room while it is repaired.

use proptest::prelude::*;

use super::*;

/// What happens to a room, its log and the reads of it.
#[derive(Debug, Clone)]
enum Step {
    Write,
    Deliver,
    /// The queue was full.
    Lose,
    /// The worker sees that the queue was full.
    Lagged,
    Answer(usize),
    Fail(usize),
    LeaveAndJoin,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Write),
        3 => Just(Step::Deliver),
        1 => Just(Step::Lose),
        1 => Just(Step::Lagged),
        2 => (0_usize..4).prop_map(Step::Answer),
        1 => (0_usize..4).prop_map(Step::Fail),
        1 => Just(Step::LeaveAndJoin),
    ]
}

/// One room, with its log and what is under way.
struct Model {
    room: Room,
    epoch: Epoch,
    end: Seq,
    queue: VecDeque<Seq>,
    lost: bool,
    /// The repair that asked, and what the log had after its place at that moment.
    reads: Vec<(RepairId, std::ops::Range<Seq>)>,
}

impl Model {
    fn new() -> Self {
        let epoch = Epoch::random();
        let room = Self::room(Position { epoch, seq: 0 });
        Self { room, epoch, end: 0, queue: VecDeque::new(), lost: false, reads: Vec::new() }
    }

    fn room(position: Position) -> Room {
        let mut room = Room::new(RoomName::named("lobby"), Arc::default());
        room.begin(position);
        room
    }

    fn entry(&self, seq: Seq) -> Arc<Publication> {
        Arc::new(Publication {
            room: RoomName::named("lobby"),
            epoch: self.epoch,
            seq,
            timestamp: 0,
            author: Author { user: None, session: None, echo: true },
            body: Body::Message(Payload::Text("hello".into())),
            nonce: None,
        })
    }

    fn seq(&self) -> Seq {
        self.room.position().map_or(0, |position| position.seq)
    }

    fn repair(&mut self) {
        if let Some(repair) = self.room.begin_repair() {
            self.reads.push((repair, self.seq() + 1..self.end + 1));
        }
    }

    fn deliver(&mut self) {
        let Some(seq) = self.queue.pop_front() else { return };
        if self.room.publish(&self.entry(seq)) == Accepted::Gap {
            self.repair();
        }
    }

    fn answer(&mut self, number: usize) {
        if number >= self.reads.len() {
            return;
        }
        let (repair, missing) = self.reads.remove(number);
        let missing: Vec<_> = missing.map(|seq| self.entry(seq)).collect();
        if self.room.repaired(repair, &missing) == Some(true) {
            self.repair();
        }
    }

    fn go(&mut self, step: &Step) {
        match *step {
            Step::Write => {
                self.end += 1;
                self.queue.push_back(self.end);
            }
            Step::Deliver => self.deliver(),
            Step::Lose => self.lost |= self.queue.pop_back().is_some(),
            Step::Lagged => {
                if std::mem::take(&mut self.lost) {
                    self.repair();
                }
            }
            Step::Answer(number) => self.answer(number),
            Step::Fail(number) if number < self.reads.len() => {
                let (repair, _) = self.reads.remove(number);
                if self.room.give_up_repair(repair) {
                    self.repair();
                }
            }
            Step::Fail(_) => {}
            // What was handed on before is still in the queue, the reads under way.
            Step::LeaveAndJoin => {
                self.room = Self::room(Position { epoch: self.epoch, seq: self.end });
            }
        }
    }
}

proptest! {
    #[test]
    fn a_room_never_goes_back_and_gets_to_the_end(steps in prop::collection::vec(step(), 0..60)) {
        let mut model = Model::new();
        for step in &steps {
            let before = model.seq();
            model.go(step);
            prop_assert!(before <= model.seq() && model.seq() <= model.end, "{step:?}");
        }
        // Whatever is under way ends, in any order, and nothing else is lost.
        while !model.queue.is_empty() || model.lost || !model.reads.is_empty() {
            model.deliver();
            model.go(&Step::Lagged);
            model.answer(0);
        }
        prop_assert_eq!(model.seq(), model.end);
        prop_assert!(model.room.current_repair().is_none());
    }
}
