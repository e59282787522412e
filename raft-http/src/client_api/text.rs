//! Bytes in JSON: as text if they are UTF-8, otherwise in Base64 under a name of its own.

use super::answer::{Problem, ProblemCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// Puts bytes into an object as `name`, or as `name_b64`.
pub(super) fn put(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_string(), json!(text)),
        Err(_) => object.insert(format!("{name}_b64"), json!(STANDARD.encode(bytes))),
    };
}

/// Base64 of what is no text, beside a text that has lost something of it.
pub(super) fn base64_unless_text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).is_err().then(|| STANDARD.encode(bytes))
}

/// The bytes that a client gave as `name` or as `name_b64`.
pub(super) fn take(name: &str, text: Option<String>, base64: Option<String>) -> Result<Bytes, Problem> {
    let bad = |detail| Err(Problem::new(ProblemCode::BadJson, detail));
    match (text, base64) {
        (Some(text), None) => Ok(text.into()),
        (None, Some(base64)) => match STANDARD.decode(base64) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => bad(format!("{name}_b64 is no Base64: {error}")),
        },
        (None, None) => bad(format!("{name:?} is missing, or \"{name}_b64\" in its place")),
        (Some(_), Some(_)) => bad(format!("{name:?} and \"{name}_b64\" are both there: give one of them")),
    }
}
