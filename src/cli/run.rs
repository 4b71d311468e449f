//! `cvt-sidecar run`: stand in front of a service.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::output::{EXIT_ERROR, EXIT_OK};
use super::rule_args::flags_of;
use super::settings::{self, Flag};
use crate::app::{self, Hooks, ListenAddresses, LogNotices, Reload, TerminalNotices};
use crate::config::Config;
use crate::pipeline::record::notice::NoticeSink;

/// Flags of `run`; each wins over its variable and its key in the config file.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// OpenAPI document to validate against; without it the latest one registered under --schema
    #[arg(long, value_name = "FILE")]
    spec: Option<String>,
    /// Service to stand in front of, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Address that takes traffic [default: 0.0.0.0:9080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// off, shadow, warn or strict [default: warn]
    #[arg(long)]
    mode: Option<String>,
    /// What is recorded: all, sampled or violations [default: sampled]
    #[arg(long)]
    record: Option<String>,
    /// Where records are kept: a path, sqlite://PATH or memory: [default: cvt.db]
    #[arg(long, value_name = "DSN")]
    storage: Option<String>,
    /// Address of metrics and health [default: 127.0.0.1:9551]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// Id to register the document under [default: made from its title]
    #[arg(long = "schema", value_name = "ID")]
    schema_id: Option<String>,
    /// Bytes of each body kept for validation [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    body_limit: Option<String>,
    /// Validation threads' priority: low or normal [default: low]
    #[arg(long, value_name = "PRIORITY")]
    priority: Option<String>,
    /// Applies a rule leniently or strictly: NAME=lenient or NAME=strict, `preset` for all; repeatable
    #[arg(long = "rule", value_name = "NAME=VALUE")]
    rules: Vec<String>,
    /// Take the place of the sidecar that runs already, once it gets SIGQUIT: no connection is refused
    #[arg(long)]
    upgrade: bool,
    /// Config file [default: cvt.yaml, when there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the sidecar until a signal stops it.
pub fn run(arguments: RunArgs, environment: &[(String, String)]) -> u8 {
    let take_over = arguments.upgrade;
    let config = match load(arguments.clone(), environment) {
        Ok(config) => config,
        Err(message) => {
            eprintln!("{message}");
            return EXIT_ERROR;
        }
    };
    let on_terminal = std::io::stdout().is_terminal();
    let notice_sink: Arc<dyn NoticeSink> = if on_terminal {
        Arc::new(TerminalNotices { colours: true, document: document_name(&config) })
    } else {
        Arc::new(LogNotices)
    };
    let ready = move |addresses: ListenAddresses| {
        if on_terminal {
            println!(
                "Traffic on http://{}, metrics and health on http://{}; Ctrl-C stops.",
                addresses.traffic, addresses.admin
            );
        }
    };
    let environment = environment.to_vec();
    let file = settings::file(arguments.config.clone(), &environment);
    let reload = Reload { file, load: Box::new(move || load(arguments.clone(), &environment)) };
    let hooks = Hooks { on_ready: Box::new(ready), notice_sink, take_over, reload: Some(reload) };
    match app::run(&config, hooks) {
        Ok(summary) => {
            if on_terminal {
                println!("\n{summary}");
            } else {
                summary.log();
            }
            EXIT_OK
        }
        Err(error) => {
            eprintln!("cvt-sidecar: {error}");
            EXIT_ERROR
        }
    }
}

/// What lines about violations call the document: its file's name, if there is but one.
fn document_name(config: &Config) -> String {
    let [route] = config.routes.as_slice() else { return "line".into() };
    let name = route.contract.spec.as_deref().and_then(std::path::Path::file_name);
    name.map_or_else(|| "line".into(), |name| name.to_string_lossy().into_owned())
}

fn load(arguments: RunArgs, environment: &[(String, String)]) -> Result<Config, String> {
    let (config, rules) = (arguments.config.clone(), flags_of(&arguments.rules)?);
    let flags = arguments.into_flags().into_iter().chain(rules).collect();
    let typed = settings::typed(config, environment, flags)?;
    Config::load(typed).map_err(|error| error.to_string())
}

// === impl RunArgs ===

impl RunArgs {
    fn into_flags(self) -> Vec<Flag> {
        [
            ("spec", "--spec", self.spec),
            ("upstream", "--upstream", self.upstream),
            ("listen", "--listen", self.listen),
            ("mode", "--mode", self.mode),
            ("record", "--record", self.record),
            ("storage.dsn", "--storage", self.storage),
            ("admin.listen", "--admin-listen", self.admin_listen),
            ("schema_id", "--schema", self.schema_id),
            ("body_limit", "--body-limit", self.body_limit),
            ("pipeline.priority", "--priority", self.priority),
        ]
        .into_iter()
        .filter_map(|(key, flag, value)| Some((key, flag, value?)))
        .collect()
    }
}
