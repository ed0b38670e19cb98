//! Purges: which stored responses are declared stale or gone, and since when.
//!
//! A purge is a numbered rule. It holds from the moment it stands in the list, whatever is stored: each entry knows the
//! number of the last rule that it was held against, and is held against the newer ones when it is looked up. Removing
//! what a rule hits, and counting it, comes afterwards ([`Cache::sweep`](super::Cache::sweep)). A response counts as
//! stored when its fetch began, so that one that was under way during a purge is hit as well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::*},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{Entry, Key, pattern::Pattern, stats::words};

/// Rules that are remembered. When there are more, the store is swept, and the older half forgotten.
const MAX_RULES: usize = 1024;
/// Stamps of single URLs. Two URLs that share one cost each other a fetch that is not stored, and no more.
const URL_STAMPS: usize = 4096;

/// Which stored responses a purge is about.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Every one.
    All,
    /// Those of one URL, all variants.
    Url(Url),
    /// Those with this tag, or in this group at whatever origin.
    Tag(Box<str>),
    /// Those of one origin in this group (RFC 9875).
    Group {
        /// The scheme is https.
        https: bool,
        /// Host and port, as in [`Key`].
        host: Box<[u8]>,
        /// The group's name, compared exactly.
        name: Box<str>,
    },
    /// Those whose host and path begin so; whose path alone does where it begins with `/`.
    Prefix(Box<[u8]>),
    /// Those whose path, without its query, matches.
    Pattern(Pattern),
    /// The same of one host.
    Within {
        /// Host and port, as in [`Key`].
        host: Box<[u8]>,
        /// What paths match.
        paths: Pattern,
    },
}

/// One URL, as far as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Only this scheme.
    pub https: Option<bool>,
    /// Only this host, in lower case, without the scheme's default port.
    pub host: Option<Box<[u8]>>,
    /// Path and query.
    pub target: Box<[u8]>,
}

impl Url {
    /// Reads `https://host/path?query`, `host/path` or `/path`.
    ///
    /// # Errors
    /// For what has no path, or what no request target can be; says what was expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (https, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(false), rest),
            Some(("https", rest)) => (Some(true), rest),
            // What stands after a path is part of it.
            Some((before, _)) if !before.contains(['/', '?']) => return Err("expected http:// or https://"),
            _ => (None, text),
        };
        let without_fragment = rest.split('#').next().unwrap_or_default();
        let (host, target) = match without_fragment.find(['/', '?']) {
            Some(at) if without_fragment.as_bytes()[at] == b'/' => without_fragment.split_at(at),
            Some(_) => return Err("expected a / before the query"),
            None if https.is_some() => (without_fragment, "/"),
            None => return Err("expected a URL, or a path that begins with /"),
        };
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("expected percent-encoding for spaces and for what is not ASCII");
        }
        let host = (!host.is_empty()).then(|| {
            let host = host.to_ascii_lowercase();
            let default = if https == Some(true) { ":443" } else { ":80" };
            host.strip_suffix(default).unwrap_or(&host).as_bytes().into()
        });
        if https.is_some() && host.is_none() {
            return Err("expected a host after the scheme");
        }
        Ok(Self { https, host, target: target.as_bytes().into() })
    }

    fn is_of(&self, key: &Key) -> bool {
        let parts = key.parts();
        self.https.is_none_or(|https| https == parts.https)
            && self.host.as_deref().is_none_or(|host| host == parts.host)
            && *self.target == *parts.target
    }
}

words! {
    /// What a purge does with what it hits.
    Mode {
        /// Gone.
        Hard = "hard",
        /// Stale from now on: good for stale-while-revalidate, stale-if-error and validation.
        Soft = "soft",
    }
}

words! {
    /// What a purge names.
    Kind {
        /// Everything.
        All = "all",
        /// A URL.
        Url = "url",
        /// A tag.
        Tag = "tag",
        /// A group of an origin, by Cache-Group-Invalidation.
        Group = "group",
        /// A prefix of hosts and paths.
        Prefix = "prefix",
        /// A pattern of paths.
        Pattern = "pattern",
    }
}

/// A purge that holds.
#[derive(Debug)]
pub struct Rule {
    /// Later purges have greater numbers.
    pub number: u64,
    scopes: Vec<Scope>,
    mode: Mode,
    at: Instant,
}

impl Scope {
    /// What is named.
    pub fn kind(&self) -> Kind {
        match self {
            Self::All => Kind::All,
            Self::Url(_) => Kind::Url,
            Self::Tag(_) => Kind::Tag,
            Self::Group { .. } => Kind::Group,
            Self::Prefix(_) => Kind::Prefix,
            Self::Pattern(_) | Self::Within { .. } => Kind::Pattern,
        }
    }

    fn hits(&self, key: &Key, entry: &Entry) -> bool {
        let parts = || key.parts();
        match self {
            Self::All => true,
            Self::Url(url) => url.is_of(key),
            Self::Tag(tag) => has_tag(entry, tag),
            Self::Group { https, host, name } => {
                contains(&entry.tags.groups, name) && parts().https == *https && *parts().host == **host
            }
            Self::Prefix(prefix) if prefix.starts_with(b"/") => parts().target.starts_with(prefix),
            Self::Prefix(prefix) => match prefix.strip_prefix(parts().host) {
                Some(rest) => parts().target.starts_with(rest),
                None => parts().host.starts_with(prefix) && !prefix.contains(&b'/'),
            },
            Self::Pattern(pattern) => pattern.matches(parts().path()),
            Self::Within { host, paths } => *parts().host == **host && paths.matches(parts().path()),
        }
    }
}

