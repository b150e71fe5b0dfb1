//! `tracker-user doctor`: looks at the machine before the tracker runs there, and says what is in the way or could be better.
//!
//! Nothing is changed: the program is loaded for a try, but attached to nothing. Each finding has what was found and, unless all is well, what
//! to do.
//!
//! - `machine`: kernel, limits, sysctls. `program`: capabilities, and whether the kernel takes the XDP program. `interface`: driver, queues,
//!   offloads, MTU, other programs. `ethtool`: the ioctl that tells of a driver.
//!
//! Tests are in the modules, and on real interfaces in `tests/cli` (`doctor`).

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::config::Config;

#[expect(unsafe_code, reason = "a driver's name and offloads are told by an ioctl alone")]
mod ethtool;
mod interface;
mod machine;
mod program;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but could be better.
    Advice,
    /// It won't work as it is configured.
    Problem,
}

/// Something about the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub about: String,
    /// How good it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do, unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { about: about.into(), level: Level::Ok, found: found.into(), remedy: None }
    }

    fn advice(about: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { about: about.into(), level: Level::Advice, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn problem(about: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { about: about.into(), level: Level::Problem, found: found.into(), remedy: Some(remedy.into()) }
    }
}

impl Display for Finding {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let word = match self.level {
            Level::Ok => "ok",
            Level::Advice => "advice",
            Level::Problem => "PROBLEM",
        };
        write!(out, "{word:<8} {}: {}", self.about, self.found)?;
        match &self.remedy {
            Some(remedy) => write!(out, "\n         -> {remedy}"),
            None => Ok(()),
        }
    }
}

/// Looks at everything that a tracker with this configuration needs.
pub fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = machine::examine(config);
    findings.extend(program::examine(config));
    findings.extend(interface::examine(config));
    findings
}

/// The exit status: 0 all is well, 3 there is advice, 1 something won't work.
pub fn exit_status(findings: &[Finding]) -> u8 {
    match findings.iter().map(|finding| finding.level).max() {
        None | Some(Level::Ok) => 0,
        Some(Level::Advice) => 3,
        Some(Level::Problem) => 1,
    }
}
