//! Whose fault it is that an exchange breaks the contract.
//!
//! Invariants: an exchange that conforms has no fault, and one that violates has exactly one: the
//! first that holds of `service`, `accepted`, `stranger`, `caller`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::verdict::Verdict;
use super::violation::{Violation, ViolationCode};

/// Who has to act on an exchange that violates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The response breaks its promise.
    Service,
    /// The request breaks the contract, and the service took it, failed on it or did not answer:
    /// the document or the service is wrong.
    Accepted,
    /// The request names no documented operation and was refused.
    Stranger,
    /// The request breaks the contract of its operation and was refused.
    Caller,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestEnd {
    /// The service answered with this status, whether or not the answer was passed on.
    Answered(u16),
    /// The service reset the connection or did not answer.
    Unanswered,
    /// The sidecar refused it, or its caller went away before the service could answer.
    Refused,
}

// === impl Fault ===

impl Fault {
    /// Every fault, in the order in which they are decided.
    pub const ALL: [Self; 4] = [Self::Service, Self::Accepted, Self::Stranger, Self::Caller];

    /// The fault of an exchange with these verdicts; `None` where it breaks nothing.
    pub fn of(request: &Verdict, response: Option<&Verdict>, end: RequestEnd) -> Option<Self> {
        if response.is_some_and(|verdict| !verdict.violations.is_empty()) {
            return Some(Self::Service);
        }
        if request.violations.is_empty() {
            return None;
        }
        let undocumented = request.violations.iter().any(names_no_operation);
        let refused = match end {
            RequestEnd::Refused | RequestEnd::Answered(400..=499) => true,
            RequestEnd::Answered(501) => undocumented,
            RequestEnd::Answered(_) | RequestEnd::Unanswered => false,
        };
        Some(match (refused, undocumented) {
            (false, _) => Self::Accepted,
            (true, true) => Self::Stranger,
            (true, false) => Self::Caller,
        })
    }

    /// The fault's name in metrics, records and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Accepted => "accepted",
            Self::Stranger => "stranger",
            Self::Caller => "caller",
        }
    }

    /// The label of metrics that also count what breaks nothing.
    pub const fn label(fault: Option<Self>) -> &'static str {
        match fault {
            Some(fault) => fault.as_str(),
            None => "none",
        }
    }

    /// The fault called `text`, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a violation says that the document lists no operation for the request.
fn names_no_operation(violation: &Violation) -> bool {
    [ViolationCode::REQUEST_PATH_UNDOCUMENTED, ViolationCode::REQUEST_METHOD_UNDOCUMENTED]
        .contains(&violation.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::verdict::SkipReason;

    fn breaks(code: ViolationCode) -> Verdict {
        let violation = Violation {
            code,
            name: None,
            instance_pointer: String::new(),
            schema_pointer: "/paths".into(),
            keyword: "".into(),
            found: String::new(),
            position: None,
            message: String::new(),
        };
        Verdict { violations: vec![violation], ..Verdict::default() }
    }

    /// Every end there is: all statuses, and those without one.
    fn ends() -> impl Iterator<Item = RequestEnd> {
        let statuses = (100..=999).map(RequestEnd::Answered);
        statuses.chain([RequestEnd::Unanswered, RequestEnd::Refused])
    }

    /// The request verdicts that break nothing.
    fn harmless() -> [Verdict; 2] {
        [Verdict::default(), Verdict::skipped(SkipReason::BodyOverLimit)]
    }

    fn is_undocumented(code: ViolationCode) -> bool {
        ["request.path.undocumented", "request.method.undocumented"].contains(&code.as_str())
    }

    #[test]
    fn what_breaks_nothing_is_no_ones_fault() {
        for end in ends() {
            for request in harmless() {
                assert_eq!(Fault::of(&request, None, end), None);
                for response in harmless() {
                    assert_eq!(Fault::of(&request, Some(&response), end), None);
                }
            }
        }
    }

    #[test]
    fn a_response_that_violates_is_the_fault_of_the_service_whatever_the_request_is() {
        for code in ViolationCode::ALL {
            let response = breaks(*code);
            for end in ends() {
                for request in harmless().into_iter().chain([breaks(*code)]) {
                    assert_eq!(Fault::of(&request, Some(&response), end), Some(Fault::Service));
                }
            }
        }
    }

    #[test]
    fn a_request_that_violates_is_distinguished_by_its_end() {
        let refused = |end| match end {
            RequestEnd::Answered(status) => (400..500).contains(&status),
            RequestEnd::Refused => true,
            RequestEnd::Unanswered => false,
        };
        for code in ViolationCode::ALL.iter().filter(|code| code.as_str().starts_with("request.")) {
            let request = breaks(*code);
            let undocumented = is_undocumented(*code);
            for end in ends() {
                let expected = match end {
                    RequestEnd::Answered(501) if undocumented => Fault::Stranger,
                    _ if !refused(end) => Fault::Accepted,
                    _ if undocumented => Fault::Stranger,
                    _ => Fault::Caller,
                };
                for response in [None, Some(Verdict::default())] {
                    let fault = Fault::of(&request, response.as_ref(), end);
                    assert_eq!(fault, Some(expected), "{code} {end:?}");
                }
            }
        }
    }

    #[test]
    fn the_edges_are_where_they_are_said_to_be() {
        let documented = breaks(ViolationCode::REQUEST_BODY_SCHEMA);
        let stranger = breaks(ViolationCode::REQUEST_PATH_UNDOCUMENTED);
        for (status, of_documented, of_stranger) in [
            (101, Fault::Accepted, Fault::Accepted),
            (200, Fault::Accepted, Fault::Accepted),
            (302, Fault::Accepted, Fault::Accepted),
            (399, Fault::Accepted, Fault::Accepted),
            (400, Fault::Caller, Fault::Stranger),
            (404, Fault::Caller, Fault::Stranger),
            (422, Fault::Caller, Fault::Stranger),
            (499, Fault::Caller, Fault::Stranger),
            (500, Fault::Accepted, Fault::Accepted),
            (501, Fault::Accepted, Fault::Stranger),
            (502, Fault::Accepted, Fault::Accepted),
        ] {
            let end = RequestEnd::Answered(status);
            assert_eq!(Fault::of(&documented, None, end), Some(of_documented), "{status}");
            assert_eq!(Fault::of(&stranger, None, end), Some(of_stranger), "{status}");
        }
    }

    #[test]
    fn fault_names_parse_back() {
        for fault in Fault::ALL {
            assert_eq!(Fault::parse(fault.as_str()), Some(fault));
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.as_str());
        }
        assert_eq!(Fault::parse("network"), None);
    }
}
