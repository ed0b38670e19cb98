use tokio::io::duplex;

use super::*;

const NOW: &str = "HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 42\r\n\r\n";
const THEN: &str = "HTTP/1.1 200 OK\r\nDate: then\r\nContent-Length: 42\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nDate: early\r\n\r\n";
/// A body that looks like a head.
const BODY: &str = "HTTP/1.1 200 OK\r\nDate: of the body\r\n\r\nbody";

/// A connection whose client takes so many bytes at once, and has been sent no answer yet.
fn conn(room: usize) -> (Conn, io::DuplexStream) {
    let (ours, client) = duplex(room);
    (Conn::lend(Box::new(ours), b"", b"", Body::Length(0)), client)
}

/// What the client gets of what is written in these parts.
async fn seen(room: usize, dates: &str, parts: &[&str]) -> String {
    let (mut conn, mut client) = conn(room);
    conn.set_dates(dates.into());
    let mut seen = String::new();
    let write = async {
        for part in parts {
            conn.write_all(part.as_bytes()).await.unwrap();
        }
        conn.flush().await.unwrap();
        drop(conn);
    };
    let ((), read) = tokio::join!(write, client.read_to_string(&mut seen));
    read.unwrap();
    seen
}

#[tokio::test]
async fn final_head_has_the_origins_date_however_little_the_client_takes() {
    for room in [1, 2, 20, 50, 100, 1 << 16] {
        for (dates, parts, expected) in [
            ("Date: then\r\n", &[NOW, BODY][..], [THEN, BODY].concat()),
            ("Date: then\r\n", &[HINTS, HINTS, NOW, BODY, BODY], [HINTS, HINTS, THEN, BODY, BODY].concat()),
            ("Date: then\r\n", &[NOW], THEN.to_owned()),
            // One write for both is as good.
            ("Date: then\r\n", &[&[NOW, BODY].concat()], [THEN, BODY].concat()),
            // RFC 9110 §6.6.1: one that sends on what has no date adds its own.
            ("", &[HINTS, NOW, BODY], [HINTS, NOW, BODY].concat()),
        ] {
            assert_eq!(seen(room, dates, parts).await, expected, "{room} bytes at once, {parts:?}");
        }
    }
}

#[tokio::test]
async fn head_that_was_taken_is_not_lost_when_nobody_waits_for_its_writing() {
    let (mut conn, mut client) = conn(1);
    conn.set_dates(b"Date: then\r\n".to_vec());
    assert_eq!(conn.write(NOW.as_bytes()).await.unwrap(), NOW.len());
    let mut seen = String::new();
    // Ends the connection in an orderly way, without a flush of its own.
    let (ended, read) = tokio::join!(AsyncWriteExt::shutdown(&mut conn), client.read_to_string(&mut seen));
    ended.unwrap();
    read.unwrap();
    assert_eq!(seen, THEN);
}

#[tokio::test]
async fn connection_with_half_a_head_takes_no_other_request() {
    let (mut conn, _client) = conn(1);
    conn.set_dates(b"Date: then\r\n".to_vec());
    conn.write_all(NOW.as_bytes()).await.unwrap();
    assert!(conn.take_back().is_none());
}

#[tokio::test]
async fn slices_are_as_good_as_one_buffer() {
    for room in [1, 50, 1 << 16] {
        let (mut conn, mut client) = conn(room);
        conn.set_dates(b"Date: then\r\n".to_vec());
        let mut seen = String::new();
        let write = async {
            let mut slices = [NOW, BODY].map(|part| IoSlice::new(part.as_bytes()));
            let mut rest = &mut slices[..];
            while !rest.is_empty() {
                let written = conn.write_vectored(rest).await.unwrap();
                IoSlice::advance_slices(&mut rest, written);
            }
            conn.flush().await.unwrap();
            drop(conn);
        };
        let ((), read) = tokio::join!(write, client.read_to_string(&mut seen));
        read.unwrap();
        assert_eq!(seen, [THEN, BODY].concat(), "{room} bytes at once");
    }
}

#[tokio::test]
async fn last_word_on_the_date_counts() {
    let (mut conn, mut client) = conn(1 << 16);
    conn.set_dates(b"Date: then\r\n".to_vec());
    conn.set_dates(Vec::new());
    conn.write_all(NOW.as_bytes()).await.unwrap();
    drop(conn);
    let mut seen = String::new();
    client.read_to_string(&mut seen).await.unwrap();
    assert_eq!(seen, NOW);
}

#[tokio::test]
async fn client_that_left_is_an_error() {
    let (mut conn, client) = conn(1);
    conn.set_dates(b"Date: then\r\n".to_vec());
    drop(client);
    assert!(conn.write_all(NOW.as_bytes()).await.is_err());
}
