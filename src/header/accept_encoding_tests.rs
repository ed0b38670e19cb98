use proptest::prelude::*;
use regex::bytes::Regex;

use super::{
    Fields,
    accept_encoding::Accepted,
    coding::Coding::{self, Br, Deflate, Gzip, Zstd},
    fields::trim,
};

/// The values of a request's Accept-Encoding lines, of any bytes.
struct Lines(Vec<Vec<u8>>);

impl Fields for Lines {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|value| (b"Accept-Encoding".as_slice(), trim(value)))
    }
}

/// A request with one line for each of these, parted by `\n`.
fn accepted(lines: &str) -> Accepted {
    Accepted::of(&Lines(lines.split('\n').map(|line| line.as_bytes().to_vec()).collect()))
}

const BR_GZIP: [Coding; 2] = [Br, Gzip];

macro_rules! chooses {
    ($preference:expr; $($name:ident: $lines:literal => $expected:expr;)+) => {
        $(#[test] fn $name() { assert_eq!(accepted($lines).choose(&$preference), $expected); })+
    };
}

const IDENTITY: Option<Coding> = None;

chooses! {
    BR_GZIP;
    // RFC 9110 §12.5.3: a field value that is empty asks for no coding.
    empty: "" => IDENTITY;
    blank: " \t" => IDENTITY;
    only_commas: ",,," => IDENTITY;
    empty_and_another_line: "\ngzip" => Some(Gzip);
    // RFC 9110 §12.5.3: the RFC's own examples.
    rfc_compress_gzip: "compress, gzip" => Some(Gzip);
    rfc_star: "*" => Some(Br);
    rfc_weights: "compress;q=0.5, gzip;q=1.0" => Some(Gzip);
    rfc_identity_before_star: "gzip;q=1.0, identity; q=0.5, *;q=0" => Some(Gzip);
    // What browsers and tools send.
    browsers: "gzip, deflate, br, zstd" => Some(Br);
    browsers_without_zstd: "gzip, deflate, br" => Some(Br);
    old_browsers: "gzip, deflate" => Some(Gzip);
    without_spaces: "gzip,deflate,br" => Some(Br);
    go: "gzip" => Some(Gzip);
    java: "gzip, x-gzip, deflate" => Some(Gzip);
    wget: "identity" => IDENTITY;
    // RFC 9110 §12.4.2: the higher weight wins, whatever we prefer.
    higher_weight: "br;q=0.2, gzip;q=0.8" => Some(Gzip);
    higher_weight_first: "gzip;q=0.8, br;q=0.2" => Some(Gzip);
    by_a_thousandth: "br;q=0.998, gzip;q=0.999" => Some(Gzip);
    equal_weights: "gzip;q=0.5, br;q=0.5" => Some(Br);
    one_is_the_default: "gzip, br;q=0.999" => Some(Gzip);
    one_by_name: "gzip;q=1, br" => Some(Br);
    smallest_weight: "gzip;q=0.001" => Some(Gzip);
    // RFC 9110 §12.4.2: 0 is not acceptable.
    refused: "gzip;q=0" => IDENTITY;
    refused_with_decimals: "gzip;q=0.000" => IDENTITY;
    refused_with_a_dot: "gzip;q=0." => IDENTITY;
    one_refused: "br;q=0, gzip;q=0.1" => Some(Gzip);
    // RFC 9110 §8.4.1, §8.4.1.3: names are case-insensitive, and x-gzip is gzip.
    any_case: "GZip" => Some(Gzip);
    any_case_of_identity: "IDENTITY, gzip;q=0.5" => IDENTITY;
    x_gzip: "compress, x-gzip" => Some(Gzip);
    x_gzip_in_any_case: "X-GZIP;q=0.3" => Some(Gzip);
    x_gzip_refused: "x-gzip;q=0" => IDENTITY;
    unknown: "compress, sdch, pack200-gzip, gzipped" => IDENTITY;
    // RFC 9110 §12.5.3: `*` is what is not listed.
    star_with_a_weight: "*;q=0.1" => Some(Br);
    star_but_not_the_refused: "br;q=0, *" => Some(Gzip);
    star_but_not_gzip: "gzip;q=0, *" => Some(Br);
    star_below_a_named_one: "gzip;q=0.5, *;q=0.1" => Some(Gzip);
    star_above_a_named_one: "gzip;q=0.5, *;q=0.9" => Some(Br);
    star_refused: "*;q=0" => IDENTITY;
    star_refused_but_for_one: "*;q=0, gzip" => Some(Gzip);
    // RFC 9110 §12.5.3: identity, by itself, by a weight of its own, and by `*`.
    identity_wanted_more: "identity;q=1, gzip;q=0.5" => IDENTITY;
    identity_wanted_as_much: "identity, gzip" => Some(Gzip);
    identity_wanted_less: "identity;q=0.5, gzip" => Some(Gzip);
    identity_wanted_more_than_star: "*;q=0.5, identity" => IDENTITY;
    identity_without_a_weight_is_least_wanted: "gzip;q=0.1" => Some(Gzip);
    identity_is_not_wanted_by_star: "*;q=0.5, br;q=0, gzip;q=0.1" => Some(Gzip);
    identity_refused: "identity;q=0, gzip;q=0.1" => Some(Gzip);
    identity_refused_and_nothing_listed: "identity;q=0" => IDENTITY;
    everything_refused: "identity;q=0, *;q=0" => IDENTITY;
    // RFC 9110 §5.3, §5.6.1: several lines are one list, and empty elements are none.
    several_lines: "br;q=0.5\ngzip" => Some(Gzip);
    empty_elements: ",gzip, ,,br;q=0.1," => Some(Gzip);
    tabs: "\tgzip\t,\tbr;q=0.1" => Some(Gzip);
    // RFC 9110 §12.4.2: white space around the semicolon, and q in both cases.
    spaces_around_the_semicolon: "gzip ; q=0.5, br \t;\t q=0.1" => Some(Gzip);
    upper_case_q: "br;Q=0.1, gzip;Q=0.2" => Some(Gzip);
    trailing_dot: "br;q=0.5, gzip;q=1." => Some(Gzip);
    one_with_decimals: "br;q=0.5, gzip;q=1.000" => Some(Gzip);
    // What is malformed is as if it were not there.
    weight_above_one: "gzip;q=1.001" => IDENTITY;
    weight_of_two: "gzip;q=2" => IDENTITY;
    weight_of_ten: "gzip;q=10" => IDENTITY;
    four_decimals: "gzip;q=0.1234" => IDENTITY;
    four_zeros: "gzip;q=0.0000" => IDENTITY;
    no_whole: "gzip;q=.5" => IDENTITY;
    negative: "gzip;q=-1" => IDENTITY;
    signed: "gzip;q=+1" => IDENTITY;
    exponent: "gzip;q=1e0" => IDENTITY;
    no_number: "gzip;q=high" => IDENTITY;
    no_weight: "gzip;q=" => IDENTITY;
    no_equals: "gzip;q" => IDENTITY;
    no_parameter: "gzip;" => IDENTITY;
    quoted_weight: "gzip;q=\"1\"" => IDENTITY;
    comma_for_a_dot: "gzip;q=0,5" => IDENTITY;
    space_before_equals: "gzip;q =1" => IDENTITY;
    space_after_equals: "gzip;q= 1" => IDENTITY;
    another_parameter: "gzip;level=9" => IDENTITY;
    a_parameter_before_the_weight: "gzip;level=9;q=1" => IDENTITY;
    a_parameter_after_the_weight: "gzip;q=1;level=9" => IDENTITY;
    no_name: ";q=1" => IDENTITY;
    a_space_in_a_name: "g zip" => IDENTITY;
    quoted_name: "\"gzip\"" => IDENTITY;
    semicolons_for_commas: "gzip; deflate; br" => IDENTITY;
    star_in_a_name: "gz*" => IDENTITY;
    not_ascii: "gzıp, \u{ff47}zip" => IDENTITY;
    a_neighbour_of_the_malformed: "br;q=x, gzip" => Some(Gzip);
    star_takes_the_malformed_for_unlisted: "br;q=x, *" => Some(Br);
    malformed_identity: "identity;q=x, gzip;q=0.1" => Some(Gzip);
    // Ours: of two weights the lower one, in whatever order.
    twice: "br;q=0.1, gzip;q=0.5, br" => Some(Gzip);
    twice_the_other_way: "br, gzip;q=0.5, br;q=0.1" => Some(Gzip);
    twice_and_refused_once: "gzip, gzip;q=0" => IDENTITY;
    twice_and_malformed_once: "gzip;q=x, gzip" => Some(Gzip);
    twice_under_two_names: "gzip, x-gzip;q=0.5, br;q=0.8" => Some(Br);
    star_twice: "*, *;q=0" => IDENTITY;
    identity_twice: "identity, gzip;q=0.5, identity;q=0.1" => Some(Gzip);
}

mod of_other_preferences {
    use super::*;

    chooses! {
        Coding::ALL;
        browsers: "gzip, deflate, br, zstd" => Some(Zstd);
        old_browsers: "gzip, deflate" => Some(Gzip);
        deflate_alone: "deflate" => Some(Deflate);
        deflate_wanted_more: "gzip;q=0.9, deflate" => Some(Deflate);
    }

    chooses! {
        [Gzip, Zstd];
        the_order_is_ours: "zstd, gzip" => Some(Gzip);
        not_on_offer: "br" => IDENTITY;
        not_on_offer_and_wanted_more: "br, zstd;q=0.1" => Some(Zstd);
    }

    chooses! {
        [];
        nothing_on_offer: "gzip, br, *" => IDENTITY;
    }
}

/// RFC 9110 §12.5.3 leaves this to us: a request without the field gets no coding, and refuses none that is identity.
#[test]
fn without_the_field_there_is_no_coding() {
    let silent = Accepted::of(&Lines(vec![]));
    assert_eq!((silent.choose(&Coding::ALL), silent.is_stated(), silent.takes_identity()), (IDENTITY, false, true));
    assert!(!Coding::ALL.iter().any(|coding| silent.takes(*coding)) && !silent.refuses_all(&Coding::ALL));
    assert!(accepted("").is_stated());
}

macro_rules! ties {
    ($($name:ident: $lines:literal => $expected:expr;)+) => {
        $(#[test] fn $name() {
            let ties: Vec<Coding> = accepted($lines).ties(&Coding::ALL).collect();
            assert_eq!(ties, $expected);
        })+
    };
}

