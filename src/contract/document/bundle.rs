//! A document of several files as one text that compiles alone.
//!
//! The text is an OpenAPI document in JSON, its references pointing into it, with the files as
//! they were written under [`BUNDLE_KEY`]. A reader of the bundle reads those, so that a contract
//! from storage is the same as the one registered, lines and columns included; anybody else
//! reads the document and passes the extension over.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::SourceMap;
use crate::contract::options::{DocumentFileError, DocumentFiles};

/// The extension that holds the files.
pub(super) const BUNDLE_KEY: &str = "x-cvt-bundle";

/// The files of a bundle.
pub(super) struct Bundle {
    /// The text of the document itself.
    pub(super) main: String,
    /// Whether references to other hosts were followed when it was made.
    pub(super) remote: bool,
    files: HashMap<String, String>,
}

/// The bundle that a tree holds.
pub(super) fn open(root: &Value) -> Option<Bundle> {
    let bundle = root.get(BUNDLE_KEY)?.as_object()?;
    let texts = bundle.get("texts")?.as_object()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let files = texts.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?)));
    Some(Bundle {
        main: texts.get("").and_then(text)?,
        remote: bundle.get("remote") == Some(&Value::Bool(true)),
        files: files.collect(),
    })
}

/// The one text of a tree whose references are local and which holds every file it refers to.
pub(super) fn close(root: &Value, source: &SourceMap, remote: bool) -> String {
    let texts: Map<String, Value> =
        source.files.iter().map(|file| (file.name.clone(), json!(file.text))).collect();
    let mut bundle = root.clone();
    if let Some(members) = bundle.as_object_mut() {
        members.insert(BUNDLE_KEY.to_owned(), json!({ "remote": remote, "texts": texts }));
    }
    bundle.to_string()
}

impl DocumentFiles for Bundle {
    fn read(&self, path: &str) -> Result<Vec<u8>, DocumentFileError> {
        let found = self.files.get(path).filter(|_| !path.is_empty());
        found.map(|text| text.clone().into_bytes()).ok_or(DocumentFileError::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{CompileOptions, Contract, DocumentFileError};

    struct OneFile(&'static str);

    impl DocumentFiles for OneFile {
        fn read(&self, path: &str) -> Result<Vec<u8>, DocumentFileError> {
            match path {
                "schemas/pet.yaml" => Ok(self.0.as_bytes().to_vec()),
                _ => Err(DocumentFileError::NotFound),
            }
        }
    }

    const MAIN: &str = "openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths:\n  /pets:\n    post:\n      \
        requestBody: {content: {application/json: {schema: {$ref: 'schemas/pet.yaml#/Pet'}}}}\n      \
        responses: {'200': {description: fine}}\n";
    const PET: &str =
        "# a comment\nPet:\n  type: object\n  properties:\n    name: {type: string}\n";

    fn compile(text: &str, files: &dyn DocumentFiles) -> (String, Contract) {
        let options = CompileOptions { files, ..CompileOptions::default() };
        Contract::compile_to_store(text.to_owned(), &options).unwrap()
    }

    #[test]
    fn a_bundle_compiles_alone_and_points_into_the_files_as_written() {
        let (bundle, registered) = compile(MAIN, &OneFile(PET));
        let (again, loaded) = compile(&bundle, &crate::contract::NoDocumentFiles);
        assert_eq!(again, bundle, "what is stored stays as it is");
        assert_eq!(loaded.hash(), registered.hash());
        let at = "/x-cvt-files/schemas~1pet.yaml/Pet/properties/name/type";
        let origin = loaded.origin(at);
        assert_eq!(origin, registered.origin(at));
        assert_eq!(&*origin.pointer, "schemas/pet.yaml#/Pet/properties/name/type");
        assert_eq!(origin.position.map(|at| (at.line, at.column)), Some((5, 12)));
    }

    #[test]
    fn a_changed_file_changes_the_hash_and_a_single_text_is_no_bundle() {
        let (_, one) = compile(MAIN, &OneFile(PET));
        let (_, other) = compile(MAIN, &OneFile("Pet: {type: object}\n"));
        assert_ne!(one.hash(), other.hash());
        let alone = MAIN.replace("$ref: 'schemas/pet.yaml#/Pet'", "type: object");
        let (kept, _) = compile(&alone, &OneFile(PET));
        assert_eq!(kept, alone);
    }
}
