//! The `.proto` of share messages, written from the Rust types that encode them: doc comments
//! become comments, `prost` attributes give types and tags.

use std::fmt::Write as _;
use syn::{
    Attribute, Expr, ExprLit, Fields, Item, ItemEnum, ItemStruct, Lit, Meta, Token, Variant,
    punctuated::Punctuated,
};

/// The types' source, as it was compiled.
pub const SOURCE: &str = include_str!("../../subjects/src/shares/wire.rs");

/// Package of the generated file.
pub const PACKAGE: &str = "hyperhash.shares.v1";

/// A `.proto` cannot be written from the source.
#[derive(Debug, thiserror::Error)]
pub enum ProtoError {
    /// The source is not Rust.
    #[error("the source is not Rust")]
    Syntax(#[from] syn::Error),
    /// A field's attributes do not say how it is written.
    #[error("`{owner}.{field}`: {problem}")]
    Field {
        /// The message or enum.
        owner: String,
        /// The field or variant.
        field: String,
        /// What is missing.
        problem: &'static str,
    },
}

/// Writes the `.proto` file of some Rust source.
///
/// # Errors
///
/// When the source is not what `prost` derives from.
pub fn generate(source: &str, package: &str) -> Result<String, ProtoError> {
    let file = syn::parse_file(source)?;
    let oneofs: Vec<&ItemEnum> = enums(&file.items, "Oneof").collect();
    let mut text =
        String::from("// Generated from the types that encode these messages. Do not edit.\n");
    comment(&mut text, "", &file.attrs);
    write_line(&mut text, &format!("syntax = \"proto3\";\n\npackage {package};"));
    for item in &file.items {
        if let Item::Struct(item) = item
            && derives(&item.attrs, "Message")
        {
            message(&mut text, item, &oneofs)?;
        } else if let Item::Enum(item) = item
            && derives(&item.attrs, "Enumeration")
        {
            enumeration(&mut text, item)?;
        }
    }
    Ok(text)
}

fn message(text: &mut String, item: &ItemStruct, oneofs: &[&ItemEnum]) -> Result<(), ProtoError> {
    let Fields::Named(fields) = &item.fields else { return Ok(()) };
    text.push('\n');
    comment(text, "", &item.attrs);
    write_line(text, &format!("message {} {{", item.ident));
    for field in &fields.named {
        let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let words = Words::of(&field.attrs, &item.ident.to_string(), &name)?;
        comment(text, "  ", &field.attrs);
        if let Some(of) = words.value("oneof") {
            let Some(oneof) = oneofs.iter().find(|oneof| oneof.ident == of.as_str()) else {
                return Err(words.wrong("its oneof is not in the source"));
            };
            write_line(text, &format!("  oneof {name} {{"));
            for variant in &oneof.variants {
                oneof_field(text, oneof, variant)?;
            }
            write_line(text, "  }");
        } else {
            write_line(text, &format!("  {} {name} = {};", words.field_type(field)?, words.tag()?));
        }
    }
    write_line(text, "}");
    Ok(())
}

fn oneof_field(text: &mut String, oneof: &ItemEnum, variant: &Variant) -> Result<(), ProtoError> {
    let name = snake_case(&variant.ident.to_string());
    let words = Words::of(&variant.attrs, &oneof.ident.to_string(), &name)?;
    let payload = variant.fields.iter().next();
    let field = payload.ok_or_else(|| words.wrong("a variant of a oneof holds one value"))?;
    comment(text, "    ", &variant.attrs);
    write_line(text, &format!("    {} {name} = {};", words.field_type(field)?, words.tag()?));
    Ok(())
}

fn enumeration(text: &mut String, item: &ItemEnum) -> Result<(), ProtoError> {
    text.push('\n');
    comment(text, "", &item.attrs);
    write_line(text, &format!("enum {} {{", item.ident));
    let prefix = snake_case(&item.ident.to_string()).to_uppercase();
    for variant in &item.variants {
        let name = snake_case(&variant.ident.to_string()).to_uppercase();
        let number = match &variant.discriminant {
            Some((_, Expr::Lit(ExprLit { lit: Lit::Int(number), .. }))) => number.to_string(),
            _ => {
                let (owner, field) = (item.ident.to_string(), variant.ident.to_string());
                let problem = "a value of an enum has a number";
                return Err(ProtoError::Field { owner, field, problem });
            }
        };
        comment(text, "  ", &variant.attrs);
        write_line(text, &format!("  {prefix}_{name} = {number};"));
    }
    write_line(text, "}");
    Ok(())
}

/// The words of a field's `#[prost(…)]`.
struct Words {
    owner: String,
    field: String,
    words: Vec<(String, Option<String>)>,
}

impl Words {
    fn of(attrs: &[Attribute], owner: &str, field: &str) -> Result<Self, ProtoError> {
        let mut words = Vec::new();
        for attribute in attrs.iter().filter(|attribute| attribute.path().is_ident("prost")) {
            let list =
                attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?;
            words.extend(list.iter().map(word));
        }
        Ok(Self { owner: owner.to_owned(), field: field.to_owned(), words })
    }

    fn has(&self, wanted: &str) -> bool {
        self.words.iter().any(|(word, _)| word == wanted)
    }

    fn value(&self, wanted: &str) -> Option<String> {
        self.words.iter().find(|(word, _)| word == wanted)?.1.clone()
    }

    fn tag(&self) -> Result<String, ProtoError> {
        self.value("tag").ok_or_else(|| self.wrong("it has no tag"))
    }