ties! {
    all_as_much: "gzip, deflate, br, zstd" => Coding::ALL;
    all_by_star: "*;q=0.2" => Coding::ALL;
    two_as_much: "gzip, br;q=0.5, zstd;q=0.5, deflate" => [Gzip, Deflate];
    only_the_chosen: "br;q=0.9, gzip;q=0.8" => [Br];
    not_what_is_refused: "gzip;q=0, br;q=0" => [];
    none_where_identity_is_wanted_more: "identity, gzip;q=0.5, br;q=0.5" => [];
    as_much_as_identity: "identity;q=0.5, gzip;q=0.5, br;q=0.5" => [Br, Gzip];
}

macro_rules! takes {
    ($($name:ident: $lines:literal => $codings:expr, identity $identity:literal, refuses_all $refuses:literal;)+) => {
        $(#[test] fn $name() {
            let accepted = accepted($lines);
            let taken: Vec<Coding> = Coding::ALL.into_iter().filter(|coding| accepted.takes(*coding)).collect();
            assert_eq!(taken, $codings);
            assert_eq!((accepted.takes_identity(), accepted.refuses_all(&BR_GZIP)), ($identity, $refuses));
        })+
    };
}

takes! {
    takes_nothing_but_identity: "" => [], identity true, refuses_all false;
    takes_what_is_named: "gzip;q=0.1, deflate;q=0" => [Gzip], identity true, refuses_all false;
    takes_everything: "*" => Coding::ALL, identity true, refuses_all false;
    takes_everything_but_one: "*, br;q=0" => [Zstd, Gzip, Deflate], identity true, refuses_all false;
    takes_nothing: "*;q=0" => [], identity false, refuses_all true;
    takes_identity_by_name: "*;q=0, identity;q=0.1" => [], identity true, refuses_all false;
    takes_no_identity: "identity;q=0, br" => [Br], identity false, refuses_all false;
    takes_only_what_is_not_on_offer: "identity;q=0, zstd" => [Zstd], identity false, refuses_all true;
    takes_no_identity_and_anything_else: "identity;q=0, *;q=0.1" => Coding::ALL, identity false, refuses_all false;
}

