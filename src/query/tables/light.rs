//! Tables found by the words before them, in what no parser reads.

use super::MOST_TABLES;

/// After these words comes a table.
const BEFORE: [&str; 5] = ["from", "join", "into", "update", "table"];
/// These may stand between.
const BETWEEN: [&str; 5] = ["only", "lateral", "if", "exists", "not"];

/// The tables of a shape. It has no values and few blanks, so that splitting at its marks is enough.
pub(super) fn tables(shape: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut expects = false;
    // In the list of FROM, a comma has a table after it.
    let mut in_list = false;
    for word in words(shape) {
        if BEFORE.contains(&word) {
            (expects, in_list) = (true, word == "from");
        } else if word == "," {
            expects = in_list;
        } else if expects && !BETWEEN.contains(&word) {
            expects = false;
            if is_name(word) && !found.iter().any(|table| table == word) && found.len() < MOST_TABLES {
                found.push(word.to_owned());
            }
        } else if !is_name(word) || ["where", "set", "values", "select", "order", "group"].contains(&word) {
            in_list = false;
        }
    }
    found
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || matches!(first, '_' | '"' | '`' | '['))
}

/// Names with their full stops, and every other mark for itself.
fn words(shape: &str) -> impl Iterator<Item = &str> {
    let mut rest = shape;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = if is_name(rest) { name_end(rest) } else { first.len_utf8() };
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

fn name_end(text: &str) -> usize {
    let mut quote = None;
    let ends = |character: char| match quote {
        Some(open) => {
            if character == open {
                quote = None;
            }
            false
        }
        None if matches!(character, '"' | '`') => {
            quote = Some(character);
            false
        }
        None => !(character.is_alphanumeric() || matches!(character, '_' | '.' | '$' | '[' | ']')),
    };
    text.find(ends).unwrap_or(text.len())
}
