//! File names of real tools, and names that only look like them.

use proptest::prelude::*;

use super::{fits, has_content_hash};

macro_rules! names {
    ($verdict:literal: $($path:literal)+) => {
        $(assert_eq!(has_content_hash($path.as_bytes()), $verdict, "{}", $path);)+
    };
}

#[test]
fn names_with_a_hash() {
    names! { true:
        // webpack, Create React App, Vue CLI, Laravel Mix, Rspack
        "/main.3f2a9c1b7d.js"
        "/app-3f2a9c1b.bundle.css"
        "/runtime~main.abc12345.js"
        "/2.1a2b3c4d.chunk.js"
        "/static/js/main.8c1f2e3d.js"
        "/static/js/787.2b0f4c1e.chunk.js.map"
        "/static/css/main.e6c13ad2.css"
        "/static/media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg"
        "/js/chunk-vendors.6bb9ff1c.js"
        "/js/chunk-2d0aa5b7.3f2a9c1b.js"
        "/js/app.a06c1a0e.js.map"
        "/css/app.fb0c6e1c.css"
        "/packs/js/application-3c5a9d1e7b2f4a6c8e0d.js"
        "/main-es2015.6f60fbc22c7e19b5d179.js"
        "/polyfills.ad37cd45a71cb38eee76.bundle.js"
        "/lib.3c299e275eecb0e438e9.module.wasm"
        // Vite and Rollup: hexadecimal before version 5 (4), base64url since
        "/assets/index.7d3bb533.js"
        "/assets/AppThemeState-381c8ae8.js"
        "/assets/_app_tw-b602f57f.js"
        "/assets/index-BqJ2x9kA.js"
        "/index-BqJ2x9kA.js"
        "/assets/Settings-Cz8X593r.css"
        "/assets/Landing-DtVlV_J2.css"
        "/assets/index-Bq-mQf8S.js"
        "/assets/index-C_5TMfeg.js"
        "/assets/codeowners-Bp6g37R7.js"
        "/assets/git-rebase-r7XF79zn.js"
        "/assets/repo-list.KTrC4ioP.js"
        "/assets/firefox-beta-k3eOH_eK.svg"
        "/assets/safari-na3_-uQk.svg"
        "/assets/index-BqJzXxkA.js"
        "/assets/rand--Bq2X9kA.js"
        "/assets/vendor-protos-BZ2QK6j-.js"
        "/assets/Device-CT6D6U-f.css"
        "/build/assets/app-CgMLr2Ln.js"
        // Astro, Nuxt, SvelteKit
        "/_astro/index.Ch5_Nd26.css"
        "/_nuxt/entry.D4MQFDx0.css"
        "/_nuxt/F4YmCXRG.js"
        "/_app/immutable/entry/start.CzF9sJtE.js"
        "/_app/immutable/chunks/CtQFsRM5.js"
        // esbuild and Angular
        "/main-KQ3X5R7B.js"
        "/main-3WP5KDHR.js"
        "/polyfills-B6TNHZQ6.js"
        "/chunk-S3KTDTUR.js"
        "/main.a1b2c3d4e5f60718.js"
        "/runtime.b8a95ff4a303400a117a.js"
        // Rails: Sprockets (SHA-256, MD5), Propshaft
        "/assets/application-9fceb02d0ae598e95dc970b74767f19372d61af89fceb02d0ae598e95dc970b7.js"
        "/assets/application-908e25f4bf641868d8683022a5b62f54.css"
        "/assets/application.self-908e25f4bf641868d8683022a5b62f54.js"
        "/assets/logo-2f1b3e4d.png"
        // Django's ManifestStaticFilesStorage, gulp-rev, mdBook, Hugo, Phoenix
        "/static/css/base.55e7cbb9ba48.css"
        "/static/admin/img/icon-yes.d2f9f035226a.svg"
        "/unicorn-d41d8cd98f.css"
        "/elasticlunr-ef4e11c1.min.js"
        "/css/main.min.31a4b2e4a6d74a5bd7a2a1a7e4f4d2ac0d53c3de1ac6a5b2d9e0a8a0a4c1b2d3.css"
        "/js/app-908e25f4bf641868d8683022a5b62f54.js"
        "/static.files/FiraMono-Medium-86f75c8c.woff2"
        // Next.js
        "/_next/static/chunks/main-7a5e1b2c3d4e5f60.js"
        "/_next/static/chunks/123-abcdef0123456789.js"
        "/_next/static/chunks/1a2b3c4d-0f1e2d3c4b5a6978.js"
        "/_next/static/chunks/pages/blog/%5Bslug%5D-1a2b3c4d5e6f7890.js"
        "/_next/static/chunks/app/(shop)/page-1a2b3c4d5e6f7890.js"
        "/_next/static/css/5f3a9c1b7d2e4f60.css"
        "/_next/static/media/inter.4f05da1b2c3d.woff2"
        "/docs/_next/static/chunks/main-7a5e1b2c3d4e5f60.js"
        "/_next/static/Xq3vT0mZp9Lk2Wd7Rf1Bs/_buildManifest.js"
        "/_next/static/9fceb02d0ae598e95dc970b74767f19372d61af8/_ssgManifest.js"
        // Parcel, and capitals in extensions
        "/index.8f3a2b1c.js"
        "/a-3f2a9c1b.JS"
    }
}

