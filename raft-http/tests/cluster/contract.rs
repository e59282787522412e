//! Every answer that a test gets is held against the document that the server describes itself with.

use super::Reply;
use super::document::{DOCUMENT, template_fits};
use serde_json::{Value, json};

/// Holds an answer against the document. `request`: its bytes, of which the first line matters; what is no request has
/// no place in the document.
pub(crate) fn check(request: &[u8], reply: &Reply) {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next()) else {
        return;
    };
    let path = target.split('?').next().unwrap_or_default();
    if let Err(wrong) = conforms(method, path, reply) {
        panic!("{line}: {wrong}: the document is raft-http/openapi.json; {reply:?}");
    }
}

fn conforms(method: &str, path: &str, reply: &Reply) -> Result<(), String> {
    let problem = |codes: &[&str]| {
        let code = reply.json["code"].as_str().unwrap_or_default();
        let allowed = codes.contains(&code);
        if allowed {
            check_schema(&json!({ "$ref": "#/components/schemas/Problem" }), &reply.json)
        } else {
            Err("it is undescribed".into())
        }
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let fits = |template: &&String| template_fits(template, path);
    let Some(template) = paths.keys().find(|template| *template == path).or_else(|| paths.keys().find(fits))
    else {
        return problem(&["no_route", "member_not_found", "bad_key", "not_leader"]);
    };
    let operation = &paths[template][&method.to_ascii_lowercase()];
    if operation.is_null() {
        return problem(&["method", "headers", "uri", "draining"]);
    }
    let responses = &operation["responses"];
    let status = reply.status.to_string();
    let response = responses.get(&status).unwrap_or(&responses["default"]);
    if responses.get(&status).is_none() && reply.status < 400 {
        return Err(format!("status {status} is undescribed"));
    }
    for (name, header) in response["headers"].as_object().unwrap() {
        check_header(name, header, reply)?;
    }
    let media = reply.headers["content-type"].as_str();
    let content = response["content"].get(media).ok_or(format!("{media} is undescribed"))?;
    if media.contains("json") { check_schema(&content["schema"], &reply.json) } else { Ok(()) }
}

fn check_header(name: &str, header: &Value, reply: &Reply) -> Result<(), String> {
    let header = resolve(header);
    let Some(text) = reply.headers.get(&name.to_ascii_lowercase()) else {
        return if header["required"] == true { Err(format!("{name} is missing")) } else { Ok(()) };
    };
    let number = header["schema"]["type"] == "integer";
    let value =
        if number { text.parse().map_or(Value::Null, |number: u64| json!(number)) } else { json!(text) };
    check_schema(&header["schema"], &value).map_err(|wrong| format!("{name}: {wrong}"))
}

fn resolve(value: &Value) -> &Value {
    match value["$ref"].as_str() {
        Some(place) => DOCUMENT.pointer(&place[1..]).unwrap(),
        None => value,
    }
}

fn check_schema(schema: &Value, value: &Value) -> Result<(), String> {
    let mut schema = schema.clone();
    schema["components"] = DOCUMENT["components"].clone();
    let validator = jsonschema::validator_for(&schema).map_err(|error| format!("no schema: {error}"))?;
    let wrong: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// A document that fits everything proves nothing.
#[test]
fn a_wrong_answer_is_found() {
    let reply = |status, json: Value| Reply {
        status,
        headers: [
            ("raft-node", "0"),
            ("raft-term", "1"),
            ("cache-control", "no-store"),
            ("content-type", "application/json"),
        ]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .into(),
        json,
        body: Vec::new(),
    };
    let good = json!({ "index": 3, "term": 1 });
    assert_eq!(conforms("POST", "/v1/log", &reply(201, good.clone())), Ok(()));
    for (method, path, status, json) in [
        ("POST", "/v1/log", 200, good.clone()),
        ("POST", "/v1/log", 201, json!({ "index": "3", "term": 1 })),
        ("POST", "/v1/log", 201, json!({ "index": 3 })),
        ("POST", "/v1/log", 201, json!({ "index": 3, "term": 1, "more": 1 })),
        ("POST", "/v1/log", 400, good.clone()),
        ("PATCH", "/v1/log", 200, good.clone()),
        ("POST", "/v1/nowhere", 201, good.clone()),
    ] {
        assert!(
            conforms(method, path, &reply(status, json.clone())).is_err(),
            "{method} {path} {status} {json}"
        );
    }
    let mut headless = reply(201, good);
    headless.headers.remove("raft-term");
    assert!(conforms("POST", "/v1/log", &headless).is_err());
}
