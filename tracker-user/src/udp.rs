//! UDP over sockets: everything that the XDP program doesn't answer.
//!
//! - [`bind`]: sockets on the configured addresses, alone on their ports.
//! - [`worker`]: the thread of one socket.
//! - [`sys`]: the system calls that no safe wrapper offers.

pub mod bind;
#[expect(
    unsafe_code,
    reason = "recvmmsg and sendmmsg with packet information, eventfd and poll exist only as raw system calls"
)]
pub mod sys;
pub mod worker;
