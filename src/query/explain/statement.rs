//! A shape as PostgreSQL can plan it: `?` as parameters, and a change of rows as the search for them.

use sqlparser::{
    ast::{FromTable, Statement as Parsed, UpdateTableFromKind},
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::{Token, Tokenizer},
};

use super::super::{fingerprint::Kind, tables::DEEPEST};

/// Types whose name may stand before a literal, but not before a parameter.
const TYPES: [&str; 6] = ["interval", "date", "time", "timetz", "timestamp", "timestamptz"];
/// Functions that make one row of many, of those that apps use.
const AGGREGATES: [&str; 17] = [
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "string_agg",
    "sum",
    "xmlagg",
];

/// The statement that is to be planned for a query of this kind and shape.
///
/// Placeholders are numbered; where a literal's type stood before it, the parameter is cast to it. The positions after
/// ORDER BY and GROUP BY, which a shape does not have, are put back where any do as well. What locks rows is left off, and
/// UPDATE and DELETE become the SELECT that finds their rows: planning either asks for more than the right to read.
///
/// # Errors
/// Why it cannot be planned.
pub fn statement(shape: &str, kind: Kind) -> Result<String, &'static str> {
    if !matches!(kind, Kind::Select | Kind::Update | Kind::Delete) {
        return Err("only SELECT, UPDATE and DELETE look for rows");
    }
    let tokens = tokens(shape)?;
    if tokens.contains(&Token::SemiColon) {
        return Err("it is more than one statement");
    }
    let mut wanted = cast(positions(without_locks(tokens)));
    if kind != Kind::Select {
        let mut parser = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(DEEPEST).with_tokens(wanted);
        let parsed = parser.parse_statement().map_err(|_| "the parser here does not know its syntax")?;
        wanted = self::tokens(&search(&parsed).ok_or("it changes rows without looking for some")?)?;
    }
    let mut numbers = 1..;
    let number = |token: &Token| match token {
        token if is_value(token) => numbers.next().map_or_else(String::new, |number| format!("${number}")),
        other => other.to_string(),
    };
    Ok(wanted.iter().map(number).collect())
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens =
        Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().map_err(|_| "it is no SQL of PostgreSQL")?;
    for token in &mut tokens {
        // PostgreSQL has an operator of this name; in a shape it is a value.
        if *token == Token::Question {
            *token = Token::Placeholder("?".into());
        }
    }
    Ok(tokens)
}

