//! What records have in common, named once.
//!
//! A *series* is one combination of schema, environment, method, operation, consumer, verdict
//! and violation codes. Every record points to its series and numbers are kept per series (see
//! `rollups`), so that asking for them reads no record. Beside the series stand *facets*: sums
//! over all records and over those of one name, which time lines are drawn from.
//!
//! What must hold: a number stands for one series for ever. A series that nothing counts any
//! more is cleared away; a process that still remembers its number is refused when it notes a
//! record, forgets what it remembers and names the series anew. A new name to count by goes into
//! [`Series`], gets a [`Facet`], and a condition in [`narrow`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::query::{List, Query, Value, clean};
use super::store::Db;
use super::{Dialect, Link, Reader, rollups};
use crate::model::record::ValidationRecord;
use crate::storage::query::ValidationFilter;
use crate::storage::store::StoreResult;

/// Series remembered at most; beyond that all are looked up again.
const REMEMBERED: usize = 50_000;
/// Names per statement.
const CHUNK: usize = 256;

/// Which names a sum goes by; [`Facet::Record`] goes by all of them and is no sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Facet {
    Record,
    All,
    Schema,
    Environment,
    Method,
    Operation,
    Consumer,
    Code,
}

/// A series, or the facet of one: names that do not count are empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Series<'r> {
    facet: Facet,
    schema_id: Cow<'r, str>,
    environment: Cow<'r, str>,
    method: Cow<'r, str>,
    operation: Option<Cow<'r, str>>,
    consumer_id: Cow<'r, str>,
    valid: bool,
    /// Sorted, each once.
    codes: Vec<Cow<'r, str>>,
}

/// A series as it stands in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: i64,
    /// The number of the sum over everything.
    pub(crate) all: i64,
    /// The numbers of its other facets.
    pub(crate) facets: Vec<i64>,
    /// The violation codes its records carry.
    pub(crate) codes: Vec<String>,
}

/// Hex SHA-256 of everything in a series.
type Fingerprint = String;

/// The series this process has met lately.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<HashMap<Fingerprint, Arc<Known>>>);

// === impl Facet ===

impl Facet {
    /// The name in storage.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::All => "all",
            Self::Schema => "schema",
            Self::Environment => "environment",
            Self::Method => "method",
            Self::Operation => "operation",
            Self::Consumer => "consumer",
            Self::Code => "code",
        }
    }

    /// The facet that sums up exactly what a filter picks, its times aside; the series
    /// themselves when it asks for more than one name.
    pub(crate) fn of(filter: &ValidationFilter) -> Self {
        let names = [
            (&filter.schema_id, Self::Schema),
            (&filter.environment, Self::Environment),
            (&filter.method, Self::Method),
            (&filter.operation, Self::Operation),
            (&filter.consumer_id, Self::Consumer),
            (&filter.code, Self::Code),
        ];
        let mut asked = names.into_iter().filter(|(name, _)| name.is_some());
        match (asked.next(), asked.next()) {
            (None, _) => Self::All,
            (Some((_, facet)), None) => facet,
            (Some(_), Some(_)) => Self::Record,
        }
    }
}

// === impl Series ===

impl<'r> Series<'r> {
    /// The series of a record.
    pub(crate) fn of(record: &'r ValidationRecord) -> Self {
        let mut codes: Vec<_> =
            record.violations.iter().map(|found| Cow::Borrowed(found.code.as_str())).collect();
        codes.sort_unstable();
        codes.dedup();
        Self {
            facet: Facet::Record,
            schema_id: clean(&record.schema_id),
            environment: clean(&record.environment),
            method: clean(&record.request_method),
            operation: record.operation.as_deref().map(clean),
            consumer_id: clean(&record.consumer_id),
            valid: record.valid,
            codes,
        }
    }

