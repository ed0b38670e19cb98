//! The shape of a statement: its tokens without values, lists of values folded, and what stands out on the way.

use super::{
    Dialect, Fingerprint, Kind, Print,
    comment::Comment,
    hash::Hash,
    lexer::{Lexer, Token},
    mask::{MASKED, Mask, hides},
    sink::{Case, Sink},
    values::ValuesHasher,
    words::{self, Known},
};

/// What a statement was seen to have, on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// It reads or changes something that is stored: it has FROM, INTO, UPDATE or the like.
    pub stored: bool,
    /// A value is compared for equality.
    pub equals: bool,
    /// A value is compared by order, as where pages go on after the last row of the one before.
    pub range: bool,
    /// ORDER BY.
    pub ordered: bool,
    /// LIMIT, FETCH or TOP.
    pub limited: bool,
    /// OFFSET, or LIMIT with two values.
    pub offset: bool,
    /// A list of values stands for many statements: IN with more than one, or ANY of an array.
    pub batched: bool,
    /// It asks what the database consists of, such as `pg_catalog`.
    pub catalog: bool,
    /// It takes the next number of a sequence, or asks for the one that was taken.
    pub sequence: bool,
    /// It was cut: what is beyond [`super::LONGEST_READ`] was not looked at, or a string does not end.
    pub cut: bool,
}

/// What the token before was, as far as it decides about the next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing, or what is of no account.
    Other,
    /// A value that was written.
    Value,
    /// A bracket that closes a group of values.
    Group,
    /// An operator, an opening bracket or a comma: after it, TRUE, FALSE and NULL are values.
    Operator,
    /// `=`.
    Equals,
    /// `<`, `>` or the like.
    Order,
}

/// A comma that is held back until it is clear whether what follows it is folded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    /// After a value.
    ListComma,
    /// After a group of values.
    GroupComma,
    /// A semicolon, which is left out at the end.
    Semicolon,
}

/// A cast of a value, which belongs to it in a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cast {
    None,
    /// After `::` or a full stop.
    Name,
    /// After the type's name.
    After,
    /// In the brackets of its length or dimension.
    Within,
}

pub(super) struct Shape<'s, S> {
    hash: Hash,
    sink: &'s mut S,
    values: ValuesHasher,
    before: Before,
    held: Held,
    cast: Cast,
    /// The value before was folded into the one before it, and so is its cast.
    folded: bool,
    depth: u32,
    /// The depth within the brackets of the innermost IN.
    in_depth: Option<u32>,
    /// The depth of groups after VALUES.
    values_depth: Option<u32>,
    /// In a group that is folded: the depth that it closes at.
    skips_to: Option<u32>,
    /// The group that is open has nothing but a value.
    is_pure: bool,
    word: Known,
    /// What the statement begins with; after the tables of WITH, the main verb.
    verb: Option<Known>,
    kind: Kind,
    traits: Traits,
    groups: u32,
    list: u32,
}

/// A place to come back to.
struct Mark<M> {
    hash: Hash,
    sink: M,
}

/// Reads a statement once.
pub(super) fn read<'a, S: Sink>(
    text: &'a str,
    dialect: Dialect,
    masks: &[Mask],
    values: ValuesHasher,
    sink: &mut S,
) -> Print<'a> {
    let is_cut = text.len() > super::LONGEST_READ;
    let text = super::beginning(text, super::LONGEST_READ);
    let mut lexer = Lexer::new(text, dialect);
    let mut shape = Shape::new(sink, values);
    let mut doubtful = None;
    while let Some(token) = lexer.next() {
        // A string that may end elsewhere: if it turns out that one does not end, this one was misread.
        if lexer.is_doubtful && doubtful.is_none() {
            doubtful = Some(shape.mark());
        }
        shape.take(if masks.is_empty() { token } else { masked(token, masks) });
    }
    if let Some(mark) = doubtful.filter(|_| lexer.is_open) {
        shape.reset(&mark);
    }
    shape.traits.cut = is_cut || lexer.is_open;
    shape.finish(lexer.comment.map(Comment::of).unwrap_or_default())
}

/// A name that is not to be shown is another one, with or without quotes.
fn masked<'a>(token: Token<'a>, masks: &[Mask]) -> Token<'a> {
    let is_hidden = match token {
        // Words of SQL are no names, though a pattern may match them.
        Token::Word(word, Known::Other) => !words::is_no_function(word) && hides(masks, word),
        // Between the quotes, each of which is one byte.
        Token::Quoted(name) => hides(masks, &name[1..name.len() - 1]),
        _ => false,
    };
    if is_hidden { Token::Word(MASKED, Known::Other) } else { token }
}

