//! Shapes in tables: one line per case.

use super::*;

const ANY: Dialect = Dialect::Postgres;

fn shape(text: &str, dialect: Dialect) -> String {
    normalise(text, dialect)
}

fn print(text: &str, dialect: Dialect) -> Print<'_> {
    fingerprint(text, dialect, &Key::default())
}

#[test]
fn shapes() {
    for (text, expected) in [
        ("SELECT 1", "select ?"),
        ("select  Name\n\tfrom Users where ID=42;", "select name from users where id = ?"),
        ("select name from users where id = $1", "select name from users where id = ?"),
        ("select name from users where id = %s", "select name from users where id = ?"),
        ("select name from users where id = %(user_id)s", "select name from users where id = ?"),
        ("select name from users where id = :id", "select name from users where id = ?"),
        ("select name from users where id = ?", "select name from users where id = ?"),
        ("select name from users where id = @p1", "select name from users where id = ?"),
        ("select a from t where x in (1, 2, 3)", "select a from t where x in (?)"),
        ("select a from t where x in ($1,$2)", "select a from t where x in (?)"),
        ("select a from t where x = any(array[1,2,3])", "select a from t where x = any(array[?])"),
        ("insert into t (a,b) values (1,'x'),(2,'y')", "insert into t(a, b) values (?)"),
        ("insert into t (a,b) values (1,now()),(2,now()), (3, f(4,5))", "insert into t(a, b) values (?, now())"),
        (
            "insert into t values ($1::varchar, $2::int), ($3::varchar, $4::int) returning id",
            "insert into t values (?::varchar) returning id",
        ),
        ("select 1 where (a,b) in ((1,2),(3,4))", "select ? where (a, b) in ((?))"),
        ("select * from t where a in ($1::int,$2::int)", "select * from t where a in (?::int)"),
        ("select '12'::numeric(10,2), b", "select ?::numeric(?, ?), b"),
        ("select $1::timestamp with time zone", "select ?::timestamp with time zone"),
        ("select a::int from t", "select a::int from t"),
        ("select -5, a-5, a - 5, (-5), 3*-2 from t", "select ?, a - ?, a - ?, (?), ? * ? from t"),
        ("select 1.5e-3, .5, 0x1F, 1_000, 1e10 from t", "select ? from t"),
        ("select x'1f', b'01', n'a', e'it\\'s', u&'d\\0061t' from t", "select ? from t"),
        ("select $$a'b$$, $tag$ $$ $tag$ from t", "select ? from t"),
        ("select 'a' 'b' from t", "select ? ? from t"),
        ("select 'it''s' from t", "select ? from t"),
        ("select a /* why */ from /* /* nested */ */ t -- end", "select a from t"),
        (
            "select a from t where b = true and c is null and d = null",
            "select a from t where b = ? and c is null and d = ?",
        ),
        ("select a from t where b is not true", "select a from t where b is not true"),
        ("insert into t values (null, true, 1)", "insert into t values (?)"),
        ("select \"Name\".\"X\" from \"Name\"", "select \"Name\".\"X\" from \"Name\""),
        ("select d ->> 'k', d @> '{}', d ?| array['a'] from t", "select d ->> ?, d @> ?, d ?| array[?] from t"),
        (
            "select sum(qty), count(*) from t group by 1 order by 2 desc",
            "select sum(qty), count(*) from t group by ? order by ? desc",
        ),
        ("select a from t limit 10 offset 20", "select a from t limit ? offset ?"),
        ("begin; select 1; commit;", "begin; select ?; commit"),
        ("select 'open", "select ?"),
        ("select \"open", "select ?"),
        ("select $$open", "select ?"),
        ("select a /* open", "select a"),
        ("select 'C:\\' , a from t", "select ?, a from t"),
        ("select a from t where a like '%x%' escape '\\'", "select a from t where a like ? escape ?"),
        ("with x as (select 1) delete from t", "with x as (select ?) delete from t"),
        ("select a%2, b %s from t", "select a % ?, b ? from t"),
        ("select @@version", "select version"),
        ("select arr[1:2] from t", "select arr[? ?] from t"),
        ("select date '2020-01-01', date'2020-01-01'", "select date ?, date ?"),
        (
            "insert into t (a) values (1) on conflict (a) do update set b = excluded.b, c = 2",
            "insert into t(a) values (?) on conflict(a) do update set b = excluded.b, c = ?",
        ),
        ("", ""),
        (" ; ", ""),
    ] {
        assert_eq!(shape(text, ANY), expected, "{text}");
    }
}

