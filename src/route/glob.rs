//! Path globs: `*` stands for any characters but `/`, `**` for any characters.

/// Whether a glob matches a whole path.
///
/// Takes time in proportion to the product of both lengths at most, and no memory: the last star is the only place
/// to go back to, for each of the two kinds.
pub fn matches(glob: &[u8], path: &[u8]) -> bool {
    let (mut g, mut p) = (0, 0);
    // Where to go on when what follows a star does not match: behind the star in the glob, one further in the path.
    let mut within: Option<(usize, usize)> = None;
    let mut across: Option<(usize, usize)> = None;
    loop {
        if glob[g..].starts_with(b"**") {
            g += 2;
            (across, within) = (Some((g, p)), None);
            continue;
        }
        if glob.get(g) == Some(&b'*') {
            g += 1;
            within = Some((g, p));
            continue;
        }
        if g == glob.len() && p == path.len() {
            return true;
        }
        if g < glob.len() && p < path.len() && glob[g] == path[p] {
            (g, p) = (g + 1, p + 1);
            continue;
        }
        match (within, across) {
            (Some((after, at)), _) if at < path.len() && path[at] != b'/' => {
                within = Some((after, at + 1));
                (g, p) = (after, at + 1);
            }
            (_, Some((after, at))) if at < path.len() => {
                (across, within) = (Some((after, at + 1)), None);
                (g, p) = (after, at + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table() {
        for (glob, path, expected) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/a", "/A", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/", true),
            ("/a/*", "/a/b/c", false),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/a", false),
            ("/**", "/", true),
            ("/*/edit", "/7/edit", true),
            ("/*/edit", "/7/8/edit", false),
            ("/**/edit", "/7/8/edit", true),
            ("/static/*.css", "/static/app.1.css", true),
            ("/static/*.css", "/static/app.css.map", false),
            ("/a*b*c", "/aXbbYc", true),
            ("/**/a*/c", "/a/x/ab/c", true),
            ("/**.js", "/x/y.js", true),
        ] {
            assert_eq!(matches(glob.as_bytes(), path.as_bytes()), expected, "{glob} {path}");
        }
    }

    /// The same by the definition, in exponential time.
    fn by_definition(glob: &[u8], path: &[u8]) -> bool {
        match glob {
            [] => path.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=path.len()).any(|at| by_definition(rest, &path[at..])),
            [b'*', rest @ ..] => (0..=path.len())
                .take_while(|at| !path[..*at].contains(&b'/'))
                .any(|at| by_definition(rest, &path[at..])),
            [byte, rest @ ..] => path.first() == Some(byte) && by_definition(rest, &path[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(glob in "[a/*]{0,9}", path in "[a/b]{0,9}") {
            prop_assert_eq!(matches(glob.as_bytes(), path.as_bytes()), by_definition(glob.as_bytes(), path.as_bytes()));
        }
    }
}
