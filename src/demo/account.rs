//! What is personal: a login, a session cookie, and a page that nobody else may see.

use axum::{
    Form, Router,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use serde::Deserialize;

use super::{cache_control, escape, page};

const PRIVATE: &str = "private";
const COOKIE: &str = "session";
/// A name is at most this long, so that the cookie stays small.
const MAX_NAME_BYTES: usize = 64;

const FORM: &str = "<form method=\"post\" action=\"/login\">\n\
    <label>Your name <input name=\"name\" maxlength=\"64\" required></label>\n<button>Log in</button>\n</form>";

#[derive(Deserialize)]
struct Credentials {
    name: String,
}

pub(super) fn router() -> Router {
    Router::new().route("/login", get(form).post(login)).route("/account", get(account)).route("/logout", get(logout))
}

async fn form() -> Response {
    page("Log in", FORM).into_response()
}

async fn login(Form(Credentials { name }): Form<Credentials>) -> Response {
    let name = name.trim();
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return (StatusCode::BAD_REQUEST, page("Log in", FORM)).into_response();
    }
    let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", to_hex(name));
    ([(header::SET_COOKIE, cookie)], Redirect::to("/account")).into_response()
}

async fn account(request: HeaderMap) -> Response {
    let Some(name) = session(&request) else {
        return (cache_control(PRIVATE), Redirect::to("/login")).into_response();
    };
    let body = format!("<p>Only you see this page, {}.</p>\n<p><a href=\"/logout\">Log out</a></p>", escape(&name));
    (cache_control(PRIVATE), page("Your account", &body)).into_response()
}

async fn logout() -> Response {
    let forget = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    ([(header::SET_COOKIE, forget)], Redirect::to("/")).into_response()
}

/// The name in the request's session cookie, if there is a readable one.
fn session(request: &HeaderMap) -> Option<String> {
    request
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .and_then(|(_, value)| from_hex(value))
}

/// Any text as cookie octets (RFC 6265 §4.1.1 allows no space, quote, comma, semicolon or non-ASCII byte).
fn to_hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(digits: &str) -> Option<String> {
    let digits: Option<Vec<u8>> = digits.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    let (pairs, []) = digits.as_deref()?.as_chunks::<2>() else { return None };
    let bytes = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}
