//! File descriptors: each connection takes one, and a process starts with a limit of 1,024.
//!
//! Called once at start. The soft limit is raised as far as the hard one allows, which root may raise too, up to fs.nr_open. Tests are
//! below.

use std::fs;

use super::sys::DescriptorLimit;

/// Descriptors of everything but HTTP: UDP sockets, the kernel's maps, the control socket and its clients, files that are being read.
const OTHERS: u64 = 512;

/// Raises the limit to what `max_connections` over `sockets` listening sockets may need, and tells the operator when that isn't possible. A
/// tracker with too few works; connections wait until others are closed.
pub fn provide(max_connections: u32, sockets: usize) {
    // A worker's runtime has three of its own, which is less than its share of the others.
    let wanted = u64::from(max_connections) + sockets as u64 + OTHERS;
    let raised = DescriptorLimit::read().and_then(|before| {
        let nr_open =
            fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
        let set = |limit: DescriptorLimit| limit.set().map(|()| limit.soft);
        candidates(before, wanted, nr_open)
            .into_iter()
            .map(set)
            .find(Result::is_ok)
            .unwrap_or(Ok(before.soft))
    });
    match raised {
        Ok(count) if count >= wanted => log::info!("file descriptors: at most {count}"),
        Ok(count) => log::warn!("{}", too_few(count, wanted, max_connections)),
        Err(error) => log::warn!("file descriptors: the limit can't be read: {error}"),
    }
}

/// What to try, best first.
fn candidates(before: DescriptorLimit, wanted: u64, nr_open: Option<u64>) -> Vec<DescriptorLimit> {
    let both = |count: u64| DescriptorLimit { soft: count, hard: count };
    let mut candidates = Vec::new();
    if before.hard < wanted {
        candidates.push(both(wanted));
        candidates.extend(nr_open.filter(|&most| before.hard < most && most < wanted).map(both));
    }
    candidates.push(both(before.hard));
    candidates
}

fn too_few(count: u64, wanted: u64, max_connections: u32) -> String {
    format!(
        "file descriptors: at most {count}, but http.max_connections = {max_connections} may need {wanted}: raise the limit \
         (LimitNOFILE={wanted} in the unit, or `ulimit -n {wanted}` as root before the start; above fs.nr_open also that, by sysctl) or \
         lower http.max_connections"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn limit(soft: u64, hard: u64) -> DescriptorLimit {
        DescriptorLimit { soft, hard }
    }

    #[test]
    fn soft_limit_rises_to_the_hard_one() {
        assert_eq!(candidates(limit(1024, 500_000), 66_000, Some(1 << 20)), [limit(500_000, 500_000)]);
    }

    #[test]
    fn hard_limit_that_is_too_low_is_raised_as_far_as_it_goes() {
        assert_eq!(
            candidates(limit(1024, 4096), 66_000, Some(50_000)),
            [limit(66_000, 66_000), limit(50_000, 50_000), limit(4096, 4096)]
        );
        assert_eq!(candidates(limit(1024, 4096), 66_000, None), [limit(66_000, 66_000), limit(4096, 4096)]);
    }

    #[test]
    fn too_few_are_told_with_the_fix() {
        let told = too_few(4096, 66_048, 65_536);
        assert!(told.contains("at most 4096") && told.contains("LimitNOFILE=66048"), "{told}");
    }
}
