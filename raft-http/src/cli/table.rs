//! Answers as tables for people.

use serde_json::Value;

/// Rows of equal columns, as wide as they must be.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The answer of `/v1/members`.
pub(super) fn members(answer: &Value) -> String {
    let titles = ["ID", "STANDING", "PEER", "API", "DISK", "MATCHED", "BEHIND", "LAG"];
    let mut rows = vec![titles.map(str::to_string).to_vec()];
    for member in answer["members"].as_array().into_iter().flatten() {
        let leads = if member["id"] == answer["leader_id"] { " (leader)" } else { "" };
        let mut row = vec![text(&member["id"]), format!("{}{leads}", text(&member["standing"]))];
        row.extend(["peer", "api", "disk", "matched_index", "behind", "lag"].map(|key| text(&member[key])));
        rows.push(row);
    }
    columns(&rows)
}

/// Who leads.
pub(super) fn leader(answer: &Value) -> String {
    format!("{}  {}", text(&answer["leader_id"]), text(&answer["leader"]))
}

/// The answers of `/v1/snapshot`.
pub(super) fn snapshots(answer: &Value) -> String {
    let mut rows = vec![["NODE", "INDEX"].map(str::to_string).to_vec()];
    let mut lost = String::new();
    for taken in answer["snapshots"].as_array().into_iter().flatten() {
        match taken["error"].as_str() {
            None => rows.push(vec![text(&taken["node"]), text(&taken["index"])]),
            Some(error) => lost.extend(["\n", error]),
        }
    }
    columns(&rows) + &lost
}

/// The answer of `/v1/cluster`.
pub(super) fn cluster(answer: &Value) -> String {
    let titles = ["ID", "ROLE", "TERM", "COMMIT", "APPLIED", "LAST", "SNAPSHOT", "VERSION", "API"];
    let mut rows = vec![titles.map(str::to_string).to_vec()];
    for node in answer["nodes"].as_array().into_iter().flatten() {
        let mut row = vec![text(&node["id"])];
        if node["reachable"] == true {
            let of_itself =
                node["members"].as_array().into_iter().flatten().find(|member| member["id"] == node["id"]);
            let api = of_itself.map_or(&node["api"], |member| &member["api"]);
            let keys =
                ["role", "term", "commit_index", "applied_index", "last_index", "snapshot_index", "version"];
            row.extend(keys.map(|key| text(&node[key])));
            row.push(text(api));
        } else {
            row.push(format!("unreachable: {}", text(&node["error"])));
        }
        rows.push(row);
    }
    // What is not reachable has no columns to line up with.
    let (reached, lost): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.len() > 2);
    let lost = lost.iter().map(|row| row.join("  "));
    std::iter::once(columns(&reached)).chain(lost).collect::<Vec<_>>().join("\n")
}

/// A name's value, or what stands for one that is no text.
fn named(object: &Value, name: &str) -> String {
    match &object[name] {
        Value::Null => {
            object[format!("{name}_b64")].as_str().map_or_else(String::new, |text| format!("base64:{text}"))
        }
        other => text(other),
    }
}

/// What became of a write.
pub(super) fn written(answer: &Value) -> String {
    match answer["deleted"].as_u64() {
        Some(deleted) => format!("deleted {deleted}, index {}", text(&answer["index"])),
        None => format!("index {}", text(&answer["index"])),
    }
}

/// The pages of `/v1/kv`.
pub(super) fn keys(answer: &Value) -> String {
    let mut rows = vec![["KEY", "INDEX", "VALUE"].map(str::to_string).to_vec()];
    for key in answer["keys"].as_array().into_iter().flatten() {
        rows.push(vec![named(key, "key"), text(&key["mod_index"]), named(key, "value")]);
    }
    columns(&rows)
}

/// An entry of `/v1/log`.
pub(super) fn entry(entry: &Value) -> String {
    format!("{:>8}  {}", text(&entry["index"]), named(entry, "entry"))
}

