//! Flags of every command that compiles a document, so that all of them read it alike.

use std::path::PathBuf;

use clap::Args;

use super::settings::{self, Flag};
use crate::config::{Config, rules};
use crate::contract::CompileOptions;

/// How documents are read: as `run` reads them in the same directory, and what differs from that.
#[derive(Debug, Clone, Default, Args)]
pub struct RuleArgs {
    /// Applies a rule leniently or strictly: NAME=lenient or NAME=strict, `preset` for all; repeatable
    #[arg(long = "rule", value_name = "NAME=VALUE")]
    pub rules: Vec<String>,
    /// Replaces the base paths of the document's servers
    #[arg(long, value_name = "PATH")]
    pub base_path: Option<String>,
    /// Directory that references may reach, besides the document's own; repeatable
    #[arg(long = "file-root", value_name = "DIR")]
    pub file_roots: Vec<PathBuf>,
    /// Config file with the rules [default: cvt.yaml, when there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The settings that flags `--rule` are about.
pub(super) fn flags_of(rules: &[String]) -> Result<Vec<Flag>, String> {
    let flag = |text: &String| rules::of_flag(text).map(|(key, value)| (key, "--rule", value));
    rules.iter().map(flag).collect()
}

// === impl RuleArgs ===

impl RuleArgs {
    /// How documents are compiled by file, environment and flags, and which directories their
    /// references may reach.
    pub(super) fn options(
        &self,
        environment: &[(String, String)],
    ) -> Result<(CompileOptions<'static>, Vec<PathBuf>), String> {
        let mut flags = flags_of(&self.rules)?;
        let base_path = self.base_path.clone();
        flags.extend(base_path.map(|path| ("contract.base_path", "--base-path", path)));
        let typed = settings::typed(self.config.clone(), environment, flags)?;
        let loaded = Config::load_documents(typed).map_err(|error| error.to_string())?;
        let (rules, mut documents) = loaded;
        documents.file_roots.extend(self.file_roots.iter().cloned());
        Ok((CompileOptions::of(&rules), documents.file_roots))
    }
}
