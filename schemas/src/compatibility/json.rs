//! Changes to a JSON Schema.

use super::{Break, Change, Finder, Unreadable};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Keywords that say nothing about which values are allowed, and those that are compared apart.
const NOT_COMPARED: [&str; 17] = [
    "$comment",
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "allOf",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "examples",
    "items",
    "oneOf",
    "properties",
    "required",
    "title",
];

/// Deepest nesting that is followed; our types have less than ten levels.
const MAX_DEPTH: usize = 64;

pub(super) fn breaks(
    file: &str,
    was: &[u8],
    is: Option<&Vec<u8>>,
) -> Result<Vec<Break>, Unreadable> {
    let mut finder = Finder::of(file);
    let parse = |bytes: &[u8]| -> Result<Value, Unreadable> {
        serde_json::from_slice(bytes).map_err(|error| finder.unreadable(error))
    };
    let was = parse(was)?;
    let Some(is) = is.map(|is| parse(is)).transpose()? else {
        finder.note("", Change::Removed);
        return Ok(finder.found);
    };
    let mut comparison = Comparison { was: &was, is: &is, finder };
    comparison.schemas("", &was, &is, 0);
    Ok(comparison.finder.found)
}

struct Comparison<'a> {
    was: &'a Value,
    is: &'a Value,
    finder: Finder<'a>,
}

impl<'a> Comparison<'a> {
    fn schemas(&mut self, place: &str, was: &'a Value, is: &'a Value, depth: usize) {
        let (was, is) = (resolved(self.was, was), resolved(self.is, is));
        if depth > MAX_DEPTH {
            return;
        }
        let (Some(before), Some(now)) = (was.as_object(), is.as_object()) else {
            if was != is {
                self.retyped(place, was, is);
            }
            return;
        };
        match (values(was), values(is)) {
            (Some(before), Some(now)) => return self.sets(place, &before, &now),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => return self.retyped(place, was, is),
        }
        self.keywords(place, before, now);
        self.properties(place, before, now, depth);
        match (before.get("items"), now.get("items")) {
            (Some(was), Some(is)) => self.schemas(&format!("{place}[]"), was, is, depth + 1),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => self.retyped(place, was, is),
        }
        self.variants(place, before, now, depth);
        for keyword in ["anyOf", "allOf"] {
            self.in_order(place, before.get(keyword), now.get(keyword), depth);
        }
    }

    /// Schemas that stand beside one another without names, as those of a value that may be null.
    fn in_order(
        &mut self,
        place: &str,
        was: Option<&'a Value>,
        is: Option<&'a Value>,
        depth: usize,
    ) {
        let list = |value: Option<&'a Value>| value.and_then(Value::as_array).map(Vec::as_slice);
        let (before, now) = (list(was).unwrap_or_default(), list(is).unwrap_or_default());
        if before.len() != now.len() {
            let nothing = &Value::Null;
            return self.retyped(place, was.unwrap_or(nothing), is.unwrap_or(nothing));
        }
        for (before, now) in before.iter().zip(now) {
            self.schemas(place, before, now, depth + 1);
        }
    }

    fn keywords(&mut self, place: &str, was: &Map<String, Value>, is: &Map<String, Value>) {
        let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for name in names.into_iter().filter(|name| !NOT_COMPARED.contains(&name.as_str())) {
            let (before, now) = (was.get(name), is.get(name));
            if before != now {
                let told = |value: Option<&Value>| {
                    value.map_or_else(|| format!("no {name}"), |value| format!("{name} {value}"))
                };
                self.finder.note(place, Change::Retyped { was: told(before), is: told(now) });
            }
        }
    }

    fn properties(
        &mut self,
        place: &str,
        was: &'a Map<String, Value>,
        is: &'a Map<String, Value>,
        depth: usize,
    ) {
        let (before, now) = (properties(was), properties(is));
        let (needed, needs) = (required(was), required(is));
        for (name, schema) in &before {
            let inner = if place.is_empty() { name.to_string() } else { format!("{place}.{name}") };
            let Some(other) = now.get(name) else {
                self.finder.note(&inner, Change::Removed);
                continue;
            };
            if needed.contains(name) && !needs.contains(name) {
                self.finder.note(&inner, Change::NoLongerRequired);
            }
            self.schemas(&inner, schema, other, depth + 1);
        }
        for name in needs.difference(&needed) {
            let inner =
                if place.is_empty() { (*name).to_owned() } else { format!("{place}.{name}") };
            self.finder.note(&inner, Change::NewlyRequired);
        }
    }

