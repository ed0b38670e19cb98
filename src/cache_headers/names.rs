//! Files whose names carry a hash of what is in them, so that other content has another name and a copy never grows
//! old.
//!
//! A name is judged by the shapes that build tools write. To take an ordinary file for such a one freezes it for a year
//! in every browser, and to miss one costs a revalidation: in doubt the answer is no. Of hexadecimal hashes 7 in 100
//! are missed, of those in base64 (Vite) in its own directory a quarter, which have no digit, of those in base32
//! (esbuild) a half, and elsewhere two in three: they could as well be words and a number.

use std::ops::{Range, RangeInclusive};

use crate::header::fields::trim;

/// What a file is, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Script,
    Style,
    Font,
    Image,
    Map,
    Wasm,
}

const EXTENSIONS: [(&str, File); 18] = [
    ("js", File::Script),
    ("mjs", File::Script),
    ("css", File::Style),
    ("woff2", File::Font),
    ("woff", File::Font),
    ("ttf", File::Font),
    ("otf", File::Font),
    ("eot", File::Font),
    ("png", File::Image),
    ("jpg", File::Image),
    ("jpeg", File::Image),
    ("gif", File::Image),
    ("webp", File::Image),
    ("avif", File::Image),
    ("svg", File::Image),
    ("ico", File::Image),
    ("map", File::Map),
    ("wasm", File::Wasm),
];

/// What tools put between hash and extension: `app-3f2a9c1b.bundle.css`, `2.1a2b3c4d.chunk.js`.
const BEHIND_A_HASH: [&str; 6] = ["bundle", "chunk", "min", "module", "worker", "async"];

/// Directories that tools write and nobody else would name so.
const TOOL_DIRECTORIES: [&[&str]; 4] = [&["_next", "static"], &["_nuxt"], &["_astro"], &["_app", "immutable"]];

/// Directories where the output of tools is put by custom, beside other files.
const BUILD_DIRECTORIES: [&str; 5] = ["assets", "static", "build", "dist", "packs"];

/// Shorter runs are words and versions, longer ones no hash that is in use (64 is SHA-256).
const HEX_LENGTH: RangeInclusive<usize> = 8..=64;

/// A MongoDB id. No tool cuts its hash to so many.
const OBJECT_ID: usize = 24;

/// What Rollup, Vite, esbuild and Angular cut their hashes to.
const LETTERS_LENGTH: usize = 8;

/// Words without a vowel that people do use in the names of files.
const ABBREVIATIONS: [&str; 54] = [
    "btn", "cdn", "cjs", "cms", "crm", "css", "csv", "ctx", "db", "dns", "dnd", "fn", "ftp", "gl", "hd", "html",
    "http", "https", "jpg", "js", "jsx", "jwt", "lg", "lng", "ltr", "md", "mdx", "mjs", "mp", "ms", "npm", "pdf",
    "png", "px", "rss", "rtl", "sdk", "sm", "sql", "src", "ssh", "ssl", "svg", "tcp", "tls", "ts", "tsx", "tv", "txt",
    "vr", "wp", "xl", "xml", "xs",
];

/// Where a file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Anywhere,
    /// In one of the [`BUILD_DIRECTORIES`].
    Build,
    /// In one of the [`TOOL_DIRECTORIES`].
    Tool,
}

/// Whether the name of a script, style, font, image, source map or WebAssembly module carries a hash of its content.
///
/// `path` is without its query. Takes time in proportion to its length.
pub fn has_content_hash(path: &[u8]) -> bool {
    if !has_one_reading(path) {
        return false;
    }
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let Some((name, directories)) = segments.split_last() else { return false };
    let Some((stem, file)) = stem_and_file(name) else { return false };
    let place = place(directories);
    // The name of a picture may as well be the id of the person or thing that it shows.
    if file == File::Image && place == Place::Anywhere {
        return false;
    }
    names_a_hash(stem, place) || under_a_build_id(directories)
}

/// Whether a Content-Type is what the extension promises. A single-page app answers every path with its HTML and 200,
/// also that of a file which the last deployment has removed.
pub fn fits(path: &[u8], content_type: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let Some((_, file)) = stem_and_file(name) else { return false };
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let media_type = trim(media_type).to_ascii_lowercase();
    let (kind, subtype) = match media_type.iter().position(|byte| *byte == b'/') {
        Some(slash) => (&media_type[..slash], &media_type[slash + 1..]),
        None => return false,
    };
    match (file, kind) {
        // RFC 9239 §6: all of these stand for JavaScript.
        (File::Script, b"text" | b"application") => {
            matches!(subtype, b"javascript" | b"x-javascript" | b"ecmascript" | b"x-ecmascript")
        }
        (File::Style, b"text") => subtype == b"css",
        (File::Font, b"font") | (File::Image, b"image") => !subtype.is_empty(),
        // RFC 8081 §1: what fonts were called before they had a type of their own.
        (File::Font, b"application") => {
            subtype.starts_with(b"font-")
                || subtype.starts_with(b"x-font-")
                || matches!(subtype, b"vnd.ms-fontobject" | b"vnd.ms-opentype" | b"octet-stream")
        }
        // Servers whose tables lack the extension say octet-stream, which is no fallback page either.
        (File::Map, b"application") => matches!(subtype, b"json" | b"octet-stream"),
        (File::Wasm, b"application") => subtype == b"wasm",
        _ => false,
    }
}

