#![no_main]

#[path = "../provider_properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::provider(data));
