//! The line that every figure needs: which machine, which kernel, which mitigations.

use std::fs;

use serde_json::{Value, json};

/// Where a figure comes from.
pub(crate) struct Machine {
    cpu: String,
    cpus: usize,
    kernel: String,
    /// Mitigations in force, as `name: what`; they decide what a system call and an indirect call cost.
    mitigations: Vec<String>,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let mut mitigations: Vec<String> = fs::read_dir("/sys/devices/system/cpu/vulnerabilities")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|file| {
                let state = fs::read_to_string(file.path()).ok()?;
                let how = state.trim().strip_prefix("Mitigation: ")?;
                Some(format!("{}: {how}", file.file_name().to_string_lossy()))
            })
            .collect();
        mitigations.sort();
        Self {
            cpu: model.map_or("unknown CPU", |(_, name)| name).to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            mitigations,
        }
    }

    pub(crate) fn cpus(&self) -> usize {
        self.cpus
    }

    pub(crate) fn line(&self) -> String {
        let mitigations =
            if self.mitigations.is_empty() { "none".to_owned() } else { self.mitigations.join(" · ") };
        format!("{} × {}, Linux {}; mitigations: {mitigations}", self.cpus, self.cpu, self.kernel)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"cpu": self.cpu, "cpus": self.cpus, "kernel": self.kernel, "mitigations": self.mitigations})
    }
}
