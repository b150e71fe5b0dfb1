//! The laboratory: measures and stresses the XDP program and the swarm table.

fn main() {}