/// RFC 9110 §12.5.3 once more, slowly and in other words: the weight of a coding, `None` for one that is not listed.
fn slow_weight(lines: &[Vec<u8>], wanted: &str) -> Option<f64> {
    let grammar =
        Regex::new(r"(?i-u)^([-!#$%&'*+.^_`|~0-9a-z]+)(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?$")
            .unwrap();
    let all = lines.join(b",".as_slice());
    let mut weights = Vec::new();
    for element in all.split(|byte| *byte == b',') {
        let Some(parts) = grammar.captures(trim(element)) else { continue };
        let name = String::from_utf8(parts[1].to_vec()).unwrap().to_lowercase();
        if name == wanted || (name == "x-gzip" && wanted == "gzip") {
            weights.push(parts.get(2).map_or(1.0, |q| std::str::from_utf8(q.as_bytes()).unwrap().parse().unwrap()));
        }
    }
    weights.into_iter().reduce(f64::min)
}

fn slow_choice(lines: &[Vec<u8>], preference: &[Coding]) -> Option<Coding> {
    let mut best: Option<(Coding, f64)> = None;
    for coding in preference {
        let weight = slow_weight(lines, coding.name()).or_else(|| slow_weight(lines, "*")).unwrap_or(0.0);
        if weight > 0.0 && best.is_none_or(|(_, before)| weight > before) {
            best = Some((*coding, weight));
        }
    }
    let (coding, weight) = best?;
    (slow_weight(lines, "identity").unwrap_or(0.0) <= weight).then_some(coding)
}