    /// The type as proto3 writes it, with its label.
    fn field_type(&self, field: &syn::Field) -> Result<String, ProtoError> {
        const SCALARS: [&str; 14] = [
            "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32",
            "fixed64", "sfixed32", "sfixed64", "bool", "string",
        ];
        let scalar = SCALARS.into_iter().find(|scalar| self.has(scalar)).map(str::to_owned);
        let base = if self.has("bytes") {
            Some("bytes".to_owned())
        } else if self.has("message") {
            innermost(&field.ty)
        } else {
            self.value("enumeration").or(scalar)
        };
        let base = base.ok_or_else(|| self.wrong("its type is not known"))?;
        Ok(if self.has("repeated") { format!("repeated {base}") } else { base })
    }

    fn wrong(&self, problem: &'static str) -> ProtoError {
        ProtoError::Field { owner: self.owner.clone(), field: self.field.clone(), problem }
    }
}

fn word(meta: &Meta) -> (String, Option<String>) {
    let name = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
    let value = match meta {
        Meta::NameValue(pair) => literal(&pair.value),
        Meta::Path(_) | Meta::List(_) => None,
    };
    (name, value)
}

fn literal(value: &Expr) -> Option<String> {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value else { return None };
    Some(text.value())
}

/// `Vec<Option<Job>>` holds a `Job`.
fn innermost(ty: &syn::Type) -> Option<String> {
    let syn::Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    match &last.arguments {
        syn::PathArguments::AngleBracketed(arguments) => {
            let syn::GenericArgument::Type(inner) = arguments.args.first()? else { return None };
            innermost(inner)
        }
        syn::PathArguments::None | syn::PathArguments::Parenthesized(_) => {
            Some(last.ident.to_string())
        }
    }
}

fn enums<'a>(items: &'a [Item], derive: &'a str) -> impl Iterator<Item = &'a ItemEnum> {
    items.iter().filter_map(move |item| {
        let Item::Enum(item) = item else { return None };
        derives(&item.attrs, derive).then_some(item)
    })
}

/// Whether an item derives `prost::<name>`.
fn derives(attrs: &[Attribute], name: &str) -> bool {
    attrs.iter().filter(|attribute| attribute.path().is_ident("derive")).any(|attribute| {
        let paths = attribute.parse_args_with(Punctuated::<syn::Path, Token![,]>::parse_terminated);
        paths.is_ok_and(|paths| {
            paths.iter().any(|path| path.segments.last().is_some_and(|last| last.ident == name))
        })
    })
}

fn comment(text: &mut String, indent: &str, attrs: &[Attribute]) {
    for attribute in attrs.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let Meta::NameValue(pair) = &attribute.meta
            && let Some(line) = literal(&pair.value)
        {
            write_line(text, format!("{indent}//{line}").trim_end());
        }
    }
}

fn write_line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    writeln!(text, "{line}").unwrap_or_default();
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_field_is_written() {
        let source = r#"
            //! About all.

            /// A message.
            #[derive(Clone, PartialEq, prost::Message)]
            pub struct Outer {
                /// Text.
                #[prost(string, tag = "1")]
                pub text: String,
                #[prost(message, repeated, tag = "2")]
                pub inner: Vec<Inner>,
                #[prost(message, optional, tag = "3")]
                pub one: Option<Inner>,
                #[prost(bytes = "vec", tag = "4")]
                pub bytes: Vec<u8>,
                #[prost(enumeration = "HowFast", tag = "5")]
                pub how_fast: i32,
                #[prost(oneof = "Choice", tags = "6, 7")]
                pub choice: Option<Choice>,
            }
            #[derive(prost::Message)]
            pub struct Inner {
                #[prost(sint32, tag = "1")]
                pub number: i32,
            }
            #[derive(prost::Oneof)]
            pub enum Choice {
                #[prost(message, tag = "6")]
                TheInner(Inner),
                #[prost(uint64, tag = "7")]
                Number(u64),
            }
            #[derive(prost::Enumeration)]
            pub enum HowFast { Unspecified = 0, VeryFast = 1 }
            pub struct NotSaid { field: u8 }
        "#;
        let expected = r#"// Generated from the types that encode these messages. Do not edit.
// About all.
syntax = "proto3";

package p.v1;

// A message.
message Outer {
  // Text.
  string text = 1;
  repeated Inner inner = 2;
  Inner one = 3;
  bytes bytes = 4;
  HowFast how_fast = 5;
  oneof choice {
    Inner the_inner = 6;
    uint64 number = 7;
  }
}

message Inner {
  sint32 number = 1;
}

enum HowFast {
  HOW_FAST_UNSPECIFIED = 0;
  HOW_FAST_VERY_FAST = 1;
}
"#;
        assert_eq!(generate(source, "p.v1").unwrap(), expected);
    }

    #[test]
    fn a_field_that_cannot_be_written_is_named() {
        let refused = |field: &str| {
            let source = format!("#[derive(prost::Message)] struct M {{ {field} }}");
            generate(&source, "p").unwrap_err().to_string()
        };
        assert_eq!(refused(r#"#[prost(string)] name: String"#), "`M.name`: it has no tag");
        assert_eq!(refused("name: String"), "`M.name`: its type is not known");
        let oneof = r#"#[prost(oneof = "Gone", tags = "1")] name: Option<Gone>"#;
        assert_eq!(refused(oneof), "`M.name`: its oneof is not in the source");
    }
}
