//! Which tables a query is about, and by which columns it looks: read once, when a query is seen for the first time.
//!
//! What is read is the shape of the statement ([`super::fingerprint`]), so that no value is in what is found. `parsed`
//! reads it with a parser of SQL; where that cannot, `light` finds the tables by the words before them.

mod light;
mod parsed;

use super::fingerprint::Dialect;

/// The parser calls itself for what is nested, and takes up to 30 KiB of stack for each level.
pub(super) const DEEPEST: usize = 24;
/// Tables of a query beyond these are not named.
pub const MOST_TABLES: usize = 8;
/// Columns of a query beyond these are not named.
pub const MOST_PREDICATES: usize = 16;

/// What a query is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The tables that it reads or changes, with their schema where the query has it, in small letters unless quoted.
    /// The first is what stands first. At most [`MOST_TABLES`].
    pub tables: Vec<String>,
    /// The columns that rows are chosen by. At most [`MOST_PREDICATES`]; none where it was not parsed.
    pub predicates: Vec<Predicate>,
    /// It was read by a parser of SQL; otherwise only tables were looked for.
    pub is_parsed: bool,
}

/// A column that rows are chosen by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    /// Its table, where that is certain.
    pub table: Option<String>,
    /// Its name.
    pub column: String,
    /// How.
    pub compares: Compares,
}

/// How a column chooses rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compares {
    /// Equal to a value, one of several, or NULL.
    Equal,
    /// Less, greater or between.
    Range,
    /// LIKE and its kin.
    Pattern,
    /// Equal to a column of another table.
    Join,
}

