//! The committed files are what the code says, and mean what they say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use schemas::{
    catalogue::{Entry, catalogue},
    files::{drift, read},
    generate::generate,
};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};
use subjects::{
    Codec, Payload, blocks, parked, payouts, rounds, sessions, shares, templates, view,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_committed_files_are_what_the_code_says() {
    let drift = drift(&read(Path::new(ROOT)).unwrap(), &generate().unwrap());
    assert_eq!(drift, [], "run `make schemas`");
}

#[test]
fn every_type_of_the_bus_is_in_the_catalogue_once() {
    let kinds: Vec<_> = catalogue().iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds.iter().collect::<BTreeSet<_>>().len(), kinds.len());
    for entry in catalogue() {
        if let Some(message) = entry.message {
            assert_eq!(view(message.kind, &message.body).unwrap(), entry.example, "{}", entry.kind);
        }
    }
}

#[test]
fn every_schema_names_its_type() {
    for entry in catalogue() {
        assert_eq!(entry.schema["title"], entry.kind);
        assert_eq!(entry.schema["$id"], format!("urn:{}", entry.kind.replace('.', ":")));
        assert!(entry.schema["description"].is_string(), "{}", entry.kind);
    }
}

fn problems(entry: &Entry, instance: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(&entry.schema).unwrap();
    validator.iter_errors(instance).map(|error| error.to_string()).collect()
}

#[test]
fn every_golden_example_is_valid_by_its_schema() {
    for entry in catalogue() {
        jsonschema::draft202012::meta::validate(&entry.schema).unwrap();
        assert_eq!(problems(&entry, &entry.example), [] as [String; 0], "{}", entry.kind);
    }
}

/// The schemas are not so weak that anything passes: without any of its required properties, and
/// with any of its properties of another type, an example is invalid.
#[test]
fn a_spoilt_example_is_not_valid() {
    for entry in catalogue() {
        let required = entry.schema["required"].as_array().unwrap();
        for name in required.iter().map(|name| name.as_str().unwrap()) {
            let mut without = entry.example.clone();
            without.as_object_mut().unwrap().remove(name).unwrap();
            assert_ne!(
                problems(&entry, &without),
                [] as [String; 0],
                "{} without {name}",
                entry.kind
            );
            let mut other = entry.example.clone();
            other[name] = serde_json::json!({ "surely": "not" });
            assert_ne!(problems(&entry, &other), [] as [String; 0], "{} {name}", entry.kind);
        }
    }
}

/// A newer writer's property breaks neither the schema nor the code.
#[test]
fn a_property_that_a_reader_does_not_know_is_ignored() {
    for entry in catalogue() {
        let mut newer = entry.example.clone();
        newer["a_later_property"] = serde_json::json!([1, { "two": null }]);
        assert_eq!(problems(&entry, &newer), [] as [String; 0], "{}", entry.kind);
        if entry.channel.is_some_and(|channel| channel.codec == Codec::Json) {
            assert_eq!(view(entry.kind, newer.to_string().as_bytes()).unwrap(), entry.example);
        }
    }
}

fn round_trip<P: Payload + PartialEq + std::fmt::Debug + schemas::examples::Example>() {
    let example = P::example();
    let body = example.encode();
    assert_eq!(P::decode(&body).unwrap(), example);
    assert_eq!(P::decode(&body).unwrap().encode(), body);
    let message = example.to_message();
    assert!(P::parse_subject(message.subject.as_str()).is_ok(), "{}", message.subject);
    assert!(matches_filter(message.subject.as_str(), P::FILTER), "{}", message.subject);
    assert_eq!(matches_form(P::FORM), P::FILTER);
}

fn matches_form(form: &str) -> String {
    let token =
        |token: &str| if token.starts_with('{') { "*".to_owned() } else { token.to_owned() };
    form.split('.').map(token).collect::<Vec<_>>().join(".")
}

fn matches_filter(subject: &str, filter: &str) -> bool {
    let (subject, filter): (Vec<_>, Vec<_>) =
        (subject.split('.').collect(), filter.split('.').collect());
    subject.len() == filter.len()
        && subject.iter().zip(filter).all(|(token, wanted)| wanted == "*" || *token == wanted)
}

#[test]
fn every_golden_example_is_read_back_as_it_was_written() {
    round_trip::<templates::New>();
    round_trip::<templates::Tip>();
    round_trip::<templates::Health>();
    round_trip::<sessions::Changed>();
    round_trip::<shares::Submitted>();
    round_trip::<shares::Accepted>();
    round_trip::<shares::Refused>();
    round_trip::<shares::Rejected>();
    round_trip::<blocks::Claimed>();
    round_trip::<blocks::Solved>();
    round_trip::<blocks::Submitted>();
    round_trip::<blocks::Outcome>();
    round_trip::<rounds::SliceLines>();
    round_trip::<rounds::SliceClosed>();
    round_trip::<rounds::Closed>();
    round_trip::<rounds::Progress>();
    round_trip::<payouts::Statement>();
    round_trip::<parked::Parked>();
}

#[test]
fn the_golden_statement_holds_the_golden_body() {
    use schemas::examples::Example;
    let statement = payouts::Statement::example();
    assert_eq!(statement.body().unwrap(), payouts::BlockStatement::example());
}

/// Every reference of the AsyncAPI document leads somewhere.
#[test]
fn the_asyncapi_document_has_no_loose_ends() {
    let committed = read(Path::new(ROOT)).unwrap();
    let document: Value = serde_json::from_slice(&committed["asyncapi.json"]).unwrap();
    let mut pending = vec![&document];
    let mut references = 0;
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(members) => {
                if let Some(target) = members.get("$ref") {
                    let target = target.as_str().unwrap();
                    references += 1;
                    match (target.strip_prefix('#'), target.strip_prefix("./")) {
                        (Some(pointer), None) => {
                            assert!(document.pointer(pointer).is_some(), "{target}");
                        }
                        (None, Some(file)) => assert!(committed.contains_key(file), "{target}"),
                        _ => panic!("{target}"),
                    }
                }
                pending.extend(members.values());
            }
            Value::Array(items) => pending.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(references > 3 * 18, "{references}");
}

/// A type that somebody adds to `subjects` and forgets here is noticed.
#[test]
fn every_type_that_the_source_names_is_in_the_catalogue() {
    let mut folders = vec![Path::new(ROOT).join("../subjects/src")];
    let mut named = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            let literals = text.split('"').skip(1).step_by(2);
            named.extend(literals.filter(|text| text.starts_with("hyperhash.")).map(str::to_owned));
        }
    }
    let kinds: BTreeSet<_> = catalogue().iter().map(|entry| entry.kind.to_owned()).collect();
    assert_eq!(named, kinds);
}
