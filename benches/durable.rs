//! Messages that are acknowledged by the broker built in, with and without
//! `broker.path`: `cargo bench -p rookery-bench --bench durable`.
#![expect(clippy::expect_used, reason = "a benchmark is given nothing but what it makes up itself")]

use std::{env, fs, path::PathBuf, process};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use rookery::{
    broker::{
        Broker,
        memory::{DurableBroker, MemoryBroker},
    },
    config::Settings,
    model::{Author, Body, Draft, Payload, RoomName, UserId},
};
use tokio::runtime::{Builder, Runtime};

/// The directory is on this disk; `ROOKERY_BENCH_PATH` names another.
fn directory() -> PathBuf {
    let parent = env::var_os("ROOKERY_BENCH_PATH")
        .map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    parent.join(format!("durable-{}", process::id()))
}

fn memory() -> MemoryBroker {
    let settings = Settings::default();
    MemoryBroker::new(&settings.broker, &settings.rooms, &settings.inbox)
}

/// A chat of 128 bytes, with a nonce.
fn draft(number: u64) -> Draft {
    let user = UserId::parse("user").expect("a name");
    Draft {
        author: Author { user: Some(user), session: None, echo: true },
        body: Body::Message(Payload::Text("x".repeat(128).into())),
        nonce: Some(number.to_string().into()),
        if_version: None,
    }
}

fn measure(criterion: &mut Criterion, runtime: &Runtime, name: &str, broker: &dyn Broker) {
    let room = RoomName::parse("lobby").expect("a name");
    let mut group = criterion.benchmark_group(name);
    let mut number = 0;
    for at_once in [1, 64] {
        group.throughput(Throughput::Elements(at_once));
        group.bench_function(format!("{at_once} in flight"), |b| {
            b.iter(|| {
                let writes = (0..at_once).map(|_| {
                    number += 1;
                    broker.publish(&room, draft(number))
                });
                for receipt in runtime.block_on(join_all(writes)) {
                    receipt.expect("there is room");
                }
            });
        });
    }
    group.finish();
}

fn acknowledged(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    measure(criterion, &runtime, "in memory", &memory());
    let directory = directory();
    let broker = DurableBroker::open(memory(), &directory).expect("a directory");
    measure(criterion, &runtime, "with broker.path", &broker);
    drop(broker);
    fs::remove_dir_all(&directory).expect("the directory is there");
}

criterion_group!(durable, acknowledged);
criterion_main!(durable);