/// Whether a list, which is sorted, has a name.
fn contains(list: &[Box<str>], name: &str) -> bool {
    list.binary_search_by(|one| one.as_ref().cmp(name)).is_ok()
}

/// Whether a response has a tag, or is in a group of that name. Tags that are case-insensitive are kept in small letters.
fn has_tag(entry: &Entry, tag: &str) -> bool {
    let tags = &entry.tags;
    contains(&tags.tags, tag) || contains(&tags.tags, &tag.to_ascii_lowercase()) || contains(&tags.groups, tag)
}

impl Rule {
    /// Whether the rule is about a stored response, whenever that was stored.
    pub fn hits(&self, key: &Key, entry: &Entry) -> bool {
        self.scopes.iter().any(|scope| scope.hits(key, entry))
    }

    /// A rule that is nowhere in force, to count what it would hit.
    pub fn imagined(scopes: Vec<Scope>, mode: Mode, now: Instant) -> Self {
        Self { number: u64::MAX, scopes, mode, at: now }
    }
}

/// What holds for a key at one moment: a fetch that began then is held against whatever came later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// The number of the newest rule.
    pub rules: u64,
    /// The stamp of the key's URL.
    pub url: u64,
}

/// All purges that still matter.
#[derive(Debug)]
pub struct Purges {
    rules: ArcSwap<Rules>,
    /// The number of the newest rule. Read for each hit.
    newest: AtomicU64,
    adding: Mutex<()>,
    urls: Box<[AtomicU64]>,
}

#[derive(Debug, Default)]
struct Rules {
    /// Rules up to this number are not in the list any more.
    forgotten: u64,
    list: Vec<Arc<Rule>>,
}

impl Default for Purges {
    fn default() -> Self {
        Self {
            rules: ArcSwap::default(),
            newest: AtomicU64::new(0),
            adding: Mutex::new(()),
            urls: (0..URL_STAMPS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Purges {
    /// What holds for a key now.
    pub fn epoch(&self, key: &Key) -> Epoch {
        Epoch { rules: self.newest.load(Acquire), url: self.stamp(key).load(Acquire) }
    }

    /// Adds a rule, which holds when this returns.
    pub fn add(&self, scopes: Vec<Scope>, mode: Mode, now: Instant) -> Arc<Rule> {
        let _adding = self.adding.lock();
        let number = self.newest.load(Acquire) + 1;
        let rule = Arc::new(Rule { number, scopes, mode, at: now });
        let rules = self.rules.load();
        let list = rules.list.iter().cloned().chain([rule.clone()]).collect();
        self.rules.store(Arc::new(Rules { forgotten: rules.forgotten, list }));
        // Only now: who sees the number must find the rule.
        self.newest.store(number, Release);
        rule
    }

    /// Stamps a key's URL: what was being fetched for it is not stored.
    pub fn stamp_url(&self, key: &Key) {
        self.stamp(key).fetch_add(1, AcqRel);
    }

    fn stamp(&self, key: &Key) -> &AtomicU64 {
        &self.urls[key.slot(self.urls.len())]
    }

    /// Whether so many rules are remembered that the store wants to be swept, so that some can be forgotten.
    pub fn is_full(&self) -> bool {
        self.rules.load().list.len() > MAX_RULES
    }

    /// Forgets the older half of the rules, once every entry was held against them. A fetch that began before one of
    /// them will not be stored.
    pub fn forget_half(&self, swept_up_to: u64) {
        let _adding = self.adding.lock();
        let rules = self.rules.load();
        let Some(middle) = rules.list.get(rules.list.len() / 2).map(|rule| rule.number.min(swept_up_to)) else {
            return;
        };
        let list = rules.list.iter().filter(|rule| rule.number > middle).cloned().collect();
        self.rules.store(Arc::new(Rules { forgotten: middle.max(rules.forgotten), list }));
    }

    /// The number of the newest rule.
    pub fn newest(&self) -> u64 {
        self.newest.load(Acquire)
    }

    /// The number of the newest rule that is about a response, whenever that was stored; 0 if there is none.
    pub(super) fn newest_about(&self, key: &Key, entry: &Entry) -> u64 {
        let rules = self.rules.load();
        rules.list.iter().rev().find(|rule| rule.hits(key, entry)).map_or(0, |rule| rule.number)
    }

    /// Whether a stored response is still there, after every rule that it was not yet held against. One that was
    /// purged softly is stale from the moment of the purge.
    pub fn spare(&self, key: &Key, entry: &Entry) -> bool {
        let newest = self.newest.load(Acquire);
        if entry.checked() >= newest {
            return true;
        }
        let rules = self.rules.load();
        // Rules were forgotten that it was never held against: nobody can tell any more.
        if entry.checked() < rules.forgotten {
            return false;
        }
        for rule in rules.list.iter().filter(|rule| rule.number > entry.checked() && rule.hits(key, entry)) {
            match rule.mode {
                Mode::Hard => return false,
                Mode::Soft => entry.expire(rule.at),
            }
        }
        entry.check(newest);
        true
    }
}
