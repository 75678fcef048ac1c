//! JSON whose members stay in the order in which they were written.

use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;
use wopr_p2p_core::time::WallTime;
use wopr_p2p_smol::utc;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    /// Nothing is known, or nothing is set.
    Null,
    /// True or false.
    Bool(bool),
    /// A count, or milliseconds.
    Number(u64),
    /// Milliseconds with fractions.
    Float(f64),
    /// A text.
    Text(String),
    /// Several values.
    List(Vec<Self>),
    /// Named values.
    Object(Object),
    /// A value that is JSON already.
    Raw(String),
}

/// Named values in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Object(Vec<(&'static str, Json)>);

impl Object {
    /// Adds a member.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// Adds a member with its `Display` text.
    pub(crate) fn shown(self, name: &'static str, value: impl ToString) -> Self {
        self.with(name, value.to_string())
    }

    /// Adds a point in time twice: in milliseconds since the epoch, and as UTC under the name that ends in `Iso`.
    pub(crate) fn time(self, [name, name_iso]: [&'static str; 2], time: impl Into<Option<WallTime>>) -> Self {
        let time = time.into();
        self.with(name, time.map(WallTime::as_millis)).with(name_iso, time.map(utc::iso))
    }

    /// The members.
    pub(crate) fn members(&self) -> &[(&'static str, Json)] {
        &self.0
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(values) => serializer.collect_seq(values),
            Self::Object(object) => object.serialize(serializer),
            Self::Raw(text) => serde_json::from_str::<&RawValue>(text).map_err(S::Error::custom)?.serialize(serializer),
        }
    }
}

macro_rules! from {
    ($($kind:ty: $value:ident => $json:expr;)*) => {$(
        impl From<$kind> for Json {
            fn from($value: $kind) -> Self {
                $json
            }
        }
    )*};
}

from! {
    bool: value => Self::Bool(value);
    u64: value => Self::Number(value);
    u32: value => Self::Number(value.into());
    u8: value => Self::Number(value.into());
    usize: value => Self::Number(value as u64);
    f64: value => Self::Float(value);
    String: value => Self::Text(value);
    &str: value => Self::Text(value.to_owned());
    Object: value => Self::Object(value);
}

impl From<&RawValue> for Json {
    fn from(value: &RawValue) -> Self {
        Self::Raw(value.get().to_owned())
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        Self::Raw(value.to_string())
    }
}

impl<T: Into<Self>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Self>> FromIterator<T> for Json {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_in_order_and_times_stand_twice() {
        let object = Object::default()
            .with("z", 1_u64)
            .time(["at", "atIso"], WallTime::from_millis(1_704_067_200_000))
            .time(["end", "endIso"], None)
            .with("list", ["x", "y"].into_iter().collect::<Json>())
            .with("inner", Object::default().with("ok", true).with("ms", 1.5));
        assert_eq!(
            serde_json::to_string(&object).unwrap(),
            r#"{"z":1,"at":1704067200000,"atIso":"2024-01-01T00:00:00.000Z","end":null,"endIso":null,"list":["x","y"],"inner":{"ok":true,"ms":1.5}}"#
        );
    }
}