/// An event of `/v1/watch`.
pub(super) fn change(change: &Value) -> String {
    let line =
        format!("{:>8}  {:6}  {}", text(&change["mod_index"]), text(&change["event"]), named(change, "key"));
    let value = named(change, "value");
    if value.is_empty() { line } else { format!("{line}  {value}") }
}

/// The figures of `bench`.
pub(super) fn load(figures: &Value) -> String {
    let latency = &figures["latency_ms"];
    let quantiles =
        ["p50", "p90", "p99", "p99.9", "max"].map(|name| format!("{name} {} ms", text(&latency[name])));
    let mut rows = vec![
        [
            "requests".to_string(),
            format!("{} in {} s", text(&figures["operations"]), text(&figures["seconds"])),
        ],
        ["rate".to_string(), format!("{} a second", text(&figures["per_second"]))],
        ["latency".to_string(), quantiles.join(", ")],
    ];
    if !figures["server_cpu_us"].is_null() {
        rows.push(["server CPU".to_string(), format!("{} us a request", text(&figures["server_cpu_us"]))]);
    }
    let errors = figures["errors"].as_object().into_iter().flatten();
    rows.extend(errors.map(|(code, count)| [format!("error {code}"), text(count)]));
    columns(&rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn columns_stand_below_each_other() {
        let members = super::members(&json!({ "leader_id": 1, "members": [
            { "id": 1, "standing": "voter", "peer": "a:1", "api": "b:22", "disk": "00ff" },
            { "id": 12, "standing": "learner", "peer": "longer:1", "api": null, "disk": null, "behind": 7, "lag": "silent" },
        ]}));
        let expected = "\
ID  STANDING        PEER      API   DISK  MATCHED  BEHIND  LAG
1   voter (leader)  a:1       b:22  00ff  -        -       -
12  learner         longer:1  -     -     -        7       silent";
        assert_eq!(members, expected);
    }

    #[test]
    fn who_is_not_reachable_stands_below() {
        let cluster = super::cluster(&json!({ "nodes": [
            { "id": 0, "reachable": false, "error": "no route" },
            { "id": 1, "reachable": true, "role": "leader", "term": 7, "commit_index": 9, "applied_index": 9,
              "last_index": 10, "snapshot_index": 0, "version": "1", "members": [{ "id": 1, "api": "b:2" }] },
        ]}));
        let expected = "\
ID  ROLE    TERM  COMMIT  APPLIED  LAST  SNAPSHOT  VERSION  API
1   leader  7     9       9        10    0         1        b:2
0  unreachable: no route";
        assert_eq!(cluster, expected);
    }

    #[test]
    fn a_load_shows_its_errors_and_cpu_only_if_there_are_any() {
        let latency = json!({ "p50": 0.5, "p90": 1.0, "p99": 2.0, "p99.9": 3.0, "max": 4.0 });
        let mut load = json!({ "operations": 10, "seconds": 5.0, "per_second": 2.0, "latency_ms": latency,
            "server_cpu_us": null, "errors": {} });
        let expected = "\
requests  10 in 5.0 s
rate      2.0 a second
latency   p50 0.5 ms, p90 1.0 ms, p99 2.0 ms, p99.9 3.0 ms, max 4.0 ms";
        assert_eq!(super::load(&load), expected);
        load["errors"] = json!({ "overloaded": 7 });
        load["server_cpu_us"] = json!(8.5);
        let shown = super::load(&load);
        assert!(shown.ends_with("\nserver CPU        8.5 us a request\nerror overloaded  7"), "{shown}");
    }

    #[test]
    fn bytes_that_are_no_text_are_told_from_text() {
        assert_eq!(super::entry(&json!({ "index": 7, "entry_b64": "/w==" })), "       7  base64:/w==");
        assert_eq!(
            super::change(&json!({ "event": "delete", "key": "a", "mod_index": 12 })),
            "      12  delete  a"
        );
    }
}
