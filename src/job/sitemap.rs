//! Reads a sitemap (<https://www.sitemaps.org/protocol.html>): XML, or one URL a line, either of them in gzip.
//!
//! Entities are the five of XML and characters by number. What a document defines of its own is not looked at, so that
//! nothing grows: what is read is never longer than the bytes that it is read from.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use quick_xml::{Reader, escape::resolve_predefined_entity, events::Event};

/// Bytes of a sitemap, before and after it is decompressed. The protocol allows five times as many.
pub(super) const MOST_BYTES: usize = 10 << 20;
/// Entries of a sitemap, as of the protocol. What comes after them is left out.
pub(super) const MOST_ENTRIES: usize = 50_000;

/// What a sitemap has: URLs, which nobody has looked at yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sitemap {
    /// Of pages.
    Pages(Vec<String>),
    /// Of other sitemaps.
    Index(Vec<String>),
}

/// Reads a sitemap.
///
/// # Errors
/// What was found, and what was expected.
pub(super) fn read(bytes: &[u8]) -> Result<Sitemap, String> {
    if bytes.len() > MOST_BYTES {
        return Err("it is longer than 10 MiB".into());
    }
    if !bytes.starts_with(b"\x1f\x8b") {
        return parse(bytes);
    }
    let mut plain = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(MOST_BYTES as u64 + 1).read_to_end(&mut plain);
    read.map_err(|error| format!("its gzip cannot be read: {error}"))?;
    if plain.len() > MOST_BYTES {
        return Err("it is longer than 10 MiB when it is decompressed".into());
    }
    parse(&plain)
}

fn parse(bytes: &[u8]) -> Result<Sitemap, String> {
    // The protocol asks for UTF-8.
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('<') {
        return xml(text);
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let urls: Vec<String> = lines.take(MOST_ENTRIES).map(str::to_owned).collect();
    match urls.first() {
        // Anything at all is lines of text.
        Some(first) if !first.contains("://") && !first.starts_with('/') => {
            Err("it begins with neither XML nor a URL".into())
        }
        _ => Ok(Sitemap::Pages(urls)),
    }
}

/// What an element is, as far as it matters. Names of other elements are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    UrlSet,
    Index,
    Url,
    Sitemap,
    Loc,
    Other,
}

impl Element {
    /// By its name without a prefix. Images have a `loc` too, and are told by what it stands in.
    fn named(name: &str) -> Self {
        match name {
            "urlset" => Self::UrlSet,
            "sitemapindex" => Self::Index,
            "url" => Self::Url,
            "sitemap" => Self::Sitemap,
            "loc" => Self::Loc,
            _ => Self::Other,
        }
    }
}

