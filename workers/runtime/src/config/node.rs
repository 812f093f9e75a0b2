//! A tree of configuration that remembers where each value came from, and reads itself into types.
//!
//! A value from the environment is text, and only the field that receives it knows whether `123`
//! is a number or a name; so this reads by the field's type instead of guessing by the text.

mod fault;

use super::error::ConfigError;
use fault::{Fault, FaultKind};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    Text,
    File(Arc<Path>),
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::Text => f.write_str("the text"),
            Self::File(path) => write!(f, "the file `{}`", path.display()),
            Self::Environment(option) if option.starts_with("--") => {
                write!(f, "the option {option}")
            }
            Self::Environment(variable) => write!(f, "the variable {variable}"),
        }
    }
}

/// A value and its origin.
#[derive(Clone, Debug)]
pub(super) struct Node {
    value: Value,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Value {
    Table(BTreeMap<String, Node>),
    Array(Vec<Node>),
    Leaf(toml::Value),
    /// Of the environment: its type is the receiver's.
    Text(String),
}

impl Node {
    pub(super) fn table(origin: Origin) -> Self {
        Self { value: Value::Table(BTreeMap::new()), origin }
    }

    pub(super) fn from_toml(value: toml::Value, origin: &Origin) -> Self {
        let value = match value {
            toml::Value::Table(table) => Value::Table(
                table
                    .into_iter()
                    .map(|(key, value)| (key, Self::from_toml(value, origin)))
                    .collect(),
            ),
            toml::Value::Array(items) => {
                Value::Array(items.into_iter().map(|item| Self::from_toml(item, origin)).collect())
            }
            leaf @ (toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)) => Value::Leaf(leaf),
        };
        Self { value, origin: origin.clone() }
    }

    /// Sets one key from the environment, over whatever was there.
    pub(super) fn set(
        &mut self,
        keys: &[String],
        text: String,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        let Some((first, rest)) = keys.split_first() else {
            *self = Self { value: Value::Text(text), origin };
            return Ok(());
        };
        let Value::Table(table) = &mut self.value else {
            return Err(ConfigError::Value {
                path: first.clone(),
                origin: format!(" (from {origin})"),
                reason: format!("it lies below a key that {} sets to a single value", self.origin),
            });
        };
        table
            .entry(first.clone())
            .or_insert_with(|| Self::table(origin.clone()))
            .set(rest, text, origin)
    }

    /// Moves the named keys into a table of their own.
    pub(super) fn split_off(&mut self, keys: &[&str]) -> Self {
        let mut taken = BTreeMap::new();
        if let Value::Table(table) = &mut self.value {
            for key in keys {
                taken.extend(table.remove_entry(*key));
            }
        }
        Self { value: Value::Table(taken), origin: self.origin.clone() }
    }

    /// Reads the tree into a type. `elsewhere` are top-level keys that somebody else takes; they
    /// only help to guess what an unknown key was meant to be.
    pub(super) fn read<T: DeserializeOwned>(self, elsewhere: &[&str]) -> Result<T, ConfigError> {
        T::deserialize(self).map_err(|fault| fault.into_config_error(elsewhere))
    }
}

