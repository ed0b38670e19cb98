//! Targeted cache control (RFC 9213): fields that tell some caches what Cache-Control tells all of them.

use std::time::Duration;

use sfv::{BareItem, Dictionary, ListEntry};

use super::{CacheControl, Fields, cache_control::MAX_SECONDS, fields::is, structured::dictionary};

/// The fields that count unless the settings say otherwise, the most specific first (§2.2).
pub const TARGETS: [&str; 3] = [OURS, "cdn-cache-control", SURROGATE];

/// The field for this cache and no other.
const OURS: &str = "pacecar-cache-control";

/// The older cousin: for caches in front of an origin, in Cache-Control's own syntax (Edge Architecture 1.0 §2.2).
const SURROGATE: &str = "surrogate-control";

/// What a targeted field says; `None` if Cache-Control and Expires count, which otherwise must be ignored (§2.2).
///
/// `targets` are field names in order of priority. The first field that is there, can be parsed and is not empty
/// decides alone. One whose directives mean nothing to us decides as well, for "no lifetime"; only Surrogate-Control
/// must have a directive about caching, since it is also used to announce ESI.
///
/// Names of directives are in small letters only, a value of the wrong type is ignored and so are parameters (§2.1).
/// Of a directive that stands there twice the last one counts (RFC 8941 §3.2). A negative number counts as 0.
pub fn control<M: Fields>(response: &M, targets: &[String]) -> Option<CacheControl> {
    targets.iter().find_map(|target| {
        if is(target.as_bytes(), SURROGATE) {
            return Some(CacheControl::of_field(response, target)).filter(|read| *read != CacheControl::default());
        }
        let field = dictionary(response, target).filter(|field| !field.is_empty())?;
        Some(directives(&field))
    })
}

fn directives(field: &Dictionary) -> CacheControl {
    let mut read = CacheControl::default();
    for (key, value) in field {
        let ListEntry::Item(item) = value else { continue };
        match (key.as_str(), &item.bare_item) {
            ("no-store", BareItem::Boolean(set)) => read.no_store = *set,
            ("no-cache", value) => read.no_cache = set_or_named(value),
            ("private", value) => read.private = set_or_named(value),
            ("public", BareItem::Boolean(set)) => read.public = *set,
            ("must-revalidate", BareItem::Boolean(set)) => read.must_revalidate = *set,
            ("proxy-revalidate", BareItem::Boolean(set)) => read.proxy_revalidate = *set,
            ("must-understand", BareItem::Boolean(set)) => read.must_understand = *set,
            ("no-transform", BareItem::Boolean(set)) => read.no_transform = *set,
            ("max-age", BareItem::Integer(number)) => read.max_age = Some(seconds(*number)),
            ("s-maxage", BareItem::Integer(number)) => read.s_maxage = Some(seconds(*number)),
            ("stale-while-revalidate", BareItem::Integer(number)) => {
                read.stale_while_revalidate = Some(seconds(*number));
            }
            ("stale-if-error", BareItem::Integer(number)) => read.stale_if_error = Some(seconds(*number)),
            _ => {}
        }
    }
    read
}

