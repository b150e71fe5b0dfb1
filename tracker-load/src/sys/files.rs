//! How many files, and so connections, a process may have open.

use std::io;

/// Raises the limit of this process and its children to `wanted`, or as far as it goes; what it is now.
pub(crate) fn raise_limit(wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    // Beyond the hard limit only the superuser goes; everybody else goes as far as that.
    for hard in [limit.rlim_max.max(wanted), limit.rlim_max] {
        let raised = libc::rlimit { rlim_cur: wanted.min(hard), rlim_max: hard };
        // SAFETY: the kernel reads one rlimit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            return Ok(raised.rlim_cur);
        }
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_that_is_high_enough_stays() {
        let now = raise_limit(1).unwrap();
        assert!(now >= 1);
        assert_eq!(raise_limit(now).unwrap(), now);
    }
}
