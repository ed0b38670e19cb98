//! Whether an index is missing: from the scans of a plan and what the catalog says of their tables.

use super::{
    condition::{Chooses, Term, What, terms},
    plan::Scan,
    verdict::{Other, Proposal, Verdict},
};

/// Rows and pages of 8 KiB below which a scan is cheap.
const MANY_ROWS: f64 = 10_000.0;
const MANY_PAGES: f64 = 128.0;
/// The most of a table that an index is worth it for.
const MOST_FOUND: f64 = 0.05;
/// The same of a join, which would look into the index for each of its rows.
const MOST_JOINED: f64 = 0.01;
/// A further column that leaves more of the rows than this is not worth its place.
const LEAVES_MOST: f64 = 0.3;
/// So few rows need no further column.
const FEW_ROWS: f64 = 50.0;
const MOST_COLUMNS: usize = 3;
/// What PostgreSQL takes for the part of rows that equal a value, where it knows nothing (`DEFAULT_EQ_SEL`).
const UNKNOWN: f64 = 0.005;

/// What the catalog says of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// How SQL names what an index is made for: the table, or what it is a partition of.
    pub sql: String,
    /// It is a partition.
    pub is_partition: bool,
    /// Rows, as the planner knows; negative where it was never told.
    pub rows: f64,
    /// Pages of 8 KiB.
    pub pages: f64,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its indexes.
    pub indexes: Vec<Index>,
}

/// What the catalog says of a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How SQL names it.
    pub sql: String,
    /// Its type, as `format_type` has it without modifiers.
    pub of: String,
    /// The part of the rows that are NULL, and how many different values there are, below 0 as a part of the rows
    /// (`pg_stats`); `None` where that is not known.
    pub spread: Option<(f64, f64)>,
}

/// What the catalog says of an index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its access method, such as `btree`.
    pub method: String,
    /// What it is of, as SQL names it.
    pub keys: Vec<String>,
    /// It may be used, and is of all rows.
    pub is_whole: bool,
}

/// What is to be said of a plan with these scans; `table` finds what is known of a scan's.
pub fn judge<'a>(scans: &[Scan], table: impl Fn(&Scan) -> Option<&'a Table>) -> Verdict {
    let mut scans: Vec<&Scan> = scans.iter().collect();
    scans.sort_by(|a, b| b.cost.total_cmp(&a.cost));
    let verdicts = scans.into_iter().filter_map(|scan| of_scan(scan, table(scan)?));
    // Of those that say as much, the first: that of the dearest scan.
    verdicts.fold(Verdict::Fine, |best, next| match (best, next) {
        // One partition more of the same table.
        (Verdict::Missing(best), Verdict::Missing(next)) => Verdict::Missing(best.with(next)),
        (best, next) if next.weight() > best.weight() => next,
        (best, _) => best,
    })
}

fn of_scan(scan: &Scan, table: &Table) -> Option<Verdict> {
    if table.rows < 0.0 {
        return (table.pages >= MANY_PAGES).then(|| Verdict::Unanalyzed { table: table.sql.clone() });
    }
    let most = if scan.joins { MOST_JOINED } else { MOST_FOUND };
    if table.rows < MANY_ROWS || table.pages < MANY_PAGES || scan.rows > most * table.rows {
        return None;
    }
    let terms = terms(&scan.condition, &scan.alias);
    let columns = columns(&terms, table);
    if columns.is_empty() {
        return other(&terms, table);
    }
    let begins = |index: &&Index| {
        let covered = index.keys.iter().take(columns.len()).filter(|key| columns.contains(&&***key)).count();
        index.is_whole
            && (covered == columns.len() && index.method == "btree" || covered == 1 && index.method == "hash")
    };
    if let Some(index) = table.indexes.iter().find(begins) {
        return Some(Verdict::PrefersScan { table: table.sql.clone(), index: index.name.clone() });
    }
    Some(Verdict::Missing(Proposal {
        table: table.sql.clone(),
        on: vec![sql_of(table)],
        is_partition: table.is_partition,
        columns: columns.into_iter().map(Into::into).collect(),
        rows: table.rows as u64,
        bytes: table.pages as u64 * 8192,
        wanted: scan.rows.max(1.0) as u64,
        joins: scan.joins,
        proof: None,
    }))
}