/// Something like an element, right or wrong.
fn element() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![
        "gzip", "x-gzip", "BR", "br", "zstd", "deflate", "identity", "*", "compress", "", "g zip", "é",
    ]);
    let weights = "||;q=0|;q=1|;q=0.5| ; Q=0.123|;q=0.50|;q=1.000|;q=1.1|;q=.5|;q=|;|;q=0.0001|;x=1|;q=0.5;x|;q =1";
    let weight = prop::sample::select(weights.split('|').collect::<Vec<_>>());
    prop_oneof![
        9 => (name, weight).prop_map(|(name, weight)| format!(" {name}{weight}").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ]
}

proptest! {
    #[test]
    fn agrees_with_the_slow_one(
        lines in prop::collection::vec(prop::collection::vec(element(), 0..5), 0..3),
        preference in prop::sample::subsequence(Coding::ALL.to_vec(), 0..=4).prop_shuffle(),
    ) {
        let lines: Vec<Vec<u8>> = lines.into_iter().map(|elements| elements.join(b",".as_slice())).collect();
        let accepted = Accepted::of(&Lines(lines.clone()));
        let chosen = accepted.choose(&preference);
        prop_assert_eq!(chosen, slow_choice(&lines, &preference));
        let ties: Vec<Coding> = accepted.ties(&preference).collect();
        prop_assert_eq!(ties.first().copied(), chosen);
        prop_assert!(ties.iter().all(|coding| accepted.takes(*coding)));
        prop_assert!(!accepted.refuses_all(&preference) || chosen.is_none());
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let lines = vec![line];
        prop_assert_eq!(Accepted::of(&Lines(lines.clone())).choose(&Coding::ALL), slow_choice(&lines, &Coding::ALL));
    }
}
