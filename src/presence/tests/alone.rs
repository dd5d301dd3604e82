//! A node without others.

use super::*;

/// A message with a defect.
#[derive(Message)]
#[rtype(result = "()")]
struct Defect;

impl Handler<Defect> for PresenceSupervisor {
    type Result = ();

    fn handle(&mut self, Defect: Defect, ctx: &mut Self::Context) {
        self.guarded(ctx, |_| panic!("a defect"));
    }
}

#[actix::test]
async fn a_defect_in_one_message_costs_that_message_alone() {
    let mut stage = Stage::start(&Settings::default(), None);
    let ada = stage.connect("ada");
    stage.track(ada);
    stage.presence.do_send(Defect);
    let asked = stage.who_is();
    assert_eq!(stage.answer(asked).await, ["ada"]);
}
