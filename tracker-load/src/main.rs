//! Load generator for UDP BitTorrent trackers that checks what it is answered.

fn main() {}
