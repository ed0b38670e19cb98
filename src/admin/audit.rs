//! One line of the log for every write, so that it can be said who has changed what.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{Method, StatusCode},
};

use super::auth::Proof;

/// A longer path is cut: the line is for a person.
const SHOWN: usize = 300;

/// A write that is under way. Of the request it has neither query nor body nor credentials.
#[derive(Debug)]
pub(super) struct Write {
    method: Method,
    path: String,
    client: IpAddr,
    is_routine: bool,
}

impl Write {
    /// `None` for what only reads (RFC 9110 §9.2.1).
    pub(super) fn of(request: &Request, client: IpAddr) -> Option<Self> {
        if request.method().is_safe() {
            return None;
        }
        let path = request.uri().path();
        let shown = path.char_indices().nth(SHOWN).map_or_else(|| path.into(), |(end, _)| format!("{}…", &path[..end]));
        // The app does these by the thousand.
        let is_routine = path.starts_with("/performance/cache/entries");
        Some(Self { method: request.method().clone(), path: shown, client: client.to_canonical(), is_routine })
    }

    /// Says what became of it. Strings are escaped by the subscriber, as those of the whole log.
    pub(super) fn log(self, status: StatusCode, proof: Proof) {
        let Self { method, path, client, is_routine } = self;
        let (path, status, auth) = (&*path, status.as_u16(), proof.name());
        // Whoever sends too much must not fill the log with it; the metrics count these.
        if is_routine || status == StatusCode::TOO_MANY_REQUESTS {
            tracing::debug!(%method, path, status, %client, auth, "admin write");
        } else {
            tracing::info!(%method, path, status, %client, auth, "admin write");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing::Level;

    use crate::admin::{
        fixture::{Exchange, TOKEN, empty_state, locked},
        router::router,
    };

    /// What is logged on the thread of a test.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines about writes that these requests leave.
    async fn logged(exchanges: impl IntoIterator<Item = Exchange>) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_max_level(Level::DEBUG)
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .finish();
        let _default = tracing::subscriber::set_default(subscriber);
        let router = router(empty_state(), locked());
        for exchange in exchanges {
            exchange.through(router.clone()).await;
        }
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains("admin write")).map(|line| line.trim().to_owned()).collect()
    }

    #[tokio::test]
    async fn every_write_leaves_a_line_with_its_client_and_nothing_secret() {
        let clear = || Exchange::of("POST", "/performance/cache/clear").from("::ffff:192.0.2.7");
        // "s3cret:" and the token.
        let basic = "Basic czNjcmV0OmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==";
        let json = clear().token(TOKEN).field("content-type", "application/json").body("{\"tags\":[\"s3cret\"]}");
        let lines = logged([
            json,
            clear().field("authorization", basic),
            clear().token("s3cret-s3cret-s3cret"),
            clear(),
            Exchange::of("PUT", "/performance/cache/entries/a%0Ab?ttl=s3cret").token(TOKEN).body("s3cret"),
            Exchange::of("DELETE", "/%22quoted%22?s3cret").token(TOKEN).from("2001:db8::7"),
            Exchange::get("/performance/cache/stats").token(TOKEN),
            Exchange::of("OPTIONS", "/livez"),
        ])
        .await;
        let clear = "admin write method=POST path=\"/performance/cache/clear\"";
        let expected = [
            format!("INFO {clear} status=200 client=192.0.2.7 auth=\"bearer\""),
            format!("INFO {clear} status=200 client=192.0.2.7 auth=\"basic\""),
            format!("INFO {clear} status=401 client=192.0.2.7 auth=\"none\""),
            format!("INFO {clear} status=401 client=192.0.2.7 auth=\"none\""),
            "DEBUG admin write method=PUT path=\"/performance/cache/entries/a%0Ab\" status=400 \
             client=127.0.0.1 auth=\"bearer\""
                .into(),
            "INFO admin write method=DELETE path=\"/%22quoted%22\" status=404 client=2001:db8::7 auth=\"bearer\""
                .into(),
        ];
        assert_eq!(lines, expected);
    }

    #[tokio::test]
    async fn neither_a_long_path_nor_too_many_requests_fill_the_log() {
        let long = Exchange::of("DELETE", &format!("/{}", "x".repeat(10_000))).token(TOKEN);
        let many = (0..15).map(|_| Exchange::of("POST", "/performance/cache/clear").token(TOKEN));
        let lines = logged([long].into_iter().chain(many)).await;
        assert!(lines[0].len() < 500 && lines[0].contains("xxx…\""), "{lines:#?}");
        let levels: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(levels, [&["INFO"; 11][..], &["DEBUG"; 5]].concat(), "{lines:#?}");
    }
}
