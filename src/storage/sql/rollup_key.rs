//! Rollup keys: what records are counted by.
//!
//! A rollup key (a row of `validation_series`) is one combination of schema, environment, method,
//! path template, consumer, verdict and violation codes. Every record refers to its key, and
//! counts are kept per key (see `rollups`), so that analytics read no record. Each key also has
//! aggregates: keys over all records and over those of one dimension, which time series are read
//! from.
//!
//! Invariants:
//! - An id belongs to one key for ever.
//! - A key without counts is deleted. A process that still caches its id is refused when it adds
//!   a record, clears its cache and resolves the key again.
//!
//! A new dimension goes into [`RollupKey`], gets a [`RollupDimension`], and a condition in
//! [`apply_filter`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::query::{Query, Value, ValueList, replace_nul};
use super::{DbConn, RowReader};
use crate::model::record::ValidationRecord;
use crate::storage::query::ValidationFilter;
use crate::storage::store::StoreResult;

/// Names per statement.
const CHUNK: usize = 256;

/// Which dimension an aggregate is over; [`RollupDimension::Record`] is the key of records itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RollupDimension {
    Record,
    All,
    Schema,
    Environment,
    Method,
    PathTemplate,
    Consumer,
    Code,
}

/// A rollup key or an aggregate of one: dimensions that do not apply are empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RollupKey<'r> {
    dimension: RollupDimension,
    schema_id: Cow<'r, str>,
    environment: Cow<'r, str>,
    method: Cow<'r, str>,
    path_template: Option<Cow<'r, str>>,
    consumer_id: Cow<'r, str>,
    valid: bool,
    /// Sorted, each once.
    codes: Vec<Cow<'r, str>>,
}

/// The ids of a key and its aggregates in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RollupIds {
    pub(crate) id: i64,
    /// The id of the aggregate over all records.
    pub(crate) total_id: i64,
    /// The ids of its other aggregates.
    pub(crate) aggregate_ids: Vec<i64>,
    /// The violation codes its records carry.
    pub(crate) codes: Vec<String>,
}

/// Hex SHA-256 of everything in a key.
pub(crate) type KeyHash = String;

// === impl RollupDimension ===

impl RollupDimension {
    /// The name in storage.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::All => "all",
            Self::Schema => "schema",
            Self::Environment => "environment",
            Self::Method => "method",
            Self::PathTemplate => "operation",
            Self::Consumer => "consumer",
            Self::Code => "code",
        }
    }

    /// The aggregate that counts exactly what a filter selects, its times aside; the keys
    /// themselves when it names more than one dimension.
    pub(crate) fn of(filter: &ValidationFilter) -> Self {
        let names = [
            (&filter.schema_id, Self::Schema),
            (&filter.environment, Self::Environment),
            (&filter.method, Self::Method),
            (&filter.path_template, Self::PathTemplate),
            (&filter.consumer_id, Self::Consumer),
            (&filter.code, Self::Code),
        ];
        let mut asked = names.into_iter().filter(|(name, _)| name.is_some());
        match (asked.next(), asked.next()) {
            (None, _) => Self::All,
            (Some((_, dimension)), None) => dimension,
            (Some(_), Some(_)) => Self::Record,
        }
    }
}

// === impl RollupKey ===

impl<'r> RollupKey<'r> {
    /// The key of a record.
    pub(crate) fn of(record: &'r ValidationRecord) -> Self {
        let mut codes: Vec<_> =
            record.violations.iter().map(|found| Cow::Borrowed(found.code.as_str())).collect();
        codes.sort_unstable();
        codes.dedup();
        Self {
            dimension: RollupDimension::Record,
            schema_id: replace_nul(&record.schema_id),
            environment: replace_nul(&record.environment),
            method: replace_nul(&record.request_method),
            path_template: record.path_template.as_deref().map(replace_nul),
            consumer_id: replace_nul(&record.consumer_id),
            valid: record.valid,
            codes,
        }
    }

    /// The key of a row of `validation_runs` and of its codes, sorted and each once.
    pub(crate) fn of_row(row: RowReader<'_>, codes: Vec<Cow<'r, str>>) -> StoreResult<Self> {
        Ok(Self {
            dimension: RollupDimension::Record,
            schema_id: row.text("schema_id")?.into(),
            environment: row.text("environment")?.into(),
            method: row.text("request_method")?.into(),
            path_template: row.opt_text("path_template")?.map(Cow::Owned),
            consumer_id: row.text("consumer_id")?.into(),
            valid: row.boolean("valid")?,
            codes,
        })
    }

    fn empty(dimension: RollupDimension, valid: bool) -> Self {
        Self {
            dimension,
            schema_id: "".into(),
            environment: "".into(),
            method: "".into(),
            path_template: None,
            consumer_id: "".into(),
            valid,
            codes: Vec::new(),
        }
    }

