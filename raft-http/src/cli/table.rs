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
    for taken in answer["snapshots"].as_array().into_iter().flatten() {
        rows.push(vec![text(&taken["node"]), text(&taken["index"])]);
    }
    columns(&rows)
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
}
