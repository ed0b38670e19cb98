//! Accept-Encoding (RFC 9110 §12.5.3): which codings a client takes, and which of ours it likes best.

use super::{
    Fields, RequestHead,
    coding::Coding,
    fields::{is, trim},
};

/// What a client says it takes, read once per request from every line of the field.
///
/// Reading takes one pass and no memory, whatever stands there. An element that is malformed is as if it were not there
/// (§12.4.2 gives no other meaning to it). Of a coding that stands there twice the lower weight counts, in whatever
/// order: what a client has refused once, it is not sent.
///
/// A client that does not send the field is taken to want no coding. §12.5.3 would allow any; but programs that do not
/// ask for one are those that cannot undo it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Whether the field was there.
    is_stated: bool,
    /// The weight of each coding in thousandths, in the order of [`Coding::ALL`]; 0 is not acceptable (§12.4.2).
    weights: [u16; Coding::ALL.len()],
    /// The weight of no coding at all; `None` where it has none of its own: acceptable, and the least wanted.
    identity: Option<u16>,
}

impl Accepted {
    /// Reads a request's Accept-Encoding.
    pub fn of<M: Fields>(request: &M) -> Self {
        let mut is_stated = false;
        let mut named = [None; Coding::ALL.len()];
        let (mut identity, mut others) = (None, None);
        for line in request.all("accept-encoding") {
            is_stated = true;
            for (name, weight) in line.split(|byte| *byte == b',').filter_map(element) {
                let slot = match Coding::named(name) {
                    Some(coding) => &mut named[coding as usize],
                    None if is(name, "identity") => &mut identity,
                    None if name == b"*" => &mut others,
                    None => continue,
                };
                *slot = Some(slot.map_or(weight, |before: u16| before.min(weight)));
            }
        }
        // `*` stands for every coding that is not listed. For identity, only a refusal by it is said to count; its
        // weight would make `*;q=0.5, gzip;q=0.1` ask for no coding.
        let weights = named.map(|weight| weight.or(others).unwrap_or(0));
        Self { is_stated, weights, identity: identity.or(others.filter(|weight| *weight == 0)) }
    }

    /// Reads it and takes it out of the head, so that neither cache nor app chooses by it.
    pub fn take(request: &mut RequestHead) -> Self {
        let accepted = Self::of(request);
        request.remove("accept-encoding");
        accepted
    }

    /// The coding to send: of the acceptable ones in `preference` the one with the highest weight, of equal ones the
    /// first. `None` is identity: where none is acceptable, or the client wants identity more than any.
    pub fn choose(&self, preference: &[Coding]) -> Option<Coding> {
        self.ties(preference).next()
    }

    /// The chosen coding, and then every other of `preference` that the client wants as much, in that order; nothing
    /// where identity is chosen.
    pub fn ties(&self, preference: &[Coding]) -> impl Iterator<Item = Coding> {
        let highest = preference.iter().map(|coding| self.weight(*coding)).max().unwrap_or(0);
        let is_wanted = highest > 0 && highest >= self.identity.unwrap_or(0);
        preference.iter().copied().filter(move |coding| is_wanted && self.weight(*coding) == highest)
    }

    /// Whether nothing that can be sent is acceptable, neither a coding of `preference` nor identity. A server may send
    /// identity all the same (§12.5.3).
    pub fn refuses_all(&self, preference: &[Coding]) -> bool {
        !self.takes_identity() && !preference.iter().any(|coding| self.takes(*coding))
    }

    /// Whether a body in this coding is acceptable.
    pub fn takes(&self, coding: Coding) -> bool {
        self.weight(coding) > 0
    }

    /// Whether a body in no coding is acceptable: unless `identity;q=0` says otherwise, or `*;q=0` without it.
    pub fn takes_identity(&self) -> bool {
        self.identity != Some(0)
    }

    /// Whether the client said anything. By §12.5.3 one that did not can be sent a body in any coding, should the app
    /// have made one unasked; nothing else here supposes so.
    pub fn is_stated(&self) -> bool {
        self.is_stated
    }

    fn weight(&self, coding: Coding) -> u16 {
        self.weights[coding as usize]
    }
}

/// The name and the weight of an element, in thousandths; `None` where it is malformed (§12.4.2). A name that is no
/// token is the name of nothing.
fn element(element: &[u8]) -> Option<(&[u8], u16)> {
    let Some(semicolon) = memchr::memchr(b';', element) else { return Some((trim(element), 1000)) };
    // RFC 5234 §2.3: the q of the grammar stands for both cases.
    let [b'q' | b'Q', b'=', weight @ ..] = trim(&element[semicolon + 1..]) else { return None };
    Some((trim(&element[..semicolon]), thousandths(weight)?))
}

/// A qvalue (§12.4.2): 0 to 1 with at most three decimals, in thousandths.
pub fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, decimals) = match weight {
        [whole] => (whole, [].as_slice()),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    if !matches!(whole, b'0' | b'1') || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let decimals = decimals.iter().zip([100, 10, 1]).map(|(digit, place)| u16::from(digit - b'0') * place);
    let weight = u16::from(whole - b'0') * 1000 + decimals.sum::<u16>();
    (weight <= 1000).then_some(weight)
}
