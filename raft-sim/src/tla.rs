//! Values as TLA+ writes them.

use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number; TLC has no larger ones than 31 bits hold.
    Int(u64),
    /// A truth.
    Bool(bool),
    /// A string.
    Text(String),
    /// A sequence.
    Sequence(Vec<Value>),
    /// A set.
    Set(Vec<Value>),
    /// A record.
    Record(Record),
}

/// Fields with their names, in order.
pub type Record = Vec<(&'static str, Value)>;

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        assert!(number < 1 << 31, "TLC counts to 2^31");
        Value::Int(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Int(number) => number.fmt(f),
            Value::Bool(truth) => f.write_str(if *truth { "TRUE" } else { "FALSE" }),
            Value::Text(text) => write!(f, "\"{text}\""),
            Value::Sequence(values) => list(f, "<<", values.iter(), ">>", |f, value| value.fmt(f)),
            Value::Set(values) => list(f, "{", values.iter(), "}", |f, value| value.fmt(f)),
            Value::Record(fields) => {
                list(f, "[", fields.iter(), "]", |f, (name, value)| write!(f, "{name}|->{value}"))
            }
        }
    }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    opens: &str,
    items: impl Iterator<Item = T>,
    closes: &str,
    write: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_str(opens)?;
    for (at, item) in items.enumerate() {
        if at > 0 {
            f.write_str(",")?;
        }
        write(f, item)?;
    }
    f.write_str(closes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_tla_writes_them() {
        let pair = Value::Sequence(vec![1.into(), "Voter".into()]);
        let record = Value::Record(vec![("is", true.into()), ("all", Value::Set(vec![pair]))]);
        assert_eq!(record.to_string(), "[is|->TRUE,all|->{<<1,\"Voter\">>}]");
    }
}