#[test]
fn names_without_one() {
    names! { false:
        "/" "" "*" "/main.js" "/app.css" "/.js" "/a" "/a." "/3f2a9c1b"
        // words
        "/x-component.js"
        "/deadbeef.js"
        "/x-deadbeef.js"
        "/x.facade.css"
        "/chat-face2face.js"
        "/main-bundle2.js"
        "/sha256.js"
        "/lib-sha256.js"
        "/assets/highlight-JavaScript.js"
        "/assets/icons-GitHubIcon.js"
        "/assets/x-MyComponent.js"
        "/assets/x-GitHubJs.js"
        "/assets/x-Html5Api.js"
        "/assets/x-HtmlCss3.js"
        "/assets/x-Http2Tls.js"
        "/assets/x-E2eTests.js"
        "/assets/x-I18nInit.js"
        "/assets/x-P2PVideo.js"
        "/assets/x-W3CAudio.js"
        "/assets/x-XsSmMdLg.js"
        "/assets/x-SHA256JS.js"
        "/assets/x-README23.js"
        "/assets/x-COVID19X.js"
        "/assets/x-i18n-v2b.js"
        "/x-R2D2Fans.js"
        "/adafruit-circuitpython-vl53l5cx.js"
        "/assets/game-w01fm00n.js"
        // versions, numbers, dates
        "/jquery-3.7.1.min.js"
        "/bootstrap.5.3.0.css"
        "/bootstrap.5.3.0.bundle.min.js"
        "/app-v2.js"
        "/app-12345678.js"
        "/app-1234567890123456.js"
        "/report-20240101.js"
        "/report-2024-01-01.js"
        "/report-20240101a.js"
        "/report-20240101b2.css"
        "/report-c20240101.js"
        "/report-2024q1.css"
        "/cafe2023.css"
        "/x-cafe2023.css"
        "/x-2023cafe.css"
        "/build-b1234567.js"
        "/a-1920x1080.js"
        "/x-ab-16x16.js"
        // what cannot be recognised: too short, too long, too much like words, an unknown separator
        "/app-1a2b3c.js"
        "/app-1a2b3c4.js"
        "/app-00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0.js"
        "/assets/index-BMffOhLO.js"
        "/assets/qmldir-C8lEn-DE.js"
        "/main-KQXSRTWB.js"
        "/polyfills-4UVFGIFL.js"
        "/index-a1b2c3x9.js"
        "/photo_3f2a9c1b.js"
        // the hash of something else than the content: names of modules in Vue CLI, webpack 4 and Turbopack
        "/js/chunk-2d0aa5b7.js"
        "/vendors~3f2a9c1b.js"
        "/_next/static/chunks/node_modules_next_dist_1a2b3c4d._.js"
        "/main.3f2a9c1b7d.hot-update.js"
        // ids: of a widget, a person, a document
        "/3f2a9c1b7d.js"
        "/embed/908e25f4bf641868d8683022a5b62f54.js"
        "/assets/js/c4f5d8e4.js"
        "/BqJ2x9kA.js"
        "/avatar/205e460b479e2e5b48aec07710c08d50.png"
        "/users/avatar-5f3a9c1b.png"
        "/media/photo-V1StGXR8.jpg"
        "/assets/3f2a9c1b7d.png"
        "/assets/avatar-507f1f77bcf86cd799439011.png"
        "/assets/avatar-550e8400-e29b-41d4-a716-44665544abcd.png"
        // no script, style, font, image, map or module
        "/report-3f2a9c1b7d.pdf"
        "/page-3f2a9c1b7d.html"
        "/data-3f2a9c1b7d.json"
        "/x-3f2a9c1b7d.map"
        "/x-3f2a9c1b7d.json.map"
        "/x-3f2a9c1b7d.js.gz"
        "/x-3f2a9c1b7d"
        // Next.js: a build id that is no id, and the shape of one elsewhere
        "/_next/static/development/_buildManifest.js"
        "/_next/static/v1.2.3/_buildManifest.js"
        "/_next/static/chunks/main.js"
        "/_next/static/chunks/app/layout.js"
        "/static/Xq3vT0mZp9Lk2Wd7Rf1Bs/_buildManifest.js"
        // not one reading
        "/account;a-3f2a9c1b.js"
        "/account%3ba-3f2a9c1b.js"
        "/account%2fa-3f2a9c1b.js"
        "/account%00a-3f2a9c1b.js"
        "/account\\a-3f2a9c1b.js"
        "/account?a-3f2a9c1b.js"
        "/x/../a-3f2a9c1b.js"
        "/x/%2e%2e/a-3f2a9c1b.js"
        "/a-3f2a9c1b.js/"
        "/a-3f2a9c1b.js/account"
        "/a-3f2a9c1b%.js"
        "a-3f2a9c1b.js"
        "/ä-3f2a9c1b.js"
    }
}

