//! Attaches the program to an interface, and explains what is in the way.

use std::fmt::Write as _;

use aya::programs::links::FdLink;
use aya::programs::{ProgramError, XdpMode, loaded_programs};
use aya::sys::SyscallError;

use super::{AttachError, AttachMode, Kernel};
use crate::interface::{self, Interface};

impl Kernel {
    /// Attaches the program until [`Kernel::detach`] or the end of the process.
    ///
    /// # Errors
    ///
    /// What is in the way, and the remedy.
    pub fn attach(&mut self, interface: &Interface, mode: AttachMode) -> Result<(), AttachError> {
        let aya_mode = match mode {
            AttachMode::Native => XdpMode::Driver,
            AttachMode::Generic => XdpMode::Skb,
        };
        let refuse = |reason: String| AttachError { reason, other_mode_may_work: false };
        let program = self.program().map_err(|error| refuse(format!("{error:#}")))?;
        let id = program
            .attach_to_if_index(interface.index, aya_mode)
            .map_err(|error| explain(interface, mode, &error))?;
        let link = program.take_link(id).map_err(|error| refuse(error.to_string()))?;
        match FdLink::try_from(link) {
            Ok(link) => {
                self.links.push(link);
                Ok(())
            }
            Err(error) => {
                // When the kernel refuses a link with EINVAL, aya attaches over netlink without a word. Such a program would stay on
                // the interface when this process dies, and nothing could replace it under traffic.
                let mut reason = format!("the kernel attaches without a BPF link only ({error})");
                if let Err(error) = interface::detach_xdp(interface.index, mode == AttachMode::Native) {
                    let _infallible = write!(
                        reason,
                        "; detaching again: {error}; `ip link set dev {} xdp off`",
                        interface.name
                    );
                }
                Err(AttachError { reason, other_mode_may_work: true })
            }
        }
    }
}

fn explain(interface: &Interface, mode: AttachMode, error: &ProgramError) -> AttachError {
    let name = &interface.name;
    let code = match error {
        ProgramError::SyscallError(SyscallError { io_error, .. }) => io_error.raw_os_error(),
        _ => None,
    };
    let chain = format!("{:#}", anyhow::Error::msg(chain(error)));
    match code {
        // EEXIST: a program in the other mode.
        Some(libc::EBUSY | libc::EEXIST) => AttachError {
            reason: format!(
                "{}; only one can be attached: stop what attached it (`bpftool net` and `bpftool link` show it), or \
                 `ip link set dev {name} xdp off`",
                in_the_way(interface)
            ),
            other_mode_may_work: false,
        },
        Some(libc::EPERM | libc::EACCES) => AttachError {
            reason: format!(
                "attaching is not permitted ({chain}): it needs CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON"
            ),
            other_mode_may_work: false,
        },
        Some(libc::EOPNOTSUPP) if mode == AttachMode::Native => AttachError {
            reason: format!(
                "the driver of {name} has no native XDP; for the full speed use a network card whose driver has"
            ),
            other_mode_may_work: true,
        },
        _ => AttachError {
            reason: format!(
                "{chain}; the kernel log (`dmesg`) says more; often a smaller MTU (`ip link set dev {name} mtu 1500`), no LRO \
                 (`ethtool -K {name} lro off`) or fewer queues (`ethtool -L {name} combined N`) help"
            ),
            other_mode_may_work: mode == AttachMode::Native,
        },
    }
}

/// Names the program on the interface as it is now: the one seen at start may have changed.
fn in_the_way(interface: &Interface) -> String {
    let attached = interface::interfaces()
        .ok()
        .and_then(|all| all.into_iter().find(|other| other.index == interface.index))
        .and_then(|now| now.xdp);
    let Some(attached) = attached else {
        return format!("another XDP program is attached to {}", interface.name);
    };
    let name = loaded_programs()
        .flatten()
        .find(|program| program.id() == attached.program_id)
        .and_then(|program| program.name_as_str().map(str::to_owned));
    let mode = match attached.mode {
        1 => "native",
        2 => "generic",
        3 => "offloaded",
        _ => "several modes",
    };
    format!(
        "XDP program {} (id {}, {mode}) is attached to {}",
        name.as_deref().unwrap_or("of unknown name"),
        attached.program_id,
        interface.name
    )
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            let _infallible = write!(text, ": {cause_text}");
        }
        source = cause.source();
    }
    text
}
