//! What must hold for every text: nothing panics, no value is shown, and a shape is its own shape.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

const DIALECTS: [Dialect; 4] = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite, Dialect::Unknown];

/// Texts that earlier versions of this, or other lexers, stumbled over.
const SEEDS: [&str; 32] = [
    "'",
    "\"",
    "`",
    "[",
    "$",
    "$$",
    "$a",
    "$a$",
    "/*",
    "*/",
    "--",
    "#",
    "%",
    "%(",
    "%()s",
    "%(a)",
    ":",
    "::",
    "@",
    "@@",
    "?|",
    "e'\\",
    "'\\'",
    "-.",
    "+",
    "1e-",
    "0x",
    "u&'",
    "\u{a0}'",
    "@@\u{85}",
    "\u{b}a\0b",
    "é'é",
];

fn dialect() -> impl Strategy<Value = Dialect> {
    select(DIALECTS.to_vec())
}

/// Parts that mean something to the lexer, in any order.
fn part() -> impl Strategy<Value = String> {
    let words = "select,from,in,values,limit,any,array,is,null,true,as,where,e,x,u,_utf8,with,delete,é,t1";
    let marks =
        "( ) [ ] , ; . :: : = < - + -- /* */ # % %s ? ?| $ $$ $a$ @ @@ ' \" ` \\ \\' 1 .5 1e-3 '' 'a' 'C:\\' \"b\" \n";
    prop_oneof![
        3 => select(words.split(',').map(String::from).collect::<Vec<_>>()),
        5 => select(marks.split(' ').map(String::from).collect::<Vec<_>>()),
        2 => Just(" ".to_owned()),
        1 => ".{0,3}",
    ]
}

fn statement() -> impl Strategy<Value = String> {
    vec(part(), 0..40).prop_map(|parts| parts.concat())
}

/// A statement with places for values.
fn template() -> impl Strategy<Value = &'static str> {
    select(vec![
        "select a from t where b = {} and c in ({}, {}) order by d",
        "insert into t (a, b) values ({}, {}), ({}, now())",
        "update t set a = {}, b = b + {} where c = {} or d like {}",
        "select {} /* {} */ from t -- {}\n where x between {} and {}",
        "with x as (select {} as a) delete from t using x where t.a = x.a and f({}, {})",
        "select a from t where b = {}::text and c = any(array[{}, {}]) limit 5",
        "select case when a = {} then {} else {} end from t",
        "call f({}, {})",
    ])
}

/// Ways of writing a value, for a dialect, that all hold the same characters.
fn written(value: &str, way: u8, dialect: Dialect) -> String {
    let doubled = value.replace('\'', "''");
    let escapes = |text: &str| text.replace('\\', "\\\\");
    match (way % 4, dialect) {
        (0, Dialect::Postgres | Dialect::Unknown) => format!("$q${}$q$", value.replace('$', "")),
        (1, Dialect::Postgres | Dialect::Unknown) => format!("E'{}'", escapes(&doubled)),
        (0, Dialect::MySql) => format!("\"{}\"", escapes(&value.replace('"', "\"\""))),
        (1, Dialect::MySql) => format!("_utf8'{}'", escapes(&doubled)),
        (_, Dialect::MySql) => format!("'{}'", escapes(&doubled)),
        (2, _) => format!("N'{doubled}'"),
        _ => format!("'{doubled}'"),
    }
}

fn fill(template: &str, values: &[(String, u8)], dialect: Dialect) -> String {
    let mut filled = String::new();
    for (at, part) in template.split("{}").enumerate() {
        if at > 0 {
            let (value, way) = &values[(at - 1) % values.len()];
            let value = written(value, *way, dialect);
            // Within a comment, what ends it does end it.
            let in_comment = filled.trim_end().ends_with("/*") || filled.trim_end().ends_with("--");
            filled.push_str(&if in_comment { value.replace(['*', '/', '\n', '\r'], "") } else { value });
        }
        filled.push_str(part);
    }
    filled
}

