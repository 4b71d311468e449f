//! Keywords that are validated here rather than by the `jsonschema` crate: everything about numbers,
//! which are exact only in our own form, and what cannot be enforced.

use std::cmp::Ordering;

use jsonschema::{Draft, Keyword, ValidationError, ValidationOptions};
use serde_json::{Value, json};

use super::instance::Instance;
use crate::contract::format::{self, NumberFormat};
use crate::contract::lower::{
    EXACT_CONST, EXACT_ENUM, LESS_THAN, MORE_THAN, NAMED, NUMBER_FORMAT, READ_ONLY, SchemaDialect,
    UNENFORCEABLE, WRITE_ONLY,
};
use crate::json::number::{Decimal, Divisor, compare_plain};
use crate::json::{Node, Number};
use crate::model::rule::{Rule, Rules};

type Options<'o> = ValidationOptions<'o, std::sync::Arc<dyn jsonschema::Retrieve>, Instance>;
type KeywordResult<'a> = Result<Box<dyn for<'i> Keyword<'i, Instance>>, ValidationError<'a>>;

/// Registers every keyword and format of ours.
pub(super) fn register(
    mut options: Options<'_>,
    dialect: SchemaDialect,
    draft: Draft,
    rules: Rules,
) -> Options<'_> {
    for (name, bound) in [
        ("minimum", Bound::AtLeast),
        ("maximum", Bound::AtMost),
        ("exclusiveMinimum", Bound::MoreThan),
        ("exclusiveMaximum", Bound::LessThan),
        (MORE_THAN, Bound::MoreThan),
        (LESS_THAN, Bound::LessThan),
    ] {
        options = options.with_keyword(name, move |_, value, _| BoundKeyword::make(bound, value));
    }
    for (name, check) in format::OWN {
        options = options.with_format(name, check);
    }
    if dialect == SchemaDialect::OpenApi {
        options = options.with_format("hostname", format::is_hostname);
    }
    options = options.with_format("email", email(draft, "email", format::is_plain_email));
    options = options.with_format("idn-email", email(draft, "idn-email", |_| false));
    if !rules.is_strict(Rule::Offsets) {
        options = options.with_format("date-time", local_time(draft, "date-time"));
        options = options.with_format("time", local_time(draft, "time"));
    }
    options
        .with_keyword("multipleOf", |_, value, _| MultipleOfKeyword::make(value))
        .with_keyword(NUMBER_FORMAT, |_, value, _| FormatKeyword::make(value))
        .with_keyword(EXACT_CONST, |_, value, _| Ok(Box::new(OneOfKeyword(vec![value.clone()]))))
        .with_keyword(EXACT_ENUM, |_, value, _| {
            Ok(Box::new(OneOfKeyword(value.as_array().cloned().unwrap_or_default())))
        })
        .with_keyword(NAMED, |_, value, _| Ok(Box::new(NamedKeyword::of(value))))
        .with_keyword(UNENFORCEABLE, |_, value, _| Ok(Box::new(Unenforceable::of(value))))
        .with_keyword(READ_ONLY, |_, _, _| {
            Ok(Box::new(AlwaysRefused("must not be sent to the service")))
        })
        .with_keyword(WRITE_ONLY, |_, _, _| {
            Ok(Box::new(AlwaysRefused("must not be sent by the service")))
        })
}

/// `email`, without the crate's parser, which takes ten times as long, where a look is enough. An
/// address is a Mailbox (RFC 5321 §4.1.2): no name is displayed with it, no comment is in it.
fn email(
    draft: Draft,
    name: &'static str,
    is_plain: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> impl Fn(&str) -> bool + Send + Sync + 'static {
    let of_crate = of_crate(draft, name);
    move |text| {
        let is_mailbox = || !text.starts_with('<') && !text.ends_with(['>', ')']);
        is_plain(text) || is_mailbox() && of_crate(text)
    }
}

