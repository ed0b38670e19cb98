//! Work in the background. What waits and runs are gauges; what has ended is counted when it ends, so that forgetting it
//! takes nothing back.

use crate::{
    admin::exposition::{Exposition, counter, distribution, now},
    task::{Figures, Health, Kind, Reason, Spread, Status},
    traffic::Distribution,
};

pub(super) fn families(exposition: &mut Exposition, figures: &Figures) {
    exposition.gauges(
        "tasks",
        "Tasks that have not ended, by where they stand.",
        [Status::Pending, Status::Running]
            .map(|status| now(&[("status", status.word())], figures.counts[status as usize])),
    );
    let ended = &figures.ended;
    exposition.counters(
        "tasks_finished_total",
        "Tasks that have ended, by what they do and how they ended.",
        Kind::ALL.into_iter().flat_map(|kind| {
            let is_final = |status: &Status| status.is_final();
            Status::ALL.into_iter().filter(is_final).map(move |status| {
                counter(&[("kind", kind.word()), ("status", status.word())], ended.ended(kind, status))
            })
        }),
    );
    exposition.counters(
        "tasks_failed_total",
        "Tasks that have failed, by reason; each is among those that have ended.",
        Reason::ALL.map(|reason| counter(&[("reason", reason.word())], ended.failed(reason))),
    );
    exposition.histograms(
        "task_queue_seconds",
        "Seconds that tasks that have ended had waited for their turns.",
        [distribution(&[], &seconds(ended.queued()))],
    );
    exposition.histograms(
        "task_execution_seconds",
        "Seconds that tasks that have ended had run, those that were never begun left out.",
        [distribution(&[], &seconds(ended.executed()))],
    );
    exposition.gauge("task_result_bytes", "Bytes of results that are kept now.", &[], figures.result_bytes);
    exposition.counter(
        "task_results_dropped_total",
        "Results that were dropped before their time, since there was no room.",
        figures.results_dropped,
    );
    let is_off = matches!(figures.store, Health::Off { .. });
    let help = "1 when tasks are taken, 0 when they are off since their file cannot be used.";
    exposition.gauge("tasks_store_up", help, &[], u64::from(!is_off));
}

fn seconds(spread: &Spread) -> Distribution {
    let below = spread.cumulative().map(|(bound, count)| (bound.as_secs_f64(), count)).collect();
    Distribution { below, count: spread.count(), sum: spread.sum().as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use crate::admin::{
        fixture::working_state,
        metrics::tests::{text, value},
    };

    #[tokio::test(start_paused = true)]
    async fn what_runs_and_what_has_ended() {
        let state = working_state().await;
        let text = text(&state).unwrap();
        for (name, expected) in [
            ("tasks{status=\"pending\"}", 0.0),
            ("tasks{status=\"running\"}", 1.0),
            ("tasks_finished_total{kind=\"cache_warmup\",status=\"completed\"}", 1.0),
            ("tasks_finished_total{kind=\"http_async\",status=\"failed\"}", 1.0),
            ("tasks_finished_total{kind=\"http_async\",status=\"completed\"}", 0.0),
            ("tasks_failed_total{reason=\"upstream_status\"}", 1.0),
            ("tasks_failed_total{reason=\"timeout\"}", 0.0),
            ("task_queue_seconds_count", 2.0),
            ("task_execution_seconds_bucket{le=\"0.1\"}", 2.0),
            ("task_results_dropped_total", 0.0),
            ("tasks_store_up", 1.0),
        ] {
            assert_eq!(value(&text, &format!("pacecar_{name}")), expected, "{name}");
        }
        assert!(value(&text, "pacecar_task_result_bytes") >= 32.0);
    }
}
