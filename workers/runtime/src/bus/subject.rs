//! Subjects and filters.

/// Whether a subject lies within a filter (`*` is one token, a final `>` one or more).
pub fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            (_, None) => return false,
            (wanted, Some(token)) if wanted != "*" && wanted != token => return false,
            (_, Some(_)) => {}
        }
    }
    tokens.next().is_none()
}

/// Whether the filter names one subject only.
pub(crate) fn is_concrete(filter: &str) -> bool {
    filter.split('.').all(|token| token != "*" && token != ">")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_nats_says() {
        assert!(matches("a.b", "a.b") && matches(">", "a.b.c") && matches("a.>", "a.b.c"));
        assert!(matches("a.*.c", "a.b.c") && matches("*.*.*", "a.b.c"));
        assert!(!matches("a.>", "a") && !matches("a.*", "a.b.c") && !matches("a.b.c", "a.b"));
        assert!(!matches("a.b", "a.c"));
        assert!(is_concrete("a.b") && !is_concrete("a.*") && !is_concrete("a.>"));
    }
}