/// Whether every app takes a path to end in the same name. `/me;a-3f2a9c1b.js` and `/me%2fa-3f2a9c1b.js` are `/me` to
/// some.
///
/// Of what is percent-encoded only brackets and `@` are let through, which Next.js has in the names of its files.
fn has_one_reading(path: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~%@+$!,=()[]".contains(byte);
    let is_let_through = |at: usize| {
        let code = path.get(at + 1..at + 3).unwrap_or_default();
        [b"5b", b"5d", b"40"].iter().any(|known| code.eq_ignore_ascii_case(*known))
    };
    path.starts_with(b"/")
        && path.iter().all(is_plain)
        && memchr::memchr_iter(b'%', path).all(is_let_through)
        && !path.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b".."))
}

/// A file's name without its extension, and what it is. A source map is named after its script or style.
fn stem_and_file(name: &[u8]) -> Option<(&[u8], File)> {
    let (stem, file) = without_extension(name)?;
    if file != File::Map {
        return Some((stem, file));
    }
    match without_extension(stem)? {
        (stem, File::Script | File::Style) => Some((stem, file)),
        _ => None,
    }
}

fn without_extension(name: &[u8]) -> Option<(&[u8], File)> {
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    let known = |(extension, _): &&(&str, File)| name[dot + 1..].eq_ignore_ascii_case(extension.as_bytes());
    EXTENSIONS.iter().find(known).map(|(_, file)| (&name[..dot], *file))
}

fn place(directories: &[&[u8]]) -> Place {
    let has = |sequence: &[&str]| {
        let is_sequence = |at: &[&[u8]]| at.iter().zip(sequence).all(|(segment, name)| *segment == name.as_bytes());
        directories.windows(sequence.len()).any(is_sequence)
    };
    if TOOL_DIRECTORIES.iter().any(|sequence| has(sequence)) {
        Place::Tool
    } else if BUILD_DIRECTORIES.iter().any(|name| has(&[name])) {
        Place::Build
    } else {
        Place::Anywhere
    }
}

/// `/_next/static/<build id>/_buildManifest.js`: the id is a new one for each build, unless it was chosen by hand, and
/// `development` while the app is being written.
fn under_a_build_id(directories: &[&[u8]]) -> bool {
    const NANOID: usize = 21;
    let is_id = |id: &[u8]| {
        let has = |class: fn(&u8) -> bool| id.iter().any(class);
        let is_nanoid =
            id.len() == NANOID && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        is_hex_hash(id)
            || is_nanoid && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit)
    };
    directories.windows(3).any(|at| at[0] == b"_next" && at[1] == b"static" && is_id(at[2]))
}

/// Whether the last part of a name is a hash: `main.3f2a9c1b7d`, `index-BqJ2x9kA`, with or without what follows it.
fn names_a_hash(stem: &[u8], place: Place) -> bool {
    let stem = match stem.iter().rposition(|byte| *byte == b'.') {
        Some(dot) if BEHIND_A_HASH.iter().any(|word| stem[dot + 1..] == *word.as_bytes()) => &stem[..dot],
        _ => stem,
    };
    // A hash alone is a name that anything may have: the key of a widget, of a person, of a letter set.
    let may_begin = |start: usize| match start {
        0 => place == Place::Tool,
        1 => false,
        _ => b".-".contains(&stem[start - 1]),
    };
    let last = stem.iter().rposition(|byte| b".-".contains(byte)).map_or(0, |separator| separator + 1);
    let part = &stem[last..];
    if part.len() >= *HEX_LENGTH.start() && part.iter().all(is_hex) {
        // Vue CLI names a part of an app after the list of what is in it, before it adds the hash of the content.
        let is_list = &stem[..last] == b"chunk-" && part.len() == 8;
        return may_begin(last) && is_hex_hash(part) && !is_list && !ends_with_uuid(stem);
    }
    // These may have a `-` within, so that they are counted from the end.
    let start = stem.len().checked_sub(LETTERS_LENGTH);
    start.is_some_and(|start| may_begin(start) && is_letter_hash(&stem[start..], place))
}