#[test]
fn dialects_differ() {
    use Dialect::{MySql, Postgres, Sqlite, Unknown};
    for (text, dialect, expected) in [
        ("select \"a\" from t", Postgres, "select \"a\" from t"),
        ("select \"a\" from t", MySql, "select ? from t"),
        ("select \"a\" from t where \"b\" = \"c\"", Sqlite, "select \"a\" from t where \"b\" = ?"),
        (
            "select \"t\".\"a\" from \"t\" where \"t\".\"b\" = \"t\".\"c\"",
            Sqlite,
            "select \"t\".\"a\" from \"t\" where \"t\".\"b\" = \"t\".\"c\"",
        ),
        ("select \"t\".\"a\", \"b\" from \"t\"", Unknown, "select \"t\".\"a\", ? from \"t\""),
        ("select `a` from `t`", MySql, "select `a` from `t`"),
        ("select [a b] from t", Sqlite, "select [a b] from t"),
        ("select 'it\\'s', b from t", MySql, "select ?, b from t"),
        ("select 'it\\'s', b from t", Unknown, "select …"),
        ("select 'it\\'s', 'that\\'s' from t", Unknown, "select …"),
        ("select q'[it's secret]' from t", Unknown, "select ?"),
        ("select '''it's secret''' from t", Unknown, "select ?"),
        ("select '''quoted''' from t", Postgres, "select ? from t"),
        ("select '', 'a' from t", Unknown, "select ? from t"),
        ("select b'a\\'b', c from t where d = 'e'", Postgres, "select ?, c from t where d = ?"),
        ("select 'it\\'s' from t", Postgres, "select …"),
        ("select 'C:\\', 'secret' from t", MySql, "select …"),
        ("select a # 'secret\n from t", MySql, "select a from t"),
        ("select a # 'secret\n from t", Unknown, "select a from t"),
        ("select a #>> '{b}' from t", Unknown, "select a #>> ? from t"),
        ("select 5--3", MySql, "select ? - ?"),
        ("select 5--3", Postgres, "select ?"),
        ("select _utf8mb4'x', a from t", MySql, "select ?, a from t"),
        ("select a from t where b = ?1 and c = $x", Sqlite, "select a from t where b = ? and c = ?"),
        (
            "insert into t values (1) on duplicate key update a = values(a), b = 1",
            MySql,
            "insert into t values (?) on duplicate key update a = values (a), b = ?",
        ),
        ("select a from t limit 5, 10", MySql, "select a from t limit ?"),
        ("select /*! straight_join */ a from t /* a /* b */", MySql, "select a from t"),
    ] {
        assert_eq!(shape(text, dialect), expected, "{dialect:?}: {text}");
    }
}

