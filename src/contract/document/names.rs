//! Names of files that references lead to.

use super::source_map::FILES_KEY;
use crate::json::pointer;

/// Why a remote reference leads nowhere.
pub(super) const REMOTE: &str = "the reference is remote, and remote references are not allowed here; \
                                 keep a copy beside the document";

/// Whether a reference names another host's document.
pub(super) fn is_remote(reference: &str) -> bool {
    reference.starts_with("http://") || reference.starts_with("https://")
}

/// A reference to a file's part of the tree.
pub(super) fn tree_reference(file: &str, fragment: &str) -> String {
    let mut target = format!("#/{FILES_KEY}");
    pointer::push_token(&mut target, file);
    // The name becomes part of a URI fragment.
    let target = target.replace('%', "%25").replace(' ', "%20");
    format!("{target}{fragment}")
}

/// The pointer of a file in the tree.
pub(super) fn tree_pointer(file: &str) -> String {
    pointer::join(&format!("/{FILES_KEY}"), file)
}

fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
    })
}

/// Whether a reference from the file `base` leads to another host.
pub(super) fn leads_to_host(base: &str, file: &str) -> bool {
    is_remote(file) || (is_remote(base) && !has_scheme(file))
}

/// The name of `file` as seen from the file `base`: its path relative to the document's directory,
/// with `..` in front alone, or an absolute path. `None` where it can be no path.
pub(super) fn path_of(base: &str, file: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(file).decode_utf8().ok()?;
    let decoded = decoded.strip_prefix("file://").unwrap_or(&decoded);
    if has_scheme(decoded) || decoded.contains(['\0', '\\', '?']) {
        return None;
    }
    let is_absolute = decoded.starts_with('/');
    let from_root = is_absolute || base.starts_with('/');
    let mut path: Vec<&str> = Vec::new();
    if !is_absolute {
        path.extend(base.split('/').filter(|part| !part.is_empty()));
        path.pop();
    }
    for part in decoded.split('/') {
        match part {
            "" | "." => {}
            ".." if path.last().is_none_or(|last| *last == "..") => {
                if !from_root {
                    path.push("..");
                }
            }
            ".." => _ = path.pop(),
            part => path.push(part),
        }
    }
    let path = path.join("/");
    Some(if from_root { format!("/{path}") } else { path })
}

/// The URL of `file` as seen from the document at the URL `base`.
pub(super) fn remote_join(base: &str, file: &str) -> String {
    if is_remote(file) {
        return file.to_owned();
    }
    let after_host = base.find("://").map_or(0, |at| at + 3);
    let host_end = base[after_host..].find('/').map_or(base.len(), |at| at + after_host);
    if file.starts_with('/') {
        return format!("{}{file}", &base[..host_end]);
    }
    let directory = base.rfind('/').filter(|at| *at >= host_end).unwrap_or(host_end);
    format!("{}/{file}", &base[..directory])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_the_file_that_names_them() {
        for (base, file, expected) in [
            ("", "a.yaml", Some("a.yaml")),
            ("schemas/a.yaml", "b.yaml", Some("schemas/b.yaml")),
            ("schemas/a.yaml", "../b.yaml", Some("b.yaml")),
            ("schemas/a.yaml", "../../b.yaml", Some("../b.yaml")),
            ("../c/a.yaml", "b.yaml", Some("../c/b.yaml")),
            ("../c/a.yaml", "../../b.yaml", Some("../../b.yaml")),
            ("", "a/./b//c.yaml", Some("a/b/c.yaml")),
            ("", "a%20b.yaml", Some("a b.yaml")),
            ("", "/etc/passwd", Some("/etc/passwd")),
            ("", "/../etc/passwd", Some("/etc/passwd")),
            ("", "file:///a/b", Some("/a/b")),
            ("/a/b.yaml", "../../c", Some("/c")),
            ("", "ftp://h/a", None),
            ("", "a\\b", None),
            ("", "a%00b", None),
        ] {
            assert_eq!(path_of(base, file).as_deref(), expected, "{file} from {base}");
        }
    }

    #[test]
    fn urls_are_seen_from_the_document_that_names_them() {
        assert_eq!(remote_join("https://h/a/b.yaml", "c.yaml"), "https://h/a/c.yaml");
        assert_eq!(remote_join("https://h/a/b.yaml", "/c.yaml"), "https://h/c.yaml");
        assert_eq!(remote_join("https://h", "c.yaml"), "https://h/c.yaml");
    }
}