    /// The series of a row of `validation_runs` and of its codes, sorted and each once.
    pub(crate) fn of_row(row: Reader<'_>, codes: Vec<Cow<'r, str>>) -> StoreResult<Self> {
        Ok(Self {
            facet: Facet::Record,
            schema_id: row.text("schema_id")?.into(),
            environment: row.text("environment")?.into(),
            method: row.text("request_method")?.into(),
            operation: row.opt_text("operation")?.map(Cow::Owned),
            consumer_id: row.text("consumer_id")?.into(),
            valid: row.truth("valid")?,
            codes,
        })
    }

    fn empty(facet: Facet, valid: bool) -> Self {
        Self {
            facet,
            schema_id: "".into(),
            environment: "".into(),
            method: "".into(),
            operation: None,
            consumer_id: "".into(),
            valid,
            codes: Vec::new(),
        }
    }

    /// The sums that a record of this series counts in.
    fn facets(&self) -> Vec<Self> {
        let of = |facet| Self::empty(facet, self.valid);
        let mut facets = vec![
            of(Facet::All),
            Self { schema_id: self.schema_id.clone(), ..of(Facet::Schema) },
            Self { environment: self.environment.clone(), ..of(Facet::Environment) },
            Self { method: self.method.clone(), ..of(Facet::Method) },
            Self { consumer_id: self.consumer_id.clone(), ..of(Facet::Consumer) },
        ];
        if self.operation.is_some() {
            facets.push(Self { operation: self.operation.clone(), ..of(Facet::Operation) });
        }
        let one = |code: &Cow<'r, str>| Self { codes: vec![code.clone()], ..of(Facet::Code) };
        facets.extend(self.codes.iter().map(one));
        facets
    }