/// Small letters and digits only, as every tool writes hexadecimal digits.
fn is_hex(byte: &u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)
}

/// Whether a run of hexadecimal digits is a hash, rather than a number, a date or a word.
fn is_hex_hash(run: &[u8]) -> bool {
    let digits = run.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = run.len() - digits;
    // `cafe2023`, `b1234567`: a word or a letter, and a number that people can count to.
    let is_word_and_number = changes(run) == 1 && (letters >= 4 || letters == 1) && run.len() < 16;
    let has_date = is_date(&run[..run.len().min(8)]) || is_date(&run[run.len().saturating_sub(8)..]);
    HEX_LENGTH.contains(&run.len())
        && run.len() != OBJECT_ID
        && run.iter().all(is_hex)
        // `face2face` has one.
        && digits >= 2
        && letters >= 1
        && !is_word_and_number
        && !has_date
}

/// `20240131`.
fn is_date(digits: &[u8]) -> bool {
    let number = |range: Range<usize>| -> Option<u32> {
        std::str::from_utf8(digits.get(range)?).ok()?.parse().ok().filter(|_| digits.iter().all(u8::is_ascii_digit))
    };
    matches!((number(0..4), number(4..6), number(6..8)), (Some(1900..=2099), Some(1..=12), Some(1..=31)))
}

/// `8-4-4-4-12` hexadecimal digits (RFC 9562 §4): an id, whose last part is no hash.
fn ends_with_uuid(stem: &[u8]) -> bool {
    stem.len() >= 36
        && stem[stem.len() - 36..].iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether eight letters, digits, `-` and `_` are a hash, rather than words: base64url (Rollup, Vite) or base32
/// (esbuild, Angular).
///
/// Words have vowels and more than one letter. What cannot be read as words is counted, and so much of it is asked for
/// that names such as `GitHubJs`, `Html5Api`, `E2eTests` and `Http2Tls` are words.
fn is_letter_hash(run: &[u8], place: Place) -> bool {
    let has = |class: fn(&u8) -> bool| run.iter().any(class);
    let are_all = |class: fn(&u8) -> bool| run.iter().all(class);
    let (odd, has_single) = odd_words(run);
    if are_all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(byte)) {
        return changes(run) >= 2 && odd >= 1;
    }
    // In small letters alone there are too many names of this kind: `vl53l5cx` is a sensor.
    let is_base64 = are_all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    // Where tools put their output, a digit and a part that is no word will do. Without a digit it takes more to be sure.
    let (with_digit, without) = if place == Place::Anywhere { (3, 4) } else { (1, 3) };
    is_base64
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && if has(u8::is_ascii_digit) { odd >= with_digit } else { odd >= without && has_single }
}

/// How many parts of a name in camel case are no words, and whether one of them is a single letter. A letter, a number
/// and a letter, such as `i18n` and `e2e`, are one word.
fn odd_words(name: &[u8]) -> (usize, bool) {
    let (mut odd, mut single) = (0, false);
    let mut at = 0;
    while at < name.len() {
        // Digits and symbols are no words.
        let length = word_length(&name[at..]);
        let numeronym = if length == 1 { numeronym_length(&name[at..]) } else { 1 };
        if length > 0 && numeronym == 1 && !is_word(&name[at..at + length]) {
            odd += 1;
            single |= length == 1;
        }
        at += length.max(numeronym);
    }
    (odd, single)
}

/// The length of `i18n` where a name begins so, or 1.
fn numeronym_length(name: &[u8]) -> usize {
    let end = 1 + name[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if end > 1 && word_length(&name[end..]) == 1 { end + 1 } else { 1 }
}

/// The length of the word that a name begins with: `Word`, `word`, or `WORD` up to the capital of the next one.
fn word_length(name: &[u8]) -> usize {
    let run = |from: usize, class: fn(&u8) -> bool| name[from..].iter().take_while(|byte| class(byte)).count();
    let capitals = run(0, u8::is_ascii_uppercase);
    let small = run(capitals, u8::is_ascii_lowercase);
    match (capitals, small) {
        (0 | 1, _) => capitals + small,
        (_, 0) => capitals,
        _ => capitals - 1,
    }
}

fn is_word(word: &[u8]) -> bool {
    let has_vowel = word.iter().any(|byte| b"aeiouy".contains(&byte.to_ascii_lowercase()));
    let is_abbreviation = ABBREVIATIONS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
    word.len() > 1 && (has_vowel || is_abbreviation)
}

/// How often letters and digits take turns.
fn changes(run: &[u8]) -> usize {
    run.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count()
}
