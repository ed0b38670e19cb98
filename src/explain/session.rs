//! A connection to PostgreSQL on which nothing is changed and no query of the app is executed.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{
    Client, Config, SimpleQueryMessage,
    error::{DbError, SqlState},
};

use super::{tls, unexplainable};
use crate::query::explain::{Column, Index, Plan, Proof, Proposal, Question, Scan, Table, Verdict, judge, statement};

/// How long connecting, and everything that is asked about one query, may take; the server ends what it does sooner.
const CONNECTING: Duration = Duration::from_secs(10);
const ASKING: Duration = Duration::from_secs(10);
/// A plan with the index costs at most this part of one without, or the index is not worth it.
const WORTH_IT: f64 = 0.5;
/// Tables of one plan that are looked up.
const MOST_TABLES: usize = 8;
/// Bytes of a plan that are read.
const LONGEST_PLAN: usize = 4 << 20;
/// The first version that plans without values on request (`plan_cache_mode`).
const FIRST_VERSION: i32 = 120_000;

const SETTINGS: &str = "SET default_transaction_read_only = on; SET statement_timeout = '2s'; SET lock_timeout = '100ms'; \
    SET idle_in_transaction_session_timeout = '5s'";
const SERVER: &str = "SELECT current_setting('server_version_num')::int, current_database()::text, \
    (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
     WHERE e.extname = 'hypopg'), \
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') \
     > 0.8 * current_setting('max_connections')::int";
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL plan_cache_mode = force_generic_plan";
const PARAMETERS: &str = "SELECT coalesce(cardinality(parameter_types), 0) FROM pg_prepared_statements WHERE name = $1";
/// An index that is made for a partition alone is of no use to the next one: it is told of what it is a partition of.
const TABLE: &str = "SELECT c.oid, c.reltuples::float8, coalesce(pg_relation_size(c.oid), 0) / 8192.0::float8, c.relispartition, \
    format('%I.%I', root_schema.nspname, root.relname) \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_class root ON root.oid = coalesce(pg_partition_root(c.oid), c.oid) \
    JOIN pg_namespace root_schema ON root_schema.oid = root.relnamespace \
    WHERE n.nspname = $1::text AND c.relname = $2::text";
const COLUMNS: &str = "SELECT a.attname::text, quote_ident(a.attname), format_type(a.atttypid, NULL), \
    s.null_frac::float8, s.n_distinct::float8 \
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname \
     AND NOT s.inherited \
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped";
const INDEXES: &str = "SELECT c.relname::text, am.amname::text, i.indisvalid AND i.indpred IS NULL, \
    ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, true) FROM generate_series(1, i.indnkeyatts::int) k ORDER BY k) \
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam WHERE i.indrelid = $1";

/// An open connection.
pub(super) struct Session {
    client: Client,
    database: String,
    /// The schema of the extension by which indexes can be tried without being made.
    hypopg: Option<String>,
    /// Statements that were prepared: each needs a name of its own.
    prepared: u32,
}

