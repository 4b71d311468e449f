//! A statement and its bound values, for either database.

use std::borrow::Cow;

use serde::Serialize;
use sqlx::types::JsonRawValue;
use uuid::Uuid;

use super::dialect::SqlDialect;
use crate::model::clock::Timestamp;
use crate::storage::error::StoreError;

/// A bound value, typed as both databases need it.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Text; NUL characters, which PostgreSQL cannot hold, become U+FFFD on every backend.
    Text(Option<String>),
    /// A whole number.
    Int(Option<i64>),
    /// A truth value.
    Bool(bool),
    /// A time: microseconds in SQLite, TIMESTAMPTZ in PostgreSQL.
    Time(Timestamp),
    /// A UUID: text in SQLite, UUID in PostgreSQL.
    Id(Option<Uuid>),
    /// A JSON text: TEXT in SQLite, JSONB in PostgreSQL.
    Json(Box<JsonRawValue>),
    /// Several values of one kind, for [`Query::where_in`]: a JSON list in SQLite, an array in
    /// PostgreSQL.
    List(ValueList),
}

/// Values of one kind.
#[derive(Debug, Clone)]
pub(crate) enum ValueList {
    Ints(Vec<i64>),
    Texts(Vec<String>),
    Ids(Vec<Uuid>),
}

/// A statement under construction.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) text: Cow<'static, str>,
    pub(crate) values: Vec<Value>,
    /// Whether a condition was added already.
    conditions: bool,
}

// === impl Value ===

impl Value {
    /// Text that may be absent.
    pub(crate) fn opt(text: Option<&str>) -> Self {
        Self::Text(text.map(|text| replace_nul(text).into_owned()))
    }

    /// `value` as JSON.
    pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, StoreError> {
        let text = serde_json::to_string(value)
            .map_err(|error| StoreError::Unexpected(error.to_string()))?;
        let text = if text.contains("\\u0000") { replace_escaped_nul(&text) } else { text };
        let json = JsonRawValue::from_string(text)
            .map_err(|error| StoreError::Unexpected(error.to_string()))?;
        Ok(Self::Json(json))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(replace_nul(text).into_owned()))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(Some(number.into()))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        Self::Time(at)
    }
}

impl From<ValueList> for Value {
    fn from(list: ValueList) -> Self {
        Self::List(list)
    }
}

impl From<Uuid> for Value {
    fn from(id: Uuid) -> Self {
        Self::Id(Some(id))
    }
}

// === impl Query ===

impl Query {
    /// A statement with its values in the order of `$1`, `$2`, ….
    pub(crate) fn new(text: &'static str, values: impl IntoIterator<Item = Value>) -> Self {
        Self { text: Cow::Borrowed(text), values: values.into_iter().collect(), conditions: false }
    }

    /// A statement to build on.
    pub(crate) fn build(text: impl Into<String>) -> Self {
        Self { text: Cow::Owned(text.into()), values: Vec::new(), conditions: false }
    }

    /// Adds constant text.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// Adds a value and its placeholder.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let placeholder = format!("${}", self.values.len());
        self.push(&placeholder)
    }

    /// Starts a condition: `WHERE` the first time, `AND` afterwards.
    pub(crate) fn condition(&mut self) -> &mut Self {
        let word = if self.conditions { " AND " } else { " WHERE " };
        self.conditions = true;
        self.push(word)
    }

    /// Adds `column = value` as a condition, when there is a value.
    pub(crate) fn where_eq(&mut self, column: &str, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(value) = value {
            self.condition().push(column).push(" = ").bind(value);
        }
        self
    }

    /// Starts over with conditions, for another SELECT of the same statement.
    pub(crate) fn start_conditions(&mut self) -> &mut Self {
        self.conditions = false;
        self
    }

    /// Adds a condition that `column` is one of the values.
    pub(crate) fn where_in(
        &mut self,
        dialect: SqlDialect,
        column: &str,
        list: ValueList,
    ) -> &mut Self {
        self.condition().push(column);
        match dialect {
            SqlDialect::Sqlite => {
                self.push(" IN (SELECT value FROM json_each(").bind(list).push("))")
            }
            SqlDialect::Postgres => self.push(" = ANY(").bind(list).push(")"),
        }
    }

    /// Adds a comparison of rows, as `(a, b) > ($1, $2)`.
    pub(crate) fn where_row(
        &mut self,
        columns: &str,
        operator: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> &mut Self {
        self.condition().push("(").push(columns).push(") ").push(operator).push(" ");
        self.tuple(values)
    }

    /// Adds one row of a bulk insert. SQLite gets `?`: it looks named parameters up one by one,
    /// which made 64 rows of 30 columns cost more than storing them. Its statements must hold
    /// nothing but such rows.
    pub(crate) fn bulk_row(
        &mut self,
        dialect: SqlDialect,
        values: impl IntoIterator<Item = Value>,
    ) -> &mut Self {
        if dialect == SqlDialect::Postgres {
            return self.tuple(values);
        }
        for (index, value) in values.into_iter().enumerate() {
            self.values.push(value);
            self.push(if index == 0 { "(?" } else { ",?" });
        }
        self.push(")")
    }

    /// Adds a tuple of values, as `($1, $2)`.
    pub(crate) fn tuple(&mut self, values: impl IntoIterator<Item = Value>) -> &mut Self {
        for (index, value) in values.into_iter().enumerate() {
            self.push(if index == 0 { "(" } else { ", " }).bind(value);
        }
        self.push(")")
    }
}

/// The text as both databases can hold it.
pub(crate) fn replace_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// JSONB refuses `\u0000`; an escaped backslash before `u0000` is none of these.
fn replace_escaped_nul(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        let taken = if escape.starts_with("\\u0000") {
            out.push_str("\\ufffd");
            6
        } else {
            // serde_json escapes with ASCII only: the byte after a backslash is a whole character.
            out.push_str(&escape[..2]);
            2
        };
        rest = &escape[taken..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_never_reaches_a_database() {
        let Value::Json(json) = Value::json(&["a\0b", "\\u0000", "\\\0"]).unwrap() else {
            panic!("not json")
        };
        assert_eq!(json.get(), r#"["a\ufffdb","\\u0000","\\\ufffd"]"#);
        let Value::Text(Some(text)) = Value::from("a\0b") else { panic!("not text") };
        assert_eq!(text, "a\u{fffd}b");
    }

    #[test]
    fn conditions_are_joined_and_numbered() {
        let mut query = Query::build("SELECT 1 FROM t");
        query.where_eq("a", Some("x")).where_eq("b", None::<&str>).where_eq("c", Some(true));
        query.where_row("d, e", "<", [Value::from(1_i64), Value::from("y")]);
        assert_eq!(query.text, "SELECT 1 FROM t WHERE a = $1 AND c = $2 AND (d, e) < ($3, $4)");
        assert_eq!(query.values.len(), 4);
    }
}
