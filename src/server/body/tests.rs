use std::future::pending;

use tokio::sync::mpsc;

use super::*;
use crate::{compress::Settings, header::ResponseHead, server::reply::Gone};

/// A body whose parts are handed in by the test.
struct Given(mpsc::UnboundedReceiver<Result<Bytes, Cut>>);

impl Body for Given {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        self.0.recv().await.transpose()
    }
}

fn given() -> (mpsc::UnboundedSender<Result<Bytes, Cut>>, Given) {
    let (hand, parts) = mpsc::unbounded_channel();
    (hand, Given(parts))
}

/// A client that takes everything, or has left.
#[derive(Default)]
struct Taker {
    has_left: bool,
    taken: Vec<u8>,
    finished: bool,
    was_cut: bool,
}

impl Reply for Taker {
    async fn interim(&mut self, _: &ResponseHead) -> Result<(), Gone> {
        Ok(())
    }

    async fn whole(&mut self, _: &ResponseHead, _: &[u8], body: Bytes) -> Result<(), Gone> {
        self.taken.extend_from_slice(&body);
        Ok(())
    }

    async fn start(&mut self, _: &ResponseHead, _: &[u8]) -> Result<(), Gone> {
        Ok(())
    }

    async fn part(&mut self, part: Bytes) -> Result<(), Gone> {
        assert!(!part.is_empty(), "an empty part would end a chunked body");
        self.taken.extend_from_slice(&part);
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Gone> {
        self.finished = true;
        Ok(())
    }

    async fn cut(&mut self) {
        self.was_cut = true;
    }

    async fn left(&mut self) {
        if !self.has_left {
            pending().await
        }
    }

    fn sent(&self) -> u64 {
        self.taken.len() as u64
    }
}

const CLOSED: Cut = Cut::Upstream(UpstreamFailure::Closed);

fn encoding<B: Body>(body: B, coding: Coding, stats: &Stats) -> Encoding<'_, B> {
    Encoding::new(body, coding, Encoder::new(coding, &Settings::default(), None).unwrap(), stats)
}

/// What a decoder can make of the parts so far, and whether that is all.
fn decoded(coding: Coding, coded: &[u8]) -> (Vec<u8>, bool) {
    let mut decoder = Decoder::new(coding).unwrap();
    decoder.push(Bytes::copy_from_slice(coded));
    let mut out = Vec::new();
    while let Some(piece) = decoder.next().unwrap() {
        out.extend_from_slice(&piece);
    }
    (out, decoder.finish().is_ok())
}

fn quick_runs(stats: &Stats, coding: Coding) -> u64 {
    stats.snapshot().codings.iter().find(|figures| figures.coding == coding).map_or(0, |one| one.quick_encodings)
}

#[tokio::test(start_paused = true)]
async fn what_came_goes_out_when_the_app_pauses() {
    for coding in Coding::ALL {
        let (stats, (hand, body)) = (Stats::default(), given());
        let mut body = encoding(body, coding, &stats);
        let mut coded = Vec::new();
        for nth in 0..3 {
            hand.send(Ok(format!("part {nth} ").into())).unwrap();
            let began = tokio::time::Instant::now();
            while decoded(coding, &coded).0.len() < 7 * (nth + 1) {
                coded.extend_from_slice(&body.next().await.unwrap().expect("more to come"));
            }
            assert_eq!(began.elapsed(), FLUSH_AFTER, "{coding:?}: not before, since more may come");
            assert!(!decoded(coding, &coded).1, "{coding:?}: and it is not over");
        }
        drop(hand);
        while let Some(part) = body.next().await.unwrap() {
            coded.extend_from_slice(&part);
        }
        assert_eq!(decoded(coding, &coded), (b"part 0 part 1 part 2 ".to_vec(), true), "{coding:?}");
        assert_eq!((body.taken, quick_runs(&stats, coding)), (21, 1));
        drop(body);
        assert_eq!(quick_runs(&stats, coding), 1, "counted once");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_before_anything_came_is_no_pause() {
    let (stats, (hand, body)) = (Stats::default(), given());
    let mut body = encoding(body, Coding::Br, &stats);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        drop(hand.send(Ok("late".into())));
    });
    let mut coded = Vec::new();
    while let Some(part) = body.next().await.unwrap() {
        coded.extend_from_slice(&part);
    }
    assert_eq!(decoded(Coding::Br, &coded), (b"late".to_vec(), true));
}

