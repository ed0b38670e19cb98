//! Stored bodies in codings: kept with their entries, weighed with them, gone with them.

use bytes::Bytes;

use super::{
    fixture::{Fixture, get, key, response},
    *,
};

const BODY: usize = 10_000;
const SAID: &str = "Cache-Control: max-age=60";

fn form(bytes: usize) -> Option<(ResponseHead, Bytes)> {
    Some((ResponseHead::for_tests(200, "Content-Encoding: br"), vec![0; bytes].into()))
}

/// A cache with one stored response, which is returned.
fn with_one(settings: Settings) -> (Fixture, Arc<Entry>) {
    let fixture = Fixture::new(settings);
    fixture.put("/", "", SAID, &"x".repeat(BODY), 0);
    let entry = stored(&fixture, "/");
    (fixture, entry)
}

fn stored(fixture: &Fixture, url: &str) -> Arc<Entry> {
    match fixture.lookup(url, "", 1) {
        Lookup::Fresh(entry) => entry,
        other => panic!("{other:?}"),
    }
}

fn bytes(fixture: &Fixture) -> u64 {
    fixture.cache.snapshot().bytes
}

/// What the store believes to hold, which must be what its entries weigh.
fn assert_weighed(fixture: &Fixture, url: &str) {
    let resource = fixture.cache.peek(&key(url)).unwrap();
    let entries: u64 = resource.variants().iter().map(|entry| entry.weight()).sum();
    assert_eq!(resource.weight(&key(url)), entries);
}

#[test]
fn form_is_kept_counted_and_found() {
    let (fixture, entry) = with_one(Settings::default());
    let before = bytes(&fixture);
    assert!(entry.coded(Coding::Br).is_none());
    fixture.cache.keep_coded(&key("/"), &entry, Coding::Br, form(4_000), false).unwrap();
    let coded = stored(&fixture, "/").coded(Coding::Br).expect("it is the entry's");
    assert_eq!((coded.form.as_ref().unwrap().1.len(), coded.best), (4_000, false));
    assert!(entry.coded(Coding::Gzip).is_none());
    let grown = bytes(&fixture) - before;
    assert!((4_000..4_300).contains(&grown), "{grown} bytes for 4000");
    assert_eq!(fixture.cache.snapshot().entries, 1, "another form is no other entry");
    assert_weighed(&fixture, "/");
}

#[test]
fn smaller_form_takes_the_place_of_the_first() {
    let (fixture, entry) = with_one(Settings::default());
    let keep = |length, best| fixture.cache.keep_coded(&key("/"), &entry, Coding::Br, form(length), best).unwrap();
    drop(keep(4_000, false));
    let before = bytes(&fixture);
    drop(keep(3_000, true));
    assert_eq!(before - bytes(&fixture), 1_000);
    assert!(entry.coded(Coding::Br).unwrap().best);
    assert_weighed(&fixture, "/");
}

#[test]
fn no_smaller_one_is_remembered_for_nothing() {
    let (fixture, entry) = with_one(Settings::default());
    let before = bytes(&fixture);
    fixture.cache.keep_coded(&key("/"), &entry, Coding::Br, None, true).unwrap();
    assert!(entry.coded(Coding::Br).unwrap().form.is_none());
    assert_eq!(bytes(&fixture), before);
}

#[test]
fn forms_go_with_their_entry() {
    let (fixture, entry) = with_one(Settings::default());
    for coding in Coding::ALL {
        fixture.cache.keep_coded(&key("/"), &entry, coding, form(4_000), false).unwrap();
    }
    drop(entry);
    fixture.put("/", "", SAID, "another", 2);
    assert!(stored(&fixture, "/").coded(Coding::Br).is_none(), "another body has codings of its own");
    let left = bytes(&fixture);
    assert!(left < 2_000, "{left} bytes are held for an entry of 7");
    fixture.cache.store.remove(&key("/"), fixture.at(3), || (), |_| true);
    assert_eq!(bytes(&fixture), 0);
}

#[test]
fn form_of_what_has_left_the_store_goes_with_its_last_reader() {
    let (fixture, entry) = with_one(Settings::default());
    fixture.put("/", "", SAID, "another", 2);
    fixture.cache.keep_coded(&key("/"), &entry, Coding::Br, form(4_000), false).unwrap();
    assert!(stored(&fixture, "/").coded(Coding::Br).is_none());
    drop(entry);
    assert!(bytes(&fixture) < 2_000);
    assert_weighed(&fixture, "/");
}

