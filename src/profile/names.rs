//! The names of endpoints: as configured, else as the app's own route, else folded from paths, with what is one of many at
//! its place folded too.
//!
//! What paths are called by the configuration and by routes is in `known`. A route is learned from a span of the app's; what
//! was counted for its paths until then is counted under its name from then on ([`Names::learn`]).
//!
//! A tree of segments remembers which words stand at each place. Where more than [`FAN_OUT`] different ones come, they
//! are somebody's titles or a scanner's guesses: whoever keeps the figures is asked which of them have traffic of their
//! own ([`Crowded`]). Those keep their names, and the rest is `{slug}` from then on, like every word that comes later
//! and does not come often.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use super::{
    folding::{MAX_SEGMENTS, REST, SLUG},
    known::Known,
    often::Often,
};

/// More different words at one place are not each an endpoint.
pub(super) const FAN_OUT: usize = 32;
/// Words at one place that keep their names because of their traffic, at most.
const MOST_NAMED: usize = 96;
/// A word that comes so often where most others do not gets its name back.
const OFTEN: u32 = 32;
/// Places in the tree, some 200 bytes each. When there are no more, new words are `{slug}`.
const MOST_PLACES: usize = 4096;

/// A path template of the configuration, such as `/users/{name}` or `/files/**`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// `{name}` stands for one segment, and `**` at the end for any number of them.
    ///
    /// # Errors
    /// When it does not begin with `/`, or has a brace or `**` anywhere else.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let expected = "expected a path such as \"/users/{id}\" or \"/files/**\"";
        let segments = || text.strip_prefix('/').into_iter().flat_map(|rest| rest.split('/'));
        let count = segments().count();
        let valid = |(at, segment): (usize, &str)| match segment {
            REST => at + 1 == count,
            segment if is_placeholder(segment) => {
                segment.len() > 2 && !segment[1..segment.len() - 1].contains(['{', '}'])
            }
            segment => segment.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}*?#\"\\".contains(&byte)),
        };
        let known = (1..=MAX_SEGMENTS + 1).contains(&count) && text.len() <= super::sample::PATH_BYTES;
        if known && segments().enumerate().all(valid) { Ok(Self(text.into())) } else { Err(expected) }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands between slashes.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0[1..].split('/')
    }

    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let Some(path) = path.strip_prefix(b"/") else { return false };
        let mut given = path.split(|byte| *byte == b'/');
        for segment in self.segments() {
            match (segment, given.next()) {
                (_, None) => return false,
                (REST, Some(_)) => return true,
                (segment, Some(given)) if is_placeholder(segment) && !given.is_empty() => {}
                (segment, Some(given)) if segment.as_bytes() == given => {}
                _ => return false,
            }
        }
        given.next().is_none()
    }
}

pub(super) fn is_placeholder(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}')
}

/// Too many different words stand behind this prefix, which ends without a slash.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crowded(pub(super) String);

/// The names of endpoints.
#[derive(Debug)]
pub(super) struct Names {
    /// What needs no folding; whoever is asked on a request's way has the same.
    known: Arc<Known>,
    /// Places by number; the first is the root. Those that were given up are empty, and used again.
    places: Vec<Place>,
    free: Vec<usize>,
    often: Often,
}

#[derive(Debug, Default)]
struct Place {
    next: HashMap<Box<str>, usize, RandomState>,
    /// Words among `next`; the rest are placeholders.
    words: usize,
    /// Words that are new here are folded.
    crowded: bool,
}

impl Names {
    pub(super) fn new(templates: Vec<Template>) -> Self {
        Self {
            known: Known::new(templates).into(),
            places: vec![Place::default()],
            free: Vec::new(),
            often: Often::default(),
        }
    }

    pub(super) fn reload(&mut self, templates: Vec<Template>) {
        self.known = self.known.with(templates).into();
    }

    /// Takes up routes of the app.
    pub(super) fn learn(&mut self, routes: &[Template]) {
        let known = Arc::make_mut(&mut self.known);
        routes.iter().for_each(|route| known.learn(route));
    }

