//! What was meant by a command that does not exist.

use std::ffi::OsString;
use std::path::Path;

/// The most edits between a word and the command that it is taken for.
const EDITS: usize = 2;

/// What to say of a command line whose first word is neither a file nor a command, but nearly one.
pub(crate) fn command(commands: &clap::Command, arguments: &[OsString]) -> Option<String> {
    let words = arguments.iter().skip(1).filter_map(|a| a.to_str());
    let word = words.into_iter().find(|a| !a.starts_with('-'))?;
    if Path::new(word).exists() {
        return None;
    }
    let names = commands.get_subcommands().map(clap::Command::get_name);
    let (edits, name) = names.map(|name| (edits(word, name), name)).min()?;
    let near = (1..=EDITS).contains(&edits) && edits < name.len() / 2;
    near.then(|| format!("there is no command `{word}` and no such file; did you mean `{name}`?"))
}

/// How many letters are to be put in, taken out or changed to make one word of the other; row by
/// row of the table of all beginnings, after Wagner and Fischer, "The string-to-string correction
/// problem", 1974.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((&b, &before), &above) in to.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(above);
            next.push((before + usize::from(a != b)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::edits;

    #[test]
    fn edits_are_counted() {
        for (a, b, n) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("inspct", "inspect", 1),
            ("verfiy", "verify", 2),
            ("kitten", "sitting", 3),
            ("same", "same", 0),
        ] {
            assert_eq!((edits(a, b), edits(b, a)), (n, n), "{a} {b}");
        }
    }
}