    fn fingerprint(&self) -> Fingerprint {
        use std::fmt::Write as _;
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        add(self.facet.as_str());
        add(&self.schema_id);
        add(&self.environment);
        add(&self.method);
        add(if self.operation.is_some() { "1" } else { "0" });
        add(self.operation.as_deref().unwrap_or(""));
        add(&self.consumer_id);
        add(if self.valid { "1" } else { "0" });
        self.codes.iter().for_each(|code| add(code));
        hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            // writing to a String cannot fail
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    fn values(&self, fingerprint: &str) -> [Value; 8] {
        [
            fingerprint.into(),
            self.facet.as_str().into(),
            (&*self.schema_id).into(),
            (&*self.environment).into(),
            (&*self.method).into(),
            Value::opt(self.operation.as_deref()),
            (&*self.consumer_id).into(),
            self.valid.into(),
        ]
    }
}

// === impl Book ===

impl Book {
    /// The numbers of `series`, in their order; those that have none are given one at once.
    pub(crate) async fn name(
        &self,
        db: &Db,
        series: &[Series<'_>],
    ) -> StoreResult<Vec<Arc<Known>>> {
        let wanted: Vec<_> = series.iter().map(|one| (one.fingerprint(), one)).collect();
        let new: Vec<_> = {
            let known = self.0.lock();
            wanted.iter().filter(|(print, _)| !known.contains_key(print)).collect()
        };
        let mut named = HashMap::new();
        if !new.is_empty() {
            let mut held = db.begin().await?;
            named = name(&mut held.link(), &new).await?;
            held.commit().await?;
        }
        let mut known = self.0.lock();
        let all = wanted.iter().map(|(print, _)| known.get(print).or_else(|| named.get(print)));
        let all = all.flatten().cloned().collect();
        if known.len() + named.len() > REMEMBERED {
            known.clear();
        }
        known.extend(named);
        Ok(all)
    }

    /// Forgets every number.
    pub(crate) fn forget(&self) {
        self.0.lock().clear();
    }
}

/// Looks series up, and writes those that are not there; the caller commits.
async fn name(
    link: &mut Link<'_>,
    series: &[&(Fingerprint, &Series<'_>)],
) -> StoreResult<HashMap<Fingerprint, Arc<Known>>> {
    // one order in all processes: two of them never wait for each other in a circle
    let mut all = BTreeMap::new();
    for (print, one) in series {
        all.insert(print.clone(), Cow::Borrowed(*one));
        all.extend(one.facets().into_iter().map(|facet| (facet.fingerprint(), Cow::Owned(facet))));
    }
    let mut ids = look_up(link, all.keys().cloned().collect()).await?;
    let missing: Vec<_> = all.iter().filter(|(print, _)| !ids.contains_key(*print)).collect();
    for chunk in missing.chunks(CHUNK) {
        insert(link, chunk).await?;
    }
    let prints = missing.iter().map(|(print, _)| (*print).clone()).collect();
    let new = look_up(link, prints).await?;
    let mut codes: Vec<(i64, &str)> = Vec::new();
    for (print, one) in missing {
        if let Some(id) = new.get(print) {
            codes.extend(one.codes.iter().map(|code| (*id, &**code)));
        }
    }
    for chunk in codes.chunks(CHUNK) {
        insert_codes(link, chunk).await?;
    }
    ids.extend(new);
    let known = series.iter().filter_map(|(print, one)| Some((print.clone(), known(one, &ids)?)));
    Ok(known.collect())
}

fn known(series: &Series<'_>, ids: &HashMap<Fingerprint, i64>) -> Option<Arc<Known>> {
    let all = Series::empty(Facet::All, series.valid).fingerprint();
    let facets = series.facets();
    let facets = facets.iter().filter(|facet| facet.facet != Facet::All);
    let facets = facets.map(|facet| ids.get(&facet.fingerprint()).copied());
    Some(Arc::new(Known {
        id: *ids.get(&series.fingerprint())?,
        all: *ids.get(&all)?,
        facets: facets.collect::<Option<Vec<_>>>()?,
        codes: series.codes.iter().map(|code| code.clone().into_owned()).collect(),
    }))
}

async fn look_up(
    link: &mut Link<'_>,
    fingerprints: Vec<Fingerprint>,
) -> StoreResult<HashMap<Fingerprint, i64>> {
    if fingerprints.is_empty() {
        return Ok(HashMap::new());
    }
    let mut query = Query::build("SELECT id, fingerprint FROM validation_series");
    query.among(link.dialect(), "fingerprint", List::Texts(fingerprints));
    let rows = link.rows(query).await?;
    rows.iter()
        .map(|row| {
            let row = Reader::new(row, "validation_series", "fingerprint");
            Ok((row.text("fingerprint")?, row.int("id")?))
        })
        .collect()
}

async fn insert(
    link: &mut Link<'_>,
    series: &[(&Fingerprint, &Cow<'_, Series<'_>>)],
) -> StoreResult<()> {
    let mut query = Query::build(
        "INSERT INTO validation_series (fingerprint, facet, schema_id, environment, \
         request_method, operation, consumer_id, valid) VALUES ",
    );
    for (index, (print, one)) in series.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        query.bulk_row(link.dialect(), one.values(print));
    }
    query.push(" ON CONFLICT DO NOTHING");
    link.run(query).await.map(drop)
}

async fn insert_codes(link: &mut Link<'_>, codes: &[(i64, &str)]) -> StoreResult<()> {
    let mut query = Query::build("INSERT INTO validation_series_codes (series, code) VALUES ");
    for (index, (series, code)) in codes.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        query.bulk_row(link.dialect(), [(*series).into(), (*code).into()]);
    }
    query.push(" ON CONFLICT DO NOTHING");
    link.run(query).await.map(drop)
}

/// The series of these numbers, by number.
pub(crate) async fn of_ids(
    link: &mut Link<'_>,
    ids: Vec<i64>,
) -> StoreResult<HashMap<i64, Arc<Known>>> {
    let mut query = Query::build("SELECT series, code FROM validation_series_codes");
    query.among(link.dialect(), "series", List::Ints(ids.clone()));
    query.push(" ORDER BY series, code");
    let mut codes: HashMap<i64, Vec<Cow<'static, str>>> = HashMap::new();
    for row in &link.rows(query).await? {
        let row = Reader::new(row, "validation_series_codes", "code");
        codes.entry(row.int("series")?).or_default().push(row.text("code")?.into());
    }
    let mut query = Query::build(
        "SELECT id, fingerprint, schema_id, environment, request_method, operation, \
         consumer_id, valid FROM validation_series",
    );
    query.among(link.dialect(), "id", List::Ints(ids));
    let mut series = Vec::new();
    for row in &link.rows(query).await? {
        let row = Reader::new(row, "validation_series", "fingerprint");
        let id = row.int("id")?;
        series.push((id, Series::of_row(row, codes.remove(&id).unwrap_or_default())?));
    }
    let all = series.iter().flat_map(|(_, one)| {
        one.facets().iter().chain([one]).map(Series::fingerprint).collect::<Vec<_>>()
    });
    let numbers = look_up(link, all.collect()).await?;
    Ok(series.iter().filter_map(|(id, one)| Some((*id, known(one, &numbers)?))).collect())
}

/// Clears away series that count nothing; says how many.
pub(crate) async fn tidy(link: &mut Link<'_>) -> StoreResult<u64> {
    rollups::lock(link).await?;
    if link.dialect() == Dialect::Postgres {
        // waits for those who have noted records, and lets others note when this is done
        link.script("LOCK TABLE validation_recent_batches IN SHARE ROW EXCLUSIVE MODE".to_owned())
            .await?;
    }
    rollups::fold(link, std::iter::empty()).await?;
    link.run(Query::new(
        "DELETE FROM validation_series WHERE NOT EXISTS \
         (SELECT 1 FROM validation_rollups AS r WHERE r.series = validation_series.id)",
        [],
    ))
    .await
}

/// Adds the conditions of a filter, its times aside, to a query over `validation_series AS s`.
pub(crate) fn narrow(query: &mut Query, facet: Facet, filter: &ValidationFilter) {
    query
        .equals("s.facet", Some(facet.as_str()))
        .equals("s.schema_id", filter.schema_id.as_deref())
        .equals("s.environment", filter.environment.as_deref())
        .equals("s.request_method", filter.method.as_deref())
        .equals("s.operation", filter.operation.as_deref())
        .equals("s.consumer_id", filter.consumer_id.as_deref());
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

    fn series() -> Series<'static> {
        Series {
            schema_id: "books".into(),
            environment: "prod".into(),
            method: "GET".into(),
            operation: Some("/a".into()),
            consumer_id: "shop".into(),
            codes: vec!["x".into(), "y".into()],
            ..Series::empty(Facet::Record, false)
        }
    }

    #[test]
    fn every_name_tells_series_apart() {
        let one = series();
        let others = [
            Series { schema_id: "".into(), environment: "booksprod".into(), ..one.clone() },
            Series { operation: None, ..one.clone() },
            Series { operation: Some("".into()), ..one.clone() },
            Series { valid: true, ..one.clone() },
            Series { codes: vec!["xy".into()], ..one.clone() },
        ];
        let mut prints: Vec<_> =
            others.iter().chain([&one]).chain(&one.facets()).map(Series::fingerprint).collect();
        let all = prints.len();
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), all);
        assert_eq!(one.facets().len(), 8);
        assert_eq!(Series { operation: None, codes: Vec::new(), ..one }.facets().len(), 5);
    }

    #[test]
    fn a_filter_of_one_name_has_a_facet() {
        let none = ValidationFilter::default;
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(Facet::of(&ValidationFilter { valid: Some(true), ..none() }), Facet::All);
        let one = ValidationFilter { method: some("GET"), valid: Some(false), ..none() };
        assert_eq!(Facet::of(&one), Facet::Method);
        assert_eq!(Facet::of(&ValidationFilter { code: some("x"), ..one }), Facet::Record);
    }
}
