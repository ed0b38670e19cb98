//! Tables and columns of a statement that a parser of SQL reads.

use std::collections::HashMap;

use sqlparser::{
    ast::{
        BinaryOperator, Expr, FromTable, Ident, JoinConstraint, JoinOperator, ObjectName, Query, SetExpr, Statement,
        TableFactor, TableObject, TableWithJoins, UpdateTableFromKind,
    },
    dialect::{Dialect as Grammar, GenericDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect},
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

use super::{
    super::fingerprint::{Dialect, LONGEST_TEXT},
    Compares, DEEPEST, MOST_PREDICATES, MOST_TABLES, Predicate, Subject,
};

/// What the statement is about; `None` where it cannot be parsed.
pub(super) fn subject(shape: &str, dialect: Dialect) -> Option<Subject> {
    let grammar: &dyn Grammar = match dialect {
        Dialect::Postgres => &PostgreSqlDialect {},
        Dialect::MySql => &MySqlDialect {},
        Dialect::Sqlite => &SQLiteDialect {},
        Dialect::Unknown => &GenericDialect {},
    };
    // A chain of operators or casts is a tree as deep as it is long, which calls itself to be dropped.
    if shape.len() > LONGEST_TEXT {
        return None;
    }
    let mut tokens = Tokenizer::new(grammar, shape).tokenize().ok()?;
    for token in &mut tokens {
        // PostgreSQL has an operator of this name; in a shape it is a value.
        if *token == Token::Question {
            *token = Token::Placeholder("?".into());
        }
    }
    let mut parser = Parser::new(grammar).with_recursion_limit(DEEPEST).with_tokens(tokens);
    let statements = parser.parse_statements().ok()?;
    let mut walk = Walk::default();
    statements.iter().for_each(|statement| walk.statement(statement));
    walk.run();
    Some(walk.finish())
}

/// What is still to be looked at. A list and no calls: a tree may be as deep as the statement is long.
#[derive(Default)]
struct Walk<'a> {
    queries: Vec<&'a Query>,
    bodies: Vec<&'a SetExpr>,
    /// Expressions that rows are chosen by; `true` where all of them must hold.
    conditions: Vec<(&'a Expr, bool)>,
    from: Vec<&'a TableWithJoins>,
    tables: Vec<String>,
    aliases: HashMap<String, String>,
    common: Vec<String>,
    /// Columns with what qualifies them, to be resolved when all aliases are known.
    found: Vec<(Option<String>, String, Compares)>,
}

impl<'a> Walk<'a> {
    fn statement(&mut self, statement: &'a Statement) {
        match statement {
            Statement::Query(query) => self.queries.push(query),
            Statement::Insert(insert) => {
                if let TableObject::TableName(name) = &insert.table {
                    self.table(name, None);
                }
                self.queries.extend(insert.source.as_deref());
            }
            Statement::Update(update) => {
                self.from.push(&update.table);
                self.conditions.extend(update.selection.as_ref().map(|condition| (condition, true)));
                if let Some(UpdateTableFromKind::BeforeSet(more) | UpdateTableFromKind::AfterSet(more)) = &update.from {
                    self.from.extend(more);
                }
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
                self.from.extend(from);
                self.from.extend(delete.using.iter().flatten());
                self.conditions.extend(delete.selection.as_ref().map(|condition| (condition, true)));
            }
            _ => {}
        }
    }

    /// Tables before conditions, and what stands on the outside before what is within.
    fn run(&mut self) {
        loop {
            if !self.from.is_empty() {
                std::mem::take(&mut self.from).into_iter().for_each(|from| self.joined(from));
            } else if !self.conditions.is_empty() {
                // From the left, as it is written.
                let mut conditions = std::mem::take(&mut self.conditions);
                conditions.reverse();
                while let Some((condition, must_hold)) = conditions.pop() {
                    self.condition(condition, must_hold, &mut conditions);
                }
            } else if !self.bodies.is_empty() {
                let mut bodies = std::mem::take(&mut self.bodies);
                bodies.reverse();
                while let Some(body) = bodies.pop() {
                    self.body(body, &mut bodies);
                }
            } else if !self.queries.is_empty() {
                std::mem::take(&mut self.queries).into_iter().for_each(|query| self.query(query));
            } else {
                return;
            }
        }
    }

    fn query(&mut self, query: &'a Query) {
        self.bodies.push(&query.body);
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.common.push(name_of(&table.alias.name));
            self.queries.push(&table.query);
        }
    }

    fn body(&mut self, body: &'a SetExpr, rest: &mut Vec<&'a SetExpr>) {
        match body {
            SetExpr::Select(select) => {
                self.from.extend(&select.from);
                self.conditions.extend(select.selection.as_ref().map(|condition| (condition, true)));
            }
            SetExpr::Query(query) => self.queries.push(query),
            SetExpr::SetOperation { left, right, .. } => rest.extend([&**right, &**left]),
            SetExpr::Insert(statement) | SetExpr::Update(statement) | SetExpr::Delete(statement) => {
                self.statement(statement);
            }
            _ => {}
        }
    }

    fn joined(&mut self, from: &'a TableWithJoins) {
        self.factor(&from.relation);
        for join in &from.joins {
            self.factor(&join.relation);
            let condition = match &join.join_operator {
                JoinOperator::Join(constraint)
                | JoinOperator::Inner(constraint)
                | JoinOperator::Left(constraint)
                | JoinOperator::LeftOuter(constraint)
                | JoinOperator::Right(constraint)
                | JoinOperator::RightOuter(constraint)
                | JoinOperator::FullOuter(constraint)
                | JoinOperator::StraightJoin(constraint) => constraint,
                _ => continue,
            };
            if let JoinConstraint::On(condition) = condition {
                self.conditions.push((condition, true));
            }
        }
    }

    fn factor(&mut self, factor: &'a TableFactor) {
        match factor {
            // With arguments it is a function.
            TableFactor::Table { name, alias, args: None, .. } => {
                self.table(name, alias.as_ref().map(|alias| &alias.name));
            }
            TableFactor::Derived { subquery, .. } => self.queries.push(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => self.from.push(table_with_joins),
            _ => {}
        }
    }

    fn table(&mut self, name: &ObjectName, alias: Option<&Ident>) {
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(name_of).collect();
        let Some(last) = parts.last() else { return };
        let table = parts.join(".");
        self.aliases.insert(alias.map_or_else(|| last.clone(), name_of), table.clone());
        if !self.tables.contains(&table) && self.tables.len() < 4 * MOST_TABLES {
            self.tables.push(table);
        }
    }

    fn condition(&mut self, condition: &'a Expr, must_hold: bool, rest: &mut Vec<(&'a Expr, bool)>) {
        match condition {
            Expr::BinaryOp { left, op, right } => {
                let both = must_hold && *op == BinaryOperator::And;
                self.compare(left, op, right, must_hold);
                rest.extend([(&**right, both), (&**left, both)]);
            }
            Expr::Nested(inner) => rest.push((inner, must_hold)),
            Expr::UnaryOp { expr, .. } => rest.push((expr, false)),
            Expr::InList { expr, negated, .. } => self.column(expr, Compares::Equal, must_hold && !negated),
            Expr::InSubquery { expr, subquery, negated } => {
                self.column(expr, Compares::Equal, must_hold && !negated);
                self.queries.push(subquery);
            }
            Expr::Between { expr, negated, .. } => self.column(expr, Compares::Range, must_hold && !negated),
            Expr::IsNull(expr) => self.column(expr, Compares::Equal, must_hold),
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, .. } => self.column(left, Compares::Equal, must_hold),
            Expr::Like { expr, negated, .. }
            | Expr::ILike { expr, negated, .. }
            | Expr::SimilarTo { expr, negated, .. } => self.column(expr, Compares::Pattern, must_hold && !negated),
            Expr::Exists { subquery, .. } | Expr::Subquery(subquery) => self.queries.push(subquery),
            _ => {}
        }
    }

    fn compare(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr, must_hold: bool) {
        let compares = match op {
            BinaryOperator::Eq => Compares::Equal,
            BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => Compares::Range,
            _ => return,
        };
        match (is_column(left), is_column(right)) {
            (true, true) => [left, right].into_iter().for_each(|side| self.column(side, Compares::Join, must_hold)),
            (true, false) => self.column(left, compares, must_hold),
            (false, true) => self.column(right, compares, must_hold),
            (false, false) => {}
        }
    }

    /// Takes a column, if that is what it is.
    fn column(&mut self, expression: &Expr, compares: Compares, must_hold: bool) {
        if !must_hold || self.found.len() >= MOST_PREDICATES {
            return;
        }
        match expression {
            Expr::Identifier(column) => self.found.push((None, name_of(column), compares)),
            Expr::CompoundIdentifier(parts) => {
                if let [.., table, column] = &parts[..] {
                    self.found.push((Some(name_of(table)), name_of(column), compares));
                }
            }
            _ => {}
        }
    }

    fn finish(self) -> Subject {
        let Self { mut tables, aliases, common, found, .. } = self;
        tables.retain(|table| !common.contains(table));
        // With one table there is no doubt whose column it is.
        let only = if let [only] = &tables[..] { Some(only.clone()) } else { None };
        let resolve = |(qualifier, column, compares): (Option<String>, String, Compares)| {
            let table = match qualifier {
                Some(qualifier) => aliases.get(&qualifier).filter(|table| !common.contains(table)).cloned(),
                None => only.clone(),
            };
            Predicate { table, column, compares }
        };
        let predicates = found.into_iter().map(resolve).collect();
        tables.truncate(MOST_TABLES);
        Subject { tables, predicates, is_parsed: true }
    }
}

fn is_column(expression: &Expr) -> bool {
    matches!(expression, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

/// As it is written in a shape: with its quotes.
fn name_of(name: &Ident) -> String {
    name.to_string()
}
