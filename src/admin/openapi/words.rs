//! The schemas of words that are fixed: objects that have a number for each, and strings that are one of them.
//!
//! They are made of the same lists as the figures, so that a new word is in the description as soon as it is counted.

use utoipa::{
    PartialSchema,
    openapi::{
        Object, ObjectBuilder, Ref, Schema, Type,
        schema::{AdditionalProperties, SchemaType},
    },
};

use crate::{
    advice::{self, Confidence, Severity},
    cache::{self, purge},
    compress,
    header::coding::Coding,
    profile::{METHODS, Verdict, Window},
    query, task,
};

use crate::admin::{
    query_stats::view::CLASS_NAMES,
    tasks::view::{STORES, after_restart},
};

pub(in crate::admin) fn evictions() -> Object {
    each(cache::Evicted::ALL, cache::Evicted::name, "What left the store, by reason.")
}

pub(in crate::admin) fn bypasses() -> Object {
    each(cache::Bypass::ALL, cache::Bypass::name, "Requests that the cache took no part in, by reason.")
}

pub(in crate::admin) fn some_bypasses() -> Object {
    let what = "Requests that the cache took no part in, by reason; reasons that never were are left out.";
    some(cache::Bypass::ALL, cache::Bypass::name, what).build()
}

pub(in crate::admin) fn rejections() -> Object {
    each(cache::Skip::ALL, cache::Skip::name, "Responses that were not stored, by reason.")
}

pub(in crate::admin) fn some_rejections() -> Object {
    let what = "Responses that were not stored, by reason; reasons that never were are left out.";
    some(cache::Skip::ALL, cache::Skip::name, what).build()
}

pub(in crate::admin) fn keyed_rejections() -> Object {
    let words = [cache::Skip::TooLarge, cache::Skip::NoRoom];
    each(&words, cache::Skip::name, "Values that were not stored, by reason.")
}

pub(in crate::admin) fn purges() -> Object {
    let of_mode = || each(purge::Kind::ALL, purge::Kind::name, "Stored responses by what the purge named.");
    purge::Mode::ALL
        .iter()
        .fold(ObjectBuilder::new(), |object, mode| object.property(mode.name(), of_mode()).required(mode.name()))
        .description(Some("Stored responses that were purged, by mode."))
        .build()
}

pub(in crate::admin) fn uncoded() -> Object {
    each(&compress::Skip::ALL, compress::Skip::name, "Responses sent as the app made them, by reason.")
}

pub(in crate::admin) fn by_coding() -> Object {
    named(&Coding::ALL, Coding::name, "OfCoding", "The same figures by coding.")
}

pub(in crate::admin) fn by_type() -> Object {
    let kinds = compress::stats::Kind::ALL;
    named(&kinds, compress::stats::Kind::name, "OfType", "The same figures by kind of content.")
}

pub(in crate::admin) fn mode() -> Object {
    let what =
        "`hard` drops what is meant. `soft` has it stale from now on, so that it is used only where stale may be.";
    one_of(purge::Mode::ALL, purge::Mode::name, what)
}

pub(in crate::admin) fn task_kind() -> Object {
    one_of(
        &task::Kind::ALL,
        task::Kind::word,
        "What it does: `http_async` is a client's request, all others are the operator's jobs.",
    )
}

pub(in crate::admin) fn task_status() -> Object {
    one_of(&task::Status::ALL, task::Status::word, "Where it stands.")
}

pub(in crate::admin) fn task_status_or_none() -> Object {
    one_of_or_none(&task::Status::ALL, task::Status::word, "Where it stood before; `null` for the first step.")
}

pub(in crate::admin) fn task_reason() -> Object {
    one_of(&task::Reason::ALL, task::Reason::word, "Why it failed.")
}

pub(in crate::admin) fn task_reason_or_none() -> Object {
    one_of_or_none(&task::Reason::ALL, task::Reason::word, "Why it failed; `null` where it did not.")
}

pub(in crate::admin) fn task_actor() -> Object {
    let all = [task::Actor::Client, task::Actor::Admin, task::Actor::System];
    one_of(&all, task::Actor::word, "Who brought it about.")
}

pub(in crate::admin) fn task_progress_source() -> Object {
    let all = [task::Source::Estimated, task::Source::Reported];
    one_of(&all, task::Source::word, "Whether `progress` is guessed, or told by whoever does the work.")
}

pub(in crate::admin) fn task_after_restart() -> Object {
    let all = [task::AfterRestart::Repeat, task::AfterRestart::Once, task::AfterRestart::Fail];
    let what = "What a restart does with it where it has not ended: `repeat` begins it, again if need be; `once` begins it \
                if it was not begun; `fail` fails it.";
    one_of(&all, after_restart, what)
}

pub(in crate::admin) fn task_store() -> Object {
    let what = "`memory`: a restart loses the tasks. `unmade`: the file is made with the first task. `file`: it is written \
                to. `off`: it cannot be used, and there are no tasks until the next start.";
    one_of(&STORES, |state| state, what)
}

pub(in crate::admin) fn attribution() -> Object {
    let what = "Percent of the queries by how it is known which request they belong to; `null` without queries.";
    let levels =
        query::Level::ALL.iter().fold(nullable(what), |object, level| object.property(level.name(), f64::schema()));
    levels.build()
}