/// Numbers and booleans: text of the environment is parsed as what the field wants.
macro_rules! parsed {
    ($($method:ident => $visit:ident as $type:ty, $expected:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match &self.value {
                Value::Text(text) => match text.trim().parse::<$type>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(de::Error::custom(format_args!(
                        "`{text}` is not {}", $expected
                    ))),
                },
                Value::Table(_) | Value::Array(_) | Value::Leaf(_) => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> de::Deserializer<'de> for Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Table(table) => visitor.visit_map(Entries::new(table)),
            Value::Array(items) => visitor.visit_seq(Items { items: items.into_iter(), index: 0 }),
            Value::Text(text) | Value::Leaf(toml::Value::String(text)) => {
                visitor.visit_string(text)
            }
            Value::Leaf(toml::Value::Integer(number)) => visitor.visit_i64(number),
            Value::Leaf(toml::Value::Float(number)) => visitor.visit_f64(number),
            Value::Leaf(toml::Value::Boolean(truth)) => visitor.visit_bool(truth),
            Value::Leaf(other) => visitor.visit_string(other.to_string()),
        }
    }

    parsed! {
        deserialize_bool => visit_bool as bool, "`true` or `false`";
        deserialize_i8 => visit_i64 as i64, "a whole number";
        deserialize_i16 => visit_i64 as i64, "a whole number";
        deserialize_i32 => visit_i64 as i64, "a whole number";
        deserialize_i64 => visit_i64 as i64, "a whole number";
        deserialize_u8 => visit_u64 as u64, "a whole number of at least 0";
        deserialize_u16 => visit_u64 as u64, "a whole number of at least 0";
        deserialize_u32 => visit_u64 as u64, "a whole number of at least 0";
        deserialize_u64 => visit_u64 as u64, "a whole number of at least 0";
        deserialize_f32 => visit_f64 as f64, "a number";
        deserialize_f64 => visit_f64 as f64, "a number";
    }

    /// An empty variable means that the optional key is absent.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Text(text) if text.is_empty() => visitor.visit_none(),
            Value::Text(_) | Value::Table(_) | Value::Array(_) | Value::Leaf(_) => {
                visitor.visit_some(self)
            }
        }
    }

    /// A list in a variable is separated by commas.
    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        if let Value::Text(text) = &self.value {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            let items = parts
                .map(|part| Self {
                    value: Value::Text(part.to_owned()),
                    origin: self.origin.clone(),
                })
                .collect();
            self.value = Value::Array(items);
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Table(table) => match table.into_iter().next() {
                None => visitor.visit_unit(),
                Some((key, node)) => {
                    let unknown = FaultKind::UnknownKey { key: key.clone(), known: &[] };
                    Err(Fault::new(unknown).below(&key, &node.origin))
                }
            },
            Value::Array(_) | Value::Leaf(_) | Value::Text(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value {
            Value::Text(text) | Value::Leaf(toml::Value::String(text)) => {
                visitor.visit_enum(text.into_deserializer())
            }
            Value::Table(table) if table.len() == 1 => visitor.visit_enum(Variant { table }),
            Value::Table(_) | Value::Array(_) | Value::Leaf(_) => {
                Err(de::Error::custom("expected the name of a variant"))
            }
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit_struct tuple_struct map struct identifier
        ignored_any
    }
}

struct Entries {
    entries: std::collections::btree_map::IntoIter<String, Node>,
    open: Option<(String, Node)>,
}

impl Entries {
    fn new(table: BTreeMap<String, Node>) -> Self {
        Self { entries: table.into_iter(), open: None }
    }
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        let name: de::value::StringDeserializer<Fault> = key.clone().into_deserializer();
        let read = seed.deserialize(name).map_err(|fault| fault.below(&key, &node.origin))?;
        self.open = Some((key, node));
        Ok(Some(read))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, node) =
            self.open.take().ok_or_else(|| <Fault as de::Error>::custom("value before key"))?;
        let origin = node.origin.clone();
        seed.deserialize(node).map_err(|fault| fault.below(&key, &origin))
    }
}

struct Items {
    items: std::vec::IntoIter<Node>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.items.next() else { return Ok(None) };
        let origin = node.origin.clone();
        let index = self.index;
        self.index += 1;
        seed.deserialize(node).map(Some).map_err(|fault| fault.below(&index.to_string(), &origin))
    }
}

/// `{ variant = content }`.
struct Variant {
    table: BTreeMap<String, Node>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Fault;
    type Variant = Node;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Node), Fault> {
        let (name, content) = self
            .table
            .into_iter()
            .next()
            .ok_or_else(|| <Fault as de::Error>::custom("expected the name of a variant"))?;
        let name: de::value::StringDeserializer<Fault> = name.into_deserializer();
        Ok((seed.deserialize(name)?, content))
    }
}

impl<'de> VariantAccess<'de> for Node {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Err(de::Error::custom("this variant has no content"))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        de::Deserializer::deserialize_seq(self, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        de::Deserializer::deserialize_any(self, visitor)
    }
}
