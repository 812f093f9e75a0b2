//! Changes to a `.proto`.

use super::{Break, Change, Finder, Unreadable};
use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor};
use protox::{
    Compiler, Error,
    file::{File, FileResolver},
};

pub(super) fn breaks(
    file: &str,
    was: &[u8],
    is: Option<&Vec<u8>>,
) -> Result<Vec<Break>, Unreadable> {
    let mut finder = Finder::of(file);
    let read = |bytes: &[u8]| -> Result<DescriptorPool, Unreadable> {
        compile(&String::from_utf8_lossy(bytes)).map_err(|error| finder.unreadable(error))
    };
    let was = read(was)?;
    let Some(is) = is.map(|is| read(is)).transpose()? else {
        finder.note("", Change::Removed);
        return Ok(finder.found);
    };
    for message in was.all_messages() {
        match is.get_message_by_name(message.full_name()) {
            Some(other) => messages(&mut finder, &message, &other),
            None => finder.note(message.full_name(), Change::Removed),
        }
    }
    for list in was.all_enums() {
        match is.get_enum_by_name(list.full_name()) {
            Some(other) => enums(&mut finder, &list, &other),
            None => finder.note(list.full_name(), Change::Removed),
        }
    }
    Ok(finder.found)
}

/// Compiles one `.proto` that imports nothing.
///
/// # Errors
///
/// When it is not valid.
pub(crate) fn compile(source: &str) -> Result<DescriptorPool, Error> {
    const NAME: &str = "shares.proto";
    struct Only(String);
    impl FileResolver for Only {
        fn open_file(&self, name: &str) -> Result<File, Error> {
            if name == NAME {
                File::from_source(NAME, &self.0)
            } else {
                Err(Error::file_not_found(name))
            }
        }
    }
    let mut compiler = Compiler::with_file_resolver(Only(source.to_owned()));
    Ok(compiler.open_file(NAME)?.descriptor_pool())
}

fn messages(finder: &mut Finder<'_>, was: &MessageDescriptor, is: &MessageDescriptor) {
    for field in was.fields() {
        let place = format!("{}.{}", was.full_name(), field.name());
        let Some(other) = is.get_field(field.number()) else {
            finder.note(&place, Change::Removed);
            continue;
        };
        if field.name() != other.name() {
            let (was, is) = (field.name().to_owned(), other.name().to_owned());
            finder.note(&place, Change::Renamed { was, is });
        }
        let (before, now) = (told(&field), told(&other));
        if before != now {
            finder.note(&place, Change::Retyped { was: before, is: now });
        }
    }
}

/// How a field is written: cardinality, type, and the oneof that it belongs to.
fn told(field: &FieldDescriptor) -> String {
    let oneof = field.containing_oneof().map(|oneof| format!(" in oneof {}", oneof.name()));
    format!("{:?} {:?}{}", field.cardinality(), field.kind(), oneof.unwrap_or_default())
}

fn enums(finder: &mut Finder<'_>, was: &EnumDescriptor, is: &EnumDescriptor) {
    let name = was.full_name();
    for value in was.values() {
        let told = format!("{} = {}", value.name(), value.number());
        match is.get_value(value.number()) {
            None => finder.note(name, Change::ValueRemoved(told)),
            Some(other) if other.name() != value.name() => {
                let (was, is) = (value.name().to_owned(), other.name().to_owned());
                finder.note(name, Change::Renamed { was, is });
            }
            Some(_) => {}
        }
    }
    for value in is.values().filter(|value| was.get_value(value.number()).is_none()) {
        finder.note(name, Change::ValueAdded(format!("{} = {}", value.name(), value.number())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        syntax = "proto3";
        package p.v1;
        message M {
          string name = 1;
          repeated uint32 lanes = 2;
          oneof source { string template = 3; string declared = 4; }
          Kind kind = 5;
        }
        enum Kind { KIND_UNSPECIFIED = 0; KIND_A = 1; }
    "#;

    fn changes(from: &str, to: &str) -> Vec<(String, Change)> {
        assert!(SOURCE.contains(from));
        let is = SOURCE.replace(from, to).into_bytes();
        let found = breaks("proto/p.proto", SOURCE.as_bytes(), Some(&is)).unwrap();
        found.into_iter().map(|found| (found.place, found.change)).collect()
    }

    fn only(from: &str, to: &str) -> (String, Change) {
        let mut changes = changes(from, to);
        assert_eq!(changes.len(), 1, "{changes:?}");
        changes.remove(0)
    }

    #[test]
    fn a_new_field_and_a_new_message_break_nothing() {
        assert_eq!(changes("Kind kind = 5;", "Kind kind = 5; bytes more = 6;"), []);
        assert_eq!(changes("enum Kind", "message New {} enum Kind"), []);
    }

    #[test]
    fn a_changed_tag_breaks() {
        assert_eq!(only("name = 1", "name = 9"), ("p.v1.M.name".to_owned(), Change::Removed));
    }

    #[test]
    fn a_removed_field_and_a_removed_message_break() {
        assert_eq!(only("string name = 1;", ""), ("p.v1.M.name".to_owned(), Change::Removed));
        let gone = changes("message M", "message N");
        assert_eq!(gone, [("p.v1.M".to_owned(), Change::Removed)]);
    }

    #[test]
    fn a_renamed_field_breaks_the_names_that_readers_use() {
        let renamed = Change::Renamed { was: "name".to_owned(), is: "title".to_owned() };
        assert_eq!(only("name = 1", "title = 1"), ("p.v1.M.name".to_owned(), renamed));
    }

    #[test]
    fn a_retyped_field_breaks() {
        for (from, to) in [
            ("string name", "bytes name"),
            ("repeated uint32 lanes", "uint32 lanes"),
            ("uint32 lanes", "sint32 lanes"),
            ("Kind kind = 5;", "int32 kind = 5;"),
        ] {
            assert!(matches!(only(from, to).1, Change::Retyped { .. }), "{from}");
        }
        let out = changes(
            "oneof source { string template = 3; string declared = 4; }",
            "string template = 3; string declared = 4;",
        );
        assert_eq!(out.len(), 2, "out of the oneof: {out:?}");
    }

    #[test]
    fn a_changed_value_of_an_enum_breaks() {
        let place = "p.v1.Kind".to_owned();
        let number = changes("KIND_A = 1", "KIND_A = 2");
        let removed = (place.clone(), Change::ValueRemoved("KIND_A = 1".to_owned()));
        let added = (place.clone(), Change::ValueAdded("KIND_A = 2".to_owned()));
        assert_eq!(number, [removed, added]);
        let renamed = Change::Renamed { was: "KIND_A".to_owned(), is: "KIND_B".to_owned() };
        assert_eq!(only("KIND_A", "KIND_B"), (place.clone(), renamed));
        let more = Change::ValueAdded("KIND_B = 2".to_owned());
        assert_eq!(only("KIND_A = 1;", "KIND_A = 1; KIND_B = 2;"), (place, more));
    }

    #[test]
    fn a_file_that_is_gone_or_is_not_proto_is_told() {
        let gone = breaks("proto/p.proto", SOURCE.as_bytes(), None).unwrap();
        assert_eq!(gone[0].change, Change::Removed);
        assert!(breaks("proto/p.proto", b"message {", None).is_err());
    }
}