/// A format of RFC 3339 that takes values without an offset too.
fn local_time(draft: Draft, name: &'static str) -> impl Fn(&str) -> bool + Send + Sync + 'static {
    let of_crate = of_crate(draft, name);
    let is_plain = if name == "time" { format::is_plain_time } else { format::is_plain_date_time };
    move |text| is_plain(text) || of_crate(text) || of_crate(&format!("{text}Z"))
}

/// A format as the crate validates it.
fn of_crate(draft: Draft, name: &'static str) -> impl Fn(&str) -> bool + Send + Sync + 'static {
    let known = jsonschema::options().with_draft(draft).should_validate_formats(true);
    let known = known.build(&json!({ "format": name })).ok();
    move |text| known.as_ref().is_none_or(|known| known.is_valid(&Value::String(text.to_owned())))
}

/// What a limit asks of a number.
#[derive(Debug, Clone, Copy)]
enum Bound {
    AtLeast,
    AtMost,
    MoreThan,
    LessThan,
}

/// `minimum` and its kin.
struct BoundKeyword {
    bound: Bound,
    /// The limit, where an `i64` holds it.
    short: Option<i64>,
    exact: Decimal,
    text: Box<str>,
}

/// `multipleOf`.
struct MultipleOfKeyword {
    short: Option<i64>,
    exact: Divisor,
    text: Box<str>,
}

/// A format of numbers.
struct FormatKeyword {
    format: NumberFormat,
    name: Box<str>,
}

/// `const` and `enum` with numbers in them.
struct OneOfKeyword(Vec<Value>);

/// A discriminator with one of several values.
struct NamedKeyword {
    property: Box<str>,
    values: Vec<Box<str>>,
}

/// Replaces a rule that cannot be enforced.
#[derive(Clone, Copy)]
enum Unenforceable {
    Strings,
    Numbers,
    Objects,
    Everything,
}

/// Refuses every value, and says why.
struct AlwaysRefused(&'static str);

// === impl Bound ===

impl Bound {
    fn allows(self, ordering: Ordering) -> bool {
        match self {
            Self::AtLeast => ordering.is_ge(),
            Self::AtMost => ordering.is_le(),
            Self::MoreThan => ordering.is_gt(),
            Self::LessThan => ordering.is_lt(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::AtLeast => "at least",
            Self::AtMost => "at most",
            Self::MoreThan => "more than",
            Self::LessThan => "less than",
        }
    }
}

fn number_of(value: &Value) -> Result<(Decimal, Box<str>), ValidationError<'static>> {
    value
        .as_number()
        .and_then(|number| Some((Decimal::parse(number.as_str())?, number.as_str().into())))
        .ok_or_else(|| ValidationError::custom("a number is expected"))
}

// === impl BoundKeyword ===

impl BoundKeyword {
    fn make(bound: Bound, value: &Value) -> KeywordResult<'_> {
        let (exact, text) = number_of(value)?;
        Ok(Box::new(Self { bound, short: exact.as_integer(), exact, text }))
    }
}

impl<'i> Keyword<'i, Instance> for BoundKeyword {
    fn validate(&self, node: Node<'i>) -> Result<(), ValidationError<'i>> {
        if self.is_valid(node) {
            return Ok(());
        }
        Err(ValidationError::custom(format!("must be {} {}", self.bound.words(), self.text)))
    }

    fn is_valid(&self, node: Node<'i>) -> bool {
        match (Node::as_number(&node), self.short) {
            (Some(Number::Integer(value)), Some(limit)) => self.bound.allows(value.cmp(&limit)),
            (Some(number @ Number::Digits(digits)), short) => {
                let plain = short.and_then(|limit| compare_plain(digits.as_bytes(), limit));
                self.bound.allows(plain.unwrap_or_else(|| number.decimal().cmp(&self.exact)))
            }
            (Some(number), None) => self.bound.allows(number.decimal().cmp(&self.exact)),
            (None, _) => true,
        }
    }
}

// === impl MultipleOfKeyword ===

impl MultipleOfKeyword {
    fn make(value: &Value) -> KeywordResult<'_> {
        let (decimal, text) = number_of(value)?;
        let exact = Divisor::new(&decimal)
            .ok_or_else(|| ValidationError::custom("multipleOf cannot be divided by"))?;
        Ok(Box::new(Self { short: decimal.as_integer(), exact, text }))
    }
}

impl<'i> Keyword<'i, Instance> for MultipleOfKeyword {
    fn validate(&self, node: Node<'i>) -> Result<(), ValidationError<'i>> {
        if self.is_valid(node) {
            return Ok(());
        }
        Err(ValidationError::custom(format!("must be a multiple of {}", self.text)))
    }

    fn is_valid(&self, node: Node<'i>) -> bool {
        match (Node::as_number(&node), self.short) {
            (Some(Number::Integer(value)), Some(divisor)) => value % divisor == 0,
            (Some(number), _) => number.decimal().is_multiple_of(&self.exact),
            (None, _) => true,
        }
    }
}

// === impl FormatKeyword ===

impl FormatKeyword {
    fn make(value: &Value) -> KeywordResult<'_> {
        let name = value.as_str().unwrap_or_default();
        let format = NumberFormat::of(name)
            .ok_or_else(|| ValidationError::custom("a format of numbers is expected"))?;
        Ok(Box::new(Self { format, name: name.into() }))
    }
}

impl<'i> Keyword<'i, Instance> for FormatKeyword {
    fn validate(&self, node: Node<'i>) -> Result<(), ValidationError<'i>> {
        if self.is_valid(node) {
            return Ok(());
        }
        let (range, name) = (self.format.range(), &self.name);
        Err(ValidationError::custom(format!("must be {range} (format {name:?})")))
    }

    fn is_valid(&self, node: Node<'i>) -> bool {
        Node::as_number(&node).is_none_or(|number| self.format.allows(&number))
    }
}

// === impl OneOfKeyword ===

impl OneOfKeyword {
    /// The documented values, cut where they are many or long.
    fn phrase(&self) -> String {
        const SHOWN_VALUES: usize = 8;
        const SHOWN_CHARS: usize = 40;
        let shown = self.0.iter().take(SHOWN_VALUES).map(|value| {
            let text = value.to_string();
            match text.char_indices().nth(SHOWN_CHARS) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        match self.0.len() {
            1 => format!("must be {shown}"),
            n if n <= SHOWN_VALUES => format!("must be one of {shown}"),
            n => format!("must be one of {n} documented values: {shown}, …"),
        }
    }
}

impl<'i> Keyword<'i, Instance> for OneOfKeyword {
    fn validate(&self, node: Node<'i>) -> Result<(), ValidationError<'i>> {
        if self.is_valid(node) {
            return Ok(());
        }
        Err(ValidationError::custom(self.phrase()))
    }

    fn is_valid(&self, node: Node<'i>) -> bool {
        self.0.iter().any(|value| node.equals(value))
    }
}

// === impl NamedKeyword ===

impl NamedKeyword {
    fn of(value: &Value) -> Self {
        let values = value.get("values").and_then(Value::as_array).into_iter().flatten();
        Self {
            property: value.get("property").and_then(Value::as_str).unwrap_or_default().into(),
            values: values.filter_map(Value::as_str).map(Box::from).collect(),
        }
    }
}

impl<'i> Keyword<'i, Instance> for NamedKeyword {
    fn validate(&self, node: Node<'i>) -> Result<(), ValidationError<'i>> {
        if self.is_valid(node) {
            return Ok(());
        }
        Err(ValidationError::custom("must be named by its discriminator"))
    }

    fn is_valid(&self, node: Node<'i>) -> bool {
        let value = node.is_object().then(|| node.get(&self.property)).flatten();
        value
            .and_then(|value| value.as_str())
            .is_some_and(|value| self.values.iter().any(|one| **one == *value))
    }
}

// === impl Unenforceable ===

impl Unenforceable {
    fn of(keyword: &Value) -> Self {
        match keyword.as_str() {
            Some("multipleOf") => Self::Numbers,
            Some("patternProperties") => Self::Objects,
            Some("pattern") => Self::Strings,
            _ => Self::Everything,
        }
    }
}

impl<'i> Keyword<'i, Instance> for Unenforceable {
    fn validate(&self, node: Node<'i>) -> Result<(), ValidationError<'i>> {
        self.is_valid(node);
        Ok(())
    }

    fn is_valid(&self, node: Node<'i>) -> bool {
        let concerned = match self {
            Self::Strings => node.as_str().is_some(),
            Self::Numbers => Node::as_number(&node).is_some(),
            Self::Objects => node.is_object(),
            Self::Everything => true,
        };
        if concerned && let Some(arena) = node.arena() {
            arena.mark_unenforceable();
        }
        true
    }
}

// === impl AlwaysRefused ===

impl<'i> Keyword<'i, Instance> for AlwaysRefused {
    fn validate(&self, _node: Node<'i>) -> Result<(), ValidationError<'i>> {
        Err(ValidationError::custom(self.0))
    }

    fn is_valid(&self, _node: Node<'i>) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn crate_accepts(draft: Draft, text: &str) -> bool {
        let schema = json!({ "format": "email" });
        let options = jsonschema::options().with_draft(draft).should_validate_formats(true);
        options.build(&schema).unwrap().is_valid(&json!(text))
    }

    #[test]
    fn email_addresses_agree_with_the_crate() {
        let email = email(Draft::Draft202012, "email", format::is_plain_email);
        for text in ["ada@example.org", "a.b+c-d_e@mail.x1.example", "\"a b\"@x.org", "a@localhost"]
        {
            assert!(email(text), "{text}");
        }
        for text in ["", "@", "a@", "@x.org", "a b@x.org", "a@x..org", ".a@x.org", "a@-x.org"] {
            assert!(!email(text), "{text}");
        }
        assert!(format::is_plain_email("a.b+c-d_e@mail.x1.example"));
        assert!(!format::is_plain_email("a@localhost") && !format::is_plain_email("a@1.2.3.4"));
    }

    proptest! {
        #[test]
        fn plain_email_addresses_are_valid_to_the_crate(
            text in "[a-zA-Z0-9.+_-]{0,70}@[a-zA-Z0-9.-]{0,70}",
        ) {
            if format::is_plain_email(&text) {
                for draft in [Draft::Draft4, Draft::Draft7, Draft::Draft202012] {
                    prop_assert!(crate_accepts(draft, &text), "{text}");
                }
            }
        }

        #[test]
        fn short_email_addresses_agree_with_the_crate(
            text in "[a-z0-9]{1,4}([.+_-][a-z0-9]{1,3}){0,3}@[a-z0-9]{1,4}([.][a-z0-9]{1,4}){1,3}",
        ) {
            let email = email(Draft::Draft202012, "email", format::is_plain_email);
            prop_assert_eq!(email(&text), crate_accepts(Draft::Draft202012, &text));
        }
    }
}
