//! The document that the server describes itself with.

use serde_json::Value;
use std::sync::LazyLock;

pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../openapi.json")).expect("the document is JSON"));

/// All described operations: method, path, and whether a path is this one.
pub(crate) fn described() -> Vec<(String, String, impl Fn(&str) -> bool)> {
    let paths = DOCUMENT["paths"].as_object().expect("the document describes operations");
    let operations = paths.iter().flat_map(|(template, operations)| {
        let methods = operations
            .as_object()
            .expect("the document describes operations")
            .keys()
            .filter(|key| *key != "parameters");
        methods.map(move |method| (method.to_ascii_uppercase(), template.clone()))
    });
    operations
        .map(|(method, template)| {
            let of = template.clone();
            (method, template, move |path: &str| of == path || template_fits(&of, path))
        })
        .collect()
}

/// Whether a path is one of a template; only the last part of `/v1/kv/{key}` holds slashes.
pub(crate) fn template_fits(template: &str, path: &str) -> bool {
    if let Some(before) = template.strip_suffix("{key}") {
        return path.strip_prefix(before).is_some_and(|key| !key.is_empty());
    }
    let parts = |text: &str| text.split('/').map(str::to_string).collect::<Vec<_>>();
    let (template, path) = (parts(template), parts(path));
    template.len() == path.len()
        && template.iter().zip(&path).all(|(wanted, part)| wanted.starts_with('{') || wanted == part)
}
