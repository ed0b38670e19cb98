//! What paths are called by those who know: the configuration, and the routes of the app that its spans told of.
//!
//! Of learned routes the more specific one names a path: segment by segment, a word comes before `{name}`, and that before
//! `**`. Two that differ in nothing but what their parameters are called are one endpoint, named as the first that came.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use super::{
    folding::{MAX_SEGMENTS, REST, UNMATCHED, fold, is_unmatched},
    names::{Template, is_placeholder},
    sample::Path,
};

/// Routes that are learned, and places in their tree, of some 500 bytes each; paths of what comes later are folded.
const MOST_LEARNED: usize = 1000;
const MOST_PLACES: usize = 4096;

/// Who knows names of paths. To look one up takes no lock and allocates nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    configured: Vec<Template>,
    learned: Node,
    count: usize,
    places: usize,
}

/// A place in the tree of learned routes.
#[derive(Clone, Debug, Default)]
struct Node {
    words: HashMap<Box<[u8]>, Node, RandomState>,
    placeholder: Option<Box<Node>>,
    /// The route that ends here, and the one that takes all that is behind.
    name: Option<Arc<str>>,
    rest: Option<Arc<str>>,
}

impl Known {
    pub(super) fn new(configured: Vec<Template>) -> Self {
        Self { configured, ..Self::default() }
    }

    /// With another configuration; what was learned stays.
    pub(super) fn with(&self, configured: Vec<Template>) -> Self {
        Self { configured, ..self.clone() }
    }

    /// Whether this route is new, and there is room for it.
    pub(super) fn is_news(&self, route: &Template) -> bool {
        let room = self.count < MOST_LEARNED && self.places + MAX_SEGMENTS < MOST_PLACES;
        room && self.learned.of_shape(route).is_none()
    }

    /// Takes up a route of the app.
    pub(super) fn learn(&mut self, route: &Template) {
        if self.is_news(route) {
            self.places += self.learned.insert(route);
            self.count += 1;
        }
    }

    /// Whether this is itself a name that somebody gave.
    pub(super) fn is_name(&self, name: &str) -> bool {
        self.configured.iter().any(|template| template.as_str() == name)
            || self.count > 0
                && Template::new(name).is_ok_and(|template| self.learned.of_shape(&template) == Some(name))
    }

    /// What a name that was folded before is called since a route was learned. What takes all that is behind takes only
    /// what comes from now on: it may be what is left when others are not known yet.
    pub(super) fn name_since(&self, folded: &str) -> Option<&str> {
        let segments = folded.strip_prefix('/').filter(|rest| self.count > 0 && !rest.ends_with(REST))?;
        let name = self.learned.find(segments.as_bytes().split(|byte| *byte == b'/'), true)?;
        (!name.ends_with(REST)).then_some(name)
    }

    /// Writes what a path that was answered with this status is called, as far as it can be told without its past.
    pub(super) fn name(&self, path: &Path, status: u16, name: &mut String) {
        name.clear();
        let bytes = path.as_bytes();
        if let Some(template) = self.configured.iter().find(|template| template.matches(bytes)) {
            name.push_str(template.as_str());
        } else if let Some(route) = self.route_of(path) {
            name.push_str(route);
        } else if is_unmatched(status) {
            name.push_str(UNMATCHED);
        } else {
            fold(bytes, name);
            // Nothing is left of a path whose first segment is longer than what is looked at.
            if path.is_cut() && !name.ends_with(REST) {
                name.push('/');
                name.push_str(REST);
            }
        }
    }

    fn route_of(&self, path: &Path) -> Option<&str> {
        let segments = path.as_bytes().strip_prefix(b"/").filter(|_| self.count > 0)?;
        // Of a path that is not whole nobody knows where it ends.
        self.learned.find(segments.split(|byte| *byte == b'/'), !path.is_cut())
    }
}

impl Node {
    /// How many places are new for it.
    fn insert(&mut self, route: &Template) -> usize {
        let (mut at, mut new, name) = (self, 0, Arc::from(route.as_str()));
        for segment in route.segments() {
            at = match segment {
                REST => {
                    at.rest = Some(name);
                    return new;
                }
                segment if is_placeholder(segment) => {
                    new += usize::from(at.placeholder.is_none());
                    at.placeholder.get_or_insert_default()
                }
                word => {
                    new += usize::from(!at.words.contains_key(word.as_bytes()));
                    at.words.entry(word.as_bytes().into()).or_default()
                }
            };
        }
        at.name = Some(name);
        new
    }

    /// The name of the route that has its words and parameters at the same places.
    fn of_shape(&self, route: &Template) -> Option<&str> {
        let mut at = self;
        for segment in route.segments() {
            at = match segment {
                REST => return at.rest.as_deref(),
                segment if is_placeholder(segment) => at.placeholder.as_deref()?,
                word => at.words.get(word.as_bytes())?,
            };
        }
        at.name.as_deref()
    }

