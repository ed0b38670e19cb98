//! Labels that an origin gives its responses, to have them invalidated together: cache tags and cache groups.
//!
//! Tags are what CDNs and caches have each named in their own way; a tag means the same everywhere in this cache.
//! Groups are the standard's (RFC 9875); a group means nothing outside its origin. So the two are kept apart.

use std::collections::BTreeSet;

use sfv::{BareItem, Item, ListEntry};

use super::{Fields, fields::trim, structured::list};

/// How many tags, and how many groups, one response has at most. RFC 9875 §2 wants 32 groups.
pub const MAX_TAGS: usize = 256;

/// How long a tag or a group is at most, in bytes. RFC 9875 §2 wants 32.
pub const MAX_TAG_BYTES: usize = 1024;

/// How much of one field, over all its lines, is looked at: the bytes of the labels, and one for each.
pub const MAX_FIELD_BYTES: usize = 16 << 10;

/// The labels of a response. Each list is sorted and has nothing twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// From Surrogate-Key, Cache-Tag, Edge-Cache-Tag and xkey. Those of Cache-Tag are case-insensitive and kept in
    /// small letters: who purges a tag must look for it as given and in small letters.
    pub tags: Box<[Box<str>]>,
    /// From Cache-Groups, for responses of the same origin (RFC 9875 §2.1).
    pub groups: Box<[Box<str>]>,
    /// How many labels were left out: beyond a bound, or not text. A Cache-Groups field that cannot be read counts
    /// as one.
    pub dropped: usize,
}

/// Groups that a response invalidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalidated {
    /// Sorted, nothing twice.
    pub groups: Box<[Box<str>]>,
    /// How many were left out: beyond a bound. A field that cannot be read counts as one.
    pub dropped: usize,
}

/// The fields with tags: name, what separates them, and whether capitals count.
const FIELDS: [(&str, &[u8], bool); 4] = [
    // Fastly's has white space, Souin's commas.
    ("surrogate-key", b" \t,", true),
    ("cache-tag", b",", false),
    ("edge-cache-tag", b",", true),
    ("xkey", b" \t", true),
];

/// Reads the tags and groups of a response. A field that is empty has none.
pub fn of<M: Fields>(response: &M) -> Tags {
    let mut tags = Labels::default();
    for (name, separators, is_case_sensitive) in FIELDS {
        tags.room = MAX_FIELD_BYTES;
        for tag in response.all(name).flat_map(|line| members(line, separators)) {
            match std::str::from_utf8(tag) {
                Ok(tag) if is_case_sensitive => tags.add(tag.to_owned()),
                Ok(tag) => tags.add(tag.to_ascii_lowercase()),
                Err(_) => tags.dropped += 1,
            }
        }
    }
    let groups = strings(response, "cache-groups");
    let dropped = tags.dropped + groups.dropped;
    Tags { tags: tags.finish(), groups: groups.finish(), dropped }
}

/// Reads Cache-Group-Invalidation (RFC 9875 §3).
///
/// It must be ignored in responses to safe methods; and in errors, since those have changed nothing. The groups are
/// those of the response's own origin.
pub fn invalidated_groups<M: Fields>(response: &M) -> Invalidated {
    let groups = strings(response, "cache-group-invalidation");
    Invalidated { dropped: groups.dropped, groups: groups.finish() }
}

/// The members of a line, none of them empty, without white space around them.
fn members<'a>(line: &'a [u8], separators: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    line.split(|byte| separators.contains(byte)).map(trim).filter(|member| !member.is_empty())
}

/// The members of a List of Strings (RFC 9875 §2, §3). One of another type makes the field as useless as one that
/// cannot be parsed. Parameters are ignored.
fn strings<M: Fields>(response: &M, name: &str) -> Labels {
    let mut labels = Labels::default();
    let unreadable = || Labels { dropped: 1, ..Labels::default() };
    let Some(members) = list(response, name) else { return unreadable() };
    for member in members {
        match member {
            ListEntry::Item(Item { bare_item: BareItem::String(label), .. }) => labels.add(label),
            _ => return unreadable(),
        }
    }
    labels
}