#[test]
fn content_types() {
    for (path, content_type, expected) in [
        ("/a.js", "text/javascript", true),
        ("/a.js", "Text/JavaScript; charset=utf-8", true),
        ("/a.js", " application/javascript ;x", true),
        ("/a.js", "application/x-javascript", true),
        ("/a.mjs", "application/ecmascript", true),
        ("/a.js", "text/html", false),
        ("/a.js", "text/html; a=text/javascript", false),
        ("/a.js", "text/plain", false),
        ("/a.js", "application/json", false),
        ("/a.js", "javascript", false),
        ("/a.js", "", false),
        ("/a.css", "text/css", true),
        ("/a.css", "text/css;charset=UTF-8", true),
        ("/a.css", "text/javascript", false),
        ("/a.css", "text/html", false),
        ("/a.woff2", "font/woff2", true),
        ("/a.woff", "application/font-woff", true),
        ("/a.ttf", "application/x-font-ttf", true),
        ("/a.eot", "application/vnd.ms-fontobject", true),
        ("/a.otf", "application/vnd.ms-opentype", true),
        ("/a.woff2", "application/octet-stream", true),
        ("/a.woff2", "font/", false),
        ("/a.woff2", "text/html", false),
        ("/a.png", "image/png", true),
        ("/a.png", "image/webp", true),
        ("/a.svg", "image/svg+xml", true),
        ("/a.ico", "image/vnd.microsoft.icon", true),
        ("/a.png", "application/octet-stream", false),
        ("/a.png", "text/html", false),
        ("/a.js.map", "application/json", true),
        ("/a.css.map", "application/octet-stream", true),
        ("/a.js.map", "text/html", false),
        ("/a.map", "application/json", false),
        ("/a.wasm", "application/wasm", true),
        ("/a.wasm", "application/octet-stream", false),
        ("/a.html", "text/html", false),
        ("/a", "text/javascript", false),
    ] {
        assert_eq!(fits(path.as_bytes(), content_type.as_bytes()), expected, "{path} {content_type}");
    }
}

/// How many of 10 000 hashes of each kind are recognised: what is missed is only revalidated, but should be the smaller
/// part.
#[test]
fn most_hashes_are_recognised() {
    const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (directory, alphabet, length, least) in [
        ("", &b"0123456789abcdef"[..], 8, 9200),
        ("", b"0123456789abcdef", 12, 9700),
        ("", b"0123456789abcdef", 20, 9900),
        ("/assets", BASE64URL, 8, 7600),
        ("", BASE64URL, 8, 2900),
        ("", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 8, 5000),
    ] {
        let mut random = fastrand::Rng::with_seed(7);
        let mut hash = || (0..length).map(|_| char::from(alphabet[random.usize(..alphabet.len())])).collect::<String>();
        let found = (0..10_000).filter(|_| has_content_hash(format!("{directory}/x-{}.js", hash()).as_bytes())).count();
        assert!(found >= least, "{found} of length {length} {directory}");
    }
}

proptest! {
    #[test]
    fn foreign_bytes_do_not_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..60), near in "[/._a-fA-F0-9%~-]{0,40}(\\.js)?(\\.map)?",
    ) {
        for path in [&bytes, near.as_bytes()] {
            let _ = has_content_hash(path);
            let _ = fits(path, &bytes);
        }
    }
}
