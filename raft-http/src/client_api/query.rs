//! Query parameters and deadlines.

use super::answer::{Problem, ProblemCode};
use http::Request;
use std::borrow::Cow;
use std::time::Duration;
use tokio::time::Instant;

/// The longest deadline that a client may ask for.
const LONGEST: Duration = Duration::from_secs(60);

/// The value of a query parameter: the first, if it is repeated.
pub(super) fn parameter<'a, B>(request: &'a Request<B>, name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = request.uri().query()?.split('&');
    pairs.find_map(|pair| {
        // Each read asks for many parameters, of which it has few: a key that is written as it is tells them apart.
        let key = written_key(pair);
        if key != name && !key.contains(['%', '+']) {
            return None;
        }
        form_urlencoded::parse(pair.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
    })
}

/// A pair's key, as it is written.
fn written_key(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

/// Refuses parameters beside these: a typo in `consistency` must not weaken a read.
pub(super) fn only<B>(request: &Request<B>, known: &[&str]) -> Result<(), Problem> {
    let query = request.uri().query().unwrap_or_default();
    let unsure = query.split('&').filter(|pair| !known.contains(&written_key(pair)));
    let mut decoded = unsure.flat_map(|pair| form_urlencoded::parse(pair.as_bytes()));
    match decoded.find(|(key, _)| !known.contains(&key.as_ref())) {
        None => Ok(()),
        Some((key, _)) => {
            let detail = format!("there is no parameter {key:?} here; there are: {}", known.join(", "));
            Err(Problem::new(ProblemCode::BadQuery, detail))
        }
    }
}

/// A query parameter that is a whole number.
pub(super) fn number<B>(request: &Request<B>, name: &str) -> Result<Option<i128>, Problem> {
    let Some(text) = parameter(request, name) else { return Ok(None) };
    let wrong = |_| Problem::new(ProblemCode::BadQuery, format!("{name} must be a whole number"));
    text.parse().map(Some).map_err(wrong)
}

/// When the client wants an answer at the latest: `?timeout=`, else `Raft-Timeout`, else `default`.
pub(super) fn deadline<B>(request: &Request<B>, default: Duration) -> Result<Instant, Problem> {
    let header =
        || request.headers().get("raft-timeout").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let timeout = match parameter(request, "timeout").or_else(header) {
        None => default,
        Some(text) => humantime::parse_duration(&text).map_err(|_| {
            Problem::new(ProblemCode::BadQuery, "a timeout is written like 2s or 500ms, and is at most 60s")
        })?,
    };
    Ok(Instant::now() + timeout.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> Request<()> {
        Request::builder().uri(uri).body(()).unwrap()
    }

    #[test]
    fn parameters_are_decoded() {
        let request = request("/?a=1&&key=x%3Ay+z&key=2&empty=&%77%61it+a%26=3%26");
        assert_eq!(parameter(&request, "key").unwrap(), "x:y z");
        assert_eq!(parameter(&request, "empty").unwrap(), "");
        assert_eq!(parameter(&request, "wait a&").unwrap(), "3&");
        assert!(parameter(&request, "none").is_none());
        assert!(parameter(&request, "%77%61it+a%26").is_none());
        assert_eq!(number(&request, "a").unwrap(), Some(1));
        assert!(number(&request, "key").is_err());
    }

    #[test]
    fn unknown_parameters_are_refused() {
        assert!(only(&request("/v1/members?timeout=1s"), &["timeout"]).is_ok());
        assert!(only(&request("/v1/members?%74imeout=1s&&"), &["timeout"]).is_ok());
        assert!(only(&request("/v1/members"), &[]).is_ok());
        assert!(only(&request("/v1/members?consistancy=stale"), &["consistency"]).is_err());
    }

    #[test]
    fn a_deadline_has_a_unit_and_a_limit() {
        let default = Duration::from_secs(6);
        let left = |request: &Request<()>| {
            deadline(request, default).unwrap().saturating_duration_since(Instant::now()).as_secs_f64().ceil()
        };
        assert_eq!(left(&request("/")), 6.0);
        assert_eq!(left(&request("/?timeout=2s")), 2.0);
        assert_eq!(left(&request("/?timeout=3h")), 60.0);
        let mut by_header = request("/");
        by_header.headers_mut().insert("raft-timeout", "1500ms".parse().unwrap());
        assert_eq!(left(&by_header), 2.0);
        assert!(deadline(&request("/?timeout=2"), default).is_err());
    }
}
