//! The table of privileges, its checks, and paths as they are after a chroot.

use std::path::{Path, PathBuf};

use super::Config;
use crate::config::Refusal;

section! {
    /// As whom the tracker runs once everything that needs root is done: ports bound, certificate read, program loaded. It keeps
    /// the one capability that maps made at run time need, CAP_BPF, in the two threads that make them, and that only with XDP.
    Privileges {
        /// Name or number of a user; "": the tracker stays who started it. The state directory becomes this user's.
        user: String = String::new(),
        /// Name or number of a group; "": the user's.
        group: String = String::new(),
        /// Directory that becomes the root of all paths; "": none. Whatever is read or written at run time has to be below it:
        /// the state directory, lists, certificate, export. Paths are written here as they are outside.
        chroot: PathBuf = PathBuf::new(),
    }
}

impl Config {
    pub(super) fn check_privileges(&self) -> Result<(), Refusal> {
        let Privileges { user, group, chroot } = &self.privileges;
        if !group.is_empty() && user.is_empty() {
            return Err(("privileges.group", "a group needs a privileges.user".to_owned()));
        }
        if chroot.as_os_str().is_empty() {
            return Ok(());
        }
        if user.is_empty() {
            return Err((
                "privileges.chroot",
                "root leaves a chroot as it likes: name a privileges.user, too".to_owned(),
            ));
        }
        if !chroot.is_absolute() {
            return Err(("privileges.chroot", format!("{} is not an absolute path", chroot.display())));
        }
        let mut inside = self.clone();
        for (key, path) in inside.paths() {
            if !path.as_os_str().is_empty() && !path.starts_with(chroot) {
                return Err((
                    key,
                    format!("{} is not below privileges.chroot, {}", path.display(), chroot.display()),
                ));
            }
        }
        Ok(())
    }

    /// The directory that becomes the root of all paths.
    pub fn chroot(&self) -> Option<&Path> {
        let chroot = &self.privileges.chroot;
        (!chroot.as_os_str().is_empty()).then_some(chroot)
    }

    /// The configuration as it reads inside of its chroot.
    pub fn inside_chroot(&self) -> Self {
        let mut inside = self.clone();
        if let Some(chroot) = self.chroot() {
            for (_, path) in inside.paths() {
                if !path.as_os_str().is_empty() {
                    *path = within(path, chroot);
                }
            }
        }
        inside
    }

    /// Everything that is read or written at run time.
    fn paths(&mut self) -> [(&'static str, &mut PathBuf); 8] {
        [
            ("state_directory", &mut self.state_directory),
            ("access_list.path", &mut self.access_list.path),
            ("block_list.path", &mut self.block_list.path),
            ("tls.certificate", &mut self.tls.certificate),
            ("tls.private_key", &mut self.tls.private_key),
            ("tls.pkcs12", &mut self.tls.pkcs12),
            ("tls.pkcs12_password_file", &mut self.tls.pkcs12_password_file),
            ("export.path", &mut self.export.path),
        ]
    }
}

/// A path as it reads inside of a chroot; one that is outside stays as it is.
pub fn within(path: &Path, chroot: &Path) -> PathBuf {
    path.strip_prefix(chroot).map_or_else(|_outside| path.to_owned(), |rest| Path::new("/").join(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chroot_needs_a_user_and_everything_below_it() {
        let error = |text: &str| Config::parse("t", text).expect_err(text).to_string();
        let state = "state_directory = \"/srv/t/state\"\n";
        assert!(error(&format!("{state}[privileges]\nchroot = \"/srv/t\"\n")).contains("privileges.user"));
        assert!(error("[privileges]\nuser = \"nobody\"\nchroot = \"srv\"\n").contains("absolute"));
        assert!(error("[privileges]\ngroup = \"nogroup\"\n").contains("privileges.user"));
        let user = "[privileges]\nuser = \"nobody\"\nchroot = \"/srv/t\"\n";
        assert!(error(user).contains("/var/lib/tracker is not below"), "{}", error(user));
        let outside = error(&format!("{state}[export]\npath = \"/tmp/x\"\n{user}"));
        assert!(outside.starts_with("t:3:") && outside.contains("/tmp/x is not below"), "{outside}");
        let config = Config::parse("t", &format!("{state}{user}")).expect("it is valid");
        assert_eq!(config.inside_chroot().state_directory, Path::new("/state"));
        assert_eq!(config.inside_chroot().export.path, Path::new(""));
        assert_eq!(Config::default().inside_chroot(), Config::default());
    }
}
