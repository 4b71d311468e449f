//! A disk that is full soon.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::skipped;

/// A file system of a few megabytes, gone when dropped.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of four megabytes; nothing, said on the terminal, where there is no right to.
    pub(crate) fn mount() -> Option<Self> {
        Self::of_size("4m")
    }

    /// The same of another size, such as `2m`.
    pub(crate) fn of_size(size: &str) -> Option<Self> {
        let dir = TempDir::new().expect("a directory");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=1777"), "tmpfs"])
            .arg(dir.path())
            .output();
        if done.is_ok_and(|done| done.status.success()) {
            return Some(Self(dir));
        }
        skipped("no right to mount a small disk; run as root");
        None
    }

    /// Makes room, or takes it.
    pub(crate) fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let done = Command::new("mount").args(["-o", &options]).arg(self.path()).status();
        assert!(done.expect("mount runs").success());
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
