//! Reading the configuration again: on SIGHUP and when a file changes, without losing a request or an entry.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::common::{Origin, Sidecar, get, ok, within};

/// What the admin port counts under this name.
async fn metric(sidecar: &Sidecar, name: &str) -> f64 {
    let text = sidecar.admin("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("a metric of this name");
    line.parse().unwrap()
}

/// Waits until this many configurations were taken up, or refused.
async fn reloads(sidecar: &Sidecar, result: &str, count: f64) {
    let name = format!("pacecar_config_reloads_total{{result=\"{result}\"}}");
    within(format!("{name} to be {count}"), async {
        while metric(sidecar, &name).await < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

const ROUTE: &str = "\n[[route]]\nmatch = \"/routed\"\nttl = \"60s\"\n";

async fn origin() -> Origin {
    Origin::new()
        .route("/stored", ok("stored").header("Cache-Control", "max-age=600"))
        .otherwise(ok("hello"))
        .start()
        .await
}

#[tokio::test]
async fn sighup_takes_up_routes_for_open_connections_and_keeps_what_is_stored() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\nuncacheable_ttl = \"0s\"").start().await;
    sidecar.get("/stored").await.assert_cache("miss");
    let mut client = sidecar.client().await;
    for _ in 0..2 {
        client.get("/routed").await.assert_cache("miss");
    }
    fs::write(sidecar.config_path(), format!("{}{ROUTE}", sidecar.config())).unwrap();
    sidecar.hang_up().await;
    reloads(&sidecar, "success", 1.0).await;
    client.get("/routed").await.assert_cache("miss");
    client.get("/routed").await.assert_cache("hit");
    sidecar.get("/stored").await.assert_cache("hit");
    let statistics = sidecar.admin_get("/performance/cache/stats").await;
    assert_eq!((&statistics["hits"], &statistics["misses"]), (&2.into(), &4.into()));
}

#[tokio::test]
async fn changed_file_is_taken_up_without_a_signal() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\nuncacheable_ttl = \"0s\"").start().await;
    sidecar.get("/routed").await.assert_cache("miss");
    fs::write(sidecar.config_path(), format!("{}{ROUTE}", sidecar.config())).unwrap();
    reloads(&sidecar, "success", 1.0).await;
    sidecar.get("/routed").await.assert_cache("miss");
    sidecar.get("/routed").await.assert_cache("hit");
}

#[tokio::test]
async fn exchanged_link_is_taken_up() {
    // As Kubernetes mounts a ConfigMap: the file is a link through a link to a folder of one generation.
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let path = sidecar.config_path();
    let folder = path.parent().unwrap();
    let generation = |number: &str, text: &str| {
        fs::create_dir(folder.join(number)).unwrap();
        fs::write(folder.join(number).join("proxy.toml"), text).unwrap();
        symlink(number, folder.join("next")).unwrap();
        fs::rename(folder.join("next"), folder.join("data")).unwrap();
    };
    generation("1", sidecar.config());
    symlink(Path::new("data").join("proxy.toml"), folder.join("linked")).unwrap();
    fs::rename(folder.join("linked"), &path).unwrap();
    generation("2", &format!("{}{ROUTE}", sidecar.config()));
    reloads(&sidecar, "success", 1.0).await;
    sidecar.get("/routed?1").await.assert_cache("miss");
    sidecar.get("/routed?1").await.assert_cache("hit");
}

#[tokio::test]
async fn bad_file_is_refused_and_the_old_one_stays() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).config(ROUTE).start().await;
    fs::write(sidecar.config_path(), "[cache]\nmax_bytes = \"64 apples\"\nmax_byte = 1\n").unwrap();
    sidecar.hang_up().await;
    reloads(&sidecar, "failure", 1.0).await;
    assert_eq!(metric(&sidecar, "pacecar_config_last_reload_successful").await, 0.0);
    let log = sidecar.log();
    for problem in ["cache.max_bytes = \\\"64 apples\\\"", "did you mean \\\"max_bytes\\\""] {
        assert!(log.contains(problem), "{problem} in\n{log}");
    }
    sidecar.get("/routed").await.assert_cache("miss");
    sidecar.get("/routed").await.assert_cache("hit");

    fs::write(sidecar.config_path(), sidecar.config()).unwrap();
    sidecar.hang_up().await;
    reloads(&sidecar, "success", 1.0).await;
    assert_eq!(metric(&sidecar, "pacecar_config_last_reload_successful").await, 1.0);
}

#[tokio::test]
async fn keys_that_need_a_restart_are_named() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let changed = format!("{}\n[cache]\nmax_entries = 7\nlock_timeout = \"1s\"\n", sidecar.config());
    fs::write(sidecar.config_path(), changed).unwrap();
    sidecar.hang_up().await;
    reloads(&sidecar, "success", 1.0).await;
    let log = sidecar.log();
    assert!(log.contains("these keys need a restart") && log.contains("cache.max_entries"), "{log}");
    assert!(!log.contains("lock_timeout"), "{log}");
    let statistics = sidecar.admin_get("/performance/cache/stats").await;
    assert_eq!(statistics["max_entries"], 100_000);
}

#[tokio::test]
async fn new_certificate_is_shown_to_new_connections() {
    let origin = origin().await;
    let mut sidecar = Sidecar::in_front_of(&origin).tls().start().await;
    let mut before = sidecar.tls().await;
    before.get("/").await.assert_status(200);
    // The client trusts the new certificate alone, so that being served means that it was shown.
    sidecar.renew_certificate();
    reloads(&sidecar, "success", 1.0).await;
    sidecar.tls().await.send(get("/")).await.assert_status(200);
    before.get("/").await.assert_status(200);
}
