//! Plans of PostgreSQL, as EXPLAIN (VERBOSE, FORMAT JSON) tells them: what of them is of use here.

use serde::Deserialize;

/// Nodes of a plan that are looked at.
const MOST_NODES: usize = 1000;
/// A LIMIT ends what is below it early where it costs less than this part of it.
const EARLY: f64 = 0.05;

/// A plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What it costs, in units of the planner.
    pub cost: f64,
    /// The scans of whole tables in it.
    pub scans: Vec<Scan>,
    /// The indexes that it uses.
    pub indexes: Vec<String>,
}

/// A scan of a whole table that a condition is looked for by.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// The schema of its table.
    pub schema: String,
    /// Its table.
    pub table: String,
    /// What conditions call it.
    pub alias: String,
    /// The condition, as PostgreSQL writes it.
    pub condition: String,
    /// Rows that are wanted of it: those that hold, or those that a join looks for.
    pub rows: f64,
    /// What it costs.
    pub cost: f64,
    /// The condition is that of a join with few rows.
    pub joins: bool,
}

#[derive(Debug, Deserialize)]
struct Explained {
    #[serde(rename = "Plan")]
    plan: Node,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all(deserialize = "PascalCase"))]
struct Node {
    #[serde(rename = "Node Type")]
    kind: String,
    #[serde(rename = "Relation Name")]
    table: Option<String>,
    schema: Option<String>,
    alias: Option<String>,
    #[serde(rename = "Index Name")]
    index: Option<String>,
    #[serde(rename = "Total Cost")]
    cost: f64,
    #[serde(rename = "Plan Rows")]
    rows: f64,
    #[serde(rename = "Workers Planned")]
    workers: f64,
    filter: Option<String>,
    #[serde(rename = "Hash Cond")]
    hash_condition: Option<String>,
    #[serde(rename = "Merge Cond")]
    merge_condition: Option<String>,
    #[serde(rename = "Join Filter")]
    join_filter: Option<String>,
    plans: Vec<Node>,
}

/// A node with what is above it.
struct Below<'a> {
    node: &'a Node,
    /// Processes that share its work.
    processes: f64,
    /// The least cost of a LIMIT above.
    limit: f64,
}

impl Plan {
    /// Reads what EXPLAIN answers.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn read(text: &str) -> Result<Self, String> {
        let explained: Vec<Explained> = serde_json::from_str(text).map_err(|error| format!("no plan: {error}"))?;
        let [Explained { plan }] = &explained[..] else { return Err("no plan: more or less than one".into()) };
        let (mut scans, mut indexes) = (Vec::new(), Vec::new());
        let mut rest = vec![Below { node: plan, processes: 1.0, limit: f64::INFINITY }];
        for _ in 0..MOST_NODES {
            let Some(below) = rest.pop() else { break };
            let node = below.node;
            indexes.extend(node.index.clone());
            scans.extend(node.searched(&below).into_iter().chain(node.joined(&below)));
            let limit = if node.kind == "Limit" { below.limit.min(node.cost) } else { below.limit };
            let processes = below.processes * (1.0 + node.workers);
            rest.extend(node.plans.iter().map(|node| Below { node, processes, limit }));
        }
        Ok(Self { cost: plan.cost, scans, indexes })
    }
}

impl Node {
    fn scan(&self, condition: &str, rows: f64, joins: bool) -> Option<Scan> {
        if self.kind != "Seq Scan" {
            return None;
        }
        let (schema, table) = (self.schema.clone()?, self.table.clone()?);
        let alias = self.alias.clone().unwrap_or_else(|| table.clone());
        Some(Scan { schema, table, alias, condition: condition.into(), rows, cost: self.cost, joins })
    }

    /// The search for some of a table's rows.
    fn searched(&self, below: &Below<'_>) -> Option<Scan> {
        let scan = self.scan(self.filter.as_deref()?, self.rows * below.processes, false)?;
        (below.limit >= EARLY * scan.cost).then_some(scan)
    }

    /// All of a table that is read for a join with the rows of another: an index would find those.
    fn joined(&self, below: &Below<'_>) -> Option<Scan> {
        let conditions = [&self.hash_condition, &self.merge_condition, &self.join_filter];
        let condition = conditions.into_iter().find_map(Option::as_deref)?;
        let [one, other] = &self.plans[..] else { return None };
        let of = |large: &Self, few: &Self| {
            let large = large.source();
            // Nodes tell of one process; too many rows are no claim.
            large.filter.is_none().then(|| large.scan(condition, few.rows * below.processes, true))?
        };
        [of(one, other), of(other, one)].into_iter().flatten().min_by(|a, b| a.rows.total_cmp(&b.rows))
    }

