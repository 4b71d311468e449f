//! Sets of pointer patterns, walked along with a document.

use std::collections::HashMap;

use smallvec::SmallVec;

/// Why a text is no pointer pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a pointer is empty or starts with `/`, and `~` in it is followed by 0 or 1 (RFC 6901)")]
pub struct InvalidPointer;

/// A set of places in JSON documents: RFC 6901 pointers in which the segment `*` stands for any one segment
/// and `**` for any number of them, none included. A place's whole subtree belongs to it.
#[derive(Debug, Clone, Default)]
pub struct PointerSet {
    nodes: Vec<PointerNode>,
}

#[derive(Debug, Clone, Default)]
struct PointerNode {
    named: HashMap<Box<str>, u32>,
    any: Option<u32>,
    /// `**`: a node that stays active at any depth.
    any_depth: Option<u32>,
    matches_any_depth: bool,
    is_end: bool,
}

/// The state of a walk: the patterns that may still match.
pub(super) type Active = SmallVec<[u32; 4]>;

// === impl PointerSet ===

impl PointerSet {
    /// The set of all `pointers`.
    pub fn new<'p>(pointers: impl IntoIterator<Item = &'p str>) -> Result<Self, InvalidPointer> {
        let mut set = Self::default();
        for pointer in pointers {
            set.insert(pointer)?;
        }
        Ok(set)
    }

    /// The set of every place.
    pub fn whole() -> Self {
        Self { nodes: vec![PointerNode { is_end: true, ..PointerNode::default() }] }
    }

    /// Whether no place is in the set.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn insert(&mut self, pointer: &str) -> Result<(), InvalidPointer> {
        let segments = segments_of(pointer)?;
        if self.nodes.is_empty() {
            self.nodes.push(PointerNode::default());
        }
        let mut at = 0;
        for segment in segments {
            at = self.child(at, &segment);
        }
        self.nodes[at as usize].is_end = true;
        Ok(())
    }

    fn child(&mut self, at: u32, segment: &str) -> u32 {
        let fresh = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let node = &mut self.nodes[at as usize];
        let next = match segment {
            "*" => *node.any.get_or_insert(fresh),
            "**" => *node.any_depth.get_or_insert(fresh),
            name => *node.named.entry(name.into()).or_insert(fresh),
        };
        if next == fresh {
            self.nodes
                .push(PointerNode { matches_any_depth: segment == "**", ..PointerNode::default() });
        }
        next
    }

    /// The walk at the root, and whether the root itself is in the set.
    pub(super) fn start(&self) -> (Active, bool) {
        let mut active = Active::new();
        if !self.is_empty() {
            self.enter(0, &mut active);
        }
        let hit = self.hit(&active);
        (active, hit)
    }

    /// The walk one segment further, and whether that place is in the set.
    pub(super) fn step(&self, from: &Active, segment: &str) -> (Active, bool) {
        let mut active = Active::new();
        for &at in from {
            let node = &self.nodes[at as usize];
            if node.matches_any_depth {
                self.enter(at, &mut active);
            }
            if let Some(&next) = node.named.get(segment) {
                self.enter(next, &mut active);
            }
            if let Some(next) = node.any {
                self.enter(next, &mut active);
            }
        }
        let hit = self.hit(&active);
        (active, hit)
    }

    fn enter(&self, at: u32, active: &mut Active) {
        if active.contains(&at) {
            return;
        }
        active.push(at);
        if let Some(any_depth) = self.nodes[at as usize].any_depth {
            self.enter(any_depth, active);
        }
    }

    fn hit(&self, active: &Active) -> bool {
        active.iter().any(|&at| self.nodes[at as usize].is_end)
    }
}

fn segments_of(pointer: &str) -> Result<Vec<String>, InvalidPointer> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let rest = pointer.strip_prefix('/').ok_or(InvalidPointer)?;
    rest.split('/').map(unescape).collect()
}

fn unescape(segment: &str) -> Result<String, InvalidPointer> {
    let mut out = String::with_capacity(segment.len());
    let mut chars = segment.chars();
    while let Some(c) = chars.next() {
        match (c, c == '~') {
            (_, true) => match chars.next() {
                Some('0') => out.push('~'),
                Some('1') => out.push('/'),
                _ => return Err(InvalidPointer),
            },
            (c, false) => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(set: &PointerSet, path: &[&str]) -> bool {
        let (mut active, mut hit) = set.start();
        for segment in path {
            (active, hit) = set.step(&active, segment);
        }
        hit
    }

    #[test]
    fn stars_match_segments() {
        let set = PointerSet::new(["/a/b", "/list/*/key", "/x/**/pin", "/t~1u~0v"]).unwrap();
        for path in [
            &["a", "b"][..],
            &["list", "0", "key"],
            &["x", "pin"],
            &["x", "1", "2", "pin"],
            &["t/u~v"],
        ] {
            assert!(hits(&set, path), "{path:?}");
        }
        for path in [&[][..], &["a"], &["list", "key"], &["y", "pin"], &["list", "0", "1", "key"]] {
            assert!(!hits(&set, path), "{path:?}");
        }
        assert!(hits(&PointerSet::new([""]).unwrap(), &[]));
        assert!(!hits(&PointerSet::default(), &[]));
        assert!(PointerSet::new(["a"]).is_err());
        assert!(PointerSet::new(["/~2"]).is_err());
    }
}
