//! `cvt-sidecar export`: records as a HAR file or as JSON lines, page by page.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::{EXIT_NEGATIVE, EXIT_OK};
use super::selection::Selection;
use super::store_args::{self, StoreArgs};
use crate::control::ControlError;
use crate::control::export::{Export, ExportFormat};
use crate::storage::Store;

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    store_args: StoreArgs,
    /// har: a file that browsers and `cvt-sidecar validate --exchange` read. jsonl: one record per line
    #[arg(long, value_enum, default_value_t = FormatFlag::Har)]
    format: FormatFlag,
    /// Where to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    /// The most records
    #[arg(long)]
    limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatFlag {
    Har,
    Jsonl,
}

/// Why an export ends early.
enum ExportEnd {
    /// The reader closed the pipe, as `head` does: no failure.
    ReaderClosed,
    /// Storage or the file failed.
    Failed(String),
}

/// Writes records, newest first.
pub fn run(arguments: &ExportArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    store_args::run_command(async {
        let filter = arguments.selection.filter()?;
        let export = Export::new(arguments.format.into(), filter, arguments.limit);
        let store = arguments.store_args.open(environment, true).await?;
        let written = match &arguments.out {
            None => write_all(export, &*store, out).await,
            Some(path) => {
                let file = File::create(path)
                    .map_err(|error| format!("{}: cannot be written: {error}", path.display()))?;
                write_all(export, &*store, &mut BufWriter::new(file)).await
            }
        };
        store.close().await;
        let count = match written {
            Ok(count) => count,
            Err(ExportEnd::ReaderClosed) => return Ok(EXIT_OK),
            Err(ExportEnd::Failed(message)) => return Err(message.into()),
        };
        eprintln!("{count} records exported");
        Ok(if count == 0 { EXIT_NEGATIVE } else { EXIT_OK })
    })
}

async fn write_all(
    mut export: Export,
    store: &dyn Store,
    out: &mut dyn Write,
) -> Result<u64, ExportEnd> {
    let progress = io::stderr().is_terminal();
    while let Some(chunk) = export.next_chunk(store).await? {
        out.write_all(chunk.as_bytes())?;
        if progress {
            eprint!("\r{} records …", export.exported());
        }
    }
    if progress {
        eprint!("\r\x1b[K");
    }
    out.flush()?;
    Ok(export.exported())
}

// === impl FormatFlag ===

impl From<FormatFlag> for ExportFormat {
    fn from(flag: FormatFlag) -> Self {
        match flag {
            FormatFlag::Har => Self::Har,
            FormatFlag::Jsonl => Self::JsonLines,
        }
    }
}

// === impl ExportEnd ===

impl From<ControlError> for ExportEnd {
    fn from(error: ControlError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<io::Error> for ExportEnd {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderClosed;
        }
        Self::Failed(format!("the export cannot be written: {error}"))
    }
}