/// What the query of this shape is about.
pub fn subject(shape: &str, dialect: Dialect) -> Subject {
    parsed::subject(shape, dialect).unwrap_or_else(|| Subject { tables: light::tables(shape), ..Subject::default() })
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::{super::fingerprint::normalise, *};

    fn tables(text: &str) -> (Vec<String>, bool) {
        let found = subject(&normalise(text, Dialect::Postgres), Dialect::Postgres);
        (found.tables, found.is_parsed)
    }

    #[test]
    fn tables_are_found() {
        for (text, expected) in [
            ("select 1", vec![]),
            ("select a from Users where id = $1", vec!["users"]),
            (
                "select a from shop.orders o join shop.\"Items\" i on i.order_id = o.id",
                vec!["shop.orders", "shop.\"Items\""],
            ),
            ("select a from b, c left join d on c.x = d.x", vec!["b", "c", "d"]),
            ("select a from (select b from c) x", vec!["c"]),
            (
                "select a from b where c in (select d from e) and exists (select 1 from f where f.x = b.x)",
                vec!["b", "e", "f"],
            ),
            ("with recent as (select a from b) select a from recent join c on true", vec!["c", "b"]),
            ("select a from b union all select a from c", vec!["b", "c"]),
            ("insert into t (a, b) values (1, 2) on conflict do nothing returning id", vec!["t"]),
            ("insert into t select a from u", vec!["t", "u"]),
            ("update t set a = 1 from u where t.x = u.x", vec!["t", "u"]),
            ("delete from t using u where t.x = u.x", vec!["t", "u"]),
            ("select a from t where b = 1 for update skip locked", vec!["t"]),
            ("select count(*) from t group by 1 having count(*) > 3 limit 5", vec!["t"]),
            ("select a from t where b @> '{}' and c ?| array['x'] and d ->> 'e' = 'f'", vec!["t"]),
            ("select a from t where b = any($1) and c between $2 and $3", vec!["t"]),
            ("select a::int, date '2020-01-01', interval '1 day' from t", vec!["t"]),
            ("select a from t a join t b on a.id = b.parent", vec!["t"]),
        ] {
            assert_eq!(tables(text), (expected.into_iter().map(String::from).collect(), true), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_parsed_still_has_tables() {
        for (text, expected) in [
            ("select a from t where where b = 1", vec!["t"]),
            ("select a from only shop.t join lateral u on ((", vec!["shop.t", "u"]),
            ("update t set ((", vec!["t"]),
            ("insert into shop . t values ((", vec!["shop.t"]),
            ("delete from a, b as c, \"D\" where ((", vec!["a", "b", "\"D\""]),
            ("select 'open", vec![]),
        ] {
            let (found, _) = tables(text);
            assert_eq!(found, expected, "{text}");
        }
        assert!(!tables("select a from t where where b = 1").1);
    }

    #[test]
    fn predicates_are_found() {
        let predicates = |text: &str| -> Vec<String> {
            let found = subject(&normalise(text, Dialect::Postgres), Dialect::Postgres);
            let show = |predicate: Predicate| {
                format!("{}.{} {:?}", predicate.table.unwrap_or_default(), predicate.column, predicate.compares)
            };
            found.predicates.into_iter().map(show).collect()
        };
        for (text, expected) in [
            ("select a from t where b = 1 and c > 2", vec!["t.b Equal", "t.c Range"]),
            ("select a from t where 1 = b and c between 1 and 2", vec!["t.b Equal", "t.c Range"]),
            (
                "select a from t where b in (1, 2) and c is null and d like 'x'",
                vec!["t.b Equal", "t.c Equal", "t.d Pattern"],
            ),
            ("select a from t where b = any($1)", vec!["t.b Equal"]),
            ("select a from t where (b = 1) and not c", vec!["t.b Equal"]),
            // Either of two columns is no choice by one of them.
            ("select a from t where b = 1 or c = 2", vec![]),
            ("select a from t where lower(b) = 'x'", vec![]),
            (
                "select a from t x join u y on x.id = y.t_id where y.b = 1 and c = 2",
                vec!["u.b Equal", ".c Equal", "t.id Join", "u.t_id Join"],
            ),
            ("update t set a = 1 where b = 2", vec!["t.b Equal"]),
            ("delete from t where b < now()", vec!["t.b Range"]),
            ("select a from t where b in (select c from u where d = 1)", vec![".b Equal", ".d Equal"]),
        ] {
            assert_eq!(predicates(text), expected, "{text}");
        }
    }

    #[test]
    fn dialects_are_parsed() {
        for (text, dialect) in [
            ("select `a` from `t` where `b` = 1 limit 5, 10", Dialect::MySql),
            ("insert into t (a) values (1) on duplicate key update a = values(a)", Dialect::MySql),
            ("select [a] from t where \"b\" = ?1", Dialect::Sqlite),
            ("insert or ignore into t (a) values (?)", Dialect::Sqlite),
            ("select a from t where b = ? and c = :x", Dialect::Unknown),
        ] {
            let found = subject(&normalise(text, dialect), dialect);
            assert!(found.is_parsed, "{text}");
            assert_eq!(found.tables.iter().map(|table| table.trim_matches('`')).collect::<Vec<_>>(), ["t"], "{text}");
        }
    }

    #[test]
    fn what_is_longer_than_a_shape_is_not_parsed() {
        let long = format!("select a from t where b{}", " + b".repeat(500_000));
        let found = subject(&long, Dialect::Postgres);
        assert_eq!((found.tables, found.is_parsed), (vec!["t".to_owned()], false));
    }

    #[test]
    fn there_are_so_many_at_most() {
        let names: Vec<String> = (0..50)
            .map(|n| format!("t{}", ["a", "b", "c", "d", "e", "f", "g"].map(|x| x.repeat(n + 1)).join("")))
            .collect();
        let found = subject(&format!("select a from {}", names.join(", ")), Dialect::Postgres);
        assert_eq!(found.tables.len(), MOST_TABLES);
        let columns: Vec<String> = (0..50).map(|n| format!("{} = ?", "c".repeat(n + 1))).collect();
        let found = subject(&format!("select a from t where {}", columns.join(" and ")), Dialect::Postgres);
        assert_eq!((found.predicates.len(), found.is_parsed), (MOST_PREDICATES, true));
    }

    proptest! {
        #[test]
        fn nothing_panics(
            parts in vec(select("select from t a . ( ) , where = ? and or in not exists join on update set insert into values \
                delete union with as case when then end :: [ ] ' \" ` ; * limit group by order is null between like".split_whitespace().collect::<Vec<_>>()), 0..40),
            dialect in select(vec![Dialect::Postgres, Dialect::MySql, Dialect::Sqlite, Dialect::Unknown]),
        ) {
            subject(&parts.join(" "), dialect);
        }
    }
}
