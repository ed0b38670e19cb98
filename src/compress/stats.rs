//! What coding did and cost: bytes in and out, by coding and by type; encoders' time; and why bodies were left alone.

use std::time::Duration;

use crate::{
    header::{
        coding::Coding,
        fields::{is, starts_with},
    },
    traffic::Counter,
};

use super::eligible::{Skip, essence};

/// Kinds of content, so that figures by type have a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// JSON and its many suffixed types.
    Json,
    /// HTML, and XHTML.
    Html,
    /// Scripts.
    Javascript,
    /// Style sheets.
    Css,
    /// XML and its many suffixed types, but SVG and XHTML.
    Xml,
    /// SVG.
    Svg,
    /// Any other `text/*`.
    Text,
    /// WebAssembly.
    Wasm,
    /// Fonts.
    Font,
    /// Everything else, and what has no type.
    Other,
}

impl Kind {
    /// Every kind, in the order of their counters.
    pub const ALL: [Self; 10] = [
        Self::Json,
        Self::Html,
        Self::Javascript,
        Self::Css,
        Self::Xml,
        Self::Svg,
        Self::Text,
        Self::Wasm,
        Self::Font,
        Self::Other,
    ];

    /// The word for it in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Html => "html",
            Self::Javascript => "javascript",
            Self::Css => "css",
            Self::Xml => "xml",
            Self::Svg => "svg",
            Self::Text => "text",
            Self::Wasm => "wasm",
            Self::Font => "font",
            Self::Other => "other",
        }
    }

    /// The kind of a Content-Type, whatever its case and parameters.
    pub fn of(content_type: Option<&[u8]>) -> Self {
        let essence = essence(content_type.unwrap_or_default());
        let any = |names: &[&str]| names.iter().any(|name| is(essence, name));
        let ends = |suffix: &str| essence.len() > suffix.len() && is(&essence[essence.len() - suffix.len()..], suffix);
        match () {
            () if any(&["text/html", "application/xhtml+xml"]) => Self::Html,
            () if any(&["image/svg+xml"]) => Self::Svg,
            () if any(&["text/css"]) => Self::Css,
            // The types of RFC 9239, and one in use before it.
            () if ends("/javascript") || ends("/ecmascript") || ends("/x-javascript") => Self::Javascript,
            () if ends("/json") || ends("+json") || ends("/x-ndjson") => Self::Json,
            () if ends("/xml") || ends("+xml") => Self::Xml,
            () if any(&["application/wasm"]) => Self::Wasm,
            () if starts_with(essence, "font/") || any(&["application/vnd.ms-fontobject"]) => Self::Font,
            () if starts_with(essence, "text/") => Self::Text,
            () => Self::Other,
        }
    }
}

/// What coding did since the start.
#[derive(Debug, Default)]
pub struct Stats {
    codings: [OfCoding; Coding::ALL.len()],
    kinds: [Counted; Kind::ALL.len()],
    skips: [Counter; Skip::ALL.len()],
    recoded: Counted,
}

#[derive(Debug, Default)]
struct OfCoding {
    sent: Counted,
    quick: Counter,
    best: Counter,
    cpu_nanos: Counter,
    decoded: Counter,
}

#[derive(Debug, Default)]
struct Counted {
    bodies: Counter,
    input: Counter,
    output: Counter,
}

impl Counted {
    fn add(&self, input: u64, output: u64) {
        self.bodies.add();
        self.input.add_many(input);
        self.output.add_many(output);
    }

    fn volume(&self) -> Volume {
        Volume { bodies: self.bodies.value(), input_bytes: self.input.value(), output_bytes: self.output.value() }
    }
}

impl Stats {
    /// Counts a response that was sent coded, whether it was coded for it or before: `input` bytes of the app's as
    /// `output` bytes.
    pub fn compressed(&self, coding: Coding, content_type: Option<&[u8]>, input: u64, output: u64) {
        self.codings[coding as usize].sent.add(input, output);
        self.kinds[Kind::of(content_type) as usize].add(input, output);
    }

    /// Counts a response that was sent as the app made it.
    pub fn skipped(&self, why: Skip) {
        self.skips[why as usize].add();
    }

