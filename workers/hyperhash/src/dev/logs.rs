//! The output of the network's processes: bounded, and followed where somebody looks.

use super::narrator::clock_time;
use serde_json::Value;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// A log that grows beyond this is emptied: whoever wants to keep logs sends them to Loki.
const MOST_BYTES: u64 = 64 << 20;
/// Most bytes that are read at once; a log that grows faster is shown with gaps.
const READ_BYTES: u64 = 256 << 10;

/// Empties logs in `folder` that have grown too large. Processes append, so they go on writing at
/// the new end.
///
/// # Errors
///
/// When the folder cannot be read or a log cannot be emptied.
pub fn trim(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.metadata()?.len() > MOST_BYTES {
            OpenOptions::new().write(true).open(entry.path())?.set_len(0)?;
        }
    }
    Ok(())
}

/// Reads what is appended to one file.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
}

impl Follower {
    /// Begins at the file's present end; the file need not exist yet.
    pub fn at_end(path: PathBuf) -> Self {
        let offset = fs::metadata(&path).map_or(0, |file| file.len());
        Self { path, offset, rest: Vec::new() }
    }

    /// The whole lines that were appended since the last call.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn lines(&mut self) -> io::Result<Vec<String>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        if length < self.offset {
            // It was emptied.
            self.offset = 0;
            self.rest.clear();
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.take(READ_BYTES).read_to_end(&mut self.rest)?;
        self.offset = self.offset.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let partial = self.rest.split_off(end.saturating_add(1));
        let whole = std::mem::replace(&mut self.rest, partial);
        Ok(String::from_utf8_lossy(&whole).lines().map(ToOwned::to_owned).collect())
    }
}

/// A worker's log line, JSON, as a person reads it; other lines stay as they are.
pub fn readable(process: &str, line: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
        return format!("         {process:<21} {line}");
    };
    let mut text = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let (time, level, message) = (text("timestamp"), text("level"), text("message"));
    // Which code and which worker said it: the name before the line tells.
    drop((text("target"), text("spans")));
    let rest: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let time = clock_time(&time);
    format!("{time} {process:<21} {level:<5} {message} {}", rest.join(" ")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn follows_whole_lines_also_after_the_file_was_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it.log");
        fs::write(&path, "before\n").unwrap();
        let mut follower = Follower::at_end(path.clone());
        let mut append = OpenOptions::new().append(true).open(&path).unwrap();
        append.write_all(b"one\ntw").unwrap();
        assert_eq!(follower.lines().unwrap(), ["one"]);
        append.write_all(b"o\nthree\n").unwrap();
        assert_eq!(follower.lines().unwrap(), ["two", "three"]);
        assert!(follower.lines().unwrap().is_empty());
        OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        append.write_all(b"new\n").unwrap();
        assert_eq!(follower.lines().unwrap(), ["new"]);
        assert!(Follower::at_end(folder.path().join("absent")).lines().unwrap().is_empty());
    }

    #[test]
    fn only_what_is_too_large_is_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let (small, large) = (folder.path().join("small.log"), folder.path().join("large.log"));
        fs::write(&small, "kept").unwrap();
        File::create(&large).unwrap().set_len(MOST_BYTES + 1).unwrap();
        trim(folder.path()).unwrap();
        assert_eq!(fs::metadata(&small).unwrap().len(), 4);
        assert_eq!(fs::metadata(&large).unwrap().len(), 0);
    }

    #[test]
    fn json_becomes_a_line_and_other_lines_stay() {
        let line = r#"{"timestamp":"2026-11-21T12:48:23.1Z","level":"INFO","message":"leader","target":"x","lane":256}"#;
        assert_eq!(
            readable("verifier", line),
            "12:48:23 verifier              INFO  leader lane=256"
        );
        assert_eq!(readable("hub", "[1] hello"), "         hub                   [1] hello");
    }
}