#[test]
fn forms_do_not_outgrow_what_one_url_may_take() {
    // Half of the one shard is for one URL.
    let settings = Settings { max_bytes: 40_000, max_entries: 10, max_object_bytes: 20_000, ..Settings::default() };
    let (fixture, entry) = with_one(settings);
    let keep = |coding, best| fixture.cache.keep_coded(&key("/"), &entry, coding, form(6_000), best);
    assert!(keep(Coding::Br, false).is_ok());
    assert_eq!(keep(Coding::Zstd, false).err(), Some(NoRoom));
    assert!(entry.coded(Coding::Zstd).unwrap().form.is_none(), "nobody tries again");
    // What is there is not lost for want of room for a better one.
    assert_eq!(fixture.cache.keep_coded(&key("/"), &entry, Coding::Br, form(9_900), true).err(), Some(NoRoom));
    assert_eq!(entry.coded(Coding::Br).unwrap().form.as_ref().unwrap().1.len(), 6_000);
    // One that takes its place needs no room beside it.
    assert!(fixture.cache.keep_coded(&key("/"), &entry, Coding::Br, form(5_900), true).is_ok());
    assert!(matches!(fixture.lookup("/", "", 1), Lookup::Fresh(_)), "the entry itself stays");
    assert!(bytes(&fixture) <= 40_000);
}

#[test]
fn forms_push_out_what_is_not_used() {
    let settings = Settings { max_bytes: 400_000, max_object_bytes: 50_000, ..Settings::default() };
    let fixture = Fixture::new(settings);
    for nth in 0..30 {
        let url = format!("/{nth}");
        fixture.put(&url, "", SAID, &"x".repeat(BODY), 0);
        let entry = stored(&fixture, &url);
        for coding in Coding::ALL {
            let _ = fixture.cache.keep_coded(&key(&url), &entry, coding, form(5_000), false);
        }
        // What is held by a reader counts as long as that takes.
        drop(entry);
        assert!(bytes(&fixture) <= 400_000, "{} bytes", bytes(&fixture));
    }
    let snapshot = fixture.cache.snapshot();
    assert!(snapshot.entries < 20 && fixture.evicted(Evicted::Capacity) > 10, "{snapshot:?}");
}

#[test]
fn purge_and_expiry_meet_every_form() {
    let (fixture, entry) = with_one(Settings::default());
    fixture.cache.keep_coded(&key("/"), &entry, Coding::Br, form(4_000), false).unwrap();
    entry.expire(fixture.at(1));
    assert!(matches!(fixture.lookup("/", "", 1), Lookup::Miss(_)), "one entry, one freshness");
}

#[test]
fn hot_is_counted_again_and_again() {
    let (fixture, entry) = with_one(Settings::default());
    let coded = fixture.cache.keep_coded(&key("/"), &entry, Coding::Br, form(4_000), false).unwrap();
    let hot: Vec<usize> = (1..=10).filter(|_| coded.is_hot_now(4)).collect();
    assert_eq!(hot, [4, 8]);
}

#[test]
fn client_s_copy_is_edited_and_the_stored_one_is_not() {
    let fixture = Fixture::new(Settings::default());
    let (asked, said, epoch) = (get("/", ""), response("Cache-Control: max-age=60\nETag: \"v1\""), Epoch::default());
    let mut copy = ClientCopy::default();
    copy.edits.add("Vary", "Accept-Encoding");
    let storable =
        policy::store(fixture::NOBODY, &said, &fixture.policy, &Settings::default(), &fixture.received(0)).unwrap();
    let entry = fixture.cache.entry(Parts {
        key: &key("/"),
        head: &said,
        body: "hello".into(),
        selecting: fixture.cache.selected_by(&said, &asked),
        storable: &storable,
        received: fixture.at(0),
        epoch,
        copy,
    });
    assert!(!entry.head.has("vary") && entry.sent.get("vary") == Some(b"Accept-Encoding"));
    assert_eq!(entry.head.get("content-length"), Some(b"5".as_slice()));
    // The head that is sent is the stored one and more: it takes no memory of its own.
    assert_eq!(entry.head.bytes().as_ptr(), entry.sent.bytes().as_ptr());
}
