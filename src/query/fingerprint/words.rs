//! The words of SQL that say something about a statement.

use super::{
    Kind,
    letters::{load, lower},
};

/// What a word is known for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Other,
    And,
    Any,
    As,
    Between,
    Catalog,
    /// TRUE, FALSE or NULL.
    Constant,
    From,
    In,
    Into,
    Join,
    Like,
    Limit,
    Offset,
    Order,
    Select,
    Sequence,
    Table,
    Values,
    /// What a statement does, but SELECT and UPDATE.
    Verb,
    Update,
    With,
    /// Others after which a value comes.
    BeforeValue,
}

impl Known {
    /// After it comes a value, so that a sign before a number belongs to that.
    pub(super) fn is_before_value(self) -> bool {
        use Known::{And, BeforeValue, Between, In, Like, Limit, Offset, Select, Values};
        matches!(self, And | BeforeValue | Between | In | Like | Limit | Offset | Select | Values)
    }

    /// After it comes a name.
    pub(super) fn is_before_name(self) -> bool {
        use Known::{As, From, Into, Join, Table, Update};
        matches!(self, From | Join | Into | Update | Table | As)
    }

    /// Whether it is one of the words that do something.
    pub(super) fn is_verb(self) -> bool {
        matches!(self, Self::Verb | Self::Update | Self::Select)
    }
}

/// The longest word of [`known`].
const LONGEST: usize = 18;

/// In small letters, if it is short enough to be known.
fn small(word: &str) -> Option<([u8; LONGEST], usize)> {
    let mut letters = [0; LONGEST];
    let place = letters.get_mut(..word.len())?;
    place.iter_mut().zip(word.bytes()).for_each(|(place, byte)| *place = byte.to_ascii_lowercase());
    Some((letters, word.len()))
}

/// What words of one length are known for.
macro_rules! look_up {
    ($word:expr; $($($text:literal)|+ => $known:expr,)+) => {{
        let letters = lower(load($word));
        $(if $(letters == const { load($text) })||+ {
            return $known;
        })+
        Other
    }};
}

/// Every word costs a look at this, so that it goes by the length first.
pub(super) fn known(word: &str) -> Known {
    use Known::*;
    let bytes = word.as_bytes();
    match bytes.len() {
        2 => look_up! { bytes;
            b"in" => In,
            b"as" => As,
            b"or" | b"by" | b"on" | b"is" => BeforeValue,
        },
        3 => look_up! { bytes;
            b"and" => And,
            b"any" | b"all" => Any,
            b"top" => Limit,
            b"not" | b"set" => BeforeValue,
        },
        4 => look_up! { bytes;
            b"from" => From,
            b"join" => Join,
            b"into" => Into,
            b"with" => With,
            b"true" | b"null" => Constant,
            b"like" | b"glob" => Like,
            b"then" | b"else" | b"when" | b"case" => BeforeValue,
        },
        5 => look_up! { bytes;
            b"where" => BeforeValue,
            b"limit" | b"fetch" => Limit,
            b"order" => Order,
            b"array" => Any,
            b"false" => Constant,
            b"table" => Table,
            b"match" | b"ilike" => Like,
            b"merge" => Verb,
        },
        6 => look_up! { bytes;
            b"select" => Select,
            b"values" => Values,
            b"update" => Update,
            b"insert" | b"delete" => Verb,
            b"offset" => Offset,
            b"unnest" => Any,
            b"regexp" => Like,
            b"having" | b"return" => BeforeValue,
        },
        7 => look_up! { bytes;
            b"between" => Between,
            b"replace" => Verb,
            b"nextval" | b"currval" | b"lastval" => Sequence,
        },
        8 => look_up! { bytes;
            b"interval" => BeforeValue,
        },
        9..=LONGEST if matches!(bytes[0] | 0x20, b'r' | b'p' | b'i' | b's' | b'l') => long(word),
        _ => Other,
    }
}

/// The longer ones.
fn long(word: &str) -> Known {
    let Some((letters, len)) = small(word) else { return Known::Other };
    match &letters[..len] {
        b"returning" => Known::BeforeValue,
        b"pg_catalog" | b"information_schema" | b"sqlite_master" | b"sqlite_schema" | b"performance_schema" => {
            Known::Catalog
        }
        b"last_insert_id" | b"last_insert_rowid" => Known::Sequence,
        _ => Known::Other,
    }
}

/// What a statement does that begins with this word.
pub(super) fn kind(word: &str) -> Kind {
    let Some((letters, len)) = small(word) else { return Kind::Other };
    match &letters[..len] {
        b"select" | b"table" | b"values" => Kind::Select,
        b"insert" | b"replace" => Kind::Insert,
        b"update" => Kind::Update,
        b"delete" => Kind::Delete,
        b"merge" => Kind::Update,
        b"copy" | b"load" => Kind::Copy,
        b"begin" | b"start" | b"commit" | b"end" | b"rollback" | b"abort" | b"savepoint" | b"release" | b"prepare"
        | b"deallocate" | b"discard" | b"set" | b"reset" | b"show" | b"use" | b"pragma" | b"listen" | b"unlisten"
        | b"notify" | b"lock" | b"unlock" | b"close" | b"declare" | b"explain" | b"describe" => Kind::Control,
        b"create" | b"alter" | b"drop" | b"truncate" | b"comment" | b"grant" | b"revoke" | b"vacuum" | b"analyze"
        | b"analyse" | b"reindex" | b"refresh" | b"cluster" => Kind::Schema,
        _ => Kind::Other,
    }
}

/// Whether a table of this name belongs to the database itself.
pub(super) fn is_catalog(word: &str) -> bool {
    word.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case("pg_"))
}

/// Further words of a type's name, such as `timestamp with time zone`.
pub(super) fn ends_type(word: &str) -> bool {
    ["varying", "precision", "with", "without", "time", "zone"].iter().any(|one| word.eq_ignore_ascii_case(one))
}

/// Words that name neither a function nor a type: a blank stands before a bracket that follows.
pub(super) fn is_no_function(word: &str) -> bool {
    const WORDS: [&str; 35] = [
        "in",
        "values",
        "and",
        "or",
        "not",
        "on",
        "where",
        "from",
        "join",
        "select",
        "as",
        "using",
        "over",
        "exists",
        "when",
        "then",
        "else",
        "case",
        "having",
        "by",
        "union",
        "all",
        "except",
        "intersect",
        "set",
        "like",
        "between",
        "is",
        "with",
        "limit",
        "returning",
        "distinct",
        "into",
        "update",
        "table",
    ];
    WORDS.iter().any(|one| word.eq_ignore_ascii_case(one))
}
