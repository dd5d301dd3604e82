//! What is written to standard error, and in which form.

mod json;

use std::{
    env,
    io::Write,
    panic::{self, PanicHookInfo},
};

use env_logger::Builder;
use log::{Level, LevelFilter, Record, error};

use self::json::Line;
use crate::config::{Log, LogFormat};

/// Begins to log. The variable `RUST_LOG` stands over the configuration's level, as
/// everywhere.
pub fn start(settings: &Log) {
    let filters = env::var("RUST_LOG").ok().filter(|filters| !filters.is_empty());
    let filters = filters.unwrap_or_else(|| settings.level.clone());
    // What the client library of Redis has to say of a cluster in motion, the
    // bridge says once. Where the server listens and that it ends, this program
    // says itself.
    let mut logger = Builder::new();
    logger.filter_module("redis", LevelFilter::Error);
    logger.filter_module("actix_server", LevelFilter::Warn).parse_filters(&filters);
    if settings.format == LogFormat::Json {
        logger.format(|to, record| writeln!(to, "{}", Line::of(record)));
        panic::set_hook(Box::new(panicked));
    }
    logger.init();
}

/// Says something whatever the level.
pub fn announce(settings: &Log, message: &str) {
    match settings.format {
        LogFormat::Text => eprintln!("{message}"),
        LogFormat::Json => {
            let mut record = Record::builder();
            record.level(Level::Info).target(module_path!());
            eprintln!("{}", Line::of(&record.args(format_args!("{message}")).build()));
        }
    }
}

/// A panic, as a line like all others.
fn panicked(panic: &PanicHookInfo<'_>) {
    let said = panic.payload_as_str().unwrap_or("something that is no text");
    match panic.location() {
        Some(at) => error!("a panic at {}:{}: {said}", at.file(), at.line()),
        None => error!("a panic: {said}"),
    }
}
