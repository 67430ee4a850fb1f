//! Objects below the top of a JSON body. serde reads a list into a struct too, member by member, which no call documents:
//! a struct in a body is read with one of these (`deserialize_with`).

use std::{fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

/// Reads an object, and no list.
pub fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(read)| read)
}

/// Reads an object or null. The member needs `default`, too, if it may be left out.
pub fn optional_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let read = Option::<Object<T>>::deserialize(deserializer)?;
    Ok(read.map(|Object(read)| read))
}

/// Reads a list of objects, or null. The member needs `default`, too, if it may be left out.
pub fn optional_objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let read = Option::<Vec<Object<T>>>::deserialize(deserializer)?;
    Ok(read.map(|list| list.into_iter().map(|Object(read)| read).collect()))
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        id: String,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        #[serde(deserialize_with = "object")]
        one: Inner,
        #[serde(default, deserialize_with = "optional_object")]
        maybe: Option<Inner>,
        #[serde(default, deserialize_with = "optional_objects")]
        many: Option<Vec<Inner>>,
    }

    #[test]
    fn objects_are_read_and_lists_are_not() {
        let inner = || Inner { id: "a".to_owned() };
        for (text, maybe, many) in [
            (r#"{"one":{"id":"a"}}"#, None, None),
            (r#"{"one":{"id":"a"},"maybe":null,"many":null}"#, None, None),
            (
                r#"{"one":{"id":"a"},"maybe":{"id":"a"},"many":[{"id":"a"}]}"#,
                Some(inner()),
                Some(vec![inner()]),
            ),
        ] {
            let read: Outer = serde_json::from_str(text).expect(text);
            assert_eq!(read, Outer { one: inner(), maybe, many });
        }
        for text in [
            r#"{"one":["a"]}"#,
            r#"{"one":"a"}"#,
            r#"{"one":{"id":"a"},"maybe":["a"]}"#,
            r#"{"one":{"id":"a"},"many":[["a"]]}"#,
            r#"{"one":{"id":"a"},"many":{"id":"a"}}"#,
            r#"{"one":{"id":"a","id":"b"}}"#,
        ] {
            assert!(serde_json::from_str::<Outer>(text).is_err(), "{text}");
        }
    }
}
