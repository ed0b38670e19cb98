//! Bodies coded for the clients that take it: in which coding, with which head, how often, and what of it is stored.

use crate::common::{
    Answer, Cut, Gate, H2Answer, H2Origin, Origin, Received, Request, Response, Sidecar, decoded_by_others, get, head,
    ok, post, raw, request, status, text,
};

const JSON: &str = "application/json";
const CODINGS: [&str; 4] = ["zstd", "br", "gzip", "deflate"];

fn json(body: impl AsRef<[u8]>) -> Response {
    ok(body).header("Content-Type", JSON)
}

fn storable(body: impl AsRef<[u8]>) -> Response {
    json(body).header("Cache-Control", "max-age=60").header("ETag", "\"v1\"")
}

fn accepting(coding: &str) -> Request {
    get("/").header("Accept-Encoding", coding)
}

async fn before(response: Response) -> (Origin, Sidecar) {
    with(response, "").await
}

async fn with(response: Response, config: &str) -> (Origin, Sidecar) {
    let origin = Origin::new().otherwise(response).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(config).start().await;
    (origin, sidecar)
}

/// Encoder runs so far, of both efforts or of one.
async fn encodings(sidecar: &Sidecar, coding: &str, effort: &str) -> f64 {
    sidecar.metric(&format!("pacecar_compression_encodings_total{{coding=\"{coding}\",effort=\"{effort}\"}}")).await
}

async fn skipped(sidecar: &Sidecar, reason: &str) -> f64 {
    sidecar.metric(&format!("pacecar_compression_skipped_total{{reason=\"{reason}\"}}")).await
}

#[tokio::test]
async fn one_stored_response_serves_every_coding_and_each_is_made_once() {
    let body = text(20_000);
    let (origin, sidecar) = before(storable(&body)).await;
    sidecar.send(accepting("gzip")).await.assert_cache("miss").assert_coded(Some("gzip"), &body);
    for _ in 0..3 {
        for coding in CODINGS {
            let answer = sidecar.send(accepting(coding)).await;
            answer.assert_cache("hit").assert_coded(Some(coding), &body);
            answer.assert_field("content-length", &answer.body.len().to_string());
            answer.assert_field("vary", "Accept-Encoding").assert_field("etag", "W/\"v1\"");
            answer.assert_field("content-type", JSON);
        }
        let plain = sidecar.get("/").await;
        plain.assert_cache("hit").assert_coded(None, &body).assert_field("vary", "Accept-Encoding");
        plain.assert_field("etag", "\"v1\"");
    }
    for coding in CODINGS {
        assert_eq!(encodings(&sidecar, coding, "quick").await, 1.0, "{coding}");
    }
    origin.assert_requests(1);
    assert_eq!(origin.last().field("accept-encoding"), Some("identity"));
    assert_eq!(sidecar.metric("pacecar_cache_entries").await, 1.0);
}

#[tokio::test]
async fn coded_bodies_weigh() {
    let body = text(50_000);
    let (_origin, sidecar) = before(storable(&body)).await;
    sidecar.get("/").await.assert_cache("miss");
    let plain = sidecar.metric("pacecar_cache_bytes").await;
    let mut sum = plain;
    for coding in CODINGS {
        sum += sidecar.send(accepting(coding)).await.assert_cache("hit").body.len() as f64;
    }
    let bytes = sidecar.metric("pacecar_cache_bytes").await;
    assert!((sum..sum + 4.0 * 1000.0).contains(&bytes), "{plain} without codings, {bytes} in place of {sum} with them");
}