impl<'s, S: Sink> Shape<'s, S> {
    fn new(sink: &'s mut S, values: ValuesHasher) -> Self {
        Self {
            hash: Hash::default(),
            sink,
            values,
            before: Before::Other,
            held: Held::Nothing,
            cast: Cast::None,
            folded: false,
            depth: 0,
            in_depth: None,
            values_depth: None,
            skips_to: None,
            is_pure: false,
            word: Known::Other,
            verb: None,
            kind: Kind::Other,
            traits: Traits::default(),
            groups: 0,
            list: 0,
        }
    }

    fn mark(&self) -> Mark<S::Mark> {
        Mark { hash: self.hash, sink: self.sink.mark() }
    }

    fn reset(&mut self, mark: &Mark<S::Mark>) {
        self.hash = mark.hash;
        self.sink.reset(mark.sink);
        self.write("…", Case::Kept);
    }

    fn write(&mut self, token: &str, case: Case) {
        self.hash.token(token, case);
        self.sink.write(token, case);
    }

    fn take(&mut self, token: Token<'_>) {
        match token {
            Token::Literal(literal) => self.values.literal(literal),
            Token::Placeholder => self.values.placeholder(),
            _ => {}
        }
        if self.skips_to.is_some() {
            return self.skip(token);
        }
        if self.cast != Cast::None && self.take_cast(token) {
            return;
        }
        match token {
            Token::Literal(_) | Token::Placeholder => self.value(),
            Token::Word(word, known) => self.word(word, known),
            Token::Quoted(name) => self.other(name, Case::Kept),
            Token::Mark(mark) => self.mark_token(mark),
        }
    }

    /// Within a group that is like the one before it.
    fn skip(&mut self, token: Token<'_>) {
        match token {
            Token::Mark("(") => self.depth += 1,
            Token::Mark(")") => {
                self.depth = self.depth.saturating_sub(1);
                if self.skips_to == Some(self.depth) {
                    self.skips_to = None;
                    self.before = Before::Group;
                    self.groups = self.groups.saturating_add(1);
                    self.list = self.list.saturating_add(1);
                }
            }
            _ => {}
        }
    }

    /// Whether the token belongs to the type that a value is cast to. It is written, unless the value was folded.
    fn take_cast(&mut self, token: Token<'_>) -> bool {
        let next = match (self.cast, token) {
            (Cast::Name, Token::Word(word, _)) if !words::is_no_function(word) => Cast::After,
            (Cast::Name, Token::Quoted(_)) => Cast::After,
            (Cast::After, Token::Mark("." | "::")) => Cast::Name,
            (Cast::After, Token::Mark("[" | "(")) => Cast::Within,
            (Cast::After, Token::Word(word, _)) if words::ends_type(word) => Cast::After,
            (Cast::Within, Token::Mark("]" | ")")) => Cast::After,
            (Cast::Within, Token::Literal(_) | Token::Placeholder | Token::Mark(",")) => Cast::Within,
            _ => Cast::None,
        };
        let before = std::mem::replace(&mut self.cast, next);
        if next == Cast::None {
            // Without a type, it was no cast.
            if before == Cast::Name && !self.folded {
                self.before = Before::Other;
            }
            return false;
        }
        if !self.folded {
            match token {
                Token::Word(word, _) => self.write(word, Case::Lower),
                Token::Quoted(name) => self.write(name, Case::Kept),
                Token::Mark(mark) => self.write(mark, Case::Kept),
                Token::Literal(_) | Token::Placeholder => self.write("?", Case::Kept),
            }
        }
        true
    }

    fn value(&mut self) {
        match self.before {
            Before::Equals => self.traits.equals = true,
            Before::Order => self.traits.range = true,
            _ => {}
        }
        match self.word {
            Known::Between => self.traits.range = true,
            Known::Any => self.traits.batched = true,
            Known::In => self.traits.equals |= self.in_depth == Some(self.depth),
            _ => {}
        }
        self.folded = self.held == Held::ListComma;
        if self.folded {
            self.held = Held::Nothing;
            self.list = self.list.saturating_add(1);
            self.traits.offset |= self.word == Known::Limit;
            self.traits.batched |= self.in_depth == Some(self.depth);
        } else {
            self.release();
            self.write("?", Case::Kept);
        }
        self.before = Before::Value;
    }