/// How SQL names the table itself.
fn sql_of(table: &Table) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    format!("{}.{}", quoted(&table.schema), quoted(&table.name))
}

/// The columns of an index that would find the rows, as SQL names them: those that equal something, what leaves least
/// first, and then one with an order.
fn columns<'a>(terms: &[Term], table: &'a Table) -> Vec<&'a str> {
    let of = |chooses: Chooses| {
        let mut found: Vec<&Column> = Vec::new();
        for term in terms.iter().filter(|term| term.chooses == chooses) {
            let column = column(term, table).filter(|column| !found.contains(column));
            found.extend(column);
        }
        found
    };
    let mut equal: Vec<(f64, &Column)> =
        of(Chooses::Equal).into_iter().map(|column| (leaves(column, table), column)).collect();
    equal.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut left = table.rows;
    let mut chosen: Vec<&Column> = Vec::new();
    for (leaves, column) in equal {
        let is_worth_it = chosen.is_empty() || left > FEW_ROWS && leaves <= LEAVES_MOST;
        if is_worth_it && chosen.len() < MOST_COLUMNS {
            left *= leaves;
            chosen.push(column);
        }
    }
    let range = of(Chooses::Range).into_iter().find(|column| !chosen.contains(column));
    if (chosen.is_empty() || left > FEW_ROWS) && chosen.len() < MOST_COLUMNS {
        chosen.extend(range);
    }
    chosen.into_iter().map(|column| &*column.sql).collect()
}

/// The column that a term compares as it is stored.
fn column<'a>(term: &Term, table: &'a Table) -> Option<&'a Column> {
    let named = |name: &str| table.columns.iter().find(|column| column.name == name);
    match &term.what {
        What::Column(name) => named(name),
        // Stored alike: an index of one is of use for the other.
        What::Cast(name, to) if to == "text" => named(name).filter(|column| column.of == "character varying"),
        _ => None,
    }
}

/// The part of the rows that equal a value of this column.
fn leaves(column: &Column, table: &Table) -> f64 {
    let Some((nulls, distinct)) = column.spread else { return UNKNOWN };
    let values = if distinct < 0.0 { -distinct * table.rows } else { distinct };
    if values < 1.0 { UNKNOWN } else { (1.0 - nulls) / values }
}

