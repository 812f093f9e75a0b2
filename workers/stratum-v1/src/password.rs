//! Options in the password of `mining.authorize`: `d=` to start from, `md=` at least, `fd=` fixed.

use crate::Difficulty;

/// What a password asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// The difficulty to start from.
    pub start: Option<Difficulty>,
    /// The least difficulty.
    pub least: Option<Difficulty>,
    /// The one difficulty, whatever the rate of shares.
    pub fixed: Option<Difficulty>,
}

/// Reads a password. Whatever is no option of ours means nothing: most passwords are `x`.
pub fn options(password: &str) -> Options {
    let mut options = Options::default();
    for option in password.split([',', ';', ' ']) {
        let Some((key, value)) = option.split_once('=') else { continue };
        let difficulty = value.trim().parse().ok().and_then(|number| Difficulty::new(number).ok());
        match key.trim().to_ascii_lowercase().as_str() {
            "d" => options.start = difficulty,
            "md" => options.least = difficulty,
            "fd" => options.fixed = difficulty,
            _ => {}
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difficulty(number: f64) -> Option<Difficulty> {
        Some(Difficulty::new(number).unwrap())
    }

    #[test]
    fn options_are_found_whatever_separates_them() {
        for password in
            ["d=1024,md=512", "D=1024;md=512", " d=1024 MD=512 ", "x,d=1024;md=512,th=5"]
        {
            let expected =
                Options { start: difficulty(1024.0), least: difficulty(512.0), fixed: None };
            assert_eq!(options(password), expected, "{password}");
        }
        assert_eq!(options("fd=0.5").fixed, difficulty(0.5));
    }

    #[test]
    fn filler_means_nothing() {
        for password in
            ["", "x", "123", "d", "d=", "d=x", "d=-1", "d=NaN", "d=inf", "=", "hunter=2"]
        {
            assert_eq!(options(password), Options::default(), "{password}");
        }
    }
}
