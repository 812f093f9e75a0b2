//! `v1_line`: what it does is in `tests/bytes`, which the corpus is replayed with, too.
#![no_main]

#[path = "../../tests/bytes/mod.rs"]
mod bytes;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bytes::v1_line(data));