/// Pairs that are the same query, and pairs that are not.
#[test]
fn same_and_not_the_same() {
    let id = |text: &str| print(text, ANY).id;
    for (a, b) in [
        ("select * from t where a = 1", "SELECT *  FROM t WHERE a=2;"),
        ("select * from t where a = 1", "select * from t where a = 'x' -- why"),
        ("select * from t where a = $1", "select * from t where a = -3.5"),
        ("select * from t where a in (1)", "select * from t where a in ($1, $2, $3)"),
        ("insert into t values (1, 2)", "insert into t values (3, 4), (5, 6), (7, 8)"),
        ("insert into t values (1, now())", "insert into t values (3, now()), (5, now())"),
        ("select * from t where a = any($1)", "select * from t where a = ANY(%s)"),
        ("select * from t where a = true", "select * from t where a = false"),
        ("select a from t", "select a from t /*traceparent='00-1-2-01'*/"),
        ("/* x */ select a from t", "select a from t"),
    ] {
        assert_eq!(id(a), id(b), "{a} | {b}");
    }
    for (a, b) in [
        ("select a from t1", "select a from t2"),
        ("select a from t where b = 1", "select a from t where b > 1"),
        ("select a from t where b is null", "select a from t where b is not null"),
        ("select ab from t", "select a b from t"),
        ("select a from t where x in (1)", "select a from t where x not in (1)"),
        ("select a from t order by b", "select a from t order by b desc"),
        ("select \"A\" from t", "select \"a\" from t"),
    ] {
        assert_ne!(id(a), id(b), "{a} | {b}");
    }
}

/// Ids are in files and in the configuration of those who ignore them.
#[test]
fn ids_stay_the_same() {
    let id = print("select name from customers where id = $1", ANY).id;
    assert_eq!(id.to_string(), "q_36764d5c3b0e903d");
    assert_eq!(id.to_string().parse(), Ok(id));
    for wrong in ["", "q_", "36764d5c3b0e903d", "q_36764d5c3b0e903", "q_+6764d5c3b0e903d", "q_x6764d5c3b0e903d"] {
        assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
    }
}

#[test]
fn kinds() {
    for (text, kind) in [
        ("select 1", Kind::Select),
        ("(select 1) union (select 2)", Kind::Select),
        ("with a as (insert into t values (1) returning id) select * from a", Kind::Select),
        ("with a as (select 1) update t set b = replace(c, 'x', 'y')", Kind::Update),
        ("with a as (select 1) select replace(c, 'x', 'y') from a", Kind::Select),
        ("INSERT INTO t VALUES (1)", Kind::Insert),
        ("replace into t values (1)", Kind::Insert),
        ("delete from t", Kind::Delete),
        ("copy t from stdin", Kind::Copy),
        ("begin", Kind::Control),
        ("SET search_path = x", Kind::Control),
        ("create table t (a int)", Kind::Schema),
        ("call f()", Kind::Other),
        ("", Kind::Other),
    ] {
        assert_eq!(print(text, ANY).kind, kind, "{text}");
    }
}

#[test]
fn traits() {
    let none = Traits::default();
    let stored = Traits { stored: true, ..none };
    for (text, expected) in [
        ("select 1", none),
        ("select name from t where id = 1", Traits { equals: true, ..stored }),
        ("select name from t where id in (1)", Traits { equals: true, ..stored }),
        ("select name from t where 1 = id", Traits { equals: true, ..stored }),
        ("select name from t where id in (1, 2)", Traits { equals: true, batched: true, ..stored }),
        ("select name from t where id = any($1)", Traits { batched: true, ..stored }),
        ("select name from t where (a, b) in ((1, 2), (3, 4))", Traits { batched: true, ..stored }),
        ("select name from t where a = true", stored),
        (
            "select a from t where id > 5 order by id limit 10",
            Traits { range: true, ordered: true, limited: true, ..stored },
        ),
        ("select a from t where id between 1 and 2", Traits { range: true, ..stored }),
        ("select a from t limit 10 offset 20", Traits { limited: true, offset: true, ..stored }),
        ("select a from t limit 10, 20", Traits { limited: true, offset: true, ..stored }),
        ("select typname from pg_type where oid = 1", Traits { catalog: true, equals: true, ..stored }),
        ("select * from information_schema.tables", Traits { catalog: true, ..stored }),
        ("select nextval('s')", Traits { sequence: true, ..none }),
        ("update t set a = 1", Traits { equals: true, ..stored }),
        ("select 'x", Traits { cut: true, ..none }),
    ] {
        assert_eq!(print(text, ANY).traits, expected, "{text}");
    }
}

