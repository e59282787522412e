//! The paths by name, for those who count requests: what varies in a path is left out.

/// All fixed paths.
const FIXED: [&str; 19] = [
    "/",
    "/request",
    "/log",
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/v1/status",
    "/v1/cluster",
    "/v1/events",
    "/v1/members",
    "/v1/leader/transfer",
    "/v1/snapshot",
    "/v1/backup",
    "/v1/log",
    "/v1/kv",
    "/v1/batch",
    "/v1/watch",
    "/v1/openapi.json",
];

/// The name of a path's route; a path that is none has a common one.
pub(super) fn name(path: &str) -> &'static str {
    if let Some(fixed) = FIXED.into_iter().find(|fixed| *fixed == path) {
        return fixed;
    }
    if path.starts_with("/v1/kv/") {
        return "/v1/kv/{key}";
    }
    let action = path.strip_prefix("/v1/members/").map(|rest| rest.split_once('/').map(|(_, action)| action));
    match action {
        Some(None) => "/v1/members/{id}",
        Some(Some("promote")) => "/v1/members/{id}/promote",
        Some(Some("demote")) => "/v1/members/{id}/demote",
        Some(Some("replace")) => "/v1/members/{id}/replace",
        Some(Some(_)) | None => "other",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_varies_is_left_out() {
        for (path, name) in [
            ("/v1/kv/a/b", "/v1/kv/{key}"),
            ("/v1/members/7", "/v1/members/{id}"),
            ("/v1/members/7/replace", "/v1/members/{id}/replace"),
            ("/v1/members/7/elect", "other"),
            ("/v1/log", "/v1/log"),
            ("/made/up", "other"),
        ] {
            assert_eq!(super::name(path), name);
        }
    }
}
