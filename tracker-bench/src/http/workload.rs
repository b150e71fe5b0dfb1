//! What clients do.

use super::servers::Who;

/// How the 64 clients announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    KeepAlive,
    /// A connection for each request.
    Close,
    TlsKeepAlive,
    /// A connection with a full handshake for each request.
    TlsFull,
    /// A connection for each request that resumes the session of the one before.
    TlsResumed,
}

impl Workload {
    pub(crate) const ALL: [Self; 5] =
        [Self::KeepAlive, Self::Close, Self::TlsKeepAlive, Self::TlsFull, Self::TlsResumed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "kept-alive connections",
            Self::Close => "a connection for each request",
            Self::TlsKeepAlive => "HTTPS, kept-alive connections",
            Self::TlsFull => "HTTPS, a connection with a full handshake for each request",
            Self::TlsResumed => "HTTPS, a connection with a resumed session for each request",
        }
    }

    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Close => "close",
            Self::TlsKeepAlive => "tls-keep-alive",
            Self::TlsFull => "tls-full",
            Self::TlsResumed => "tls-resumed",
        }
    }

    pub(crate) fn flags(self) -> &'static [&'static str] {
        match self {
            Self::KeepAlive => &[],
            Self::Close => &["--close"],
            Self::TlsKeepAlive => &["--tls", "full"],
            Self::TlsFull => &["--tls", "full", "--close"],
            Self::TlsResumed => &["--tls", "resumed", "--close"],
        }
    }

    pub(crate) fn tls(self) -> bool {
        matches!(self, Self::TlsKeepAlive | Self::TlsFull | Self::TlsResumed)
    }

    /// Who can be asked this. opentracker has neither TLS nor connections that it keeps.
    pub(crate) fn servers(self) -> Vec<Who> {
        let mut servers = vec![Who::Ours, Who::Hyper, Who::Aquatic { tls: self.tls() }];
        if self == Self::Close {
            servers.push(Who::Opentracker);
        }
        servers
    }
}

/// The name of a case.
pub(crate) fn case(workload: Workload, who: Who) -> String {
    format!("{}-{}", workload.id(), who.id())
}