    /// Writes what was held back.
    fn release(&mut self) {
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            Held::ListComma | Held::GroupComma => self.write(",", Case::Kept),
            Held::Semicolon => self.write(";", Case::Kept),
        }
    }

    fn word(&mut self, word: &str, known: Known) {
        let may_be_value =
            matches!(self.before, Before::Operator | Before::Equals | Before::Order) || self.held == Held::ListComma;
        if known == Known::Constant && may_be_value {
            // Equal to NULL, TRUE or FALSE is no look-up.
            self.before = Before::Other;
            return self.value();
        }
        self.note(known, word);
        self.other(word, Case::Lower);
        self.word = known;
        if known == Known::Values {
            self.values_depth = Some(self.depth);
            self.groups = 0;
        }
    }

    fn other(&mut self, token: &str, case: Case) {
        // What stands beside the groups ends their list.
        if self.values_depth == Some(self.depth) {
            self.values_depth = None;
        }
        self.release();
        self.write(token, case);
        self.before = Before::Other;
        self.is_pure = false;
    }

    fn mark_token(&mut self, mark: &str) {
        match mark {
            "::" if self.before == Before::Value && self.held == Held::Nothing => {
                self.cast = Cast::Name;
                if !self.folded {
                    self.write("::", Case::Kept);
                }
            }
            "," if self.before == Before::Value && self.held == Held::Nothing => self.held = Held::ListComma,
            "," if self.before == Before::Group && self.held == Held::Nothing => self.held = Held::GroupComma,
            // A comma before it separates nothing.
            ";" => {
                self.held = Held::Semicolon;
                self.before = Before::Other;
                self.word = Known::Other;
            }
            "(" if self.held == Held::GroupComma => {
                self.held = Held::Nothing;
                self.skips_to = Some(self.depth);
                self.traits.batched |= self.in_depth == Some(self.depth);
                self.depth += 1;
            }
            "(" => self.open(),
            ")" => self.close(),
            _ => self.operator(mark),
        }
    }

    fn open(&mut self) {
        self.release();
        self.write("(", Case::Kept);
        self.depth = self.depth.saturating_add(1);
        if self.word == Known::In && self.before == Before::Other {
            self.in_depth = Some(self.depth);
        }
        self.before = Before::Operator;
        self.is_pure = true;
    }

    fn close(&mut self) {
        self.release();
        let is_value = self.before == Before::Value && self.is_pure;
        self.write(")", Case::Kept);
        if self.in_depth == Some(self.depth) {
            self.in_depth = None;
        }
        self.depth = self.depth.saturating_sub(1);
        let is_row = self.values_depth == Some(self.depth);
        self.groups = self.groups.saturating_add(u32::from(is_row));
        let folds = is_row || is_value && self.in_depth == Some(self.depth);
        self.before = if folds { Before::Group } else { Before::Other };
        self.is_pure = false;
        self.word = Known::Other;
    }

    fn operator(&mut self, mark: &str) {
        // A value on the left: `? = id`.
        if self.before == Before::Value && mark == "=" {
            self.traits.equals = true;
        }
        self.other(mark, Case::Kept);
        self.before = match mark {
            "=" | "==" => Before::Equals,
            "<" | ">" | "<=" | ">=" => Before::Order,
            "." | "]" => Before::Other,
            _ => Before::Operator,
        };
    }

    /// What a word says about the statement.
    fn note(&mut self, known: Known, word: &str) {
        let traits = &mut self.traits;
        match known {
            Known::From | Known::Into | Known::Join => traits.stored = true,
            Known::Order => traits.ordered = true,
            Known::Limit => traits.limited = true,
            Known::Offset => traits.offset = true,
            Known::Catalog => traits.catalog = true,
            Known::Sequence => traits.sequence = true,
            _ => {}
        }
        traits.catalog |= matches!(self.word, Known::From | Known::Join) && words::is_catalog(word);
        let is_main = self.verb == Some(Known::With) && self.depth == 0 && known.is_verb();
        if self.verb.is_none() || is_main {
            self.verb = Some(known);
            self.kind = words::kind(word);
        }
        traits.stored |= matches!(self.kind, Kind::Insert | Kind::Update | Kind::Delete | Kind::Copy);
    }

    fn finish<'a>(self, comment: Comment<'a>) -> Print<'a> {
        Print {
            id: Fingerprint(self.hash.finish()),
            kind: self.kind,
            traits: self.traits,
            values: self.values.finish(),
            rows: self.groups.max(1),
            list: self.list.saturating_add(1),
            comment,
        }
    }
}