    /// Counts a body that went through an encoder, at the `best` level or the quick one, and the CPU time it took.
    pub fn encoded(&self, coding: Coding, best: bool, cpu: Duration) {
        let of = &self.codings[coding as usize];
        if best {
            of.best.add()
        } else {
            of.quick.add()
        }
        // A duration beyond 584 years is a mistake.
        of.cpu_nanos.add_many(u64::try_from(cpu.as_nanos()).unwrap_or(0));
    }

    /// Counts a stored body that a smaller one has taken the place of; both lengths in bytes.
    pub fn recoded(&self, before: u64, after: u64) {
        self.recoded.add(before, after);
    }

    /// Counts a response that the app had coded so, and that was decoded for a client that does not take it.
    pub fn decoded(&self, coding: Coding) {
        self.codings[coding as usize].decoded.add();
    }

    /// The counters as plain data.
    pub fn snapshot(&self) -> Snapshot {
        let codings = Coding::ALL.map(|coding| {
            let of = &self.codings[coding as usize];
            CodingFigures {
                coding,
                sent: of.sent.volume(),
                quick_encodings: of.quick.value(),
                best_encodings: of.best.value(),
                cpu: Duration::from_nanos(of.cpu_nanos.value()),
                decoded: of.decoded.value(),
            }
        });
        Snapshot {
            codings: codings.to_vec(),
            kinds: Kind::ALL.iter().map(|kind| (*kind, self.kinds[*kind as usize].volume())).collect(),
            skips: Skip::ALL.iter().map(|skip| (*skip, self.skips[*skip as usize].value())).collect(),
            recoded: self.recoded.volume(),
        }
    }
}

/// Bodies, and what coding made of their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Bodies counted.
    pub bodies: u64,
    /// Their bytes before.
    pub input_bytes: u64,
    /// Their bytes after.
    pub output_bytes: u64,
}

impl Volume {
    /// Bytes fewer after than before; negative where there are more.
    pub fn bytes_saved(&self) -> i64 {
        self.input_bytes.wrapping_sub(self.output_bytes).cast_signed()
    }

    /// Output in percent of input, over all bytes: 25 means a quarter is left. `None` without input.
    pub fn average_ratio_percent(&self) -> Option<f64> {
        (self.input_bytes > 0).then(|| self.output_bytes as f64 * 100.0 / self.input_bytes as f64)
    }

    fn minus(self, other: Self) -> Self {
        Self {
            bodies: self.bodies.saturating_sub(other.bodies),
            input_bytes: self.input_bytes.saturating_sub(other.input_bytes),
            output_bytes: self.output_bytes.saturating_sub(other.output_bytes),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            bodies: self.bodies + other.bodies,
            input_bytes: self.input_bytes + other.input_bytes,
            output_bytes: self.output_bytes + other.output_bytes,
        }
    }
}

/// What was done with one coding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodingFigures {
    /// Which one.
    pub coding: Coding,
    /// Responses sent in it, those from the store among them.
    pub sent: Volume,
    /// Bodies that an encoder coded at the level for at once.
    pub quick_encodings: u64,
    /// Bodies that an encoder coded at the best level.
    pub best_encodings: u64,
    /// CPU time of its encoders.
    pub cpu: Duration,
    /// Responses that the app had coded in it and that were decoded.
    pub decoded: u64,
}

/// The figures at one moment, as JSON, metrics and dashboard show them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// By coding.
    pub codings: Vec<CodingFigures>,
    /// Responses sent coded, by the kind of their content.
    pub kinds: Vec<(Kind, Volume)>,
    /// Responses sent as the app made them, by reason.
    pub skips: Vec<(Skip, u64)>,
    /// Stored bodies that smaller ones have taken the place of.
    pub recoded: Volume,
}