    /// The most specific route for what is left of a path.
    fn find<'a>(&self, mut segments: impl Iterator<Item = &'a [u8]> + Clone, is_whole: bool) -> Option<&str> {
        let Some(segment) = segments.next() else { return self.name.as_deref().filter(|_| is_whole) };
        let word = self.words.get(segment).and_then(|node| node.find(segments.clone(), is_whole));
        let placeholder = || self.placeholder.as_deref().filter(|_| !segment.is_empty())?.find(segments, is_whole);
        word.or_else(placeholder).or(self.rest.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn learned(routes: &[&str]) -> Known {
        let mut known = Known::default();
        routes.iter().for_each(|route| known.learn(&Template::new(route).unwrap()));
        known
    }

    fn name(known: &Known, path: &[u8]) -> String {
        let mut name = String::new();
        known.name(&Path::of(path), 200, &mut name);
        name
    }

    #[test]
    fn configured_names_come_before_learned_ones_and_these_before_folding() {
        let mut known = learned(&[
            "/users/{user}",
            "/users/me",
            "/users/{user}/posts/{post}",
            "/users/me/{tab}",
            "/files/**",
            "/files/{name}",
            "/files/{name}/raw",
            "/blog/{title}",
            "/",
        ]);
        known = known.with(vec![Template::new("/blog/{slug}").unwrap()]);
        for (path, expected) in [
            ("/users/17", "/users/{user}"),
            ("/users/ada", "/users/{user}"),
            ("/users/me", "/users/me"),
            ("/users/me/posts/9", "/users/{user}/posts/{post}"),
            ("/users/me/posts", "/users/me/{tab}"),
            ("/users/17/friends", "/users/{id}/friends"),
            ("/users/", "/users/"),
            ("/users", "/users"),
            ("/files/a", "/files/{name}"),
            ("/files/a/raw", "/files/{name}/raw"),
            ("/files/a/b", "/files/**"),
            ("/files/", "/files/**"),
            ("/files", "/files"),
            ("/blog/how-to", "/blog/{slug}"),
            ("/", "/"),
            ("*", "*"),
        ] {
            assert_eq!(name(&known, path.as_bytes()), expected, "{path}");
        }
        let mut unknown = String::new();
        for (path, expected) in [("/users/17", "/users/{user}"), ("/wp-login.php", UNMATCHED)] {
            known.name(&Path::of(path.as_bytes()), 404, &mut unknown);
            assert_eq!(unknown, expected, "{path}");
        }
    }

    #[test]
    fn a_path_that_is_not_whole_matches_only_what_takes_all_behind() {
        let known = learned(&["/a/{b}", "/c/**"]);
        let long = |first: &str| format!("/{first}/x/{}", "y".repeat(200));
        assert_eq!(name(&known, long("a").as_bytes()), "/a/x/**");
        assert_eq!(name(&known, long("c").as_bytes()), "/c/**");
    }

    #[test]
    fn parameters_may_be_called_anything() {
        let mut known = learned(&["/users/{id}"]);
        assert!(!known.is_news(&Template::new("/users/{user}").unwrap()));
        known.learn(&Template::new("/users/{user}").unwrap());
        assert_eq!((known.count, name(&known, b"/users/ada")), (1, "/users/{id}".into()));
        assert!(known.is_name("/users/{id}") && !known.is_name("/users/{user}"));
    }

    #[test]
    fn names_of_before_are_called_as_since() {
        let known = learned(&["/users/{user}", "/files/**"]);
        for (before, since) in [
            ("/users/{id}", Some("/users/{user}")),
            ("/users/ada", Some("/users/{user}")),
            ("/users/**", None),
            ("/files/{id}", None),
            ("/orders", None),
            (UNMATCHED, None),
        ] {
            assert_eq!(known.name_since(before), since, "{before}");
        }
    }

    #[test]
    fn so_many_are_learned_at_most() {
        let mut known = Known::default();
        (0..MOST_LEARNED + 10).for_each(|n| known.learn(&Template::new(&format!("/r{n}/{{id}}")).unwrap()));
        assert_eq!(known.count, MOST_LEARNED);
        assert_eq!(name(&known, format!("/r{}/x", MOST_LEARNED - 1).as_bytes()), "/r999/{id}");
        assert_eq!(name(&known, format!("/r{MOST_LEARNED}/x").as_bytes()), "/r1000/x");
        let mut known = Known::default();
        for n in 0..MOST_LEARNED {
            let route = format!("/r{n}{}/{{id}}", "/a".repeat(8));
            known.learn(&Template::new(&route).unwrap());
        }
        assert!(known.places <= MOST_PLACES && known.places > MOST_PLACES - 2 * MAX_SEGMENTS, "{}", known.places);
    }

    fn template() -> impl Strategy<Value = Template> {
        let segment = prop_oneof![3 => "[a-c]", 2 => "\\{[x-z]\\}"];
        (vec(segment, 1..5), any::<bool>()).prop_map(|(segments, rest)| {
            let rest = if rest { "/**" } else { "" };
            Template::new(&format!("/{}{rest}", segments.join("/"))).unwrap()
        })
    }

    /// What a segment of a route is, the more specific the less.
    fn rank(segment: &str) -> u8 {
        if segment == REST { 2 } else { u8::from(is_placeholder(segment)) }
    }

    proptest! {
        #[test]
        fn what_is_made_from_a_route_is_called_so(route in template(), given in vec("[a-z0-9%-]{1,9}", 8)) {
            let known = learned(&[route.as_str()]);
            let mut given = given.iter();
            let made: Vec<&str> = route.segments()
                .map(|segment| if rank(segment) == 0 { segment } else { given.next().unwrap() })
                .collect();
            prop_assert_eq!(name(&known, format!("/{}", made.join("/")).as_bytes()), route.as_str());
        }

        #[test]
        fn the_most_specific_one_is_taken(routes in vec(template(), 0..12), path in "(/[a-d]){1,6}/?") {
            let known = learned(&routes.iter().map(Template::as_str).collect::<Vec<_>>());
            let matching = routes.iter().filter(|route| route.matches(path.as_bytes()));
            // Of the same shape, the first.
            let best = matching.min_by_key(|route| route.segments().map(rank).collect::<Vec<_>>());
            prop_assert_eq!(known.route_of(&Path::of(path.as_bytes())), best.map(Template::as_str));
        }

        #[test]
        fn no_path_is_too_odd(routes in vec(template(), 0..12), path in vec(any::<u8>(), 0..400)) {
            name(&learned(&routes.iter().map(Template::as_str).collect::<Vec<_>>()), &path);
        }
    }
}