/// What is in the way of an index on columns.
fn other(terms: &[Term], table: &Table) -> Option<Verdict> {
    let kind = |term: &Term| match (&term.what, term.chooses) {
        (_, Chooses::Pattern) => Some(Other::Pattern),
        (_, Chooses::Containment) => Some(Other::Containment),
        (What::Cast(..), _) => Some(Other::Cast),
        (What::Expression(_), _) => Some(Other::Expression),
        (What::Column(_), _) => None,
    };
    let (kind, term) = terms.iter().find_map(|term| Some((kind(term)?, term)))?;
    let of = match &term.what {
        What::Column(name) => name.clone(),
        What::Cast(name, to) => format!("{name}::{to}"),
        What::Expression(text) => text.clone(),
    };
    Some(Verdict::Other { table: table.sql.clone(), of, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, distinct: f64) -> Column {
        Column { name: name.into(), sql: name.into(), of: "integer".into(), spread: Some((0.0, distinct)) }
    }

    /// 600 000 rows: `id` is different in each, `order_id` in each fourth, there are 3 values of `status`, and `day` has
    /// an order.
    fn items() -> Table {
        Table {
            schema: "public".into(),
            name: "items".into(),
            sql: "public.items".into(),
            rows: 600_000.0,
            pages: 4000.0,
            columns: vec![
                column("id", -1.0),
                column("order_id", -0.25),
                column("shop", 1000.0),
                column("status", 3.0),
                column("day", 365.0),
                Column { of: "character varying".into(), ..column("name", -0.5) },
            ],
            indexes: vec![index("items_pkey", &["id"])],
            ..Table::default()
        }
    }

    fn index(name: &str, keys: &[&str]) -> Index {
        let keys = keys.iter().map(ToString::to_string).collect();
        Index { name: name.into(), method: "btree".into(), keys, is_whole: true }
    }

    fn scan(condition: &str, rows: f64) -> Scan {
        Scan {
            schema: "public".into(),
            table: "items".into(),
            alias: "t".into(),
            condition: condition.into(),
            rows,
            cost: 1e4,
            joins: false,
        }
    }

    fn judged(condition: &str, rows: f64, table: &Table) -> Verdict {
        judge(&[scan(condition, rows)], |_| Some(table))
    }

    #[track_caller]
    fn proposed(condition: &str, rows: f64) -> Vec<String> {
        match judged(condition, rows, &items()) {
            Verdict::Missing(proposal) => proposal.columns,
            other => panic!("{condition}: {other:?}"),
        }
    }

    #[test]
    fn columns_are_chosen() {
        for (condition, rows, expected) in [
            ("(t.order_id = $1)", 4.0, vec!["order_id"]),
            // 4 rows of an order: nothing more is to be gained.
            ("((t.status = $1) AND (t.order_id = $2))", 1.0, vec!["order_id"]),
            // 600 rows of a shop: a status leaves a third of them, which is not worth a column; a day leaves 2.
            ("((t.status = $1) AND (t.shop = $2))", 200.0, vec!["shop"]),
            ("((t.day = $1) AND (t.shop = $2))", 2.0, vec!["shop", "day"]),
            ("((t.shop = $1) AND (t.day > $2))", 200.0, vec!["shop", "day"]),
            ("((t.order_id = $1) AND (t.day > $2))", 1.0, vec!["order_id"]),
            ("((t.day >= $1) AND (t.day <= $2))", 3000.0, vec!["day"]),
            ("((t.name)::text = $1)", 2.0, vec!["name"]),
            ("((lower((t.name)::text) = $1) AND (t.shop = $2))", 3.0, vec!["shop"]),
        ] {
            assert_eq!(proposed(condition, rows), expected, "{condition}");
        }
    }

    #[test]
    fn the_proposal_has_its_figures() {
        let Verdict::Missing(proposal) = judged("(t.order_id = $1)", 4.0, &items()) else { panic!("none") };
        assert_eq!((proposal.rows, proposal.bytes, proposal.wanted), (600_000, 4000 * 8192, 4));
        assert_eq!((&*proposal.table, proposal.joins), ("public.items", false));
        assert_eq!(proposal.on, ["\"public\".\"items\""]);
    }

    #[test]
    fn none_where_a_scan_is_cheap_or_finds_much() {
        let condition = "(t.order_id = $1)";
        for (case, rows, table) in [
            ("few rows", 4.0, Table { rows: 9999.0, ..items() }),
            ("few pages", 4.0, Table { pages: 127.0, ..items() }),
            ("much of it", 30_001.0, items()),
        ] {
            assert_eq!(judged(condition, rows, &table), Verdict::Fine, "{case}");
        }
        assert!(matches!(judged(condition, 30_000.0, &items()), Verdict::Missing(_)));
        assert_eq!(judge(&[], |_| None), Verdict::Fine);
        assert_eq!(judge(&[scan(condition, 4.0)], |_| None), Verdict::Fine, "nothing is known of the table");
        let joined = |rows| {
            judge(&[Scan { joins: true, ..scan("(t.order_id = o.id)", rows) }], |_| Some(Box::leak(Box::new(items()))))
        };
        assert!(matches!(joined(6000.0), Verdict::Missing(Proposal { joins: true, .. })));
        assert_eq!(joined(6001.0), Verdict::Fine);
    }

    #[test]
    fn none_where_one_exists() {
        let with = |index: Index| {
            let table = Table { indexes: vec![index], ..items() };
            judged("((t.day = $1) AND (t.shop = $2))", 2.0, &table)
        };
        let there = Verdict::PrefersScan { table: "public.items".into(), index: "i".into() };
        assert_eq!(with(index("i", &["shop", "day"])), there);
        assert_eq!(with(index("i", &["day", "shop", "id"])), there);
        assert_eq!(with(Index { method: "hash".into(), ..index("i", &["day"]) }), there);
        for index in [
            index("i", &["id", "shop", "day"]),
            index("i", &["shop"]),
            Index { is_whole: false, ..index("i", &["shop", "day"]) },
            Index { method: "brin".into(), ..index("i", &["shop", "day"]) },
        ] {
            assert!(matches!(with(index.clone()), Verdict::Missing(_)), "{index:?}");
        }
    }

    #[test]
    fn what_an_index_on_columns_does_not_help() {
        for (condition, of, kind) in [
            ("(lower((t.name)::text) = $1)", "lower((name)::TEXT)", Other::Expression),
            ("((t.name)::text ~~ $1)", "name::text", Other::Pattern),
            ("(t.status @> $1)", "status", Other::Containment),
            ("((t.order_id)::numeric = $1)", "order_id::numeric", Other::Cast),
        ] {
            let expected = Verdict::Other { table: "public.items".into(), of: of.into(), kind };
            assert_eq!(judged(condition, 4.0, &items()), expected, "{condition}");
        }
        assert_eq!(judged("((t.shop = $1) OR (t.day = $2))", 4.0, &items()), Verdict::Fine);
    }

    #[test]
    fn a_table_that_was_never_analyzed() {
        let table = Table { rows: -1.0, ..items() };
        assert_eq!(judged("(t.id = $1)", 1.0, &table), Verdict::Unanalyzed { table: "public.items".into() });
        assert_eq!(judged("(t.id = $1)", 1.0, &Table { pages: 127.0, ..table }), Verdict::Fine);
    }

    #[test]
    fn the_dearest_scan_that_an_index_would_save_is_told_of() {
        let table = items();
        let scans = [
            Scan { cost: 3e4, ..scan("(lower((t.name)::text) = $1)", 4.0) },
            Scan { cost: 1e4, ..scan("(t.shop = $1)", 600.0) },
            Scan { cost: 2e4, ..scan("(t.order_id = $1)", 4.0) },
        ];
        let Verdict::Missing(proposal) = judge(&scans, |_| Some(&table)) else { panic!("none") };
        assert_eq!(proposal.columns, ["order_id"]);
    }

    #[test]
    fn partitions_are_one_table() {
        let part = |name: &str| Table { name: name.into(), is_partition: true, indexes: Vec::new(), ..items() };
        let (one, two) = (part("one"), part("two"));
        let scans = ["one", "two", "two"].map(|table| Scan { table: table.into(), ..scan("(t.order_id = $1)", 4.0) });
        let found = judge(&scans, |scan| Some(if scan.table == "one" { &one } else { &two }));
        let Verdict::Missing(proposal) = found else { panic!("{found:?}") };
        assert_eq!((proposal.rows, proposal.wanted, proposal.bytes), (1_200_000, 8, 8000 * 8192));
        assert_eq!(proposal.on, ["\"public\".\"one\"", "\"public\".\"two\""]);
        assert_eq!(proposal.statement(), "CREATE INDEX ON public.items (order_id);");
    }

    #[test]
    fn nothing_is_known_of_its_values() {
        let unknown = Column { spread: None, ..column("x", 0.0) };
        assert_eq!(leaves(&unknown, &items()), UNKNOWN);
        assert_eq!(leaves(&column("x", 0.0), &items()), UNKNOWN);
        assert_eq!(leaves(&Column { spread: Some((0.5, 10.0)), ..unknown }, &items()), 0.05);
    }
}
