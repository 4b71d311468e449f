//! Where schemas, records and consumers are kept.
//!
//! `storage.dsn` says it all in one text: a path, `sqlite://PATH`, `postgres://…` or `memory:`.
//! CVT's way, `storage.type` with the parts of `storage.postgres`, is understood too; where
//! both are typed they must agree.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{Problems, Setting, Values, parse};

mod dsn;

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("storage.enabled", &["CVT_STORAGE_ENABLED"]),
    Setting::new("storage.type", &["CVT_STORAGE_TYPE"]),
    Setting::new("storage.dsn", &["CVT_STORAGE_DSN"]),
    Setting::new("storage.postgres.dsn", &["CVT_POSTGRES_DSN"]),
    Setting::new("storage.postgres.host", &["CVT_POSTGRES_HOST"]),
    Setting::new("storage.postgres.port", &["CVT_POSTGRES_PORT"]),
    Setting::new("storage.postgres.user", &["CVT_POSTGRES_USER"]),
    Setting::new("storage.postgres.password", &["CVT_POSTGRES_PASSWORD"]),
    Setting::new("storage.postgres.db", &["CVT_POSTGRES_DB"]),
    Setting::new("storage.postgres.sslmode", &["CVT_POSTGRES_SSLMODE"]),
    Setting::new("storage.postgres.sslrootcert", &["CVT_POSTGRES_SSLROOTCERT"]),
    Setting::new("storage.postgres.max_conns", &["CVT_POSTGRES_MAX_CONNS"]),
    Setting::new("storage.postgres.statement_timeout", &["CVT_POSTGRES_STATEMENT_TIMEOUT"]),
];

/// The default database.
pub const DEFAULT_DSN: &str = "cvt.db";

const SSL_MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

const BACKENDS: &[(&str, Backend)] =
    &[("sqlite", Backend::Sqlite), ("postgres", Backend::Postgres), ("memory", Backend::Memory)];

const STATEMENT_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(1);

/// Where things are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageSettings {
    /// In this process only.
    Memory,
    /// In a SQLite file.
    Sqlite {
        /// Path of the file.
        path: PathBuf,
    },
    /// In a PostgreSQL database.
    Postgres(PostgresSettings),
}

/// How to reach a PostgreSQL database. Never shows its password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Host name, address, or directory of the server's socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password; empty for none.
    pub password: String,
    /// Database.
    pub database: String,
    /// TLS.
    pub ssl_mode: SslMode,
    /// A file of certificates of authorities to trust instead of the system's.
    pub ssl_root_cert: Option<PathBuf>,
    /// The most connections.
    pub max_connections: u32,
    /// How long one statement may take.
    pub statement_timeout: Duration,
}

/// How far the server's certificate is checked (libpq's words).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// No TLS.
    #[default]
    Disable,
    /// TLS if the server insists.
    Allow,
    /// TLS if the server can.
    Prefer,
    /// TLS, any certificate.
    Require,
    /// TLS, a certificate of a known authority.
    VerifyCa,
    /// TLS, a certificate of a known authority for this host.
    VerifyFull,
}

/// The backends, by CVT's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Memory,
    Sqlite,
    Postgres,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> StorageSettings {
    let enabled = values.read("storage.enabled", true, problems, parse::boolean);
    let backend =
        values.read("storage.type", None, problems, |text| parse::choice(BACKENDS)(text).map(Some));
    let postgres = read_postgres(values, problems);
    let default = match backend {
        None | Some(Backend::Sqlite) => StorageSettings::Sqlite { path: DEFAULT_DSN.into() },
        Some(Backend::Memory) => StorageSettings::Memory,
        Some(Backend::Postgres) => StorageSettings::Postgres(postgres.clone()),
    };
    let settings = values.read("storage.dsn", default, problems, |text| {
        let settings = StorageSettings::parse_with_defaults(text, postgres)?;
        match backend {
            Some(backend) if backend != settings.backend() => Err(format!(
                "this names a {:?} store, but storage.type is {backend:?}",
                settings.backend()
            )),
            _ => Ok(settings),
        }
    });
    if enabled { settings } else { StorageSettings::Memory }
}

/// The parts, then the DSN over them, as CVT does.
fn read_postgres(values: &Values, problems: &mut Problems) -> PostgresSettings {
    let default = PostgresSettings::default();
    let text = |key, default: String, problems: &mut Problems| {
        values.read(key, default, problems, |text| match text {
            "" => Err("expected a name".to_owned()),
            text => Ok(text.to_owned()),
        })
    };
    let parts = PostgresSettings {
        host: text("storage.postgres.host", default.host, problems),
        port: values.read("storage.postgres.port", default.port, problems, dsn::port),
        user: text("storage.postgres.user", default.user, problems),
        password: values.read("storage.postgres.password", default.password, problems, |text| {
            Ok(text.to_owned())
        }),
        database: text("storage.postgres.db", default.database, problems),
        ssl_mode: values.read(
            "storage.postgres.sslmode",
            default.ssl_mode,
            problems,
            parse::choice(SSL_MODES),
        ),
        ssl_root_cert: values
            .read("storage.postgres.sslrootcert", None, problems, |text| Ok(Some(text.into()))),
        max_connections: values.read(
            "storage.postgres.max_conns",
            default.max_connections,
            problems,
            |text| parse::integer(1..=10_000)(text).map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        ),
        statement_timeout: values.read(
            "storage.postgres.statement_timeout",
            default.statement_timeout,
            problems,
            parse::duration(STATEMENT_TIMEOUTS),
        ),
    };
    values.read("storage.postgres.dsn", parts.clone(), problems, |text| dsn::parse(text, parts))
}

