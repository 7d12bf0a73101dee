#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| envrun::fuzz::run("seal", bytes));