fn is_value(token: &Token) -> bool {
    matches!(token, Token::Placeholder(_))
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// Tokens that say something, each with its place and with how many parentheses are open before it.
fn telling(tokens: &[Token]) -> Vec<(usize, usize)> {
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for (place, token) in tokens.iter().enumerate() {
        match token {
            Token::Whitespace(_) => continue,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        found.push((place, depth));
        depth += usize::from(*token == Token::LParen);
    }
    found
}

/// Without the clause at its end that locks the rows.
fn without_locks(mut tokens: Vec<Token>) -> Vec<Token> {
    let begins = |pair: &[(usize, usize)]| {
        let [(place, 0), (next, 0)] = *pair else { return None };
        let locks = ["update", "share", "no", "key"].iter().any(|word| is_word(&tokens[next], word));
        (is_word(&tokens[place], "for") && locks).then_some(place)
    };
    if let Some(place) = telling(&tokens).windows(2).find_map(begins) {
        tokens.truncate(place);
    }
    tokens
}

/// With positions where a shape has a value after ORDER BY or GROUP BY: the first column to sort by, and to group by all
/// that are not made of many rows.
fn positions(mut tokens: Vec<Token>) -> Vec<Token> {
    let told = telling(&tokens);
    let mut replaced: Vec<(usize, String)> = Vec::new();
    for (at, three) in told.windows(3).enumerate() {
        let [(word, depth), (by, _), (value, _)] = *three else { continue };
        if !is_value(&tokens[value]) || !is_word(&tokens[by], "by") {
            continue;
        }
        if is_word(&tokens[word], "order") {
            replaced.push((value, "1".into()));
        } else if is_word(&tokens[word], "group") {
            replaced.push((value, plain_columns(&tokens, &told[..at], depth)));
        }
    }
    for (place, positions) in replaced {
        tokens[place] = Token::Number(positions, false);
    }
    tokens
}

/// The positions of what the SELECT before is asked for, but for what is made of many rows.
fn plain_columns(tokens: &[Token], told: &[(usize, usize)], depth: usize) -> String {
    let begin = told.iter().rposition(|(place, at)| *at == depth && is_word(&tokens[*place], "select"));
    let Some(begin) = begin else { return "1".into() };
    let mut plain = Vec::new();
    let (mut position, mut is_plain) = (1, true);
    for two in told[begin + 1..].windows(2) {
        let [(place, at), (next, _)] = *two else { break };
        let token = &tokens[place];
        let ends = at == depth && (*token == Token::Comma || is_word(token, "from"));
        if ends {
            plain.extend(is_plain.then(|| position.to_string()));
            (position, is_plain) = (position + 1, true);
        }
        if at == depth && is_word(token, "from") {
            break;
        }
        let aggregates = AGGREGATES.iter().any(|name| is_word(token, name));
        is_plain &= !(aggregates && tokens[next] == Token::LParen);
    }
    if plain.is_empty() { "1".into() } else { plain.join(", ") }
}

/// With values as `?::date` that are written as `date ?`.
fn cast(tokens: Vec<Token>) -> Vec<Token> {
    let mut written: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let last = written.iter().rposition(|token| !matches!(token, Token::Whitespace(_)));
        let typed = last.filter(|last| is_value(&token) && TYPES.iter().any(|name| is_word(&written[*last], name)));
        let name = typed.and_then(|last| written.split_off(last).into_iter().next());
        written.push(token);
        written.extend(name.into_iter().flat_map(|name| [Token::DoubleColon, name]));
    }
    written
}

/// The SELECT that finds the rows which a statement changes.
fn search(statement: &Parsed) -> Option<String> {
    let (tables, condition) = match statement {
        Parsed::Update(update) => {
            let mut tables = vec![update.table.to_string()];
            if let Some(UpdateTableFromKind::BeforeSet(more) | UpdateTableFromKind::AfterSet(more)) = &update.from {
                tables.extend(more.iter().map(ToString::to_string));
            }
            (tables, update.selection.as_ref()?)
        }
        Parsed::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            let tables = from.iter().chain(delete.using.iter().flatten()).map(ToString::to_string).collect();
            (tables, delete.selection.as_ref()?)
        }
        _ => return None,
    };
    Some(format!("SELECT 1 FROM {} WHERE {condition}", tables.join(", ")))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::{
        super::super::fingerprint::{Dialect, Key, fingerprint, normalise},
        *,
    };

    /// What is planned for a statement as apps send it.
    fn planned(text: &str) -> Result<String, &'static str> {
        let kind = fingerprint(text, Dialect::Postgres, &Key::default()).kind;
        statement(&normalise(text, Dialect::Postgres), kind)
    }

    #[test]
    fn what_is_planned() {
        for (text, expected) in [
            ("SELECT a FROM t WHERE b = 7 AND c = 'x'", "select a from t where b = $1 and c = $2"),
            ("select a from t where b in (1, 2, 3) limit 5", "select a from t where b in ($1) limit $2"),
            ("select a from t where b > now() - interval '1 day'", "select a from t where b > now() - $1::interval"),
            ("select a from t where b = date '2020-01-01'", "select a from t where b = $1::date"),
            ("select a from t where b = $1 for update skip locked", "select a from t where b = $1 "),
            ("select a from t where b = $1 for no key update of t", "select a from t where b = $1 "),
            ("select substring(a from 1 for 2) from t", "select substring(a from $1 for $2) from t"),
            (
                "select a, count(*) from t group by 1 order by 2 desc",
                "select a, count(*) from t group by 1 order by 1 desc",
            ),
            (
                "select count(*), a, lower(b) x, max(c) from t where d = 1 group by 2, 3",
                "select count(*), a, lower(b) x, max(c) from t where d = $1 group by 2, 3",
            ),
            ("select count(*) from t group by 1", "select count(*) from t group by 1"),
            ("select a from t where \"group\" = 1 order by a", "select a from t where \"group\" = $1 order by a"),
            ("UPDATE t SET a = 1 WHERE b = 2", "SELECT 1 FROM t WHERE b = $1"),
            (
                "update t x set a = u.a from u where x.id = u.id and u.b = 1",
                "SELECT 1 FROM t x, u WHERE x.id = u.id AND u.b = $1",
            ),
            ("DELETE FROM t WHERE b < 3 RETURNING a", "SELECT 1 FROM t WHERE b < $1"),
            ("delete from t using u where t.a = u.a and u.b = 'x'", "SELECT 1 FROM t, u WHERE t.a = u.a AND u.b = $1"),
        ] {
            assert_eq!(planned(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_planned_is_told_why() {
        for (text, expected) in [
            ("insert into t values (1)", "only SELECT, UPDATE and DELETE look for rows"),
            ("create table t ()", "only SELECT, UPDATE and DELETE look for rows"),
            ("select 1; drop table t", "it is more than one statement"),
            ("update t set a = 1", "it changes rows without looking for some"),
            ("delete from t", "it changes rows without looking for some"),
            ("update t set set where", "the parser here does not know its syntax"),
        ] {
            assert_eq!(planned(text), Err(expected), "{text}");
        }
        assert_eq!(statement("select 'open", Kind::Select), Err("it is no SQL of PostgreSQL"));
    }

    proptest! {
        #[test]
        fn nothing_panics(
            parts in vec(select("select update delete from t a ? ( ) , where = and in set group order by for share count \
                interval date ; ' \" :: * limit union using".split_whitespace().collect::<Vec<_>>()), 0..40),
            kind in select(vec![Kind::Select, Kind::Update, Kind::Delete]),
        ) {
            let _ = statement(&parts.join(" "), kind);
        }

        /// However it is written, it stays one statement that begins with SELECT or what the shape begins with.
        #[test]
        fn nothing_is_added(text in "[ -~]{0,200}", kind in select(vec![Kind::Select, Kind::Update, Kind::Delete])) {
            if let Ok(planned) = statement(&normalise(&text, Dialect::Postgres), kind) {
                prop_assert!(!planned.contains(';') || planned.contains('"'), "{planned}");
            }
        }
    }
}
