//! `cvt-sidecar keys`: the keys that headers and bodies are encrypted with.

use std::io::Write;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::{FAILED, FINE, settings};
use crate::app;
use crate::config::Config;
use crate::config::encryption::SecretKey;
use crate::model::chance::{Chance, SystemChance};
use crate::model::clock::{Clock, SystemClock};
use crate::sealing::KeyId;
use crate::storage::{self, Access, PageRequest, SealedStore, Store as _};

/// Records sealed anew at once.
const BATCH: u32 = 200;

/// Arguments of `keys`.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Print a new key
    Generate,
    /// Encrypt every record with the first key; may be stopped and run again
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
struct RotateArgs {
    /// The database: a path, sqlite://PATH or postgres://… [default: as `run` has it]
    #[arg(long, value_name = "DSN")]
    storage: Option<String>,
    /// JSON instead of a line for people
    #[arg(long)]
    json: bool,
}

/// Makes keys, and encrypts what is stored with another one.
pub fn run(arguments: &KeysArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    let outcome = match &arguments.command {
        KeysCommand::Generate => generate(out),
        KeysCommand::Rotate(arguments) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .map_err(|error| format!("the system gives no threads: {error}"))
                .and_then(|runtime| runtime.block_on(rotate(arguments, environment, out)))
        }
    };
    match outcome {
        Ok(()) => FINE,
        Err(message) => {
            eprintln!("cvt-sidecar: {message}");
            FAILED
        }
    }
}

fn generate(out: &mut dyn Write) -> Result<(), String> {
    let mut bytes = [0; 32];
    SystemChance.fill(&mut bytes).map_err(|error| error.to_string())?;
    let key = SecretKey::new(bytes);
    // Two lines that are a key file as they are.
    writeln!(out, "# key {}\n{}", KeyId::of(&key), key.to_text()).map_err(|error| error.to_string())
}

async fn rotate(
    arguments: &RotateArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<(), String> {
    let flags = arguments.storage.iter().map(|dsn| ("storage.dsn", "--storage", dsn.clone()));
    let typed = settings::typed(None, environment, flags.collect())?;
    let config = Config::load_store(typed).map_err(|error| error.to_string())?;
    let keys = app::keyring(&config.encryption).map_err(|error| error.to_string())?;
    let Some(key) = keys.sealing_key() else {
        return Err("there is no key to encrypt with; name one with encryption.key_file or \
                    CVT_ENCRYPTION_KEY (`cvt-sidecar keys generate` makes one)"
            .to_owned());
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let place = &config.storage;
    let failed = |error: storage::StoreError| format!("storage {place}: {error}");
    let store = storage::open(place, Access::Write, clock).await.map_err(failed)?;
    let store = SealedStore::new(store, keys);
    let (mut seen, mut sealed) = (0, 0);
    let mut page = PageRequest::first(BATCH);
    let outcome = loop {
        match store.reseal(&page).await {
            Ok(done) => {
                seen += done.seen;
                sealed += done.changed;
                let Some(next) = done.next else { break Ok(()) };
                page = PageRequest::after(BATCH, next);
            }
            Err(error) => break Err(failed(error)),
        }
    };
    store.close().await;
    outcome?;
    let line = if arguments.json {
        serde_json::json!({ "key": key.to_string(), "records": seen, "sealed": sealed }).to_string()
    } else {
        format!("{seen} records, {sealed} encrypted anew; all are encrypted with key {key}")
    };
    writeln!(out, "{line}").map_err(|error| error.to_string())
}