    /// Variants that are objects, told apart by their tag or by what they require.
    fn variants(
        &mut self,
        place: &str,
        was: &'a Map<String, Value>,
        is: &'a Map<String, Value>,
        depth: usize,
    ) {
        let before = named_variants(self.was, was);
        let now = named_variants(self.is, is);
        for (name, schema) in &before {
            match now.get(name) {
                Some(other) => self.schemas(&format!("{place}<{name}>"), schema, other, depth + 1),
                None => self.finder.note(place, Change::ValueRemoved(name.clone())),
            }
        }
        for name in now.keys().filter(|name| !before.contains_key(*name)) {
            self.finder.note(place, Change::ValueAdded(name.clone()));
        }
    }

    fn sets(&mut self, place: &str, was: &BTreeSet<String>, is: &BTreeSet<String>) {
        for value in was.difference(is) {
            self.finder.note(place, Change::ValueRemoved(value.clone()));
        }
        for value in is.difference(was) {
            self.finder.note(place, Change::ValueAdded(value.clone()));
        }
    }

    fn retyped(&mut self, place: &str, was: &Value, is: &Value) {
        self.finder.note(place, Change::Retyped { was: was.to_string(), is: is.to_string() });
    }
}

/// The schema that a `$ref` within `root` leads to.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..MAX_DEPTH {
        let target = schema.get("$ref").and_then(Value::as_str);
        let target = target.and_then(|target| target.strip_prefix('#'));
        match target.and_then(|target| root.pointer(target)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// The values of a closed list: `const`, `enum`, or a `oneOf` of such.
fn values(schema: &Value) -> Option<BTreeSet<String>> {
    if let Some(value) = schema.get("const") {
        return Some(BTreeSet::from([value.to_string()]));
    }
    if let Some(list) = schema.get("enum").and_then(Value::as_array) {
        return Some(list.iter().map(Value::to_string).collect());
    }
    let variants = schema.get("oneOf")?.as_array()?;
    let sets: Option<Vec<_>> = variants.iter().map(values).collect();
    sets.map(|sets| sets.into_iter().flatten().collect())
}

fn properties(schema: &Map<String, Value>) -> BTreeMap<&str, &Value> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema)).collect()
}

