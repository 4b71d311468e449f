//! Pre-flights of the CORS protocol, which are never enforced.

use std::sync::Arc;

use http::{HeaderMap, Method, Uri};

use crate::contract::RouteMatch;
use crate::model::exchange::is_preflight;
use crate::registry::LoadedContract;

/// Whether a head is that of a pre-flight on a path of the contract. It belongs to the browser, and
/// passes both ways.
pub(super) fn is_known_preflight(
    contract: Option<&Arc<LoadedContract>>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> bool {
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    is_preflight(method, headers)
        && contract.is_some_and(|contract| {
            !matches!(contract.contract.find(method, path, uri.query()), RouteMatch::PathUnknown)
        })
}