/// A flag that may name fields instead, one as a token or several as a string: treated like the one without, which is
/// the safe side.
fn set_or_named(value: &BareItem) -> bool {
    matches!(value, BareItem::Boolean(true) | BareItem::String(_) | BareItem::Token(_))
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0).min(MAX_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::ResponseHead;
    use proptest::prelude::*;

    fn targets() -> Vec<String> {
        TARGETS.map(str::to_owned).to_vec()
    }

    fn read(lines: &str) -> Option<CacheControl> {
        control(&ResponseHead::for_tests(200, &lines.replace('\n', "\r\n")), &targets())
    }

    fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    /// A field that decides and says only this.
    macro_rules! says {
        ($($field:ident = $value:expr),*) => { Some(CacheControl { $($field: $value,)* ..CacheControl::default() }) };
    }

    /// Fields of the response => what the targeted ones say.
    macro_rules! table {
        ($($name:ident: $lines:expr => $expected:expr;)+) => {
            $(#[test] fn $name() { assert_eq!(read($lines), $expected); })+
        };
    }

    table! {
        // RFC 9213 §2.2: it decides whatever Cache-Control and Expires say.
        targeted_over_no_store: "Cache-Control: no-store\nCDN-Cache-Control: max-age=600" => says!(max_age = secs(600));
        targeted_over_fresh: "Cache-Control: max-age=60\nCDN-Cache-Control: no-store" => says!(no_store = true);
        targeted_over_expires: "Expires: 0\nCDN-Cache-Control: max-age=3600" => says!(max_age = secs(3600));
        targeted_with_age: "Age: 7200\nCDN-Cache-Control: max-age=3600" => says!(max_age = secs(3600));
        zero_decides: "Cache-Control: max-age=60\nCDN-Cache-Control: max-age=0" => says!(max_age = secs(0));
        no_targeted_field: "Cache-Control: max-age=60" => None;
        two_directives: "CDN-Cache-Control: max-age=10, private" => says!(max_age = secs(10), private = true);
        // RFC 9213 §2.2: the first of the list.
        ours_first: "CDN-Cache-Control: max-age=10\nPacecar-Cache-Control: max-age=5" => says!(max_age = secs(5));
        surrogate_last: "Surrogate-Control: max-age=5\nCDN-Cache-Control: max-age=10" => says!(max_age = secs(10));
        next_after_a_parse_error: "Pacecar-Cache-Control: a=;\nCDN-Cache-Control: max-age=10" => says!(max_age = secs(10));
        next_after_an_empty_one: "Pacecar-Cache-Control:\nCDN-Cache-Control: max-age=10" => says!(max_age = secs(10));
        not_in_the_list: "Other-Cache-Control: max-age=10" => None;
        // RFC 9213 §2.1: empty, or not to be parsed: as if it were not there.
        empty: "Cache-Control: max-age=60\nCDN-Cache-Control:" => None;
        parameter_cut_off: "Cache-Control: max-age=60\nCDN-Cache-Control: max-age=10;" => None;
        space_before_equals: "CDN-Cache-Control: max-age =100" => None;
        space_after_equals: "CDN-Cache-Control: max-age= 100" => None;
        capitals: "CDN-Cache-Control: MaX-aGe=3600" => None;
        trailing_comma: "CDN-Cache-Control: max-age=10," => None;
        nonsense: "CDN-Cache-Control: max-age=10000, &&&&&" => None;
        no_ascii: "CDN-Cache-Control: max-age=10, x=\"\u{e9}\"" => None;
        // RFC 9213 §2.2: valid and not empty, and nothing in it that we know.
        none_is_the_idiom: "Cache-Control: max-age=60\nCDN-Cache-Control: none" => says!();
        unknown_directive: "CDN-Cache-Control: foobar, max-age=3600" => says!(max_age = secs(3600));
        // RFC 9213 §2.1: a value of the wrong type is ignored, the field is not.
        string_for_integer: "Cache-Control: max-age=60\nCDN-Cache-Control: max-age=\"10\"" => says!();
        decimal_for_integer: "CDN-Cache-Control: max-age=10.5" => says!();
        boolean_for_integer: "CDN-Cache-Control: max-age" => says!();
        list_for_integer: "CDN-Cache-Control: max-age=(10 20), public" => says!(public = true);
        integer_for_boolean: "CDN-Cache-Control: no-store=1" => says!();
        parameters: "CDN-Cache-Control: max-age=10;x=y, no-store;q" => says!(max_age = secs(10), no_store = true);
        // RFC 9213 §2.1: no-cache and private may name fields.
        private_fields: "CDN-Cache-Control: private=\"x\"" => says!(private = true);
        private_field_as_token: "CDN-Cache-Control: private=x" => says!(private = true);
        no_cache_fields: "CDN-Cache-Control: no-cache=\"x, y\"" => says!(no_cache = true);
        // RFC 8941 §3.3.6, §3.2, §4.2: Booleans, keys twice, lines.
        explicitly_true: "CDN-Cache-Control: no-store=?1" => says!(no_store = true);
        explicitly_false: "CDN-Cache-Control: no-store=?0, private=?0, no-cache=?0" => says!();
        the_last_of_two: "CDN-Cache-Control: max-age=5, max-age=60" => says!(max_age = secs(60));
        two_lines: "CDN-Cache-Control: max-age=5\nCDN-Cache-Control: private" => says!(max_age = secs(5), private = true);
        one_bad_line_of_two: "CDN-Cache-Control: max-age=5\nCDN-Cache-Control: &" => None;
        // RFC 9111 §4.2.1, §1.2.2: invalid means stale, and 2³¹ is as long as it gets.
        negative_is_zero: "CDN-Cache-Control: max-age=-5" => says!(max_age = secs(0));
        capped_at_2_31: "CDN-Cache-Control: max-age=999999999999999" => says!(max_age = secs(1 << 31));
        more_digits_than_there_are: "CDN-Cache-Control: max-age=9999999999999999" => None;
        // RFC 9213 §2.2: the other directives that we know from Cache-Control.
        lifetimes: "CDN-Cache-Control: s-maxage=1, stale-while-revalidate=2, stale-if-error=3"
            => says!(s_maxage = secs(1), stale_while_revalidate = secs(2), stale_if_error = secs(3));
        flags: "CDN-Cache-Control: no-cache, public, must-revalidate, proxy-revalidate, must-understand, no-transform"
            => says!(no_cache = true, public = true, must_revalidate = true, proxy_revalidate = true,
                must_understand = true, no_transform = true);
        requests_have_others: "CDN-Cache-Control: max-stale=5, min-fresh=5, only-if-cached" => says!();
        // Edge Architecture 1.0: Surrogate-Control, in the syntax of Cache-Control.
        surrogate: "Surrogate-Control: Max-Age=\"3600\", stale-while-revalidate=60"
            => says!(max_age = secs(3600), stale_while_revalidate = secs(60));
        surrogate_empty: "Cache-Control: max-age=60\nSurrogate-Control:" => None;
        surrogate_not_about_caching: "Cache-Control: max-age=60\nSurrogate-Control: content=\"ESI/1.0\"" => None;
    }

    #[test]
    fn an_empty_list_of_targets_leaves_it_to_cache_control() {
        assert_eq!(control(&ResponseHead::for_tests(200, "CDN-Cache-Control: max-age=1"), &[]), None);
    }

    #[test]
    fn names_of_targets_are_case_insensitive() {
        let response = ResponseHead::for_tests(200, "shop-cache-control: max-age=1\r\nSurrogate-control: max-age=2");
        for (target, expected) in [("Shop-Cache-Control", secs(1)), ("SURROGATE-CONTROL", secs(2))] {
            assert_eq!(control(&response, &[target.to_owned()]).unwrap().max_age, expected, "{target}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_do_not_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..60), near in "[a-z-]{0,8}[=;, ?:\"(0-9.-]{0,20}[a-z)]?",
        ) {
            for value in [&bytes, near.as_bytes()] {
                for target in TARGETS {
                    let head = ResponseHead::build(200, "").field(target.as_bytes(), value).finish();
                    let _ = control(&head, &targets());
                }
            }
        }
    }
}
