//! `cvt-sidecar keys`: the keys that headers and bodies are encrypted with.

use std::io::Write;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::output::{EXIT_OK, write_json};
use super::store_args::{self, CommandError, StoreArgs};
use crate::app;
use crate::control::keys::{self, KeyRotation, NewKey};
use crate::model::clock::{Clock, SystemClock};
use crate::model::random::SystemRandom;
use crate::storage::{self, Access};

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
    store_args::run_command(async {
        match &arguments.command {
            KeysCommand::Generate => generate(out),
            KeysCommand::Rotate(arguments) => rotate(arguments, environment, out).await,
        }?;
        Ok(EXIT_OK)
    })
}

fn generate(out: &mut dyn Write) -> Result<(), CommandError> {
    let NewKey { id, secret } = keys::generate(&SystemRandom)?;
    // Two lines that are a key file as they are.
    let written = writeln!(out, "# key {id}\n{}", secret.to_text());
    written.map_err(|error| error.to_string().into())
}

async fn rotate(
    arguments: &RotateArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let config = arguments.store_args.config(environment)?;
    let keys = app::keyring(&config.encryption).map_err(|error| error.to_string())?;
    let rotation = KeyRotation::new(keys)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let address = &config.storage;
    let store = storage::open(address, Access::Write, clock).await;
    let store = store.map_err(|error| format!("storage {address}: {error}"))?;
    let report = rotation.run(store.clone()).await;
    store.close().await;
    let report = report.map_err(|error| format!("storage {address}: {error}"))?;
    let written = if arguments.store_args.json {
        write_json(&report, out)
    } else {
        writeln!(
            out,
            "{} records, {} encrypted anew; all are encrypted with key {}",
            report.records, report.reencrypted, report.key
        )
    };
    written.map_err(|error| error.to_string().into())
}
