//! References in Location and Content-Location, resolved as far as a cache needs it (RFC 3986 §5.2).

use super::fields::trim;

/// The request target that a reference names, if that is at the same origin as the request in whose answer it stands
/// (RFC 9110 §4.3.1: scheme, host and port).
///
/// `host` is in lower case and without the scheme's default port; `target` is the request's own.
pub fn same_origin_target(reference: &[u8], https: bool, host: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let reference = trim(reference).split(|byte| *byte == b'#').next().unwrap_or_default();
    let rest = match scheme(reference) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(if https { b"https" } else { b"http" }) => {
            // RFC 9110 §4.2: these schemes have an authority.
            rest.strip_prefix(b"//").map(|_| rest)?
        }
        Some(_) => return None,
        None => reference,
    };
    if let Some(rest) = rest.strip_prefix(b"//") {
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let default: &[u8] = if https { b":443" } else { b":80" };
        let authority = rest[..end].to_ascii_lowercase();
        let authority = authority.strip_suffix(default).or_else(|| authority.strip_suffix(b":")).unwrap_or(&authority);
        return (authority == host).then(|| without_dots(&rest[end..]));
    }
    let path = |target: &[u8]| target.split(|byte| *byte == b'?').next().unwrap_or_default().to_vec();
    Some(match rest.first() {
        None => target.to_vec(),
        Some(b'/') => without_dots(rest),
        Some(b'?') => [&path(target), rest].concat(),
        Some(_) => {
            let base = path(target);
            let folder = base.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
            without_dots(&[&base[..folder], rest].concat())
        }
    })
}

/// The scheme before the first colon, if there is one.
fn scheme(reference: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = reference.iter().position(|byte| *byte == b':')?;
    let scheme = &reference[..colon];
    let valid = scheme.first()?.is_ascii_alphabetic()
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    valid.then(|| (scheme, &reference[colon + 1..]))
}

/// A target whose path has no `.` and `..` segments (RFC 3986 §5.2.4); that of an empty path is `/`.
fn without_dots(target: &[u8]) -> Vec<u8> {
    let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
    for (nth, segment) in segments.iter().enumerate() {
        let is_last = nth + 1 == segments.len();
        match *segment {
            b"." | b".." => {
                if *segment == b".." {
                    kept.pop();
                }
                if is_last {
                    kept.push(b"");
                }
            }
            segment => kept.push(segment),
        }
    }
    [b"/".as_slice(), &kept.join(b"/".as_slice()), query].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolved(reference: &str) -> Option<String> {
        let target = same_origin_target(reference.as_bytes(), false, b"a.b", b"/x/y?q");
        target.map(|target| String::from_utf8(target).unwrap())
    }

    macro_rules! table {
        ($($name:ident: $reference:expr => $target:expr;)+) => {
            $(#[test] fn $name() { assert_eq!(resolved($reference).as_deref(), $target); })+
        };
    }

    table! {
        absolute: "http://a.b/z" => Some("/z");
        absolute_without_path: "http://a.b" => Some("/");
        absolute_with_a_query_alone: "http://a.b?z" => Some("/?z");
        host_in_any_case_and_with_the_default_port: "HTTP://A.B:80/z" => Some("/z");
        another_scheme: "https://a.b/z" => None;
        another_host: "http://c/z" => None;
        another_port: "http://a.b:8080/z" => None;
        no_scheme_for_http: "mailto:a" => None;
        scheme_without_authority: "http:z" => None;
        of_the_same_scheme: "//a.b/z" => Some("/z");
        of_another_host_by_the_same_scheme: "//c/z" => None;
        absolute_path: "/z?r#s" => Some("/z?r");
        relative_path: "z" => Some("/x/z");
        relative_path_with_dots: "../z/./w/.." => Some("/z/");
        above_the_root: "../../../z" => Some("/z");
        query_alone: "?r" => Some("/x/y?r");
        nothing: "" => Some("/x/y?q");
        fragment_alone: "#s" => Some("/x/y?q");
        colon_in_a_path: "./a:b" => Some("/x/a:b");
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(reference in proptest::collection::vec(any::<u8>(), 0..60)) {
            let target = same_origin_target(&reference, true, b"a", b"/x");
            prop_assert!(target.is_none_or(|target| target.starts_with(b"/")));
        }
    }
}
