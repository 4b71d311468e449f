//! `cvt-sidecar keys`: the keys that headers and bodies are encrypted with.

use std::io::Write;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::common::{self, StoreArgs};
use super::output::EXIT_OK;
use crate::app;
use crate::config::encryption::SecretKey;
use crate::encryption::KeyId;
use crate::model::clock::{Clock, SystemClock};
use crate::model::random::{RandomSource, SystemRandom};
use crate::storage::{self, Access, EncryptedStore, PageRequest, Store as _};

/// Records re-encrypted per batch.
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
    #[command(flatten)]
    store_args: StoreArgs,
}

/// Makes keys, and encrypts what is stored with another one.
pub fn run(arguments: &KeysArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    common::run_command(async {
        match &arguments.command {
            KeysCommand::Generate => generate(out),
            KeysCommand::Rotate(arguments) => rotate(arguments, environment, out).await,
        }?;
        Ok(EXIT_OK)
    })
}

fn generate(out: &mut dyn Write) -> Result<(), String> {
    let mut bytes = [0; 32];
    SystemRandom.fill(&mut bytes).map_err(|error| error.to_string())?;
    let key = SecretKey::new(bytes);
    // Two lines that are a key file as they are.
    writeln!(out, "# key {}\n{}", KeyId::of(&key), key.to_text()).map_err(|error| error.to_string())
}

async fn rotate(
    arguments: &RotateArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<(), String> {
    let config = arguments.store_args.config(environment)?;
    let keys = app::keyring(&config.encryption).map_err(|error| error.to_string())?;
    let Some(key) = keys.active_key_id() else {
        return Err("there is no key to encrypt with; name one with encryption.key_file or \
                    CVT_ENCRYPTION_KEY (`cvt-sidecar keys generate` makes one)"
            .to_owned());
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let address = &config.storage;
    let failed = |error: storage::StoreError| format!("storage {address}: {error}");
    let store = storage::open(address, Access::Write, clock).await.map_err(failed)?;
    let store = EncryptedStore::new(store, keys);
    let (mut seen, mut sealed) = (0, 0);
    let mut page = PageRequest::first(BATCH);
    let outcome = loop {
        match store.reencrypt(&page).await {
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
    let line = if arguments.store_args.json {
        serde_json::json!({ "key": key.to_string(), "records": seen, "reencrypted": sealed })
            .to_string()
    } else {
        format!("{seen} records, {sealed} encrypted anew; all are encrypted with key {key}")
    };
    writeln!(out, "{line}").map_err(|error| error.to_string())
}