#[tokio::test]
async fn preferences_are_the_clients_and_ties_are_ours() {
    let body = text(2_000);
    let (_origin, sidecar) = before(storable(&body)).await;
    for (accepted, coding) in [
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip, deflate, br", Some("br")),
        ("br;q=0.2, gzip;q=0.8", Some("gzip")),
        ("*", Some("zstd")),
        ("zstd;q=0, *", Some("br")),
        ("x-gzip", Some("gzip")),
        ("gzip;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("", None),
        ("compress", None),
        ("identity;q=0, *;q=0", None),
    ] {
        sidecar.send(accepting(accepted)).await.assert_coded(coding, &body);
        sidecar.h2c().await.send(accepting(accepted)).await.assert_coded(coding, &body);
    }
    let lines = get("/").header("Accept-Encoding", "gzip;q=0.5").header("Accept-Encoding", "br");
    sidecar.send(lines).await.assert_coded(Some("br"), &body);
}

/// What is not coded, and why; in every case the bytes are the app's.
#[tokio::test]
async fn what_is_not_to_be_coded_is_not() {
    let body = text(2_000);
    for (response, reason, vary) in [
        (json(&body).header("Cache-Control", "no-transform"), "no-transform", None),
        (json(text(499)), "too-small", None),
        (ok(&body).header("Content-Type", "image/png"), "type", None),
        (ok(&body), "type", None),
        (ok(&body).header("Content-Type", "application/grpc+json"), "type", None),
        (json(&body).header("Content-Encoding", "snappy"), "coded", None),
        (
            status(206).part(&body[..100]).header("Content-Type", JSON).header("Content-Range", "bytes 0-99/2000"),
            "status",
            None,
        ),
        (json(&body).header("Content-Range", "bytes 0-1999/2000"), "content-range", None),
        (json(&body).header("Vary", "Origin"), "not-accepted", Some("Origin, Accept-Encoding")),
        (json(&body).header("Vary", "*"), "not-accepted", Some("*")),
    ] {
        let (_origin, sidecar) = before(response.clone()).await;
        let accepted = if vary.is_some() { "identity" } else { "zstd, br, gzip, deflate" };
        let answer = sidecar.send(accepting(accepted)).await;
        answer.assert_complete();
        answer.expect(["snappy"].contains(&answer.coding().unwrap_or("snappy")), "no coding of ours".to_owned());
        answer.expect(body.starts_with(&answer.body) || answer.body == text(499), "the bytes of the app".to_owned());
        assert_eq!(answer.fields.joined("vary"), vary.unwrap_or_default(), "{answer}");
        assert_eq!(skipped(&sidecar, reason).await, 1.0, "{reason}: {answer}");
    }
}

#[tokio::test]
async fn client_of_http_1_0_gets_the_body_as_it_is() {
    let body = text(2_000);
    for response in [storable(&body), json(&body), json(&body).chunked()] {
        let (_origin, sidecar) = before(response).await;
        for _ in 0..2 {
            let mut client = sidecar.client().await;
            client.send_bytes("GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n").await;
            let answer = client.answer("GET").await;
            answer.assert_status(200).assert_coded(None, &body).assert_no_field("transfer-encoding");
        }
        assert_eq!(skipped(&sidecar, "http10").await, 2.0);
    }
}

#[tokio::test]
async fn ranges_are_of_the_body_as_it_is() {
    let body = text(2_000);
    let (_origin, sidecar) = before(storable(&body)).await;
    sidecar.send(accepting("gzip")).await.assert_coded(Some("gzip"), &body);
    let part = sidecar.send(accepting("gzip").header("Range", "bytes=100-199")).await;
    part.assert_status(206).assert_no_field("content-encoding").assert_body(&body[100..200]);
    part.assert_field("etag", "\"v1\"").assert_field("vary", "Accept-Encoding");
    // What the client has is a coded copy, whose bytes are others: it is given the whole (RFC 9110 §13.1.5).
    let condition = |tag| accepting("gzip").header("Range", "bytes=100-199").header("If-Range", tag);
    sidecar.send(condition("W/\"v1\"")).await.assert_status(200).assert_coded(None, &body);
    sidecar.send(condition("\"v1\"")).await.assert_status(206).assert_body(&body[100..200]);
}

#[tokio::test]
async fn head_says_what_get_would() {
    let body = text(2_000);
    let (_origin, sidecar) = before(storable(&body)).await;
    let ask = || head("/").header("Accept-Encoding", "br");
    let first = sidecar.send(ask()).await;
    first.assert_status(200).assert_field("content-encoding", "br").assert_field("etag", "W/\"v1\"");
    first.assert_field("vary", "Accept-Encoding").assert_no_field("content-length").assert_body("");
    sidecar.get("/").await.assert_cache("miss");
    // Nobody codes a body for a head alone.
    let unmade = sidecar.send(ask()).await;
    unmade.assert_cache("hit").assert_field("content-encoding", "br").assert_no_field("content-length").assert_body("");
    assert_eq!(encodings(&sidecar, "br", "quick").await, 0.0);
    let coded = sidecar.send(accepting("br")).await;
    let made = sidecar.send(ask()).await;
    made.assert_field("content-length", &coded.body.len().to_string()).assert_body("");
}

#[tokio::test]
async fn weakened_tag_is_matched_on_the_way_back() {
    let body = text(2_000);
    let (origin, sidecar) = before(storable(&body)).await;
    let tag = sidecar.send(accepting("gzip")).await.field("etag").unwrap().to_owned();
    assert_eq!(tag, "W/\"v1\"");
    for accepted in ["gzip", "br"] {
        let answer = sidecar.send(accepting(accepted).header("If-None-Match", &tag)).await;
        answer
            .assert_status(304)
            .assert_field("etag", "W/\"v1\"")
            .assert_field("vary", "Accept-Encoding")
            .assert_body("");
        answer.assert_no_field("content-encoding").assert_no_field("content-length");
    }
    let plain = sidecar.send(get("/").header("If-None-Match", "\"v1\"")).await;
    plain.assert_status(304).assert_field("etag", "\"v1\"").assert_field("vary", "Accept-Encoding");
    sidecar.send(accepting("gzip").header("If-None-Match", "W/\"v2\"")).await.assert_coded(Some("gzip"), &body);
    origin.assert_requests(1);
}

/// Without a store in between, the app itself is asked.
#[tokio::test]
async fn not_modified_of_the_app_has_the_tag_that_the_client_knows() {
    let script = |received: &Received| match received.field("if-none-match") {
        Some(_) => status(304).header("ETag", "\"v1\""),
        None => json(text(2_000)).header("ETag", "\"v1\"").header("Cache-Control", "no-store"),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.send(accepting("gzip")).await.assert_field("etag", "W/\"v1\"").assert_coded(Some("gzip"), text(2_000));
    let conditional = |tag| accepting("gzip").header("If-None-Match", tag);
    let weak = sidecar.send(conditional("W/\"v1\"")).await;
    weak.assert_status(304).assert_field("etag", "W/\"v1\"").assert_field("vary", "Accept-Encoding");
    sidecar.send(conditional("\"v1\"")).await.assert_status(304).assert_field("etag", "\"v1\"");
}

/// An app that knows tags by their letters alone, and answers with the whole to a weak one.
#[tokio::test]
async fn client_that_has_it_is_told_so_where_the_app_does_not_notice() {
    let response = json(text(2_000)).header("ETag", "\"v1\"").header("Cache-Control", "no-store");
    let (_origin, sidecar) = before(response).await;
    let answer = sidecar.send(accepting("gzip").header("If-None-Match", "W/\"v1\"")).await;
    answer.assert_status(304).assert_field("etag", "W/\"v1\"").assert_body("");
}

#[tokio::test]
async fn revalidated_and_stale_responses_keep_their_codings() {
    let body = text(3_000);
    let whole = storable(&body).header("Age", "60");
    let script = move |received: &Received| match received.field("if-none-match") {
        Some("\"v1\"") => status(304).header("ETag", "\"v1\"").header("Cache-Control", "max-age=60"),
        _ => whole.clone(),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.send(accepting("br")).await.assert_cache("miss").assert_coded(Some("br"), &body);
    let confirmed = sidecar.send(accepting("br")).await;
    confirmed.assert_cache_parameter("fwd-status=304").assert_coded(Some("br"), &body).assert_field("etag", "W/\"v1\"");
    sidecar.send(accepting("br")).await.assert_cache("hit").assert_coded(Some("br"), &body);
    assert_eq!(encodings(&sidecar, "br", "quick").await, 1.0, "the body was the same all the time");
}

#[tokio::test]
async fn stored_body_stands_in_coded_for_an_app_that_is_down() {
    let body = text(3_000);
    let (origin, sidecar) =
        before(json(&body).header("Cache-Control", "max-age=60, stale-if-error=600").header("Age", "60")).await;
    sidecar.send(accepting("gzip")).await.assert_coded(Some("gzip"), &body);
    origin.stop().await;
    let stale = sidecar.send(accepting("gzip")).await;
    stale.assert_status(200).assert_cache("hit").assert_coded(Some("gzip"), &body);
}

/// The first reader has no whole body to wait for: what came goes on, in the coding.
#[tokio::test]
async fn paused_parts_reach_the_client_while_they_are_coded() {
    let parts: Vec<Vec<u8>> = (0..3).map(|nth| text(700 + nth)).collect();
    for cache_control in ["no-store", "max-age=60"] {
        for coding in CODINGS {
            let gates = [Gate::new(), Gate::new()];
            let response = json(&parts[0]).wait(&gates[0]).part(&parts[1]).wait(&gates[1]).part(&parts[2]).chunked();
            let (_origin, sidecar) = before(response.header("Cache-Control", cache_control)).await;
            let mut client = sidecar.client().await;
            let mut incoming = client.begin(accepting(coding)).await;
            incoming.so_far().assert_status(200).assert_field("content-encoding", coding);
            let mut decoder = pacecar::compress::Decoder::new(coding_of(coding)).unwrap();
            let (mut seen, mut expected, mut decoded) = (0, Vec::new(), Vec::new());
            for (nth, part) in parts.iter().enumerate() {
                expected.extend_from_slice(part);
                while decoded.len() < expected.len() {
                    let so_far = incoming.at_least(seen + 1).await.body.clone();
                    decoder.push(bytes::Bytes::copy_from_slice(&so_far[seen..]));
                    seen = so_far.len();
                    while let Some(piece) = decoder.next().unwrap() {
                        decoded.extend_from_slice(&piece);
                    }
                }
                assert_eq!(decoded, expected, "{coding}: what the app sent before its pause");
                if let Some(gate) = gates.get(nth) {
                    gate.open();
                }
            }
            incoming.finish().await.assert_coded(Some(coding), &expected);
        }
    }
}

fn coding_of(name: &str) -> pacecar::header::coding::Coding {
    pacecar::header::coding::Coding::named(name.as_bytes()).expect("a coding")
}

/// A cut body is a stream without an end, and a message without one.
#[tokio::test]
async fn cut_body_is_an_invalid_stream() {
    let body = text(300_000);
    for cache_control in ["no-store", "max-age=60"] {
        for (coding, cut) in CODINGS.into_iter().flat_map(|coding| [(coding, Cut::Fin), (coding, Cut::Reset)]) {
            let response = json(&body).header("Cache-Control", cache_control).chunked().cut(cut);
            let (_origin, sidecar) = before(response).await;
            for answer in [sidecar.send(accepting(coding)).await, sidecar.h2c().await.send(accepting(coding)).await] {
                answer.assert_cut();
                if answer.coding().is_some() {
                    assert_eq!(decoded_by_others(coding, &answer.body), None, "{coding}: {} bytes", answer.body.len());
                }
            }
            assert_eq!(sidecar.metric("pacecar_cache_entries").await, 0.0);
        }
    }
}

/// All who wait for one fetch are given one coding of it.
#[tokio::test]
async fn crowd_costs_one_fetch_and_one_coding() {
    for (body, how) in [(text(20_000), "whole"), (text(600_000), "streamed")] {
        let gate = Gate::new();
        let (origin, sidecar) = before(storable(&body).chunked().after(&gate)).await;
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let mut client = sidecar.client().await;
            crowd.spawn(async move { client.send(accepting("br")).await });
        }
        gate.arrivals(1).await;
        sidecar.until_metric("pacecar_http_requests_in_flight", 50.0).await;
        gate.open();
        let answers = crowd.join_all().await;
        answers[0].assert_coded(Some("br"), &body);
        for answer in &answers {
            answer.assert_complete();
            let coded = answer.coding() == Some("br");
            answer.expect(coded && answer.body == answers[0].body, "the same coded body for all".to_owned());
        }
        origin.assert_requests(1);
        sidecar.send(accepting("br")).await.assert_cache("hit").assert_body(&answers[0].body);
        assert_eq!(encodings(&sidecar, "br", "quick").await, 1.0, "{how}");
    }
}

/// A body that proves hot is coded anew, as well as it goes, and takes the place of the first one.
#[tokio::test]
async fn hot_body_becomes_smaller() {
    let body = text(60_000);
    for coding in CODINGS {
        let (_origin, sidecar) = with(storable(&body), "[compression]\nrecode_cpu_percent = 100").await;
        let quick = sidecar.send(accepting(coding)).await;
        quick.assert_coded(Some(coding), &body);
        let bytes = sidecar.metric("pacecar_cache_bytes").await;
        for _ in 0..20 {
            sidecar.send(accepting(coding)).await.assert_coded(Some(coding), &body);
        }
        sidecar.until_metric("pacecar_compression_recoded_total", 1.0).await;
        // The figure is there a moment before the body is.
        let mut best = sidecar.send(accepting(coding)).await;
        while best.body.len() >= quick.body.len() {
            best = sidecar.send(accepting(coding)).await;
        }
        best.assert_cache("hit").assert_coded(Some(coding), &body).assert_field("etag", "W/\"v1\"");
        best.assert_field("content-length", &best.body.len().to_string());
        assert_eq!(encodings(&sidecar, coding, "quick").await, 1.0, "{coding}");
        assert_eq!(encodings(&sidecar, coding, "best").await, 1.0, "{coding}");
        let now = sidecar.metric("pacecar_cache_bytes").await;
        assert_eq!(bytes - now, (quick.body.len() - best.body.len()) as f64, "{coding}: it weighs what it is");
    }
}

#[tokio::test]
async fn what_the_app_coded_is_decoded_for_those_who_cannot_take_it() {
    let body = text(100_000);
    let settings = pacecar::compress::Settings::default();
    for coding in CODINGS {
        let effort = pacecar::compress::encoder::Effort::Quick;
        let (coded, _) = pacecar::compress::encoder::whole(coding_of(coding), effort, &settings, &body).unwrap();
        for cache_control in ["no-store", "max-age=60"] {
            let response = json(&coded)
                .header("Content-Encoding", coding)
                .header("Cache-Control", cache_control)
                .header("ETag", "\"v1\"");
            let (_origin, sidecar) = before(response.clone()).await;
            for _ in 0..2 {
                let taken = sidecar.send(accepting(coding)).await;
                taken.assert_body(&coded).assert_field("etag", "\"v1\"").assert_field("vary", "Accept-Encoding");
                let plain = sidecar.send(accepting("identity")).await;
                plain
                    .assert_coded(None, &body)
                    .assert_field("etag", "W/\"v1\"")
                    .assert_field("vary", "Accept-Encoding");
                // Who says nothing takes anything (RFC 9110 §12.5.3), and is given what the app gives.
                sidecar.get("/").await.assert_body(&coded);
                sidecar.h2c().await.send(accepting("identity")).await.assert_coded(None, &body);
                sidecar.send(post("/", "x").header("Accept-Encoding", "identity")).await.assert_coded(None, &body);
            }
            // A cut one does not look whole.
            let cut = json(&coded[..coded.len() / 2])
                .header("Content-Encoding", coding)
                .header("Cache-Control", cache_control);
            let (_origin, sidecar) = before(cut).await;
            sidecar.send(accepting("identity")).await.assert_cut();
            let posted = sidecar.send(post("/", "x").header("Accept-Encoding", "identity")).await;
            posted.expect(is_visibly_broken(&posted), "a visible failure".to_owned());
        }
    }
}

/// Cut, or an error where nothing of it had been sent.
fn is_visibly_broken(answer: &Answer) -> bool {
    answer.status == 502 || answer.end != crate::common::End::Complete
}

/// Answers to requests with a body go another way.
#[tokio::test]
async fn answers_to_posts_are_coded() {
    let body = text(200_000);
    for response in [json(&body), json(&body).chunked(), json(&body).until_close()] {
        let (origin, sidecar) = before(response.header("ETag", "\"v1\"")).await;
        for coding in CODINGS {
            let ask = || post("/", "x").header("Accept-Encoding", coding);
            for answer in [sidecar.send(ask()).await, sidecar.h2c().await.send(ask()).await] {
                answer.assert_status(200).assert_coded(Some(coding), &body).assert_field("vary", "Accept-Encoding");
                answer.assert_field("etag", "W/\"v1\"").assert_no_field("content-length");
            }
            assert_eq!(origin.last().field("accept-encoding"), Some("identity"));
            assert_eq!(encodings(&sidecar, coding, "quick").await, 2.0);
        }
        sidecar.send(post("/", "x")).await.assert_coded(None, &body);
    }
    let small = json("{}").header("ETag", "\"v1\"");
    let (_origin, sidecar) = before(small).await;
    sidecar.send(post("/", "x").header("Accept-Encoding", "gzip")).await.assert_coded(None, "{}");
}

#[tokio::test]
async fn cut_answers_to_posts_are_invalid_streams() {
    let body = text(200_000);
    for coding in CODINGS {
        let (_origin, sidecar) = before(json(&body).chunked().cut(Cut::Fin)).await;
        let ask = || post("/", "x").header("Accept-Encoding", coding);
        for answer in [sidecar.send(ask()).await, sidecar.h2c().await.send(ask()).await] {
            answer.assert_cut();
            assert_eq!(decoded_by_others(coding, &answer.body), None, "{coding}");
        }
    }
}

/// An app that speaks HTTP/2 ends its bodies in other ways, with trailers or without.
#[tokio::test]
async fn bodies_of_an_http_2_app_are_coded_to_their_end() {
    let body = text(100_000);
    let sent = body.clone();
    let origin = H2Origin::start(move |received| {
        let answer = H2Answer::ok(&sent).header("content-type", JSON);
        if received.path == "/trailers" { answer.trailer("x-sum", "1") } else { answer }
    })
    .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for target in ["/", "/trailers"] {
        for coding in CODINGS {
            for request in [get(target), post(target, "x")] {
                let ask = || request.clone().header("Accept-Encoding", coding);
                sidecar.send(ask()).await.assert_coded(Some(coding), &body);
                sidecar.h2c().await.send(ask()).await.assert_coded(Some(coding), &body);
            }
        }
    }
}

#[tokio::test]
async fn route_and_settings_leave_bodies_alone() {
    let body = text(3_000);
    let personal = storable(&body).header("Cache-Control", "private").header("Set-Cookie", "a=b");
    for (config, response, reason) in [
        ("[compression]\ncodings = []", storable(&body), "off"),
        ("[[route]]\nmatch = \"/\"\ncompress = false", storable(&body), "route"),
        ("[compression]\nskip_private = true", personal.clone(), "private"),
        ("[compression]\nmin_bytes = \"4KiB\"", storable(&body), "too-small"),
        ("[compression]\ntypes = [\"text/*\"]", storable(&body), "type"),
    ] {
        let (origin, sidecar) = with(response, config).await;
        sidecar.send(accepting("gzip")).await.assert_coded(None, &body);
        assert_eq!(skipped(&sidecar, reason).await, 1.0, "{config}");
        // Who codes nothing leaves it to the app.
        let asked = if matches!(reason, "off" | "route") { "gzip" } else { "identity" };
        assert_eq!(origin.last().field("accept-encoding"), Some(asked), "{config}");
    }
    let (_origin, sidecar) = before(personal).await;
    sidecar.send(accepting("gzip")).await.assert_coded(Some("gzip"), &body);
    let (_origin, sidecar) = with(storable(&body), "[compression]\ncodings = [\"gzip\", \"br\"]").await;
    sidecar.send(accepting("zstd, br, gzip")).await.assert_coded(Some("gzip"), &body);
}

#[tokio::test]
async fn noise_is_sent_as_it_is() {
    let noise = crate::common::noise(30_000);
    let (_origin, sidecar) = before(storable(&noise)).await;
    for _ in 0..3 {
        let answer = sidecar.send(accepting("gzip")).await;
        answer
            .assert_coded(None, &noise)
            .assert_field("content-length", "30000")
            .assert_field("vary", "Accept-Encoding");
    }
    assert_eq!(skipped(&sidecar, "not-smaller").await, 3.0);
    assert_eq!(encodings(&sidecar, "gzip", "quick").await, 1.0, "tried once");
}

/// More streams than there are encoders for: the rest go on as they are.
#[tokio::test]
async fn encoders_are_bounded() {
    let (gate, first) = (Gate::new(), text(1000));
    let response = json(&first).wait(&gate).part(text(1000)).chunked().header("Cache-Control", "no-store");
    let (_origin, sidecar) = before(response).await;
    let body = [first.clone(), text(1000)].concat();
    let mut clients = Vec::new();
    for nth in 0..70 {
        let mut client = sidecar.client().await;
        let ask = get(&format!("/{nth}")).header("Accept-Encoding", "br");
        client.send_bytes(ask.to_bytes(&sidecar.addr().to_string())).await;
        clients.push(client);
    }
    let room = (96 << 20) / pacecar::compress::encoder::max_encoder_bytes(coding_of("br"));
    sidecar.until_metric("pacecar_compression_skipped_total{reason=\"busy\"}", (70 - room) as f64).await;
    gate.open();
    let mut coded = 0;
    for mut client in clients {
        let answer: Answer = client.answer("GET").await;
        coded += usize::from(answer.coding() == Some("br"));
        answer.assert_complete();
        let decoded = if answer.coding().is_some() { answer.decoded() } else { Some(answer.body.clone()) };
        assert_eq!(decoded.as_deref(), Some(&body[..]));
    }
    assert_eq!(coded, room);
    // They are given back.
    let answer = sidecar.send(get("/later").header("Accept-Encoding", "br")).await;
    answer.assert_coded(Some("br"), &body);
}

#[tokio::test]
async fn events_are_never_held_back_nor_coded() {
    let gate = Gate::new();
    let response =
        ok("data: 1\n\n").wait(&gate).part("data: 2\n\n").chunked().header("Content-Type", "text/event-stream");
    let (_origin, sidecar) = before(response).await;
    let mut client = sidecar.client().await;
    let mut events = client.begin(accepting("gzip")).await;
    events.so_far().assert_no_field("content-encoding");
    assert_eq!(events.at_least(9).await.text(), "data: 1\n\n");
    gate.open();
    events.finish().await.assert_body("data: 1\n\ndata: 2\n\n");
}

/// Bytes that are not in the coding that the app names, and a bomb: nothing falls over, and nothing looks whole.
#[tokio::test]
async fn malformed_codings_are_visible() {
    let zeros = vec![0; 64 << 20];
    let settings = pacecar::compress::Settings::default();
    let best = pacecar::compress::encoder::Effort::Best;
    let (bomb, _) = pacecar::compress::encoder::whole(coding_of("br"), best, &settings, &zeros).unwrap();
    for (coding, bytes) in [("gzip", text(5_000)), ("br", text(5_000)), ("zstd", text(5_000)), ("br", bomb.to_vec())] {
        let (_origin, sidecar) = before(json(&bytes).header("Content-Encoding", coding)).await;
        for request in [get("/"), post("/", "x")] {
            let answer = sidecar.send(request.header("Accept-Encoding", "identity")).await;
            answer.expect(is_visibly_broken(&answer), "a visible failure".to_owned());
        }
        sidecar.get("/").await.assert_body(&bytes);
    }
}

#[tokio::test]
async fn upstream_head_and_body_in_one_go_or_byte_by_byte_are_the_same() {
    let body = text(1_500);
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Type: {JSON}\r\nContent-Length: {}\r\n\r\n", body.len());
    let (_origin, sidecar) = before(raw([whole.as_bytes(), &body].concat())).await;
    sidecar.send(accepting("zstd")).await.assert_coded(Some("zstd"), &body);
    let pieces = body.iter().fold(json("").chunked(), |response, byte| response.part([*byte]));
    let (_origin, sidecar) = before(pieces).await;
    sidecar.send(accepting("zstd")).await.assert_coded(Some("zstd"), &body);
}

/// A guard against lost updates: the app takes no weak tag for the one that it gave out (RFC 9110 §13.1.1).
#[tokio::test]
async fn app_is_sent_the_tag_that_it_gave_out() {
    for cache_control in ["no-store", "max-age=60"] {
        for (tag, comes_back) in [("\"v1\"", "\"v1\""), ("W/\"v1\"", "W/\"v1\"")] {
            let response = json(text(2_000)).header("Cache-Control", cache_control).header("ETag", tag);
            let (origin, sidecar) = before(response).await;
            for coding in ["gzip", "br"] {
                sidecar.send(accepting(coding)).await.assert_field("etag", "W/\"v1\"");
            }
            for method in ["PUT", "DELETE"] {
                for condition in ["If-Match", "If-None-Match"] {
                    let guarded = request(method, "/").header(condition, "W/\"v0\", W/\"v1\"");
                    sidecar.send(guarded.clone()).await.assert_status(200);
                    let expected = format!("W/\"v0\", {comes_back}");
                    assert_eq!(origin.last().field(condition), Some(&*expected), "{method}");
                    sidecar.h2c().await.send(guarded).await.assert_status(200);
                    assert_eq!(origin.last().field(condition), Some(&*expected), "{method} over HTTP/2");
                }
            }
            let update = post("/", "x").header("If-Match", "W/\"v1\"");
            sidecar.send(update.clone()).await.assert_status(200);
            assert_eq!(origin.last().field("if-match"), Some(comes_back));
            sidecar.h2c().await.send(update).await.assert_status(200);
            assert_eq!(origin.last().field("if-match"), Some(comes_back));
            // Of another URL nothing is known.
            sidecar.send(post("/other", "x").header("If-Match", "W/\"v1\"")).await;
            assert_eq!(origin.last().field("if-match"), Some("W/\"v1\""));
        }
    }
}
