//! File descriptors: each connection takes one, and a process starts with a limit of 1,024.
//!
//! Called once at start. The soft limit is raised as far as the hard one allows, which root may raise too, up to fs.nr_open. Tests are
//! below.

use std::fs;

use super::sys::DescriptorLimit;

/// Descriptors of everything but HTTP: UDP sockets, the kernel's maps, the control socket and its clients, files that are being read.
const OTHERS: u64 = 128;

/// Descriptors of a worker: its runtime's, and connections that are being turned away, which come on top of those that are served.
const WORKER: u64 = 80;

/// Raises the limit to what `max_connections` may need beside the `sockets` that each of `workers` listens on. Gives how many connections
/// fit; when those are fewer the operator is told, and others are told to come back later as beyond every limit, for which a
/// descriptor is needed, too, as it is for the control socket and for files.
pub fn provide(max_connections: u32, workers: usize, sockets: usize) -> u32 {
    let wanted = needed(max_connections, workers, sockets);
    let rest = wanted - u64::from(max_connections);
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
        Ok(count) if count >= wanted => {
            tracing::info!("file descriptors: at most {count}");
            max_connections
        }
        Ok(count) => {
            let fit = u32::try_from(count.saturating_sub(rest)).unwrap_or(u32::MAX).max(1);
            tracing::warn!("{}", too_few(count, wanted, fit, max_connections));
            fit
        }
        Err(error) => {
            tracing::warn!("file descriptors: the limit can't be read: {error}");
            max_connections
        }
    }
}

/// As many as `max_connections` may need beside the `sockets` that each of `workers` listens on.
pub fn needed(max_connections: u32, workers: usize, sockets: usize) -> u64 {
    u64::from(max_connections) + OTHERS + workers as u64 * (WORKER + sockets as u64)
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

fn too_few(count: u64, wanted: u64, fit: u32, max_connections: u32) -> String {
    format!(
        "file descriptors: at most {count}, so only {fit} connections are taken instead of http.max_connections = {max_connections}: raise \
         the limit (LimitNOFILE={wanted} in the unit, or `ulimit -n {wanted}` as root before the start; above fs.nr_open also that, by \
         sysctl) or lower http.max_connections"
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
        let told = too_few(4096, 66_178, 3454, 65_536);
        assert!(told.contains("at most 4096") && told.contains("LimitNOFILE=66178"), "{told}");
    }

    #[test]
    fn connections_that_do_not_fit_are_not_taken() {
        let limit = DescriptorLimit::read().expect("there is a limit");
        assert_eq!(provide(1, 1, 1), 1, "{limit:?}");
        let most = fs::read_to_string("/proc/sys/fs/nr_open").expect("Linux has it");
        let most: u32 = most.trim().parse().expect("it is a number");
        let fit = provide(most, 1, 1);
        assert!(fit > 0 && u64::from(fit) < u64::from(most), "{fit} of {most}");
    }
}
