//! Configuration files: every text is a configuration or an error that names a line of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tracker_user::config::Config;

fuzz_target!(|text: &str| {
    match Config::parse("fuzz.toml", text) {
        // What was accepted can be printed and read again.
        Ok(config) => drop(Config::parse("printed", &config.commented()).expect("the printed configuration")),
        Err(error) => assert!(error.to_string().contains("fuzz.toml"), "{error}"),
    }
});