impl Snapshot {
    /// What was counted since it was `before`.
    pub fn since(mut self, before: &Self) -> Self {
        for (now, before) in self.codings.iter_mut().zip(&before.codings) {
            now.sent = now.sent.minus(before.sent);
            now.quick_encodings = now.quick_encodings.saturating_sub(before.quick_encodings);
            now.best_encodings = now.best_encodings.saturating_sub(before.best_encodings);
            now.cpu = now.cpu.saturating_sub(before.cpu);
            now.decoded = now.decoded.saturating_sub(before.decoded);
        }
        self.kinds.iter_mut().zip(&before.kinds).for_each(|((_, now), (_, before))| *now = now.minus(*before));
        let skips = self.skips.iter_mut().zip(&before.skips);
        skips.for_each(|((_, now), (_, before))| *now = now.saturating_sub(*before));
        self.recoded = self.recoded.minus(before.recoded);
        self
    }

    /// Responses sent coded, in whatever coding; saved bytes and ratio are [`Volume::bytes_saved`] and
    /// [`Volume::average_ratio_percent`] of it.
    pub fn sent(&self) -> Volume {
        self.codings.iter().fold(Volume::default(), |sum, figures| sum.plus(figures.sent))
    }

    /// Responses sent as the app made them, for whatever reason.
    pub fn skipped(&self) -> u64 {
        self.skips.iter().map(|(_, count)| count).sum()
    }

