//! `[compression]`, `[cache_headers]` and the classes of routes, from text to settings and back.

use std::time::Duration;

use super::{Config, delivery::CLASSES};
use crate::{cache_headers, compress, header::coding::Coding};

fn parse(text: &str) -> Result<Config, String> {
    Config::parse("proxy.toml", text.as_bytes(), None).map_err(|problems| problems.to_string())
}

fn accepted(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("refused:\n{text}\n{problems}"))
}

/// What is written in the file, and what is said about it.
macro_rules! refuses {
    ($($name:ident: $text:expr => $problem:expr;)*) => {$(
        #[test]
        fn $name() {
            assert_eq!(parse($text).expect_err("a problem"), $problem);
        }
    )*};
}

refuses! {
    a_coding_of_another_kind: "[compression]\ncodings = [\n  \"br\",\n  \"lz4\",\n]" =>
        "proxy.toml:4: compression.codings = \"lz4\": expected \"zstd\", \"br\", \"gzip\" or \"deflate\"";
    a_coding_in_capitals: "compression.codings = \"GZIP\"" =>
        "proxy.toml:1: compression.codings = \"GZIP\": expected \"zstd\", \"br\", \"gzip\" or \"deflate\"";
    a_coding_twice: "[compression]\ncodings = [\n  \"br\",\n  \"gzip\",\n  \"br\",\n]" =>
        "proxy.toml:5: compression.codings = \"br\": expected only once in the list";
    a_switch_for_a_list: "compression.codings = false" =>
        "proxy.toml:1: compression.codings = false: expected a string or an array of strings, not a boolean";
    a_least_length_of_all: "compression.min_bytes = \"2MiB\"" =>
        "proxy.toml:1: compression.min_bytes = \"2MiB\": expected a size from 0 to \"1MiB\"";
    levels_beyond_their_ends:
        "[compression]\ngzip_level = 0\nbrotli_level = 12\nzstd_level = 22\nrecode_cpu_percent = 101" =>
        "proxy.toml:2: compression.gzip_level = 0: expected a whole number from 1 to 9\n\
         proxy.toml:3: compression.brotli_level = 12: expected a whole number from 0 to 11\n\
         proxy.toml:4: compression.zstd_level = 22: expected a whole number from 1 to 19\n\
         proxy.toml:5: compression.recode_cpu_percent = 101: expected a whole number from 0 to 100";
    a_percentage_with_its_sign: "compression.recode_cpu_percent = \"10%\"" =>
        "proxy.toml:1: compression.recode_cpu_percent = \"10%\": expected a whole number from 0 to 100, not a string";
    types_that_are_never_coded: "compression.types = [\"Text/Event-Stream\", \"application/grpc+proto\"]" =>
        "proxy.toml:1: compression.types = \"Text/Event-Stream\": \
         has no effect: it is never coded, since events have to arrive one by one\n\
         proxy.toml:1: compression.types = \"application/grpc+proto\": \
         has no effect: it is never coded, since gRPC codes each of its messages itself";
    cache_headers_of_another_mode: "cache_headers.mode = \"always\"" =>
        "proxy.toml:1: cache_headers.mode = \"always\": expected \"missing\", \"override\" or \"never\"";
    a_lifetime_in_seconds: "cache_headers.api_max_age = 300" =>
        "proxy.toml:1: cache_headers.api_max_age = 300: expected a duration with its unit, such as \"300s\"";
    a_lifetime_for_ever: "cache_headers.hashed_max_age = \"9999d\"" =>
        "proxy.toml:1: cache_headers.hashed_max_age = \"9999d\": expected a duration from \"0s\" to \"3650d\"";
    a_header_for_a_section: "cache_header.mode = \"never\"" =>
        "proxy.toml:1: cache_header: unknown section; did you mean \"cache_headers\"?";
    a_level_of_another_coding: "[compression]\nbr_level = 5\nlevel = 5" =>
        "proxy.toml:2: compression.br_level: unknown key; did you mean \"brotli_level\"?\n\
         proxy.toml:3: compression.level: unknown key; [compression] takes codings, min_bytes, gzip_level, \
         brotli_level, zstd_level, types, skip_private, recode_cpu_percent";

    a_class_of_another_kind: "[[route]]\nmatch = \"/\"\nclass = \"public\"" =>
        "proxy.toml:3: route.class = \"public\": expected \"static\", \"api\", \"monitoring\" or \"health\"";
    a_word_for_no_compression: "[[route]]\nmatch = \"/\"\ncompress = \"gzip\"" =>
        "proxy.toml:3: route.compress = \"gzip\": expected true or false, not a string";
}

#[test]
fn types_in_other_forms_are_refused() {
    let other = ["json", "*", "*/*", "text/html; charset=utf-8", "application/*+json", "*+", "/css", "text/", "a/b/c"];
    for given in other {
        let expected = format!(
            "proxy.toml:1: compression.types = \"{given}\": expected a media type without parameters, \
             such as \"application/json\", \"text/*\" or \"*+json\""
        );
        assert_eq!(parse(&format!("compression.types = {given:?}")), Err(expected));
    }
}

#[test]
fn what_is_said_about_answers_is_believed() {
    let config = accepted(
        "[compression]\ncodings = [\"gzip\", \"br\"]\nmin_bytes = \"1KiB\"\ngzip_level = 9\nbrotli_level = 0\n\
         zstd_level = 19\ntypes = [\"TEXT/*\", \"*+Json\", \"font/ttf\"]\nskip_private = true\nrecode_cpu_percent = 0\n\
         [cache_headers]\nmode = \"override\"\nhashed_max_age = \"30d\"\nstatic_max_age = \"2h\"\n\
         api_max_age = \"0s\"\nmonitoring_max_age = \"10s\"",
    );
    let compression = compress::Settings {
        codings: vec![Coding::Gzip, Coding::Br],
        min_bytes: 1024,
        gzip_level: 9,
        brotli_level: 0,
        zstd_level: 19,
        types: ["text/*", "*+json", "font/ttf"].map(String::from).to_vec(),
        skip_private: true,
        recode_cpu_percent: 0,
    };
    let cache_headers = cache_headers::Settings {
        mode: cache_headers::Mode::Override,
        hashed_max_age: Duration::from_secs(30 * 86_400),
        static_max_age: Duration::from_secs(7200),
        api_max_age: Duration::ZERO,
        monitoring_max_age: Duration::from_secs(10),
    };
    assert_eq!(config, Config { compression, cache_headers, ..Config::default() });
    assert_eq!(accepted(&config.to_toml()), config);
}

#[test]
fn empty_lists_switch_off() {
    let config = accepted("[compression]\ncodings = []\ntypes = []\ngzip_level = 9");
    assert!(config.compression.codings.is_empty() && config.compression.types.is_empty());
    assert_eq!(accepted(&config.to_toml()), config);
}

#[test]
fn a_class_needs_no_cache_of_ours() {
    let classes = CLASSES.map(|(word, _)| format!("[[route]]\nmatch = \"/{word}\"\nclass = {word:?}\ncache = false\n"));
    let config = accepted(&format!("cache_headers.mode = \"never\"\n{}", classes.concat()));
    assert_eq!(
        config.routes.iter().map(|route| route.policy.class).collect::<Vec<_>>(),
        CLASSES.map(|(_, class)| Some(class))
    );
    assert_eq!(accepted(&config.to_toml()), config);
}
