//! With whom may a stored response be shared?

use super::*;

table! {
    "With whom is a stored response shared?", shares,
    "Those whose request has no cookie that counts, and no Authorization, may have it in any case. On a route with \
     `public = true` neither counts.";

    no_word: "RFC 9111 §3.5", "", "Cache-Control: max-age=60" => "with those who have neither";
    public: "RFC 9111 §5.2.2.9", "", "Cache-Control: public, max-age=60" => "with both";
    s_maxage: "RFC 9111 §5.2.2.10", "", "Cache-Control: s-maxage=60" => "with both";
    must_revalidate: "RFC 9111 §5.2.2.2", "", "Cache-Control: must-revalidate, max-age=60" => "with Authorization";
    proxy_revalidate: "RFC 9111 §3.5", "", "Cache-Control: proxy-revalidate, max-age=60" => "with those who have neither";
    targeted: "RFC 9213 §2.2", "", "CDN-Cache-Control: max-age=60" => "with cookies";
    targeted_and_public: "RFC 9213 §2.2", "", "CDN-Cache-Control: max-age=60, public" => "with both";
    public_beside_a_targeted_field: "RFC 9213 §2.2", "", "CDN-Cache-Control: max-age=60\nCache-Control: public" => "with cookies";
}

#[test]
fn a_refusal_to_share_names_its_reason() {
    use crate::cache::{Bypass, policy::Shared};
    let asker = |cookie, authorization| Asker { cookie, authorization };
    let nobody = Shared { with_cookies: false, with_authorization: false };
    assert_eq!(nobody.admits(asker(false, false)), Ok(()));
    assert_eq!(nobody.admits(asker(true, false)), Err(Bypass::Cookie));
    assert_eq!(nobody.admits(asker(false, true)), Err(Bypass::Authorization));
    let everybody = Shared { with_cookies: true, with_authorization: true };
    assert_eq!(everybody.admits(asker(true, true)), Ok(()));
}