pub(in crate::admin) fn query_histogram() -> Object {
    let what = "Queries by how many milliseconds they took.";
    each(&[0, 1, 2, 3, 4, 5, 6, 7, 8], |class| CLASS_NAMES[class], what)
}

pub(in crate::admin) fn query_evidence() -> Object {
    let anything = Some(AdditionalProperties::<Schema>::FreeForm(true));
    let figures = ObjectBuilder::new().additional_properties(anything);
    figures
        .description(Some("Every figure that it rests on, with the unit in its name; which, depends on `type`."))
        .build()
}

pub(in crate::admin) fn query_severity() -> Object {
    one_of(&query::Severity::ALL, query::Severity::name, "How grave it is.")
}

pub(in crate::admin) fn index_verdict() -> Object {
    one_of(&query::explain::Verdict::NAMES, |name| name, "What the planner's answer means.")
}

pub(in crate::admin) fn bound() -> Object {
    let what = "The bound that responses leave the store for, `cache.max_bytes` or `cache.max_entries`; `null` where none does.";
    one_of_or_none(&["bytes", "entries"], |name| name, what)
}

pub(in crate::admin) fn mode_of_work() -> Object {
    one_of(&["on", "observe"], |mode| mode, "What `mode` in the configuration says.")
}

pub(in crate::admin) fn window() -> Object {
    let names = Window::ALL.map(|(_, window)| window);
    one_of(&names, Window::name, "How far back the figures go.")
}

pub(in crate::admin) fn method() -> Object {
    one_of(&METHODS, |method| method, "A method, or `_OTHER` for one that is not among the nine standard ones.")
}

pub(in crate::admin) fn verdict() -> Object {
    let all = [Verdict::Faster, Verdict::Slower, Verdict::Same, Verdict::Unclear, Verdict::TooFew];
    one_of(&all, Verdict::name, "What the change of the median amounts to, of `b` against `a`.")
}

pub(in crate::admin) fn outcome() -> Object {
    one_of(cache::Outcome::ALL, cache::Outcome::name, "How a request was answered.")
}

pub(in crate::admin) fn marker_kind() -> Object {
    let what = "What may make things different: settings that were taken up, another version of the app, or that \
                everything was purged.";
    one_of(&advice::Kind::ALL, advice::Kind::name, what)
}

pub(in crate::admin) fn finding_kind() -> Object {
    let kinds: Vec<&'static str> = advice::kinds().collect();
    one_of(&kinds, |kind| kind, "What it is about.")
}

/// Everything that can be muted.
pub(in crate::admin) fn mutable() -> Object {
    let kinds = advice::kinds().collect::<Vec<_>>().join("|");
    let id = format!(r"^({kinds})(:[^\u0000-\u001f\u007f-\u009f]+)?$");
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(id));
    let what = "The id of a finding, or a kind for all of that kind. It may not have control characters.";
    text.min_length(Some(1)).max_length(Some(advice::Muted::LONGEST)).description(Some(what)).build()
}

pub(in crate::admin) fn severity() -> Object {
    one_of(&Severity::ALL, Severity::name, "How grave it is.")
}

pub(in crate::admin) fn confidence() -> Object {
    let what = "`measured`, or `candidate` where somebody who knows the app has to say whether it is so.";
    one_of(&Confidence::ALL, Confidence::name, what)
}

pub(in crate::admin) fn evidence() -> Object {
    let figure = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::Number, Type::String]));
    let figures = ObjectBuilder::new().additional_properties(Some(figure));
    figures.description(Some("Every figure that was looked at, with the unit in its name.")).build()
}

/// An object that may be missing.
fn nullable(what: &str) -> ObjectBuilder {
    let types = SchemaType::from_iter([Type::Object, Type::Null]);
    ObjectBuilder::new().schema_type(types).description(Some(what))
}

/// An object that has a number for each of these words.
fn each<T: Copy>(words: &[T], name: fn(T) -> &'static str, what: &str) -> Object {
    words.iter().fold(some(words, name, what), |object, word| object.required(name(*word))).build()
}

/// An object that has a number for some of these words and for no others.
fn some<T: Copy>(words: &[T], name: fn(T) -> &'static str, what: &str) -> ObjectBuilder {
    let no_others = ObjectBuilder::new().additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    let object = words.iter().fold(no_others, |object, word| object.property(name(*word), u64::schema()));
    object.description(Some(what))
}

/// An object that has figures of this schema for each of these words.
fn named<T: Copy>(words: &[T], name: fn(T) -> &'static str, schema: &str, what: &str) -> Object {
    let with = |object: ObjectBuilder, word: &T| {
        object.property(name(*word), Ref::from_schema_name(schema)).required(name(*word))
    };
    words.iter().fold(ObjectBuilder::new().description(Some(what)), with).build()
}

/// A string that is one of these words.
fn one_of<T: Copy>(words: &[T], name: fn(T) -> &'static str, what: &str) -> Object {
    let names = words.iter().map(|word| name(*word));
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).description(Some(what)).build()
}

/// The same, or `null`.
fn one_of_or_none<T: Copy>(words: &[T], name: fn(T) -> &'static str, what: &str) -> Object {
    let names = words.iter().map(|word| serde_json::Value::from(name(*word))).chain([serde_json::Value::Null]);
    let types = SchemaType::from_iter([Type::String, Type::Null]);
    ObjectBuilder::new().schema_type(types).enum_values(Some(names)).description(Some(what)).build()
}
