//! Tokens of SQL, as far as literals must be told from the rest; one pass, nothing copied.
//!
//! It need not know SQL, but where a literal ends it must know for certain: what it takes for the end of a string too
//! early would show the rest of it. Where dialects differ, an unknown one is read in the way that shows less.

use super::{
    Dialect,
    words::{self, Known},
};

/// Longer ones are no names: they count as literals.
const LONGEST_NAME: usize = 128;

/// A part of a statement. White space and comments are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, or a name without quotes, and what it is known for.
    Word(&'a str, Known),
    /// A name with its quotes.
    Quoted(&'a str),
    /// A string or number, with its sign.
    Literal(&'a str),
    /// What stands for a value that is sent beside the statement.
    Placeholder,
    /// An operator, a bracket or another mark.
    Mark(&'a str),
}

/// Operators of more than one character, the longer ones first.
const OPERATORS: [&str; 33] = [
    "!~~*", "->>", "#>>", "<=>", "<->", "!~~", "~~*", "!~*", "@@@", "->", "#>", "#-", "@>", "<@", "<>", "<=", ">=",
    "!=", "||", "&&", ":=", "=>", "::", "~~", "!~", "~*", "@@", "<<", ">>", "==", "?|", "?&", "^@",
];

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
    /// Whether the token before ends an operand, after which a sign is an operator.
    after_operand: bool,
    /// After a full stop, or a word after which a name comes: decides what double quotes are, where they may be either.
    expects_name: bool,
    /// After a comparison, where SQLite takes a name in double quotes for a string.
    compares: bool,
    /// What was read last as a comment, without its marks.
    pub(super) comment: Option<&'a str>,
    /// A string did not end.
    pub(super) is_open: bool,
    /// A string was read in one of two possible ways.
    pub(super) is_doubtful: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Self {
        Self {
            text,
            at: 0,
            dialect,
            after_operand: false,
            expects_name: false,
            compares: false,
            comment: None,
            is_open: false,
            is_doubtful: false,
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Goes on by so many bytes, which end at a character's end.
    fn take(&mut self, bytes: usize) -> &'a str {
        let taken = &self.text[self.at..self.at + bytes];
        self.at += bytes;
        taken
    }

    /// Everything that is left is a literal that does not end: nothing of it may be shown.
    fn take_open(&mut self) -> Token<'a> {
        self.is_open = true;
        Token::Literal(self.take(self.rest().len()))
    }

    fn skip_blank(&mut self) {
        loop {
            // Most tokens begin at once, or after one blank.
            if self.byte(0) == b' ' {
                self.at += 1;
            }
            if WORD[usize::from(self.byte(0))] && self.byte(0).is_ascii() {
                return;
            }
            let rest = self.rest();
            let blank = rest.bytes().take_while(|byte| is_blank(*byte)).count();
            self.at += blank;
            let rest = &rest[blank..];
            if let Some(inner) = rest.strip_prefix("/*") {
                let end = self.block_end(inner);
                self.comment = Some(inner[..end].trim_end_matches("*/"));
                self.at += 2 + end;
            } else if let Some(marks) = self.line_comment(rest) {
                let line = rest.find('\n').unwrap_or(rest.len());
                self.comment = Some(&rest[marks..line]);
                self.at += line;
            } else {
                return;
            }
        }
    }

    /// Where a block comment ends whose beginning was read. PostgreSQL nests them; what does not end takes the rest.
    fn block_end(&self, inner: &str) -> usize {
        let nests = matches!(self.dialect, Dialect::Postgres | Dialect::Unknown);
        let (mut at, mut depth) = (0, 1);
        while let Some(found) = memchr::memchr2(b'*', b'/', &inner.as_bytes()[at..]) {
            at += found;
            match &inner.as_bytes()[at..(at + 2).min(inner.len())] {
                b"*/" => {
                    depth -= 1;
                    at += 2;
                }
                b"/*" if nests => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
            if depth == 0 {
                return at;
            }
        }
        inner.len()
    }

    /// The length of the marks that begin a comment up to the end of the line. MySQL wants a blank after `--`, and has
    /// `#`, which begins operators of PostgreSQL.
    fn line_comment(&self, rest: &str) -> Option<usize> {
        let after = |marks: usize| rest.as_bytes().get(marks).copied().unwrap_or(b' ');
        if rest.starts_with("--") {
            return (self.dialect != Dialect::MySql || is_blank(after(2))).then_some(2);
        }
        let hash = match self.dialect {
            Dialect::MySql => true,
            Dialect::Unknown => !matches!(after(1), b'>' | b'-'),
            Dialect::Postgres | Dialect::Sqlite => false,
        };
        (hash && rest.starts_with('#')).then_some(1)
    }

    fn token(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let first = self.rest().chars().next()?;
        Some(match first {
            '\'' => self.string(1, self.dialect == Dialect::MySql),
            '"' => self.double_quoted(),
            '`' if self.dialect != Dialect::Postgres => self.name('`', "``"),
            '[' if self.dialect == Dialect::Sqlite => self.bracketed(),
            '$' => self.dollar(),
            '0'..='9' => self.number(0),
            '.' if self.byte(1).is_ascii_digit() && !self.after_operand => self.number(0),
            '+' | '-' if !self.after_operand && self.begins_number(1) => self.number(1),
            '?' => self.question_mark(),
            '%' | ':' | '@' => self.named_placeholder(),
            _ if is_word(first) => self.word(),
            _ => self.mark(),
        })
    }

    fn begins_number(&self, ahead: usize) -> bool {
        self.byte(ahead).is_ascii_digit() || self.byte(ahead) == b'.' && self.byte(ahead + 1).is_ascii_digit()
    }

    /// A string whose quote stands after `before` bytes, its quote among them.
    fn string(&mut self, before: usize, escapes: bool) -> Token<'a> {
        match self.string_end(before, '\'', escapes) {
            Some(end) => Token::Literal(self.take(end)),
            None => self.take_open(),
        }
    }

    /// Where the string ends, as seen from here. A quote that is doubled does not end it, and one after a backslash does
    /// not where there are such escapes; in an unknown dialect nobody can say, so that it is taken not to end at all.
    fn string_end(&mut self, before: usize, quote: char, escapes: bool) -> Option<usize> {
        let bytes = self.rest().as_bytes();
        let quote = quote as u8;
        // Three of them are a quote within a string, or the beginning of one that ends with three (BigQuery, Spanner).
        if self.dialect == Dialect::Unknown && bytes[before - 1..].starts_with(&[quote; 3]) {
            return None;
        }
        let mut at = before;
        loop {
            at += memchr::memchr2(quote, b'\\', bytes.get(at..)?)?;
            let next = bytes.get(at + 1).copied();
            match bytes[at] {
                b'\\' => {
                    let is_doubtful = next == Some(quote);
                    self.is_doubtful |= is_doubtful;
                    if is_doubtful && self.dialect == Dialect::Unknown && !escapes {
                        return None;
                    }
                    at += if escapes { 2 } else { 1 };
                }
                _ if next == Some(quote) => at += 2,
                _ => return Some(at + 1),
            }
        }
    }

    /// A string in MySQL, a name elsewhere, and in an unknown dialect a name only where one must be.
    fn double_quoted(&mut self) -> Token<'a> {
        let is_string = match self.dialect {
            Dialect::MySql => true,
            Dialect::Postgres => false,
            // It takes a name that does not exist for a string, which some rely on.
            Dialect::Sqlite => self.compares && !self.is_qualified(),
            Dialect::Unknown => !self.expects_name && !self.is_qualified(),
        };
        if !is_string {
            return self.name('"', "\"\"");
        }
        match self.string_end(1, '"', self.dialect == Dialect::MySql) {
            Some(end) => Token::Literal(self.take(end)),
            None => self.take_open(),
        }
    }

    /// Whether what is in double quotes here is followed by a full stop, which no string is.
    fn is_qualified(&self) -> bool {
        let inner = &self.rest()[1..];
        inner.find('"').is_some_and(|end| inner[end + 1..].starts_with('.'))
    }

    /// A name in brackets. What has other characters than names have is none, and nobody knows where it ends.
    fn bracketed(&mut self) -> Token<'a> {
        let inner = &self.rest()[1..];
        let end = inner.find(|one| !is_word(one) && one != ' ');
        if end.is_some_and(|end| inner[end..].starts_with(']')) { self.name(']', "") } else { self.take_open() }
    }

    fn name(&mut self, close: char, doubled: &str) -> Token<'a> {
        let inner = &self.rest()[1..];
        let mut at = 0;
        loop {
            let Some(found) = inner[at..].find(close) else { return self.take_open() };
            at += found;
            if doubled.is_empty() || !inner[at..].starts_with(doubled) {
                let name = self.take(at + 2);
                return if name.len() <= LONGEST_NAME { Token::Quoted(name) } else { Token::Literal(name) };
            }
            at += doubled.len();
        }
    }

    /// `$1` and `$name` are placeholders; `$tag$ … $tag$` is a string of PostgreSQL.
    fn dollar(&mut self) -> Token<'a> {
        let rest = self.rest();
        let tag = 1 + rest[1..].find(|character| !is_word(character) || character == '$').unwrap_or(rest.len() - 1);
        let quotes = matches!(self.dialect, Dialect::Postgres | Dialect::Unknown);
        if quotes && rest[tag..].starts_with('$') && !self.byte(1).is_ascii_digit() {
            let mark = &rest[..=tag];
            return match rest[mark.len()..].find(mark) {
                Some(inner) => Token::Literal(self.take(inner + 2 * mark.len())),
                None => self.take_open(),
            };
        }
        self.take(tag);
        if tag > 1 { Token::Placeholder } else { Token::Mark("$") }
    }

    /// A number of any notation, with whatever is written to it, after so many bytes of a sign.
    fn number(&mut self, sign: usize) -> Token<'a> {
        let bytes = self.rest().as_bytes();
        let mut end = sign;
        while let Some(byte) = bytes.get(end) {
            let is_exponent = matches!(byte, b'+' | b'-')
                && matches!(bytes[end - 1], b'e' | b'E')
                && bytes.get(end + 1).is_some_and(u8::is_ascii_digit)
                && bytes[sign..end - 1].iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_'));
            if end == sign || byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | 0x80..) || is_exponent {
                end += 1;
            } else {
                break;
            }
        }
        Token::Literal(self.take(end))
    }

    /// A placeholder; but `?|` and `?&` are operators of PostgreSQL.
    fn question_mark(&mut self) -> Token<'a> {
        let is_operator = matches!((self.byte(1), self.byte(2)), (b'|', next) if next != b'|')
            || matches!((self.byte(1), self.byte(2)), (b'&', next) if next != b'&');
        if is_operator && matches!(self.dialect, Dialect::Postgres | Dialect::Unknown) {
            return self.mark();
        }
        // SQLite numbers them.
        let digits = self.rest()[1..].bytes().take_while(u8::is_ascii_digit).count();
        self.take(1 + digits);
        Token::Placeholder
    }

    /// `%s`, `%(name)s`, `:name`, `:1`, `@name`; `@@name` is a variable of the server.
    fn named_placeholder(&mut self) -> Token<'a> {
        let rest = self.rest();
        let (mark, after) = rest.split_at(1);
        let word = after.find(|character| !is_word(character)).unwrap_or(after.len());
        let length = match mark {
            "%" if after.starts_with('(') => {
                let end = after[1..].find(|character| !is_word(character)).unwrap_or(after.len() - 1);
                after[1 + end..].starts_with(")s").then_some(1 + 1 + end + 2)
            }
            "%" => (word == 1 && after.starts_with('s') || after.starts_with('%')).then_some(2),
            _ => (word > 0).then_some(1 + word),
        };
        match length {
            Some(2) if rest.starts_with("%%") => {
                self.take(2);
                Token::Mark("%")
            }
            Some(length) => {
                self.take(length);
                Token::Placeholder
            }
            None if rest.starts_with("@@") && begins_name(&after[1..]) => {
                self.take(2);
                self.word()
            }
            None => self.mark(),
        }
    }

    fn word(&mut self) -> Token<'a> {
        let rest = self.rest();
        let end = rest.bytes().position(|byte| !WORD[usize::from(byte)]).unwrap_or(rest.len());
        let next = self.byte(end);
        let is_any = |of: &[u8]| end == 1 && of.contains(&rest.as_bytes()[0].to_ascii_lowercase());
        // B'…' has bits in PostgreSQL, and bytes with escapes in CockroachDB.
        if next == b'\'' && is_any(b"eb") {
            return self.string(2, true);
        }
        // Oracle's q'[…]' has quotes of its own within.
        let may_be_oracle = self.dialect == Dialect::Unknown && next == b'\'';
        if may_be_oracle && (rest[..end].eq_ignore_ascii_case("q") || rest[..end].eq_ignore_ascii_case("nq")) {
            return self.take_open();
        }
        let introduces = is_any(b"xn");
        if next == b'\'' && (introduces || rest.starts_with('_')) {
            return self.string(end + 1, self.dialect == Dialect::MySql);
        }
        if end == 1 && rest.starts_with(['u', 'U']) && rest[1..].starts_with("&'") {
            return self.string(3, false);
        }
        let word = self.take(end);
        if end <= LONGEST_NAME { Token::Word(word, words::known(word)) } else { Token::Literal(word) }
    }

    fn mark(&mut self) -> Token<'a> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        // Most marks stand alone.
        if matches!(bytes[0], b'(' | b')' | b',' | b';' | b'.' | b'*') {
            return Token::Mark(self.take(1));
        }
        let is_operator = |operator: &&&str| operator.as_bytes()[0] == bytes[0] && rest.starts_with(**operator);
        let known = OPERATORS.iter().find(is_operator).map(|operator| operator.len());
        let one = rest.chars().next().map_or(0, char::len_utf8);
        Token::Mark(self.take(known.unwrap_or(one)))
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.token()?;
        (self.after_operand, self.expects_name, self.compares) = match token {
            Token::Word(_, known) => (!known.is_before_value(), known.is_before_name(), known == Known::Like),
            Token::Quoted(_) | Token::Literal(_) | Token::Placeholder => (true, false, false),
            Token::Mark(mark) => (
                matches!(mark, ")" | "]" | "."),
                mark == ".",
                matches!(mark, "=" | "==" | "<>" | "!=" | "<" | ">" | "<=" | ">=" | "||"),
            ),
        };
        Some(token)
    }
}

/// The bytes of names: what is not ASCII is part of a name, so that it ends where a character ends.
const WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | 0x80..);
        byte += 1;
    }
    table
};

/// Control characters separate tokens, too: shown they would be of no use to anybody.
fn is_blank(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

fn begins_name(text: &str) -> bool {
    text.chars().next().is_some_and(|first| is_word(first) && !matches!(first, '0'..='9' | '$'))
}

/// What a name consists of. A dollar may be within.
fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
}
