//! What those ask who are no workers. The other nodes are asked each time: what
//! they say is as new as what this node knows itself.

use actix::{
    fut::{self, wrap_future},
    prelude::*,
};

use super::{
    messages::{Find, Headcount, Inspect, Largest, RoomsOf, Survey, Whereabouts},
    neighbours::unpanicked,
    roster::Roster,
    supervisor::PresenceSupervisor,
};
use crate::{
    cluster::{Roll, Unreachable},
    model::{Member, RoomName},
};

type Asked<T> = ResponseActFuture<PresenceSupervisor, Result<T, Unreachable>>;

impl PresenceSupervisor {
    /// Answers by what this node knows and by the others' word.
    fn with_roll<T: 'static>(
        &self,
        room: RoomName,
        answer: impl FnOnce(&Roster, Roll) -> T + 'static,
    ) -> Asked<T> {
        let Some(neighbours) = &self.neighbours else {
            let nobody = Roll { entries: Vec::new(), whole: true };
            return Box::pin(fut::ready(Ok(answer(&self.roster, nobody))));
        };
        let cluster = neighbours.cluster();
        let roll = async move { cluster.roll(&room).await };
        let answered = wrap_future::<_, Self>(unpanicked(roll))
            .map(|roll, act, _| roll.map(|roll| answer(&act.roster, roll)));
        Box::pin(answered)
    }
}

impl Handler<Inspect> for PresenceSupervisor {
    type Result = Asked<(Vec<Member>, usize)>;

    fn handle(&mut self, Inspect { room }: Inspect, _: &mut Self::Context) -> Self::Result {
        self.with_roll(room.clone(), move |roster, roll| roster.rolled(&room, roll))
    }
}

impl Handler<Find> for PresenceSupervisor {
    type Result = Asked<Whereabouts>;

    fn handle(&mut self, Find { user }: Find, _: &mut Self::Context) -> Self::Result {
        self.with_roll(RoomName::inbox(&user), move |roster, roll| roster.whereabouts(&user, roll))
    }
}

impl Handler<Headcount> for PresenceSupervisor {
    type Result = Asked<Vec<usize>>;

    fn handle(&mut self, Headcount { rooms }: Headcount, _: &mut Self::Context) -> Self::Result {
        match &self.neighbours {
            Some(neighbours) => {
                let cluster = neighbours.cluster();
                let counts = async move { cluster.headcount(rooms).await };
                Box::pin(wrap_future(unpanicked(counts)))
            }
            None => {
                let counts = rooms.iter().map(|room| self.roster.headcount(room));
                Box::pin(fut::ready(Ok(counts.collect())))
            }
        }
    }
}

impl Handler<RoomsOf> for PresenceSupervisor {
    type Result = MessageResult<RoomsOf>;

    fn handle(&mut self, RoomsOf { links }: RoomsOf, _: &mut Self::Context) -> Self::Result {
        MessageResult(links.iter().map(|link| self.roster.rooms_of(*link)).collect())
    }
}

impl Handler<Survey> for PresenceSupervisor {
    type Result = MessageResult<Survey>;

    fn handle(&mut self, _: Survey, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.roster.numbers())
    }
}

impl Handler<Largest> for PresenceSupervisor {
    type Result = MessageResult<Largest>;

    fn handle(&mut self, Largest(most): Largest, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.roster.largest(most))
    }
}