/// Labels within the bounds.
struct Labels {
    kept: BTreeSet<Box<str>>,
    dropped: usize,
    /// How many bytes of the field are still looked at.
    room: usize,
}

impl Default for Labels {
    fn default() -> Self {
        Self { kept: BTreeSet::new(), dropped: 0, room: MAX_FIELD_BYTES }
    }
}

impl Labels {
    fn add(&mut self, label: String) {
        let fits = self.room > label.len();
        self.room = self.room.saturating_sub(label.len() + 1);
        let label = label.into_boxed_str();
        if self.kept.contains(&label) {
            return;
        }
        if fits && label.len() <= MAX_TAG_BYTES && self.kept.len() < MAX_TAGS {
            self.kept.insert(label);
        } else {
            self.dropped += 1;
        }
    }

    fn finish(self) -> Box<[Box<str>]> {
        self.kept.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::ResponseHead;
    use proptest::prelude::*;

    fn head(lines: &str) -> ResponseHead {
        ResponseHead::for_tests(200, &lines.replace('\n', "\r\n"))
    }

    /// Field lines => tags, groups, and how many were dropped.
    macro_rules! table {
        ($($name:ident: $lines:expr => $tags:expr, $groups:expr, $dropped:expr;)+) => {
            $(#[test] fn $name() {
                let tags = of(&head($lines));
                let (kept, groups): ([&str; _], [&str; _]) = ($tags, $groups);
                assert_eq!(tags.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), kept);
                assert_eq!(tags.groups.iter().map(|group| &**group).collect::<Vec<_>>(), groups);
                assert_eq!(tags.dropped, $dropped);
            })+
        };
    }

    table! {
        no_field: "Content-Type: a/b" => [], [], 0;
        // Surrogate-Key (Fastly, Souin).
        surrogate_key_white_space: "Surrogate-Key: b  a\tc" => ["a", "b", "c"], [], 0;
        surrogate_key_commas: "Surrogate-Key: a,b, c" => ["a", "b", "c"], [], 0;
        surrogate_key_case: "Surrogate-Key: Home home" => ["Home", "home"], [], 0;
        // Cache-Tag (Cloudflare).
        cache_tag_commas: "Cache-Tag: a, two words ,c" => ["a", "c", "two words"], [], 0;
        cache_tag_case: "Cache-Tag: Home,HOME" => ["home"], [], 0;
        // Edge-Cache-Tag (Akamai).
        edge_cache_tag: "Edge-Cache-Tag: Home, a b" => ["Home", "a b"], [], 0;
        // xkey (Varnish).
        xkey_white_space: "xkey: a,b c" => ["a,b", "c"], [], 0;
        xkey_lines_add_up: "xkey: a\nXkey: b" => ["a", "b"], [], 0;
        // RFC 9875 §2: Cache-Groups.
        groups: "Cache-Groups: \"scripts\", \"Home page\"" => [], ["Home page", "scripts"], 0;
        groups_case: "Cache-Groups: \"a\", \"A\"" => [], ["A", "a"], 0;
        groups_lines_add_up: "Cache-Groups: \"a\"\nCache-Groups: \"b\"" => [], ["a", "b"], 0;
        groups_parameters: "Cache-Groups: \"a\";x=1" => [], ["a"], 0;
        groups_escapes: "Cache-Groups: \"a\\\"b\\\\\"" => [], ["a\"b\\"], 0;
        groups_keep_spaces: "Cache-Groups: \" a \"" => [], [" a "], 0;
        groups_parse_error: "Cache-Groups: \"a\", \"b" => [], [], 1;
        groups_trailing_comma: "Cache-Groups: \"a\"," => [], [], 1;
        groups_of_tokens: "Cache-Groups: \"a\", b" => [], [], 1;
        groups_inner_list: "Cache-Groups: (\"a\" \"b\")" => [], [], 1;
        // A group is no tag, and the other way round.
        side_by_side: "Cache-Groups: \"a\"\nSurrogate-Key: b" => ["b"], ["a"], 0;
        all_fields: "Surrogate-Key: a\nCache-Tag: b\nEdge-Cache-Tag: c\nxkey: d e a" => ["a", "b", "c", "d", "e"], [], 0;
        // An empty field has no tag, and above all not the empty one.
        empty_fields: "Surrogate-Key:\nCache-Tag: , ,\nEdge-Cache-Tag:\nxkey:\nCache-Groups:" => [], [], 0;
        no_text: "Surrogate-Key: a\nCache-Tag: caf\u{e9}" => ["a", "caf\u{e9}"], [], 0;
    }

    #[test]
    fn tags_that_are_no_text_are_dropped() {
        let head = ResponseHead::build(200, "").field(b"Surrogate-Key", b"a \xff b").finish();
        assert_eq!((of(&head).tags.len(), of(&head).dropped), (2, 1));
    }

    #[test]
    fn at_most_256_tags_and_256_groups() {
        let (tags, groups): (Vec<_>, Vec<_>) = (0..300).map(|n| (format!("t{n}"), format!("\"g{n}\""))).unzip();
        let read = of(&head(&format!("xkey: {}\nCache-Groups: {}", tags.join(" "), groups.join(", "))));
        assert_eq!((read.tags.len(), read.groups.len(), read.dropped), (256, 256, 88));
    }

    #[test]
    fn what_is_there_already_is_not_dropped() {
        let tags: String = (0..256).map(|n| format!("t{n} ")).collect();
        let read = of(&head(&format!("xkey: {tags}\nSurrogate-Key: t0 t255")));
        assert_eq!((read.tags.len(), read.dropped), (256, 0));
    }

    #[test]
    fn at_most_1024_bytes_a_tag() {
        let [fits, too_long] = [1024, 1025].map(|length| "a".repeat(length));
        let read = of(&head(&format!("xkey: {fits} {too_long} b\nCache-Groups: \"{fits}\", \"{too_long}\"")));
        assert_eq!((read.tags.len(), read.groups.len(), read.dropped), (2, 1, 2));
    }

    #[test]
    fn at_most_16_kib_a_field() {
        let tags: String = (10..30).map(|n| format!("{n}{} ", "a".repeat(1021))).collect();
        let read = of(&head(&format!("xkey: {tags}\nxkey: late\nSurrogate-Key: other")));
        assert_eq!((read.tags.len(), read.dropped), (16 + 1, 4 + 1));
        assert!(read.tags.contains(&"other".into()));
    }

    #[test]
    fn groups_to_invalidate() {
        // RFC 9875 §3: the RFC's own example, then what no List of Strings is.
        for (value, groups, dropped) in [
            ("\"eurovision-results\", \"australia\"", &["australia", "eurovision-results"][..], 0),
            ("", &[], 0),
            ("\"a", &[], 1),
            ("a", &[], 1),
        ] {
            let read = invalidated_groups(&head(&format!("Cache-Group-Invalidation: {value}\nCache-Groups: \"x\"")));
            assert_eq!(read.groups.iter().map(|group| &**group).collect::<Vec<_>>(), groups, "{value}");
            assert_eq!(read.dropped, dropped, "{value}");
        }
        assert_eq!(invalidated_groups(&head("")), Invalidated::default());
    }

    proptest! {
        #[test]
        fn foreign_bytes_do_not_panic_and_the_bounds_hold(
            bytes in proptest::collection::vec(any::<u8>(), 0..60), near in "[\"a-c\\\\,; ()=:]{0,40}",
        ) {
            for value in [&bytes, near.as_bytes()] {
                for name in ["surrogate-key", "cache-tag", "xkey", "cache-groups", "cache-group-invalidation"] {
                    let head = ResponseHead::build(200, "").field(name.as_bytes(), value).finish();
                    let read = of(&head);
                    prop_assert!(read.tags.iter().all(|tag| !tag.trim_matches([' ', '\t']).is_empty()));
                    let _ = invalidated_groups(&head);
                }
            }
        }
    }
}