fn xml(text: &str) -> Result<Sitemap, String> {
    let mut reader = Reader::from_str(text);
    let mut path: Vec<Element> = Vec::new();
    let (mut is_index, mut has_root) = (false, false);
    let mut urls: Vec<String> = Vec::new();
    let mut loc = String::new();
    let in_loc = |path: &[Element]| {
        matches!(path, [Element::UrlSet, Element::Url, Element::Loc] | [Element::Index, Element::Sitemap, Element::Loc])
    };
    while urls.len() < MOST_ENTRIES {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|error| format!("it is no XML at byte {at}: {error}"))?;
        match event {
            Event::Start(start) => {
                let element = Element::named(start.local_name().into_inner());
                if path.is_empty() {
                    is_index = element == Element::Index;
                    has_root = is_index || element == Element::UrlSet;
                    if !has_root {
                        break;
                    }
                }
                path.push(element);
                loc.clear();
            }
            Event::End(_) => {
                if in_loc(&path) {
                    urls.push(loc.trim().to_owned());
                }
                path.pop();
            }
            Event::Empty(empty) if path.is_empty() => {
                let element = Element::named(empty.local_name().into_inner());
                is_index = element == Element::Index;
                has_root = is_index || element == Element::UrlSet;
                break;
            }
            Event::Text(text) if in_loc(&path) => loc.push_str(&text),
            Event::CData(text) if in_loc(&path) => loc.push_str(&text),
            Event::GeneralRef(name) if in_loc(&path) => match name.resolve_char_ref() {
                Ok(Some(character)) => loc.push(character),
                Ok(None) => match resolve_predefined_entity(&name) {
                    Some(text) => loc.push_str(text),
                    None => {
                        return Err(format!("the entity &{}; is not one of XML's own", super::page::clipped(&name)));
                    }
                },
                Err(error) => return Err(format!("it is no XML at byte {at}: {error}")),
            },
            Event::Eof => {
                if !path.is_empty() {
                    return Err("it is cut off".into());
                }
                break;
            }
            _ => {}
        }
    }
    match (has_root, is_index) {
        (true, false) => Ok(Sitemap::Pages(urls)),
        (true, true) => Ok(Sitemap::Index(urls)),
        (false, _) => Err("expected <urlset> or <sitemapindex> at its root".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn pages(urls: &[&str]) -> Result<Sitemap, String> {
        Ok(Sitemap::Pages(urls.iter().map(|url| (*url).to_owned()).collect()))
    }

    const PLAIN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" xmlns:image=\"i\">\n\
        <url><loc> http://a/x?b=1&amp;c=2 </loc><lastmod>2026-01-01</lastmod>\
        <image:image><image:loc>http://a/picture</image:loc></image:image></url>\n\
        <url><loc><![CDATA[http://a/y?b&c]]></loc></url><url><loc>http://a/&#x7a;</loc></url></urlset>";

    #[test]
    fn sitemaps_of_every_form() {
        let expected = ["http://a/x?b=1&c=2", "http://a/y?b&c", "http://a/z"];
        assert_eq!(read(PLAIN.as_bytes()), pages(&expected));
        assert_eq!(read(&gzip(PLAIN.as_bytes())), pages(&expected));
        assert_eq!(read(format!("\u{feff}\n{PLAIN}").as_bytes()), pages(&expected));
        let prefixed = "<s:urlset xmlns:s='x'><s:url><s:loc>/a</s:loc></s:url></s:urlset>";
        assert_eq!(read(prefixed.as_bytes()), pages(&["/a"]));
        let index = "<sitemapindex><sitemap><loc>/1.xml</loc></sitemap><url><loc>/no</loc></url></sitemapindex>";
        assert_eq!(read(index.as_bytes()), Ok(Sitemap::Index(vec!["/1.xml".into()])));
        assert_eq!(read(b"http://a/1\r\n\r\n http://a/2"), pages(&["http://a/1", "http://a/2"]));
        for nothing in ["", "<urlset/>", "<urlset></urlset>", "<!-- a --><urlset><url/><loc>/a</loc></urlset>"] {
            assert_eq!(read(nothing.as_bytes()), pages(&[]), "{nothing}");
        }
    }

    #[test]
    fn what_is_no_sitemap_is_refused() {
        for (bytes, expected) in [
            (&b"<html><body/></html>"[..], "expected <urlset> or <sitemapindex> at its root"),
            (b"<urlset><url><loc>/a</loc></url>", "it is cut off"),
            (b"<urlset><url></urlset>", "it is no XML at byte 13"),
            (b"\xff\xfe<\0", "it is not UTF-8"),
            (b"Not found", "it begins with neither XML nor a URL"),
            (b"\x1f\x8bnot gzip", "its gzip cannot be read"),
        ] {
            let why = read(bytes).unwrap_err();
            assert!(why.starts_with(expected), "{expected}: {why}");
        }
    }

    #[test]
    fn nothing_grows() {
        // Ten entities of ten entities and so on.
        let laughs = "<!DOCTYPE urlset [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>\
            <urlset><url><loc>&b;</loc></url></urlset>";
        assert_eq!(read(laughs.as_bytes()), Err("the entity &b; is not one of XML's own".into()));
        let bomb = gzip(&vec![b' '; MOST_BYTES + 1]);
        assert_eq!(read(&bomb), Err("it is longer than 10 MiB when it is decompressed".into()));
        assert_eq!(read(&vec![b' '; MOST_BYTES + 1]), Err("it is longer than 10 MiB".into()));
        let many = format!("<urlset>{}</urlset>", "<url><loc>/a</loc></url>".repeat(MOST_ENTRIES + 1));
        let Ok(Sitemap::Pages(urls)) = read(many.as_bytes()) else { panic!() };
        assert_eq!(urls.len(), MOST_ENTRIES);
        let Ok(Sitemap::Pages(urls)) = read("/a\n".repeat(MOST_ENTRIES + 1).as_bytes()) else { panic!() };
        assert_eq!(urls.len(), MOST_ENTRIES);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = read(&[b"\x1f\x8b\x08\0\0\0\0\0\0\x03", &bytes[..]].concat());
            let _ = read(&[b"<urlset><url><loc>", &bytes[..]].concat());
        }

        #[test]
        fn what_looks_like_xml_never_panics(parts in proptest::collection::vec(prop_oneof![
            Just("<urlset>"), Just("</urlset>"), Just("<url>"), Just("</url>"), Just("<loc>"), Just("</loc>"), Just("&amp;"),
            Just("&#1;"), Just("&x;"), Just("<![CDATA["), Just("]]>"), Just("<!--"), Just("-->"), Just("<?"), Just("/>"),
            Just("<!DOCTYPE"), Just("&#xffffffff;"), Just("é"), Just("<"), Just(">"), Just("&"),
        ], 0..30)) {
            let text = parts.concat();
            if let Ok(Sitemap::Pages(urls) | Sitemap::Index(urls)) = read(text.as_bytes()) {
                prop_assert!(urls.iter().map(String::len).sum::<usize>() <= text.len());
            }
        }

        #[test]
        fn urls_come_back(urls in proptest::collection::vec("https?://[a-z]{1,9}/[a-z&<>'\"é?=/]{0,20}", 0..20)) {
            let escaped = urls.iter().map(|url| format!("<url><loc>{}</loc></url>", quick_xml::escape::escape(url.as_str())));
            let text = format!("<urlset>{}</urlset>", escaped.collect::<String>());
            prop_assert_eq!(read(text.as_bytes()), Ok(Sitemap::Pages(urls)));
        }
    }
}
