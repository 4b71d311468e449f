//! Responses of one operation, found by status.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use serde_json::Value;

use super::encoding::MediaPlan;
use super::lint::LintCode;
use super::lower::Direction;
use super::media_type::MediaTable;
use super::parameter::ParameterPlan;
use super::planner::Planner;
use crate::json::pointer;

/// One documented response.
#[derive(Debug, Clone)]
pub struct ResponsePlan {
    /// Header fields, `Content-Type` left out.
    pub headers: Vec<ParameterPlan>,
    /// What the body may be; empty where the document says nothing about one.
    pub content: MediaTable<MediaPlan>,
    /// Whether the document describes it so that nothing of it can be validated.
    pub defect: bool,
    /// Whether some header of it is left out for a defect.
    pub header_defect: bool,
    /// Pointer to it in the contract's tree.
    pub pointer: Arc<str>,
}

/// Responses by exact status, then by range, then by default.
#[derive(Debug, Clone, Default)]
pub struct ResponseTable {
    exact: Vec<(u16, Arc<ResponsePlan>)>,
    ranges: [Option<Arc<ResponsePlan>>; 6],
    default: Option<Arc<ResponsePlan>>,
    /// Pointer to `responses` in the contract's tree.
    pub pointer: Arc<str>,
}

/// Responses planned so far, by their pointer after references.
pub(super) type PlannedResponses = HashMap<String, Arc<ResponsePlan>, FixedState>;

// === impl ResponsePlan ===

impl ResponsePlan {
    /// A response that the document does not describe in a way that can be validated.
    fn defective(at: &str) -> Self {
        Self {
            headers: Vec::new(),
            content: MediaTable::default(),
            defect: true,
            header_defect: false,
            pointer: at.into(),
        }
    }
}

// === impl ResponseTable ===

impl ResponseTable {
    /// The response documented for a status.
    pub fn find(&self, status: u16) -> Option<&ResponsePlan> {
        let exact = self.exact.iter().find(|(code, _)| *code == status).map(|(_, plan)| plan);
        let range = || self.ranges.get(usize::from(status / 100)).and_then(Option::as_ref);
        exact.or_else(range).or(self.default.as_ref()).map(Arc::as_ref)
    }

    /// Every documented response with its status as the document writes it.
    pub fn iter(&self) -> impl Iterator<Item = (String, &ResponsePlan)> {
        let exact = self.exact.iter().map(|(status, plan)| (status.to_string(), plan));
        let ranges = (0..).zip(&self.ranges).filter_map(|(hundreds, plan)| {
            let range: u8 = hundreds;
            Some((format!("{range}XX"), plan.as_ref()?))
        });
        let default = self.default.iter().map(|plan| ("default".to_owned(), plan));
        exact.chain(ranges).chain(default).map(|(status, plan)| (status, plan.as_ref()))
    }

    /// Whether the document lists no response at all.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.default.is_none() && self.ranges.iter().all(Option::is_none)
    }
}

// === impl Planner ===

impl Planner<'_> {
    /// The `responses` of the operation at `at`.
    pub(super) fn responses(&mut self, at: &str, planned: &mut PlannedResponses) -> ResponseTable {
        let at = pointer::join(at, "responses");
        let mut table = ResponseTable { pointer: at.as_str().into(), ..ResponseTable::default() };
        if self.is_misformed(&at, false, "responses") {
            table.default = Some(Arc::new(ResponsePlan::defective(&at)));
        }
        let Some(responses) = self.document.lookup(&at).and_then(Value::as_object) else {
            return table;
        };
        let mut unreadable = None;
        for status in responses.keys().filter(|status| !status.starts_with("x-")) {
            let at = pointer::join(&at, status);
            let plan = self.response(&at, planned);
            if status == "default" {
                table.default = Some(plan);
            } else if let Some(range) = range_of(status) {
                table.ranges[range] = Some(plan);
            } else if let Ok(code) = status.parse::<u16>() {
                table.exact.push((code, plan));
            } else {
                let message = "this is no status, range (such as 2XX) or default; statuses that \
                               are not listed are not validated";
                self.lint(LintCode::InvalidPart, &at, message);
                unreadable = Some(Arc::new(ResponsePlan::defective(&at)));
            }
        }
        // Which statuses it was meant for is not known.
        table.default = table.default.or(unreadable);
        table
    }

    fn response(&mut self, at: &str, planned: &mut PlannedResponses) -> Arc<ResponsePlan> {
        let resolved = match self.document.resolve(at) {
            Ok(resolved) => resolved,
            Err(error) => {
                self.defect(&error);
                return Arc::new(ResponsePlan::defective(at));
            }
        };
        if let Some(known) = planned.get(&resolved.pointer) {
            return Arc::clone(known);
        }
        let misformed = self.is_misformed(&resolved.pointer, false, "a response");
        let (headers, header_defect) = self.headers(&resolved.pointer, Direction::Response);
        let (content, content_defect) = self.content(&resolved.pointer, Direction::Response);
        let plan = Arc::new(ResponsePlan {
            headers,
            content,
            defect: misformed || content_defect,
            header_defect,
            pointer: resolved.pointer.as_str().into(),
        });
        planned.insert(resolved.pointer, Arc::clone(&plan));
        plan
    }
}

fn range_of(status: &str) -> Option<usize> {
    let (digit, rest) = status.split_at_checked(1)?;
    let digit: usize = digit.parse().ok().filter(|digit| (1..=5).contains(digit))?;
    rest.eq_ignore_ascii_case("xx").then_some(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(name: &str) -> Arc<ResponsePlan> {
        Arc::new(ResponsePlan { defect: false, ..ResponsePlan::defective(name) })
    }

    #[test]
    fn exact_before_range_before_default() {
        let mut table = ResponseTable::default();
        assert!(table.is_empty());
        table.exact.push((200, plan("200")));
        table.ranges[2] = Some(plan("2XX"));
        let name =
            |table: &ResponseTable, status| table.find(status).map(|one| one.pointer.to_string());
        assert_eq!(name(&table, 200).as_deref(), Some("200"));
        assert_eq!(name(&table, 204).as_deref(), Some("2XX"));
        assert_eq!(name(&table, 404), None);
        assert_eq!(name(&table, 999), None);
        table.default = Some(plan("default"));
        assert_eq!(name(&table, 404).as_deref(), Some("default"));
        assert_eq!((range_of("5xx"), range_of("2X"), range_of("9XX")), (Some(5), None, None));
    }
}
