//! Saying that a test does not run here.

use std::io::Write as _;
use std::process::Command;

/// Says on the terminal that the test at hand is left out, and why.
pub(crate) fn skipped(why: &str) {
    // not `eprintln!`, which is shown for failed tests only
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED {name}: {why}");
}

/// Whether `unshare` may make the namespaces that `flags` ask for; says so where it may not, as in
/// most containers.
pub(crate) fn may_unshare(flags: &[&str]) -> bool {
    let tried = Command::new("unshare").args(flags).arg("true").output();
    let may = tried.is_ok_and(|tried| tried.status.success());
    if !may {
        skipped("no right to make namespaces; run as root, outside of a container");
    }
    may
}
