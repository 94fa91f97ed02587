#![no_main]

#[path = "../properties.rs"]
#[expect(dead_code, reason = "one of the properties is this target's")]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::message(data));