    pub(super) fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// Writes the name that a folded path, or a name, has by now; whether that may change, since a word in it was folded
    /// because of the many others at its place.
    ///
    /// # Errors
    /// When a place in it has too many words: then [`Names::thin`] is to be told which of them count.
    pub(super) fn unfold(&mut self, folded: &str, name: &mut String) -> Result<bool, Crowded> {
        name.clear();
        if !folded.starts_with('/') || self.known.is_name(folded) {
            name.push_str(folded);
            return Ok(false);
        }
        if let Some(route) = self.known.name_since(folded) {
            name.push_str(route);
            return Ok(false);
        }
        let (mut at, mut provisional) = (0, false);
        for (number, segment) in folded[1..].split('/').enumerate() {
            if number == MAX_SEGMENTS || segment == REST {
                name.push('/');
                name.push_str(REST);
                break;
            }
            let place = &self.places[at];
            let word = is_word(segment);
            let (mut step, mut next) = (segment, place.next.get(segment).copied());
            if word && next.is_none() {
                let full = place.words >= MOST_NAMED || self.places() >= MOST_PLACES;
                if place.crowded || full {
                    provisional = true;
                    let often = !full && self.often.count((&*name, segment)) >= OFTEN;
                    if !often {
                        (step, next) = (SLUG, self.places[at].next.get(SLUG).copied());
                    }
                } else if place.words >= FAN_OUT {
                    return Err(Crowded(name.clone()));
                }
            }
            name.push('/');
            name.push_str(step);
            at = next.unwrap_or_else(|| self.insert(at, step));
        }
        Ok(provisional)
    }

