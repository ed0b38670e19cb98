//! What is found out about the indexes of a query, in words.

use std::fmt;

/// What is known of the indexes of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// No scan of a table that an index would save.
    Fine,
    /// There is an index, and the planner scans the table all the same.
    PrefersScan {
        /// The table.
        table: String,
        /// The index.
        index: String,
    },
    /// An index was tried, and the planner would not use it, or gain little by it.
    NoGain {
        /// The index as it would be made.
        statement: String,
    },
    /// An index on columns does not help.
    Other {
        /// The table.
        table: String,
        /// What rows are chosen by.
        of: String,
        /// What would help.
        kind: Other,
    },
    /// The planner knows nothing of a table.
    Unanalyzed {
        /// The table.
        table: String,
    },
    /// There is none that would find the rows.
    Missing(Proposal),
    /// The query cannot be planned here, and why.
    Unexplainable(String),
}

/// What rows are chosen by, where no index on a column helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// What is computed of a column.
    Expression,
    /// A column as a value of another type.
    Cast,
    /// LIKE or a regular expression.
    Pattern,
    /// An array, JSON or text that contains something.
    Containment,
}

/// An index that would find the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The table that it would be made for, as SQL names it.
    pub table: String,
    /// The tables that are scanned: the same, or partitions of it.
    pub on: Vec<String>,
    /// They are partitions.
    pub is_partition: bool,
    /// The columns, as SQL names them.
    pub columns: Vec<String>,
    /// Rows of the table.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Rows that the query wants of it.
    pub wanted: u64,
    /// A join looks for them.
    pub joins: bool,
    /// What the planner says of it, where it could be tried (hypopg).
    pub proof: Option<Proof>,
}

/// What a query costs, in units of the planner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proof {
    /// Without the index.
    pub before: f64,
    /// With it.
    pub after: f64,
}

impl Proposal {
    /// The statement that makes it. It is only shown: nothing here runs it.
    pub fn statement(&self) -> String {
        // PostgreSQL makes the index of a partitioned table at once or not at all.
        let how = if self.is_partition { "" } else { "CONCURRENTLY " };
        format!("CREATE INDEX {how}ON {} ({});", self.table, self.columns.join(", "))
    }

    /// The statements by which it is tried without being made.
    pub fn trials(&self) -> impl Iterator<Item = String> {
        self.on.iter().map(|table| format!("CREATE INDEX ON {table} ({})", self.columns.join(", ")))
    }

    /// Together with another, if that is the same index of another partition.
    pub(super) fn with(mut self, other: Self) -> Self {
        let is_same = (&self.table, &self.columns) == (&other.table, &other.columns);
        if is_same && other.on.iter().all(|table| !self.on.contains(table)) {
            self.rows += other.rows;
            self.bytes += other.bytes;
            self.wanted += other.wanted;
            self.on.extend(other.on);
        }
        self
    }
}

impl Verdict {
    /// Every name.
    pub const NAMES: [&str; 7] =
        ["fine", "prefers_scan", "no_gain", "other_index", "unanalyzed", "missing", "unexplainable"];

    /// Its name in figures.
    pub fn name(&self) -> &'static str {
        Self::NAMES[self.place()]
    }

    /// Where its name stands.
    pub(in super::super) fn place(&self) -> usize {
        match self {
            Self::Fine => 0,
            Self::PrefersScan { .. } => 1,
            Self::NoGain { .. } => 2,
            Self::Other { .. } => 3,
            Self::Unanalyzed { .. } => 4,
            Self::Missing(_) => 5,
            Self::Unexplainable(_) => 6,
        }
    }

    /// How much it says, for which of several scans it is of.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::Fine | Self::Unexplainable(_) => 0,
            Self::PrefersScan { .. } | Self::NoGain { .. } => 1,
            Self::Other { .. } => 2,
            Self::Unanalyzed { .. } => 3,
            Self::Missing(_) => 4,
        }
    }
}

/// As a sentence.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine => f.write_str("No table is scanned for what an index would find."),
            Self::PrefersScan { table, index } => write!(
                f,
                "{table} is scanned although {index} begins with the columns: look at its statistics (ANALYZE), at the \
                 types that are compared, and at how many rows are found."
            ),
            Self::NoGain { statement } => {
                write!(f, "{statement} was tried without being made: the planner gains little or nothing by it.")
            }
            Self::Other { table, of, kind } => {
                let helps = match kind {
                    Other::Expression => "an index on this expression",
                    Other::Cast => "a parameter of the column's own type, or an index on this expression",
                    Other::Pattern => {
                        "an index for patterns (pg_trgm with GIN, or text_pattern_ops where it begins with text)"
                    }
                    Other::Containment => "a GIN index",
                };
                write!(f, "{table} is scanned for {of}, which no index on a column finds. What may help: {helps}.")
            }
            Self::Unanalyzed { table } => {
                write!(
                    f,
                    "The planner knows nothing of {table}: it was never analyzed. ANALYZE {table}; would tell it."
                )
            }
            Self::Missing(proposal) => {
                let Proposal { table, rows, wanted, joins, .. } = proposal;
                let what = if *joins { "to join" } else { "to find" };
                write!(f, "All {rows} rows of {table} are read {what} about {wanted}: {}", proposal.statement())
            }
            Self::Unexplainable(why) => write!(f, "It cannot be planned here: {why}."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal() -> Proposal {
        Proposal {
            table: "public.items".into(),
            on: vec!["\"public\".\"items\"".into()],
            is_partition: false,
            columns: vec!["order_id".into(), "\"Day\"".into()],
            rows: 600_000,
            bytes: 1 << 25,
            wanted: 4,
            joins: false,
            proof: None,
        }
    }

    #[test]
    fn statements() {
        let one = proposal();
        assert_eq!(one.statement(), "CREATE INDEX CONCURRENTLY ON public.items (order_id, \"Day\");");
        assert_eq!(one.trials().collect::<Vec<_>>(), ["CREATE INDEX ON \"public\".\"items\" (order_id, \"Day\")"]);
        let partition = Proposal { is_partition: true, ..one };
        assert_eq!(partition.statement(), "CREATE INDEX ON public.items (order_id, \"Day\");");
    }

    #[test]
    fn each_has_a_name_and_a_sentence() {
        let (table, of) = (String::from("t"), String::from("a"));
        let other = |kind| Verdict::Other { table: table.clone(), of: of.clone(), kind };
        for (verdict, name, says) in [
            (Verdict::Fine, "fine", "No table is scanned"),
            (
                Verdict::PrefersScan { table: table.clone(), index: "i".into() },
                "prefers_scan",
                "t is scanned although i",
            ),
            (Verdict::NoGain { statement: "CREATE".into() }, "no_gain", "CREATE was tried"),
            (other(Other::Expression), "other_index", "an index on this expression"),
            (other(Other::Cast), "other_index", "own type"),
            (other(Other::Pattern), "other_index", "pg_trgm"),
            (other(Other::Containment), "other_index", "GIN"),
            (Verdict::Unanalyzed { table: table.clone() }, "unanalyzed", "ANALYZE t;"),
            (
                Verdict::Missing(proposal()),
                "missing",
                "All 600000 rows of public.items are read to find about 4: CREATE INDEX CONCURRENTLY",
            ),
            (Verdict::Missing(Proposal { joins: true, ..proposal() }), "missing", "to join about 4: CREATE"),
            (Verdict::Unexplainable("why".into()), "unexplainable", "planned here: why."),
        ] {
            assert_eq!(verdict.name(), name);
            assert!(verdict.to_string().contains(says), "{verdict}");
        }
    }
}
