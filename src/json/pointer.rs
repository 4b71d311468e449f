//! RFC 6901 pointers as strings.

use std::borrow::Cow;

use serde_json::Value;

/// Appends one token, escaped.
pub fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    if token.contains(['~', '/']) {
        for char in token.chars() {
            match char {
                '~' => pointer.push_str("~0"),
                '/' => pointer.push_str("~1"),
                char => pointer.push(char),
            }
        }
    } else {
        pointer.push_str(token);
    }
}

/// The pointer to a child.
pub fn join(pointer: &str, token: &str) -> String {
    let mut joined = String::with_capacity(pointer.len() + token.len() + 1);
    joined.push_str(pointer);
    push_token(&mut joined, token);
    joined
}

/// The token as it was before escaping.
pub fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(token)
    }
}

/// The tokens of a pointer, unescaped.
pub fn tokens(pointer: &str) -> impl Iterator<Item = Cow<'_, str>> {
    pointer.split('/').skip(1).map(unescape)
}

/// A pointer's parent and last token, escaped.
pub fn split_last(pointer: &str) -> Option<(&str, &str)> {
    pointer.rsplit_once('/')
}

/// A `$ref`'s fragment (`#/a/b%20c`) as a pointer; `None` when it is not one.
pub fn of_fragment(fragment: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
    (decoded.is_empty() || decoded.starts_with('/')).then(|| decoded.into_owned())
}

/// The value a pointer leads to.
pub fn lookup<'v>(root: &'v Value, pointer: &str) -> Option<&'v Value> {
    if pointer.is_empty() {
        return Some(root);
    }
    let mut value = root;
    for token in tokens(pointer.strip_prefix('/').map(|_| pointer)?) {
        value = match value {
            Value::Object(members) => members.get(token.as_ref())?,
            Value::Array(items) => items.get(token.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_escaping() {
        let pointer = join(&join("", "a/b"), "c~d");
        assert_eq!(pointer, "/a~1b/c~0d");
        assert_eq!(tokens(&pointer).collect::<Vec<_>>(), ["a/b", "c~d"]);
        let root = serde_json::json!({"a/b": {"c~d": [1, 2]}});
        assert_eq!(lookup(&root, "/a~1b/c~0d/1"), Some(&serde_json::json!(2)));
        assert_eq!(lookup(&root, "/a~1b/x"), None);
        assert_eq!(lookup(&root, ""), Some(&root));
    }

    #[test]
    fn a_fragment_is_percent_decoded() {
        assert_eq!(of_fragment("/a%20b~1c").as_deref(), Some("/a b~1c"));
        assert_eq!(of_fragment("anchor"), None);
    }
}
