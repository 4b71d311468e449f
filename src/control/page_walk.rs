//! All pages of a listing, one after the other.

use crate::model::page::{Cursor, MAX_PAGE_SIZE, Page};
use crate::storage::PageRequest;

/// Where a walk over a listing stands.
///
/// ```text
/// let mut walk = PageWalk::new();
/// while let Some(page) = walk.next() {
///     for item in walk.items(store.list_groups(&filter, &page).await?) { … }
/// }
/// ```
#[derive(Debug)]
pub(super) struct PageWalk {
    size: u32,
    position: WalkPosition,
}

#[derive(Debug)]
enum WalkPosition {
    First,
    After(Cursor),
    End,
}

// === impl PageWalk ===

impl PageWalk {
    /// A walk by the largest pages.
    pub(super) const fn new() -> Self {
        Self::by(MAX_PAGE_SIZE)
    }

    /// A walk by pages of `size` rows, for rows that are large.
    pub(super) const fn by(size: u32) -> Self {
        Self { size, position: WalkPosition::First }
    }

    /// The page to ask for; `None` after the last.
    pub(super) fn next(&self) -> Option<PageRequest> {
        match &self.position {
            WalkPosition::First => Some(PageRequest::first(self.size)),
            WalkPosition::After(cursor) => Some(PageRequest::after(self.size, cursor.clone())),
            WalkPosition::End => None,
        }
    }

    /// Moves behind `page` and returns its rows.
    pub(super) fn items<T>(&mut self, page: Page<T>) -> Vec<T> {
        self.move_to(page.next);
        page.items
    }

    /// Moves to `cursor`, or to the end.
    pub(super) fn move_to(&mut self, cursor: Option<Cursor>) {
        self.position = cursor.map_or(WalkPosition::End, WalkPosition::After);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_asks_for_each_page_once_and_ends_after_the_last() {
        let mut walk = PageWalk::by(2);
        assert_eq!(walk.next(), Some(PageRequest::first(2)));
        let cursor = Cursor::new(["b".to_owned()]);
        let page = Page { items: vec!["a", "b"], next: Some(cursor.clone()) };
        assert_eq!(walk.items(page), ["a", "b"]);
        assert_eq!(walk.next(), Some(PageRequest::after(2, cursor)));
        assert_eq!(walk.items(Page { items: vec!["c"], next: None }), ["c"]);
        assert_eq!(walk.next(), None);
    }
}