#[test]
fn rows_and_lists() {
    for (text, rows, list) in [
        ("select 1", 1, 1),
        ("select a from t where b in (1, 2, 3)", 1, 3),
        ("insert into t values (1, 2)", 1, 2),
        ("insert into t values (1, 2), (3, 4), (5, 6)", 3, 4),
        ("insert into t values (1) on conflict (a) do nothing", 1, 1),
        ("insert into t values (1) on duplicate key update a = values(a), b = 2", 1, 1),
    ] {
        let print = print(text, ANY);
        assert_eq!((print.rows, print.list), (rows, list), "{text}");
    }
}

#[test]
fn values_are_told_apart_and_not_kept() {
    let key = Key::default();
    let values = |text| fingerprint(text, ANY, &key).values;
    assert_eq!(values("select a from t where b = 1"), values("SELECT a FROM t WHERE b = 1 /* x */"));
    assert_ne!(values("select a from t where b = 1").hash, values("select a from t where b = 2").hash);
    assert_ne!(
        values("select a from t where b = 'ab' and c = ''").hash,
        values("select a from t where b = 'a' and c = 'b'").hash
    );
    assert_ne!(values("insert into t values (1), (2)").hash, values("insert into t values (1), (3)").hash);
    assert!(values("select a from t where b = 1").is_complete && !values("select a from t where b = $1").is_complete);
    // Another process cannot look a value up.
    let other = fingerprint("select a from t where b = 1", ANY, &Key::default()).values;
    assert_ne!(values("select a from t where b = 1").hash, other.hash);
    let sent =
        |parameters: &[&[u8]]| values("select a from t where b = $1").with_sent(key.hash(parameters.iter().copied()));
    assert!(sent(&[b"1"]).is_complete && sent(&[b"1"]) == sent(&[b"1"]) && sent(&[b"1"]) != sent(&[b"2"]));
    assert_ne!(sent(&[b"ab", b""]), sent(&[b"a", b"b"]));
    assert_eq!(format!("{key:?}"), "Key(..)");
}

#[test]
fn what_counts_as_a_query() {
    for (text, counts) in [
        ("select a from t", true),
        ("insert into t values (1)", true),
        ("truncate t", true),
        ("select 1", false),
        ("select version()", false),
        ("commit", false),
        ("select a from pg_catalog.pg_class", false),
        ("set local x = 1", false),
    ] {
        assert_eq!(print(text, ANY).counts(), counts, "{text}");
    }
}

#[test]
fn long_statements_are_cut() {
    let long = format!("select {} from t", "a, ".repeat(LONGEST_READ));
    let print = print(&long, ANY);
    assert!(print.traits.cut);
    let text = normalise(&long, ANY);
    assert!(text.len() <= LONGEST_TEXT && text.ends_with(" …"), "{}", text.len());
    // A string that the cut goes through is open.
    let secret = format!("select '{}'", "secret ".repeat(LONGEST_READ));
    assert_eq!(normalise(&secret, ANY), "select ?");
    // As is one that somebody else cut.
    assert_eq!(normalise("select a from t where b = 'secret...", ANY), "select a from t where b = ?");
}

#[test]
fn the_last_comment_is_read() {
    let trace = "traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'";
    for text in [
        format!("select 1 /*route='%2Fa',{trace}*/"),
        format!("/*route='/a',{trace}*/ select 1"),
        format!("select /* first */ 1 -- route='/a',{trace}"),
    ] {
        let comment = print(&text, ANY).comment;
        assert_eq!(comment.route().as_deref(), Some("/a"), "{text}");
        assert!(comment.trace().is_some(), "{text}");
    }
}

#[test]
fn systems_have_dialects() {
    for (system, dialect) in [
        ("postgresql", Dialect::Postgres),
        ("mariadb", Dialect::MySql),
        ("sqlite", Dialect::Sqlite),
        ("microsoft.sql_server", Dialect::Unknown),
        ("", Dialect::Unknown),
    ] {
        assert_eq!(Dialect::of_system(system), dialect, "{system}");
    }
}
