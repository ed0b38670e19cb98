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

    fn plus(self, other: Self) -> Self {
        Self {
            bodies: self.bodies + other.bodies,
            input_bytes: self.input_bytes + other.input_bytes,
            output_bytes: self.output_bytes + other.output_bytes,
        }
    }
}

/// What was done with one coding, or with all.
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
