use std::cell::Cell;

use super::*;

/// A transport that takes so many bytes and then blocks.
#[derive(Default)]
struct Pipe {
    capacity: Cell<usize>,
    taken: RefCell<Vec<u8>>,
    writes: Cell<usize>,
}

impl Transport for Pipe {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.capacity.get());
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.writes.set(self.writes.get() + 1);
        self.capacity.set(self.capacity.get() - taken);
        self.taken.borrow_mut().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }
}

fn outbound(capacity: usize) -> (Rc<Pipe>, Outbound) {
    let pipe = Rc::new(Pipe { capacity: Cell::new(capacity), ..Pipe::default() });
    let bounds = Bounds { reliable_messages: 4, reliable_bytes: 64, latest_bytes: 64 };
    (pipe.clone(), Outbound::new(LinkId::next(), Protocol::Json, bounds, pipe, Arc::default()))
}

fn resume(pipe: &Pipe, outbound: &Outbound) -> String {
    pipe.capacity.set(usize::MAX);
    outbound.resume();
    String::from_utf8_lossy(&pipe.taken.borrow()).into_owned()
}

#[test]
fn nothing_waits_while_the_transport_takes_it() {
    let (pipe, outbound) = outbound(usize::MAX);
    outbound.send_live(&Bytes::from_static(b"one"), 1);
    assert_eq!(*pipe.taken.borrow(), b"one");
    assert_eq!(outbound.flow(), Flow::Idle);
}

#[test]
fn a_frame_begun_is_ended_before_anything_else() {
    let (pipe, outbound) = outbound(2);
    outbound.send_live(&Bytes::from_static(b"first"), 1);
    assert_eq!(outbound.flow(), Flow::Blocked);
    assert!(outbound.blocked_since().is_some());
    outbound.queue_sign(Bytes::from_static(b"!"));
    outbound.send_live(&Bytes::from_static(b"second"), 1);
    assert_eq!(resume(&pipe, &outbound), "first!second");
    assert_eq!((outbound.flow(), outbound.blocked_since()), (Flow::Idle, None));
}

#[test]
fn what_is_held_leaves_with_what_comes_after_it() {
    let (pipe, outbound) = outbound(usize::MAX);
    outbound.queue_sign(Bytes::from_static(b"answer "));
    outbound.hold();
    outbound.flush();
    outbound.send_live(&Bytes::from_static(b"live"), 1);
    assert_eq!((outbound.flow(), pipe.writes.get()), (Flow::Idle, 0));
    outbound.queue_sign(Bytes::from_static(b"welcome "));
    outbound.release();
    assert_eq!((&**pipe.taken.borrow(), pipe.writes.get()), (b"answer welcome live".as_ref(), 1));
    outbound.send_live(&Bytes::from_static(b"!"), 1);
    assert_eq!(pipe.writes.get(), 2);
}

#[test]
fn a_farewell_ends_the_holding() {
    let (pipe, outbound) = outbound(usize::MAX);
    outbound.queue_sign(Bytes::from_static(b"answer"));
    outbound.hold();
    outbound.close(Farewell::Internal, true);
    assert!(pipe.taken.borrow().starts_with(b"answer\x88"));
    outbound.hold();
    assert_eq!(outbound.flush(), Flow::Idle);
}

#[test]
fn what_waited_shares_a_write() {
    let (pipe, outbound) = outbound(0);
    for _ in 0..4 {
        outbound.send_live(&Bytes::from_static(b"m"), 1);
    }
    resume(&pipe, &outbound);
    assert_eq!(pipe.writes.get(), 2, "the frame begun, then all others");
}

#[test]
fn a_slow_consumer_is_closed_and_holds_nothing_more() {
    let (pipe, outbound) = outbound(0);
    for _ in 0..100 {
        outbound.send_live(&Bytes::from_static(b"m"), 1);
    }
    assert_eq!(outbound.farewell(), Some(Farewell::SlowConsumer));
    let written = resume(&pipe, &outbound);
    assert!(written.starts_with('m') && written.ends_with("slow_consumer"), "{written}");
    assert_eq!(written.matches('m').count(), 2, "the frame begun and the reason's own");
}

#[test]
fn a_farewell_waits_for_what_is_kept() {
    let (pipe, outbound) = outbound(0);
    outbound.queue_frame(Bytes::from_static(b"reply"));
    outbound.close(Farewell::ShuttingDown, true);
    outbound.close(Farewell::Kicked, false);
    let written = resume(&pipe, &outbound);
    assert!(written.starts_with("reply") && written.ends_with("shutting_down"), "{written}");
}

#[test]
fn too_many_bytes_of_replies_make_the_next_request_wait() {
    let (pipe, outbound) = outbound(0);
    outbound.queue_frame(vec![b'x'; 65].into());
    outbound.flush();
    assert!(outbound.congested());
    resume(&pipe, &outbound);
    assert!(!outbound.congested());
}

#[test]
fn an_end_before_what_is_held_was_released_writes_nothing_of_it() {
    let (pipe, outbound) = outbound(usize::MAX);
    outbound.queue_sign(Bytes::from_static(b"HTTP/1.1 101"));
    outbound.hold();
    outbound.close(Farewell::Internal, false);
    assert_eq!(outbound.farewell(), Some(Farewell::Internal));
    assert!(pipe.taken.borrow().is_empty(), "a close frame without the answer to the upgrade");
    assert_eq!(outbound.flush(), Flow::Idle);
}

#[test]
fn an_end_that_keeps_what_is_held_writes_all_of_it() {
    let (pipe, outbound) = outbound(usize::MAX);
    outbound.queue_sign(Bytes::from_static(b"HTTP/1.1 101"));
    outbound.hold();
    outbound.close(Farewell::Replaced, true);
    assert!(pipe.taken.borrow().starts_with(b"HTTP/1.1 101\x88"));
}
