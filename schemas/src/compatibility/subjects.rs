//! Changes to where and how types are said, read from the AsyncAPI document.

use super::{Break, Change, Finder, Unreadable};
use serde_json::Value;

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
    let is = is.map(|is| parse(is)).transpose()?.unwrap_or_default();
    let channels = was.get("channels").and_then(Value::as_object);
    for kind in channels.into_iter().flatten().map(|(kind, _)| kind) {
        let address = |document: &Value| text(document.get("channels")?.get(kind)?, "address");
        let content = |document: &Value| {
            text(document.get("components")?.get("messages")?.get(kind)?, "contentType")
        };
        match (address(&was), address(&is)) {
            (_, None) => finder.note(kind, Change::Removed),
            (Some(was), Some(is)) if was != is => finder.note(kind, Change::Moved { was, is }),
            _ => {}
        }
        if let (Some(was), Some(is)) = (content(&was), content(&is))
            && was != is
        {
            finder.note(kind, Change::Retyped { was, is });
        }
    }
    Ok(finder.found)
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changes(change: impl FnOnce(&mut Value)) -> Vec<(String, Change)> {
        let document = json!({
            "channels": { "a.v1.b": { "address": "a.b.{node}" } },
            "components": { "messages": { "a.v1.b": { "contentType": "application/json" } } },
        });
        let mut changed = document.clone();
        change(&mut changed);
        let (was, is) = (document.to_string().into_bytes(), changed.to_string().into_bytes());
        let found = breaks("asyncapi.json", &was, Some(&is)).unwrap();
        found.into_iter().map(|found| (found.place, found.change)).collect()
    }

    #[test]
    fn a_new_type_and_new_words_break_nothing() {
        let more = |document: &mut Value| {
            document["channels"]["a.v1.c"] = json!({ "address": "a.c" });
            document["channels"]["a.v1.b"]["description"] = json!("B.");
        };
        assert_eq!(changes(more), []);
    }

    #[test]
    fn a_changed_form_breaks() {
        let moved = changes(|document| {
            document["channels"]["a.v1.b"]["address"] = json!("a.b.{node}.{lane}");
        });
        let (was, is) = ("a.b.{node}".to_owned(), "a.b.{node}.{lane}".to_owned());
        assert_eq!(moved, [("a.v1.b".to_owned(), Change::Moved { was, is })]);
    }

    #[test]
    fn a_type_that_is_said_no_more_breaks() {
        let gone = changes(|document| document["channels"] = json!({}));
        assert_eq!(gone, [("a.v1.b".to_owned(), Change::Removed)]);
    }

    #[test]
    fn another_codec_breaks() {
        let codec = changes(|document| {
            document["components"]["messages"]["a.v1.b"]["contentType"] =
                json!("application/x-protobuf");
        });
        assert!(matches!(&codec[..], [(_, Change::Retyped { .. })]), "{codec:?}");
    }
}