    fn insert(&mut self, at: usize, step: &str) -> usize {
        let next = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() - 1
        });
        let place = &mut self.places[at];
        place.words += usize::from(is_word(step));
        place.next.insert(step.into(), next);
        next
    }

    /// Places behind the root.
    fn places(&self) -> usize {
        self.places.len() - self.free.len() - 1
    }

    /// Keeps the words behind `prefix` that have traffic of their own, and folds all others there from now on.
    pub(super) fn thin(&mut self, prefix: &str, keeps: impl Fn(&str) -> bool) {
        let mut at = 0;
        for segment in prefix.split('/').skip(1) {
            let Some(next) = self.places[at].next.get(segment) else { return };
            at = *next;
        }
        let place = &mut self.places[at];
        place.crowded = true;
        let mut given_up: Vec<usize> =
            place.next.extract_if(|word, _| is_word(word) && !keeps(word)).map(|(_, next)| next).collect();
        place.words -= given_up.len();
        while let Some(at) = given_up.pop() {
            given_up.extend(std::mem::take(&mut self.places[at]).next.into_values());
            self.free.push(at);
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// Whether a segment is neither empty nor a placeholder.
fn is_word(segment: &str) -> bool {
    !segment.is_empty() && !is_placeholder(segment)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{folding::UNMATCHED, sample::Path},
        *,
    };

    fn look_up(names: &mut Names, path: &str, status: u16) -> Result<(String, bool), Crowded> {
        let (mut folded, mut name) = (String::new(), String::new());
        names.known().name(&Path::of(path.as_bytes()), status, &mut folded);
        names.unfold(&folded, &mut name).map(|provisional| (name, provisional))
    }

    fn name(names: &mut Names, path: &str) -> String {
        look_up(names, path, 200).unwrap().0
    }

    fn again(names: &mut Names, folded: &str) -> String {
        let mut name = String::new();
        names.unfold(folded, &mut name).unwrap();
        name
    }

    #[test]
    fn paths_are_folded_as_without_a_past() {
        let mut names = Names::default();
        for (path, expected) in [
            ("/", "/"),
            ("/users/17/posts/4", "/users/{id}/posts/{id}"),
            ("/users/", "/users/"),
            ("*", "*"),
            ("/a/b/c/d/e/f/g/h/i/j/k/l/m/n", "/a/b/c/d/e/f/g/h/i/j/k/l/**"),
        ] {
            assert_eq!(name(&mut names, path), expected, "{path}");
        }
        assert_eq!(look_up(&mut names, "/x", 404).unwrap().0, UNMATCHED);
        assert_eq!(look_up(&mut names, "/x", 405).unwrap().0, UNMATCHED);
        assert_eq!(name(&mut names, &format!("/a/{}", "b".repeat(200))), "/a/**");
        assert_eq!(name(&mut names, &format!("/{}", "b".repeat(200))), "/**");
    }

    #[test]
    fn configured_names_come_first() {
        let template = |text| Template::new(text).unwrap();
        let mut names = Names::new(vec![template("/blog/{title}"), template("/files/**"), template("/")]);
        for (path, status, expected) in [
            ("/blog/how-to", 200, "/blog/{title}"),
            ("/blog/how-to", 404, "/blog/{title}"),
            ("/blog/", 200, "/blog/"),
            ("/blog/how/to", 200, "/blog/how/to"),
            ("/files/a/b", 200, "/files/**"),
            ("/files", 200, "/files"),
            ("/", 405, "/"),
            ("/x", 405, UNMATCHED),
        ] {
            assert_eq!(look_up(&mut names, path, status).unwrap().0, expected, "{path}");
        }
        assert_eq!(again(&mut names, "/blog/{title}"), "/blog/{title}");
    }

    #[test]
    fn templates_that_mean_nothing_are_refused() {
        for text in ["", "users", "/a b", "/{}", "/{a", "/a}", "/{a}{b}", "/a/**/b", "/a*", "/a?x", "/é"] {
            assert!(Template::new(text).is_err(), "{text}");
        }
        for text in ["/", "/users/{id}", "/**", "/a/{b}/**", "/a/"] {
            assert_eq!(Template::new(text).map(|template| template.0), Ok(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn routes_name_what_was_folded_before() {
        let mut names = full();
        assert_eq!(name(&mut names, "/word-aaa/how-to"), "/word-aaa/how-to");
        names.learn(&[Template::new("/word-aaa/{title}").unwrap(), Template::new("/word-zzz/**").unwrap()]);
        assert_eq!(again(&mut names, "/word-aaa/how-to"), "/word-aaa/{title}");
        assert_eq!(again(&mut names, "/word-aaa/{title}"), "/word-aaa/{title}");
        // There is no room for another word, but a route needs none.
        assert_eq!(name(&mut names, "/word-zzz/a/b"), "/word-zzz/**");
        names.reload(vec![Template::new("/word-aaa/{configured}").unwrap()]);
        assert_eq!(name(&mut names, "/word-aaa/how-to"), "/word-aaa/{configured}");
        assert_eq!(name(&mut names, "/word-zzz/a/b"), "/word-zzz/**");
    }

    /// A tree with `FAN_OUT` words at its root.
    fn full() -> Names {
        let mut names = Names::default();
        for n in 0..FAN_OUT {
            name(&mut names, &format!("/word-{}", letters(n)));
        }
        names
    }

    /// Numbers in letters, which no rule folds.
    fn letters(n: usize) -> String {
        [n / 26 / 26 % 26, n / 26 % 26, n % 26].map(|at| char::from(b'a' + at as u8)).iter().collect()
    }

    #[test]
    fn what_is_one_of_many_is_folded_and_what_has_traffic_is_not() {
        let mut names = full();
        let crowded = look_up(&mut names, "/one-more", 200).unwrap_err();
        assert_eq!(crowded, Crowded(String::new()));
        names.thin("", |word| word == "word-aab");
        assert_eq!(name(&mut names, "/word-aab"), "/word-aab");
        assert_eq!(name(&mut names, "/word-aac"), "/{slug}");
        assert_eq!(again(&mut names, "/word-aac/x"), "/{slug}/x");
        assert_eq!(again(&mut names, "/{slug}/x"), "/{slug}/x");
        assert!(look_up(&mut names, "/one-more", 200).unwrap().1);
        // Behind it there is room again, common to all that were folded.
        assert_eq!(name(&mut names, "/one-more/reviews"), "/{slug}/reviews");
        assert_eq!(name(&mut names, "/one-more/reviews/7"), "/{slug}/reviews/{id}");
    }

    #[test]
    fn a_new_endpoint_gets_its_name_when_it_comes_often() {
        let mut names = full();
        names.thin("", |_| false);
        for n in 0..10_000 {
            name(&mut names, &format!("/noise-{}", letters(n)));
            if n % 20 == 0 {
                name(&mut names, "/checkout");
            }
        }
        assert_eq!(name(&mut names, "/checkout"), "/checkout");
    }

    #[test]
    fn the_tree_is_bounded() {
        let mut names = Names::default();
        for n in 0..200_000 {
            let path = format!("/{}/{}/{}", letters(n), letters(n / 3), letters(n / 7));
            while let Err(Crowded(prefix)) = look_up(&mut names, &path, 200) {
                names.thin(&prefix, |_| true);
            }
        }
        assert!(names.places() <= MOST_PLACES + MAX_SEGMENTS, "{}", names.places());
        assert_eq!(names.places(), names.places.iter().map(|place| place.next.len()).sum::<usize>());
    }
}
