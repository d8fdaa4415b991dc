//! Query parameters into structs. Unlike the usual decoder it refuses unknown names by itself and takes repeated ones.

use std::fmt;

use axum::extract::Query as Pairs;
use axum::http::Uri;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::error::{self, Problem};

/// Names and values in the order of the query.
pub fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let decoded = Pairs::<Vec<(String, String)>>::try_from_uri(uri);
    decoded.map(|Pairs(pairs)| pairs).map_err(|_| {
        Problem::new(
            &error::BAD_REQUEST,
            "the query is not made of name=value pairs in UTF-8",
        )
    })
}

/// The struct that `pairs` describe.
pub fn decode<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, Problem> {
    T::deserialize(Parameters(grouped(pairs))).map_err(|error| match error {
        Refusal::Unknown { name, known } => unknown(&name, known.iter().copied()),
        Refusal::At { name, detail } if name.is_empty() => {
            Problem::new(&error::INVALID_PARAMETER, detail)
        }
        Refusal::At { name, detail } => Problem::parameter(&name, detail),
    })
}

/// The refusal of a parameter that does not exist.
pub fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
    let known: Vec<&str> = known.into_iter().collect();
    let list = match known.is_empty() {
        true => "this resource has none".to_owned(),
        false => format!("there are {}", known.join(", ")),
    };
    Problem::new(
        &error::UNKNOWN_PARAMETER,
        format!("unknown query parameter `{name}`; {list}"),
    )
}

fn grouped(pairs: Vec<(String, String)>) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in pairs {
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => groups.push((name, vec![value])),
        }
    }
    groups
}

#[derive(Debug)]
enum Refusal {
    Unknown {
        name: String,
        known: &'static [&'static str],
    },
    At {
        name: String,
        detail: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, .. } => write!(f, "unknown {name}"),
            Self::At { detail, .. } => f.write_str(detail),
        }
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::At {
            name: String::new(),
            detail: message.to_string(),
        }
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::Unknown {
            name: field.into(),
            known,
        }
    }
}

struct Parameters(Vec<(String, Vec<String>)>);

impl<'de> Deserializer<'de> for Parameters {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let entries = self
            .0
            .into_iter()
            .map(|(name, values)| (name.clone(), Parameter { name, values }));
        visitor.visit_map(MapDeserializer::new(entries))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self
            .0
            .iter()
            .find(|(name, _)| !fields.contains(&name.as_str()))
        {
            Some((name, _)) => Err(Refusal::Unknown {
                name: name.clone(),
                known: fields,
            }),
            None => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// All values of one name.
struct Parameter {
    name: String,
    values: Vec<String>,
}

impl<'de> IntoDeserializer<'de, Refusal> for Parameter {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl Parameter {
    fn at(name: &str, error: Refusal) -> Refusal {
        match error {
            Refusal::At {
                name: inner,
                detail,
            } if inner.is_empty() => Refusal::At {
                name: name.into(),
                detail,
            },
            other => other,
        }
    }

    fn one(&self) -> Result<&str, Refusal> {
        match self.values.as_slice() {
            [value] => Ok(value),
            many => Err(Refusal::At {
                name: self.name.clone(),
                detail: format!("given {} times, may be given once", many.len()),
            }),
        }
    }

    fn parsed<T: std::str::FromStr>(&self, what: &str) -> Result<T, Refusal> {
        let text = self.one()?;
        text.parse().map_err(|_| Refusal::At {
            name: self.name.clone(),
            detail: format!("\"{text}\" is not {what}"),
        })
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty, $what:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            let value: $type = self.parsed($what)?;
            visitor.$visit(value).map_err(|error| Self::at(&self.name, error))
        }
    )*};
}

impl<'de> Deserializer<'de> for Parameter {
    type Error = Refusal;

    parsed! {
        deserialize_bool visit_bool bool, "true or false";
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number from 0 to 4294967295";
        deserialize_u64 visit_u64 u64, "a whole number, 0 or more";
        deserialize_i32 visit_i32 i32, "a whole number";
        deserialize_i64 visit_i64 i64, "a whole number";
        deserialize_f64 visit_f64 f64, "a number";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let text = self.one()?.to_owned();
        visitor
            .visit_string(text)
            .map_err(|error| Self::at(&self.name, error))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let name = self.name;
        let each = self.values.into_iter().map(|value| Parameter {
            name: name.clone(),
            values: vec![value],
        });
        visitor
            .visit_seq(SeqDeserializer::new(each))
            .map_err(|error| Self::at(&name, error))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let text = self.one()?.to_owned();
        let variant = IntoDeserializer::<Refusal>::into_deserializer(text);
        visitor
            .visit_enum(variant)
            .map_err(|error| Self::at(&self.name, error))
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Form {
        Csv,
        Json,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wanted {
        limit: Option<u32>,
        format: Option<Form>,
        #[serde(default)]
        target: Vec<String>,
    }

    fn read(query: &str) -> Result<Wanted, String> {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        decode(pairs(&uri).unwrap()).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn numbers_names_and_repeated_values_are_read() {
        let wanted = read("target=a&limit=7&target=b%20c&format=csv").unwrap();
        let expected = Wanted {
            limit: Some(7),
            format: Some(Form::Csv),
            target: vec!["a".into(), "b c".into()],
        };
        assert_eq!(wanted, expected);
    }

    #[test]
    fn every_refusal_names_the_parameter() {
        for (query, text) in [
            (
                "limt=3",
                "unknown query parameter `limt`; there are limit, format, target",
            ),
            ("limit=x", "`limit`: \\\"x\\\" is not a whole number"),
            ("limit=-1", "`limit`"),
            ("limit=1&limit=2", "given 2 times"),
            ("format=xml", "`format`: unknown variant"),
        ] {
            let error = read(query).unwrap_err();
            assert!(error.contains(text), "{query}: {error}");
        }
    }
}
