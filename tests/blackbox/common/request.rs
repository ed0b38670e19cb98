//! A client's request, the same over HTTP/1.1 and HTTP/2.

/// What a client is about to send. `Host` is the server's address unless the request has one.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Body,
}

/// A request's body and its framing.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// None, and no field that says so.
    None,
    /// With its Content-Length.
    Whole(Vec<u8>),
    /// In these chunks; as DATA frames over HTTP/2.
    Chunks(Vec<Vec<u8>>),
}

/// Any method, no body.
pub(crate) fn request(method: &str, target: &str) -> Request {
    Request { method: method.to_owned(), target: target.to_owned(), fields: Vec::new(), body: Body::None }
}

/// A GET without a body.
pub(crate) fn get(target: &str) -> Request {
    request("GET", target)
}

/// A HEAD.
pub(crate) fn head(target: &str) -> Request {
    request("HEAD", target)
}

/// A POST with a Content-Length.
pub(crate) fn post(target: &str, body: impl AsRef<[u8]>) -> Request {
    Request { body: Body::Whole(body.as_ref().to_vec()), ..request("POST", target) }
}

impl Request {
    /// Adds a field after those it has.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A body in these chunks, in place of what it had.
    pub(crate) fn chunks<C: AsRef<[u8]>>(mut self, chunks: impl IntoIterator<Item = C>) -> Self {
        self.body = Body::Chunks(chunks.into_iter().map(|chunk| chunk.as_ref().to_vec()).collect());
        self
    }

    /// The Host that it names, or this one.
    pub(crate) fn host(&self, otherwise: &str) -> String {
        let named = self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        named.map_or_else(|| otherwise.to_owned(), |(_, value)| value.clone())
    }

    /// The request as HTTP/1.1 writes it.
    pub(crate) fn to_bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host(host));
        for (name, value) in self.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes = head.into_bytes();
        match &self.body {
            Body::None => bytes.extend_from_slice(b"\r\n"),
            Body::Whole(body) => {
                bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
            }
            Body::Chunks(chunks) => {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in chunks {
                    bytes.extend_from_slice(&chunked(chunk));
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

/// One chunk; an empty one would be the end of the body, so it is left out.
pub(crate) fn chunked(data: &[u8]) -> Vec<u8> {
    if data.is_empty() {
        return Vec::new();
    }
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}
