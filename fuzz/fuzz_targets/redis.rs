#![no_main]

#[path = "../checks/redis.rs"]
mod redis;

libfuzzer_sys::fuzz_target!(|data: &[u8]| redis::check(data));