// === impl StorageSettings ===

impl StorageSettings {
    /// Reads a path, `sqlite://PATH`, `postgres://USER:PASSWORD@HOST:PORT/DB` or `memory:`.
    /// The message of an error holds nothing of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_with_defaults(text, PostgresSettings::default())
    }

    /// As [`StorageSettings::parse`]; what a PostgreSQL text omits is taken from `parts`.
    fn parse_with_defaults(text: &str, parts: PostgresSettings) -> Result<Self, String> {
        let expected = || Err("expected a path, sqlite://PATH, postgres://… or memory:".to_owned());
        match text.split_once("://") {
            _ if text == "memory:" => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite { path: path.into() }),
            Some(("postgres" | "postgresql", _)) => dsn::parse(text, parts).map(Self::Postgres),
            Some(_) => expected(),
            None if text.is_empty() => expected(),
            None => Ok(Self::Sqlite { path: text.into() }),
        }
    }

    fn backend(&self) -> Backend {
        match self {
            Self::Memory => Backend::Memory,
            Self::Sqlite { .. } => Backend::Sqlite,
            Self::Postgres(_) => Backend::Postgres,
        }
    }
}

impl fmt::Display for StorageSettings {
    /// The place in one text, for messages; without password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite { path } => write!(f, "{}", path.display()),
            Self::Postgres(postgres) => write!(f, "{postgres}"),
        }
    }
}

// === impl PostgresSettings ===

impl Default for PostgresSettings {
    /// CVT's defaults.
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 5432,
            user: "cvt".to_owned(),
            password: String::new(),
            database: "cvt".to_owned(),
            ssl_mode: SslMode::Disable,
            ssl_root_cert: None,
            max_connections: 25,
            statement_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Display for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, host, port, database, .. } = self;
        write!(f, "postgres://{user}@{host}:{port}/{database}")
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?}, {} connections)", self.ssl_mode, self.max_connections)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, RawSettings};
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Result<StorageSettings, String> {
        let base = [("CVT_SPEC", "a.yaml"), ("CVT_UPSTREAM", "http://127.0.0.1:1")];
        let pairs = base.iter().chain(environment);
        let environment = pairs.map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let raw = RawSettings { environment, ..RawSettings::default() };
        Config::load(raw).map(|config| config.storage).map_err(|error| error.to_string())
    }

    #[test]
    fn sqlite_in_the_working_directory_is_the_default() {
        let default = StorageSettings::Sqlite { path: "cvt.db".into() };
        assert_eq!(load(&[]), Ok(default.clone()));
        assert_eq!(load(&[("CVT_STORAGE_TYPE", "sqlite")]), Ok(default));
        assert_eq!(load(&[("CVT_STORAGE_ENABLED", "false")]), Ok(StorageSettings::Memory));
        assert_eq!(load(&[("CVT_STORAGE_TYPE", "memory")]), Ok(StorageSettings::Memory));
        assert_eq!(load(&[("CVT_STORAGE_DSN", "memory:")]), Ok(StorageSettings::Memory));
    }

    #[test]
    fn cvts_variables_name_a_postgresql_database() {
        let settings = load(&[
            ("CVT_STORAGE_TYPE", "postgres"),
            ("CVT_POSTGRES_HOST", "db"),
            ("CVT_POSTGRES_PASSWORD", "hunter2"),
            ("CVT_POSTGRES_SSLMODE", "require"),
            ("CVT_POSTGRES_MAX_CONNS", "7"),
        ]);
        let Ok(StorageSettings::Postgres(settings)) = settings else { panic!("{settings:?}") };
        assert_eq!((&*settings.host, &*settings.password), ("db", "hunter2"));
        assert_eq!((settings.ssl_mode, settings.max_connections), (SslMode::Require, 7));
        assert_eq!((&*settings.user, settings.port), ("cvt", 5432));
    }

    #[test]
    fn a_dsn_wins_over_its_parts_and_must_agree_with_the_type() {
        let settings = load(&[
            ("CVT_STORAGE_TYPE", "postgres"),
            ("CVT_POSTGRES_HOST", "db"),
            ("CVT_POSTGRES_DB", "x"),
            ("CVT_POSTGRES_DSN", "postgres://u@other:1"),
        ]);
        assert_eq!(settings.unwrap().to_string(), "postgres://u@other:1/x");
        let settings = load(&[("CVT_STORAGE_DSN", "postgres://u:hunter2@h/d")]);
        assert_eq!(settings.unwrap().to_string(), "postgres://u@h:5432/d");
        let error = load(&[("CVT_STORAGE_TYPE", "sqlite"), ("CVT_STORAGE_DSN", "postgres://h")]);
        assert!(error.unwrap_err().contains("storage.type"));
    }

    #[test]
    fn trap_t28_wrong_values_are_errors_without_the_secret() {
        let error = load(&[
            ("CVT_STORAGE_TYPE", "mysql"),
            ("CVT_POSTGRES_PORT", "0"),
            ("CVT_POSTGRES_SSLMODE", "on"),
            ("CVT_POSTGRES_MAX_CONNS", "many"),
            ("CVT_POSTGRES_DSN", "hunter2"),
        ]);
        let error = error.unwrap_err();
        for name in ["TYPE", "PORT", "SSLMODE", "MAX_CONNS", "DSN"] {
            assert!(error.contains(name), "{name} is missing in {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }
}
