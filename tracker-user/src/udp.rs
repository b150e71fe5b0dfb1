//! UDP over sockets: everything that the XDP program doesn't answer.
//!
//! - [`bind`]: sockets on the configured addresses, alone on their ports.
//! - [`backend`]: how a socket is read and written to.
//! - [`worker`]: the thread of one socket.
//! - [`sys`]: the system calls that no safe wrapper offers.

pub mod backend;
pub mod bind;
#[expect(
    unsafe_code,
    reason = "recvmmsg and sendmmsg with packet information, io_uring, eventfd and poll exist only with raw pointers"
)]
pub mod sys;
pub mod worker;
