//! Tells the person in front of the terminal what happens.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};
use subjects::Timestamp;
use worker_runtime::clock::Clock;

/// How many events the live view can show.
const REMEMBERED: usize = 64;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Whether a person should look.
    pub urgent: bool,
    /// What it is about, e.g. a process.
    pub about: String,
    /// One sentence.
    pub text: String,
}

/// Collects events: always in the supervisor's log, and on the terminal unless a live view is
/// drawn there.
pub struct Narrator {
    clock: Option<Arc<dyn Clock>>,
    told: Mutex<Told>,
}

struct Told {
    recent: VecDeque<Event>,
    log: Option<File>,
    terminal: bool,
}

impl Narrator {
    /// Writes to `log`, and to standard output if `terminal`.
    pub fn new(clock: Arc<dyn Clock>, log: File, terminal: Terminal) -> Self {
        let terminal = matches!(terminal, Terminal::Lines);
        let told = Told { recent: VecDeque::new(), log: Some(log), terminal };
        Self { clock: Some(clock), told: Mutex::new(told) }
    }

    /// Writes nowhere.
    pub fn silent() -> Self {
        let told = Told { recent: VecDeque::new(), log: None, terminal: false };
        Self { clock: None, told: Mutex::new(told) }
    }

    /// Something that is as it should be.
    pub fn say(&self, about: &str, text: &str) {
        self.tell(about, text, false);
    }

    /// Something that a person should look at.
    pub fn warn(&self, about: &str, text: &str) {
        self.tell(about, text, true);
    }

    /// A line for the terminal alone, when it shows lines.
    pub fn line(&self, text: &str) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.terminal {
            give_up_quietly(writeln!(io::stdout(), "{text}"));
        }
    }

    /// The latest events, oldest first.
    pub fn recent(&self) -> Vec<Event> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.recent.iter().cloned().collect()
    }

    fn tell(&self, about: &str, text: &str, urgent: bool) {
        let at = self.clock.as_ref().map_or(Timestamp::default(), |clock| clock.now());
        let event = Event { at, urgent, about: about.into(), text: text.into() };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = &mut told.log {
            give_up_quietly(writeln!(log, "{event}"));
        }
        if told.terminal {
            give_up_quietly(writeln!(io::stdout(), "{event}"));
        }
        if told.recent.len() == REMEMBERED {
            told.recent.pop_front();
        }
        told.recent.push_back(event);
    }
}

/// Where a narrator's events appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// As lines on standard output.
    Lines,
    /// Not at all: a live view draws there, or nobody looks.
    Nothing,
}

/// A terminal that went away or a full disk must not end the network that is being told of.
fn give_up_quietly(written: io::Result<()>) {
    drop(written);
}

impl fmt::Debug for Narrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Narrator").finish_non_exhaustive()
    }
}

/// The time of day in a timestamp of the form of RFC 3339.
pub fn clock_time(timestamp: &str) -> &str {
    timestamp.split_once('T').and_then(|(_, time)| time.get(..8)).unwrap_or("--:--:--")
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.0 / 1_000 % 86_400;
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let mark = if self.urgent { "!" } else { " " };
        write!(f, "{hour:02}:{minute:02}:{second:02} {mark} {:<19} {}", self.about, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_its_time() {
        let at = Timestamp(1_000 * (86_400 * 20_000 + 3_600 * 13 + 60 * 5 + 9));
        let event = Event { at, urgent: true, about: "hub".into(), text: "ended".into() };
        assert_eq!(event.to_string(), "13:05:09 ! hub                 ended");
    }

    #[test]
    fn remembers_the_latest() {
        let narrator = Narrator::silent();
        for number in 0..=REMEMBERED {
            narrator.say("it", &number.to_string());
        }
        let recent = narrator.recent();
        assert_eq!((recent.len(), recent[0].text.as_str()), (REMEMBERED, "1"));
    }
}