#[tokio::test]
async fn cut_body_has_no_end_in_any_coding() {
    for coding in Coding::ALL {
        let (stats, (hand, body)) = (Stats::default(), given());
        hand.send(Ok("half of it".into())).unwrap();
        hand.send(Err(CLOSED)).unwrap();
        let mut taker = Taker::default();
        let passed = pass(&mut encoding(body, coding, &stats), &mut taker).await;
        assert_eq!((passed, taker.was_cut, taker.finished), (Passed::Cut(CLOSED), true, false));
        assert!(!decoded(coding, &taker.taken).1, "{coding:?}");
        assert_eq!(quick_runs(&stats, coding), 1, "what it cost, it cost");
    }
}

#[tokio::test]
async fn client_that_leaves_ends_it() {
    let (_hand, body) = given();
    let mut taker = Taker { has_left: true, ..Taker::default() };
    let mut body = body;
    assert_eq!(pass(&mut body, &mut taker).await, Passed::Left);
    assert!(taker.was_cut);
    assert!(matches!(gather(&mut body, &mut taker).await, Gathered::Left));
}

#[tokio::test(start_paused = true)]
async fn small_bodies_without_a_pause_are_gathered_whole() {
    let part = |bytes: usize| Ok(Bytes::from(vec![b'x'; bytes]));
    for (parts, pauses, expected) in [
        (vec![], false, "whole 0"),
        (vec![part(10), part(20)], false, "whole 30"),
        (vec![part(WHOLE_MOST)], false, "whole 131072"),
        (vec![part(WHOLE_MOST), part(1), part(1)], false, "begun 131073"),
        (vec![part(10)], true, "begun 10"),
        (vec![], true, "begun 0"),
        (vec![part(10), Err(CLOSED)], false, "cut 10"),
    ] {
        let (hand, mut body) = given();
        for part in parts {
            hand.send(part).unwrap();
        }
        // Who holds on to the hand may send more.
        let hand = pauses.then_some(hand);
        let sum = |parts: Vec<Bytes>| parts.iter().map(Bytes::len).sum::<usize>();
        let found = match gather(&mut body, &mut Taker::default()).await {
            Gathered::Whole(parts) => format!("whole {}", sum(parts)),
            Gathered::Begun(parts) => format!("begun {}", sum(parts)),
            Gathered::Cut(parts, _) => format!("cut {}", sum(parts)),
            Gathered::Left => "left".to_owned(),
        };
        assert_eq!(found, expected);
        drop(hand);
    }
}

#[tokio::test]
async fn gathered_parts_come_first() {
    let (hand, body) = given();
    hand.send(Ok("c".into())).unwrap();
    drop(hand);
    let (mut body, mut taker) = (Begun::new(vec!["a".into(), "b".into()], body), Taker::default());
    assert_eq!(pass(&mut body, &mut taker).await, Passed::Whole);
    assert_eq!((taker.taken.as_slice(), taker.finished), (b"abc".as_slice(), true));
}

#[tokio::test]
async fn coding_of_the_app_is_taken_off_to_its_end() {
    let text = "said again and again ".repeat(10_000);
    for coding in Coding::ALL {
        let effort = crate::compress::encoder::Effort::Quick;
        let (coded, _) =
            crate::compress::encoder::whole(coding, effort, &Settings::default(), text.as_bytes()).unwrap();
        let decode = async |coded: Bytes| {
            let mut taker = Taker::default();
            let body = Begun::new(coded.chunks(100).map(Bytes::copy_from_slice).collect::<Vec<_>>(), Nothing);
            (pass(&mut Decoding::new(body, coding), &mut taker).await, taker.taken)
        };
        assert_eq!(decode(coded.clone()).await, (Passed::Whole, text.clone().into_bytes()), "{coding:?}");
        let cut = decode(coded.slice(..coded.len() - 1)).await.0;
        assert!(matches!(cut, Passed::Cut(_)), "{coding:?}: {cut:?}");
        assert_eq!(decode(Bytes::new()).await, (Passed::Whole, vec![]), "nothing is nothing in any coding");
    }
}

#[test]
fn single_part_is_not_copied() {
    let part = Bytes::from_static(b"one");
    assert_eq!(joined(vec![part.clone()]).as_ptr(), part.as_ptr());
    assert_eq!(joined(vec![part, "two".into()]), "onetwo");
    assert_eq!(joined(vec![]), "");
}
