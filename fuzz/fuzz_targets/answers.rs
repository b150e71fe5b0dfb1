//! What trackers answer to the load generator: whatever it is, over UDP, HTTP or WebSocket, reading it never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    tracker_load::answers::over_udp(data);
    tracker_load::answers::over_http(data);
    tracker_load::answers::over_websocket(data);
});