/// Values of marks and words that could end a literal too early.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9@. ]{0,30}",
        vec(select("' \" \\ \\' '' -- /* */ $$ $ ; ( ) , # ` ? %s :x secret é".split(' ').collect::<Vec<_>>()), 0..12)
            .prop_map(|parts| parts.join(" ")),
        ".{0,20}",
    ]
}

#[test]
fn seeds() {
    for dialect in DIALECTS {
        for seed in SEEDS {
            for text in [seed.to_owned(), format!("select {seed}"), format!("{seed}{seed}"), format!("a{seed} b")] {
                is_own_shape(&text, dialect).unwrap();
            }
        }
    }
}

fn is_own_shape(text: &str, dialect: Dialect) -> Result<(), TestCaseError> {
    let key = Key::default();
    let shape = normalise(text, dialect);
    prop_assert!(shape.len() <= LONGEST_TEXT);
    let (of_text, of_shape) = (fingerprint(text, dialect, &key), fingerprint(&shape, dialect, &key));
    let again = normalise(&shape, dialect);
    prop_assert_eq!(of_text.id, of_shape.id, "{:?}: {:?} → {:?} → {:?}", dialect, text, &shape, again);
    prop_assert_eq!(&again, &shape, "{:?}: {:?}", dialect, text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn a_shape_is_its_own_shape(text in statement(), dialect in dialect()) {
        is_own_shape(&text, dialect)?;
    }

    #[test]
    fn any_text_is_read(bytes in vec(any::<u8>(), 0..400), dialect in dialect()) {
        is_own_shape(&String::from_utf8_lossy(&bytes), dialect)?;
    }

    /// A value has no influence on the shape at all, so that nothing of it can be in it.
    #[test]
    fn values_make_no_difference(
        template in template(), dialect in dialect(), values in vec((value(), any::<u8>()), 1..6),
    ) {
        // A backslash may or may not escape there, and three quotes are one or three: such statements are cut.
        let is_plain = |value: &str| !value.contains('\\') && !value.starts_with('\'');
        prop_assume!(dialect != Dialect::Unknown || values.iter().all(|(value, _)| is_plain(value)));
        // Where a bracket begins a name, there are no such lists.
        prop_assume!(dialect != Dialect::Sqlite || !template.contains('['));
        let plain: Vec<(String, u8)> = values.iter().map(|_| ("v".to_owned(), 3)).collect();
        let (text, plain) = (fill(template, &values, dialect), fill(template, &plain, dialect));
        prop_assert_eq!(normalise(&text, dialect), normalise(&plain, dialect), "{:?}", text);
        let key = Key::default();
        prop_assert_eq!(fingerprint(&text, dialect, &key).id, fingerprint(&plain, dialect, &key).id);
    }

    /// Also where it is cut, or read as another dialect than it was written for.
    #[test]
    fn no_value_is_shown(
        template in template(), cut in 0usize..200, dialect in select(DIALECTS[..3].to_vec()),
        value in "[JQXZ]{4,12}", around in vec(select("' \" \\ \\' '' ; ( , #".split(' ').collect::<Vec<_>>()), 2), way in any::<u8>(),
    ) {
        let literal = format!("{}{value}{}", around[0], around[1]);
        let text = fill(template, &[(literal, way)], dialect);
        let text = beginning(&text, text.len().saturating_sub(cut));
        let shown = [normalise(text, dialect), normalise(text, Dialect::Unknown)];
        let small = value.to_lowercase();
        for (at, shown) in shown.iter().enumerate() {
            for window in small.as_bytes().windows(4) {
                let window = std::str::from_utf8(window).unwrap();
                prop_assert!(!shown.to_lowercase().contains(window), "{at}: {window} of {text:?} in {shown:?}");
            }
        }
    }
}