/// Why a question has no answer.
enum Failed {
    /// The query, or something that it names, is the reason.
    Query(String),
    /// The connection is, or the server.
    Server(String),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        let of_query = |error: &DbError| {
            let state = error.code();
            // Syntax and names, values and types, what is not supported, rights; and what takes or waits too long.
            ["42", "22", "0A", "21", "54", "25", "55"].iter().any(|class| state.code().starts_with(class))
                || *state == SqlState::QUERY_CANCELED
        };
        match error.as_db_error() {
            Some(error) if of_query(error) => Self::Query(format!("PostgreSQL says: {}", error.message())),
            _ => Self::Server(told(&error)),
        }
    }
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// Why it cannot, or should not: without the URL, which has a password.
    pub(super) async fn open(url: &str) -> Result<Self, String> {
        let (url, tls) = tls::of_url(url)?;
        let mut config: Config = url.parse().map_err(|error| told(&error))?;
        config.application_name("pacecar-explain").connect_timeout(CONNECTING);
        let connected = timeout(CONNECTING, config.connect(tls)).await.map_err(|_| "connecting took more than 10 s")?;
        let (client, connection) = connected.map_err(|error| told(&error))?;
        // Ends with the client.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection for EXPLAIN ended");
            }
        });
        let set_up = async {
            client.batch_execute(SETTINGS).await?;
            client.query_one(SERVER, &[]).await
        };
        let server = timeout(ASKING, set_up).await.map_err(|_| "it does not answer within 10 s")?;
        let server = server.map_err(|error| told(&error))?;
        let (version, is_full): (i32, bool) = (server.get(0), server.get(3));
        if version < FIRST_VERSION {
            return Err(format!("PostgreSQL {} cannot plan without values: expected 12 or later", version / 10_000));
        }
        if is_full {
            return Err("more than 80 % of the server's connections are in use".into());
        }
        Ok(Self { client, database: server.get(1), hypopg: server.get(2), prepared: 0 })
    }

    /// Whether indexes can be tried without being made.
    pub(super) fn tries(&self) -> bool {
        self.hypopg.is_some()
    }

    /// Asks how a query would be executed, and whether an index is missing.
    ///
    /// # Errors
    /// Where the server is the reason that there is no answer. What is wrong with the query is an answer.
    pub(super) async fn ask(&mut self, question: &Question) -> Result<(Verdict, Option<Plan>), String> {
        let no_plan = |why: String| Ok((unexplainable(why), None));
        if let Some(database) = question.database.as_deref().filter(|database| *database != self.database) {
            let own = &self.database;
            return no_plan(format!("it is asked of the database {database}, and the connection is to {own}"));
        }
        let text = match statement(&question.shape, question.kind) {
            Ok(text) => text,
            Err(why) => return no_plan(why.into()),
        };
        let answer = timeout(ASKING, self.explained(&text)).await.map_err(|_| "no plan within 10 s")?;
        let ended = timeout(ASKING, self.client.batch_execute("ROLLBACK")).await;
        ended.map_err(|_| "it does not answer within 10 s")?.map_err(|error| told(&error))?;
        match answer {
            Ok((verdict, plan)) => Ok((verdict, Some(plan))),
            Err(Failed::Query(why)) => no_plan(why),
            Err(Failed::Server(why)) => Err(why),
        }
    }

    async fn explained(&mut self, text: &str) -> Result<(Verdict, Plan), Failed> {
        self.client.batch_execute(BEGIN).await?;
        let plan = self.plan(text).await?;
        let mut tables: Vec<Table> = Vec::new();
        for scan in &plan.scans {
            let is_known = tables.iter().any(|table| is_of(scan, table));
            if !is_known && tables.len() < MOST_TABLES {
                tables.extend(self.table(&scan.schema, &scan.table).await?);
            }
        }
        let verdict = judge(&plan.scans, |scan| tables.iter().find(|table| is_of(scan, table)));
        let verdict = match (verdict, self.hypopg.clone()) {
            (Verdict::Missing(proposal), Some(schema)) => self.tried(proposal, text, plan.cost, &schema).await?,
            (verdict, _) => verdict,
        };
        Ok((verdict, plan))
    }

    /// The plan of a statement, whatever its values.
    async fn plan(&mut self, text: &str) -> Result<Plan, Failed> {
        self.prepared += 1;
        let name = format!("pacecar_{}", self.prepared);
        // Not as a simple query: then the server would take several statements.
        self.client.execute(&format!("PREPARE {name} AS {text}"), &[]).await?;
        let parameters: i32 = self.client.query_one(PARAMETERS, &[&name]).await?.get(0);
        let values = vec!["NULL"; usize::try_from(parameters).unwrap_or_default()].join(", ");
        let values = if values.is_empty() { values } else { format!("({values})") };
        let answer =
            self.client.simple_query(&format!("EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {name}{values}")).await?;
        let lines = answer.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let told: String = lines.collect::<Vec<_>>().join("\n");
        if told.len() > LONGEST_PLAN {
            return Err(Failed::Query("its plan is longer than 4 MiB".into()));
        }
        Plan::read(&told).map_err(Failed::Query)
    }

    async fn table(&self, schema: &str, name: &str) -> Result<Option<Table>, Failed> {
        let Some(table) = self.client.query_opt(TABLE, &[&schema, &name]).await? else { return Ok(None) };
        let oid: u32 = table.get(0);
        let columns = self.client.query(COLUMNS, &[&oid]).await?;
        let column = |row: &tokio_postgres::Row| Column {
            name: row.get(0),
            sql: row.get(1),
            of: row.get(2),
            spread: row.get::<_, Option<f64>>(3).zip(row.get(4)),
        };
        let indexes = self.client.query(INDEXES, &[&oid]).await?;
        let index = |row: &tokio_postgres::Row| Index {
            name: row.get(0),
            method: row.get(1),
            is_whole: row.get(2),
            keys: row.get(3),
        };
        Ok(Some(Table {
            schema: schema.into(),
            name: name.into(),
            rows: table.get(1),
            pages: table.get(2),
            is_partition: table.get(3),
            sql: table.get(4),
            columns: columns.iter().map(column).collect(),
            indexes: indexes.iter().map(index).collect(),
        }))
    }

    /// Shows the planner the index as if it were there.
    async fn tried(&mut self, proposal: Proposal, text: &str, before: f64, schema: &str) -> Result<Verdict, Failed> {
        let make = format!("SELECT indexname FROM {schema}.hypopg_create_index($1)");
        let mut names: Vec<String> = Vec::new();
        for trial in proposal.trials() {
            names.push(self.client.query_one(&make, &[&trial]).await?.get(0));
        }
        let plan = self.plan(text).await;
        self.client.batch_execute(&format!("SELECT {schema}.hypopg_reset()")).await?;
        let Plan { cost: after, indexes, .. } = plan?;
        if !names.iter().any(|name| indexes.contains(name)) || after > WORTH_IT * before {
            return Ok(Verdict::NoGain { statement: proposal.statement() });
        }
        Ok(Verdict::Missing(Proposal { proof: Some(Proof { before, after }), ..proposal }))
    }
}

fn is_of(scan: &Scan, table: &Table) -> bool {
    (&*scan.schema, &*scan.table) == (&*table.schema, &*table.name)
}

/// An error with its causes, which say more than itself.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !told.contains(&more) {
            told += &format!(": {more}");
        }
        cause = error.source();
    }
    told
}