    /// Where its rows come from, below what only hands them on.
    fn source(&self) -> &Self {
        let mut node = self;
        while let ("Hash" | "Sort" | "Materialize" | "Memoize" | "Gather" | "Gather Merge", [only]) =
            (&*node.kind, &node.plans[..])
        {
            node = only;
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(plan: Value) -> Plan {
        Plan::read(&json!([{ "Plan": plan }]).to_string()).unwrap()
    }

    fn scan(alias: &str, rows: u64) -> Value {
        json!({
            "Node Type": "Seq Scan", "Parallel Aware": false, "Schema": "public", "Relation Name": "t", "Alias": alias,
            "Total Cost": 1000.0, "Plan Rows": rows, "Output": ["a"],
        })
    }

    fn filtered(alias: &str, rows: u64) -> Value {
        let mut scan = scan(alias, rows);
        scan["Filter"] = "(t.a = $1)".into();
        scan
    }

    fn over(kind: &str, cost: f64, plans: impl IntoIterator<Item = Value>) -> Value {
        json!({ "Node Type": kind, "Total Cost": cost, "Plan Rows": 7, "Plans": plans.into_iter().collect::<Vec<_>>() })
    }

    #[test]
    fn scans_with_a_condition_are_found() {
        let plan = read(filtered("x", 4));
        assert_eq!(plan.cost, 1000.0);
        let [scan] = &plan.scans[..] else { panic!("{plan:?}") };
        assert_eq!((&*scan.schema, &*scan.table, &*scan.alias), ("public", "t", "x"));
        assert_eq!((&*scan.condition, scan.rows, scan.joins), ("(t.a = $1)", 4.0, false));
        assert_eq!(read(super::tests::scan("x", 4)).scans, [], "nothing is looked for");
    }

    #[test]
    fn processes_share_rows() {
        let mut gather = over("Gather", 900.0, [over("Partial Aggregate", 900.0, [filtered("x", 4)])]);
        gather["Workers Planned"] = 2.into();
        assert_eq!(read(gather).scans[0].rows, 12.0);
    }

    #[test]
    fn a_limit_that_ends_early_needs_no_index() {
        let limited = |cost| read(over("Limit", cost, [over("Result", 1000.0, [filtered("x", 4)])])).scans.len();
        assert_eq!((limited(49.0), limited(50.0)), (0, 1));
    }

    #[test]
    fn joins_with_few_rows_are_found() {
        let join = |kind: &str, condition: &str, large, few| {
            let mut join = over(kind, 2000.0, [large, over("Hash", 10.0, [few])]);
            join[condition] = "(i.order_id = o.id)".into();
            join["Plans"][1]["Plan Rows"] = 12.into();
            read(join).scans
        };
        let index =
            json!({ "Node Type": "Index Scan", "Index Name": "orders_customer", "Total Cost": 8.0, "Plan Rows": 12 });
        for (kind, condition) in
            [("Hash Join", "Hash Cond"), ("Merge Join", "Merge Cond"), ("Nested Loop", "Join Filter")]
        {
            let found = join(kind, condition, over("Sort", 1100.0, [scan("i", 600_000)]), index.clone());
            let [scan] = &found[..] else { panic!("{found:?}") };
            assert_eq!((&*scan.alias, &*scan.condition, scan.rows), ("i", "(i.order_id = o.id)", 12.0));
            assert!(scan.joins);
        }
        assert_eq!(join("Hash Join", "Hash Cond", index.clone(), index), []);
    }

    #[test]
    fn indexes_are_named() {
        let index =
            |name: &str| json!({ "Node Type": "Index Scan", "Index Name": name, "Total Cost": 8.0, "Plan Rows": 1 });
        let plan = read(over("Nested Loop", 20.0, [index("a"), over("Bitmap Heap Scan", 9.0, [index("b")])]));
        assert_eq!(plan.indexes, ["b", "a"]);
    }

    #[test]
    fn what_is_no_plan_is_told() {
        for text in ["", "{}", "[]", "[{}]", "[{\"Plan\": 1}]", "[{\"Plan\": {\"Plan Rows\": \"x\"}}]"] {
            assert!(Plan::read(text).unwrap_err().starts_with("no plan: "), "{text}");
        }
    }
}