fn required(schema: &Map<String, Value>) -> BTreeSet<&str> {
    let list = schema.get("required").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Variants of a `oneOf` by the value of their tag, or else by the names that they require.
fn named_variants<'a>(
    root: &'a Value,
    schema: &'a Map<String, Value>,
) -> BTreeMap<String, &'a Value> {
    let variants = schema.get("oneOf").and_then(Value::as_array);
    let named = |variant: &'a Value| {
        let variant = resolved(root, variant);
        let Some(object) = variant.as_object() else { return (variant.to_string(), variant) };
        let tag = properties(object)
            .into_iter()
            .find_map(|(name, schema)| schema.get("const").map(|value| format!("{name}={value}")));
        let needs = || required(object).into_iter().collect::<Vec<_>>().join("+");
        (tag.unwrap_or_else(needs), variant)
    };
    variants.into_iter().flatten().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "a",
            "type": "object",
            "properties": {
                "id": { "type": "string" },
                "note": { "type": "string" },
                "best": { "anyOf": [{ "$ref": "#/$defs/Job" }, { "type": "null" }] },
                "jobs": { "type": "array", "items": { "$ref": "#/$defs/Job" } },
            },
            "required": ["id", "jobs"],
            "$defs": {
                "Job": {
                    "type": "object",
                    "properties": {
                        "kind": { "oneOf": [{ "const": "a" }, { "const": "b" }] },
                        "level": { "type": "integer", "format": "uint32" },
                        "source": { "oneOf": [
                            { "type": "object", "properties": { "template": { "type": "string" } }, "required": ["template"] },
                            { "type": "object", "properties": { "declared": { "type": "string" } }, "required": ["declared"] },
                        ] },
                        "rule": { "oneOf": [
                            { "type": "object", "properties": { "kind": { "const": "window" }, "factor": { "type": "integer" } }, "required": ["kind", "factor"] },
                            { "type": "object", "properties": { "kind": { "const": "round" } }, "required": ["kind"] },
                        ] },
                    },
                    "required": ["kind", "level"],
                },
            },
        })
    }

    fn changes(change: impl FnOnce(&mut Value)) -> Vec<(String, Change)> {
        let mut changed = schema();
        change(&mut changed);
        let (was, is) = (schema().to_string().into_bytes(), changed.to_string().into_bytes());
        let found = breaks("json/a.json", &was, Some(&is)).unwrap();
        let changes = found.into_iter().map(|found| (found.place, found.change));
        let (twins, changes): (Vec<_>, Vec<_>) =
            changes.partition(|(place, _)| place.starts_with("best."));
        // `best` and `jobs[]` are the same type, so they change alike.
        let alike = changes.iter().filter(|(place, _)| place.starts_with("jobs[]."));
        assert_eq!(twins.len(), alike.count());
        changes
    }

    fn remove(value: &mut Value, pointer: &str, key: &str) {
        value.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    }

    #[test]
    fn what_a_reader_can_ignore_breaks_nothing() {
        assert_eq!(changes(|_| ()), []);
        assert_eq!(changes(|schema| schema["properties"]["new"] = json!({ "type": "string" })), []);
        let words = |schema: &mut Value| {
            schema["title"] = json!("b");
            schema["properties"]["id"]["description"] = json!("An id.");
            schema["$defs"]["Job"]["properties"]["kind"]["oneOf"][0]["description"] = json!("A.");
        };
        assert_eq!(changes(words), []);
        let listed = |schema: &mut Value| {
            schema["$defs"]["Job"]["properties"]["kind"] =
                json!({ "type": "string", "enum": ["b", "a"] });
        };
        assert_eq!(changes(listed), [], "another spelling of the same list");
    }

    #[test]
    fn a_removed_or_renamed_property_breaks() {
        let removed = changes(|schema| remove(schema, "/properties", "note"));
        assert_eq!(removed, [("note".to_owned(), Change::Removed)]);
        let renamed = changes(|schema| {
            remove(schema, "/$defs/Job/properties", "level");
            schema["$defs"]["Job"]["properties"]["depth"] = json!({ "type": "integer" });
            schema["$defs"]["Job"]["required"] = json!(["kind", "depth"]);
        });
        let expected = [
            ("jobs[].level".to_owned(), Change::Removed),
            ("jobs[].depth".to_owned(), Change::NewlyRequired),
        ];
        assert_eq!(renamed, expected);
    }

    #[test]
    fn a_retyped_property_breaks() {
        let retyped = changes(|schema| schema["properties"]["id"]["type"] = json!("integer"));
        let change = Change::Retyped {
            was: "type \"string\"".to_owned(),
            is: "type \"integer\"".to_owned(),
        };
        assert_eq!(retyped, [("id".to_owned(), change)]);
        let bounded = changes(|schema| {
            schema["$defs"]["Job"]["properties"]["level"]["maximum"] = json!(9);
        });
        assert!(
            matches!(&bounded[..], [(place, Change::Retyped { .. })] if place == "jobs[].level")
        );
        let empty = changes(|schema| {
            drop(schema["properties"]["best"]["anyOf"].as_array_mut().unwrap().pop());
        });
        assert!(matches!(&empty[..], [(place, Change::Retyped { .. })] if place == "best"));
        let single = changes(|schema| remove(schema, "/properties/jobs", "items"));
        assert!(matches!(&single[..], [(place, Change::Retyped { .. })] if place == "jobs"));
        let open = changes(|schema| {
            schema["$defs"]["Job"]["properties"]["kind"] = json!({ "type": "string" });
        });
        assert!(matches!(&open[..], [(_, Change::Retyped { .. })]));
    }

    #[test]
    fn what_must_be_there_may_not_change() {
        let newly = changes(|schema| schema["required"] = json!(["id", "jobs", "note"]));
        assert_eq!(newly, [("note".to_owned(), Change::NewlyRequired)]);
        let no_longer = changes(|schema| schema["required"] = json!(["jobs"]));
        assert_eq!(no_longer, [("id".to_owned(), Change::NoLongerRequired)]);
    }

    #[test]
    fn a_closed_list_may_not_change() {
        let kind = |list: Value| {
            changes(|schema| schema["$defs"]["Job"]["properties"]["kind"]["oneOf"] = list)
        };
        let place = || "jobs[].kind".to_owned();
        assert_eq!(
            kind(json!([{ "const": "a" }])),
            [(place(), Change::ValueRemoved("\"b\"".to_owned()))]
        );
        let more = kind(json!([{ "const": "a" }, { "const": "b" }, { "const": "c" }]));
        assert_eq!(more, [(place(), Change::ValueAdded("\"c\"".to_owned()))]);
    }

    #[test]
    fn variants_that_are_objects_are_compared_one_by_one() {
        let gone = changes(|schema| {
            schema["$defs"]["Job"]["properties"]["source"]["oneOf"].as_array_mut().unwrap().pop();
        });
        let removed = Change::ValueRemoved("declared".to_owned());
        assert_eq!(gone, [("jobs[].source".to_owned(), removed)]);
        let inside = changes(|schema| {
            remove(schema, "/$defs/Job/properties/rule/oneOf/0/properties", "factor");
        });
        assert_eq!(inside, [("jobs[].rule<kind=\"window\">.factor".to_owned(), Change::Removed)]);
        let tag = changes(|schema| {
            schema["$defs"]["Job"]["properties"]["rule"]["oneOf"][1]["properties"]["kind"]["const"] =
                json!("turn");
        });
        assert_eq!(tag.len(), 2, "{tag:?}");
    }

    #[test]
    fn a_type_that_is_gone_breaks() {
        let was = schema().to_string().into_bytes();
        let found = breaks("json/a.json", &was, None).unwrap();
        assert_eq!(found[0].to_string(), "json/a.json: removed or renamed");
        assert!(breaks("json/a.json", b"{", None).is_err());
    }
}
