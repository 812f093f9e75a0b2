//! Errors as people read them.

use std::error::Error;

/// An error with its causes in one line; words that a cause repeats are said once.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Fault(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn each_cause_is_said_once() {
        let disk = Fault("no space", None);
        let write = Fault("cannot write: no space", Some(disk.into()));
        let store = Fault("nothing is stored", Some(write.into()));
        assert_eq!(causes(&store), "nothing is stored: cannot write: no space");
    }
}