    /// The aggregates that a record of this key counts in.
    fn aggregates(&self) -> Vec<Self> {
        let of = |dimension| Self::empty(dimension, self.valid);
        let mut aggregates = vec![
            of(RollupDimension::All),
            Self { schema_id: self.schema_id.clone(), ..of(RollupDimension::Schema) },
            Self { environment: self.environment.clone(), ..of(RollupDimension::Environment) },
            Self { method: self.method.clone(), ..of(RollupDimension::Method) },
            Self { consumer_id: self.consumer_id.clone(), ..of(RollupDimension::Consumer) },
        ];
        if self.path_template.is_some() {
            aggregates.push(Self {
                path_template: self.path_template.clone(),
                ..of(RollupDimension::PathTemplate)
            });
        }
        let one =
            |code: &Cow<'r, str>| Self { codes: vec![code.clone()], ..of(RollupDimension::Code) };
        aggregates.extend(self.codes.iter().map(one));
        aggregates
    }

    pub(crate) fn hash(&self) -> KeyHash {
        use std::fmt::Write as _;
        let mut hasher = Sha256::new();
        let mut add = |text: &str| {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        };
        add(self.dimension.as_str());
        add(&self.schema_id);
        add(&self.environment);
        add(&self.method);
        add(if self.path_template.is_some() { "1" } else { "0" });
        add(self.path_template.as_deref().unwrap_or(""));
        add(&self.consumer_id);
        add(if self.valid { "1" } else { "0" });
        self.codes.iter().for_each(|code| add(code));
        hasher.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            // writing to a String cannot fail
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    fn values(&self, hash: &str) -> [Value; 9] {
        [
            hash.into(),
            self.dimension.as_str().into(),
            (&*self.schema_id).into(),
            (&*self.environment).into(),
            (&*self.method).into(),
            Value::opt(self.path_template.as_deref()),
            // under its old name, for the last release
            Value::opt(self.path_template.as_deref()),
            (&*self.consumer_id).into(),
            self.valid.into(),
        ]
    }
}

/// Looks keys up and inserts those that are missing; the caller commits.
pub(crate) async fn resolve(
    conn: &mut DbConn<'_>,
    keys: &[&(KeyHash, &RollupKey<'_>)],
) -> StoreResult<HashMap<KeyHash, Arc<RollupIds>>> {
    // one order in all processes: two of them never wait for each other in a circle
    let mut all = BTreeMap::new();
    for (hash, one) in keys {
        all.insert(hash.clone(), Cow::Borrowed(*one));
        all.extend(
            one.aggregates().into_iter().map(|aggregate| (aggregate.hash(), Cow::Owned(aggregate))),
        );
    }
    let mut ids = select_ids(conn, all.keys().cloned().collect()).await?;
    let missing: Vec<_> = all.iter().filter(|(hash, _)| !ids.contains_key(*hash)).collect();
    for chunk in missing.chunks(CHUNK) {
        insert(conn, chunk).await?;
    }
    let hashes = missing.iter().map(|(hash, _)| (*hash).clone()).collect();
    let new = select_ids(conn, hashes).await?;
    let mut codes: Vec<(i64, &str)> = Vec::new();
    for (hash, one) in missing {
        if let Some(id) = new.get(hash) {
            codes.extend(one.codes.iter().map(|code| (*id, &**code)));
        }
    }
    for chunk in codes.chunks(CHUNK) {
        insert_codes(conn, chunk).await?;
    }
    ids.extend(new);
    let known = keys.iter().filter_map(|(hash, one)| Some((hash.clone(), ids_of(one, &ids)?)));
    Ok(known.collect())
}

fn ids_of(key: &RollupKey<'_>, ids: &HashMap<KeyHash, i64>) -> Option<Arc<RollupIds>> {
    let all = RollupKey::empty(RollupDimension::All, key.valid).hash();
    let aggregates = key.aggregates();
    let aggregates =
        aggregates.iter().filter(|aggregate| aggregate.dimension != RollupDimension::All);
    let aggregates = aggregates.map(|aggregate| ids.get(&aggregate.hash()).copied());
    Some(Arc::new(RollupIds {
        id: *ids.get(&key.hash())?,
        total_id: *ids.get(&all)?,
        aggregate_ids: aggregates.collect::<Option<Vec<_>>>()?,
        codes: key.codes.iter().map(|code| code.clone().into_owned()).collect(),
    }))
}

async fn select_ids(
    conn: &mut DbConn<'_>,
    hashes: Vec<KeyHash>,
) -> StoreResult<HashMap<KeyHash, i64>> {
    if hashes.is_empty() {
        return Ok(HashMap::new());
    }
    let mut query = Query::build("SELECT id, fingerprint FROM validation_series");
    query.where_in(conn.dialect(), "fingerprint", ValueList::Texts(hashes));
    let rows = conn.rows(query).await?;
    rows.iter()
        .map(|row| {
            let row = RowReader::new(row, "validation_series", "fingerprint");
            Ok((row.text("fingerprint")?, row.int("id")?))
        })
        .collect()
}

async fn insert(
    conn: &mut DbConn<'_>,
    keys: &[(&KeyHash, &Cow<'_, RollupKey<'_>>)],
) -> StoreResult<()> {
    let mut query = Query::build(
        "INSERT INTO validation_series (fingerprint, facet, schema_id, environment, \
         request_method, path_template, operation, consumer_id, valid) VALUES ",
    );
    for (index, (hash, one)) in keys.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        query.bulk_row(conn.dialect(), one.values(hash));
    }
    query.push(" ON CONFLICT DO NOTHING");
    conn.run(query).await.map(drop)
}

async fn insert_codes(conn: &mut DbConn<'_>, codes: &[(i64, &str)]) -> StoreResult<()> {
    let mut query = Query::build("INSERT INTO validation_series_codes (series, code) VALUES ");
    for (index, (series, code)) in codes.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        query.bulk_row(conn.dialect(), [(*series).into(), (*code).into()]);
    }
    query.push(" ON CONFLICT DO NOTHING");
    conn.run(query).await.map(drop)
}

/// The keys of these ids, by id.
pub(crate) async fn of_ids(
    conn: &mut DbConn<'_>,
    ids: Vec<i64>,
) -> StoreResult<HashMap<i64, Arc<RollupIds>>> {
    let mut query = Query::build("SELECT series, code FROM validation_series_codes");
    query.where_in(conn.dialect(), "series", ValueList::Ints(ids.clone()));
    query.push(" ORDER BY series, code");
    let mut codes: HashMap<i64, Vec<Cow<'static, str>>> = HashMap::new();
    for row in &conn.rows(query).await? {
        let row = RowReader::new(row, "validation_series_codes", "code");
        codes.entry(row.int("series")?).or_default().push(row.text("code")?.into());
    }
    let mut query = Query::build(
        "SELECT id, fingerprint, schema_id, environment, request_method, \
         COALESCE(path_template, operation) AS path_template, consumer_id, valid \
         FROM validation_series",
    );
    query.where_in(conn.dialect(), "id", ValueList::Ints(ids));
    let mut keys = Vec::new();
    for row in &conn.rows(query).await? {
        let row = RowReader::new(row, "validation_series", "fingerprint");
        let id = row.int("id")?;
        keys.push((id, RollupKey::of_row(row, codes.remove(&id).unwrap_or_default())?));
    }
    let all = keys.iter().flat_map(|(_, one)| {
        one.aggregates().iter().chain([one]).map(RollupKey::hash).collect::<Vec<_>>()
    });
    let numbers = select_ids(conn, all.collect()).await?;
    Ok(keys.iter().filter_map(|(id, one)| Some((*id, ids_of(one, &numbers)?))).collect())
}

/// Adds the conditions of a filter, its times aside, to a query over `validation_series AS s`.
pub(crate) fn apply_filter(
    query: &mut Query,
    dimension: RollupDimension,
    filter: &ValidationFilter,
) {
    query
        .where_eq("s.facet", Some(dimension.as_str()))
        .where_eq("s.schema_id", filter.schema_id.as_deref())
        .where_eq("s.environment", filter.environment.as_deref())
        .where_eq("s.request_method", filter.method.as_deref())
        // both releases fill the old column
        .where_eq("s.operation", filter.path_template.as_deref())
        .where_eq("s.consumer_id", filter.consumer_id.as_deref());
    if let Some(valid) = filter.valid {
        query.condition().push(if valid { "s.valid" } else { "NOT s.valid" });
    }
    if let Some(code) = &filter.code {
        query.condition().push(
            "EXISTS (SELECT 1 FROM validation_series_codes AS k WHERE k.series = s.id AND k.code = ",
        );
        query.bind(code.as_str()).push(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series() -> RollupKey<'static> {
        RollupKey {
            schema_id: "books".into(),
            environment: "prod".into(),
            method: "GET".into(),
            path_template: Some("/a".into()),
            consumer_id: "shop".into(),
            codes: vec!["x".into(), "y".into()],
            ..RollupKey::empty(RollupDimension::Record, false)
        }
    }

    #[test]
    fn every_dimension_is_part_of_the_hash() {
        let one = series();
        let others = [
            RollupKey { schema_id: "".into(), environment: "booksprod".into(), ..one.clone() },
            RollupKey { path_template: None, ..one.clone() },
            RollupKey { path_template: Some("".into()), ..one.clone() },
            RollupKey { valid: true, ..one.clone() },
            RollupKey { codes: vec!["xy".into()], ..one.clone() },
        ];
        let mut hashes: Vec<_> =
            others.iter().chain([&one]).chain(&one.aggregates()).map(RollupKey::hash).collect();
        let all = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), all);
        assert_eq!(one.aggregates().len(), 8);
        assert_eq!(
            RollupKey { path_template: None, codes: Vec::new(), ..one }.aggregates().len(),
            5
        );
    }

    #[test]
    fn a_filter_of_one_dimension_has_an_aggregate() {
        let none = ValidationFilter::default;
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            RollupDimension::of(&ValidationFilter { valid: Some(true), ..none() }),
            RollupDimension::All
        );
        let one = ValidationFilter { method: some("GET"), valid: Some(false), ..none() };
        assert_eq!(RollupDimension::of(&one), RollupDimension::Method);
        assert_eq!(
            RollupDimension::of(&ValidationFilter { code: some("x"), ..one }),
            RollupDimension::Record
        );
    }
}
