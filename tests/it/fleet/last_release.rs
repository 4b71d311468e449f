//! The binary of the last release, built from the last commit without the newest migration.
//!
//! It is built once per commit, from a worktree under the target directory, and shares the
//! compiled dependencies of this build. Without the history of the repository (a shallow
//! clone, an archive) there is nothing to build, and the test says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::skipped;

/// Why there is no binary.
enum Missing {
    /// The repository's history is not here.
    History(String),
    /// It is here and the release cannot be built.
    Build(String),
}

/// The binary of the last release; `None`, after saying why, where its commit is not known.
pub(super) fn last_release() -> Option<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf, Missing>> = OnceLock::new();
    match BINARY.get_or_init(|| build(&last_commit()?)) {
        Ok(binary) => Some(binary),
        Err(Missing::History(why)) => {
            skipped(why);
            None
        }
        Err(Missing::Build(why)) => panic!("the last release cannot be built: {why}"),
    }
}

/// The last commit without the newest migration: the one before it was added, on the branch it
/// was written on, so that a merge later changes nothing.
fn last_commit() -> Result<String, Missing> {
    let history = |why| Missing::History(format!("no history of the repository: {why}"));
    let shallow = git(&["rev-parse", "--is-shallow-repository"]).map_err(history)?;
    if shallow == "true" {
        return Err(history("this clone is shallow; git fetch --unshallow brings it".to_owned()));
    }
    // by its number, so that a migration with a new name is still the same one
    let files = format!("migrations/sqlite/{:03}_*", newest_migration());
    let added = ["log", "--diff-filter=A", "--format=%H", "--", &files];
    let added = git(&added).map_err(history)?;
    match added.lines().last() {
        Some(first) => git(&["rev-parse", "--verify", &format!("{first}^1")]).map_err(history),
        None => git(&["rev-parse", "HEAD"]).map_err(history), // it is not committed yet
    }
}

fn newest_migration() -> usize {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    let names = fs::read_dir(dir).expect("the migrations").flatten();
    let numbers = names.filter_map(|file| {
        let name = file.file_name().into_string().ok()?;
        name.split('_').next()?.parse().ok()
    });
    numbers.max().expect("a migration")
}

/// The binary of `commit`, built unless it was before.
fn build(commit: &str) -> Result<PathBuf, Missing> {
    let built = Path::new(env!("CARGO_BIN_EXE_cvt-sidecar"));
    let target = built.ancestors().nth(2).expect("the target directory");
    let dir = target.join("fleet").join(commit);
    let binary = dir.join("debug/cvt-sidecar");
    if binary.is_file() {
        return Ok(binary);
    }
    let source = dir.join("source");
    let source_name = source.to_str().expect("a path in UTF-8");
    let remove = || {
        let _ = git(&["worktree", "remove", "--force", source_name]);
        let _ = fs::remove_dir_all(&source); // what an interrupted run left
    };
    remove();
    git(&["worktree", "add", "--quiet", "--force", "--detach", source_name, commit])
        .map_err(Missing::Build)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--locked", "--bin", "cvt-sidecar"])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", &dir)
        .env("CARGO_BUILD_BUILD_DIR", target);
    let done = said(&mut command);
    remove();
    done.map_err(Missing::Build)?;
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(Missing::Build(format!("cargo left no {}", binary.display())))
    }
}

/// What git says about this repository, without the line end.
fn git(args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable); // a hook's own
    }
    said(&mut command)
}

fn said(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