    /// CPU time of all encoders, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        self.codings.iter().map(|figures| figures.cpu.as_secs_f64()).sum()
    }

    /// Bytes saved on the way to clients for each second of an encoder; `None` where none was spent.
    pub fn bytes_saved_per_cpu_second(&self) -> Option<f64> {
        let seconds = self.cpu_seconds();
        (seconds > 0.0).then(|| self.sent().bytes_saved() as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_content() {
        for (content_type, kind) in [
            ("application/json", Kind::Json),
            ("Application/JSON; charset=utf-8", Kind::Json),
            ("text/json", Kind::Json),
            ("application/problem+json", Kind::Json),
            ("application/x-ndjson", Kind::Json),
            ("application/json5", Kind::Other),
            ("text/html", Kind::Html),
            ("TEXT/HTML;charset=utf-8", Kind::Html),
            ("application/xhtml+xml", Kind::Html),
            ("text/javascript", Kind::Javascript),
            ("application/javascript", Kind::Javascript),
            ("application/x-javascript", Kind::Javascript),
            ("application/ecmascript", Kind::Javascript),
            ("text/css", Kind::Css),
            ("text/xml", Kind::Xml),
            ("application/xml", Kind::Xml),
            ("application/rss+xml", Kind::Xml),
            ("image/svg+xml", Kind::Svg),
            ("text/plain", Kind::Text),
            ("text/csv", Kind::Text),
            ("application/wasm", Kind::Wasm),
            ("font/ttf", Kind::Font),
            ("application/vnd.ms-fontobject", Kind::Font),
            ("image/bmp", Kind::Other),
            ("application/octet-stream; a=text/html", Kind::Other),
            ("/json", Kind::Other),
            ("text", Kind::Other),
            ("", Kind::Other),
            ("é", Kind::Other),
        ] {
            assert_eq!(Kind::of(Some(content_type.as_bytes())), kind, "{content_type}");
        }
        assert_eq!(Kind::of(None), Kind::Other);
    }

    #[test]
    fn kinds_have_a_place_and_a_word_each() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            assert_eq!(Kind::ALL.iter().filter(|other| other.name() == kind.name()).count(), 1, "{}", kind.name());
        }
        // Counters by coding rest on this too.
        assert!(Coding::ALL.into_iter().enumerate().all(|(place, coding)| coding as usize == place));
    }

    #[test]
    fn before_the_first_response_no_ratio_is_made_up() {
        let snapshot = Stats::default().snapshot();
        assert_eq!(snapshot.sent(), Volume::default());
        assert_eq!((snapshot.sent().bytes_saved(), snapshot.sent().average_ratio_percent()), (0, None));
        assert_eq!((snapshot.cpu_seconds(), snapshot.bytes_saved_per_cpu_second()), (0.0, None));
        assert_eq!((snapshot.skipped(), snapshot.recoded.average_ratio_percent()), (0, None));
        let lengths = (snapshot.codings.len(), snapshot.kinds.len(), snapshot.skips.len());
        assert_eq!(lengths, (Coding::ALL.len(), Kind::ALL.len(), Skip::ALL.len()));
    }

    #[test]
    fn the_whole_is_the_sum_of_the_codings_and_of_the_kinds() {
        let stats = Stats::default();
        stats.compressed(Coding::Br, Some(b"text/html"), 1000, 200);
        stats.compressed(Coding::Br, Some(b"text/html; charset=utf-8"), 1000, 300);
        stats.compressed(Coding::Gzip, None, 2000, 500);
        let snapshot = stats.snapshot();
        let volume = |bodies, input_bytes, output_bytes| Volume { bodies, input_bytes, output_bytes };
        let of = |coding: Coding| snapshot.codings.iter().find(|figures| figures.coding == coding).unwrap().sent;
        assert_eq!((of(Coding::Br), of(Coding::Gzip)), (volume(2, 2000, 500), volume(1, 2000, 500)));
        assert_eq!(of(Coding::Zstd), Volume::default());
        assert_eq!(snapshot.sent(), volume(3, 4000, 1000));
        assert_eq!(snapshot.kinds.iter().fold(Volume::default(), |sum, (_, of)| sum.plus(*of)), snapshot.sent());
        assert!(snapshot.kinds.contains(&(Kind::Html, volume(2, 2000, 500))));
        assert!(snapshot.kinds.contains(&(Kind::Other, volume(1, 2000, 500))));
        assert_eq!((snapshot.sent().bytes_saved(), snapshot.sent().average_ratio_percent()), (3000, Some(25.0)));
        assert_eq!(snapshot.bytes_saved_per_cpu_second(), None);
    }

    #[test]
    fn what_grew_is_not_called_saved() {
        let stats = Stats::default();
        stats.compressed(Coding::Zstd, None, 1000, 1010);
        let sent = stats.snapshot().sent();
        assert_eq!((sent.bytes_saved(), sent.average_ratio_percent()), (-10, Some(101.0)));
        stats.compressed(Coding::Zstd, None, 0, 20);
        assert_eq!(stats.snapshot().sent().bytes_saved(), -30);
    }

    #[test]
    fn encoders_are_counted_with_their_time() {
        let stats = Stats::default();
        stats.encoded(Coding::Br, false, Duration::from_millis(500));
        stats.encoded(Coding::Br, true, Duration::from_millis(1500));
        stats.encoded(Coding::Gzip, false, Duration::ZERO);
        // Hits save what was paid for once.
        (0..4).for_each(|_| stats.compressed(Coding::Br, None, 1000, 500));
        let snapshot = stats.snapshot();
        let encodings: Vec<(u64, u64)> =
            snapshot.codings.iter().map(|figures| (figures.quick_encodings, figures.best_encodings)).collect();
        assert_eq!(encodings, [(0, 0), (1, 1), (1, 0), (0, 0)]);
        assert_eq!((snapshot.cpu_seconds(), snapshot.bytes_saved_per_cpu_second()), (2.0, Some(1000.0)));
        stats.encoded(Coding::Br, true, Duration::MAX);
        assert_eq!(stats.snapshot().cpu_seconds(), 2.0);
    }

    #[test]
    fn skips_recoded_and_decoded_bodies_are_counted() {
        let stats = Stats::default();
        stats.skipped(Skip::TooSmall);
        stats.skipped(Skip::TooSmall);
        stats.skipped(Skip::Failed);
        stats.recoded(1000, 800);
        stats.recoded(1000, 700);
        stats.decoded(Coding::Deflate);
        let snapshot = stats.snapshot();
        let counted: Vec<(Skip, u64)> = snapshot.skips.iter().copied().filter(|(_, count)| *count > 0).collect();
        assert_eq!((counted, snapshot.skipped()), (vec![(Skip::TooSmall, 2), (Skip::Failed, 1)], 3));
        assert_eq!((snapshot.recoded.bodies, snapshot.recoded.bytes_saved()), (2, 500));
        // The app's own work is not ours to boast of.
        assert_eq!(snapshot.sent(), Volume::default());
        assert_eq!(snapshot.codings.iter().map(|figures| figures.decoded).collect::<Vec<_>>(), [0, 0, 0, 1]);
    }
}
